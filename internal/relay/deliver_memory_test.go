package relay_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// endless is a stream of made-up events, and the tables that its deliverer needs, in memory.
type endless struct {
	relay.DeliveryStore // nil: what is not here is not asked for

	head event.Position
	mu   sync.Mutex
	at   event.Progress
	rows map[event.Position]event.Delivery
	sub  event.Subscription
	news chan struct{}
}

func newEndless(head event.Position) *endless {
	return &endless{
		head: head, rows: map[event.Position]event.Delivery{}, news: make(chan struct{}, 1), at: event.Progress{Home: "eu", Subscription: "s", Digest: "0"},
		sub: event.Subscription{
			ID: "s", Revision: 1, State: event.Active, Homes: []id.Home{"eu"}, Sink: event.SinkSpec{Kind: "file", Settings: []byte(`{"name": "s"}`)},
		},
	}
}

func (e *endless) event(p event.Position) event.Event {
	ref := ledger.Ref{Ledger: "brand", Account: id.Account(fmt.Sprintf("user:%d", p%1000))}
	request := fmt.Sprintf(`{"kind": "credit", "ledger": "brand", "key": "k%d", "account": "%s", "amount": {"asset": "EUR", "minor": "1"}}`, p, ref.Account)
	return event.Event{Home: "eu", Position: p, AppendedAt: time.Unix(1, 0), Record: ledger.Record{
		Home: "eu", Request: []byte(request), Outcome: ledger.Outcome{
			Transaction: id.TransactionOf("brand", id.Key(fmt.Sprintf("k%d", p))), Ledger: "brand", Kind: ledger.KindCredit, Decided: ledger.Posted,
			Entries: []ledger.Entry{{Ref: ref, Sequence: int64(p/1000 + 1), Amount: money.FromInt64(1), Balance: money.FromInt64(int64(p))}},
		},
	}}
}

// Heads implements event.Stream.
func (e *endless) Heads(context.Context) ([]event.Head, error) {
	return []event.Head{{Home: "eu", Position: e.head}}, nil
}

// Head implements event.Stream.
func (e *endless) Head(context.Context, id.Home) (event.Position, error) { return e.head, nil }

// Events implements event.Stream.
func (e *endless) Events(_ context.Context, _ id.Home, after event.Position, limit int) (all []event.Event, err error) {
	for p := after + 1; p <= e.head && len(all) < limit; p++ {
		all = append(all, e.event(p))
	}
	return all, nil
}

// PositionOf implements event.Stream.
func (e *endless) PositionOf(context.Context, id.Home, id.Ledger, id.Transaction) (event.Position, error) {
	return 0, errs.ErrInternal
}

// PositionAt implements event.Stream.
func (e *endless) PositionAt(context.Context, id.Home, time.Time) (event.Position, error) {
	return 0, errs.ErrInternal
}

func (e *endless) EventsAt(_ context.Context, _ id.Home, positions []event.Position) (all []event.Event, err error) {
	for _, p := range slices.Sorted(slices.Values(positions)) {
		all = append(all, e.event(p))
	}
	return all, nil
}

func (e *endless) Subscribed(context.Context, id.Home) ([]event.Subscription, error) {
	return []event.Subscription{e.sub}, nil
}

func (e *endless) Secrets(context.Context, string) ([]event.Secret, error) { return nil, nil }

func (e *endless) RunningReplays(context.Context, id.Home) ([]event.Replay, error) { return nil, nil }

func (e *endless) TallyDeliveries(context.Context, id.Home) ([]event.Tally, error) { return nil, nil }

func (e *endless) SetHealth(context.Context, event.Lease, string, event.State, string) error {
	return nil
}

func (e *endless) Outstanding(context.Context, id.Home, string) (event.Outstanding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return event.Outstanding{Progress: e.at}, nil
}

func (e *endless) WriteCheckpoint(_ context.Context, c event.Checkpoint) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = c.Progress
	for _, d := range c.Put {
		e.rows[d.Position] = d
	}
	for _, p := range c.Drop {
		delete(e.rows, p)
	}
	select {
	case e.news <- struct{}{}:
	default:
	}
	return nil
}

func (e *endless) standing() (event.Progress, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at, len(e.rows)
}

// dropping is a sink that keeps nothing.
type dropping struct {
	shape  sink.Shape
	answer func(m sink.Message) error
}

func (d dropping) Shape() sink.Shape { return d.shape }

func (d dropping) Close() error { return nil }

func (d dropping) Deliver(_ context.Context, messages []sink.Message) (int, error) {
	for n, m := range messages {
		if err := d.answer(m); err != nil {
			return n, err
		}
	}
	return len(messages), nil
}

func deliverEndless(t testing.TB, e *endless, to sink.Sink, done func() bool) (peak uint64) {
	t.Helper()
	d := relay.NewDeliverers(relay.DeliverOptions{
		Store: e, Stream: e, Sinks: relay.Sinks{"file": func(event.SinkSpec, []event.Secret) (sink.Sink, error) { return to, nil }},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, event.Lease{Home: "eu", Epoch: 1}) }()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(3 * time.Minute)
	for !done() {
		select {
		case <-e.news:
		case <-look.C:
			runtime.GC() // so that it is what is held, and not what is thrown away
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		case <-deadline:
			t.Fatal("it does not get through")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return peak
}

// A subscription that is a million events behind holds no more in memory than one that is a thousand behind.
func TestDeliver_MemoryDoesNotDependOnHowFarBehind(t *testing.T) {
	behind := event.Position(1_000_000)
	if testing.Short() {
		behind = 50_000
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	e := newEndless(behind)
	started := time.Now()
	peak := deliverEndless(t, e, dropping{sink.Shape{Batch: 500, Parallel: 2}, func(sink.Message) error { return nil }}, func() bool {
		at, _ := e.standing()
		return at.Position == behind
	})
	at, rows := e.standing()
	took := time.Since(started)
	t.Logf("%d events in %s (%.0f/s), %.1f MiB of heap at most", behind, took, float64(behind)/took.Seconds(), float64(peak)/(1<<20))
	if at.Delivered != int64(behind) || rows != 0 {
		t.Errorf("%d delivered, %d rows", at.Delivered, rows)
	}
	if peak > before.HeapAlloc+64<<20 {
		t.Errorf("%d MiB of heap", peak>>20)
	}
}

// A sink that refuses everything, message by message, is not fed on: rows are bounded, and the position stops.
func TestDeliver_RowsAreBounded(t *testing.T) {
	e := newEndless(1_000_000)
	var stopped event.Position
	quiet := 0
	refuse := func(m sink.Message) error { return failing(sink.Retry) }
	deliverEndless(t, e, dropping{sink.Shape{Batch: 1, Parallel: 8}, refuse}, func() bool {
		at, rows := e.standing()
		if rows == relay.MaxDue && at.Position == stopped {
			quiet++
		} else {
			quiet = 0
		}
		stopped = at.Position
		return quiet > 5
	})
	if at, rows := e.standing(); rows > relay.MaxDue || at.Position > event.Position(relay.MaxDue) || at.Delivered != 0 {
		t.Errorf("%d rows, position %d", rows, at.Position)
	}
}
