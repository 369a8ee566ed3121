package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// subscriber is a subscription in one home: how far it says to be, and what that has to add up to.
type subscriber struct {
	id        string
	since     event.Position
	position  event.Position
	delivered int64
	digest    string
	wants     event.Matcher

	count  int64        // of wanted events, minus those that stand in deliveries
	sum    event.Digest // likewise
	states map[string]int64
}

const sqlProgress = `
SELECT p.subscription_id, p.since, p.position, p.delivered, p.digest::text, s.id IS NOT NULL, coalesce(s.homes::text, '[]'),
    coalesce(s.filter::text, '{}'), coalesce(s.grants::text, '[]'), coalesce(s.sink::text, '{}')
FROM progress p LEFT JOIN subscription s ON s.id = p.subscription_id
WHERE p.home = $1 ORDER BY p.subscription_id`

// discoverSubscribers reads who takes events of a home. There are no more than operators made.
func (r *run) discoverSubscribers(ctx context.Context, h *home) error {
	var s subscriber
	var known bool
	var homes, filter, grants, sink string
	rows := r.query(ctx, sqlProgress, h.name)
	_, err := pgx.ForEachRow(rows, []any{&s.id, &s.since, &s.position, &s.delivered, &s.digest, &known, &homes, &filter, &grants, &sink}, func() error {
		var of event.Subscription
		if err := errors.Join(json.Unmarshal([]byte(homes), &of.Homes), json.Unmarshal([]byte(filter), &of.Filter),
			json.Unmarshal([]byte(grants), &of.Grants), json.Unmarshal([]byte(sink), &of.Sink)); err != nil {
			return fmt.Errorf("read subscription %s: %w", s.id, err)
		}
		found := s
		found.states = map[string]int64{}
		found.wants = of.Filter.Compile(event.Options{Homes: of.Sees(), HomeOf: func(l id.Ledger) (id.Home, bool) {
			k, known := r.assets[l]
			return k.home, known
		}})
		h.subscribers = append(h.subscribers, &found)
		if !known {
			r.find(&r.checks.deliveries, Finding{Home: h.name, Subscription: s.id, Message: "there is progress of a subscription that does not exist"})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the subscriptions of %s: %w", h.name, err)
	}
	return nil
}

func (s *subscriber) covers(p event.Position) bool { return s.since < p && p <= s.position }

// passes adds an event that has to be delivered by now, or to stand in a delivery.
func (s *subscriber) passes(e event.Event) {
	if s.covers(e.Position) && s.wants.Matches(e) {
		s.count++
		s.sum = s.sum.Add(event.Weigh(s.id, e.Position, e.Record.Outcome.Transaction))
	}
}

const sqlDeliveries = `
SELECT d.subscription_id, d.state, d.ledger_id, d.transaction_id, s.position IS NOT NULL, d.position, coalesce(s.ledger_id, d.ledger_id),
    coalesce(s.transaction_id, d.transaction_id), coalesce(j.home, ''), coalesce(j.kind, ''), coalesce(j.outcome, ''), coalesce(j.reason, ''), j.detail,
    j.entries, j.request, coalesce(j.reference, ''), coalesce(j.correlation_id, ''), coalesce(j.recorded_at, d.created_at)
FROM (SELECT * FROM delivery WHERE home = $1 AND (subscription_id, position) >= ($2, $3::int8) ORDER BY subscription_id, position LIMIT $4 OFFSET $5) d
LEFT JOIN LATERAL (SELECT * FROM stream WHERE home = d.home AND position = d.position LIMIT 1) s ON true
LEFT JOIN ledger l ON l.id = s.ledger_id
LEFT JOIN LATERAL (SELECT * FROM journal WHERE home = l.home AND ledger_id = s.ledger_id AND id = s.transaction_id LIMIT 1) j ON true
ORDER BY d.subscription_id, d.position`

// deliveries takes off what stands in deliveries, and judges what is left against what was counted on the way.
func (r *run) deliveries(ctx context.Context, h *home) error {
	if r.searching {
		return nil
	}
	by := map[string]*subscriber{}
	for _, s := range h.subscribers {
		by[s.id] = s
	}
	var f fact
	var subscription, state string
	var transaction id.Transaction
	var name id.Ledger
	var placed, began bool
	from := func() []any { return []any{h.name, subscription, f.position} }
	into := append([]any{&subscription, &state, &name, (*[16]byte)(&transaction), &placed}, f.into()...)
	err := r.paged(ctx, "deliveries", sqlDeliveries, &began, from, into, func() error {
		r.looked(&r.checks.deliveries)
		where := Finding{Home: h.name, Position: int64(f.position), Subscription: subscription, Ledger: name, Transaction: transaction}
		s := by[subscription]
		var e event.Event
		var unread error
		if placed && f.home != "" {
			e, unread = f.event(h.name)
		}
		switch {
		case s == nil:
			where.Message = "a delivery of a subscription that takes nothing of this home"
		case !placed:
			where.Message = "a delivery of a position that the stream has not"
		case f.ledger != name || f.transaction != transaction:
			where.Message = fmt.Sprintf("the position is that of transaction %s of %s", f.transaction, f.ledger)
		case f.home == "" || unread != nil:
			where.Message = "a delivery of what the journal has not"
		case s.covers(f.position) && !s.wants.Matches(e):
			where.Message = "a delivery of what the subscription does not want"
		default:
			s.states[state]++
			if s.covers(f.position) {
				s.count--
				s.sum = s.sum.Sub(event.Weigh(s.id, f.position, f.transaction))
			}
			return nil
		}
		r.find(&r.checks.deliveries, where)
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range h.subscribers {
		r.judgeSubscriber(h, s)
	}
	return nil
}

func (r *run) judgeSubscriber(h *home, s *subscriber) {
	r.looked(&r.checks.deliveries)
	where := Finding{Home: h.name, Subscription: s.id, Position: int64(s.position)}
	switch {
	case s.since > s.position || s.position > h.head:
		where.Message = fmt.Sprintf("it is at position %d since position %d, and the newest is %d", s.position, s.since, h.head)
	case s.delivered != s.count:
		where.Message = fmt.Sprintf("%d events of positions %d to %d count as delivered, which have to be %d", s.delivered, s.since+1, s.position, s.count)
	case s.digest != s.sum.String():
		where.Message = fmt.Sprintf("the %d events that count as delivered are not those of positions %d to %d", s.delivered, s.since+1, s.position)
	default:
		return
	}
	r.find(&r.checks.deliveries, where)
}
