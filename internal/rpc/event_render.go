package rpc

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// The tables between the words of subscriptions and those of the wire.
var (
	subscriptionStates = map[event.State]ledgerv1.SubscriptionState{
		event.Active: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE, event.Paused: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED,
		event.Failing: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_FAILING, event.Deleted: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_DELETED,
	}
	subscriptionStateBack = inverse(subscriptionStates)
	deliveryStates        = map[event.DeliveryState]ledgerv1.DeliveryState{
		event.Due: ledgerv1.DeliveryState_DELIVERY_STATE_DUE, event.Dead: ledgerv1.DeliveryState_DELIVERY_STATE_DEAD,
		event.Discarded: ledgerv1.DeliveryState_DELIVERY_STATE_DISCARDED,
	}
	deliveryStateBack = inverse(deliveryStates)
)

func renderEvent(e event.Event, r event.Rendered) *ledgerv1.Event {
	return &ledgerv1.Event{
		Home: string(e.Home), Position: int64(e.Position), Id: e.ID(), Type: string(e.Type()), CloudEvent: string(r.Body), AppendedAt: stamp(e.AppendedAt),
	}
}

func renderFilter(f event.Filter) *ledgerv1.EventFilter {
	m := &ledgerv1.EventFilter{AccountPrefixes: f.AccountPrefixes}
	for _, l := range f.Ledgers {
		m.Ledgers = append(m.Ledgers, string(l))
	}
	for _, t := range f.Types {
		m.Types = append(m.Types, string(t))
	}
	return m
}

// settingsIn reads stored settings. Those of a newer version are shown as far as this one knows them.
var settingsIn = protojson.UnmarshalOptions{DiscardUnknown: true}

func renderSink(s event.SinkSpec, read protojson.UnmarshalOptions) (*ledgerv1.Sink, error) {
	m := &ledgerv1.Sink{Region: s.Region}
	var settings proto.Message
	switch s.Kind {
	case "webhook":
		kind := &ledgerv1.Sink_Webhook{Webhook: &ledgerv1.WebhookSink{}}
		m.Kind, settings = kind, kind.Webhook
	case "kafka":
		kind := &ledgerv1.Sink_Kafka{Kafka: &ledgerv1.KafkaSink{}}
		m.Kind, settings = kind, kind.Kafka
	case "nats":
		kind := &ledgerv1.Sink_Nats{Nats: &ledgerv1.NatsSink{}}
		m.Kind, settings = kind, kind.Nats
	case "file":
		kind := &ledgerv1.Sink_File{File: &ledgerv1.FileSink{}}
		m.Kind, settings = kind, kind.File
	default:
		return nil, fmt.Errorf("there is no sink of the kind %q", s.Kind)
	}
	if err := read.Unmarshal(s.Settings, settings); err != nil {
		return nil, fmt.Errorf("the settings of a %s sink can not be read", s.Kind) // what the library says quotes them
	}
	return m, nil
}

func renderGrants(all []event.Grant) []*ledgerv1.ResidencyGrant {
	out := make([]*ledgerv1.ResidencyGrant, len(all))
	for i, g := range all {
		out[i] = &ledgerv1.ResidencyGrant{Home: string(g.Home), Region: g.Region, Reason: g.Reason}
	}
	return out
}

func renderStanding(s event.Standing) (*ledgerv1.Subscription, error) {
	sink, err := renderSink(s.Sink, settingsIn)
	if err != nil {
		return nil, errs.ErrInternal.Because(fmt.Errorf("subscription %s: %w", s.ID, err))
	}
	m := &ledgerv1.Subscription{
		Id: s.ID, State: subscriptionStates[s.State], Cause: s.Cause, Filter: renderFilter(s.Filter), Sink: sink, ResidencyGrants: renderGrants(s.Grants),
		SecretIds: s.SecretIDs, Metadata: s.Metadata, CreatedAt: stamp(s.CreatedAt), ChangedAt: stamp(s.ChangedAt), Revision: s.Revision,
	}
	for _, home := range s.Homes {
		m.Homes = append(m.Homes, string(home))
	}
	for _, place := range s.Places {
		m.Progress = append(m.Progress, &ledgerv1.SubscriptionProgress{
			Home: string(place.Home), Position: int64(place.Position), Head: int64(place.Head), Delivered: place.Delivered, Due: place.Due,
			Dead: place.Dead, OldestUndelivered: stamp(place.Oldest),
		})
	}
	return m, nil
}

func renderTest(t event.TestResult) *ledgerv1.TestSubscriptionResponse {
	return &ledgerv1.TestSubscriptionResponse{Delivered: t.Delivered, Cause: t.Cause, Detail: t.Detail, Took: durationpb.New(t.Took.Round(time.Microsecond))}
}

func renderDelivery(d event.Delivery) *ledgerv1.Delivery {
	return &ledgerv1.Delivery{
		SubscriptionId: d.Subscription, Home: string(d.Home), Position: int64(d.Position), Ledger: string(d.Ledger), TransactionId: d.Transaction.String(),
		State: deliveryStates[d.State], Attempts: int32(d.Attempts), DueAt: stamp(d.DueAt), Cause: d.Cause, Detail: d.Detail, //nolint:gosec // a handful
		CreatedAt: stamp(d.CreatedAt), ChangedAt: stamp(d.ChangedAt),
	}
}

func renderReplay(r event.Replay) *ledgerv1.Replay {
	return &ledgerv1.Replay{
		Id: r.ID, SubscriptionId: r.Subscription, Home: string(r.Home), First: int64(r.First), Last: int64(r.Last), Position: int64(r.Position),
		PerSecond: int32(r.PerSecond), State: r.State, Reason: r.Reason, //nolint:gosec // at most 10,000
		CreatedAt: stamp(r.CreatedAt), ChangedAt: stamp(r.ChangedAt),
	}
}
