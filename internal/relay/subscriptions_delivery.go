package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Deliveries implements event.Service.
func (o *Subscriptions) Deliveries(ctx context.Context, page event.DeliveryPage) ([]event.Delivery, error) {
	s, err := o.existing(ctx, page.Subscription)
	if err != nil {
		return nil, err
	}
	if page.Home != "" && !slices.Contains(s.Homes, page.Home) {
		return nil, errs.ErrHomeNotFound.With("home", page.Home).With("subscription", s.ID)
	}
	return o.Store.Deliveries(ctx, page)
}

// Delivery implements event.Service.
func (o *Subscriptions) Delivery(ctx context.Context, subscription string, home id.Home, p event.Position) (event.Delivery, event.Event, error) {
	if _, err := o.existing(ctx, subscription); err != nil {
		return event.Delivery{}, event.Event{}, err
	}
	d, err := o.Store.Delivery(ctx, subscription, home, p)
	if err != nil {
		return event.Delivery{}, event.Event{}, err
	}
	events, err := o.Store.EventsAt(ctx, home, []event.Position{p})
	if err != nil {
		return event.Delivery{}, event.Event{}, err
	}
	if len(events) == 0 {
		return event.Delivery{}, event.Event{}, errs.ErrInternal.Because(fmt.Errorf("the stream of %s has no position %d", home, p))
	}
	return d, events[0], nil
}

func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason || attempt.Brief(reason) != reason {
		return errs.Invalid("reason", fmt.Sprintf("say why, in 1 to %d bytes of text", maxReason))
	}
	return nil
}

func (o *Subscriptions) checkSelection(ctx context.Context, sel event.Selection) error {
	s, err := o.existing(ctx, sel.Subscription)
	switch {
	case err != nil:
		return err
	case !slices.Contains(s.Homes, sel.Home):
		return errs.ErrHomeNotFound.With("home", sel.Home).With("subscription", s.ID)
	case len(sel.Positions) > event.MaxSelection:
		return errs.Invalid("positions", fmt.Sprintf("at most %d; leave them out to mean all", event.MaxSelection))
	}
	return nil
}

// RetryDeliveries implements event.Service.
func (o *Subscriptions) RetryDeliveries(ctx context.Context, sel event.Selection) (int64, error) {
	if err := o.checkSelection(ctx, sel); err != nil {
		return 0, err
	}
	return o.Store.RetryDeliveries(ctx, sel, MaxDue)
}

// DiscardDeliveries implements event.Service.
func (o *Subscriptions) DiscardDeliveries(ctx context.Context, sel event.Selection, reason string) (int64, error) {
	if err := checkReason(reason); err != nil {
		return 0, err
	}
	if err := o.checkSelection(ctx, sel); err != nil {
		return 0, err
	}
	return o.Store.DiscardDeliveries(ctx, sel, reason)
}
