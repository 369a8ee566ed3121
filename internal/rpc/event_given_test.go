package rpc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// memoryStream is a stream of one home that tests append to. It counts how many events are lent out at once.
type memoryStream struct {
	t     testing.TB
	books *ledgertest.Model
	keys  int

	mu     sync.Mutex
	events []event.Event
	grown  chan struct{}
	reads  int
	most   int // events of one read
	err    error
}

func newMemoryStream(t testing.TB) *memoryStream {
	books, _ := wallets(t)
	return &memoryStream{t: t, books: books, grown: make(chan struct{})}
}

// credit appends the event of a credit to an account of shop-eu.
func (s *memoryStream) credit(account id.Account) event.Event {
	s.t.Helper()
	s.keys++
	c := ledger.Command{
		Kind: ledger.KindCredit, Ledger: "shop-eu", Account: account, Key: id.Key(fmt.Sprintf("credit-%d", s.keys)),
		Amount: &ledger.Money{Minor: money.FromInt64(5), Asset: "EUR"},
	}
	if _, err := ledger.Do(s.t.Context(), s.books, c); err != nil {
		s.t.Fatal(err)
	}
	record, err := s.books.Transaction(s.t.Context(), c.Ledger, c.ID())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.append(record)
}

func (s *memoryStream) append(record ledger.Record) event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := event.Event{
		Home: "eu", Position: event.Position(len(s.events) + 1), AppendedAt: time.Date(2026, 1, 1, 0, 0, len(s.events)+1, 0, time.UTC), Record: record,
	}
	s.events = append(s.events, e)
	close(s.grown)
	s.grown = make(chan struct{})
	return e
}

func (s *memoryStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *memoryStream) head() event.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return event.Position(len(s.events))
}

func (s *memoryStream) Head(_ context.Context, home id.Home) (event.Position, error) {
	if home != "eu" {
		return 0, nil
	}
	return s.head(), nil
}

func (s *memoryStream) Homes(context.Context) ([]id.Home, error) { return []id.Home{"eu", "us"}, nil }

func (s *memoryStream) Heads(context.Context) ([]event.Head, error) {
	return []event.Head{{Home: "eu", Position: s.head()}}, nil
}

func (s *memoryStream) Events(ctx context.Context, _ id.Home, after event.Position, limit int) ([]event.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if ctx.Err() != nil {
		return nil, errs.ErrCanceled.Because(ctx.Err())
	}
	page := s.events[min(int(after), len(s.events)):]
	page = slices.Clone(page[:min(limit, len(page))])
	s.reads, s.most = s.reads+1, max(s.most, len(page))
	return page, nil
}

func (s *memoryStream) PositionOf(context.Context, id.Home, id.Ledger, id.Transaction) (event.Position, error) {
	return 0, nil
}

func (s *memoryStream) PositionAt(_ context.Context, _ id.Home, at time.Time) (event.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.events) && s.events[n].AppendedAt.Before(at) {
		n++
	}
	return event.Position(n), nil
}

func (s *memoryStream) Wait(ctx context.Context, _ id.Home, after event.Position) error {
	for {
		s.mu.Lock()
		n, grown := event.Position(len(s.events)), s.grown
		s.mu.Unlock()
		if n > after {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// operators remembers what reached it, and answers as told.
type operators struct {
	event.Service
	created event.NewSubscription
	updated event.Amendment
	page    event.DeliveryPage
	err     error
}

func (o *operators) Create(_ context.Context, n event.NewSubscription) (event.Standing, *event.Secret, error) {
	o.created = n
	return event.Standing{Subscription: event.Subscription{ID: n.ID, State: event.Active, Homes: n.Homes, Sink: n.Sink}}, nil, o.err
}

func (o *operators) Update(_ context.Context, a event.Amendment) (event.Standing, error) {
	o.updated = a
	return event.Standing{Subscription: event.Subscription{ID: a.ID, State: event.Active, Sink: *a.Sink}}, o.err
}

func (o *operators) Deliveries(_ context.Context, page event.DeliveryPage) ([]event.Delivery, error) {
	o.page = page
	var found []event.Delivery
	for p := page.AfterPosition + 1; p <= 2500 && len(found) < page.Limit; p++ {
		found = append(found, event.Delivery{Home: "eu", Subscription: page.Subscription, Position: p, State: page.State})
	}
	return found, nil
}

// serveEvents serves a stream, and returns the base URL.
func serveEvents(t testing.TB, s *memoryStream, more func(*Options)) string {
	o := Options{Events: &operators{}, Stream: s, Tails: s}
	if more != nil {
		more(&o)
	}
	return serve(t, s.books, o)
}

func (s surface) events(t testing.TB, base string) *EventClient {
	return NewEventClient(httpClient(t, s.http2), base, s.options...)
}
