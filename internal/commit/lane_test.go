package commit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// inTurn gives the first commits the endings listed, and later ones a good one.
func (m *memory) inTurn(endings ...ending) {
	var mu sync.Mutex
	m.onCommit = func(ledger.Changes) ending {
		mu.Lock()
		defer mu.Unlock()
		if len(endings) == 0 {
			return ending{}
		}
		next := endings[0]
		endings = endings[1:]
		return next
	}
}

var (
	unknown   = errs.ErrOutcomeUnknown.With("cause", "connection")
	contended = errs.ErrContended.With("cause", "serialization")
	internal  = errs.ErrInternal.Because(errors.New("broken"))
)

func TestLane_ContentionEndsWithPatience(t *testing.T) {
	for name, c := range map[string]struct{ err, want error }{
		"contended":             {contended, errs.ErrContended},
		"away":                  {errs.ErrUnavailable.With("cause", "connection"), errs.ErrUnavailable},
		"an attempt takes long": {errs.ErrDeadlineExceeded, errs.ErrUnavailable}, // the caller's deadline is another one
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, commit.Options{Patience: 5 * time.Second}, func(t *testing.T, n *node) {
				n.store.onBegin = func(ledger.Needs) error { return c.err }
				a := n.send(t.Context(), transfer("k", "a", "b", 1))
				pass(4900 * time.Millisecond)
				if a.there() {
					t.Errorf("given up before its time: %v", a.told())
				}
				pass(200 * time.Millisecond)
				if !a.there() || !errors.Is(a.told(), c.want) {
					t.Errorf("after five seconds: there=%t, %v; want %v", a.there(), a.told(), c.want)
				}
				if retries := metric(t, n.metrics, "meridian_group_retries_total"); retries < 20 || retries > 500 {
					t.Errorf("%v retries in five seconds, want pauses that grow to a quarter of one", retries)
				}
				n.store.onBegin = nil
				n.do(transfer("k", "a", "b", 1))
			})
		})
	}
}

func TestLane_RetriesAreCountedByCause(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.store.inTurn(ending{lost: true, err: contended}, ending{lost: true, err: contended}, ending{lost: true, err: unknown})
		n.do(transfer("k", "a", "b", 1))
		families, err := n.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range families {
			if f.GetName() != "meridian_group_retries_total" {
				continue
			}
			for _, m := range f.GetMetric() {
				got = append(got, fmt.Sprintf("%s %v", m.GetLabel()[0].GetValue(), m.GetCounter().GetValue()))
			}
		}
		if !slices.Equal(got, []string{"connection 1", "serialization 2"}) {
			t.Errorf("retries %v", got)
		}
	})
}

func TestLane_APoisonedCommandTakesNoNeighbourAlong(t *testing.T) {
	for _, way := range []string{"the store refuses it", "deciding it panics"} {
		t.Run(way, func(t *testing.T) {
			bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
				if way == "deciding it panics" {
					ref := ledger.Ref{Ledger: brand, Account: "e"}
					damaged := n.store.accounts[ref]
					damaged.PostedCredits = money.MustParse(strings.Repeat("9", money.MaxDigits))
					damaged.PostedDebits = damaged.PostedCredits.Neg()
					n.store.accounts[ref] = damaged
				}
				g := make(gate)
				n.store.onCommit = func(c ledger.Changes) ending {
					if c.Records[0].Outcome.Key == "first" {
						return <-g
					}
					if slices.ContainsFunc(c.Records, func(r ledger.Record) bool { return r.Outcome.Key == "poison" }) {
						return ending{lost: true, err: internal}
					}
					return ending{}
				}
				answers := []*answer{n.send(t.Context(), transfer("first", "a", "b", 1))}
				for _, k := range keys("k", 60) {
					answers = append(answers, n.send(t.Context(), transfer(k, "a", "b", 1)))
				}
				bad := n.send(t.Context(), transfer("poison", "e", "a", 1))
				for _, k := range keys("l", 60) {
					answers = append(answers, n.send(t.Context(), transfer(k, "a", "b", 1)))
				}
				g <- ending{}
				n.wantPosted(answers...)
				if !errors.Is(bad.told(), errs.ErrInternal) {
					t.Errorf("the poisoned command was told %v", bad.told())
				}
				if n.store.begun > 20 {
					t.Errorf("%d attempts to part one command from 120, want halves", n.store.begun)
				}
				want := append([]id.Key{"first"}, append(keys("k", 60), keys("l", 60)...)...)
				if got := n.store.written(); !slices.Equal(got, want) {
					t.Errorf("written %v", got)
				}
			})
		})
	}
}

func TestLane_PartingABrokenGroupTakesNoLongerThanPatience(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, Patience: 10 * time.Second}, func(t *testing.T, n *node) {
		g := make(gate)
		begins := 0
		n.store.onCommit = func(ledger.Changes) ending { return <-g }
		n.store.onBegin = func(ledger.Needs) error {
			switch begins++; begins {
			case 1:
				return nil
			case 2:
				return internal // the group of 60; and from then on the database is away
			}
			return errs.ErrUnavailable.With("cause", "connection")
		}
		first := n.send(t.Context(), transfer("first", "a", "b", 1))
		var answers []*answer
		for _, k := range keys("k", 60) {
			answers = append(answers, n.send(t.Context(), transfer(k, "a", "b", 1)))
		}
		g <- ending{}
		n.wantPosted(first)
		pass(15 * time.Second)
		for i, a := range answers {
			if !errors.Is(a.told(), errs.ErrUnavailable) {
				t.Fatalf("command %d after 15 s: there=%t, %v", i, a.there(), a.told())
			}
		}
	})
}

// A hold is made after its commit was looked at and before its group locks: the group finds the hold, but not its accounts.
func TestLane_ATargetThatAppearsMeanwhileIsLookedAtAgain(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.store.onBehind = func() {
			n.store.onBehind = nil
			n.store.given(move(ledger.KindHold, "hold", "a", "b", 7))
		}
		if o := n.do(aim(ledger.KindCommit, "commit", "hold")); o.Decided != ledger.Posted || o.Entries[0].Amount != money.FromInt64(-7) {
			t.Errorf("the commit says %s %s %+v", o.Decided, o.Reason, o.Entries)
		}
		n.store.onBehind = func() {
			n.store.onBehind = nil
			n.store.given(across("post", "c", 3))
		}
		if o := n.do(aim(ledger.KindReverse, "reverse", "post")); o.Decided != ledger.Posted || len(o.Entries) != 4 {
			t.Errorf("the reversal over two ledgers says %s %s %+v", o.Decided, o.Reason, o.Entries)
		}
		n.store.onBehind = func() {
			n.store.onBehind = nil
			n.store.given(move(ledger.KindHold, "hold2", "a", "b", 7))
		}
		dry, err := n.Execute(t.Context(), ledger.Batch{DryRun: true, Commands: []ledger.Command{aim(ledger.KindCommit, "commit2", "hold2")}})
		if err != nil || dry[0].Outcome.Decided != ledger.Posted {
			t.Errorf("the dry run says %v %v", dry, err)
		}
	})
}

func TestLane_WhatAppearsMeanwhileKeepsItsPlaceAndItsNeighboursAreAnswered(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		g := n.store.gate()
		first := n.send(t.Context(), transfer("first", "e", "f", 1))
		n.store.onBehind = func() {
			n.store.onBehind = nil
			n.store.given(move(ledger.KindHold, "hold", "a", "b", 7))
		}
		settle := n.send(t.Context(), aim(ledger.KindCommit, "commit", "hold"))
		neighbour := n.send(t.Context(), transfer("neighbour", "c", "d", 1))
		g <- ending{} // first
		synctest.Wait()
		later := n.send(t.Context(), aim(ledger.KindRollback, "later", "hold")) // while commit goes round
		close(g)                                                                // and everything after that
		n.wantPosted(first, settle, neighbour)
		if !later.there() || later.outcome(0).Reason != errs.ReasonHoldExhausted {
			t.Errorf("the later rollback says %+v, want HOLD_EXHAUSTED", later)
		}
	})
}

// An account that stands behind a hold and is not there is damage, not a race.
func TestLane_AnAccountThatIsGoneFromBehindAHoldIsAnErrorAndNoLoop(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.store.given(move(ledger.KindHold, "hold", "a", "b", 7))
		delete(n.store.accounts, ledger.Ref{Ledger: brand, Account: "b"})
		n.store.onBegin = func(ledger.Needs) error {
			if n.store.begun > 100 {
				return contended // ends the loop, so that the test can say so
			}
			return nil
		}
		a := n.send(t.Context(), aim(ledger.KindCommit, "commit", "hold"))
		pass(time.Minute)
		if !errors.Is(a.told(), errs.ErrInternal) || n.store.begun > 5 {
			t.Errorf("after %d attempts: %v, want INTERNAL", n.store.begun, a.told())
		}
		_, err := n.Execute(t.Context(), ledger.Batch{DryRun: true, Commands: []ledger.Command{aim(ledger.KindCommit, "commit2", "hold")}})
		if !errors.Is(err, errs.ErrInternal) {
			t.Errorf("the dry run says %v", err)
		}
	})
}

func TestExecute_GroupsInFlightTouchNoAccountTwice(t *testing.T) {
	bubble(t, commit.Options{Lanes: 4, MaxGroup: 1}, func(t *testing.T, n *node) {
		n.store.onCommit = func(ledger.Changes) ending { // the store itself looks for overlaps
			time.Sleep(time.Millisecond)
			return ending{}
		}
		pairs := [][2]id.Account{{"a", "b"}, {"c", "d"}, {"e", "f"}, {"a", "b"}, {"c", "d"}, {"e", "f"}, {"b", "c"}}
		var answers []*answer
		for i, k := range keys("k", 120) {
			p := pairs[i%len(pairs)]
			answers = append(answers, n.send(t.Context(), transfer(k, p[0], p[1], 1)))
		}
		pass(time.Second)
		n.wantPosted(answers...)
		if n.store.most != 3 {
			t.Errorf("%d groups were in flight together, want the three disjoint pairs", n.store.most)
		}
	})
}
