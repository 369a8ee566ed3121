// Package step turns what a provider says into a step of the payment that it speaks of.
//
// It promises that an envelope takes at most one step, under the key of the envelope, however often it is applied; that what comes too early leaves
// nothing under that key and can be applied later; and that what contradicts the payment for good is refused and stays in its history. It relies
// on the tables of package payment to tell the two apart, on a dry run to ask before anything is stored, and on package provider to call it
// again. A provider takes steps of its own payments alone.
package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Causes of what is refused here, besides the reasons of the books.
const (
	CauseAmbiguous = "ambiguous_reference" // several payments have the reference
	CauseStranger  = "other_provider"      // the payment is at another provider
)

// Steps apply envelopes. They are safe for concurrent use.
type Steps struct {
	Books    ledger.Service
	Payments ledger.Payments
}

// Known tells whether some kind of payment has a trigger.
func Known(trigger string) bool {
	return slices.ContainsFunc(payment.Tables, func(t payment.Table) bool { return slices.Contains(t.Triggers(), payment.Trigger(trigger)) })
}

// Apply is a provider.Apply.
func (s Steps) Apply(ctx context.Context, e provider.Envelope) provider.Answer {
	p, answer := s.find(ctx, e)
	if answer.Verdict != "" {
		return answer
	}
	command := commandOf(e, p)
	would, err := s.execute(ctx, command, true)
	switch {
	case err != nil:
		return failed(err)
	case would.Replayed:
		return settled(would)
	case would.Decided == ledger.Declined && !final(would):
		return wait(would)
	case would.Decided == ledger.Declined:
		if known, err := s.confirms(ctx, p, command, would); err != nil {
			return failed(err)
		} else if known {
			return provider.Answer{Verdict: provider.Done, Cause: would.Detail["cause"], Detail: "the payment has taken this step already, at our own request"}
		}
	}
	o, err := s.execute(ctx, command, false)
	if err != nil {
		return failed(err)
	}
	return settled(o)
}

// find returns the payment that an envelope is about, or why there is none.
func (s Steps) find(ctx context.Context, e provider.Envelope) (ledger.Payment, provider.Answer) {
	if key, err := id.ParseTransaction(e.Payment); err == nil {
		p, err := s.Payments.Payment(ctx, e.Ledger, key)
		switch {
		case err == nil:
			return p, ours(p, e)
		case !errors.Is(err, errs.ErrPaymentNotFound):
			return p, failed(err)
		}
	}
	if e.Reference != "" {
		found, err := s.Payments.PaymentsByReference(ctx, e.Ledger, string(e.Provider), e.Reference, 2)
		switch {
		case err != nil:
			return ledger.Payment{}, failed(err)
		case len(found) == 1:
			return found[0], provider.Answer{}
		case len(found) > 1:
			return ledger.Payment{}, provider.Answer{Verdict: provider.Refused, Cause: CauseAmbiguous, Detail: "several payments have the reference; name the payment"}
		}
	}
	return ledger.Payment{}, provider.Answer{Verdict: provider.NotYet, Detail: "there is no payment of this id or reference yet"}
}

// ours refuses to let a provider move payments of another one.
func ours(p ledger.Payment, e provider.Envelope) provider.Answer {
	if p.Provider != "" && p.Provider != string(e.Provider) {
		return provider.Answer{Verdict: provider.Refused, Cause: CauseStranger, Detail: fmt.Sprintf("payment %s is at provider %s", p.ID, p.Provider)}
	}
	return provider.Answer{}
}

// commandOf makes the command of an envelope. It looks at nothing of the payment that ever changes: the command is the same when it is made again.
func commandOf(e provider.Envelope, p ledger.Payment) ledger.Command {
	c := ledger.Command{
		Kind: ledger.KindStep, Ledger: e.Ledger, Key: e.Key(), Target: p.ID,
		Step: &ledger.Step{
			Payment: p.Kind, Trigger: ledger.Trigger(e.Trigger), Provider: string(e.Provider), ProviderReference: e.Reference,
			Evidence: string(e.Key()), Actor: "provider/" + string(e.Provider),
		},
	}
	if e.OccurredAt.Before(e.ReceivedAt) { // a clock that is ahead of ours is not believed
		c.EffectiveAt = e.OccurredAt
	}
	if e.HasAmount && takesAmount(p.Kind, c.Step.Trigger) {
		c.Amount = &ledger.Money{Minor: e.Amount, Asset: p.Asset.Code}
		if e.Currency != "" {
			c.Amount.Asset = e.Currency
		}
	}
	return c
}

// takesAmount tells whether a trigger moves an amount: providers name one everywhere.
func takesAmount(kind ledger.PaymentKind, on ledger.Trigger) bool {
	table, _ := payment.TableOf(kind)
	return slices.ContainsFunc(table.Rules, func(r payment.Rule) bool { return r.On == on && r.Takes.How != payment.Nothing })
}

func (s Steps) execute(ctx context.Context, c ledger.Command, dryRun bool) (ledger.Outcome, error) {
	results, err := s.Books.Execute(ctx, ledger.Batch{Commands: []ledger.Command{c}, DryRun: dryRun})
	if err != nil {
		return ledger.Outcome{}, err
	}
	return results[0].Outcome, results[0].Err
}

// final tells whether a refusal will still hold when other steps were taken, gates opened or accounts filled.
func final(o ledger.Outcome) bool {
	switch o.Reason {
	case errs.ReasonTransitionRefused:
		return o.Detail["cause"] != payment.Early
	case errs.ReasonAmountRefused, errs.ReasonAssetMismatch, errs.ReasonAssetUnknown:
		return true
	default:
		return false
	}
}

// wait leaves nothing under the key: what stands against the step may go away.
func wait(o ledger.Outcome) provider.Answer {
	if o.Reason == errs.ReasonTransitionRefused || o.Reason == errs.ReasonPaymentNotFound {
		return provider.Answer{Verdict: provider.NotYet, Detail: fmt.Sprintf("the payment is %s", o.Detail["state"])}
	}
	return provider.Answer{Verdict: provider.Retry, Cause: word(o.Reason), Detail: "the books refuse it for now: " + about(o)}
}

// settled is the answer to a command that has one.
func settled(o ledger.Outcome) provider.Answer {
	if o.Decided == ledger.Posted {
		return provider.Answer{Verdict: provider.Done}
	}
	a := provider.Answer{Verdict: provider.Refused, Cause: word(o.Reason), Detail: about(o)}
	if o.Reason == errs.ReasonTransitionRefused {
		a.Cause = o.Detail["cause"]
	}
	return a
}

// confirms tells whether an envelope only says what the payment has done at our own request: a provider tells of every step, of those too that a
// client took when the provider answered it. What another event did is no such step: two events of one kind are a contradiction that somebody
// should see.
func (s Steps) confirms(ctx context.Context, p ledger.Payment, c ledger.Command, o ledger.Outcome) (bool, error) {
	if cause := o.Detail["cause"]; o.Reason != errs.ReasonTransitionRefused || cause != payment.Duplicate && cause != payment.Backward {
		return false, nil
	}
	for after := int64(0); ; {
		steps, err := s.Payments.PaymentSteps(ctx, c.Ledger, p.ID, after, mostSteps)
		if err != nil {
			return false, err
		}
		for _, step := range steps {
			after = step.Number
			if step.Trigger != c.Step.Trigger || step.Decided != ledger.Posted {
				continue
			}
			record, err := s.Books.Transaction(ctx, c.Ledger, step.Transaction)
			if err != nil {
				return false, err
			}
			if !strings.HasPrefix(string(record.Outcome.Key), "provider/") && says(record.Outcome, c) {
				return true, nil
			}
		}
		if len(steps) < mostSteps {
			return false, nil
		}
	}
}

const mostSteps = 1000

// says tells whether a step was of the amount that a command names.
func says(o ledger.Outcome, c ledger.Command) bool {
	if c.Amount == nil || o.Step == nil {
		return true
	}
	for _, added := range o.Step.Added {
		if added == c.Amount.Minor && o.Step.Asset.Code == c.Amount.Asset {
			return true
		}
	}
	return false
}

func word(r errs.Reason) string { return strings.ToLower(string(r)) }

// about is what a refusal says, for a person.
func about(o ledger.Outcome) string {
	facts := make([]string, 0, len(o.Detail))
	for name, fact := range o.Detail {
		facts = append(facts, name+" "+fact)
	}
	slices.Sort(facts)
	return string(o.Reason) + ": " + strings.Join(facts, ", ")
}

// failed is the answer where there is no outcome.
func failed(err error) provider.Answer {
	e := errs.Of(err)
	a := provider.Answer{Verdict: provider.Retry, Cause: word(e.Reason), Detail: e.Message}
	switch e.Code {
	case errs.Unavailable, errs.ResourceExhausted, errs.DeadlineExceeded, errs.Canceled:
		a.Verdict = provider.Down
	case errs.InvalidArgument, errs.NotFound, errs.AlreadyExists, errs.FailedPrecondition, errs.PermissionDenied:
		a.Verdict = provider.Refused
	default:
	}
	return a
}
