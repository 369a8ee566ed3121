package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

// fake is a target that a test scripts.
type fake func(ctx context.Context, call int64) (Answer, error)

type scripted struct {
	calls atomic.Int64
	do    fake
}

func (s *scripted) Do(ctx context.Context, _ int, commands []ledger.Command) (Answer, error) {
	a, err := s.do(ctx, s.calls.Add(1))
	a.Posted = len(commands)
	return a, err
}

// within runs a load on scripted time.
func within(t *testing.T, l Load, do fake) Slice {
	t.Helper()
	l.Scenario, l.Accounts, l.Seed = Uniform, 100, seed
	l.Batch = max(l.Batch, 1)
	var s Slice
	synctest.Test(t, func(t *testing.T) {
		var err error
		if s, err = Run(t.Context(), &scripted{do: do}, l, Names("bench", 100), 0, nil); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// stalling answers in a millisecond, but stands still for a second, once, from one second after the start on.
func stalling() fake {
	var once sync.Once
	var start time.Time
	return func(context.Context, int64) (Answer, error) {
		once.Do(func() { start = time.Now() })
		if at := time.Since(start); at >= time.Second && at < 2*time.Second {
			time.Sleep(2*time.Second - at)
		}
		time.Sleep(time.Millisecond)
		return Answer{}, nil
	}
}

// About an eighth of the calls of four seconds are due while the target stands still, and wait half a second on average. One that counts
// from when it got to send sees a single slow call.
func TestRun_AFixedRateShowsAStallToEverybodyItKeptWaiting(t *testing.T) {
	s := within(t, Load{Clients: 1, Rate: 100, Duration: 4 * time.Second}, stalling())
	if s.Latency.Max < 1000 || s.Latency.Max > 1012 {
		t.Errorf("max %.1f ms, want 1001: the call that was due when the stall began", s.Latency.Max)
	}
	if s.Latency.P90 < 550 || s.Latency.P90 > 750 {
		t.Errorf("p90 %.1f ms, want about 650: 100 of 400 calls waited, evenly from nothing to a second", s.Latency.P90)
	}
	if s.Latency.P50 > 2 {
		t.Errorf("p50 %.1f ms: most calls saw nothing of it", s.Latency.P50)
	}
	if s.Service.P90 > 2 || s.Service.Max < 1000 {
		t.Errorf("as sent: p90 %.1f, max %.1f ms, want one slow call alone", s.Service.P90, s.Service.Max)
	}
	if s.Calls != 400 || s.PerSecond != 100 || s.Unanswered != 0 {
		t.Errorf("%d calls, %.1f/s, %d unanswered; want all 400", s.Calls, s.PerSecond, s.Unanswered)
	}
}

func TestRun_AClosedLoopOmitsTheStall(t *testing.T) {
	s := within(t, Load{Clients: 1, Duration: 4 * time.Second}, stalling())
	if s.Latency.P999 > 2 || s.Latency.Max < 1000 {
		t.Errorf("p99.9 %.1f, max %.1f ms, want one slow call alone", s.Latency.P999, s.Latency.Max)
	}
	if s.Service != nil {
		t.Error("a closed loop has one kind of latency")
	}
}

func TestRun_WarmUpDoesNotCount(t *testing.T) {
	for _, rate := range []float64{0, 10} {
		s := within(t, Load{Clients: 1, Rate: rate, WarmUp: time.Second, Duration: time.Second}, func(_ context.Context, call int64) (Answer, error) {
			if call < 10 {
				time.Sleep(100 * time.Millisecond)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
			return Answer{}, nil
		})
		if s.Latency.Max > 11 {
			t.Errorf("rate %g: max %.1f ms is from the warm-up", rate, s.Latency.Max)
		}
		if want := map[float64]int64{0: 100, 10: 10}[rate]; s.Calls < want-1 || s.Calls > want+1 {
			t.Errorf("rate %g: %d calls, want %d", rate, s.Calls, want)
		}
	}
}

// What was due and never answered counts, with the time it has waited: else the worst second of a run would be the one without latencies.
func TestRun_AFixedRateCountsCallsWithoutAnswer(t *testing.T) {
	s := within(t, Load{Clients: 4, Rate: 100, Duration: time.Second}, func(ctx context.Context, _ int64) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	})
	if s.Unanswered != 100 || s.Calls != 0 {
		t.Errorf("%d unanswered, %d answered; want 100 and none", s.Unanswered, s.Calls)
	}
	if low := float64(grace.Milliseconds()); s.Latency.P50 < low || s.Latency.Max < low+990 {
		t.Errorf("p50 %.0f, max %.0f ms; want 2500 and 3000", s.Latency.P50, s.Latency.Max)
	}
}

func TestRun_IsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		deaf := func(ctx context.Context, _ int64) (Answer, error) {
			<-ctx.Done()
			return Answer{}, ctx.Err()
		}
		l := Load{Scenario: Uniform, Clients: 3, Batch: 1, Duration: time.Second}
		s, err := Run(t.Context(), &scripted{do: deaf}, l, Names("bench", 10), 0, nil)
		if err != nil || s.Calls != 0 || s.Unanswered != 3 || s.Latency.P50 < 2999 {
			t.Errorf("%+v, %v; want one call a client that waited three seconds for nothing", s, err)
		}
		if took := time.Since(started); took != l.Duration+grace {
			t.Errorf("it took %s, want the window and %s", took, grace)
		}
	})
}

func TestRun_ErrorsAreNoLatencies(t *testing.T) {
	s := within(t, Load{Clients: 1, Rate: 100, Duration: time.Second}, func(_ context.Context, call int64) (Answer, error) {
		if call%2 == 0 {
			return Answer{}, errs.ErrOverloaded
		}
		time.Sleep(5 * time.Millisecond)
		return Answer{}, nil
	})
	if s.Errors["OVERLOADED"] != 50 || s.Calls != 50 || s.Posted != 50 || s.Unanswered != 0 {
		t.Errorf("%+v, want 50 errors and 50 answers", s)
	}
	if s.Latency.P50 < 4.9 {
		t.Errorf("p50 %.1f ms: failing fast counted as being fast", s.Latency.P50)
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		slow := func(context.Context, int64) (Answer, error) { time.Sleep(time.Millisecond); return Answer{}, nil }
		l := Load{Scenario: Uniform, Clients: 3, Batch: 1, Duration: time.Hour}
		_, err := Run(ctx, &scripted{do: slow}, l, Names("bench", 10), 0, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	})
}

// The model is a ledger of its own: what it answers to the mixed load is what any other has to.
func TestRun_MixedLoadMeetsRepeatsAndDeclines(t *testing.T) {
	model := ledgertest.NewModel(time.Now)
	b := Names("bench", 100)
	if err := b.Open(t.Context(), model, "eu"); err != nil {
		t.Fatal(err)
	}
	answers := Answer{Declined: map[errs.Reason]int{}}
	s := newStream(loadOf(Mixed), b, 0, 0)
	for range 2000 {
		a, err := Through(model).Do(t.Context(), 0, s.batch(1))
		if err != nil {
			t.Fatal(err)
		}
		answers.Posted += a.Posted
		answers.Replayed += a.Replayed
		for reason, n := range a.Declined {
			answers.Declined[reason] += n
		}
	}
	if answers.Replayed < 20 || answers.Declined[errs.ReasonInsufficientFunds] < 20 || len(answers.Declined) != 1 || answers.Posted < 1800 {
		t.Errorf("%+v, want posted, some replayed, and some without funds alone", answers)
	}
}

func TestOpen_RunsAgainWithoutDoublingFunds(t *testing.T) {
	model := ledgertest.NewModel(time.Now)
	b := Names("bench", opening+7)
	for range 2 {
		if err := b.Open(t.Context(), model, "eu"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []int{0, opening, len(b.Accounts) - 1} {
		a, err := model.Account(t.Context(), ledger.Ref{Ledger: "bench", Account: b.Accounts[name]}, time.Time{})
		if err != nil || a.Posted() != amount(funds).Minor {
			t.Errorf("%s has %s: %v", b.Accounts[name], a.Posted(), err)
		}
	}
}

func TestLoad_ValidateSaysWhatItWants(t *testing.T) {
	good := Load{Scenario: Uniform, Clients: 1, Accounts: 2, Batch: 1, Duration: time.Second}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, break_ := range map[string]func(*Load){
		"clients": func(l *Load) { l.Clients = 0 }, "accounts": func(l *Load) { l.Accounts = 1 }, "batches": func(l *Load) { l.Batch = 1001 },
		"rate": func(l *Load) { l.Rate = -1 }, "more than nothing": func(l *Load) { l.Duration = 0 },
	} {
		l := good
		break_(&l)
		if err := l.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
