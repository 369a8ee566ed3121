package fault

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
)

// watch follows the PostgreSQL protocol on one connection. After the startup packet, each message in either direction is one byte of type,
// four bytes of length (of itself and the rest), and the rest. A connection that begins otherwise, or is encrypted, passes unread.
type watch struct {
	link *Link

	mu         sync.Mutex
	stage      stage
	client     stream
	server     stream
	statements map[string]role // prepared, by name
	kept       []byte          // answers to a commit that may be lost

	writes   bool // this transaction has inserted into journal
	withhold bool // the answer to its commit is not to be passed on
	ready    bool // the startup is over
	asked    bool // something went to the database since it was last ready
}

// stage is how far the client has come.
type stage uint8

const (
	startup   stage = iota // the first packet, or the next after a request for encryption was declined
	answering              // the client has asked for encryption and waits for one byte
	messages
	unread // for good
)

// stream is one direction of it.
type stream struct {
	held []byte // the beginning of a message
	skip int    // bytes of a message that pass unread
}

// Codes that stand where the version of the protocol does in a startup packet.
const (
	cancelRequest = 80877102
	wantsTLS      = 80877103
	wantsGSS      = 80877104
)

// read takes in what was read in a direction, and returns what may pass; cut: and then the line is cut. The result is not b.
func (w *watch) read(back bool, b []byte) (pass []byte, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if back {
		return w.fromServer(b)
	}
	return w.fromClient(b)
}

// rest returns what was held back of a direction that has ended: the database hung up by itself, with a reason perhaps.
func (w *watch) rest(back bool) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage != messages {
		return nil // was passed while it was looked at
	}
	if back {
		return append(slices.Clone(w.kept), w.server.held...)
	}
	return slices.Clone(w.client.held)
}

func (w *watch) fromClient(b []byte) (pass []byte, cut bool) {
	switch w.stage {
	case startup:
		pass = slices.Clone(b)
		after := w.begin(b)
		if w.stage != messages || len(after) == 0 {
			return pass, false
		}
		pass = pass[:len(pass)-len(after)]
		b = after
	case messages:
	case answering, unread: // who sends on without an answer is none of ours
		w.stage = unread
		return slices.Clone(b), false
	}
	asks := func(kind byte) bool {
		w.asked = true
		return kind == 'Q' || kind == 'P' || kind == 'B'
	}
	w.client.messages(b, asks, &pass, func(message []byte) bool {
		if cut = !w.mayLeave(message); !cut { // what came before reaches the database, as on a line that breaks
			pass = append(pass, message...)
		}
		return !cut
	})
	return pass, cut
}

// begin reads the first packet of the client, which passes meanwhile, and returns what comes behind it.
func (w *watch) begin(b []byte) (after []byte) {
	w.client.held = append(w.client.held, b...)
	held := w.client.held
	if len(held) > 0 && held[0] != 0 || len(held) > 1 && held[1] != 0 {
		w.stage = unread // no startup packet is that long
		return nil
	}
	if len(held) < 8 {
		return nil
	}
	size, code := int(binary.BigEndian.Uint32(held)), binary.BigEndian.Uint32(held[4:])
	switch {
	case (code == wantsTLS || code == wantsGSS) && len(held) == 8:
		w.stage, w.client.held = answering, nil
		return nil
	case code>>16 != 3: // a request to cancel has nothing behind it, and the rest is not PostgreSQL
		w.stage, w.client.held = unread, nil
		return nil
	case len(held) < size:
		return nil
	}
	w.stage, w.client.held = messages, nil
	return held[size:]
}

func (w *watch) fromServer(b []byte) (pass []byte, cut bool) {
	switch w.stage {
	case messages:
	case answering:
		w.stage = unread
		if len(b) == 1 && b[0] == 'N' {
			w.stage = startup // in the clear
		}
		return slices.Clone(b), false
	case startup, unread: // a server that speaks first is no database
		w.stage = unread
		return slices.Clone(b), false
	}
	tells := func(kind byte) bool { return w.withhold || kind == 'C' || kind == 'Z' }
	w.server.messages(b, tells, &pass, func(message []byte) bool {
		var withhold bool
		withhold, cut = w.mayReturn(message)
		w.kept = append(w.kept, message...)
		if !withhold && !cut {
			pass = append(pass, w.kept...)
			w.kept = w.kept[:0]
		}
		return !cut
	})
	return pass, cut
}

// messages hands whole messages that interest to one, in order, until it returns false. The bytes of all others pass as they come.
func (s *stream) messages(b []byte, interests func(kind byte) bool, pass *[]byte, one func(message []byte) bool) {
	const head = 5
	s.held = append(s.held, b...)
	left := s.held
	for goesOn := true; goesOn && len(left) > 0; {
		if n := min(s.skip, len(left)); n > 0 {
			*pass = append(*pass, left[:n]...)
			left, s.skip = left[n:], s.skip-n
			continue
		}
		if len(left) < head {
			break
		}
		size := 1 + int(max(head-1, binary.BigEndian.Uint32(left[1:])))
		if !interests(left[0]) {
			s.skip = size
			continue
		}
		if len(left) < size {
			break
		}
		goesOn = one(left[:size])
		left = left[size:]
	}
	if len(left) < len(s.held) { // else a long message is not moved with each piece of it
		s.held = append(s.held[:0], left...)
	}
}

// mayLeave follows the transaction of the client, and refuses a commit that is to be lost on its way to the database.
func (w *watch) mayLeave(message []byte) bool {
	for _, role := range w.roles(message) {
		if role == commits && w.writes {
			switch w.link.doomed() {
			case BeforeServer:
				return false
			case AfterServer:
				w.withhold = true
			}
		}
		w.writes = role == writesJournal || role == other && w.writes
	}
	return true
}

// role is what a statement means to a link.
type role uint8

const (
	other  role = iota
	begins      // or ends without a commit
	writesJournal
	commits
)

func roleOf(sql string) role {
	if strings.Contains(strings.ToUpper(sql), "INSERT INTO JOURNAL") {
		return writesJournal
	}
	first, _, _ := strings.Cut(strings.Trim(sql, "; \n\t"), " ")
	switch strings.ToUpper(first) {
	case "COMMIT", "END":
		return commits
	case "BEGIN", "START", "ROLLBACK", "ABORT":
		return begins
	}
	return other
}

// roles says what a message of the client makes the database execute.
func (w *watch) roles(message []byte) []role {
	body := message[5:]
	switch message[0] {
	case 'Q': // simple query: SQL
		var roles []role
		sql, _ := text(body)
		for statement := range strings.SplitSeq(sql, ";") {
			roles = append(roles, roleOf(statement))
		}
		return roles
	case 'P': // Parse: name of the statement, SQL, types
		name, rest := text(body)
		sql, _ := text(rest)
		w.statements[name] = roleOf(sql)
	case 'B': // Bind: name of the portal, name of the statement, parameters; the driver executes what it binds
		_, rest := text(body)
		name, _ := text(rest)
		return []role{w.statements[name]}
	}
	return nil
}

// text reads up to a zero byte.
func text(b []byte) (string, []byte) {
	before, after, _ := bytes.Cut(b, []byte{0})
	return string(before), after
}

// mayReturn counts, and keeps back the answer to a commit that is to be lost on its way to the client.
func (w *watch) mayReturn(message []byte) (withhold, lost bool) {
	switch message[0] {
	case 'C': // CommandComplete: tag
		tag, _ := text(message[5:])
		return w.withhold, w.withhold && tag == "COMMIT"
	case 'Z': // ReadyForQuery
		if w.withhold { // and yet no COMMIT: it was refused
			w.withhold = false
			w.link.spared()
		}
		if w.ready && w.asked {
			w.link.trips.Add(1)
		}
		w.ready, w.asked = true, false
	}
	return w.withhold, false
}
