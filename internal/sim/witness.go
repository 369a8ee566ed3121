package sim

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Place names an event of one stream. A consumer deduplicates by it.
type Place struct {
	Home id.Home
	ID   string // of the transaction
}

// Word is what a subscriber of a stream hears: an event in the structured mode of CloudEvents, or, without a body, that everything up to a
// position was sent.
type Word struct {
	Position int64
	Body     []byte
}

// Source subscribes to the stream of a home at one node, after a position. The last word comes with an error.
type Source func(ctx context.Context, home id.Home, after int64) iter.Seq2[Word, error]

// Witness is a careful consumer of the change stream: it drops what it had before, and notes what is wrong with what it gets. On each account,
// new events have to come in the order of the stream, and entries without a gap; an event that comes again has to be the same to the byte. It is
// safe for concurrent use.
type Witness struct {
	name   string
	homeOf map[id.Ledger]id.Home
	form   func(body []byte) error

	mu       sync.Mutex
	changed  chan struct{} // closed when something was heard
	first    map[Place]heard
	events   map[id.Home]int64 // how many different ones
	reached  map[id.Home]int64 // positions
	position map[chapter]int64 // of the newest event
	sequence map[chapter]int64 // of the newest entry
	repeats  int
	breaks   int
	problems finding
}

// chapter is an account as one stream tells of it.
type chapter struct {
	home id.Home
	ref  ledger.Ref
}

// heard is what a witness keeps of an event.
type heard struct {
	position int64
	body     [sha256.Size]byte
	key      id.Key
	decided  ledger.Decided
	entries  [sha256.Size]byte // those of its home
}

// NewWitness returns a witness who has heard nothing. HomeOf says where ledgers are at home: the lines of others in a stream are left to the
// stream that they belong to; those of a ledger that is not in it count in every stream. Form is what else each event is held against; nil:
// nothing.
func NewWitness(name string, homeOf map[id.Ledger]id.Home, form func(body []byte) error) *Witness {
	return &Witness{
		name: name, homeOf: homeOf, form: form, changed: make(chan struct{}), first: map[Place]heard{}, events: map[id.Home]int64{},
		reached: map[id.Home]int64{}, position: map[chapter]int64{}, sequence: map[chapter]int64{},
	}
}

// Name is whose witness it is.
func (w *Witness) Name() string { return w.name }

// cloudEvent is what a consumer reads of an event.
type cloudEvent struct {
	ID       string  `json:"id"`
	Home     id.Home `json:"home"`
	Position int64   `json:"position,string"`
	Data     struct {
		Ledger  id.Ledger      `json:"ledger"`
		Account id.Account     `json:"account_id"`
		Key     id.Key         `json:"idempotency_key"`
		Status  ledger.Decided `json:"status"`
		Entries []struct {
			Ledger   id.Ledger  `json:"ledger"`
			Account  id.Account `json:"account_id"`
			Sequence int64      `json:"sequence"`
			Balance  string     `json:"balance"`
			Counter  bool       `json:"counter"`
		} `json:"entries"`
	} `json:"data"`
}

// Hear takes an event in the structured mode.
func (w *Witness) Hear(body []byte) {
	var e cloudEvent
	err := json.Unmarshal(body, &e)
	var wrong error
	if w.form != nil {
		wrong = w.form(body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case wrong != nil:
		w.Problem("an event is not as published: %v in %s", wrong, body)
	case err != nil:
		w.Problem("%v in %s", err, body)
	}
	if err != nil {
		return
	}
	at, sum := Place{e.Home, e.ID}, sha256.Sum256(body)
	if had, again := w.first[at]; again {
		if w.repeats++; had.body != sum {
			w.Problem("%v came again, and differs: %s", at, body)
		}
		return
	}
	w.first[at] = heard{e.Position, sum, e.Data.Key, e.Data.Status, w.lines(e)}
	w.events[e.Home]++
	w.follow(e)
	w.reach(e.Home, e.Position)
}

// reach notes that a stream was heard up to a position, and tells who waits.
func (w *Witness) reach(home id.Home, position int64) {
	w.reached[home] = max(w.reached[home], position)
	close(w.changed)
	w.changed = make(chan struct{})
}

// tells whether the stream of a home is to tell of a ledger.
func (w *Witness) tells(home id.Home, l id.Ledger) bool {
	at, known := w.homeOf[l]
	return !known || at == home
}

// counters is how the names of default counter accounts begin.
const counters = "counter:"

// follow holds a new event against those before it.
func (w *Witness) follow(e cloudEvent) {
	touched := map[chapter]bool{}
	if len(e.Data.Entries) == 0 && e.Data.Account != "" { // a decline has its place in the story of the account that it names
		touched[chapter{e.Home, ledger.Ref{Ledger: e.Data.Ledger, Account: e.Data.Account}}] = true
	}
	for _, line := range e.Data.Entries {
		c := chapter{e.Home, ledger.Ref{Ledger: line.Ledger, Account: line.Account}}
		if line.Counter || !w.tells(e.Home, line.Ledger) { // no order is promised; or another stream tells of it
			continue
		}
		touched[c] = true
		hub := strings.HasPrefix(string(line.Account), counters) // lines between those that name it are on events that keep no order on it
		if last := w.sequence[c]; line.Sequence != last+1 && (!hub || line.Sequence <= last) {
			w.Problem("%s in the stream of %s: entry %d came after %d", c.ref, c.home, line.Sequence, last)
		}
		w.sequence[c] = line.Sequence
	}
	for c := range touched {
		if last := w.position[c]; e.Position <= last {
			w.Problem("%s in the stream of %s: position %d came after %d", c.ref, c.home, e.Position, last)
		}
		w.position[c] = e.Position
	}
}

// lines sums up the entries that the stream of its home tells of.
func (w *Witness) lines(e cloudEvent) [sha256.Size]byte {
	var all []string
	for _, l := range e.Data.Entries {
		if w.homeOf[l.Ledger] == e.Home {
			all = append(all, fmt.Sprintf("%s/%s %d %s", l.Ledger, l.Account, l.Sequence, l.Balance))
		}
	}
	return sha256.Sum256([]byte(strings.Join(all, "\n")))
}

// linesOf is the same of an answer.
func (w *Witness) linesOf(o ledger.Outcome, home id.Home) [sha256.Size]byte {
	var all []string
	for _, e := range o.Entries {
		if w.homeOf[e.Ref.Ledger] == home {
			all = append(all, fmt.Sprintf("%s %d %s", e.Ref, e.Sequence, e.Balance))
		}
	}
	return sha256.Sum256([]byte(strings.Join(all, "\n")))
}

// Problem notes what somebody else found wrong with what came.
func (w *Witness) Problem(format string, args ...any) {
	w.problems.problem("%s: "+format, append([]any{w.name}, args...)...)
}

// Listen subscribes to the stream of a home again and again until the context ends, each time at the next node. One time it goes on after the
// last word that it heard, the other time from a place that it saved before, and so hears again what came after. HangUp is after how many words
// it does so though nothing is wrong; 0: never.
func (w *Witness) Listen(ctx context.Context, home id.Home, nodes []Source, hangUp int) {
	const saveEvery, pause = 100, 100 * time.Millisecond
	saved, last := int64(0), int64(0)
	for n := 0; ctx.Err() == nil; n++ {
		words, began := 0, time.Now()
		if n%2 == 1 {
			saved = last
		}
		for word, err := range nodes[n%len(nodes)](ctx, home, saved) {
			if words++; err != nil || hangUp > 0 && words > hangUp {
				break
			}
			if last = max(last, word.Position); word.Body == nil {
				saved = word.Position
				w.mu.Lock()
				w.reach(home, word.Position)
				w.mu.Unlock()
				continue
			}
			w.Hear(word.Body)
			if word.Position >= saved+saveEvery {
				saved = word.Position
			}
		}
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.breaks++
		w.mu.Unlock()
		if rest := pause - time.Since(began); rest > 0 { // nobody there
			select {
			case <-ctx.Done():
			case <-time.After(rest):
			}
		}
	}
}

// AwaitCalls waits until every answered command of a history was heard of.
func (w *Witness) AwaitCalls(ctx context.Context, h *History) error {
	var missing []Place
	for _, c := range h.Calls {
		if c.decided() {
			missing = append(missing, w.places(c)...)
		}
	}
	return w.await(ctx, func() bool {
		for n := len(missing); n > 0; n = len(missing) {
			if _, came := w.first[missing[n-1]]; !came {
				return false
			}
			missing = missing[:n-1]
		}
		return true
	})
}

// AwaitHeads waits until the stream of each home was heard up to a position.
func (w *Witness) AwaitHeads(ctx context.Context, heads map[id.Home]int64) error {
	return w.await(ctx, func() bool {
		for home, head := range heads {
			if w.reached[home] < head {
				return false
			}
		}
		return true
	})
}

// await asks, under the lock, whenever something was heard.
func (w *Witness) await(ctx context.Context, done func() bool) error {
	for {
		w.mu.Lock()
		ready, changed := done(), w.changed
		w.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the stream: %w", ctx.Err())
		}
	}
}

// places is where a command is to be heard of: in its own home, and in that of every account on which it wrote.
func (w *Witness) places(c *Call) []Place {
	id := c.Outcome.Transaction.String()
	all := []Place{{w.homeOf[c.Outcome.Ledger], id}}
	for _, e := range c.Outcome.Entries {
		if at := (Place{w.homeOf[e.Ref.Ledger], id}); !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// Heard returns how many different events came, how many came again, and how often a stream broke off.
func (w *Witness) Heard() (events, repeats, breaks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.first), w.repeats, w.breaks
}

// Expect notes what should have come and did not, and what came and should not: what should is every event, with its position.
func (w *Witness) Expect(all map[Place]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, position := range all {
		got, came := w.first[at]
		switch {
		case !came:
			w.Problem("%v at position %d never came", at, position)
		case got.position != position:
			w.Problem("%v came with position %d, and stands at %d", at, got.position, position)
		}
	}
	for at := range w.first {
		if _, known := all[at]; !known {
			w.Problem("%v came, and is in no journal", at)
		}
	}
}

// Verdict holds what was heard so far against the answers of a history: each of them was heard of in every home that it touches, with the same
// entries and balances, and nothing under the keys of the run that no client sent. Positions have no gap, so a head is the number of events that
// left a home: heads, where there are any, are held against what was heard. HomeOf has all ledgers of the history.
func (w *Witness) Verdict(h *History, heads map[id.Home]int64) Verdict {
	f := find("events", "the stream told of every command once, in order on each account, and of nothing else")
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Looked, f.Found, f.Problems = len(w.first), w.problems.Found, slices.Clone(w.problems.Problems)
	problem := func(format string, args ...any) { f.problem("%s: "+format, append([]any{w.name}, args...)...) }
	sent := make(map[string]bool, len(h.Calls))
	for _, c := range h.Calls {
		sent[c.Command.ID().String()] = true
		if !c.decided() {
			continue
		}
		for _, at := range w.places(c) {
			got, came := w.first[at]
			switch {
			case !came:
				problem("%v was answered (%s, %s) and never came", at, c, c.Outcome.Decided)
			case got.decided != c.Outcome.Decided:
				problem("%v was answered with %s, and came as %s", at, c.Outcome.Decided, got.decided)
			case got.entries != w.linesOf(c.Outcome, at.Home):
				problem("%v came with other entries than %s was answered with", at, c)
			}
		}
	}
	for at, e := range w.first {
		if strings.HasPrefix(string(e.key), h.Run+"-") && !sent[at.ID] {
			problem("%v with key %s came, and no client sent it", at, e.key)
		}
	}
	for home, head := range heads {
		if w.events[home] != head {
			problem("%d events of %s were heard, and %d left", w.events[home], home, head)
		}
	}
	return f.verdict()
}
