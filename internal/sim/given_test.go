package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// given is a model with the accounts of a small workload.
func given(t testing.TB) (Workload, *ledgertest.Model) {
	t.Helper()
	w := Workload{Ledgers: []id.Ledger{"brand-eu", "brand-us"}, Accounts: 20, Hot: 4, Seed: 7}
	model := ledgertest.NewModel(time.Now)
	for _, name := range w.Ledgers {
		if _, err := model.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: homeOf[name], Assets: []money.Asset{{Code: asset, Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Open(t.Context(), model); err != nil {
		t.Fatal(err)
	}
	return w, model
}

var homeOf = map[id.Ledger]id.Home{"brand-eu": "eu", "brand-us": "us"}

// ring has a region around each node.
func ring(nodes ...ledger.Service) []Region {
	return Ring([]string{"here", "there", "yonder"}[:len(nodes)], nodes)
}

// runUntil runs clients on the books as they are, for longer and longer until what the test is about has happened: on a machine that is
// busy, little happens in a tenth of a second.
func runUntil(t *testing.T, w *Workload, model *ledgertest.Model, regions []Region, o Options, happened func(*History) bool) *History {
	t.Helper()
	o.Clients = 6
	if o.Patience == 0 {
		o.Patience = 500 * time.Millisecond
	}
	for o.Duration = 100 * time.Millisecond; o.Duration < 10*time.Second; o.Duration *= 2 {
		if err := w.Open(t.Context(), model); err != nil {
			t.Fatal(err)
		}
		if h := Run(t.Context(), *w, regions, o); happened(h) {
			return h
		}
	}
	t.Fatal("it did not happen: the test proves nothing")
	return nil
}

// mixed tells whether a run had something of everything.
func mixed(h *History) bool {
	t := h.Totals(time.Second)
	for _, kind := range []ledger.Kind{
		ledger.KindTransfer, ledger.KindCredit, ledger.KindDebit, ledger.KindHold, ledger.KindCommit, ledger.KindRollback, ledger.KindReverse, ledger.KindPost,
	} {
		if t.Kinds[kind] == 0 {
			return false
		}
	}
	return t.Declines[errs.ReasonInsufficientFunds] > 0 && t.Replays > 0
}

// faulty is a service with something between it and its clients.
type faulty struct {
	ledger.Service
	execute func(ctx context.Context, svc ledger.Service, batch ledger.Batch) ([]ledger.Result, error)
}

func (f faulty) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	return f.execute(ctx, f.Service, batch)
}

var all = Judging{Repeats: 1 << 30, Accounts: 1 << 30}

// judge is every verdict on a history, by checker.
func judge(t *testing.T, h *History, w Workload, svc ledger.Service) map[string]Verdict {
	t.Helper()
	verdicts, _ := h.Judge(t.Context(), w, svc, all)
	by := map[string]Verdict{}
	for _, v := range verdicts {
		if v.Checker == "" || v.Name == "" || v.Status == "" || by[v.Checker].Checker != "" || (v.Status == Failed) != (v.Found > 0) {
			t.Errorf("a verdict says %+v", v)
		}
		by[v.Checker] = v
	}
	return by
}

// wantFailed wants exactly some of the checks to have failed, each with a problem that says something.
func wantFailed(t *testing.T, verdicts map[string]Verdict, failed map[string]string) {
	t.Helper()
	for checker, v := range verdicts {
		want, wanted := failed[checker]
		switch {
		case wanted && !slices.ContainsFunc(v.Problems, func(p string) bool { return strings.Contains(p, want) }):
			t.Errorf("%s: no problem says %q; found %d: %q", checker, want, v.Found, v.Problems[:min(5, len(v.Problems))])
		case !wanted && v.Found > 0:
			t.Errorf("%s: found %d: %q", checker, v.Found, v.Problems[:min(5, len(v.Problems))])
		}
	}
	for checker := range failed {
		if _, there := verdicts[checker]; !there {
			t.Errorf("there is no verdict of %s", checker)
		}
	}
}

func wantPassed(t *testing.T, verdicts map[string]Verdict) {
	t.Helper()
	wantFailed(t, verdicts, nil)
	for checker, v := range verdicts {
		if v.Status == Passed && v.Looked == 0 {
			t.Errorf("%s passed and looked at nothing", checker)
		}
	}
}

func only(checker, problem string) map[string]string { return map[string]string{checker: problem} }

func at(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// sprint is for tables: times in seconds.
func sprint(r Recovery) string {
	return fmt.Sprintf("noticed %t, detect %v, RTO %v, recovered %t", r.Noticed, r.Detect.Seconds(), r.RTO.Seconds(), r.Recovered)
}
