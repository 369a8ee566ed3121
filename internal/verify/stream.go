package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// What the change stream promises of a home is held against the journal in one reading of its positions, in their order (this file). On the
// way, what was delivered to each subscription is added up again (stream_delivery.go), and what the search model has to say is told
// (stream_search.go), and that what touches several homes left through each (stream_abroad.go). Whether every account left in its order is
// asked of its entries (stream_order.go). All of that is about homes as wholes: where ledgers are named, the order of their accounts alone
// is verified.

// home is the stream of one home, as it is read.
type home struct {
	name        id.Home
	leased      bool           // there is a relay row
	head        event.Position // as it says
	last        event.Position // as the positions say
	covered     time.Time      // what was recorded long before has left; zero where nobody says
	newest      time.Time      // recorded, of what has left
	due         int64          // journal rows that have not
	oldest      time.Time
	subscribers []*subscriber
	search      searched
}

const sqlHomesOf = `
SELECT home FROM relay UNION SELECT home FROM ledger UNION SELECT home FROM progress UNION SELECT home FROM search_state ORDER BY home`

const sqlRelay = `SELECT head, cursor FROM relay WHERE home = $1`

// discoverStreams finds the homes, which are few, and what their streams are held against.
func (r *run) discoverStreams(ctx context.Context) error {
	names, err := pgx.CollectRows(r.query(ctx, sqlHomesOf), pgx.RowTo[id.Home])
	if err != nil {
		return fmt.Errorf("read the homes: %w", err)
	}
	for _, b := range r.books {
		if !slices.Contains(names, b.home) {
			names = append(names, b.home)
		}
	}
	for _, name := range names {
		h := &home{name: name}
		var cursor string
		err := r.conn.QueryRow(ctx, sqlRelay, name).Scan(&h.head, &cursor)
		if h.leased = err == nil; err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("read the relay of %s: %w", name, err)
		}
		if err := errors.Join(r.discoverCover(ctx, h, cursor), r.discoverSubscribers(ctx, h), r.discoverSearch(ctx, h)); err != nil {
			return err
		}
		r.homes = append(r.homes, h)
	}
	return nil
}

// A row with entries in several homes is in the stream of each, so that the home of the journal row is that of its ledger. LIMIT 1 leaves one
// way to find it, as for targets.
const sqlStream = `
SELECT s.position, s.ledger_id, s.transaction_id, coalesce(j.home, ''), coalesce(j.kind, ''), coalesce(j.outcome, ''), coalesce(j.reason, ''),
    j.detail, j.entries, j.request, coalesce(j.reference, ''), coalesce(j.correlation_id, ''), coalesce(j.recorded_at, s.appended_at)
FROM (SELECT home, position, ledger_id, transaction_id, appended_at FROM stream WHERE home = $1 AND position >= $2 ORDER BY position LIMIT $3 OFFSET $4) s
LEFT JOIN ledger l ON l.id = s.ledger_id
LEFT JOIN LATERAL (SELECT * FROM journal WHERE home = l.home AND ledger_id = s.ledger_id AND id = s.transaction_id LIMIT 1) j ON true
ORDER BY s.position`

// fact is a position with its journal row.
type fact struct {
	position    event.Position
	ledger      id.Ledger
	transaction id.Transaction
	home        id.Home // of the journal row; empty where there is none
	row
}

func (f *fact) into() []any {
	return []any{
		&f.position, &f.ledger, (*[16]byte)(&f.transaction), &f.home, &f.kind, &f.outcome, &f.reason, &f.detail, &f.entries, &f.request,
		&f.reference, &f.correlation, &f.recordedAt,
	}
}

// stream reads the positions of one home.
func (r *run) stream(ctx context.Context, h *home) error {
	var f fact
	began := false
	h.last = 0
	from := func() []any { return []any{h.name, f.position} }
	err := r.paged(ctx, "stream", sqlStream, &began, from, f.into(), func() error {
		r.looked(&r.checks.stream)
		where := Finding{Home: h.name, Position: int64(f.position), Ledger: f.ledger, Transaction: f.transaction}
		if f.position != h.last+1 {
			where.Message = fmt.Sprintf("position %d follows position %d", f.position, h.last)
			r.find(&r.checks.stream, where)
		}
		h.last = f.position
		if f.home == "" {
			where.Message = "the stream has a transaction that the journal has not"
			r.find(&r.checks.stream, where)
			return nil
		}
		e, err := f.event(h.name)
		if err != nil {
			where.Message = fmt.Sprintf("its journal row can not be read: %v", err)
			r.find(&r.checks.stream, where)
			return nil
		}
		if !r.concerns(h, e) {
			where.Message = "the transaction has nothing to do with this home"
			r.find(&r.checks.stream, where)
		}
		if f.home == h.name {
			if f.recordedAt.After(h.newest) {
				h.newest = f.recordedAt
			}
			h.search.tell(r, &f, e)
		} else if r.touches(e, h.name) {
			r.leave(kept, h, f.ledger, f.transaction, f.recordedAt)
		}
		if !r.searching {
			for _, s := range h.subscribers {
				s.passes(e)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if h.head != h.last {
		r.find(&r.checks.stream, Finding{
			Home: h.name, Position: int64(h.last), Message: fmt.Sprintf("the relay says that position %d is its newest, which is position %d", h.head, h.last),
		})
	}
	return nil
}

// concerns tells whether an event belongs into the stream of a home: its journal row or one of its accounts is there.
func (r *run) concerns(h *home, e event.Event) bool {
	return e.Record.Home == h.name || r.touches(e, h.name)
}

// touches tells whether an event has entries at a home.
func (r *run) touches(e event.Event, home id.Home) bool {
	return slices.ContainsFunc(e.Record.Outcome.Entries, func(entry ledger.Entry) bool { return r.assets[entry.Ref.Ledger].home == home })
}

// event is the fact as the stream knows it: as much of it as filters see.
func (f *fact) event(home id.Home) (event.Event, error) {
	e := event.Event{Home: home, Position: f.position}
	o := ledger.Outcome{
		Ledger: f.ledger, Transaction: f.transaction, Kind: ledger.Kind(f.kind), Decided: ledger.Decided(f.outcome),
		Reason: errs.Reason(f.reason), RecordedAt: f.recordedAt.UTC(),
	}
	var lines []line
	if err := json.Unmarshal(f.entries, &lines); err != nil {
		return e, fmt.Errorf("read its entries: %w", err)
	}
	for _, l := range lines {
		if l.Ledger == "" {
			l.Ledger = f.ledger
		}
		o.Entries = append(o.Entries, ledger.Entry{Ref: ledger.Ref{Ledger: l.Ledger, Account: l.Account}, Sequence: l.Sequence})
	}
	if len(f.detail) > 0 {
		var detail struct {
			Facts   map[string]string
			Account *struct {
				Status ledger.Status `json:"status"`
			}
			Hold *struct {
				From id.Account `json:"from"`
			}
			Step *ledger.Transition
		}
		if err := json.Unmarshal(f.detail, &detail); err != nil {
			return e, fmt.Errorf("read its detail: %w", err)
		}
		o.Detail, o.Step = detail.Facts, detail.Step
		if a := detail.Account; a != nil {
			o.Account = &ledger.Account{Status: a.Status}
		}
		if h := detail.Hold; h != nil {
			o.Hold = &ledger.Hold{From: h.From}
		}
	}
	e.Record = ledger.Record{Home: f.home, Request: slices.Clone(f.request), Reference: f.reference, Correlation: f.correlation, Outcome: o}
	return e, nil
}

// eachHome runs a pass over the streams; not where ledgers are named.
func (r *run) eachHome(ctx context.Context, pass func(*run, context.Context, *home) error) error {
	if r.scope != nil {
		return nil
	}
	for _, h := range r.homes {
		if err := pass(r, ctx, h); err != nil {
			return err
		}
	}
	return nil
}
