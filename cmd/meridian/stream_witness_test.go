package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// place names an event of one stream. A consumer deduplicates by it.
type place struct{ home, id string }

// chapter is an account as one stream tells of it.
type chapter struct{ home, ledger, account string }

// witness is what one consumer got, in the order in which it got it, and what was wrong with that.
type witness struct {
	name   string
	homeOf map[string]string // of ledgers
	forms  *forms

	mu       sync.Mutex
	first    map[place]heard
	position map[chapter]int64 // of the newest event
	sequence map[chapter]int64 // of the newest entry
	repeats  int
	problems []string
}

// heard is what a witness keeps of an event.
type heard struct {
	position int64
	body     [sha256.Size]byte
}

func newWitness(name string, homeOf map[string]string, all *forms) *witness {
	return &witness{
		name: name, homeOf: homeOf, forms: all, first: map[place]heard{}, position: map[chapter]int64{}, sequence: map[chapter]int64{},
	}
}

// cloudEvent is what a consumer reads of an event.
type cloudEvent struct {
	ID       string `json:"id"`
	Home     string `json:"home"`
	Position int64  `json:"position,string"`
	Data     struct {
		Ledger  string `json:"ledger"`
		Account string `json:"account_id"`
		Entries []struct {
			Ledger   string `json:"ledger"`
			Account  string `json:"account_id"`
			Sequence int64  `json:"sequence"`
			Counter  bool   `json:"counter"`
		} `json:"entries"`
	} `json:"data"`
}

// hear takes an event in the structured mode. One that it had before has to be the same to the byte; a new one has to be the next on each
// account.
func (w *witness) hear(body []byte) {
	wrong := w.forms.check(body)
	var e cloudEvent
	err := json.Unmarshal(body, &e)
	w.mu.Lock()
	defer w.mu.Unlock()
	if wrong != nil {
		w.problem("an event is not as published: %v in %s", wrong, body)
	}
	if err != nil {
		w.problem("%v in %s", err, body)
		return
	}
	at, sum := place{e.Home, e.ID}, sha256.Sum256(body)
	if had, again := w.first[at]; again {
		w.repeats++
		if had.body != sum {
			w.problem("%v came again, and differs: %s", at, body)
		}
		return
	}
	w.first[at] = heard{e.Position, sum}
	w.follow(e)
}

// counters is how the names of default counter accounts begin.
const counters = "counter:"

// follow holds a new event against those before it: on each account, events come in the order of the stream, and entries without a gap.
func (w *witness) follow(e cloudEvent) {
	touched := map[chapter]bool{}
	if len(e.Data.Entries) == 0 && e.Data.Account != "" { // a decline has its place in the story of the account that it names
		touched[chapter{e.Home, e.Data.Ledger, e.Data.Account}] = true
	}
	for _, line := range e.Data.Entries {
		c := chapter{e.Home, line.Ledger, line.Account}
		if line.Counter || w.homeOf[c.ledger] != e.Home { // no order is promised; or another stream tells of it
			continue
		}
		touched[c] = true
		hub := strings.HasPrefix(c.account, counters) // lines between those that name it are on events that keep no order on it
		if last := w.sequence[c]; line.Sequence != last+1 && (!hub || line.Sequence <= last) {
			w.problem("%s/%s in the stream of %s: entry %d came after %d", c.ledger, c.account, c.home, line.Sequence, last)
		}
		w.sequence[c] = line.Sequence
	}
	for c := range touched {
		if last := w.position[c]; e.Position <= last {
			w.problem("%s/%s in the stream of %s: position %d came after %d", c.ledger, c.account, c.home, e.Position, last)
		}
		w.position[c] = e.Position
	}
}

func (w *witness) problem(format string, args ...any) {
	const enough = 10
	if len(w.problems) < enough {
		w.problems = append(w.problems, w.name+": "+fmt.Sprintf(format, args...))
	}
}

// count is how many different events came.
func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.first)
}

// verdict is what was wrong, how many different events came, and how many came again.
func (w *witness) verdict() (problems []string, events, repeats int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems, len(w.first), w.repeats
}

// compare lists what should have come and did not, and what should not have come: the journal, with positions, is what should.
func (w *witness) compare(journal map[place]int64, acknowledged map[string]ledger.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, position := range journal {
		got, came := w.first[at]
		switch {
		case !came:
			w.problem("%v at position %d never came", at, position)
		case got.position != position:
			w.problem("%v came with position %d, and stands at %d", at, got.position, position)
		}
	}
	for at := range w.first {
		if _, known := journal[at]; !known {
			w.problem("%v came, and is in no journal", at)
		}
	}
	for transaction, o := range acknowledged {
		if at := (place{w.homeOf[string(o.Ledger)], transaction}); w.first[at] == (heard{}) {
			w.problem("%v was acknowledged (%s %s) and never came", at, o.Kind, o.Decided)
		}
	}
}

// forms checks each different body once: most come to several consumers, and again.
type forms struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]error
}

func (f *forms) check(body []byte) error {
	sum := sha256.Sum256(body)
	f.mu.Lock()
	defer f.mu.Unlock()
	err, known := f.known[sum]
	if !known {
		err = eventtest.Check(body)
		f.known[sum] = err
	}
	return err
}

// structured puts together again what came in the binary mode: attributes beside, and the data.
func structured(attributes map[string]string, data []byte) ([]byte, error) {
	all := map[string]any{"data": json.RawMessage(data)}
	for name, value := range attributes {
		all[name] = value
	}
	return json.Marshal(all)
}
