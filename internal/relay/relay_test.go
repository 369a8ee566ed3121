package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/store"
)

// bench is a ledger that moves money without end until it is told to stop.
type bench struct {
	*store.Store
	*commit.Committer
	d     *db.DB
	moved atomic.Int64
}

func newBench(t testing.TB, d *db.DB) *bench {
	t.Helper()
	s := store.New(d)
	b := &bench{Store: s, Committer: commit.New(s, commit.Options{}), d: d}
	t.Cleanup(func() { _ = b.Drain(context.WithoutCancel(t.Context())) })
	if _, err := b.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []id.Account{"a", "b", "c"} {
		b.do(t, ledger.Command{Kind: ledger.KindOpen, Key: "open/" + id.Key(a), Account: a, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}})
	}
	return b
}

func (b *bench) do(t testing.TB, c ledger.Command) {
	c.Ledger = "brand"
	if o, err := ledger.Do(t.Context(), b, c); (err != nil || o.Decided != ledger.Posted) && t.Context().Err() == nil {
		t.Errorf("%s: %s %s %v", c.Key, o.Decided, o.Reason, err)
	}
	b.moved.Add(1)
}

// move keeps clients moving money until stop returns.
func (b *bench) move(t *testing.T, name string) (stop func()) {
	var clients sync.WaitGroup
	ended := make(chan struct{})
	for client := range 4 {
		clients.Go(func() {
			names := []id.Account{"a", "b", "c"}
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				case <-t.Context().Done(): // the test has failed
					return
				default:
				}
				b.do(t, ledger.Command{
					Kind: ledger.KindTransfer, Key: id.Key(fmt.Sprintf("%s/%d/%d", name, client, n)), Account: names[(client+n)%3], Counter: names[(client+n+1)%3],
					Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
				})
			}
		})
	}
	stop = sync.OnceFunc(func() { close(ended); clients.Wait() })
	t.Cleanup(stop)
	return stop
}

// holds wants the stream to become the journal: all of it, once, and in order on each account.
func (b *bench) holds(t *testing.T, tails *relay.Tails) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tails.Wait(ctx, "eu", event.Position(b.moved.Load()-1)); err != nil {
		head, _ := b.Head(t.Context(), "eu")
		t.Fatalf("the stream has %d of %d events: %v", head, b.moved.Load(), err)
	}
	sequences := map[ledger.Ref]int64{}
	seen := map[id.Transaction]bool{}
	for after := event.Position(0); ; {
		page, err := b.Events(ctx, "eu", after, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if seen[e.Record.Outcome.Transaction] {
				t.Errorf("%s stands there twice", e.Record.Outcome.Transaction)
			}
			seen[e.Record.Outcome.Transaction] = true
			for _, line := range e.Record.Outcome.Entries {
				if sequences[line.Ref]++; line.Sequence != sequences[line.Ref] {
					t.Fatalf("position %d: entry %d of %s, want %d", e.Position, line.Sequence, line.Ref, sequences[line.Ref])
				}
			}
		}
		after += event.Position(len(page))
	}
	if len(seen) != int(b.moved.Load()) {
		t.Errorf("%d events for %d commands", len(seen), b.moved.Load())
	}
}

// node is a relay with its own tails and registry, as a process has it.
type node struct {
	tails    *relay.Tails
	registry *prometheus.Registry
	stop     func()
}

func start(t testing.TB, d *db.DB, name string, runners ...relay.Runner) *node {
	t.Helper()
	n, s, log := &node{registry: prometheus.NewRegistry()}, store.New(d), slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", name)
	var listen relay.Listen
	if d.Engine.Notifies {
		listen = func(ctx context.Context, told func()) error { return d.Listen(ctx, "meridian_stream", told) }
	}
	n.tails = relay.NewTails(s, listen, d.Engine.Poll, log)
	r := relay.New(relay.Options{
		Store: s, Source: feed.New(d, feed.Options{}), Tails: n.tails, Owner: name, Runners: runners, Metrics: relay.NewMetrics(n.registry), Log: log,
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	running.Go(func() { n.tails.Run(ctx) })
	n.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(n.stop)
	return n
}

// value adds up what the node measures under a name.
func (n *node) value(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := n.registry.Gather()
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

// until waits for what has no signal: a metric, another process.
func until(t *testing.T, what string, within time.Duration, holds func() bool) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		switch took := time.Since(began); {
		case holds():
			return took
		case took > within:
			t.Fatalf("not after %s: %s", took, what)
		}
	}
}

func (n *node) works(t *testing.T) func() bool {
	return func() bool { return n.value(t, "meridian_relay_lease_held") == 1 }
}

// runnerFunc is a part that works under the lease.
type runnerFunc func(ctx context.Context, lease event.Lease) error

func (f runnerFunc) Run(ctx context.Context, lease event.Lease) error { return f(ctx, lease) }

func TestRelay_AnotherTakesOverFromOneThatStallsAndNothingIsLost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBench(t, d.DB)
		proxy := dbtest.NewProxy(t, d.URL)
		slow, err := db.Open(t.Context(), db.Options{URL: proxy.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(slow.Close)
		stop := b.move(t, "first")
		first := start(t, slow, "first")
		until(t, "the first works", 10*time.Second, first.works(t))
		until(t, "it appends", time.Minute, func() bool { return first.value(t, "meridian_stream_appended_total") > 0 })
		second := start(t, d.DB, "second")
		proxy.Stall()
		took := until(t, "the second takes over", 10*time.Second, second.works(t))
		if second.value(t, "meridian_relay_takeovers_total") != 1 {
			t.Error("the takeover is not counted")
		}
		until(t, "the first notices, and hangs up on a line that is dead", 5*time.Second, func() bool { return !first.works(t)() })
		proxy.Heal()
		stop()
		b.holds(t, second.tails)
		t.Logf("took over after %s; %d events", took, b.moved.Load())
	})
}

func TestRelay_LetsGoAtOnceAndLeavesNothingBehind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBench(t, d.DB)
		before := goleak.IgnoreCurrent()
		var runs atomic.Int32
		first := start(t, d.DB, "first", runnerFunc(func(ctx context.Context, _ event.Lease) error {
			if runs.Add(1) == 1 {
				return fmt.Errorf("the first attempt fails")
			}
			<-ctx.Done()
			return nil
		}))
		b.holds(t, first.tails)
		until(t, "the runner starts again", 10*time.Second, func() bool { return runs.Load() == 2 })
		first.stop()
		goleak.VerifyNone(t, before)
		stop := b.move(t, "between") // while nobody listens
		time.Sleep(100 * time.Millisecond)
		stop()
		second := start(t, d.DB, "second")
		until(t, "the second works at once", 3*time.Second, second.works(t))
		if second.value(t, "meridian_relay_takeovers_total") != 0 {
			t.Error("a lease that was released counts as taken over")
		}
		b.holds(t, second.tails)
	})
}

// A part that finds the lease lost ends all the others.
func TestRelay_APartThatIsFencedEndsTheTenure(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		newBench(t, d.DB)
		epochs := make(chan int64, 2)
		start(t, d.DB, "first", runnerFunc(func(ctx context.Context, lease event.Lease) error {
			epochs <- lease.Epoch
			if lease.Epoch == 1 {
				return event.ErrFenced
			}
			<-ctx.Done()
			return nil
		}))
		for want := int64(1); want <= 2; want++ {
			select {
			case got := <-epochs:
				if got != want {
					t.Errorf("epoch %d, want %d", got, want)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("epoch %d never began", want)
			}
		}
	})
}

// Tails of a node that does not write hear of it by the means of the engine.
func TestTails_HearOfAppendsOfOtherNodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		tenure, taken, err := s.Acquire(t.Context(), "eu", "writer", time.Hour)
		if err != nil || !taken {
			t.Fatal(taken, err)
		}
		far := start(t, d.DB, "reader")
		var slowest time.Duration
		for n := range event.Position(20) {
			waiting, told := make(chan struct{}), make(chan error)
			go func() {
				close(waiting)
				told <- far.tails.Wait(t.Context(), "eu", n)
			}()
			<-waiting
			change := event.Change{Ledger: "brand", Transaction: id.TransactionOf("brand", id.Key(fmt.Sprint(n)))}
			if _, _, err := s.Append(t.Context(), tenure.Lease, []event.Change{change}, ""); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := <-told; err != nil {
				t.Fatal(err)
			}
			if n > 0 { // the listener may still be on its way before the first
				slowest = max(slowest, time.Since(began))
			}
		}
		if slowest > 900*time.Millisecond {
			t.Errorf("the slowest heard of it after %s: that is the floor", slowest)
		}
	})
}
