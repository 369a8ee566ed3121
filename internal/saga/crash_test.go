package saga_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
)

// tale is a flow, how the provider answers, what people do, and how it has to end.
type tale struct {
	name    string
	flow    saga.Name
	manner  simulate.Manner
	before  func(w *world, player id.Player)  // after the deposit of the player
	person  func(w *world, s saga.Saga) error // once it is stuck or in review
	four    bool
	state   saga.State
	main    payment.State
	bonus   payment.State
	cause   string
	moved   int   // how often money moves at the provider
	cash    int64 // of the player at the end; it begins with 10 000
	refused bool  // the first step was: there is no payment that was accepted
}

func deaf(lost int, deafTo int, decline bool) simulate.Manner {
	return simulate.Manner{Lose: lost, Deaf: deafTo, Decline: decline}
}

func compensates(w *world, s saga.Saga) error {
	_, err := w.ops.Compensate(w.t.Context(), brand.ID, s.ID, "bob", "as the player asked")
	if s.State != saga.Stuck && errs.Of(err).Reason == errs.ReasonDecided { // it has ended, or turned around, already
		return nil
	}
	return err
}

func approves(w *world, s saga.Saga) error {
	_, err := w.ops.Approve(w.t.Context(), brand.ID, s.ID, "bob")
	return err
}

func tales() []tale {
	all := []tale{}
	for _, f := range []struct {
		flow           saga.Name
		paid, back     payment.State
		bonus          payment.State
		cash, cashBack int64
		closes         func(w *world, player id.Player)
	}{
		{flow: saga.Withdrawal, paid: "settled", back: "compensated", cash: 9000, cashBack: 10_000},
		{flow: saga.Refund, paid: "settled", back: "compensated", cash: 9000, cashBack: 10_000},
		{flow: saga.Deposit, paid: "settled", back: "voided", bonus: "granted", cash: 11_000, cashBack: 10_000},
	} {
		for _, m := range []struct {
			name   string
			manner simulate.Manner
			moved  int
		}{
			{"the provider accepts", simulate.Manner{}, 1},
			{"the provider takes its time", simulate.Manner{Pending: 3}, 1},
			{"the provider does not answer, and has accepted", deaf(1, 0, false), 1},
			{"the provider does not answer, takes its time, and accepts", simulate.Manner{Lose: 1, Pending: 2}, 1},
			{"the provider does not answer, and never heard of it", deaf(0, 2, false), 1},
			{"the provider never hears, and then loses its answer", deaf(1, 1, false), 1},
			{"the provider declines", deaf(0, 0, true), 0},
			{"the provider does not answer, and has declined", deaf(1, 0, true), 0},
		} {
			one := tale{name: string(f.flow) + ": " + m.name, flow: f.flow, manner: m.manner, moved: m.moved, state: saga.Completed, main: f.paid, bonus: f.bonus, cash: f.cash}
			if m.manner.Decline {
				one.state, one.main, one.bonus, one.cash, one.cause = saga.Compensated, f.back, "", f.cashBack, "refused_by_bank"
			}
			all = append(all, one)
		}
	}
	tooMuch := func(w *world, player id.Player) {
		amount := eur(9500)
		w.posted(ledger.Command{Kind: ledger.KindStep, Amount: &amount, Step: &ledger.Step{Payment: payment.Bet, Trigger: "accept", Player: player}})
	}
	excluded := func(w *world, player id.Player) {
		w.profile(ledger.PlayerChange{Player: player, Status: ledger.PlayerSuspended})
	}
	return append(all,
		tale{name: "withdrawal: there is no money", flow: saga.Withdrawal, before: tooMuch, state: saga.Compensated, cause: "insufficient_funds", refused: true, cash: 500},
		tale{name: "refund: the money is gone", flow: saga.Refund, before: tooMuch, state: saga.Compensated, cause: "insufficient_funds", refused: true, cash: 500},
		tale{name: "deposit: a gate is closed", flow: saga.Deposit, before: excluded, state: saga.Compensated, cause: "gate_closed", refused: true, cash: 10_000},
		tale{name: "withdrawal: two people", flow: saga.Withdrawal, four: true, person: approves, state: saga.Completed, main: "settled", moved: 1, cash: 9000},
		tale{name: "refund: two people", flow: saga.Refund, four: true, person: approves, state: saga.Completed, main: "settled", moved: 1, cash: 9000},
		tale{
			name: "withdrawal: not approved", flow: saga.Withdrawal, four: true, state: saga.Compensated, main: "cancelled", cause: "rejected", cash: 10_000,
			person: func(w *world, s saga.Saga) error {
				_, err := w.ops.Reject(w.t.Context(), brand.ID, s.ID, "bob", "unusual")
				return err
			},
		},
	)
}

// begin makes a world where a tale begins.
func (tl tale) begin(w *world, player id.Player) saga.Saga {
	w.t.Helper()
	w.desk.Manner = func(string, provider.Order) simulate.Manner { return tl.manner }
	deposit := w.player(player)
	if tl.before != nil {
		tl.before(w, player)
	}
	return w.start(tl.flow, player, deposit, tl.four)
}

// end lets people and workers go on to the end.
func (tl tale) end(w *world, s saga.Saga) saga.Saga {
	w.t.Helper()
	for range 5 {
		if s = w.run(s.ID, &death{}); s.State.Ended() {
			return s
		}
		if tl.person == nil {
			w.t.Fatalf("%s: it stands still: %s %s %s", tl.name, s.State, s.Cause, s.Detail)
		}
		if err := tl.person(w, s); err != nil {
			w.t.Fatalf("%s: %v", tl.name, err)
		}
	}
	w.t.Fatalf("%s: people and workers never end", tl.name)
	return saga.Saga{}
}

// judge proves that a saga ended as its tale says.
func (tl tale) judge(w *world, s saga.Saga, player id.Player) {
	w.t.Helper()
	if s.State != tl.state || s.Cause != tl.cause {
		w.t.Errorf("it is %s because of %q (%s), want %s because of %q", s.State, s.Cause, s.Detail, tl.state, tl.cause)
	}
	made := s.Progress.Payments
	if tl.refused != made[saga.Main].IsZero() {
		w.t.Errorf("its payments are %v", made)
	}
	if !tl.refused && w.payment(made[saga.Main]).State != tl.main {
		w.t.Errorf("the payment is %s, want %s", w.payment(made[saga.Main]).State, tl.main)
	}
	if (tl.bonus == "") != made[saga.Bonus].IsZero() || tl.bonus != "" && w.payment(made[saga.Bonus]).State != tl.bonus {
		w.t.Errorf("the bonus is %v, want %s", made[saga.Bonus], tl.bonus)
	}
	moved := 0
	for key, n := range w.desk.Moved() {
		if n > 1 {
			w.t.Errorf("under %s money moved %d times", key, n)
		}
		if slices.Contains([]string{s.OrderKey("pay"), s.OrderKey("charge"), s.OrderKey("give_back")}, key) {
			moved += n
		}
	}
	if moved != tl.moved {
		w.t.Errorf("money moved %d times at the provider, want %d", moved, tl.moved)
	}
	lines, err := w.tables.SagaLines(w.t.Context(), "eu", brand.ID, s.ID, 0, 1000)
	if err != nil || int64(len(lines)) != s.Progress.Lines {
		w.t.Errorf("%d lines of history, %d are counted, %v", len(lines), s.Progress.Lines, err)
	}
	for i, l := range lines {
		if l.Number != int64(i)+1 || l.Actor == "" {
			w.t.Errorf("line %d of the history: %+v", i+1, l)
		}
	}
	if e := saga.ExplainLines(s, lines); len(e.Steps) != len(saga.Flows[s.Flow].Steps) || e.Next == "" {
		w.t.Errorf("it is not explained: %+v", e)
	}
}

// balanced proves books in memory: everything adds up to zero, no money of anybody waits, and the player has what the tale says.
func (tl tale) balanced(w *world, player id.Player) {
	w.t.Helper()
	b := w.books.(*ledgerInMemory).books
	var sum money.Amount
	for ref, a := range b.Accounts {
		net, _ := a.PostedCredits.Sub(a.PostedDebits)
		sum, _ = sum.Add(net)
		if ref.Account == id.Account("player:"+string(player)+":cash:EUR") && net != money.FromInt64(tl.cash) {
			w.t.Errorf("the player has %s, want %d", net, tl.cash)
		}
		bets := tl.before != nil && tl.cash == 500 // the stake of a bet waits
		if ref.Account == id.Account("player:"+string(player)+":pending:EUR") && !net.IsZero() && !bets {
			w.t.Errorf("%s wait", net)
		}
	}
	if !sum.IsZero() {
		w.t.Errorf("the books do not balance: %s", sum)
	}
}

// Every process dies at every point of every tale: before each call to anything outside has its effect, and after each before the answer. Another
// one takes over, and everything ends as if nothing had happened.
func TestSagas_EndTheSameWhereverTheProcessDies(t *testing.T) {
	points := 0
	for _, tl := range tales() {
		t.Run(tl.name, func(t *testing.T) {
			calls := &death{}
			w := inMemory(t)
			s := tl.begin(w, "p")
			s = w.run(s.ID, calls)
			s = tl.end(w, s)
			tl.judge(w, s, "p")
			tl.balanced(w, "p")
			if t.Failed() {
				return
			}
			for n := 1; n <= calls.calls; n++ {
				for _, after := range []bool{false, true} {
					w := inMemory(t)
					s := tl.begin(w, "p")
					d := &death{at: n, after: after}
					if s = w.run(s.ID, d); !d.killed {
						t.Fatalf("at call %d of %d nobody died", n, calls.calls)
					}
					s = tl.end(w, s)
					tl.judge(w, s, "p")
					tl.balanced(w, "p")
					points++
					if t.Failed() {
						t.Fatalf("it died at call %d, after its effect: %t", n, after)
					}
				}
			}
		})
	}
	t.Logf("%d deaths", points)
}

// Two deaths in a row, at every pair of points of the tales in which most is in doubt.
func TestSagas_EndTheSameWhenTheNextProcessDiesToo(t *testing.T) {
	for _, tl := range tales() {
		if tl.manner.Lose == 0 && !tl.manner.Decline || tl.manner.Pending > 0 {
			continue
		}
		for n := 1; n < 30; n++ {
			for m := 1; m < 14; m++ {
				w := inMemory(t)
				s := tl.begin(w, "p")
				first, second := &death{at: n, after: n%2 == 0}, &death{at: m, after: true}
				w.run(s.ID, first)
				w.run(s.ID, second)
				s = tl.end(w, s)
				tl.judge(w, s, "p")
				tl.balanced(w, "p")
				if t.Failed() {
					t.Fatalf("%s: it died at call %d and then at %d", tl.name, n, m)
				}
			}
		}
	}
}

// A person takes the saga back after each call of the worker, which dies there. Whatever had happened: all of it is taken back, or it was too late
// and all of it stands; never a part of it.
func TestSagas_ThatPeopleTakeBackAtAnyPointEndWhole(t *testing.T) {
	ends := map[string]int{}
	for _, tl := range tales() {
		if tl.refused || tl.four || tl.manner.Decline {
			continue
		}
		for n := 1; n < 60; n++ {
			w := inMemory(t)
			s := tl.begin(w, "p")
			d := &death{at: n, after: n%3 != 0}
			if w.run(s.ID, d); !d.killed {
				break
			}
			s, err := w.tables.Saga(t.Context(), "eu", brand.ID, s.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := compensates(w, s); err != nil {
				t.Fatal(err)
			}
			if s = w.run(s.ID, &death{}); !s.State.Ended() {
				t.Fatalf("%s, taken back after call %d: it is %s: %s %s", tl.name, n, s.State, s.Cause, s.Detail)
			}
			main, moved := w.payment(s.Progress.Payments[saga.Main]).State, 0
			for _, times := range w.desk.Moved() {
				moved += times
			}
			ends[fmt.Sprintf("%s %s %s, moved %d", s.Flow, s.State, main, moved)]++
			whole := moved == 1 && main == "settled" || moved == 0 && slices.Contains([]payment.State{"cancelled", "compensated", "rejected", "voided"}, main)
			bonus := s.Progress.Payments[saga.Bonus]
			if s.State == saga.Compensated && !bonus.IsZero() && w.payment(bonus).State != "forfeited" || s.State == saga.Completed && main != "settled" {
				whole = false
			}
			if !whole {
				t.Fatalf("%s, taken back after call %d: %s, payment %s, moved %d", tl.name, n, s.State, main, moved)
			}
		}
	}
	t.Log(ends)
}

// A worker that lost its lease without knowing goes on, and nothing of what it does counts.
func TestSagas_AWorkerWithoutTheLeaseWritesNothing(t *testing.T) {
	w := inMemory(t)
	s := w.start(saga.Withdrawal, "p", w.player("p"), false)
	old, lease := w.process(&death{}), w.lease()
	w.lease()
	if _, err := old.Turn(context.Background(), lease); err == nil {
		t.Fatal("it wrote under a lease that somebody else has")
	}
	if s, _ := w.tables.Saga(t.Context(), "eu", brand.ID, s.ID); s.Version != 1 || len(w.desk.Submitted()) > 0 {
		t.Errorf("version %d, and the provider heard %v", s.Version, w.desk.Submitted())
	}
	tales()[0].judge(w, w.run(s.ID, &death{}), "p")
}
