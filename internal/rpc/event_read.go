package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// The inverse of event_render.go, and what a client sends.

func readEvent(m *ledgerv1.Event) CloudEvent {
	return CloudEvent{
		Home: id.Home(m.GetHome()), Position: event.Position(m.GetPosition()), ID: m.GetId(), Type: event.Type(m.GetType()),
		Body: json.RawMessage(m.GetCloudEvent()), AppendedAt: at(m.GetAppendedAt()),
	}
}

// readWord passes over what a newer server may say besides.
func readWord(m *ledgerv1.SubscribeResponse) (w Word, known bool) {
	switch what := m.GetWhat().(type) {
	case *ledgerv1.SubscribeResponse_Event:
		e := readEvent(what.Event)
		return Word{Event: &e, Position: e.Position}, true
	case *ledgerv1.SubscribeResponse_Heartbeat:
		return Word{Position: event.Position(what.Heartbeat.GetPosition())}, true
	}
	return Word{}, false
}

func readFilter(m *ledgerv1.EventFilter) event.Filter {
	f := event.Filter{AccountPrefixes: m.GetAccountPrefixes()}
	for _, l := range m.GetLedgers() {
		f.Ledgers = append(f.Ledgers, id.Ledger(l))
	}
	for _, t := range m.GetTypes() {
		f.Types = append(f.Types, event.Type(t))
	}
	return f
}

func readSink(m *ledgerv1.Sink) (event.SinkSpec, error) {
	s := event.SinkSpec{Region: m.GetRegion()}
	var settings proto.Message
	switch kind := m.GetKind().(type) {
	case *ledgerv1.Sink_Webhook:
		s.Kind, settings = "webhook", kind.Webhook
	case *ledgerv1.Sink_Kafka:
		s.Kind, settings = "kafka", kind.Kafka
	case *ledgerv1.Sink_Nats:
		s.Kind, settings = "nats", kind.Nats
	case *ledgerv1.Sink_File:
		s.Kind, settings = "file", kind.File
	default:
		return s, errNoSink
	}
	spaced, err := jsonOut.Marshal(settings)
	if err != nil {
		return s, errSettings
	}
	var b bytes.Buffer
	if err := json.Compact(&b, spaced); err != nil {
		return s, errSettings
	}
	s.Settings = b.Bytes()
	return s, nil
}

var (
	errNoSink   = errors.New("there is no sink of a known kind")
	errSettings = errors.New("the settings of the sink can not be read") // what the library says quotes them
)

func readStanding(m *ledgerv1.Subscription) (event.Standing, error) {
	sink, err := readSink(m.GetSink())
	if err != nil {
		return event.Standing{}, errs.ErrInternal.Because(fmt.Errorf("read the server's answer: %w", err))
	}
	s := event.Standing{SecretIDs: m.GetSecretIds()}
	s.Subscription = event.Subscription{
		ID: m.GetId(), Revision: m.GetRevision(), State: subscriptionStateBack[m.GetState()], Cause: m.GetCause(), Filter: readFilter(m.GetFilter()),
		Sink: sink, Grants: grants(m.GetResidencyGrants()), Metadata: m.GetMetadata(), CreatedAt: at(m.GetCreatedAt()), ChangedAt: at(m.GetChangedAt()),
	}
	for _, home := range m.GetHomes() {
		s.Homes = append(s.Homes, id.Home(home))
	}
	for _, p := range m.GetProgress() {
		s.Places = append(s.Places, event.HomeStanding{
			Progress: event.Progress{
				Home: id.Home(p.GetHome()), Subscription: m.GetId(), Position: event.Position(p.GetPosition()), Delivered: p.GetDelivered(),
			},
			Head: event.Position(p.GetHead()), Due: p.GetDue(), Dead: p.GetDead(), Oldest: at(p.GetOldestUndelivered()),
		})
	}
	return s, nil
}

func readDelivery(m *ledgerv1.Delivery) (event.Delivery, error) {
	t, err := id.ParseTransaction(m.GetTransactionId())
	return event.Delivery{
		Home: id.Home(m.GetHome()), Subscription: m.GetSubscriptionId(), Position: event.Position(m.GetPosition()), Ledger: id.Ledger(m.GetLedger()),
		Transaction: t, State: deliveryStateBack[m.GetState()], Attempts: int(m.GetAttempts()), DueAt: at(m.GetDueAt()), Cause: m.GetCause(),
		Detail: m.GetDetail(), CreatedAt: at(m.GetCreatedAt()), ChangedAt: at(m.GetChangedAt()),
	}, err
}

func readReplay(m *ledgerv1.Replay) event.Replay {
	return event.Replay{
		Home: id.Home(m.GetHome()), ID: m.GetId(), Subscription: m.GetSubscriptionId(), First: event.Position(m.GetFirst()),
		Last: event.Position(m.GetLast()), Position: event.Position(m.GetPosition()), PerSecond: int(m.GetPerSecond()), State: m.GetState(),
		Reason: m.GetReason(), CreatedAt: at(m.GetCreatedAt()), ChangedAt: at(m.GetChangedAt()),
	}
}

func renderSecrets(all []event.Secret) []*ledgerv1.Secret {
	out := make([]*ledgerv1.Secret, len(all))
	for i, s := range all {
		out[i] = &ledgerv1.Secret{Id: s.ID, Value: string(s.Value)}
	}
	return out
}

func renderSelection(s event.Selection) *ledgerv1.DeliverySelection {
	m := &ledgerv1.DeliverySelection{SubscriptionId: s.Subscription, Home: string(s.Home), Cause: s.Cause}
	for _, p := range s.Positions {
		m.Positions = append(m.Positions, int64(p))
	}
	return m
}
