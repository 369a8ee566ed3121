package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// given is a model with the accounts of a small workload.
func given(t *testing.T) (Workload, *ledgertest.Model) {
	t.Helper()
	w := Workload{Ledgers: []id.Ledger{"brand-eu", "brand-us"}, Accounts: 20, Hot: 4, Seed: 7}
	model := ledgertest.NewModel(time.Now)
	for _, name := range w.Ledgers {
		home := id.Home(strings.TrimPrefix(string(name), "brand-"))
		if _, err := model.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: home, Assets: []money.Asset{{Code: asset, Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Open(t.Context(), model); err != nil {
		t.Fatal(err)
	}
	return w, model
}

// runUntil runs clients on the books as they are, for longer and longer until what the test is about has happened: on a machine that is
// busy, little happens in a tenth of a second.
func runUntil(t *testing.T, w *Workload, model *ledgertest.Model, nodes []ledger.Service, happened func(*History) bool) *History {
	t.Helper()
	for d := 100 * time.Millisecond; d < 10*time.Second; d *= 2 {
		if err := w.Open(t.Context(), model); err != nil {
			t.Fatal(err)
		}
		h := Run(t.Context(), *w, nodes, Options{Clients: 6, Duration: d, Patience: 500 * time.Millisecond})
		if happened(h) {
			return h
		}
	}
	t.Fatal("it did not happen: the test proves nothing")
	return nil
}

// mixed tells whether a run had something of everything.
func mixed(h *History) bool {
	for _, kind := range []ledger.Kind{
		ledger.KindTransfer, ledger.KindCredit, ledger.KindDebit, ledger.KindHold, ledger.KindCommit, ledger.KindRollback, ledger.KindReverse, ledger.KindPost,
	} {
		if h.Kinds[kind] == 0 {
			return false
		}
	}
	return h.Declines[errs.ReasonInsufficientFunds] > 0 && h.Replays > 0
}

// faulty is a service with something between it and its clients.
type faulty struct {
	ledger.Service
	execute func(ctx context.Context, svc ledger.Service, batch ledger.Batch) ([]ledger.Result, error)
}

func (f faulty) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	return f.execute(ctx, f.Service, batch)
}

// check is Check of every command.
func check(t *testing.T, h *History, w Workload, svc ledger.Service) []string {
	t.Helper()
	problems, commands, accounts, err := h.Check(t.Context(), w, svc, len(h.Answers))
	if err != nil {
		t.Fatal(err)
	}
	if commands != len(h.Answers) || accounts != len(w.Ledgers)*w.Accounts {
		t.Errorf("looked at %d commands and %d accounts, want %d and %d", commands, accounts, len(h.Answers), len(w.Ledgers)*w.Accounts)
	}
	return problems
}

func wantProblem(t *testing.T, problems []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, want) }) {
		t.Errorf("no problem says %q; found: %q", want, problems[:min(5, len(problems))])
	}
}

func TestCheck_AFaithfulServiceHasNoProblems(t *testing.T) {
	w, model := given(t)
	for range 2 { // the second time on books that the first has moved
		h := runUntil(t, &w, model, []ledger.Service{model, model}, mixed)
		if problems := check(t, h, w, model); len(problems) > 0 {
			t.Fatalf("seed %d: %q", w.Seed, problems)
		}
		if h.Failed != 0 || h.Moved != 0 {
			t.Errorf("failed calls %d, moved %d", h.Failed, h.Moved)
		}
		if total := h.Latency.TotalCount(); total != int64(len(h.Answers)+h.Replays) {
			t.Errorf("%d latencies of %d answers and %d replays", total, len(h.Answers), h.Replays)
		}
	}
}

// Each row is a way to betray the clients, and what the check says of it.
func TestCheck_FindsWhatIsOff(t *testing.T) {
	var betrayed atomic.Bool
	once := func(results []ledger.Result, fits func(ledger.Outcome) bool) bool {
		return len(results) == 1 && results[0].Err == nil && !results[0].Outcome.Replayed && fits(results[0].Outcome) &&
			betrayed.CompareAndSwap(false, true)
	}
	transfer := func(o ledger.Outcome) bool { return o.Kind == ledger.KindTransfer && o.Decided == ledger.Posted }
	for _, row := range []struct {
		name    string
		execute func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error)
		want    []string
	}{
		{"a command that was acknowledged is lost", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			dry := b
			dry.DryRun = true
			if results, err := svc.Execute(ctx, dry); err == nil && once(results, transfer) {
				results[0].Outcome.DryRun = false
				return results, nil
			}
			return svc.Execute(ctx, b)
		}, []string{"its clients were told", "was answered, and is not there"}},
		{"a decline is forgotten", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			dry := b
			dry.DryRun = true
			declined := func(o ledger.Outcome) bool { return o.Decided == ledger.Declined }
			if results, err := svc.Execute(ctx, dry); err == nil && once(results, declined) {
				results[0].Outcome.DryRun = false
				return results, nil
			}
			return svc.Execute(ctx, b)
		}, []string{"was answered, and is not there"}},
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
		}, []string{"its clients were told"}},
		{"a command is executed and never answered", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			if strings.HasSuffix(string(b.Commands[0].Key), "-1-3") {
				betrayed.Store(true)
				return nil, errs.ErrUnavailable
			}
			return svc.Execute(ctx, b)
		}, []string{"has no answer"}},
		{"a client is refused for good", func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
			if strings.HasSuffix(string(b.Commands[0].Key), "-1-3") {
				betrayed.Store(true)
				return nil, errs.Invalid("key", "we do not like it")
			}
			return svc.Execute(ctx, b)
		}, []string{"has no answer"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			betrayed.Store(false)
			w, model := given(t)
			h := runUntil(t, &w, model, []ledger.Service{faulty{model, row.execute}}, func(*History) bool { return betrayed.Load() })
			problems := check(t, h, w, model)
			for _, want := range row.want {
				wantProblem(t, problems, want)
			}
		})
	}
}

// Each row changes one thing in the answer to a repeat.
func TestCheck_FindsAnAnswerThatDiffersOnARetry(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(o *ledger.Outcome)
		want   string
	}{
		{"outcome", func(o *ledger.Outcome) { o.Decided, o.Reason = ledger.Declined, errs.ReasonAccountClosed }, "then declined ACCOUNT_CLOSED"},
		{"transaction", func(o *ledger.Outcome) { o.Transaction[3]++ }, "another answer: transaction"},
		{"recorded time", func(o *ledger.Outcome) { o.RecordedAt = o.RecordedAt.Add(time.Microsecond) }, "another answer: time"},
		{"effective time", func(o *ledger.Outcome) { o.EffectiveAt = o.EffectiveAt.Add(time.Second) }, "another answer: time"},
		{"entries", func(o *ledger.Outcome) {
			o.Entries = slices.Clone(o.Entries)
			for i := range o.Entries {
				o.Entries[i].Sequence++
			}
		}, "another answer: entries"},
		{"detail", func(o *ledger.Outcome) { o.Detail = map[string]string{"available": "17"} }, "another answer: detail"},
		{"hold", func(o *ledger.Outcome) {
			if o.Hold != nil {
				h := *o.Hold
				h.Captured = money.FromInt64(4711)
				o.Hold = &h
			}
		}, "another answer: hold"},
		{"that it is a repeat", func(o *ledger.Outcome) { o.Replayed = false }, "was answered, and is not there"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, model := given(t)
			twoFaced := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
				results, err := svc.Execute(ctx, b)
				for i := range results {
					if results[i].Outcome.Replayed {
						row.change(&results[i].Outcome)
					}
				}
				return results, err
			}}
			h := runUntil(t, &w, model, []ledger.Service{model}, mixed)
			wantProblem(t, check(t, h, w, twoFaced), row.want)
			if problems := check(t, h, w, model); len(problems) > 0 {
				t.Errorf("without the change: %q", problems)
			}
		})
	}
}

func TestRun_RepeatsWithinARunAreComparedToo(t *testing.T) {
	w, model := given(t)
	forgetful := faulty{model, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
		results, err := svc.Execute(ctx, b)
		if err == nil && results[0].Outcome.Replayed {
			results[0].Outcome.RecordedAt = results[0].Outcome.RecordedAt.Add(time.Minute)
		}
		return results, err
	}}
	h := runUntil(t, &w, model, []ledger.Service{forgetful}, func(h *History) bool { return h.Replays > 0 })
	wantProblem(t, h.Lost, "a repeat got another answer: time")
}

func TestCheck_FindsAnAccountThatIsGone(t *testing.T) {
	w, model := given(t)
	h := runUntil(t, &w, model, []ledger.Service{model}, mixed)
	wantProblem(t, check(t, h, w, withoutAccount{model}), "brand-eu/player:3 is not there")
}

type withoutAccount struct{ ledger.Service }

func (s withoutAccount) Accounts(ctx context.Context, name id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	all, err := s.Service.Accounts(ctx, name, after, limit)
	return slices.DeleteFunc(all, func(a ledger.Account) bool { return a.Ref.Account == "player:3" }), err
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
	h := runUntil(t, &w, model, []ledger.Service{dying, model}, func(h *History) bool { return h.Moved > 0 })
	if h.Moved > h.Failed || h.Worst == 0 {
		t.Errorf("%d failed calls, %d commands moved, the worst took %s", h.Failed, h.Moved, h.Worst)
	}
	if problems := check(t, h, w, model); len(problems) > 0 {
		t.Errorf("nothing was lost, and the check says %q", problems)
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
	h := Run(ctx, w, []ledger.Service{stopping}, Options{Clients: 4, Duration: time.Hour})
	if h.Elapsed > time.Minute || len(h.Answers) == 0 {
		t.Errorf("%d answers in %s", len(h.Answers), h.Elapsed)
	}
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

func TestOpen_SaysWhatRefusesIt(t *testing.T) {
	w, _ := given(t)
	if err := w.Open(t.Context(), ledgertest.NewModel(time.Now)); !errors.Is(err, errs.ErrLedgerNotFound) {
		t.Errorf("without the ledgers: %v", err)
	}
}
