package search

import (
	"cmp"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Query says which transactions of a ledger are wanted: those that match each field that is set. The JSON form binds page tokens.
type Query struct {
	Ledger      id.Ledger
	From, To    time.Time // of recording: From <= t < To; zero is without end
	Kinds       []ledger.Kind
	Decided     ledger.Decided
	Reasons     []errs.Reason
	Reference   string
	Correlation string
	Account     id.Account      // of the ledger
	Metadata    ledger.Metadata // all of it
	OldestFirst bool
}

// Place is where a transaction stands in an answer: by the time of recording, then by position. The zero value is before all.
type Place struct {
	At       time.Time
	Position event.Position
}

// Compare tells which comes first.
func (p Place) Compare(o Place) int {
	return cmp.Or(p.At.Compare(o.At), cmp.Compare(p.Position, o.Position))
}

// Page is a part of an answer.
type Page struct {
	Limit int            // most transactions
	After Place          // the last place that was looked at; zero: none
	Until event.Position // newer ones are left out; zero: the first page, which sets it
}

// Answer is a page of results. There may be fewer than the limit, or none, before the end: what matches rarely is looked for in portions.
type Answer struct {
	Records []ledger.Record
	Next    Page // zero at the end
	// Complete is the position up to which everything is in the model.
	Complete Point
}

// Point is a transaction, or else a position, that has to be in the model.
type Point struct {
	Ledger      id.Ledger
	Transaction id.Transaction

	Home     id.Home
	Position event.Position
}

// Scan is a range of rows to look at, in the order of the query, and what is wanted of them.
type Scan struct {
	Query
	Home       id.Home
	Generation int64
	Low, High  Place // exclusive
	Until      event.Position
	Rows       int // to look at
}

// Hit is a row that was looked at.
type Hit struct {
	Place
	Transaction id.Transaction
	Matches     bool
}

// The ends of time, as both engines store it.
var (
	never   = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// bounds returns the places between which the rest of an answer is. Positions begin with 1, so that a place with position 0 is just before
// its time.
func (q Query) bounds(after Place) (low, high Place) {
	low, high = Place{At: never}, Place{At: forever}
	if !q.From.IsZero() {
		low.At = ceilMicros(q.From)
	}
	if !q.To.IsZero() {
		high.At = ceilMicros(q.To)
	}
	switch {
	case after == Place{}:
	case q.OldestFirst && after.Compare(low) > 0:
		low = after
	case !q.OldestFirst && after.Compare(high) < 0:
		high = after
	}
	return low, high
}

// ceilMicros moves a time to the next one that an engine stores.
func ceilMicros(t time.Time) time.Time {
	if cut := t.Truncate(time.Microsecond); cut.Before(t) {
		return cut.Add(time.Microsecond)
	}
	return t
}

// picks tells whether a scan of the query's range may come upon rows that are not wanted.
func (q Query) picks() bool {
	return len(q.Kinds) > 0 || q.Decided != "" || len(q.Reasons) > 0 || q.Correlation != "" || len(q.Metadata) > 0 || q.Reference != "" && q.Account != ""
}
