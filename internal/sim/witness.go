package sim

import (
	"context"
	"iter"

	"github.com/meridian-ledger/meridian/internal/id"
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

// Witness is a careful consumer of the change stream: it keeps what it got, drops what it had before, and notes what was wrong. It is safe
// for concurrent use.
type Witness struct {
	Name   string
	HomeOf map[id.Ledger]id.Home   // where each ledger is at home; of one that is not here, every stream that names it tells all
	Form   func(body []byte) error // what else is looked at, once for each different event; nil: nothing
}

// NewWitness returns a witness who has heard nothing.
func NewWitness(name string, homeOf map[id.Ledger]id.Home, form func([]byte) error) *Witness {
	return &Witness{Name: name, HomeOf: homeOf, Form: form}
}

// Hear takes an event in the structured mode.
func (w *Witness) Hear(body []byte) {}

// Listen subscribes to a home until the context ends, each time at the next node, from where it saved its place.
func (w *Witness) Listen(ctx context.Context, home id.Home, nodes []Source, hangUp int) {}

// AwaitCalls waits until every posted or declined command of a history was heard of.
func (w *Witness) AwaitCalls(ctx context.Context, h *History) error { return nil }

// AwaitHeads waits until each home was heard up to a position.
func (w *Witness) AwaitHeads(ctx context.Context, heads map[id.Home]int64) error { return nil }

// Heard is how many different events came, how many came again, and how often a stream broke off.
func (w *Witness) Heard() (events, repeats, breaks int) { return 0, 0, 0 }

// Journal notes what should have come and did not, and what should not have come: places with their positions are what should.
func (w *Witness) Journal(places map[Place]int64) {}

// Verdict holds what was heard against the answers of a history, and the number of events against the heads of the streams (nil: not).
func (w *Witness) Verdict(h *History, heads map[id.Home]int64) Verdict { return Verdict{} }
