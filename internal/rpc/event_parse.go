package rpc

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

func (p *parser) home(field, text string) id.Home {
	if text == "" {
		p.fail(field, "name the home")
		return ""
	}
	home, err := id.ParseHome(text)
	p.check(field, err)
	return home
}

func (p *parser) position(field string, n int64) event.Position {
	if n < 0 {
		p.fail(field, "positions count from 1; 0 is before all")
	}
	return event.Position(n)
}

func (p *parser) subscription(field, text string) string {
	if _, err := event.ParseSubscriptionID(text); err != nil {
		p.fail(field, "a subscription is 1 to 64 of a-z 0-9 -, starting with a letter")
	}
	return text
}

func (p *parser) replay(text string) string {
	if _, err := id.ParseLedger(text); err != nil { // the same form
		p.fail("id", "a replay is 1 to 64 of a-z 0-9 -, starting with a letter")
	}
	return text
}

// valid takes over what the domain says of a value; the error names its field.
func (p *parser) valid(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parser) filter(m *ledgerv1.EventFilter) event.Filter {
	f := readFilter(m)
	p.valid(f.Validate())
	return f
}

// subscribing is what Subscribe was asked for.
type subscribing struct {
	home      id.Home
	filter    event.Filter
	after     event.Position
	now       bool
	since     time.Time
	heartbeat time.Duration
}

// Bounds of a heartbeat.
const (
	defaultHeartbeat = 5 * time.Second
	minHeartbeat     = 100 * time.Millisecond
	maxHeartbeat     = time.Minute
)

func (p *parser) subscribe(m *ledgerv1.SubscribeRequest) subscribing {
	s := subscribing{home: p.home("home", m.GetHome()), filter: p.filter(m.GetFilter())}
	switch from := m.GetFrom().(type) {
	case *ledgerv1.SubscribeRequest_After:
		s.after = p.position("after", from.After)
	case *ledgerv1.SubscribeRequest_Now:
		if s.now = from.Now; !s.now {
			p.fail("now", "true, or leave it out")
		}
	case *ledgerv1.SubscribeRequest_Since:
		s.since = p.instant("since", from.Since)
	default:
		p.fail("from", "say where to begin: after a position (0 is from the beginning), now, or since a time")
	}
	s.heartbeat = cmp.Or(p.duration("heartbeat", m.GetHeartbeat()), defaultHeartbeat)
	if s.heartbeat < minHeartbeat || s.heartbeat > maxHeartbeat {
		p.fail("heartbeat", fmt.Sprintf("%v to %v", minHeartbeat, maxHeartbeat))
	}
	return s
}

func (p *parser) newSubscription(m *ledgerv1.CreateSubscriptionRequest) event.NewSubscription {
	n := event.NewSubscription{
		ID: p.subscription("id", m.GetId()), Filter: p.filter(m.GetFilter()), Sink: p.sink(m.GetSink()), Grants: grants(m.GetResidencyGrants()),
		Secrets: p.secrets("secrets", m.GetSecrets()), Metadata: m.GetMetadata(),
	}
	for _, home := range m.GetHomes() {
		n.Homes = append(n.Homes, id.Home(home))
	}
	switch from := m.GetFrom().(type) {
	case *ledgerv1.CreateSubscriptionRequest_Beginning:
		if n.Start.Beginning = from.Beginning; !from.Beginning {
			p.fail("beginning", "true, or leave it out")
		}
	case *ledgerv1.CreateSubscriptionRequest_Now:
		if !from.Now {
			p.fail("now", "true, or leave it out")
		}
	case *ledgerv1.CreateSubscriptionRequest_Since:
		n.Start.Since = p.instant("since", from.Since)
	}
	p.valid(event.Subscription{
		ID: n.ID, State: event.Active, Homes: n.Homes, Filter: n.Filter, Sink: n.Sink, Grants: n.Grants, Metadata: n.Metadata,
	}.Validate())
	return n
}

func (p *parser) amendment(m *ledgerv1.UpdateSubscriptionRequest) event.Amendment {
	a := event.Amendment{
		ID: p.subscription("id", m.GetId()), AddGrants: grants(m.GetResidencyGrants()), AddSecrets: p.secrets("add_secrets", m.GetAddSecrets()),
		RemoveSecrets: m.GetRemoveSecretIds(),
	}
	if m.GetFilter() != nil {
		f := p.filter(m.GetFilter())
		a.Filter = &f
	}
	if m.GetSink() != nil {
		s := p.sink(m.GetSink())
		a.Sink = &s
	}
	if len(m.GetMetadata()) > 0 {
		metadata := ledger.Metadata(m.GetMetadata())
		p.valid(metadata.Validate("metadata"))
		a.Metadata = &metadata
	}
	if a.Filter == nil && a.Sink == nil && a.Metadata == nil && len(a.AddGrants)+len(a.AddSecrets)+len(a.RemoveSecrets) == 0 {
		p.fail("id", "say what to change: filter, sink, residency_grants, add_secrets, remove_secret_ids or metadata")
	}
	return a
}

// instant reads a time that has to be there.
func (p *parser) instant(field string, t interface {
	CheckValid() error
	AsTime() time.Time
},
) time.Time {
	if err := t.CheckValid(); err != nil {
		p.fail(field, plain(err))
		return time.Time{}
	}
	at := t.AsTime().Truncate(time.Microsecond) // what both engines store
	if at.Year() < 1 || at.IsZero() {
		p.fail(field, "before the year 1")
	}
	return at
}

// sink keeps the settings as the JSON that the package of the sink reads.
func (p *parser) sink(m *ledgerv1.Sink) event.SinkSpec {
	s, err := readSink(m)
	switch {
	case errors.Is(err, errNoSink):
		p.fail("sink", "say where events go: webhook, kafka, nats or file")
	case err != nil: // such as a duration that is none
		p.fail("sink."+s.Kind, "a value of the settings can not be read")
	}
	return s
}

func grants(all []*ledgerv1.ResidencyGrant) []event.Grant {
	var out []event.Grant
	for _, g := range all {
		out = append(out, event.Grant{Home: id.Home(g.GetHome()), Region: g.GetRegion(), Reason: g.GetReason()})
	}
	return out
}

func (p *parser) secrets(field string, all []*ledgerv1.Secret) []event.Secret {
	if len(all) > event.MaxSecrets {
		p.fail(field, fmt.Sprintf("at most %d secrets are active at once", event.MaxSecrets))
		return nil
	}
	var out []event.Secret
	for i, s := range all {
		if s.GetId() == "" || s.GetValue() == "" {
			p.fail(fmt.Sprintf("%s[%d]", field, i), "a secret has an id and a value; give none at all and the server makes one for a webhook")
		}
		out = append(out, event.Secret{ID: s.GetId(), Value: []byte(s.GetValue())})
	}
	return out
}

func (p *parser) deliveryPage(m *ledgerv1.ListDeliveriesRequest) event.DeliveryPage {
	page := event.DeliveryPage{
		Subscription: p.subscription("subscription_id", m.GetSubscriptionId()), State: event.Dead, Limit: p.pageSize(m.GetPageSize()),
	}
	if m.GetHome() != "" {
		page.Home = p.home("home", m.GetHome())
	}
	if m.GetState() != ledgerv1.DeliveryState_DELIVERY_STATE_UNSPECIFIED {
		var known bool
		if page.State, known = deliveryStateBack[m.GetState()]; !known {
			p.fail("state", "DELIVERY_STATE_DUE, _DEAD or _DISCARDED")
		}
	}
	if m.GetPageToken() != "" {
		after := p.place(m.GetPageToken())
		page.AfterHome, page.AfterPosition = after.home, after.position
	}
	return page
}

// place is a position in one of several homes, as page tokens carry it.
type place struct {
	home     id.Home
	position event.Position
}

func (l place) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s/%d", l.home, l.position))
}

func (p *parser) place(token string) place {
	text, err := base64.RawURLEncoding.DecodeString(token)
	name, digits, _ := strings.Cut(string(text), "/")
	home, bad := id.ParseHome(name)
	n, odd := strconv.ParseInt(digits, 10, 64)
	l := place{home, event.Position(n)}
	if err != nil || bad != nil || odd != nil || n < 1 || l.String() != token {
		p.fail("page_token", "take it from next_page_token of the page before")
		return place{}
	}
	return l
}

func (p *parser) selection(m *ledgerv1.DeliverySelection) event.Selection {
	const in = "selection."
	s := event.Selection{
		Subscription: p.subscription(in+"subscription_id", m.GetSubscriptionId()), Home: p.home(in+"home", m.GetHome()), Cause: m.GetCause(),
	}
	if len(m.GetPositions()) > event.MaxSelection {
		p.fail(in+"positions", fmt.Sprintf("at most %d; leave them out to mean all", event.MaxSelection))
		return s
	}
	if len(m.GetPositions()) > 0 && m.GetCause() != "" {
		p.fail(in+"cause", "name positions or a cause, not both")
	}
	p.valid(ledger.ValidateText(in+"cause", m.GetCause()))
	for i, n := range m.GetPositions() {
		if n < 1 {
			p.fail(fmt.Sprintf("%spositions[%d]", in, i), "positions count from 1")
		}
		s.Positions = append(s.Positions, event.Position(n))
	}
	return s
}

func (p *parser) newReplay(m *ledgerv1.StartReplayRequest) event.NewReplay {
	n := event.NewReplay{
		ID: p.replay(m.GetId()), Subscription: p.subscription("subscription_id", m.GetSubscriptionId()), Home: p.home("home", m.GetHome()),
		First: p.position("first", m.GetFirst()), Last: p.position("last", m.GetLast()), From: p.time("from", m.GetFrom()), To: p.time("to", m.GetTo()),
		PerSecond: int(m.GetPerSecond()), Reason: m.GetReason(),
	}
	if n.PerSecond < 0 {
		p.fail("per_second", "1 to 10000 events a second")
	}
	return n
}
