// Package search is the read model of transactions: it is written from the change stream, and it finds what the journal has no index for.
//
// It promises that a search sees every transaction up to the position that it names, each once, and none in part; that paging through an
// answer shows what was there when it began, however much is written meanwhile; that a request does a bounded amount of work, whatever it
// asks for; and that building the model anew changes no answer and stops none. It relies on the stream, whose positions have no gap, on the
// lease of the home, which every transaction of the projector checks, and on the tables behind Store. Read query.go for what can be asked,
// service.go for how it is answered, projector.go for how the model is written, generation.go for how it is built anew.
package search

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Row is a transaction as the model has it.
type Row struct {
	Place
	Ledger      id.Ledger
	Transaction id.Transaction
	Kind        ledger.Kind
	Decided     ledger.Decided
	Reason      errs.Reason
	Reference   string
	Correlation string
	TraceID     string
	Metadata    ledger.Metadata
	Accounts    []id.Account // of its own ledger, each once
}

// RowOf reads an event.
func RowOf(e event.Event) (Row, error) {
	o := e.Record.Outcome
	var request struct {
		Metadata ledger.Metadata `json:"metadata"`
	}
	if err := json.Unmarshal(e.Record.Request, &request); err != nil {
		return Row{}, fmt.Errorf("read the request of transaction %s: %w", o.Transaction, err)
	}
	return Row{
		Place: Place{o.RecordedAt, e.Position}, Ledger: o.Ledger, Transaction: o.Transaction, Kind: o.Kind, Decided: o.Decided, Reason: o.Reason,
		Reference: e.Record.Reference, Correlation: e.Record.Correlation, TraceID: e.Record.TraceID, Metadata: request.Metadata, Accounts: AccountsOf(e.Record),
	}, nil
}

// AccountsOf returns the accounts of the record's own ledger under which it is found: those of its entries or, where it was declined, those
// that the command named. They are in order, each once.
func AccountsOf(r ledger.Record) []id.Account {
	var found []id.Account
	add := func(ref ledger.Ref) {
		if ref.Ledger == r.Outcome.Ledger {
			found = append(found, ref.Account)
		}
	}
	if len(r.Outcome.Entries) == 0 {
		for _, ref := range (event.Event{Home: r.Home, Record: r}).Accounts() {
			add(ref)
		}
	}
	for _, entry := range r.Outcome.Entries {
		add(entry.Ref)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Generation is one making of a home's model. Every event up to Position is in it. One of them serves.
type Generation struct {
	Number    int64
	Position  event.Position
	Serving   bool
	ChangedAt time.Time
}

// Generations are those of one home, oldest first.
type Generations []Generation

// Serving returns the one that answers searches; the zero value where there is none.
func (g Generations) Serving() Generation {
	for _, one := range g {
		if one.Serving {
			return one
		}
	}
	return Generation{}
}

// Building returns the newest one, where it is to serve next.
func (g Generations) Building() (Generation, bool) {
	if len(g) == 0 || g[len(g)-1].Serving {
		return Generation{}, false
	}
	return g[len(g)-1], true
}

// Obsolete returns one that nobody needs any more.
func (g Generations) Obsolete() (Generation, bool) {
	for _, one := range g[:max(0, len(g)-1)] {
		if !one.Serving {
			return one, true
		}
	}
	return Generation{}, false
}

// Store is what the model needs of the tables. Every error is an *errs.Error; methods with a lease fail with event.ErrFenced, and write
// nothing, where somebody else has it by now. It is safe for concurrent use.
type Store interface {
	Ledger(ctx context.Context, key id.Ledger) (ledger.Ledger, error)
	Head(ctx context.Context, home id.Home) (event.Position, error)
	Events(ctx context.Context, home id.Home, after event.Position, limit int) ([]event.Event, error)
	PositionOf(ctx context.Context, home id.Home, ledger id.Ledger, transaction id.Transaction) (event.Position, error)

	// Generations returns the generations of a home, oldest first.
	Generations(ctx context.Context, home id.Home) (Generations, error)
	// BeginGeneration makes a new one: it serves where there is no other.
	BeginGeneration(ctx context.Context, home id.Home) (Generation, error)
	// Project writes rows, and that everything up to a position is in a generation which was at after. It is ErrMoved where it was not.
	Project(ctx context.Context, lease event.Lease, generation int64, after, to event.Position, rows []Row) error
	// Serve lets a generation serve instead of the one that does, if it is as far; otherwise it is ErrMoved.
	Serve(ctx context.Context, lease event.Lease, generation int64) error
	// Purge removes up to limit transactions of a generation that does not serve, and the generation where none are left: then gone is true.
	Purge(ctx context.Context, lease event.Lease, generation int64, limit int) (gone bool, err error)

	// Scan reads a range of the model, and afterwards which generation serves.
	Scan(ctx context.Context, s Scan) (hits []Hit, serving int64, err error)
	// RecordsAt returns the journal rows of the ids, in their order.
	RecordsAt(ctx context.Context, l ledger.Ledger, ids []id.Transaction) ([]ledger.Record, error)
}

// ErrMoved says that a generation is not where the caller thought.
var ErrMoved = errs.New(errs.Aborted, "MOVED", "the generation of the search model is somewhere else")

// Tails say when positions grow. Package relay has them.
type Tails interface {
	// Wait returns when the position of a home is beyond the given one, or with the error of the context.
	Wait(ctx context.Context, home id.Home, after event.Position) error
	// Tell says how far a home is. It never waits.
	Tell(home id.Home, head event.Position)
}
