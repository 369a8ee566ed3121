// Package event is the change stream as its consumers see it: what an event is, who wants which, and how far everybody is.
//
// An event is a journal row on its way out. Its id is that of the transaction, so it is the same in every delivery; its position is its place
// in the stream of its home, from 1 and without gaps; the sequences of its entries say where it stands on each account. The package holds
// types and pure functions alone: feed finds out what was committed, relay writes the order down and delivers, store keeps it.
package event

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Position is a place in the stream of one home. The first event has 1; 0 is before all.
type Position int64

// Cursor is where the feed of an engine goes on. Only the source that made it can read it; "" is the beginning.
type Cursor string

// Event is a journal row with its place in the stream of a home. A row that has entries on accounts of several homes is in the stream of each,
// and is the same event in all of them.
type Event struct {
	Home       id.Home // of the stream; Record.Home is that of the journal row
	Position   Position
	AppendedAt time.Time
	Record     ledger.Record
	Test       bool // made for a test of a sink; it is in no journal
}

// Head is how far the stream of a home is.
type Head struct {
	Home     id.Home
	Position Position
	At       time.Time // when the newest event was appended; zero where there is none
}

// Stream reads what relays have written down. Every method is safe for concurrent use, and every error is an *errs.Error.
type Stream interface {
	// Heads returns the heads of all homes that have a stream, by home.
	Heads(ctx context.Context) ([]Head, error)
	// Head returns the newest position in the stream of a home, or 0 where there is none. It asks that home alone.
	Head(ctx context.Context, home id.Home) (Position, error)
	// Events returns the events of a home after a position, in order, at most limit of them.
	Events(ctx context.Context, home id.Home, after Position, limit int) ([]Event, error)
	// PositionOf returns the place of a transaction, or 0 where it has not left yet.
	PositionOf(ctx context.Context, home id.Home, ledger id.Ledger, transaction id.Transaction) (Position, error)
	// PositionAt returns the position of the last event that was appended before a time, or 0.
	PositionAt(ctx context.Context, home id.Home, at time.Time) (Position, error)
}
