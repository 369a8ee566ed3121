package ledger_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func together(all ...ledger.Command) ledger.Batch { return ledger.Batch{Commands: with(all...)} }

func atomic(all ...ledger.Command) ledger.Batch {
	return ledger.Batch{Commands: with(all...), Atomic: true}
}

// stored returns books as a database would load them after given commands: everything is there, and nothing is waiting to be written.
func stored(t testing.TB, earlier ...ledger.Command) *ledger.Books {
	t.Helper()
	from, to := given(t, earlier), ledger.NewBooks(noon)
	to.Ledgers, to.Accounts, to.Holds, to.Journal, to.Reversed = from.Ledgers, from.Accounts, from.Holds, from.Journal, from.Reversed
	return to
}

func TestBooks_ChangesHaveEachRowOnceAsItIsInTheEnd(t *testing.T) {
	b := stored(t, open("old"), open("idle"), keyed("before", move(ledger.KindHold, "old", "", eur(5))))
	b.Execute(together(keyed("1", open("new")), keyed("2", move(ledger.KindTransfer, "old", "new", eur(7)))))
	b.Execute(together(keyed("3", move(ledger.KindHold, "new", "old", eur(2))), keyed("4", aim(ledger.KindCommit, "3", nil))))
	b.Execute(atomic(keyed("5", aim(ledger.KindRollback, "before", nil)), keyed("6", freeze("old", ledger.Frozen))))
	c := b.Changes()

	names := func(accounts []ledger.Account) (all []string) {
		for _, a := range accounts {
			all = append(all, fmt.Sprintf("%s@%d=%s", a.Ref.Account, a.Sequence, a.Posted()))
		}
		return all
	}
	holds := func(holds []ledger.Hold) (all []string) {
		for _, h := range holds {
			all = append(all, fmt.Sprintf("%s/%s=%s", h.Status, h.Amount, h.Captured))
		}
		return all
	}
	for what, row := range map[string]struct{ got, want []string }{
		"opened":  {names(c.Opened), []string{"new@4=5"}},
		"changed": {names(c.Changed), []string{"old@7=-5", "counter:general:EUR@2=0"}},
		"termed":  {names(c.Termed), []string{"old@7=-5"}},
		"made":    {holds(c.Made), []string{"committed/2=2"}},
		"settled": {holds(c.Settled), []string{"rolled_back/5=0"}},
	} {
		if !slices.Equal(row.got, row.want) {
			t.Errorf("%s %q, wanted %q", what, row.got, row.want)
		}
	}
	if len(c.Records) != 6 || c.Recorded != 10 || c.Empty() || len(c.HomeOf) != 1 || c.HomeOf[brand] != "eu" {
		t.Errorf("%d records with %d entries in %v", len(c.Records), c.Recorded, c.HomeOf)
	}
}

func TestBooks_WriteNothingWhereNothingHappened(t *testing.T) {
	used := keyed("used", move(ledger.KindCredit, "a", "", eur(5)))
	stolen := keyed("used", move(ledger.KindCredit, "a", "", eur(6)))
	for name, batch := range map[string]ledger.Batch{
		"replay":                   together(used),
		"mismatch":                 together(stolen),
		"dry run":                  {Commands: with(move(ledger.KindCredit, "a", "", eur(6)), open("b")), DryRun: true},
		"dry run of an atomic one": {Commands: with(move(ledger.KindCredit, "a", "", eur(6)), freeze("b", ledger.Open)), DryRun: true, Atomic: true},
		"atomic with a mismatch":   atomic(open("b"), keyed("2", move(ledger.KindCredit, "b", "", eur(6))), stolen),
	} {
		t.Run(name, func(t *testing.T) {
			b := stored(t, open("a"), used)
			if first, again := b.Execute(batch), b.Execute(batch); !reflect.DeepEqual(first, again) {
				t.Errorf("the second answer differs:\n%+v\n%+v", first, again)
			}
			if c := b.Changes(); !c.Empty() || len(c.Opened)+len(c.Changed)+len(c.Made)+len(c.Settled) > 0 {
				t.Errorf("changes %+v", c)
			}
		})
	}
}

func TestBooks_DeclinedBatchWritesRecordsAlone(t *testing.T) {
	b := stored(t, openAs("a", ledger.Terms{Floor: at(0)}))
	results := b.Execute(atomic(
		keyed("1", open("b")), keyed("2", move(ledger.KindHold, "b", "", eur(5))), keyed("3", move(ledger.KindDebit, "a", "", eur(5))),
	))
	var reasons []errs.Reason
	for _, r := range results {
		reasons = append(reasons, r.Outcome.Reason)
	}
	if want := []errs.Reason{errs.ReasonBatchDeclined, errs.ReasonBatchDeclined, errs.ReasonInsufficientFunds}; !slices.Equal(reasons, want) {
		t.Fatalf("declined for %s, wanted %s", reasons, want)
	}
	c := b.Changes()
	if len(c.Records) != 3 || c.Recorded != 0 || len(c.Opened)+len(c.Changed)+len(c.Made)+len(c.Settled) > 0 {
		t.Errorf("changes %+v", c)
	}
	again := b.Execute(together(keyed("1", open("b"))))[0].Outcome
	if again.Reason != errs.ReasonBatchDeclined || !again.Replayed || again.Detail["index"] != "2" {
		t.Errorf("the answer for ever is %+v", again)
	}
}

func TestBooks_CommandOfABatchIsJudgedAfterTheOnesBeforeIt(t *testing.T) {
	b := stored(t, openAs("a", ledger.Terms{Floor: at(0)}))
	results := b.Execute(together(
		keyed("1", move(ledger.KindCredit, "a", "", eur(5))), keyed("2", move(ledger.KindDebit, "a", "", eur(5))),
		keyed("3", move(ledger.KindDebit, "a", "", eur(1))), keyed("4", aim(ledger.KindReverse, "2", nil)),
		keyed("5", aim(ledger.KindReverse, "2", nil)),
	))
	var got []string
	for _, r := range results {
		got = append(got, string(r.Outcome.Decided)+string(r.Outcome.Reason))
	}
	want := []string{"posted", "posted", "declined" + string(errs.ReasonInsufficientFunds), "posted", "declined" + string(errs.ReasonAlreadyReversed)}
	if !slices.Equal(got, want) {
		t.Errorf("became %q, wanted %q", got, want)
	}
}

// Clocks of nodes differ, and are set back.
func TestBooks_RecordedTimeOfAnAccountNeverRunsBackwards(t *testing.T) {
	b := stored(t, open("a"), open("b"))
	b.Now = noon.Add(-time.Hour)
	paid := b.Execute(together(keyed("1", move(ledger.KindTransfer, "a", "b", eur(5))), keyed("2", freeze("a", ledger.Open)), keyed("3", open("c"))))
	for i, want := range []time.Time{noon, noon, b.Now} {
		o := paid[i].Outcome
		if !o.RecordedAt.Equal(want) || !o.EffectiveAt.Equal(want) {
			t.Errorf("%s: recorded at %s and effective at %s, wanted %s", o.Kind, o.RecordedAt, o.EffectiveAt, want)
		}
	}
	for _, a := range b.Changes().Changed {
		if !a.ChangedAt.Equal(noon) {
			t.Errorf("%s changed at %s", a.Ref, a.ChangedAt)
		}
	}
}

func TestBooks_TimesHaveMicroseconds(t *testing.T) {
	b := stored(t, open("a"))
	hold := keyed("h", move(ledger.KindHold, "a", "", eur(5)))
	hold.ExpiresIn, hold.EffectiveAt = time.Second+1, noon.Add(-time.Nanosecond).In(time.FixedZone("", 3600))
	o := b.Execute(together(hold))[0].Outcome
	if want := noon.Add(time.Second); o.Hold.ExpiresAt != want {
		t.Errorf("expires at %s, wanted %s", o.Hold.ExpiresAt, want)
	}
	if want := noon.Add(-time.Microsecond); o.EffectiveAt != want {
		t.Errorf("effective at %s, wanted %s", o.EffectiveAt, want)
	}
}

func TestNeeds_AreSortedAndNamedOnce(t *testing.T) {
	books := given(t, nil)
	var gather ledger.Gather
	for _, c := range with(
		move(ledger.KindTransfer, "z", "a", eur(5)), move(ledger.KindDebit, "z", "", eur(5)), aim(ledger.KindReverse, "t", nil),
		aim(ledger.KindReverse, "t", nil), aim(ledger.KindCommit, "h", nil),
		post(legIn(other, ledger.Debit, "x", eur(5)), leg(ledger.Credit, "a", eur(5))),
		ledger.Command{Ledger: other, Kind: ledger.KindClose, Account: "y"},
	) {
		gather.Add(c, c.Touches(nil), func(k id.Ledger) ledger.Ledger { return books.Ledgers[k] })
	}
	needs := gather.Needs()
	if len(needs) != 2 || needs[0].Ledger.ID != brand || needs[1].Ledger.ID != other {
		t.Fatalf("needs %+v", needs)
	}
	if want := []id.Account{"a", "counter:general:EUR", "z"}; !slices.Equal(needs[0].Accounts, want) {
		t.Errorf("accounts %q, wanted %q", needs[0].Accounts, want)
	}
	if want := []id.Account{"x", "y"}; !slices.Equal(needs[1].Accounts, want) {
		t.Errorf("accounts %q, wanted %q", needs[1].Accounts, want)
	}
	if n := needs[0]; len(n.Keys) != 7 || len(n.Targets) != 1 || len(n.Holds) != 1 || len(needs[1].Keys) != 1 { // six keys and a target
		t.Errorf("%d keys, %d targets, %d holds", len(n.Keys), len(n.Targets), len(n.Holds))
	}
	if !slices.IsSortedFunc(needs[0].Keys, func(a, b id.Transaction) int { return slices.Compare(a[:], b[:]) }) {
		t.Error("keys are not in the order in which nodes lock")
	}
}

func TestBooks_MissingNamesTheAccountsBehindATarget(t *testing.T) {
	b := stored(t, open("a"), open("b"), keyed("h", move(ledger.KindHold, "a", "b", eur(5))), keyed("t", move(ledger.KindTransfer, "a", "b", eur(5))))
	delete(b.Accounts, ledger.Ref{Ledger: brand, Account: "b"})
	for _, c := range with(aim(ledger.KindCommit, "h", nil), aim(ledger.KindReverse, "t", nil)) {
		if got := b.Missing(commands{c}); len(got) != 1 || got[0].Account != "b" {
			t.Errorf("%s misses %v", c.Kind, got)
		}
	}
	if got := b.Missing(with(aim(ledger.KindCommit, "nothing", nil), shut("b"))); len(got) > 0 {
		t.Errorf("misses %v", got)
	}
}
