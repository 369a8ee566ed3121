package dbtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
)

// link is one connection through a proxy. After the startup packet, each message in either direction is one byte of type, four bytes of
// length (of itself and the rest), and the rest.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	once           sync.Once
	ended          chan struct{} // closed by cut
	stalled        chan struct{} // nil: bytes flow; closed when they flow again; the proxy's lock guards it

	statements map[string]role // prepared, by name; of the goroutine that reads from the client

	mu       sync.Mutex
	writes   bool // this transaction has inserted into journal
	withhold bool // the answer to its commit is not to be passed on
	ready    bool // the startup is over
	asked    bool // bytes went to the database since it was last ready
}

// role is what a statement means to the proxy.
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

// cut closes both sides, once.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.ended)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// Codes that stand where the version of the protocol does in a startup packet.
const (
	cancelRequest = 80877102
	wantsTLS      = 80877103
	wantsGSS      = 80877104
)

// fromClient forwards until one side hangs up.
func (l *link) fromClient() {
	in, out := bufio.NewReaderSize(l.client, 1<<16), bufio.NewWriterSize(l.server, 1<<16)
	for {
		packet := make([]byte, 8)
		if _, err := io.ReadFull(in, packet); err != nil {
			return
		}
		code := binary.BigEndian.Uint32(packet[4:])
		if code == wantsTLS || code == wantsGSS {
			if _, err := l.client.Write([]byte{'N'}); err != nil {
				return
			}
			continue // in the clear
		}
		rest := make([]byte, max(8, binary.BigEndian.Uint32(packet))-8)
		if _, err := io.ReadFull(in, rest); err != nil || !l.pass(out, in, packet, rest) || code == cancelRequest {
			return
		}
		break
	}
	for {
		message, err := readMessage(in)
		if err != nil {
			return
		}
		if !l.mayLeave(message) {
			_ = out.Flush() // what came before reaches the database, as on a line that breaks
			l.proxy.cutCommit(l)
			return
		}
		if !l.pass(out, in, message) {
			return
		}
	}
}

// readMessage returns a whole message, its head included.
func readMessage(in *bufio.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	message := make([]byte, 1+max(4, binary.BigEndian.Uint32(head[1:])))
	copy(message, head[:])
	_, err := io.ReadFull(in, message[len(head):])
	return message, err
}

// pass forwards, and flushes where nothing more is at hand. It waits while the line is stalled.
func (l *link) pass(out *bufio.Writer, in *bufio.Reader, parts ...[]byte) bool {
	if gate := l.proxy.gate(l); gate != nil {
		select {
		case <-gate:
		case <-l.ended:
			return false
		}
	}
	for _, part := range parts {
		if _, err := out.Write(part); err != nil {
			return false
		}
	}
	return in.Buffered() > 0 || out.Flush() == nil
}

// mayLeave follows the transaction of the client, and refuses a commit that is to be lost on its way to the database.
func (l *link) mayLeave(message []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = true
	for _, role := range l.roles(message) {
		if role == commits && l.writes {
			switch l.proxy.doomed() {
			case BeforeServer:
				return false
			case AfterServer:
				l.withhold = true
			}
		}
		l.writes = role == writesJournal || role == other && l.writes
	}
	return true
}

// roles says what a message of the client makes the database execute.
func (l *link) roles(message []byte) []role {
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
		l.statements[name] = roleOf(sql)
	case 'B': // Bind: name of the portal, name of the statement, parameters; the driver executes what it binds
		_, rest := text(body)
		name, _ := text(rest)
		return []role{l.statements[name]}
	}
	return nil
}

// text reads up to a zero byte.
func text(b []byte) (string, []byte) {
	before, after, _ := bytes.Cut(b, []byte{0})
	return string(before), after
}

// fromServer forwards until one side hangs up.
func (l *link) fromServer() {
	in, out := bufio.NewReaderSize(l.server, 1<<16), bufio.NewWriterSize(l.client, 1<<16)
	var withheld [][]byte
	for {
		message, err := readMessage(in)
		if err != nil {
			if len(withheld) > 0 { // the database hung up by itself, with a reason perhaps
				_ = l.pass(out, in, withheld...)
			}
			return
		}
		withhold, lost := l.mayReturn(message)
		if lost {
			l.proxy.cutCommit(l)
			return
		}
		withheld = append(withheld, message)
		if withhold {
			continue
		}
		if !l.pass(out, in, withheld...) {
			return
		}
		withheld = withheld[:0]
	}
}

// mayReturn counts, and keeps back the answer to a commit that is to be lost on its way to the client.
func (l *link) mayReturn(message []byte) (withhold, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch message[0] {
	case 'C': // CommandComplete: tag
		tag, _ := text(message[5:])
		return l.withhold, l.withhold && tag == "COMMIT"
	case 'Z': // ReadyForQuery
		if l.withhold { // and yet no COMMIT: it was refused
			l.withhold = false
			l.proxy.spared()
		}
		if l.ready && l.asked {
			l.proxy.tripped()
		}
		l.ready, l.asked = true, false
	}
	return l.withhold, false
}
