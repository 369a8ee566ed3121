package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/event"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// ListDeliveries implements EventService.
func (h *events) ListDeliveries(ctx context.Context, r *connect.Request[ledgerv1.ListDeliveriesRequest]) (*connect.Response[ledgerv1.ListDeliveriesResponse], error) {
	p := &parser{ctx: ctx}
	page := p.deliveryPage(r.Msg)
	if p.err != nil {
		return nil, p.err
	}
	size := page.Limit
	page.Limit = min(size+1, maxPage)
	found, err := h.service.Deliveries(ctx, page)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.ListDeliveriesResponse{}
	if len(found) > size || size == maxPage && len(found) == size { // a page of the largest size can not look one row ahead
		found = found[:size]
		out.NextPageToken = place{found[size-1].Home, found[size-1].Position}.String()
	}
	for _, d := range found {
		out.Deliveries = append(out.Deliveries, renderDelivery(d))
	}
	return connect.NewResponse(out), nil
}

// GetDelivery implements EventService. The event is shown as the subscription sees it.
func (h *events) GetDelivery(ctx context.Context, r *connect.Request[ledgerv1.GetDeliveryRequest]) (*connect.Response[ledgerv1.GetDeliveryResponse], error) {
	p := &parser{ctx: ctx}
	name, home, position := p.subscription("subscription_id", r.Msg.GetSubscriptionId()), p.home("home", r.Msg.GetHome()), p.position("position", r.Msg.GetPosition())
	if p.err != nil {
		return nil, p.err
	}
	s, err := h.service.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	d, e, err := h.service.Delivery(ctx, name, home, position)
	if err != nil {
		return nil, err
	}
	m, err := h.reading(ctx, home, s.Filter, s.Sees()).render(e)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetDeliveryResponse{Delivery: renderDelivery(d), Event: m}), nil
}

// RetryDeliveries implements EventService.
func (h *events) RetryDeliveries(ctx context.Context, r *connect.Request[ledgerv1.RetryDeliveriesRequest]) (*connect.Response[ledgerv1.RetryDeliveriesResponse], error) {
	p := &parser{ctx: ctx}
	selected := p.selection(r.Msg.GetSelection())
	return answerTo(p, func() (int64, error) { return h.service.RetryDeliveries(ctx, selected) }, func(n int64) *ledgerv1.RetryDeliveriesResponse {
		return &ledgerv1.RetryDeliveriesResponse{Count: n}
	})
}

// DiscardDeliveries implements EventService.
func (h *events) DiscardDeliveries(ctx context.Context, r *connect.Request[ledgerv1.DiscardDeliveriesRequest]) (*connect.Response[ledgerv1.DiscardDeliveriesResponse], error) {
	p := &parser{ctx: ctx}
	selected := p.selection(r.Msg.GetSelection())
	return answerTo(p, func() (int64, error) { return h.service.DiscardDeliveries(ctx, selected, r.Msg.GetReason()) }, func(n int64) *ledgerv1.DiscardDeliveriesResponse {
		return &ledgerv1.DiscardDeliveriesResponse{Count: n}
	})
}

// StartReplay implements EventService.
func (h *events) StartReplay(ctx context.Context, r *connect.Request[ledgerv1.StartReplayRequest]) (*connect.Response[ledgerv1.StartReplayResponse], error) {
	p := &parser{ctx: ctx}
	n := p.newReplay(r.Msg)
	return answerTo(p, func() (event.Replay, error) { return h.service.StartReplay(ctx, n) }, func(started event.Replay) *ledgerv1.StartReplayResponse {
		return &ledgerv1.StartReplayResponse{Replay: renderReplay(started)}
	})
}

// ListReplays implements EventService.
func (h *events) ListReplays(ctx context.Context, r *connect.Request[ledgerv1.ListReplaysRequest]) (*connect.Response[ledgerv1.ListReplaysResponse], error) {
	p := &parser{ctx: ctx}
	name := p.subscription("subscription_id", r.Msg.GetSubscriptionId())
	return answerTo(p, func() ([]event.Replay, error) { return h.service.Replays(ctx, name, maxPage) }, func(found []event.Replay) *ledgerv1.ListReplaysResponse {
		return &ledgerv1.ListReplaysResponse{Replays: renderAll(found, renderReplay)}
	})
}

// CancelReplay implements EventService.
func (h *events) CancelReplay(ctx context.Context, r *connect.Request[ledgerv1.CancelReplayRequest]) (*connect.Response[ledgerv1.CancelReplayResponse], error) {
	p := &parser{ctx: ctx}
	home, name := p.home("home", r.Msg.GetHome()), p.replay(r.Msg.GetId())
	return answerTo(p, func() (event.Replay, error) { return h.service.CancelReplay(ctx, home, name) }, func(r event.Replay) *ledgerv1.CancelReplayResponse {
		return &ledgerv1.CancelReplayResponse{Replay: renderReplay(r)}
	})
}
