// Package feed finds out what was committed for the stream of a home, and hands it over with a position from which it can go on: every row of
// the home's journal, and every row of another home's that has entries on accounts of this one's ledgers.
//
// It promises that nothing committed is left out, however late it commits and however long nobody listened, and that what it hands over is in
// order on every account of the home, without a gap. It does not promise to hand over once: after a restart, and at the whim of a changefeed,
// changes come again.
//
// PostgreSQL is read by transaction number (snapshot.go), CockroachDB by a changefeed (changefeed.go) whose rows are put in order by the
// sequences of their accounts (order.go). Where a position is lost, both compare the journal with the stream (rescan.go). It relies on
// package db for connections that are not of a pool, and on one relay a home that appends what it is given to the stream.
package feed

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Batch is what a source hands over at once.
type Batch struct {
	// Changes were committed. On each account they come in the order of its sequence, over all batches, repeats aside.
	Changes []event.Change
	// Cursor is where to go on once this batch and all before it are safe; empty where that is not known yet.
	Cursor event.Cursor
	// At is the time up to which everything has been handed over, by the clock of the database; zero where that is not known.
	At time.Time
}

// Source is the feed of one engine. Run hands over what was committed after a cursor, until the context ends or hand fails, and returns why it
// stopped: the error of the context, that of hand, or what can not be mended by trying again; lost connections are made anew. An empty batch
// is a heartbeat and comes each second at least. hand is called by one goroutine at a time; while it has not returned, the source reads on
// into a bounded buffer at most. A source is safe for concurrent use by several homes.
type Source interface {
	Run(ctx context.Context, home id.Home, from event.Cursor, hand func(context.Context, Batch) error) error
}

// Options of a source. The zero value is sane.
type Options struct {
	Page    int           // most changes in a batch, but for those that can not be told apart in time; default 1000
	Silence time.Duration // how long a changefeed may say nothing before it is started again; default 30 s
	Metrics *Metrics      // nil: counted and thrown away
	Log     *slog.Logger  // nil: silent
}

// New returns the source of the engine that a database is.
func New(d *db.DB, o Options) Source {
	o = o.orDefaults()
	if d.Engine.Changefeeds {
		return &changefeed{db: d, o: o}
	}
	return &snapshot{db: d, o: o}
}

func (o Options) orDefaults() Options {
	o.Page, o.Silence = cmp.Or(o.Page, 1000), cmp.Or(o.Silence, 30*time.Second)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
