package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// EventClient is an event.Service on the other side of the wire, and reads the stream. It is safe for concurrent use, and does not retry.
//
// The wire carries less than the tables: of a standing not since, digest and the count of discarded deliveries; of a delivery not the
// accounts; and no revision that an update is meant for.
type EventClient struct {
	events ledgerv1connect.EventServiceClient
}

var _ event.Service = (*EventClient)(nil)

// NewEventClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewEventClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *EventClient {
	return &EventClient{ledgerv1connect.NewEventServiceClient(httpClient, baseURL, options...)}
}

// CloudEvent is an event as it came over the wire.
type CloudEvent struct {
	Home       id.Home
	Position   event.Position
	ID         string // of the transaction
	Type       event.Type
	Body       json.RawMessage // CloudEvents 1.0
	AppendedAt time.Time
}

// Subscriber says what Subscribe is to bring.
type Subscriber struct {
	Home      id.Home
	Filter    event.Filter
	After     event.Position // where the two below say nothing
	Now       bool
	Since     time.Time
	Heartbeat time.Duration // 0 is the server's
}

// Word is what a subscriber hears: an event, or, where Event is nil, that everything wanted up to a position was sent.
type Word struct {
	Event    *CloudEvent
	Position event.Position
}

// silences is after how many heartbeats that did not come a node is taken for gone: a connection can be dead without a word of it.
const silences = 3

// Subscribe returns what a subscriber hears, beginning with the place where it begins. The last word comes with an error: of the context, or
// of the node; after errs.ErrDraining or another transient one, go on after the last position at another node. Each range over it calls anew.
func (c *EventClient) Subscribe(ctx context.Context, s Subscriber) iter.Seq2[Word, error] {
	return func(yield func(Word, error) bool) {
		calling, hangUp := context.WithCancel(ctx)
		defer hangUp()
		silent := time.AfterFunc(silences*max(cmp.Or(s.Heartbeat, defaultHeartbeat), time.Second), hangUp)
		defer silent.Stop()
		stream, err := c.events.Subscribe(calling, connect.NewRequest(renderSubscriber(s)))
		if err != nil {
			yield(Word{}, fromWire(ctx, err))
			return
		}
		defer func() {
			hangUp() // first: to close is to read to the end
			_ = stream.Close()
		}()
		for stream.Receive() {
			silent.Stop() // how long the caller takes is not the node's fault
			word, known := readWord(stream.Msg())
			if known && !yield(word, nil) {
				return
			}
			silent.Reset(silences * max(cmp.Or(s.Heartbeat, defaultHeartbeat), time.Second))
		}
		if err = stream.Err(); err == nil { // a stream never ends by itself
			err = errNoAnswer
		} else {
			err = fromWire(ctx, err)
		}
		yield(Word{}, err)
	}
}

func renderSubscriber(s Subscriber) *ledgerv1.SubscribeRequest {
	m := &ledgerv1.SubscribeRequest{Home: string(s.Home), Filter: renderFilter(s.Filter)}
	switch {
	case s.Now:
		m.From = &ledgerv1.SubscribeRequest_Now{Now: true}
	case !s.Since.IsZero():
		m.From = &ledgerv1.SubscribeRequest_Since{Since: stamp(s.Since)}
	default:
		m.From = &ledgerv1.SubscribeRequest_After{After: int64(s.After)}
	}
	if s.Heartbeat != 0 {
		m.Heartbeat = durationpb.New(s.Heartbeat)
	}
	return m
}

// Events returns a page of events after a position, the position to go on after, and the head of the home.
func (c *EventClient) Events(ctx context.Context, home id.Home, filter event.Filter, after event.Position, limit int) (page []CloudEvent, next, head event.Position, err error) {
	m, err := call(ctx, c.events.ListEvents, &ledgerv1.ListEventsRequest{
		Home: string(home), Filter: renderFilter(filter), After: int64(after), PageSize: pageOf(limit),
	})
	if err != nil {
		return nil, 0, 0, err
	}
	for _, e := range m.GetEvents() {
		page = append(page, readEvent(e))
	}
	return page, event.Position(m.GetNextAfter()), event.Position(m.GetHead()), nil
}

// Create implements event.Service.
func (c *EventClient) Create(ctx context.Context, n event.NewSubscription) (event.Standing, *event.Secret, error) {
	sink, err := renderSink(n.Sink, jsonIn)
	if err != nil {
		return event.Standing{}, nil, errs.Invalid("sink", err.Error())
	}
	request := &ledgerv1.CreateSubscriptionRequest{
		Id: n.ID, Filter: renderFilter(n.Filter), Sink: sink, ResidencyGrants: renderGrants(n.Grants), Secrets: renderSecrets(n.Secrets), Metadata: n.Metadata,
	}
	for _, home := range n.Homes {
		request.Homes = append(request.Homes, string(home))
	}
	switch {
	case n.Start.Beginning:
		request.From = &ledgerv1.CreateSubscriptionRequest_Beginning{Beginning: true}
	case !n.Start.Since.IsZero():
		request.From = &ledgerv1.CreateSubscriptionRequest_Since{Since: stamp(n.Start.Since)}
	}
	m, err := call(ctx, c.events.CreateSubscription, request)
	if err != nil {
		return event.Standing{}, nil, err
	}
	var made *event.Secret
	if s := m.GetMadeSecret(); s != nil {
		made = &event.Secret{ID: s.GetId(), Value: []byte(s.GetValue())}
	}
	standing, err := readStanding(m.GetSubscription())
	return standing, made, err
}

// Get implements event.Service.
func (c *EventClient) Get(ctx context.Context, id string) (event.Standing, error) {
	m, err := call(ctx, c.events.GetSubscription, &ledgerv1.GetSubscriptionRequest{Id: id})
	if err != nil {
		return event.Standing{}, err
	}
	return readStanding(m.GetSubscription())
}

// List implements event.Service.
func (c *EventClient) List(ctx context.Context, after string, limit int) ([]event.Standing, error) {
	m, err := call(ctx, c.events.ListSubscriptions, &ledgerv1.ListSubscriptionsRequest{PageSize: pageOf(limit), PageToken: nameToken(after)})
	if err != nil {
		return nil, err
	}
	return readAll(m.GetSubscriptions(), readStanding)
}

// Update implements event.Service.
func (c *EventClient) Update(ctx context.Context, a event.Amendment) (event.Standing, error) {
	if a.Revision != 0 {
		return event.Standing{}, errs.Invalid("revision", "an update over the wire is meant for any revision")
	}
	request := &ledgerv1.UpdateSubscriptionRequest{
		Id: a.ID, ResidencyGrants: renderGrants(a.AddGrants), AddSecrets: renderSecrets(a.AddSecrets), RemoveSecretIds: a.RemoveSecrets,
	}
	if a.Filter != nil {
		request.Filter = renderFilter(*a.Filter)
	}
	if a.Metadata != nil {
		request.Metadata = *a.Metadata
	}
	if a.Sink != nil {
		sink, err := renderSink(*a.Sink, jsonIn)
		if err != nil {
			return event.Standing{}, errs.Invalid("sink", err.Error())
		}
		request.Sink = sink
	}
	m, err := call(ctx, c.events.UpdateSubscription, request)
	if err != nil {
		return event.Standing{}, err
	}
	return readStanding(m.GetSubscription())
}

// Pause implements event.Service.
func (c *EventClient) Pause(ctx context.Context, id, reason string) (event.Standing, error) {
	m, err := call(ctx, c.events.PauseSubscription, &ledgerv1.PauseSubscriptionRequest{Id: id, Reason: reason})
	if err != nil {
		return event.Standing{}, err
	}
	return readStanding(m.GetSubscription())
}

// Resume implements event.Service.
func (c *EventClient) Resume(ctx context.Context, id string) (event.Standing, error) {
	m, err := call(ctx, c.events.ResumeSubscription, &ledgerv1.ResumeSubscriptionRequest{Id: id})
	if err != nil {
		return event.Standing{}, err
	}
	return readStanding(m.GetSubscription())
}

// Delete implements event.Service.
func (c *EventClient) Delete(ctx context.Context, id string) error {
	_, err := call(ctx, c.events.DeleteSubscription, &ledgerv1.DeleteSubscriptionRequest{Id: id})
	return err
}

// Test implements event.Service.
func (c *EventClient) Test(ctx context.Context, id string) (event.TestResult, error) {
	m, err := call(ctx, c.events.TestSubscription, &ledgerv1.TestSubscriptionRequest{Id: id})
	if err != nil {
		return event.TestResult{}, err
	}
	return event.TestResult{Delivered: m.GetDelivered(), Cause: m.GetCause(), Detail: m.GetDetail(), Took: m.GetTook().AsDuration()}, nil
}

// Deliveries implements event.Service. The wire knows one state at a time, so that all of them are three calls.
func (c *EventClient) Deliveries(ctx context.Context, page event.DeliveryPage) ([]event.Delivery, error) {
	states := []event.DeliveryState{page.State}
	if page.State == "" {
		states = []event.DeliveryState{event.Due, event.Dead, event.Discarded}
	}
	var all []event.Delivery
	for _, state := range states {
		request := &ledgerv1.ListDeliveriesRequest{
			SubscriptionId: page.Subscription, Home: string(page.Home), State: deliveryStates[state], PageSize: pageOf(page.Limit),
		}
		if page.AfterPosition > 0 {
			request.PageToken = place{page.AfterHome, page.AfterPosition}.String()
		}
		m, err := call(ctx, c.events.ListDeliveries, request)
		if err != nil {
			return nil, err
		}
		found, err := readAll(m.GetDeliveries(), readDelivery)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b event.Delivery) int {
		return cmp.Or(cmp.Compare(a.Home, b.Home), cmp.Compare(a.Position, b.Position))
	})
	return all[:min(len(all), page.Limit)], nil
}

// Delivery implements event.Service. Of the event the wire shows what became of the journal row, not the row: DeliveryEvent returns that.
func (c *EventClient) Delivery(ctx context.Context, subscription string, home id.Home, p event.Position) (event.Delivery, event.Event, error) {
	d, shown, err := c.DeliveryEvent(ctx, subscription, home, p)
	if err != nil {
		return event.Delivery{}, event.Event{}, err
	}
	e := event.Event{Home: shown.Home, Position: shown.Position, AppendedAt: shown.AppendedAt}
	e.Record.Home, e.Record.Outcome.Ledger, e.Record.Outcome.Transaction = shown.Home, d.Ledger, d.Transaction
	return d, e, nil
}

// DeliveryEvent returns a delivery, and its event as the subscription sees it.
func (c *EventClient) DeliveryEvent(ctx context.Context, subscription string, home id.Home, p event.Position) (event.Delivery, CloudEvent, error) {
	m, err := call(ctx, c.events.GetDelivery, &ledgerv1.GetDeliveryRequest{SubscriptionId: subscription, Home: string(home), Position: int64(p)})
	if err != nil {
		return event.Delivery{}, CloudEvent{}, err
	}
	d, err := readDelivery(m.GetDelivery())
	return d, readEvent(m.GetEvent()), err
}

// RetryDeliveries implements event.Service.
func (c *EventClient) RetryDeliveries(ctx context.Context, s event.Selection) (int64, error) {
	m, err := call(ctx, c.events.RetryDeliveries, &ledgerv1.RetryDeliveriesRequest{Selection: renderSelection(s)})
	return m.GetCount(), err
}

// DiscardDeliveries implements event.Service.
func (c *EventClient) DiscardDeliveries(ctx context.Context, s event.Selection, reason string) (int64, error) {
	m, err := call(ctx, c.events.DiscardDeliveries, &ledgerv1.DiscardDeliveriesRequest{Selection: renderSelection(s), Reason: reason})
	return m.GetCount(), err
}

// StartReplay implements event.Service.
func (c *EventClient) StartReplay(ctx context.Context, n event.NewReplay) (event.Replay, error) {
	m, err := call(ctx, c.events.StartReplay, &ledgerv1.StartReplayRequest{
		Id: n.ID, SubscriptionId: n.Subscription, Home: string(n.Home), First: int64(n.First), Last: int64(n.Last), From: stamp(n.From), To: stamp(n.To),
		PerSecond: int32(min(n.PerSecond, 1<<30)), Reason: n.Reason, //nolint:gosec // bounded
	})
	return readReplay(m.GetReplay()), err
}

// Replays implements event.Service.
func (c *EventClient) Replays(ctx context.Context, subscription string, limit int) ([]event.Replay, error) {
	m, err := call(ctx, c.events.ListReplays, &ledgerv1.ListReplaysRequest{SubscriptionId: subscription})
	if err != nil {
		return nil, err
	}
	var all []event.Replay
	for _, r := range m.GetReplays()[:min(len(m.GetReplays()), limit)] {
		all = append(all, readReplay(r))
	}
	return all, nil
}

// CancelReplay implements event.Service.
func (c *EventClient) CancelReplay(ctx context.Context, home id.Home, replay string) (event.Replay, error) {
	m, err := call(ctx, c.events.CancelReplay, &ledgerv1.CancelReplayRequest{Home: string(home), Id: replay})
	return readReplay(m.GetReplay()), err
}
