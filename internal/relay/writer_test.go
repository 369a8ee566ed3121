package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
)

func changeOf(n int) event.Change {
	return event.Change{Home: "eu", Ledger: "brand", Transaction: id.TransactionOf("brand", id.Key(strconv.Itoa(n))), RecordedAt: time.Now()}
}

func changesOf(from, to int) (all []event.Change) {
	for n := from; n < to; n++ {
		all = append(all, changeOf(n))
	}
	return all
}

// memoryStream is a stream that loses answers and connections where a test says so.
type memoryStream struct {
	mu      sync.Mutex
	list    []id.Transaction
	cursor  event.Cursor
	appends []int // sizes
	fenced  bool
	trouble func() (before, after error)
	delay   time.Duration
}

func (m *memoryStream) Append(ctx context.Context, _ event.Lease, changes []event.Change, cursor event.Cursor) (event.Position, int, error) {
	if sleep(ctx, m.delay) != nil {
		return 0, 0, errs.ErrCanceled
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fenced {
		return 0, 0, event.ErrFenced
	}
	var after error
	if m.trouble != nil {
		var before error
		if before, after = m.trouble(); before != nil {
			return 0, 0, before
		}
	}
	m.appends = append(m.appends, len(changes))
	fresh := 0
	for _, c := range changes {
		if !slices.Contains(m.list, c.Transaction) {
			m.list = append(m.list, c.Transaction)
			fresh++
		}
	}
	if cursor != "" {
		m.cursor = cursor
	}
	return event.Position(len(m.list)), fresh, after
}

func (m *memoryStream) state() ([]id.Transaction, event.Cursor, []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list), m.cursor, slices.Clone(m.appends)
}

type sourceFunc func(ctx context.Context, from event.Cursor, hand func(context.Context, feed.Batch) error) error

func (f sourceFunc) Run(ctx context.Context, _ id.Home, from event.Cursor, hand func(context.Context, feed.Batch) error) error {
	return f(ctx, from, hand)
}

func newWriter(source feed.Source, to Appender, registry prometheus.Registerer) *writer {
	return &writer{
		source: source, to: to, lease: event.Lease{Home: "eu", Owner: "a", Epoch: 1}, tell: func(event.Position) {}, metrics: NewMetrics(registry),
		log: slog.New(slog.DiscardHandler),
	}
}

// A source repeats, breaks in the middle and starts again; the database fails before and after the effect. The stream is the journal.
func TestWriter_WritesTheJournalWhateverBreaks(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { writesTheJournal(t, seed) })
	}
}

func writesTheJournal(t *testing.T, seed uint64) {
	database, feeding := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	total := 1 + feeding.IntN(60)
	stream := &memoryStream{trouble: func() (before, after error) {
		switch database.IntN(6) {
		case 0:
			return errs.ErrUnavailable, nil
		case 1:
			return nil, errs.ErrOutcomeUnknown
		}
		return nil, nil
	}}
	ctx, stop := context.WithTimeout(t.Context(), 24*time.Hour)
	defer stop()
	source := sourceFunc(func(ctx context.Context, from event.Cursor, hand func(context.Context, feed.Batch) error) error {
		n, _ := strconv.Atoi(string(from))
		n = max(0, n-feeding.IntN(10)) // a feed may begin earlier than asked
		for n < total {
			if feeding.IntN(5) == 0 {
				return errs.ErrUnavailable
			}
			next := min(total, n+1+feeding.IntN(9))
			b := feed.Batch{Changes: changesOf(n, next)}
			if feeding.IntN(2) == 0 {
				b.Cursor = event.Cursor(strconv.Itoa(next))
			}
			if err := hand(ctx, b); err != nil {
				return err
			}
			n = next
		}
		for { // heartbeats
			if err := hand(ctx, feed.Batch{Cursor: event.Cursor(strconv.Itoa(total)), At: time.Now()}); err != nil {
				return err
			}
			if list, cursor, _ := stream.state(); len(list) == total && string(cursor) == strconv.Itoa(total) {
				stop()
			}
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
		}
	})
	if err := newWriter(source, stream, nil).run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("seed %d: the writer ended with %v", seed, err)
	}
	list, cursor, _ := stream.state()
	var want []id.Transaction
	for _, c := range changesOf(0, total) {
		want = append(want, c.Transaction)
	}
	if !slices.Equal(list, want) || string(cursor) != strconv.Itoa(total) {
		t.Fatalf("seed %d: the stream has %d of %d changes in this order, and cursor %q", seed, len(list), total, cursor)
	}
}

// The cursor is never ahead of what is in the stream, also where a hand-over takes several appends.
func TestWriter_TheCursorWaitsForItsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &memoryStream{delay: time.Second}
		source := sourceFunc(func(ctx context.Context, _ event.Cursor, hand func(context.Context, feed.Batch) error) error {
			if err := hand(ctx, feed.Batch{Changes: changesOf(0, 2*batchBound+1), Cursor: "end"}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newWriter(source, stream, nil).run(ctx) }()
		for _, want := range []event.Cursor{"", "", "end"} {
			time.Sleep(time.Second)
			synctest.Wait()
			if list, cursor, _ := stream.state(); cursor != want {
				t.Errorf("after %d changes the cursor is %q, want %q", len(list), cursor, want)
			}
		}
		stop()
		<-done
	})
}

func TestWriter_WhatGathersDuringAnAppendLeavesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &memoryStream{delay: time.Second}
		source := sourceFunc(func(ctx context.Context, _ event.Cursor, hand func(context.Context, feed.Batch) error) error {
			for n := range 100 {
				if err := hand(ctx, feed.Batch{Changes: changesOf(n, n+1), Cursor: event.Cursor(strconv.Itoa(n))}); err != nil {
					return err
				}
				if n == 0 {
					time.Sleep(time.Millisecond) // the first is on its way
				}
			}
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newWriter(source, stream, nil).run(ctx) }()
		time.Sleep(time.Minute)
		if _, cursor, appends := stream.state(); !slices.Equal(appends, []int{1, 99}) || cursor != "99" {
			t.Errorf("appends of %v up to cursor %s, want the first alone and the others together", appends, cursor)
		}
		stop()
		<-done
	})
}

func TestWriter_AFullBacklogHoldsTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &memoryStream{delay: time.Hour}
		handed := 0
		source := sourceFunc(func(ctx context.Context, _ event.Cursor, hand func(context.Context, feed.Batch) error) error {
			for {
				if err := hand(ctx, feed.Batch{Changes: changesOf(0, batchBound)}); err != nil {
					return err
				}
				handed++
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newWriter(source, stream, nil).run(ctx) }()
		synctest.Wait()
		if bound := backlogBound/batchBound + 1; handed != bound {
			t.Errorf("%d batches were taken while the first is on its way, want %d", handed, bound)
		}
		stop()
		<-done
	})
}

func TestWriter_AFencedOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &memoryStream{}
		source := sourceFunc(func(ctx context.Context, _ event.Cursor, hand func(context.Context, feed.Batch) error) error {
			for n := 0; ; n++ {
				if n == 3 {
					stream.mu.Lock()
					stream.fenced = true
					stream.mu.Unlock()
				}
				if err := hand(ctx, feed.Batch{Changes: changesOf(n, n+1)}); err != nil {
					return err
				}
				synctest.Wait()
			}
		})
		if err := newWriter(source, stream, nil).run(t.Context()); !errors.Is(err, event.ErrFenced) {
			t.Errorf("it ended with %v, want %v", err, event.ErrFenced)
		}
		if list, _, _ := stream.state(); len(list) != 3 {
			t.Errorf("%d changes are in the stream, want 3", len(list))
		}
	})
}

func TestWriter_Measures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, registry, runs := &memoryStream{}, prometheus.NewRegistry(), 0
		source := sourceFunc(func(ctx context.Context, _ event.Cursor, hand func(context.Context, feed.Batch) error) error {
			if runs++; runs == 1 {
				return fmt.Errorf("read: %w", errs.ErrUnavailable)
			}
			_ = hand(ctx, feed.Batch{Changes: changesOf(0, 5), At: time.Now()})
			synctest.Wait()
			_ = hand(ctx, feed.Batch{Changes: changesOf(3, 6)})
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, stop := context.WithCancel(t.Context())
		w := newWriter(source, stream, registry)
		done := make(chan error)
		go func() { done <- w.run(ctx) }()
		time.Sleep(time.Minute)
		for name, want := range map[string]float64{
			"meridian_stream_appended_total": 6, "meridian_stream_repeated_total": 2, "meridian_relay_feed_restarts_total": 1,
			"meridian_stream_lag_events": 0,
		} {
			if got := metric(t, registry, name); got != want {
				t.Errorf("%s: %g, want %g", name, got, want)
			}
		}
		if lag := metric(t, registry, "meridian_stream_lag_seconds"); lag < 59 || lag > 60 {
			t.Errorf("a feed that is silent for a minute lags %g seconds", lag)
		}
		stop()
		<-done
	})
}

// metric adds up what a registry has under a name.
func metric(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
