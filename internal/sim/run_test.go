package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

func TestRun_AFaithfulServicePassesEveryCheck(t *testing.T) {
	w, model := given(t)
	for range 2 { // the second time on books that the first has moved
		h := runUntil(t, &w, model, ring(model, model), Options{Reads: 0.3}, mixed)
		verdicts, totals := judge(t, h, w, model), h.Totals(time.Minute)
		wantPassed(t, verdicts)
		for _, v := range verdicts {
			if v.Status != Passed {
				t.Errorf("%s: %s: %q", v.Checker, v.Status, v.Notes)
			}
		}
		if got := verdicts["lost_write"].Looked; got != len(h.Calls) {
			t.Errorf("looked at %d answers, want %d", got, len(h.Calls))
		}
		if totals.FailedRequests != 0 || totals.Moved != 0 || totals.Unknown != 0 || totals.SlowRequests != 0 {
			t.Errorf("nothing failed, and the totals say %+v", totals)
		}
		if totals.Requests != totals.Commands+totals.Replays+totals.Reads || totals.Latency.TotalCount() != int64(totals.Acknowledged) {
			t.Errorf("%d requests, %d latencies of %+v", totals.Requests, totals.Latency.TotalCount(), totals)
		}
	}
}

// flaky is a node that refuses, hangs, loses what is asked or what is answered, and takes its time, as a seed draws it.
type flaky struct {
	ledger.Service
	mu     sync.Mutex
	random *rand.Rand
	lost   *atomic.Int64 // answers of what was done
}

func (f *flaky) disturb(ctx context.Context, do func() error) error {
	f.mu.Lock()
	roll, slow := f.random.IntN(100), time.Duration(f.random.IntN(2000))*time.Microsecond
	f.mu.Unlock()
	pause := func() {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
		}
	}
	switch {
	case roll < 5:
		return errs.ErrUnavailable
	case roll < 7: // never arrives
		<-ctx.Done()
		return errs.ErrDeadlineExceeded
	case roll < 15: // done, and nobody hears of it
		pause()
		err := do()
		f.lost.Add(1)
		pause()
		if err != nil {
			return err
		}
		return errs.ErrOutcomeUnknown
	case roll < 17: // done later, after the client went elsewhere
		time.AfterFunc(slow, func() { _ = do() })
		return errs.ErrUnavailable
	default:
		pause()
		err := do()
		pause()
		return err
	}
}

func (f *flaky) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	return through(ctx, f, func(ctx context.Context) ([]ledger.Result, error) { return f.Service.Execute(ctx, b) })
}

func (f *flaky) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	return through(ctx, f, func(ctx context.Context) (ledger.Account, error) { return f.Service.Account(ctx, ref, asOf) })
}

// through brings what a call found past the disturbance; the call may go on after its caller has given up.
func through[T any](ctx context.Context, f *flaky, call func(context.Context) (T, error)) (T, error) {
	brought := make(chan T, 1)
	err := f.disturb(ctx, func() error {
		found, err := call(context.WithoutCancel(ctx))
		brought <- found
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return <-brought, nil
}

// Whatever fails on the way, a faithful ledger passes every check.
func TestRun_WhateverFailsAFaithfulLedgerPasses(t *testing.T) {
	settled := 0
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w, model := given(t)
			w.Seed, w.across = seed, float64(seed%2)/5
			var lost atomic.Int64
			var nodes []ledger.Service
			for n := range 3 {
				nodes = append(nodes, &flaky{Service: model, random: rand.New(rand.NewPCG(seed, uint64(n))), lost: &lost})
			}
			o := Options{
				Attempt: 20 * time.Millisecond, Patience: 30 * time.Millisecond, Return: 5 * time.Millisecond, Reads: 0.3, Storm: int(seed % 4),
			}
			h := runUntil(t, &w, model, ring(nodes...), o, func(h *History) bool {
				return lost.Load() > 5 && h.Replays > 3 && (h.Totals(0).Unknown > 0 || o.Storm > 1) && len(h.Reads) > 10
			})
			h.Settle(t.Context(), model)
			totals := h.Totals(time.Second)
			settled += totals.Settled
			if totals.Settled != totals.Unknown || totals.Moved == 0 || totals.FailedRequests == 0 {
				t.Errorf("the totals say %+v", totals)
			}
			wantPassed(t, judge(t, h, w, model))
		})
	}
	if settled == 0 {
		t.Error("nothing had to be settled")
	}
}

func TestSettle_TellsWhatHadHappenedFromWhatHadNot(t *testing.T) {
	w, model := given(t)
	var calls atomic.Int64
	deaf := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
		switch calls.Add(1) % 4 {
		case 0: // never arrives
		case 1:
			if _, err := svc.Execute(ctx, b); err != nil {
				return nil, err
			}
		default:
			return svc.Execute(ctx, b)
		}
		<-ctx.Done()
		return nil, errs.ErrDeadlineExceeded
	}}
	states := func(h *History) map[State]int {
		n := map[State]int{}
		for _, c := range h.Calls {
			n[c.State]++
		}
		return n
	}
	h := runUntil(t, &w, model, ring(deaf), Options{Patience: 10 * time.Millisecond}, func(h *History) bool { return states(h)[Unknown] > 10 })
	wantFailed(t, map[string]Verdict{"unsettled": h.Unsettled()}, only("unsettled", "has no answer: DEADLINE_EXCEEDED"))
	wantPassed(t, map[string]Verdict{"double_effect": h.DoubleEffect(t.Context(), w, model, all), "linearizable": linearizable(h, w)})
	before := states(h)
	h.Settle(t.Context(), model)
	after := states(h)
	if after[Unknown] != 0 || after[Happened] == 0 || after[Late] == 0 || after[Acknowledged] != before[Acknowledged] {
		t.Errorf("before %v, after %v", before, after)
	}
	if totals := h.Totals(0); totals.Unknown != before[Unknown] || totals.Settled != before[Unknown] || totals.Acknowledged != before[Acknowledged] {
		t.Errorf("before %v, and the totals say %+v", before, totals)
	}
	wantPassed(t, judge(t, h, w, model))
}

func linearizable(h *History, w Workload) Verdict {
	v, _ := h.Linearizable(w, all)
	return v
}

func TestSettle_EndsWithItsContext(t *testing.T) {
	w, model := given(t)
	gone := faulty{model, func(context.Context, ledger.Service, ledger.Batch) ([]ledger.Result, error) {
		return nil, errs.ErrUnavailable
	}}
	h := runUntil(t, &w, model, ring(gone), Options{Patience: 20 * time.Millisecond}, func(h *History) bool { return len(h.Calls) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h.Settle(ctx, gone)
	if v := h.Unsettled(); v.Found != len(h.Calls) {
		t.Errorf("%d of %d are unsettled", v.Found, len(h.Calls))
	}
}

func TestRun_ALostAnswerIsAskedForElsewhereUnderTheSameKey(t *testing.T) {
	w, model := given(t)
	var calls atomic.Int64
	dying := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
		results, err := svc.Execute(ctx, b)
		switch n := calls.Add(1); {
		case n <= 20 || err != nil:
			return results, err
		case n%2 == 0: // executed, and nobody hears of it
			return nil, errs.ErrOutcomeUnknown
		default:
			return nil, errs.ErrUnavailable
		}
	}}
	h := runUntil(t, &w, model, ring(dying, model), Options{}, func(h *History) bool { return h.Totals(0).Moved > 0 })
	if totals := h.Totals(0); totals.Moved > totals.FailedRequests || totals.Worst == 0 || totals.Unknown > 0 {
		t.Errorf("the totals say %+v", totals)
	}
	wantPassed(t, judge(t, h, w, model))
}

// A client stays where it got an answer, and goes home when its own region answers again. Nobody waits for the probes in between: each client is
// driven away once.
func TestRun_AClientReturnsToItsRegion(t *testing.T) {
	w, model := given(t)
	var calls atomic.Int64
	own := outage{model, func() bool { return calls.Add(1) <= 20 }}
	regions := []Region{{Name: "here", Nodes: []Node{{"here", own}, {"there", model}}}}
	o := Options{Think: time.Millisecond, Return: 10 * time.Millisecond, Reads: 0.2}
	probes, failed := 0, 0
	h := runUntil(t, &w, model, regions, o, func(h *History) bool {
		last := map[uint16]uint8{} // the node that each client asked last
		probes, failed = 0, 0
		for _, a := range h.Attempts {
			switch {
			case a.What == Probe:
				probes++
			case !a.OK():
				failed++
			default:
				last[a.Client] = a.Node
			}
		}
		home := calls.Swap(0) > 20
		for _, node := range last {
			home = home && node == 0
		}
		return home
	})
	if failed == 0 || failed > h.Clients || failed+probes <= 20 {
		t.Errorf("%d clients had %d failed attempts and %d probes", h.Clients, failed, probes)
	}
	if len(h.Regions) != 2 || h.Regions[1] != "there" {
		t.Errorf("the regions are %q", h.Regions)
	}
	wantPassed(t, judge(t, h, w, model))
}

// outage is a service that is away for a time.
type outage struct {
	ledger.Service
	away func() bool
}

func (o outage) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	if o.away() {
		return nil, errs.ErrUnavailable
	}
	return o.Service.Execute(ctx, b)
}

func (o outage) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	if o.away() {
		return ledger.Account{}, errs.ErrUnavailable
	}
	return o.Service.Account(ctx, ref, asOf)
}

func TestRun_AStormSendsEachCommandAgain(t *testing.T) {
	for storm := range 4 {
		w, model := given(t)
		h := runUntil(t, &w, model, ring(model, model), Options{Storm: storm}, func(h *History) bool { return len(h.Calls) > 50 })
		sent := map[What]int{}
		for _, a := range h.Attempts {
			sent[a.What]++
		}
		if sent[Command] != len(h.Calls) || sent[Again] < storm*len(h.Calls) || h.Replays != sent[Again] {
			t.Errorf("storm %d: %d commands, attempts %v, %d replays", storm, len(h.Calls), sent, h.Replays)
		}
		wantPassed(t, judge(t, h, w, model))
	}
}

// Each row is a way in which tries of one key are not answered alike; all of them are seen while the load runs.
func TestRun_TriesThatAreNotAnsweredAlikeAreNoted(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(r *ledger.Result)
		want   string
	}{
		{"another time", func(r *ledger.Result) { r.Outcome.RecordedAt = r.Outcome.RecordedAt.Add(time.Minute) }, "a repeat got another answer: time"},
		{"as if it were new", func(r *ledger.Result) { r.Outcome.Replayed = false }, "was answered, and a repeat was executed as if it were new"},
		{"refused", func(r *ledger.Result) { *r = ledger.Result{Err: errs.ErrIdempotencyMismatch} }, "was refused: IDEMPOTENCY_MISMATCH"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, model := given(t)
			forgetful := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
				results, err := svc.Execute(ctx, b)
				if err == nil && results[0].Outcome.Replayed {
					row.change(&results[0])
				}
				return results, err
			}}
			h := runUntil(t, &w, model, ring(forgetful), Options{Storm: 1}, func(h *History) bool { return len(h.Different) > 0 })
			verdicts := judge(t, h, w, model)
			delete(verdicts, "lost_write") // the changed answer can come first, and then stands nowhere
			wantFailed(t, verdicts, only("wrong_answer", row.want))
		})
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	w, model := given(t)
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	stopping := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
		if calls.Add(1) == 50 {
			cancel()
		}
		return svc.Execute(ctx, b)
	}}
	h := Run(ctx, w, ring(stopping), Options{Clients: 4, Duration: time.Hour, Think: time.Millisecond})
	if h.Elapsed > time.Minute || h.Totals(0).Acknowledged == 0 || h.Totals(0).FailedRequests > 0 {
		t.Errorf("%+v in %s", h.Totals(0), h.Elapsed)
	}
	h.Settle(t.Context(), model)
	wantPassed(t, judge(t, h, w, model))
}

func TestPlayer_TheSameSeedMakesTheSameCommands(t *testing.T) {
	play := func(w Workload, client int) []string {
		_, model := given(t)
		p := w.player("run", client)
		var told []string
		for range 300 {
			c := p.next()
			o, err := ledger.Do(t.Context(), model, c)
			if err != nil {
				t.Fatalf("%s: %v", c.Canonical(), err)
			}
			p.answered(c, o)
			told = append(told, string(c.Canonical()))
		}
		return told
	}
	w, _ := given(t)
	first := play(w, 1)
	if !slices.Equal(first, play(w, 1)) {
		t.Error("the same seed and client made up other commands")
	}
	if slices.Equal(first, play(w, 2)) {
		t.Error("two clients make up the same commands")
	}
	w.Seed++
	if slices.Equal(first, play(w, 1)) {
		t.Error("another seed made up the same commands")
	}
}

func TestPlayer_ASharedPartOfTheCommandsGoesAcross(t *testing.T) {
	w, _ := given(t)
	w.across = 0.25
	p, across := w.player("run", 1), 0
	for range 2000 {
		if c := p.next(); c.Kind == ledger.KindPost {
			across++
			if c.Legs[2].Ledger == c.Ledger {
				t.Fatalf("%s stays in its ledger", c.Canonical())
			}
		}
	}
	if across < 450 || across > 650 { // the mix has a few of its own
		t.Errorf("%d of 2000 go across", across)
	}
}

func TestOpen_SaysWhatRefusesIt(t *testing.T) {
	w, _ := given(t)
	if err := w.Open(t.Context(), ledgertest.NewModel(time.Now)); !errors.Is(err, errs.ErrLedgerNotFound) {
		t.Errorf("without the ledgers: %v", err)
	}
}

// Each row is a way for the ledger to betray its clients while they work, and what the checks say of it.
func TestJudge_FindsABetrayal(t *testing.T) {
	var betrayed atomic.Bool
	once := func(results []ledger.Result, fits func(ledger.Outcome) bool) bool {
		return len(results) == 1 && results[0].Err == nil && !results[0].Outcome.Replayed && fits(results[0].Outcome) &&
			betrayed.CompareAndSwap(false, true)
	}
	transfer := func(o ledger.Outcome) bool { return o.Kind == ledger.KindTransfer && o.Decided == ledger.Posted }
	dry := func(ctx context.Context, svc ledger.Service, b ledger.Batch, fits func(ledger.Outcome) bool) ([]ledger.Result, error) {
		d := b
		d.DryRun = true
		if results, err := svc.Execute(ctx, d); err == nil && once(results, fits) {
			results[0].Outcome.DryRun = false
			return results, nil
		}
		return svc.Execute(ctx, b)
	}
	for _, row := range []struct {
		name    string
		execute func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error)
		want    map[string]string // and no other check fails but perhaps those that follow from it
		perhaps []string
	}{
		{"a command that was acknowledged is lost", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			return dry(ctx, svc, b, transfer)
		}, map[string]string{
			"lost_write": "was answered, and is not there", "double_effect": "its clients were told", "wrong_answer": "executed as if it were new",
		}, []string{"stale_read", "linearizable"}},
		{"a decline is forgotten", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			return dry(ctx, svc, b, func(o ledger.Outcome) bool { return o.Decided == ledger.Declined })
		}, map[string]string{"lost_write": "was answered, and is not there", "wrong_answer": "executed as if it were new"}, nil},
		{"a command is executed twice", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			results, err := svc.Execute(ctx, b)
			if err == nil && once(results, transfer) {
				again := b.Commands[0]
				again.Key += "-again"
				again.Amount = euros(1) // whatever the first one left, there is that much
				if _, err := svc.Execute(ctx, ledger.Batch{Commands: []ledger.Command{again}}); err != nil {
					return nil, err
				}
			}
			return results, err
		}, map[string]string{"double_effect": "which no client asked for"}, []string{"stale_read", "linearizable"}},
		{"a command is never answered", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			if strings.HasSuffix(string(b.Commands[0].Key), "-1-3") {
				betrayed.Store(true)
				return nil, errs.ErrUnavailable
			}
			return svc.Execute(ctx, b)
		}, map[string]string{"unsettled": "has no answer: UNAVAILABLE"}, nil},
		{"a client is refused for good", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			if strings.HasSuffix(string(b.Commands[0].Key), "-1-3") {
				betrayed.Store(true)
				return nil, errs.Invalid("key", "we do not like it")
			}
			return svc.Execute(ctx, b)
		}, map[string]string{"unsettled": "has no answer: INVALID_ARGUMENT", "wrong_answer": "was refused: INVALID_ARGUMENT"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			betrayed.Store(false)
			w, model := given(t)
			node := faulty{model, row.execute}
			h := runUntil(t, &w, model, ring(node), Options{Reads: 0.2}, func(*History) bool { return betrayed.Load() })
			verdicts := judge(t, h, w, model)
			for _, checker := range row.perhaps {
				delete(verdicts, checker)
			}
			wantFailed(t, verdicts, row.want)
		})
	}
}

func TestJudge_SaysWhenTheBooksCanNotBeRead(t *testing.T) {
	w, model := given(t)
	h := runUntil(t, &w, model, ring(model), Options{}, mixed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	verdicts, _ := h.Judge(ctx, w, model, Judging{})
	for _, v := range verdicts {
		if reads := slices.Contains([]string{"lost_write", "double_effect", "wrong_answer"}, v.Checker); reads != (v.Status == Failed) {
			t.Errorf("%s: %s %q", v.Checker, v.Status, v.Problems)
		}
	}
}
