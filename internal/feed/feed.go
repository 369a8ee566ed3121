// Package feed finds out what was committed to the journal of a home, and hands it over with a position from which it can go on.
//
// It promises that nothing committed is left out, however late it commits and however long nobody listened, and that what it hands over is in
// order on every account. It does not promise to hand over once: after a restart, and at the whim of a changefeed, records come again.
package feed

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Batch is what a source hands over at once.
type Batch struct {
	// Records were committed. On each account they come in the order of its sequence, over all batches, repeats aside.
	Records []ledger.Record
	// Cursor is where to go on once this batch and all before it are safe; empty where that is not known yet.
	Cursor event.Cursor
	// At is the time up to which everything has been handed over, by the clock of the database; zero where that is not known.
	At time.Time
}

// Source is the feed of one engine. Run hands over what was committed after a cursor, until the context ends or hand fails, and returns why it
// stopped. An empty batch is a heartbeat. hand is called by one goroutine at a time; while it has not returned, the source reads on into a
// bounded buffer at most. A source is safe for concurrent use by several homes.
type Source interface {
	Run(ctx context.Context, home id.Home, from event.Cursor, hand func(context.Context, Batch) error) error
}
