package commit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestExecute_AnAtomicBatchHappensWholeOrNotAtAll(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		batch := func(last ledger.Command) ledger.Batch {
			return ledger.Batch{Atomic: true, Commands: []ledger.Command{
				transfer(last.Key+"/1", "a", "b", 1), move(ledger.KindHold, last.Key+"/2", "c", "d", 1), aim(ledger.KindCommit, last.Key+"/3", last.Key+"/2"), last,
			}}
		}
		good, err := n.Execute(t.Context(), batch(transfer("good", "b", "a", 1)))
		if err != nil || slices.ContainsFunc(good, func(r ledger.Result) bool { return r.Outcome.Decided != ledger.Posted }) {
			t.Errorf("a batch without fault: %v %v", good, err)
		}
		bad, err := n.Execute(t.Context(), batch(transfer("bad", "b", "nobody", 1)))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []errs.Reason{errs.ReasonBatchDeclined, errs.ReasonBatchDeclined, errs.ReasonBatchDeclined, errs.ReasonAccountNotFound} {
			if got := bad[i].Outcome.Reason; got != want {
				t.Errorf("command %d: %s, want %s", i, got, want)
			}
		}
		if len(n.store.holds) != 1 {
			t.Errorf("%d holds, want the one of the good batch", len(n.store.holds))
		}
	})
}

func TestExecute_ADryRunWritesNothing(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		results, err := n.Execute(t.Context(), ledger.Batch{DryRun: true, Commands: []ledger.Command{transfer("k", "a", "b", 1)}})
		if err != nil || !results[0].Outcome.DryRun || results[0].Outcome.Decided != ledger.Posted {
			t.Errorf("%+v %v", results, err)
		}
		if got := n.store.written(); len(got) > 0 || n.store.begun > 0 {
			t.Errorf("a dry run began %d groups and wrote %v", n.store.begun, got)
		}
	})
}

func TestExecute_NamesTheCommandThatIsWrong(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		elsewhere := transfer("k", "a", "b", 1)
		elsewhere.Ledger = "nowhere"
		zero := transfer("k", "a", "b", 0)
		good := transfer("good", "a", "b", 1)
		for _, c := range []struct {
			name     string
			commands []ledger.Command
			want     error
			text     string
		}{
			{"none", nil, errs.Invalid("", ""), "field=commands"},
			{"too many", make([]ledger.Command, ledger.MaxBatch+1), errs.Invalid("", ""), "field=commands"},
			{"one", []ledger.Command{zero}, errs.Invalid("", ""), "field=amount.minor_units"},
			{"the second", []ledger.Command{good, zero}, errs.Invalid("", ""), "field=commands[1].amount.minor_units index=1"},
			{"no such ledger", []ledger.Command{good, elsewhere}, errs.ErrLedgerNotFound, "index=1"},
		} {
			_, err := n.Execute(t.Context(), ledger.Batch{Commands: c.commands})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%s: %v, want %v with %s", c.name, err, c.want, c.text)
			}
		}
		if got := n.store.written(); len(got) > 0 {
			t.Errorf("written %v", got)
		}
	})
}
