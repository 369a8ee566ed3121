package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Books are what sagas need of the ledger.
type Books interface {
	// Execute is that of ledger.Service.
	Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error)
	// Payment returns a payment as it is now, or errs.ErrPaymentNotFound.
	Payment(ctx context.Context, ledger id.Ledger, payment id.Transaction) (ledger.Payment, error)
}

// Causes that are not the reason of a refusal.
const (
	causeNoDesk   = "no_desk"   // this node does not know where orders are given to the provider
	causeNoAnswer = "no_answer" // the provider did not answer
	causeInFlight = "in_flight" // an order may still be on its way
	causePending  = "pending"   // the provider has not decided
	causeBooks    = "books"     // the books can not be asked
	causeApproval = "approval"  // somebody else has to approve
)

// act does the step that a saga is at, or takes it back. It changes the progress of s alone: what it learned. The error says that nothing more may be
// written: the lease is lost, or somebody else has changed the saga.
func (w *sitting) act(ctx context.Context, s *Saga) (answer, error) {
	flow := Flows[s.Flow]
	step := flow.Steps[flow.at(s.Step)]
	action := step.Do
	if s.Progress.Back {
		action = step.Undo
	}
	switch {
	case action.none():
		return answer{kind: done}, nil
	case action.Cancel:
		return w.cancel(ctx, s, step), nil
	case action.Order != "":
		return w.order(ctx, s, step)
	case s.Progress.Back && s.Progress.Payments[action.Of].IsZero():
		return w.findOut(ctx, s, step), nil
	}
	return w.book(ctx, s, step, action, s.Progress.Back), nil
}

// findOut makes sure whether a payment was made by a step that is to be taken back and whose answer nobody has: it is asked for again under the same
// key, because a command that is on its way can not be told from one that never was sent.
func (w *sitting) findOut(ctx context.Context, s *Saga, step Step) answer {
	a := w.book(ctx, s, step, step.Do, false)
	switch a.kind {
	case refused:
		return answer{kind: done, cause: a.cause, detail: "it was never done: " + a.detail}
	case done, waiting, again:
		return answer{kind: again, soon: true}
	case pending, unknown, late, broken:
	}
	return a
}

// book takes a payment further.
func (w *sitting) book(ctx context.Context, s *Saga, step Step, a Action, back bool) answer {
	made := s.Progress.Payments[a.Of]
	state := payment.New
	if !made.IsZero() {
		p, err := w.Books.Payment(ctx, s.Ledger, made)
		if err != nil {
			return answer{kind: unknown, cause: causeBooks, detail: err.Error()}
		}
		switch state = p.State; {
		case slices.Contains(a.Until, state):
			return answer{kind: done}
		case slices.Contains(a.Late, state):
			return answer{kind: late, cause: string(state), detail: "the payment is " + string(state)}
		case a.On[state] == "" && p.Review != nil:
			return answer{
				kind: waiting, cause: p.Review.Gate, awaits: p.Review.Next,
				detail: "the payment is under review: " + p.Review.Gate + " " + p.Review.Cause,
			}
		case a.On[state] == "":
			return answer{kind: refused, cause: attempt.Word("payment_" + string(state)), detail: "somebody else made the payment " + string(state)}
		}
	}
	o, err := w.execute(ctx, s.command(step, a, made, a.On[state], back))
	switch {
	case err != nil && (errs.Transient(err) || errors.Is(err, errs.ErrInternal)):
		return answer{kind: unknown, cause: causeBooks, detail: err.Error()}
	case errors.Is(err, errs.ErrIdempotencyMismatch):
		return answer{kind: broken, cause: "key_taken", detail: err.Error()}
	case err != nil:
		return answer{kind: refused, cause: word(errs.Of(err).Reason), detail: err.Error()}
	}
	if o.Decided == ledger.Posted {
		if made.IsZero() {
			s.Progress.Payments = with(s.Progress.Payments, a.Of, o.Transaction)
		}
		if slices.Contains(a.Until, o.Step.To) {
			return answer{kind: done}
		}
		s.spend(step.Name, back)
		return answer{kind: again, soon: true}
	}
	s.spend(step.Name, back)
	detail := facts(o)
	if o.Reason == errs.ReasonGateClosed && !back && !made.IsZero() { // money is set aside already: whether it goes back is for a person to say
		return answer{kind: broken, cause: word(o.Reason), detail: detail, awaits: o.Detail["next"]}
	}
	if o.Reason == errs.ReasonTransitionRefused { // the payment has moved since it was looked at
		return answer{kind: again, soon: s.Attempts < 3, cause: word(o.Reason), detail: detail}
	}
	return answer{kind: refused, cause: word(o.Reason), detail: detail}
}

func (w *sitting) execute(ctx context.Context, c ledger.Command) (ledger.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Limits.Call)
	defer cancel()
	results, err := w.Books.Execute(ctx, ledger.Batch{Commands: []ledger.Command{c}})
	if err != nil {
		return ledger.Outcome{}, err
	}
	return results[0].Outcome, results[0].Err
}

// command is what a step asks of the books. All of it comes from what is stored, so that it is the same each time.
func (s Saga) command(step Step, a Action, made id.Transaction, on payment.Trigger, back bool) ledger.Command {
	kind, amount := Flows[s.Flow].Kind, s.Request.Amount
	if a.Of == Bonus {
		kind, amount = payment.Bonus, *s.Request.Bonus
	}
	c := ledger.Command{
		Kind: ledger.KindStep, Ledger: s.Ledger, Key: s.commandKey(step.Name, back), Target: made, Correlation: "saga/" + s.ID.String(),
		Step: &ledger.Step{Payment: kind, Trigger: on, Evidence: "saga/" + s.ID.String(), Actor: s.Request.Actor},
	}
	if step.Approval && s.Progress.ApprovedBy != "" {
		c.Step.Actor = s.Progress.ApprovedBy
	}
	if made.IsZero() {
		c.Amount, c.Step.Player, c.Step.Provider = &amount, s.Request.Player, string(s.Request.Provider)
		if a.Of == Main {
			c.Step.Parent = s.Request.Parent
		}
		return c
	}
	if a.Of == Main && !back {
		c.Step.ProviderReference = s.Progress.Reference
	}
	return c
}

// spend gives the step another key: the answer under this one is final.
func (s *Saga) spend(step string, back bool) {
	s.Progress.Spent = with(s.Progress.Spent, way(step, back), s.Progress.Spent[way(step, back)]+1)
}

// order gives an order, once its step is written down as ordered. One that may have been given is asked for first.
func (w *sitting) order(ctx context.Context, s *Saga, step Step) (answer, error) {
	if s.Progress.Said != "" {
		return ordered(s, provider.OrderStatus{State: s.Progress.Said, Cause: "said_by_two", Reference: s.Progress.Reference}), nil
	}
	desk := w.Desks[s.Request.Provider]
	if desk == nil {
		return answer{kind: unknown, cause: causeNoDesk, detail: "no orders can be given to " + string(s.Request.Provider) + " here: see orders in the file of providers"}, nil
	}
	key := s.orderKey(step.Name)
	if _, doubt := s.Progress.Ordered[step.Name]; doubt {
		status, err := w.ask(ctx, func(ctx context.Context) (provider.OrderStatus, error) { return desk.Status(ctx, key) })
		if err != nil {
			return noAnswer(err), nil
		}
		if status.State != provider.OrderMissing {
			return ordered(s, status), nil
		}
	}
	p, err := w.Books.Payment(ctx, s.Ledger, s.Progress.Payments[Main])
	switch {
	case err != nil:
		return answer{kind: unknown, cause: causeBooks, detail: err.Error()}, nil
	case slices.Contains(step.Do.Until, p.State):
		return answer{kind: done}, nil
	case !slices.Contains(step.Do.From, p.State):
		return answer{kind: refused, cause: attempt.Word("payment_" + string(p.State)), detail: "somebody else made the payment " + string(p.State)}, nil
	}
	o := provider.Order{
		Operation: step.Do.Order, Payment: s.Progress.Payments[Main].String(), Recipient: string(s.Request.Player), Amount: s.Request.Amount.Minor,
		Currency: s.Request.Amount.Asset,
	}
	if !s.Request.Parent.IsZero() {
		parent, err := w.Books.Payment(ctx, s.Ledger, s.Request.Parent)
		if err != nil {
			return answer{kind: unknown, cause: causeBooks, detail: err.Error()}, nil
		}
		o.Original = parent.ProviderReference
	}
	now := micros(w.Now())
	s.Progress.Ordered = with(s.Progress.Ordered, step.Name, now)
	s.ChangedAt = now
	if err := w.write(ctx, s, &Line{Step: s.Step, Event: "ordered", Detail: "under the key " + key, At: now}); err != nil {
		return answer{}, err
	}
	status, err := w.ask(ctx, func(ctx context.Context) (provider.OrderStatus, error) { return desk.Submit(ctx, key, o) })
	if err != nil {
		return noAnswer(err), nil
	}
	return ordered(s, status), nil
}

// ask bounds a question to a provider.
func (w *sitting) ask(ctx context.Context, question func(context.Context) (provider.OrderStatus, error)) (provider.OrderStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Limits.Call)
	defer cancel()
	return question(ctx)
}

func noAnswer(err error) answer {
	return answer{kind: unknown, cause: causeNoAnswer, detail: "the provider did not answer, and is asked how the order stands: " + err.Error(), awaits: "provider"}
}

// ordered is what the word of a provider comes to.
func ordered(s *Saga, status provider.OrderStatus) answer {
	if status.Reference != "" {
		s.Progress.Reference = status.Reference
	}
	switch status.State {
	case provider.OrderDone:
		return answer{kind: done}
	case provider.OrderDeclined, provider.OrderCancelled:
		return answer{kind: refused, cause: attempt.Word(cmp.Or(status.Cause, string(status.State))), detail: "the provider says that the order is " + string(status.State)}
	case provider.OrderPending:
		return answer{kind: pending, cause: causePending, detail: "the provider has not decided", awaits: "provider"}
	case provider.OrderMissing:
	}
	return answer{kind: unknown, cause: causeNoAnswer, detail: fmt.Sprintf("the provider says that an order which was just given is %s", status.State)}
}

// cancel takes an order back.
func (w *sitting) cancel(ctx context.Context, s *Saga, step Step) answer {
	last, given := s.Progress.Ordered[step.Name]
	if !given {
		return answer{kind: done}
	}
	status := provider.OrderStatus{State: s.Progress.Said, Reference: s.Progress.Reference}
	if s.Progress.Said == "" {
		desk := w.Desks[s.Request.Provider]
		if desk == nil {
			return answer{kind: unknown, cause: causeNoDesk, detail: "no orders can be taken back from " + string(s.Request.Provider) + " here"}
		}
		var err error
		status, err = w.ask(ctx, func(ctx context.Context) (provider.OrderStatus, error) {
			return desk.Cancel(ctx, s.orderKey(step.Name))
		})
		if err != nil {
			return noAnswer(err)
		}
	}
	switch status.State {
	case provider.OrderCancelled, provider.OrderDeclined:
		return answer{kind: done}
	case provider.OrderDone:
		if status.Reference != "" {
			s.Progress.Reference = status.Reference
		}
		return answer{kind: late, cause: "provider_done", detail: "the provider has done it already"}
	case provider.OrderMissing: // it keeps no mark of what it never heard of: let what is on its way arrive
		if w.Now().Sub(last) > 2*w.Limits.Call+time.Minute {
			return answer{kind: done}
		}
		return answer{kind: pending, cause: causeInFlight, detail: "the order may still be on its way"}
	case provider.OrderPending:
	}
	return answer{kind: pending, cause: causePending, detail: "the provider has not decided", awaits: "provider"}
}

// with returns a map with one more pair. Maps of a saga are shared between its versions, and never changed.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	more := make(map[K]V, len(m)+1)
	for key, value := range m {
		more[key] = value
	}
	more[k] = v
	return more
}

// word is a reason as a cause.
func word(r errs.Reason) string { return attempt.Word(strings.ToLower(string(r))) }

// facts are what a decline says, in a fixed order.
func facts(o ledger.Outcome) string {
	text := string(o.Reason)
	for _, k := range sortedKeys(o.Detail) {
		text += " " + k + "=" + o.Detail[k]
	}
	return attempt.Brief(text)
}
