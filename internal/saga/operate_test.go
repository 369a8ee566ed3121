package saga_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
)

// mute is a provider that never answers.
func mute() simulate.Manner { return simulate.Manner{Deaf: 1 << 30} }

func (w *world) manner(m simulate.Manner) {
	w.desk.Manner = func(string, provider.Order) simulate.Manner { return m }
}

// stuck is a withdrawal whose order never arrives.
func stuck(t *testing.T) (*world, saga.Saga) {
	t.Helper()
	w := inMemory(t)
	w.manner(mute())
	s := w.run(w.start(saga.Withdrawal, "p", w.player("p"), false).ID, &death{})
	if s.State != saga.Stuck || s.Step != "pay" || s.Cause != "no_answer" || s.Awaits != "operator" {
		t.Fatalf("%+v", s)
	}
	return w, s
}

func TestOperators_SeeAStuckSagaExplained(t *testing.T) {
	w, s := stuck(t)
	standing, err := w.ops.Standing(t.Context(), brand.ID, saga.Page{Limit: 10})
	if err != nil || len(standing) != 1 || standing[0].ID != s.ID {
		t.Fatalf("%+v, %v", standing, err)
	}
	e, err := w.ops.Explain(t.Context(), brand.ID, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.Can, []saga.Choice{saga.Retry, saga.Compensate, saga.SayDone, saga.SayFailed}) || !strings.Contains(e.Next, "stuck at pay (no_answer)") {
		t.Errorf("%v, %s", e.Can, e.Next)
	}
	var stands []string
	for _, step := range e.Steps {
		stands = append(stands, step.Name+" "+step.Standing)
	}
	if got := strings.Join(stands, ", "); got != "request done, approve done, submit done, pay here, settle ahead" {
		t.Error(got)
	}
	if last := e.History[len(e.History)-1]; last.Event != "stuck" || last.Cause != "no_answer" {
		t.Errorf("%+v", last)
	}
}

func TestOperators_RetryAndCompensate(t *testing.T) {
	w, s := stuck(t)
	w.manner(simulate.Manner{})
	if _, err := w.ops.Retry(t.Context(), brand.ID, s.ID, "", ""); errs.Of(err).Code != errs.InvalidArgument {
		t.Errorf("nobody retries: %v", err)
	}
	if _, err := w.ops.Retry(t.Context(), brand.ID, s.ID, "alice", "it is back"); err != nil {
		t.Fatal(err)
	}
	if s = w.run(s.ID, &death{}); s.State != saga.Completed || w.payment(s.Progress.Payments[saga.Main]).State != "settled" {
		t.Errorf("retried: %+v", s)
	}
	if _, err := w.ops.Compensate(t.Context(), brand.ID, s.ID, "alice", ""); !errors.Is(err, saga.ErrState) {
		t.Errorf("money that is out is taken back: %v", err)
	}
	w, s = stuck(t)
	if _, err := w.ops.Compensate(t.Context(), brand.ID, s.ID, "alice", "the player asked"); err != nil {
		t.Fatal(err)
	}
	if s = w.run(s.ID, &death{}); s.State != saga.Compensated || w.payment(s.Progress.Payments[saga.Main]).State != "compensated" {
		t.Errorf("compensated: %+v", s)
	}
	w.manner(simulate.Manner{}) // an order that was on its way all the time arrives
	if late, err := w.desk.Submit(t.Context(), s.OrderKey("pay"), provider.Order{}); err != nil || late.State != provider.OrderCancelled {
		t.Errorf("after it was taken back, it is %+v, %v", late, err)
	}
}

func TestOperators_WhatTheProviderDidIsSaidByTwo(t *testing.T) {
	for choice, want := range map[saga.Choice]ledger.PaymentState{saga.SayDone: "settled", saga.SayFailed: "compensated", saga.Compensate: "compensated"} {
		w, s := stuck(t)
		if _, err := w.ops.Handover(t.Context(), brand.ID, s.ID, "alice", choice, ""); errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("without a reason: %v", err)
		}
		if _, err := w.ops.Handover(t.Context(), brand.ID, s.ID, "alice", choice, "ticket 42"); err != nil {
			t.Fatal(err)
		}
		if got := w.run(s.ID, &death{}); got.State != saga.Review || got.Awaits != "somebody other than alice" {
			t.Errorf("%+v", got)
		}
		if _, err := w.ops.Approve(t.Context(), brand.ID, s.ID, " Alice"); !errors.Is(err, saga.ErrFourEyes) {
			t.Errorf("she approves herself: %v", err)
		}
		if _, err := w.ops.Retry(t.Context(), brand.ID, s.ID, "bob", ""); !errors.Is(err, saga.ErrState) {
			t.Errorf("around the approval: %v", err)
		}
		if _, err := w.ops.Reject(t.Context(), brand.ID, s.ID, "bob", "not yet"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ops.Handover(t.Context(), brand.ID, s.ID, "alice", choice, "ticket 43"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ops.Approve(t.Context(), brand.ID, s.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		if s = w.run(s.ID, &death{}); !s.State.Ended() || w.payment(s.Progress.Payments[saga.Main]).State != want {
			t.Errorf("%s: %s, payment %s, want %s", choice, s.State, w.payment(s.Progress.Payments[saga.Main]).State, want)
		}
	}
}

func TestOperators_StartOnceUnderAKey(t *testing.T) {
	w := inMemory(t)
	w.player("p")
	q := saga.Request{Player: "p", Amount: eur(1000), Provider: "acme", Actor: "alice"}
	first, there, err := w.ops.Start(t.Context(), brand.ID, saga.Withdrawal, "k", q)
	if err != nil || there {
		t.Fatal(err)
	}
	if again, there, err := w.ops.Start(t.Context(), brand.ID, saga.Withdrawal, "k", q); err != nil || !there || again.ID != first.ID {
		t.Errorf("%+v, %v", again, err)
	}
	q.Amount = eur(1001)
	if _, _, err := w.ops.Start(t.Context(), brand.ID, saga.Withdrawal, "k", q); !errors.Is(err, errs.ErrIdempotencyMismatch) {
		t.Errorf("another request under the same key: %v", err)
	}
	for _, wrong := range []func(*saga.Request){
		func(q *saga.Request) { q.Amount = eur(0) }, func(q *saga.Request) { q.Amount.Asset = "XXX" }, func(q *saga.Request) { q.Player = "" },
		func(q *saga.Request) { q.Actor = "" }, func(q *saga.Request) { q.Provider = "A B" }, func(q *saga.Request) { b := eur(1); q.Bonus = &b },
		func(q *saga.Request) { q.Parent = first.ID },
	} {
		bad := q
		wrong(&bad)
		if _, _, err := w.ops.Start(t.Context(), brand.ID, saga.Withdrawal, "k2", bad); errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A player whom compliance looks at: the saga waits, says for whom, and goes on when the payment was released; or gives the money back.
func TestSagas_WaitForWhoHasToDecide(t *testing.T) {
	for on, want := range map[ledger.Trigger]ledger.PaymentState{"release": "settled", "reject": "rejected"} {
		w := inMemory(t)
		deposit := w.player("p")
		w.profile(ledger.PlayerChange{Player: "p", AML: ledger.AMLFlagged})
		s := w.run(w.start(saga.Withdrawal, "p", deposit, false).ID, &death{})
		if s.State != saga.Waiting || s.Awaits != "compliance" || s.Cause != "aml" || s.Step != "approve" {
			t.Fatalf("%+v", s)
		}
		w.clock.Forward(w.clock.Now().Add(time.Hour))
		w.profile(ledger.PlayerChange{Player: "p", AML: ledger.AMLClear})
		w.step(s.Progress.Payments[saga.Main], "withdrawal", on)
		if s = w.run(s.ID, &death{}); !s.State.Ended() || w.payment(s.Progress.Payments[saga.Main]).State != want {
			t.Errorf("%s: %s at %s, payment %s", on, s.State, s.Step, w.payment(s.Progress.Payments[saga.Main]).State)
		}
	}
}

// A gate that closes when money is set aside already is for a person to judge.
func TestSagas_AreStuckWhereAGateClosesOnTheWay(t *testing.T) {
	w := inMemory(t)
	s := w.start(saga.Deposit, "p", w.player("p"), false)
	w.manner(simulate.Manner{Pending: 1})
	w.run(s.ID, &death{at: 8, after: true})
	w.profile(ledger.PlayerChange{Player: "p", AML: ledger.AMLFlagged})
	s = w.run(s.ID, &death{})
	if s.State != saga.Stuck || s.Step != "capture" || s.Cause != "gate_closed" || s.Awaits != "compliance" {
		t.Fatalf("%+v", s)
	}
	w.profile(ledger.PlayerChange{Player: "p", AML: ledger.AMLClear})
	if _, err := w.ops.Retry(t.Context(), brand.ID, s.ID, "bob", "cleared"); err != nil {
		t.Fatal(err)
	}
	if s = w.run(s.ID, &death{}); s.State != saga.Completed {
		t.Fatalf("%+v", s)
	}
	if _, err := w.ops.Compensate(t.Context(), brand.ID, s.ID, "bob", "the bonus was a mistake"); err != nil {
		t.Fatal(err)
	}
	s = w.run(s.ID, &death{})
	if p := s.Progress.Payments; s.State != saga.Compensated || w.payment(p[saga.Bonus]).State != "forfeited" || w.payment(p[saga.Main]).State != "settled" {
		t.Errorf("%+v", s)
	}
}

// Every step has bounds, and a step whose order can not be taken back is the last that can be refused without a person.
func TestFlows_AreWhole(t *testing.T) {
	for name, flow := range saga.Flows {
		ordered := false
		for _, step := range flow.Steps {
			if step.Deadline <= 0 || step.Attempts <= 0 || step.Retry.First <= 0 || step.Retry.Last < step.Retry.First {
				t.Errorf("%s: %s has no bounds", name, step.Name)
			}
			if step.Do.Order != "" {
				if ordered = true; !step.Undo.Cancel || len(step.Do.From) == 0 {
					t.Errorf("%s: the order of %s can not be taken back, or is given in any state", name, step.Name)
				}
				continue
			}
			if ordered && step.Do.Of == saga.Main && !step.Must {
				t.Errorf("%s: %s gives up after money has moved", name, step.Name)
			}
		}
	}
}
