package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

var _ event.Service = (*Subscriptions)(nil)

// Subscriptions is what operators do with subscriptions: it checks, and writes down what deliverers take up. It needs no lease.
type Subscriptions struct {
	Store    SubscriptionStore
	Stream   event.Stream
	Sinks    Sinks
	HomeOf   func(id.Ledger) (id.Home, bool)        // as event.Options has it
	RegionOf func(id.Home) (region string, ok bool) // the topology; nil where there is none, and so no residency rule

	// MakeSecret makes the secret of a sink that signs, where none is given; by the kind of the sink.
	MakeSecret map[string]func() []byte
}

// Bounds on what operators send.
const (
	maxSecretValue = 4096
	maxReason      = 500
	testWithin     = 30 * time.Second
)

// Create implements event.Service.
func (o *Subscriptions) Create(ctx context.Context, n event.NewSubscription) (event.Standing, *event.Secret, error) {
	wanted := event.Subscription{
		ID: n.ID, State: event.Active, Homes: n.Homes, Filter: n.Filter, Sink: n.Sink, Grants: n.Grants, Metadata: n.Metadata,
	}
	given := len(n.Secrets) > 0
	var made *event.Secret
	if makeSecret := o.MakeSecret[n.Sink.Kind]; makeSecret != nil && !given {
		made = &event.Secret{ID: "made", Value: makeSecret()}
		n.Secrets = []event.Secret{*made}
	}
	if err := o.check(wanted, n.Secrets); err != nil {
		return event.Standing{}, nil, err
	}
	existed, err := o.Store.CreateSubscription(ctx, n)
	if err != nil {
		return event.Standing{}, nil, err
	}
	if existed {
		made = nil
		if err := o.same(ctx, wanted, n.Secrets, given); err != nil {
			return event.Standing{}, nil, err
		}
	}
	standing, err := o.Store.Standing(ctx, n.ID)
	return standing, made, err
}

// check refuses a subscription that could never deliver, or may not.
func (o *Subscriptions) check(s event.Subscription, secrets []event.Secret) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := event.CheckResidency(s, o.RegionOf); err != nil {
		return err
	}
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	to, err := o.Sinks.open(s.Sink, secrets)
	if err != nil {
		return badSink(err)
	}
	return to.Close()
}

func badSink(err error) error {
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	return errs.Invalid("sink", attempt.Brief(err.Error()))
}

func checkSecrets(secrets []event.Secret) error {
	if len(secrets) > event.MaxSecrets {
		return errs.Invalid("secrets", fmt.Sprintf("at most %d secrets are active at once; remove old ones", event.MaxSecrets))
	}
	for i, secret := range secrets {
		if _, err := id.ParseAccount(secret.ID); err != nil {
			return errs.Invalid(fmt.Sprintf("secrets[%d].id", i), "the id of a secret is 1 to 128 letters, digits and _.:/@+~=-, starting with a letter or a digit")
		}
		if len(secret.Value) == 0 || len(secret.Value) > maxSecretValue {
			return errs.Invalid(fmt.Sprintf("secrets[%d].value", i), fmt.Sprintf("a secret has 1 to %d bytes", maxSecretValue))
		}
		if slices.ContainsFunc(secrets[:i], func(other event.Secret) bool { return other.ID == secret.ID }) {
			return errs.Invalid(fmt.Sprintf("secrets[%d].id", i), "a secret of this id is active already; choose another id, or remove that one first")
		}
	}
	return nil
}

// Get implements event.Service.
func (o *Subscriptions) Get(ctx context.Context, subscription string) (event.Standing, error) {
	return o.Store.Standing(ctx, subscription)
}

// List implements event.Service.
func (o *Subscriptions) List(ctx context.Context, after string, limit int) ([]event.Standing, error) {
	return o.Store.Standings(ctx, after, limit)
}

// revising bounds how often a change is tried that is meant for any revision.
const revising = 5

// revise changes a subscription by fn, which may say that there is nothing to do. Where somebody else changes it at the same time, and the
// change is meant for any revision, fn is asked again.
func (o *Subscriptions) revise(
	ctx context.Context, subscription string, revision int64, fn func(*event.Subscription) (change bool, add []event.Secret, remove []string, err error),
) (event.Standing, error) {
	for attempts := 1; ; attempts++ {
		before, err := o.existing(ctx, subscription)
		if err != nil {
			return event.Standing{}, err
		}
		if revision != 0 && before.Revision != revision {
			return event.Standing{}, errs.ErrContended.With("subscription", subscription).With("revision", before.Revision)
		}
		after := before
		change, add, remove, err := fn(&after)
		if err != nil {
			return event.Standing{}, err
		}
		if change {
			err = o.Store.ReviseSubscription(ctx, after, !after.WantsAs(before), add, remove)
		}
		switch {
		case errors.Is(err, errs.ErrContended) && revision == 0 && attempts < revising:
			continue
		case err != nil:
			return event.Standing{}, err
		case after.State == event.Deleted:
			return event.Standing{Subscription: after}, nil
		}
		return o.Store.Standing(ctx, subscription)
	}
}

// existing returns a subscription that is not deleted.
func (o *Subscriptions) existing(ctx context.Context, subscription string) (event.Subscription, error) {
	s, err := o.Store.Subscription(ctx, subscription)
	if err == nil && s.State == event.Deleted {
		err = errs.ErrSubscriptionNotFound.With("subscription", subscription)
	}
	return s, err
}

// Update implements event.Service.
func (o *Subscriptions) Update(ctx context.Context, a event.Amendment) (event.Standing, error) {
	return o.revise(ctx, a.ID, a.Revision, func(s *event.Subscription) (bool, []event.Secret, []string, error) {
		if a.Filter != nil {
			s.Filter = *a.Filter
		}
		if a.Sink != nil {
			s.Sink = *a.Sink
		}
		if a.Metadata != nil {
			s.Metadata = *a.Metadata
		}
		s.Grants = slices.Clone(s.Grants)
		for _, g := range a.AddGrants {
			if !slices.Contains(s.Grants, g) {
				s.Grants = append(s.Grants, g)
			}
		}
		secrets, err := o.Store.Secrets(ctx, a.ID)
		if err != nil {
			return false, nil, nil, err
		}
		secrets = slices.DeleteFunc(secrets, func(s event.Secret) bool { return slices.Contains(a.RemoveSecrets, s.ID) })
		return true, a.AddSecrets, a.RemoveSecrets, o.check(*s, append(secrets, a.AddSecrets...))
	})
}

// Pause implements event.Service.
func (o *Subscriptions) Pause(ctx context.Context, subscription, reason string) (event.Standing, error) {
	if err := checkReason(reason); err != nil {
		return event.Standing{}, err
	}
	return o.revise(ctx, subscription, 0, func(s *event.Subscription) (bool, []event.Secret, []string, error) {
		if s.State == event.Paused {
			return false, nil, nil, nil
		}
		s.State, s.Cause = event.Paused, reason
		return true, nil, nil, nil
	})
}

// Resume implements event.Service.
func (o *Subscriptions) Resume(ctx context.Context, subscription string) (event.Standing, error) {
	return o.revise(ctx, subscription, 0, func(s *event.Subscription) (bool, []event.Secret, []string, error) {
		if s.State == event.Active {
			return false, nil, nil, nil
		}
		s.State, s.Cause = event.Active, ""
		return true, nil, nil, nil
	})
}

// Delete implements event.Service.
func (o *Subscriptions) Delete(ctx context.Context, subscription string) error {
	if s, err := o.Store.Subscription(ctx, subscription); err != nil || s.State == event.Deleted {
		return err
	}
	_, err := o.revise(ctx, subscription, 0, func(s *event.Subscription) (bool, []event.Secret, []string, error) {
		secrets, err := o.Store.Secrets(ctx, subscription)
		ids := make([]string, len(secrets))
		for i := range secrets {
			ids[i] = secrets[i].ID
		}
		s.State, s.Cause = event.Deleted, ""
		return true, nil, ids, err
	})
	if errors.Is(err, errs.ErrSubscriptionNotFound) { // somebody else was faster
		err = nil
	}
	return err
}

// Test implements event.Service.
func (o *Subscriptions) Test(ctx context.Context, subscription string) (event.TestResult, error) {
	s, err := o.existing(ctx, subscription)
	if err != nil {
		return event.TestResult{}, err
	}
	secrets, err := o.Store.Secrets(ctx, subscription)
	if err != nil {
		return event.TestResult{}, err
	}
	if err := event.CheckResidency(s, o.RegionOf); err != nil {
		return event.TestResult{}, err
	}
	to, err := o.Sinks.open(s.Sink, secrets)
	if err != nil {
		return event.TestResult{}, badSink(err)
	}
	defer func() { _ = to.Close() }() // what it said is the answer
	e := event.Event{Home: s.Homes[0], AppendedAt: time.Now().UTC(), Test: true}
	rand.Read(e.Record.Outcome.Transaction[:]) //nolint:errcheck // never fails
	e.Record.Home, e.Record.Outcome.RecordedAt = e.Home, e.AppendedAt
	rendered, err := event.Render(e, event.Options{HomeOf: o.HomeOf, RegionOf: o.RegionOf})
	if err != nil {
		return event.TestResult{}, errs.ErrInternal.Because(err)
	}
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	started := time.Now()
	_, failure := answered(ctx, to, []sink.Message{{Event: e, Key: e.Key(), Body: rendered.Body, Data: rendered.Data, Headers: rendered.Headers}})
	result := event.TestResult{Delivered: failure == nil, Took: time.Since(started)}
	if failure != nil {
		result.Cause, result.Detail = failure.Cause, failure.Detail
	}
	return result, nil
}
