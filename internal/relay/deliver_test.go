package relay_test

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

func TestDeliver_BringsEveryWantedEventInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b", "c")
		for range 40 {
			h.execute(credit("a"), credit("b"), transfer("a", "c"), transfer("b", "a"))
		}
		filter := event.Filter{AccountPrefixes: []string{"a", "c"}}
		h.subscribe("some", filter)
		h.subscribe("all", event.Filter{})
		r := h.deliver(quick())
		defer r.end(t)
		h.settled(t, "some")
		h.settled(t, "all")
		h.execute(credit("c"))
		r.Wake(h.home)
		h.settled(t, "all")
		r.end(t)
		h.prove(t, "some", filter)
		h.prove(t, "all", event.Filter{})
		if got := len(h.sinks.positions("all", "")); got != int(h.head) {
			t.Errorf("%d arrived for %d events, want no repeats where nothing fails", got, h.head)
		}
	})
}

func TestDeliver_NeighboursGoOnBesideAPoisonedAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("sick", "well")
		poisoned := h.head + 1
		for range 10 {
			h.execute(credit("sick"), credit("well"))
		}
		limits := quick()
		limits.Attempts = 1000 // it fails for as long as the test likes
		h.sinks.set(func(_ string, m sink.Message, _ int) error {
			if m.Position == poisoned {
				return failing(sink.Retry)
			}
			return nil
		})
		h.subscribe("all", event.Filter{})
		r := h.deliver(limits)
		defer r.end(t)
		h.sinks.until(t, "the neighbours are through", func() bool {
			p := h.place(t, "all")
			return p.Position == h.head && p.Due == 10
		})
		for _, p := range h.sinks.positions("all", "") {
			if p > poisoned && (p-poisoned)%2 == 0 {
				t.Errorf("position %d overtook %d on its account", p, poisoned)
			}
		}
		rows, err := h.Deliveries(t.Context(), event.DeliveryPage{Subscription: "all", Limit: 1})
		if err != nil || rows[0].Attempts == 0 || rows[0].Cause != "scripted" {
			t.Errorf("%+v %v, want the attempts and the cause", rows, err)
		}
		h.sinks.set(nil)
		h.settled(t, "all")
		r.end(t)
		h.prove(t, "all", event.Filter{})
		if at := h.place(t, "all"); at.Delivered != int64(h.head) {
			t.Errorf("%d of %d delivered", at.Delivered, h.head)
		}
	})
}
