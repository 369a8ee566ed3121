package rpc

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// Stream is what EventService reads of the change stream. Package store implements it.
type Stream interface {
	event.Stream
	// Homes returns the homes that have a ledger.
	Homes(ctx context.Context) ([]id.Home, error)
}

// Tails tell whoever waits for more of a stream. Package relay implements it.
type Tails interface {
	// Wait returns when the stream of a home is beyond a position, or with the error of the context.
	Wait(ctx context.Context, home id.Home, after event.Position) error
}

// events implements EventService: parse, call, render. subscribe.go has the stream.
type events struct {
	ledgerv1connect.UnimplementedEventServiceHandler
	service  event.Service
	stream   Stream
	tails    Tails
	ledgers  func(context.Context, id.Ledger) (ledger.Ledger, error)
	homes    []id.Home // of the topology; none: any
	regionOf func(id.Home) (string, bool)
}

// newEvents returns the service, or one of which every method is unimplemented where this node has no change stream.
func newEvents(svc ledger.Service, o Options) ledgerv1connect.EventServiceHandler {
	if o.Events == nil || o.Stream == nil || o.Tails == nil {
		return ledgerv1connect.UnimplementedEventServiceHandler{}
	}
	return &events{service: o.Events, stream: o.Stream, tails: o.Tails, ledgers: svc.Ledger, homes: o.Homes, regionOf: o.RegionOf}
}

// known refuses a home that is neither in the topology nor has a ledger, and returns how far its stream is. It asks for other homes only where
// it has to: they may be far away.
func (h *events) known(ctx context.Context, home id.Home) (event.Position, error) {
	head, err := h.stream.Head(ctx, home)
	if err != nil || head > 0 || slices.Contains(h.homes, home) {
		return head, err
	}
	homes, err := h.stream.Homes(ctx)
	if err != nil {
		return 0, err
	}
	if !slices.Contains(homes, home) {
		return 0, errs.ErrHomeNotFound.With("home", home)
	}
	return 0, nil
}

// CreateSubscription implements EventService.
func (h *events) CreateSubscription(ctx context.Context, r *connect.Request[ledgerv1.CreateSubscriptionRequest]) (*connect.Response[ledgerv1.CreateSubscriptionResponse], error) {
	p := &parser{ctx: ctx}
	n := p.newSubscription(r.Msg)
	if p.err != nil {
		return nil, p.err
	}
	for _, home := range n.Homes {
		if len(h.homes) > 0 && !slices.Contains(h.homes, home) {
			return nil, (&handler{homes: h.homes}).noHome(home)
		}
	}
	standing, made, err := h.service.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	m, err := renderStanding(standing)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.CreateSubscriptionResponse{Subscription: m}
	if made != nil {
		out.MadeSecret = &ledgerv1.Secret{Id: made.ID, Value: string(made.Value)}
	}
	return connect.NewResponse(out), nil
}

// GetSubscription implements EventService.
func (h *events) GetSubscription(ctx context.Context, r *connect.Request[ledgerv1.GetSubscriptionRequest]) (*connect.Response[ledgerv1.GetSubscriptionResponse], error) {
	m, err := h.standing(r.Msg.GetId(), func(id string) (event.Standing, error) { return h.service.Get(ctx, id) })
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetSubscriptionResponse{Subscription: m}), nil
}

// standing parses the id of a subscription, does something about it, and renders how it is then.
func (h *events) standing(text string, do func(id string) (event.Standing, error)) (*ledgerv1.Subscription, error) {
	p := &parser{}
	name := p.subscription("id", text)
	if p.err != nil {
		return nil, p.err
	}
	s, err := do(name)
	if err != nil {
		return nil, err
	}
	return renderStanding(s)
}

// ListSubscriptions implements EventService.
func (h *events) ListSubscriptions(ctx context.Context, r *connect.Request[ledgerv1.ListSubscriptionsRequest]) (*connect.Response[ledgerv1.ListSubscriptionsResponse], error) {
	p := &parser{ctx: ctx}
	size, after := p.page(r.Msg.GetPageSize(), r.Msg.GetPageToken())
	if p.err != nil {
		return nil, p.err
	}
	found, err := h.service.List(ctx, after, size+1)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.ListSubscriptionsResponse{}
	found, out.NextPageToken = cut(found, size, func(s event.Standing) string { return s.ID })
	for _, s := range found {
		m, err := renderStanding(s)
		if err != nil {
			return nil, err
		}
		out.Subscriptions = append(out.Subscriptions, m)
	}
	return connect.NewResponse(out), nil
}

// UpdateSubscription implements EventService.
func (h *events) UpdateSubscription(ctx context.Context, r *connect.Request[ledgerv1.UpdateSubscriptionRequest]) (*connect.Response[ledgerv1.UpdateSubscriptionResponse], error) {
	p := &parser{ctx: ctx}
	a := p.amendment(r.Msg)
	if p.err != nil {
		return nil, p.err
	}
	s, err := h.service.Update(ctx, a)
	if err != nil {
		return nil, err
	}
	m, err := renderStanding(s)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.UpdateSubscriptionResponse{Subscription: m}), nil
}

// PauseSubscription implements EventService.
func (h *events) PauseSubscription(ctx context.Context, r *connect.Request[ledgerv1.PauseSubscriptionRequest]) (*connect.Response[ledgerv1.PauseSubscriptionResponse], error) {
	m, err := h.standing(r.Msg.GetId(), func(id string) (event.Standing, error) { return h.service.Pause(ctx, id, r.Msg.GetReason()) })
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.PauseSubscriptionResponse{Subscription: m}), nil
}

// ResumeSubscription implements EventService.
func (h *events) ResumeSubscription(ctx context.Context, r *connect.Request[ledgerv1.ResumeSubscriptionRequest]) (*connect.Response[ledgerv1.ResumeSubscriptionResponse], error) {
	m, err := h.standing(r.Msg.GetId(), func(id string) (event.Standing, error) { return h.service.Resume(ctx, id) })
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.ResumeSubscriptionResponse{Subscription: m}), nil
}

// DeleteSubscription implements EventService.
func (h *events) DeleteSubscription(ctx context.Context, r *connect.Request[ledgerv1.DeleteSubscriptionRequest]) (*connect.Response[ledgerv1.DeleteSubscriptionResponse], error) {
	p := &parser{ctx: ctx}
	name := p.subscription("id", r.Msg.GetId())
	if p.err != nil {
		return nil, p.err
	}
	if err := h.service.Delete(ctx, name); err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.DeleteSubscriptionResponse{}), nil
}

// TestSubscription implements EventService.
func (h *events) TestSubscription(ctx context.Context, r *connect.Request[ledgerv1.TestSubscriptionRequest]) (*connect.Response[ledgerv1.TestSubscriptionResponse], error) {
	p := &parser{ctx: ctx}
	name := p.subscription("id", r.Msg.GetId())
	if p.err != nil {
		return nil, p.err
	}
	t, err := h.service.Test(ctx, name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(renderTest(t)), nil
}
