package relay_test

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// fate is what a sink does with one message.
type fate struct {
	kind  string // takes, flaky, poison, refuses
	times int    // of flaky: failures before it is taken
}

// Whatever a sink does, and wherever deliverers die: in the end every event that was committed and wanted has arrived or stands among the
// dead, each account's in order, and the books of the subscription say so.
func TestDeliver_LosesNothingWhateverFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		few(t, map[string]string{"postgresql": "25", "cockroachdb": "6"}[d.Engine])
		rapid.Check(t, func(rt *rapid.T) { checkDelivery(t, rt, d) })
	})
}

// few bounds the checks of a test that takes a second for each, unless the command line says how many.
func few(t *testing.T, checks string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	if before != f.DefValue {
		return
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", before) }) // it was one that it takes
}

func checkDelivery(t *testing.T, rt *rapid.T, d dbtest.Database) {
	h := newHouse(t, d)
	name := string(h.home)
	names := []id.Account{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(2, 6).Draw(rt, "accounts")]
	h.open(names...)
	h.execute(commands(rt, names, rapid.IntRange(10, 80).Draw(rt, "commands"))...)
	filter := event.Filter{AccountPrefixes: rapid.SampledFrom([][]string{nil, nil, {"a"}, {"a", "b"}}).Draw(rt, "prefixes")}
	h.sinks.shape = sink.Shape{
		Batch: rapid.IntRange(1, 6).Draw(rt, "batch"), Parallel: rapid.IntRange(1, 4).Draw(rt, "parallel"),
		Linger: time.Duration(rapid.IntRange(0, 2).Draw(rt, "linger")) * time.Millisecond,
	}
	limits := quick()
	limits.Page, limits.Window = rapid.IntRange(1, 20).Draw(rt, "page"), rapid.IntRange(1, 40).Draw(rt, "window")
	limits.MaxDue = rapid.IntRange(1, 30).Draw(rt, "rows")
	if rapid.Bool().Draw(rt, "impatient") {
		limits.Patience = 5 * time.Millisecond
	}
	h.lossy = rapid.Bool().Draw(rt, "lossy")
	fates := drawFates(rt, h.head, limits.Patience < time.Second)
	var down atomic.Int64
	down.Store(int64(rapid.IntRange(0, 4).Draw(rt, "down")))
	var answered, kill atomic.Int64
	var killed sync.Map
	h.sinks.set(func(_ string, m sink.Message, attempt int) error {
		n := answered.Add(1)
		if n == kill.Load() {
			if stop, ok := killed.Load("stop"); ok {
				stop.(func())()
			}
		}
		if n > 5 && down.Add(-1) >= 0 {
			return failing(sink.Down)
		}
		switch f := fates[m.Position]; {
		case f.kind == "poison":
			return failing(sink.Poison)
		case f.kind == "refuses", f.kind == "flaky" && attempt <= f.times:
			return failing(sink.Retry)
		}
		return nil
	})
	h.subscribe(name, filter)
	before := goleak.IgnoreCurrent()
	var all []*running
	for n := range rapid.IntRange(0, 4).Draw(rt, "deaths") {
		r := h.deliver(limits)
		all = append(all, r)
		dead := make(chan struct{})
		once := sync.OnceFunc(func() { close(dead) })
		killed.Store("stop", once)
		kill.Store(answered.Load() + int64(rapid.IntRange(1, 30).Draw(rt, fmt.Sprintf("death %d after", n))))
		h.sinks.until(rt, "it is time to die, or all is done", func() bool {
			select {
			case <-dead:
				return true
			default:
				at := h.place(rt, name)
				return at.Position == h.head && at.Due == 0
			}
		})
		switch rapid.SampledFrom([]string{"dies", "dies", "ends", "lives on"}).Draw(rt, fmt.Sprintf("death %d", n)) {
		case "dies":
			r.kill(rt)
		case "ends":
			r.end(rt)
		}
		h.takeOver() // who lives on does not know
		if rapid.Bool().Draw(rt, fmt.Sprintf("more after death %d", n)) {
			h.execute(commands(rt, names, 5)...)
		}
	}
	r := h.deliver(limits)
	all = append(all, r)
	h.settled(rt, name)
	for _, r := range all {
		r.end(rt)
	}
	h.prove(rt, name, filter)
	prove(rt, h, fates)
	if err := goleak.Find(before); err != nil {
		rt.Errorf("%v", err)
	}
}

// prove that nothing but what is refused is dead, unless it was flaky for too many attempts.
func prove(rt *rapid.T, h *house, fates map[event.Position]fate) {
	rows, err := h.Deliveries(h.t.Context(), event.DeliveryPage{Subscription: string(h.home), Limit: 1000})
	if err != nil {
		rt.Fatalf("%v", err)
	}
	for _, row := range rows {
		if f := fates[row.Position]; row.State != event.Dead || f.kind != "poison" && f.kind != "refuses" {
			rt.Errorf("position %d, which %s, is %s", row.Position, f.kind, row.State)
		}
	}
}

// drawFates draws one for each event. Where a sink is soon called failing, fewer are refused for ever than make that the fault of the sink.
func drawFates(rt *rapid.T, head event.Position, impatient bool) map[event.Position]fate {
	fates, refused := map[event.Position]fate{}, 0
	for p := event.Position(1); p <= head; p++ {
		f := fate{kind: rapid.SampledFrom([]string{"takes", "takes", "takes", "takes", "takes", "takes", "flaky", "poison", "refuses"}).Draw(rt, "fate")}
		if f.kind == "flaky" {
			f.times = rapid.IntRange(1, quick().Attempts-1).Draw(rt, "times")
		}
		if f.kind == "refuses" {
			if refused++; impatient && refused > 2 {
				f.kind = "takes"
			}
		}
		fates[p] = f
	}
	return fates
}

func commands(rt *rapid.T, names []id.Account, n int) (all []ledger.Command) {
	for range n {
		from, to := rapid.SampledFrom(names).Draw(rt, "from"), rapid.SampledFrom(names).Draw(rt, "to")
		if from == to {
			all = append(all, credit(to))
		} else {
			all = append(all, transfer(from, to)) // often declined
		}
	}
	return all
}

// Two that both believe they own a home do no harm: the older is told at its next checkpoint.
func TestDeliver_TheOlderOfTwoIsFenced(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b")
		h.subscribe("s", event.Filter{})
		older := h.deliver(quick())
		defer older.end(t)
		h.settled(t, "s")
		h.takeOver()
		newer := h.deliver(quick())
		defer newer.end(t)
		for range 20 {
			h.execute(credit("a"), credit("b"))
		}
		if err := older.wait(t); err != event.ErrFenced {
			t.Errorf("the older one ends with %v, want %v", err, event.ErrFenced)
		}
		h.settled(t, "s")
		newer.end(t)
		h.prove(t, "s", event.Filter{})
	})
}

func TestDeliver_ASlowSinkSlowsOnlyItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b")
		for range 20 {
			h.execute(credit("a"), credit("b"))
		}
		hang := make(chan struct{})
		h.sinks.set(func(name string, _ sink.Message, _ int) error {
			if name == "hangs" {
				<-hang
			}
			return nil
		})
		h.subscribe("hangs", event.Filter{})
		h.subscribe("runs", event.Filter{})
		r := h.deliver(quick())
		defer r.end(t)
		h.settled(t, "runs")
		if p := h.place(t, "hangs"); p.Position != 0 {
			t.Errorf("the one that hangs is at %d", p.Position)
		}
		close(hang)
		h.settled(t, "hangs")
		r.end(t)
		h.prove(t, "hangs", event.Filter{})
		h.prove(t, "runs", event.Filter{})
	})
}

var _ relay.Runner = (*relay.Deliverers)(nil)
