package commit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestExecute_AnIdleNodeCommitsASingleCommandAtOnce(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		started := time.Now()
		o := n.do(transfer("k", "a", "b", 5))
		if o.Decided != ledger.Posted || o.Replayed || time.Since(started) != 0 {
			t.Errorf("%s, replayed=%t, after %s; want posted, first, at once", o.Decided, o.Replayed, time.Since(started))
		}
		if again := n.do(transfer("k", "a", "b", 5)); !again.Replayed {
			t.Error("a repeat is to be flagged as replayed")
		}
	})
}

func TestExecute_WhatGathersBehindAGroupIsTheNextOne(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxGroup: 4}, func(t *testing.T, n *node) {
		g := n.store.gate()
		var answers []*answer
		for _, k := range keys("k", 8) {
			answers = append(answers, n.send(t.Context(), transfer(k, "a", "b", 1)))
		}
		for range 3 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(answers...)
		var sizes []int
		for _, group := range n.store.groups {
			sizes = append(sizes, len(group))
		}
		if !slices.Equal(sizes, []int{1, 4, 3}) {
			t.Errorf("groups of %v, want one of the first, one that is full, one of the rest", sizes)
		}
		n.wantMetric("meridian_commands_waiting", 0)
		n.wantMetric("meridian_groups_in_flight", 0)
	})
}

func TestExecute_KeepsTheOrderOnAnAccount(t *testing.T) {
	bubble(t, commit.Options{Lanes: 3, MaxGroup: 3}, func(t *testing.T, n *node) {
		n.store.onCommit = func(ledger.Changes) ending {
			time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
			return ending{}
		}
		accounts := []id.Account{"a", "b", "c", "d", "e", "f"}
		order := map[id.Account][]id.Key{}
		var answers []*answer
		for _, k := range keys("k", 200) {
			from := accounts[rand.IntN(len(accounts))]
			to := accounts[rand.IntN(len(accounts))]
			if from == to {
				continue
			}
			order[from], order[to] = append(order[from], k), append(order[to], k)
			answers = append(answers, n.send(t.Context(), transfer(k, from, to, 1)))
			if rand.IntN(4) == 0 {
				pass(time.Millisecond)
			}
		}
		pass(time.Second)
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

func TestExecute_ABatchThatDoesNotFitIsNotOvertakenOnItsAccounts(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxGroup: 4}, func(t *testing.T, n *node) {
		n.store.given(move(ledger.KindHold, "h0", "a", "b", 1), move(ledger.KindHold, "h1", "c", "d", 1), move(ledger.KindHold, "h2", "c", "d", 1),
			move(ledger.KindHold, "h3", "c", "d", 1), move(ledger.KindHold, "h4", "c", "d", 1), move(ledger.KindHold, "h5", "c", "d", 1))
		g := n.store.gate()
		answers := []*answer{
			n.send(t.Context(), transfer("first", "e", "f", 1)), // keeps the lane busy
			n.sendBatch(t.Context(), atomic(aim(ledger.KindCommit, "s0", "h0"), aim(ledger.KindCommit, "s1", "h1"), aim(ledger.KindCommit, "s2", "h2"))),
			n.sendBatch(t.Context(), atomic(aim(ledger.KindCommit, "s3", "h3"), aim(ledger.KindCommit, "s4", "h4"), aim(ledger.KindCommit, "s5", "h5"))),
			n.send(t.Context(), transfer("later", "c", "e", 1)), // fits, and shares c with the batch that does not
		}
		for range 3 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(answers...)
		want := []id.Key{"first", "s0", "s1", "s2", "s3", "s4", "s5", "later"}
		if got := n.store.written()[6:]; !slices.Equal(got, want) {
			t.Errorf("executed %v, want %v", got, want)
		}
	})
}

func TestExecute_KeepsTheOrderOnAnAccountAcrossSetsOfHomes(t *testing.T) {
	bubble(t, commit.Options{Lanes: 2}, func(t *testing.T, n *node) {
		g := n.store.gate()
		answers := []*answer{
			n.send(t.Context(), transfer("k0", "a", "b", 1)), // in flight
			n.send(t.Context(), across("k1", "a", 1)),        // waits for a, in the queue of both homes
			n.send(t.Context(), transfer("k2", "a", "c", 1)), // came later, in the queue of eu
		}
		for range 3 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(answers...)
		if got := n.store.written(); !slices.Equal(got, []id.Key{"k0", "k1", "k2"}) {
			t.Errorf("executed %v, want the order of arrival", got)
		}
	})
}

func TestExecute_HomesDoNotWaitForEachOther(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		g := make(gate)
		n.store.onCommit = func(c ledger.Changes) ending {
			if c.Records[0].Home == "us" {
				return <-g
			}
			return ending{}
		}
		c := transfer("far", "a", "b", 1)
		c.Ledger = other
		far := n.send(t.Context(), c)
		for _, k := range keys("near", 5) {
			n.do(transfer(k, "a", "b", 1))
		}
		if far.there() {
			t.Fatal("the far home was to be slow")
		}
		g <- ending{}
		n.wantPosted(far)
	})
}

func TestExecute_SettlesBeforeItMovesBeforeEverythingElse(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxGroup: 1}, func(t *testing.T, n *node) {
		n.store.given(move(ledger.KindHold, "h", "c", "d", 1), transfer("t", "e", "f", 1))
		g := n.store.gate()
		answers := []*answer{
			n.send(t.Context(), transfer("first", "a", "b", 1)),
			n.send(t.Context(), ledger.Command{Kind: ledger.KindFreeze, Ledger: brand, Key: "freeze", Account: "x", Status: ledger.Frozen}),
			n.send(t.Context(), transfer("move", "a", "b", 1)),
			n.send(t.Context(), aim(ledger.KindReverse, "reverse", "t")),
			n.send(t.Context(), aim(ledger.KindRollback, "rollback", "h")),
		}
		for range answers {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(answers...)
		if got := n.store.written()[2:]; !slices.Equal(got, []id.Key{"first", "reverse", "rollback", "move", "freeze"}) {
			t.Errorf("executed %v", got)
		}
	})
}

func TestExecute_AFullQueueRefusesAtOnceAndForgetsWhoWentAway(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1, MaxQueue: 3}, func(t *testing.T, n *node) {
		g := n.store.gate()
		ctx, cancel := context.WithCancel(t.Context())
		answers := []*answer{n.send(t.Context(), transfer("in flight", "a", "b", 1))}
		gone := n.send(ctx, transfer("k1", "a", "b", 1), transfer("k2", "a", "b", 1), transfer("k3", "a", "b", 1))
		refused := n.send(t.Context(), transfer("k4", "c", "d", 1))
		if !refused.there() || !errors.Is(refused.told(), errs.ErrOverloaded) {
			t.Fatalf("a fourth command waits=%t, error %v; want OVERLOADED at once", !refused.there(), refused.told())
		}
		n.wantMetric("meridian_overloaded_total", 1)
		cancel()
		synctest.Wait()
		if !errors.Is(gone.told(), errs.ErrCanceled) {
			t.Errorf("who went away was told %v", gone.told())
		}
		taken := n.send(t.Context(), transfer("k5", "a", "b", 1))
		if taken.there() {
			t.Fatalf("where three went away there is room, and yet: %v", taken.told())
		}
		answers = append(answers, taken)
		for range 2 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(answers...)
		if got := n.store.written(); !slices.Equal(got, []id.Key{"in flight", "k5"}) {
			t.Errorf("written %v, want nothing of who went away", got)
		}
	})
}

func TestExecute_WhoGoesAwayWhileWaitingLeavesNoRow(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		g := n.store.gate()
		first := n.send(t.Context(), transfer("first", "a", "b", 1))
		late, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		ctx, cancel := context.WithCancel(t.Context())
		gone, expired := n.send(ctx, transfer("gone", "a", "b", 1)), n.send(late, transfer("late", "a", "b", 1))
		last := n.send(t.Context(), transfer("last", "a", "b", 1))
		cancel()
		pass(2 * time.Second)
		if !errors.Is(gone.told(), errs.ErrCanceled) || !errors.Is(expired.told(), errs.ErrDeadlineExceeded) {
			t.Errorf("answers %v and %v, want CANCELED and DEADLINE_EXCEEDED", gone.told(), expired.told())
		}
		for range 2 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(first, last)
		if got := n.store.written(); !slices.Equal(got, []id.Key{"first", "last"}) {
			t.Errorf("written %v", got)
		}
	})
}

func TestExecute_ADeadlineNeverCutsWhatWasSent(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		g := n.store.gate()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := n.send(ctx, transfer("k", "a", "b", 1))
		pass(2 * time.Second)
		if !errors.Is(a.told(), errs.ErrDeadlineExceeded) {
			t.Errorf("the caller was told %v", a.told())
		}
		g <- ending{}
		if o := n.do(transfer("k", "a", "b", 1)); !o.Replayed || o.Decided != ledger.Posted {
			t.Errorf("a retry says %s, replayed=%t; want the answer of the first", o.Decided, o.Replayed)
		}
	})
}

func TestDrain_AnswersEverythingAndTakesNothingMore(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		g := n.store.gate()
		first, second := n.send(t.Context(), transfer("k0", "a", "b", 1)), n.send(t.Context(), transfer("k1", "a", "b", 1))
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(t.Context()) }()
		synctest.Wait()
		if !n.Draining() {
			t.Error("Draining is to say so")
		}
		if late := n.send(t.Context(), transfer("k2", "a", "b", 1)); !errors.Is(late.told(), errs.ErrDraining) {
			t.Errorf("a command after Drain: %v", late.told())
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Drain(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 commands wait, 1 groups are in flight") {
			t.Errorf("an impatient Drain: %v", err)
		}
		for range 2 {
			g <- ending{}
			synctest.Wait()
		}
		n.wantPosted(first, second)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestDrain_DoesNotWaitForWhoWentAway(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		g := n.store.gate()
		first := n.send(t.Context(), transfer("k0", "a", "b", 1))
		ctx, cancel := context.WithCancel(t.Context())
		n.send(ctx, transfer("k1", "a", "b", 1))
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(t.Context()) }()
		synctest.Wait()
		cancel()
		g <- ending{}
		n.wantPosted(first)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}
