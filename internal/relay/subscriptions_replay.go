package relay

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

const (
	defaultPerSecond = 100
	maxPerSecond     = 10_000
)

// StartReplay implements event.Service.
func (o *Subscriptions) StartReplay(ctx context.Context, n event.NewReplay) (event.Replay, error) {
	if _, err := id.ParseLedger(n.ID); err != nil { // the same form
		return event.Replay{}, errs.Invalid("id", "a replay is 1 to 64 of a-z 0-9 -, starting with a letter")
	}
	if err := checkReason(n.Reason); err != nil {
		return event.Replay{}, err
	}
	if n.PerSecond = cmp.Or(n.PerSecond, defaultPerSecond); n.PerSecond < 0 || n.PerSecond > maxPerSecond {
		return event.Replay{}, errs.Invalid("per_second", fmt.Sprintf("1 to %d events a second", maxPerSecond))
	}
	s, err := o.existing(ctx, n.Subscription)
	if err != nil {
		return event.Replay{}, err
	}
	if !slices.Contains(s.Homes, n.Home) {
		return event.Replay{}, errs.ErrHomeNotFound.With("home", n.Home).With("subscription", s.ID)
	}
	first, last, err := o.rangeOf(ctx, n)
	if err != nil {
		return event.Replay{}, err
	}
	r, err := o.Store.CreateReplay(ctx, event.Replay{
		Home: n.Home, ID: n.ID, Subscription: n.Subscription, First: first, Last: last, PerSecond: n.PerSecond, Reason: n.Reason,
	})
	if err != nil {
		return event.Replay{}, err
	}
	open := n.Last == 0 && n.To.IsZero() // it ended where the stream did when it was asked for first
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"subscription_id", r.Subscription != n.Subscription},
		{"first", r.First != first},
		{"last", !open && r.Last != last},
		{"per_second", r.PerSecond != n.PerSecond},
		{"reason", r.Reason != n.Reason},
	} {
		if field.differs {
			return event.Replay{}, errs.ErrReplayExists.With("replay", n.ID).With("field", field.name)
		}
	}
	return r, nil
}

// rangeOf turns what was asked for into positions that the stream has.
func (o *Subscriptions) rangeOf(ctx context.Context, n event.NewReplay) (first, last event.Position, err error) {
	head, err := o.Stream.Head(ctx, n.Home)
	if err != nil {
		return 0, 0, err
	}
	if first = n.First; !n.From.IsZero() {
		if first, err = o.Stream.PositionAt(ctx, n.Home, n.From); err != nil {
			return 0, 0, err
		}
		first++
	}
	if last = cmp.Or(n.Last, head); !n.To.IsZero() {
		if last, err = o.Stream.PositionAt(ctx, n.Home, n.To); err != nil {
			return 0, 0, err
		}
	}
	switch first = cmp.Or(first, 1); {
	case n.First != 0 && !n.From.IsZero(), n.Last != 0 && !n.To.IsZero():
		return 0, 0, errs.Invalid("first", "name the range by positions or by times, not by both")
	case first < 1 || last > head:
		return 0, 0, errs.Invalid("last", fmt.Sprintf("the stream of %s has positions 1 to %d", n.Home, head))
	case first > last:
		return 0, 0, errs.Invalid("first", "there is no event in that range")
	}
	return first, last, nil
}

// Replays implements event.Service.
func (o *Subscriptions) Replays(ctx context.Context, subscription string, limit int) ([]event.Replay, error) {
	if _, err := o.existing(ctx, subscription); err != nil {
		return nil, err
	}
	return o.Store.Replays(ctx, subscription, limit)
}

// CancelReplay implements event.Service.
func (o *Subscriptions) CancelReplay(ctx context.Context, home id.Home, replay string) (event.Replay, error) {
	return o.Store.CancelReplay(ctx, home, replay)
}
