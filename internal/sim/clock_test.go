package sim

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// story is a history of one account, told by hand: it begins with entry 1 and a balance of 100.
type story struct {
	history  History
	workload Workload
	calls    int
}

var hero = ledger.Ref{Ledger: "brand-eu", Account: "player:0"}

func newStory() *story {
	return &story{
		history:  History{Regions: []string{"here"}},
		workload: Workload{before: map[ledger.Ref]ledger.Account{hero: {Ref: hero, Sequence: 1, Balances: balances(100)}}},
	}
}

func balances(n int64) ledger.Balances { return ledger.Balances{PostedCredits: money.FromInt64(n)} }

func (s *story) call(from, until float64, state State, amount int64) *Call {
	s.calls++
	command := ledger.Command{Kind: ledger.KindCredit, Ledger: hero.Ledger, Account: hero.Account, Reason: "deposit", Amount: euros(amount), Key: id.Key(fmt.Sprint("k", s.calls))}
	c := &Call{Client: s.calls, State: state, Command: command, Began: at(from), Ended: at(until)}
	s.history.Calls = append(s.history.Calls, c)
	return c
}

// wrote is a credit that was acknowledged.
func (s *story) wrote(from, until float64, sequence, amount, after int64) *story {
	c := s.call(from, until, Acknowledged, amount)
	c.Outcome = ledger.Outcome{
		Transaction: c.Command.ID(), Ledger: hero.Ledger, Key: c.Command.Key, Kind: c.Command.Kind, Decided: ledger.Posted,
		Entries: []ledger.Entry{{Ref: hero, Sequence: sequence, Amount: money.FromInt64(amount), Balance: money.FromInt64(after)}},
	}
	return s
}

// settled is a credit of which Settle heard between two times.
func (s *story) settled(from float64, state State, asked, until float64, sequence, amount, after int64) *story {
	s.wrote(from, from, sequence, amount, after)
	c := s.history.Calls[len(s.history.Calls)-1]
	c.State, c.Asked, c.Settled = state, at(asked), at(until)
	return s
}

// lost is a credit of which nobody knows the end.
func (s *story) lost(from float64, amount int64) *story {
	s.call(from, from+1, Unknown, amount)
	return s
}

func (s *story) read(from, until float64, sequence, saw int64) *story {
	s.history.Reads = append(s.history.Reads, Read{
		Client: int32(len(s.history.Reads)), Ref: hero, Began: at(from), Ended: at(until), Sequence: sequence, Balance: balances(saw),
	})
	return s
}

// Each row is what happened on an account, and what the two checks that look at the clock say of it; "" is that they find nothing.
func TestClock_WhatHappenedOnAnAccount(t *testing.T) {
	const noOrder, passed = "no order explains", ""
	for _, row := range []struct {
		name          string
		story         *story
		stale, linear string
	}{
		{"one after the other", newStory().wrote(0, 1, 2, 5, 105).read(2, 3, 2, 105).wrote(4, 5, 3, 5, 110).read(6, 7, 3, 110), passed, passed},
		{"at the same time", newStory().wrote(0, 9, 3, 5, 110).wrote(0, 9, 2, 5, 105).read(0, 9, 1, 100).read(0, 9, 3, 110), passed, passed},
		{"a read sees a write that is not acknowledged yet", newStory().wrote(0, 9, 2, 5, 105).read(3, 4, 2, 105), passed, passed},
		{"a stale read", newStory().wrote(0, 1, 2, 5, 105).read(2, 3, 1, 100), "entry 2 of credit k1 was acknowledged at 1s", noOrder},
		{"a read at the moment of the acknowledgement may miss it", newStory().wrote(0, 1, 2, 5, 105).read(1, 2, 1, 100), passed, passed},
		{"a read goes back", newStory().wrote(0, 9, 2, 5, 105).read(1, 2, 2, 105).read(3, 4, 1, 100), "a read that ended at 2s had seen entry 2", noOrder},
		{"two reads at the same time may see either", newStory().wrote(0, 9, 2, 5, 105).read(1, 3, 2, 105).read(2, 4, 1, 100), passed, passed},
		{"a read sees the future", newStory().read(0, 1, 2, 105).wrote(2, 3, 2, 5, 105), "which was not sent before 2s", noOrder},
		{"a torn read", newStory().wrote(0, 1, 2, 5, 105).read(2, 3, 2, 100), "and credit k1 had left", noOrder},
		{"a torn read of the beginning", newStory().read(2, 3, 1, 99), "the load began with", noOrder},
		{"a read of what nobody was told of", newStory().read(2, 3, 2, 105), "of which no client was told", noOrder},
		{"writes in another order than the clock's", newStory().wrote(0, 1, 3, 5, 110).wrote(2, 3, 2, 5, 105), passed, noOrder},
		{"balances that do not add up", newStory().wrote(0, 1, 2, 5, 105).wrote(2, 3, 3, 5, 111), passed, noOrder},
		{"an entry is missing", newStory().wrote(0, 1, 2, 5, 105).wrote(2, 3, 4, 5, 115), passed, noOrder},
		{"an unknown one fills the gap", newStory().wrote(0, 1, 2, 5, 105).lost(0, 5).wrote(2, 3, 4, 5, 115), passed, passed},
		{"an unknown one of another amount does not", newStory().wrote(0, 1, 2, 5, 105).lost(0, 6).wrote(2, 3, 4, 5, 115), passed, noOrder},
		{"an unknown one may never have happened", newStory().lost(0, 6).wrote(2, 3, 2, 5, 105), passed, passed},
		{"an unknown one can be seen", newStory().lost(0, 6).read(2, 3, 2, 106).read(4, 5, 2, 106), passed, passed},
		{"an unknown one can not be seen before it was sent", newStory().lost(4, 6).read(2, 3, 2, 106), passed, noOrder},
		{"one that had happened is seen before it was settled", newStory().settled(0, Happened, 8, 9, 2, 5, 105).read(2, 3, 2, 105), passed, passed},
		{"one that had happened may have done so late", newStory().settled(0, Happened, 8, 9, 3, 5, 110).wrote(4, 5, 2, 5, 105).read(6, 7, 2, 105), passed, passed},
		{"one that Settle made happen is not seen before", newStory().settled(0, Late, 8, 9, 2, 5, 105).read(2, 3, 2, 105), "which was not sent before 8s", noOrder},
		{"one that Settle made happen is the last", newStory().wrote(2, 3, 2, 5, 105).settled(0, Late, 8, 9, 3, 5, 110).read(4, 5, 2, 105), passed, passed},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &row.story.history
			v, picture := h.Linearizable(row.story.workload, Judging{})
			verdicts := map[string]Verdict{"stale_read": h.StaleRead(row.story.workload), "linearizable": v}
			want := map[string]string{}
			for checker, problem := range map[string]string{"stale_read": row.stale, "linearizable": row.linear} {
				if problem != passed {
					want[checker] = problem
				}
			}
			wantFailed(t, verdicts, want)
			if (v.Status == Failed) != bytes.Contains(picture, []byte("<html")) || v.Looked == 0 {
				t.Errorf("%s, looked at %d, the picture has %d bytes", v.Status, v.Looked, len(picture))
			}
		})
	}
}

// A long history is cut: what is wrong inside of a piece, at a cut and across a cut is found all the same.
func TestLinearizable_CutsALongHistory(t *testing.T) {
	long := func(change func(c []*Call)) *story {
		s := newStory()
		for n := range int64(3500) {
			s.wrote(float64(n), float64(n)+1.5, n+2, 1, 101+n) // each is still under way when the next begins
		}
		if change != nil {
			change(s.history.Calls)
		}
		return s
	}
	for name, row := range map[string]struct {
		story *story
		want  string
	}{
		"faithful": {long(nil), ""},
		"inside":   {long(func(c []*Call) { c[1500].Outcome.Entries[0].Balance = money.FromInt64(1) }), "no order explains"},
		"at a cut": {long(func(c []*Call) {
			c[999].Began, c[999].Ended, c[1000].Began, c[1000].Ended = at(1001), at(1002), at(999), at(1000)
		}), "and comes after it"},
		"far across":      {long(func(c []*Call) { c[999].Began, c[999].Ended = at(3400), at(3401) }), "and comes after it"},
		"a read far back": {long(nil).read(3400, 3401, 10, 109), "no order explains"},
		"a read at a cut": {long(nil).read(3400, 3401, 1001, 1100), "and comes after it"},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := row.story.history.Linearizable(row.story.workload, Judging{})
			want := only("linearizable", row.want)
			if row.want == "" {
				want = nil
			}
			wantFailed(t, map[string]Verdict{"linearizable": v}, want)
		})
	}
}

func TestLinearizable_WhatIsNotDecidedInTimeDoesNotCount(t *testing.T) {
	s := newStory()
	for n := range int64(3000) {
		s.wrote(0, 9, n+2, 1, 101+n)
	}
	v, picture := s.history.Linearizable(s.workload, Judging{Patience: time.Nanosecond})
	if v.Status != Skipped || v.Looked != 0 || len(v.Notes) != 1 || picture != nil {
		t.Errorf("%+v", v)
	}
}

// Each row is a command without an answer, and what it would do to the hero.
func TestEffect_OfACommandWhoseEndNobodyKnows(t *testing.T) {
	w, model := given(t)
	h := runUntil(t, &w, model, ring(model), Options{}, mixed)
	calls := map[id.Transaction]*Call{}
	for _, c := range h.Calls {
		calls[c.Command.ID()] = c
	}
	looked := map[ledger.Kind]int{}
	for _, c := range h.Calls { // of those that have an answer, the entries say what is right
		if c.Outcome.Decided != ledger.Posted {
			continue
		}
		looked[c.Command.Kind]++
		want, got := map[ledger.Ref][]money.Amount{}, effect(c.Command, calls)
		for _, e := range c.Outcome.Entries {
			want[e.Ref] = append(want[e.Ref], e.Amount)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s does %v, want %v", c.Command.Canonical(), got, want)
		}
	}
	if len(looked) < 8 {
		t.Errorf("looked at %v", looked)
	}
}

func TestLinearizable_LooksAtTheBusiestAndAtOthers(t *testing.T) {
	w, model := given(t)
	h := runUntil(t, &w, model, ring(model), Options{Reads: 0.3}, mixed)
	v, _ := h.Linearizable(w, Judging{Accounts: 10})
	if v.Looked != 10 || v.Status != Passed {
		t.Errorf("%+v", v)
	}
}
