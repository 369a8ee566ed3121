package commit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func atomic(commands ...ledger.Command) ledger.Batch {
	return ledger.Batch{Atomic: true, Commands: commands}
}

// words is what came of each command: posted, again, or the reason of a decline or an error.
func words(results []ledger.Result) []string {
	all := make([]string, len(results))
	for i, r := range results {
		switch {
		case r.Err != nil:
			all[i] = string(errs.Of(r.Err).Reason)
		case r.Outcome.Decided == ledger.Declined:
			all[i] = string(r.Outcome.Reason)
		case r.Outcome.Replayed:
			all[i] = "again"
		default:
			all[i] = "posted"
		}
	}
	return all
}

func wantWords(t *testing.T, results []ledger.Result, want ...string) {
	t.Helper()
	if got := words(results); !slices.Equal(got, want) {
		t.Errorf("the commands were told %v\nwant                    %v", got, want)
	}
}

// commandsOf are commands that build on one another, and are to be executed by groups of two.
func commandsOf(prefix id.Key) []ledger.Command {
	return []ledger.Command{
		transfer(prefix+"/0", "a", "b", 1), transfer(prefix+"/1", "a", "b", 1),
		move(ledger.KindHold, prefix+"/2", "c", "d", 5), transfer(prefix+"/3", "a", "b", 1),
		aim(ledger.KindCommit, prefix+"/4", prefix+"/2"), transfer(prefix+"/5", "e", "f", 1),
	}
}

func TestBatch_CommandsForThemselvesFillTheLanes(t *testing.T) {
	bubble(t, commit.Options{Lanes: 2, MaxGroup: 2}, func(t *testing.T, n *node) {
		g := n.store.gate()
		one := n.send(t.Context(), transfer("k0", "a", "b", 1), transfer("k1", "a", "b", 1), transfer("k2", "b", "a", 1))
		two := n.send(t.Context(), transfer("k3", "b", "c", 1), transfer("k4", "d", "e", 1))
		if n.store.inFlight != 2 {
			t.Errorf("%d groups are in flight, want k0 with k1, and k4 which meets neither", n.store.inFlight)
		}
		for range 3 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(one, two)
	})
}

func TestBatch_KeepsItsOrderOverManyGroups(t *testing.T) {
	bubble(t, commit.Options{Lanes: 2, MaxGroup: 1}, func(t *testing.T, n *node) {
		n.store.onCommit = func(ledger.Changes) ending {
			time.Sleep(time.Millisecond)
			return ending{}
		}
		changed := transfer("same", "e", "f", 2)
		a := n.send(t.Context(),
			move(ledger.KindHold, "hold", "a", "b", 5), transfer("same", "e", "f", 1), aim(ledger.KindCommit, "commit", "hold"),
			transfer("same", "e", "f", 1), aim(ledger.KindRollback, "rollback", "hold"), changed, aim(ledger.KindReverse, "reverse", "same"))
		pass(time.Second)
		if a.told() != nil {
			t.Fatal(a.told())
		}
		wantWords(t, a.results, "posted", "posted", "posted", "again", "HOLD_EXHAUSTED", "IDEMPOTENCY_MISMATCH", "posted")
		if n.store.begun < 7 || n.store.most < 2 {
			t.Errorf("%d groups, %d at once; want one for each command, on both lanes", n.store.begun, n.store.most)
		}
	})
}

func TestBatch_OverSeveralHomesKeepsItsOrder(t *testing.T) {
	bubble(t, commit.Options{Lanes: 2}, func(t *testing.T, n *node) {
		g := n.store.gate()
		far := transfer("k3", "e", "f", 1)
		far.Ledger = other
		a := n.send(t.Context(), transfer("k0", "a", "b", 1), across("k1", "a", 1), transfer("k2", "a", "c", 1), far)
		if n.store.inFlight != 2 {
			t.Errorf("%d groups are in flight, want k0 of the one home and k3 of the other", n.store.inFlight)
		}
		for range 4 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(a)
		got := slices.DeleteFunc(n.store.written(), func(k id.Key) bool { return k == "k3" })
		if !slices.Equal(got, []id.Key{"k0", "k1", "k2"}) {
			t.Errorf("executed %v on the account that three of them share", got)
		}
	})
}

func TestBatch_KeepsTheOrderOnEachAccount(t *testing.T) {
	bubble(t, commit.Options{Lanes: 3, MaxGroup: 3}, func(t *testing.T, n *node) {
		n.store.onCommit = func(ledger.Changes) ending {
			time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
			return ending{}
		}
		accounts := []id.Account{"a", "b", "c", "d", "e", "f"}
		order := map[id.Account][]id.Key{}
		var answers []*answer
		for i := range 20 {
			var batch []ledger.Command
			for _, k := range keys(fmt.Sprintf("b%d/", i), 1+rand.IntN(20)) {
				from := rand.IntN(len(accounts))
				to := accounts[(from+1+rand.IntN(len(accounts)-1))%len(accounts)]
				order[accounts[from]], order[to] = append(order[accounts[from]], k), append(order[to], k)
				batch = append(batch, transfer(k, accounts[from], to, 1))
			}
			answers = append(answers, n.send(t.Context(), batch...))
		}
		pass(10 * time.Second)
		n.wantPosted(answers...)
		got := map[id.Account][]id.Key{}
		for _, k := range n.store.written() {
			for _, e := range n.store.journal[id.TransactionOf(brand, k)].Outcome.Entries {
				got[e.Ref.Account] = append(got[e.Ref.Account], k)
			}
		}
		for _, a := range accounts {
			if !slices.Equal(got[a], order[a]) {
				t.Errorf("account %s\n   executed %v\n   sent     %v", a, got[a], order[a])
			}
		}
		if n.store.most < 2 {
			t.Error("no two groups were ever in flight together")
		}
	})
}

func TestBatch_WhereItFailsHalfWayNothingMoreIsBegunAndARepeatDoesTheRest(t *testing.T) {
	for name, c := range map[string]struct {
		second ending // of the second group; then the database is away
		told   string
		again  []string
	}{
		"away": {
			ending{lost: true, err: errs.ErrUnavailable.With("cause", "connection")},
			"UNAVAILABLE",
			[]string{"again", "again", "posted", "posted", "posted", "posted"},
		},
		"unknown, and it stands": {ending{err: unknown}, "OUTCOME_UNKNOWN", []string{"again", "again", "again", "again", "posted", "posted"}},
		"unknown, and it does not": {
			ending{lost: true, err: unknown},
			"OUTCOME_UNKNOWN",
			[]string{"again", "again", "posted", "posted", "posted", "posted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, commit.Options{Lanes: 1, MaxGroup: 2, Patience: time.Second}, func(t *testing.T, n *node) {
				away := false
				n.store.inTurn(ending{}, c.second)
				n.store.onBegin = func(ledger.Needs) error {
					if away = away || n.store.begun == 2; away {
						return errs.ErrUnavailable.With("cause", "connection")
					}
					return nil
				}
				a := n.send(t.Context(), commandsOf("k")...)
				pass(2 * time.Second)
				if a.told() != nil {
					t.Fatal(a.told())
				}
				wantWords(t, a.results, "posted", "posted", c.told, c.told, "UNAVAILABLE", "UNAVAILABLE")
				n.wantMetric("meridian_commands_waiting", 0)
				if n.store.begun != 2 {
					t.Errorf("%d groups were begun, want the two", n.store.begun)
				}
				n.store.onBegin = nil
				b := n.send(t.Context(), commandsOf("k")...)
				pass(time.Second)
				wantWords(t, b.results, c.again...)
			})
		})
	}
}

func TestBatch_WhereNothingIsAnsweredTheCallFails(t *testing.T) {
	for name, c := range map[string]struct {
		first ending
		want  error
	}{
		"away":    {ending{lost: true, err: errs.ErrUnavailable.With("cause", "connection")}, errs.ErrUnavailable},
		"unknown": {ending{lost: true, err: unknown}, errs.ErrOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, commit.Options{Lanes: 1, MaxGroup: 2, Patience: time.Second}, func(t *testing.T, n *node) {
				n.store.inTurn(c.first)
				n.store.onBegin = func(ledger.Needs) error {
					if n.store.begun > 0 {
						return errs.ErrUnavailable.With("cause", "connection")
					}
					return nil
				}
				a := n.send(t.Context(), commandsOf("k")...)
				pass(2 * time.Second)
				if !errors.Is(a.told(), c.want) {
					t.Errorf("the caller was told %v, want %v", a.told(), c.want)
				}
				n.wantMetric("meridian_commands_waiting", 0)
			})
		})
	}
}

func TestBatch_WhatStandsBehindAPoisonedCommandIsNotExecuted(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
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
		first := n.send(t.Context(), transfer("first", "e", "f", 1))
		batch := n.send(t.Context(), transfer("k0", "a", "b", 1), transfer("poison", "a", "b", 1), transfer("k1", "a", "b", 1), transfer("k2", "c", "d", 1))
		neighbour := n.send(t.Context(), transfer("neighbour", "a", "b", 1))
		g <- ending{}
		n.wantPosted(first, neighbour)
		if batch.told() != nil {
			t.Fatal(batch.told())
		}
		wantWords(t, batch.results, "posted", "INTERNAL", "INTERNAL", "INTERNAL")
		if got := n.store.written(); !slices.Equal(got, []id.Key{"first", "k0", "neighbour"}) {
			t.Errorf("written %v", got)
		}
	})
}

func TestBatch_IsTakenOrRefusedWhole(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxGroup: 1, MaxQueue: 3}, func(t *testing.T, n *node) {
		g := n.store.gate()
		first := n.send(t.Context(), transfer("first", "a", "b", 1))
		refused := n.send(t.Context(), transfer("r0", "c", "d", 1), transfer("r1", "c", "d", 1), transfer("r2", "e", "f", 1), transfer("r3", "e", "f", 1))
		if !errors.Is(refused.told(), errs.ErrOverloaded) {
			t.Fatalf("four commands where three may wait: %v", refused.told())
		}
		n.wantMetric("meridian_overloaded_total", 1)
		n.wantMetric("meridian_commands_waiting", 0)
		taken := n.send(t.Context(), transfer("k0", "c", "d", 1), transfer("k1", "c", "d", 1), transfer("k2", "e", "f", 1))
		n.wantMetric("meridian_commands_waiting", 3)
		for range 4 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(first, taken)
		if got := n.store.written(); !slices.Equal(got, []id.Key{"first", "k0", "k1", "k2"}) {
			t.Errorf("written %v", got)
		}
	})
}

func TestBatch_WhoseCallerGoesAwayIsNotBegunAnyFurther(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxGroup: 2}, func(t *testing.T, n *node) {
		g := n.store.gate()
		ctx, cancel := context.WithCancel(t.Context())
		gone := n.send(ctx, commandsOf("k")...)
		cancel()
		synctest.Wait()
		if !errors.Is(gone.told(), errs.ErrCanceled) {
			t.Errorf("who went away was told %v", gone.told())
		}
		n.wantMetric("meridian_commands_waiting", 0)
		later := n.send(t.Context(), transfer("later", "a", "b", 1))
		for range 2 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(later)
		if got := n.store.written(); !slices.Equal(got, []id.Key{"k/0", "k/1", "later"}) {
			t.Errorf("written %v", got)
		}
	})
}

// The hold is made after the batch was looked at: which accounts its rollback touches was not known, and the transfer is not to overtake it.
func TestBatch_WithATargetThatIsNotThereStaysWhole(t *testing.T) {
	bubble(t, commit.Options{Lanes: 2, MaxGroup: 1}, func(t *testing.T, n *node) {
		n.store.onBehind = func() {
			n.store.onBehind = nil
			n.store.given(move(ledger.KindHold, "hold", "a", "b", 7))
		}
		a := n.send(t.Context(), aim(ledger.KindRollback, "rollback", "hold"), transfer("k", "a", "b", 1))
		n.wantPosted(a)
		if got := n.store.groups[len(n.store.groups)-1]; !slices.Equal(got, []id.Key{"rollback", "k"}) {
			t.Errorf("the last group was %v", got)
		}
	})
}
