package relay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

func TestSubscriptions_CreatingAgainReturnsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a")
		n := h.wanted("s", event.Filter{Types: []event.Type{"hold.*"}})
		n.Start, n.Secrets, n.Metadata = event.Start{}, []event.Secret{{ID: "k", Value: []byte("very secret")}}, ledger.Metadata{"team": "x"}
		first, made, err := h.operators.Create(t.Context(), n)
		if err != nil || made != nil || first.Revision != 1 || first.State != event.Active || len(first.SecretIDs) != 1 || first.Places[0].Position != h.head {
			t.Fatalf("%+v %v %v", first, made, err)
		}
		n.Sink.Settings = json.RawMessage(`{ "name":"s" }`) // the same in other words
		if again, _, err := h.operators.Create(t.Context(), n); err != nil || again.CreatedAt != first.CreatedAt {
			t.Errorf("again: %+v %v", again, err)
		}
		for field, change := range map[string]func(*event.NewSubscription){
			"homes":            func(n *event.NewSubscription) { n.Homes = append([]id.Home{"other"}, n.Homes...) },
			"filter":           func(n *event.NewSubscription) { n.Filter = event.Filter{} },
			"sink":             func(n *event.NewSubscription) { n.Sink.Settings = json.RawMessage(`{"name": "t"}`) },
			"residency_grants": func(n *event.NewSubscription) { n.Grants = []event.Grant{{Home: h.home, Region: "r", Reason: "why"}} },
			"metadata":         func(n *event.NewSubscription) { n.Metadata = nil },
			"secrets":          func(n *event.NewSubscription) { n.Secrets = []event.Secret{{ID: "k", Value: []byte("another")}} },
		} {
			other := n
			change(&other)
			if _, _, err := h.operators.Create(t.Context(), other); !errors.Is(err, errs.ErrSubscriptionExists) || errs.Of(err).Fields["field"] != field {
				t.Errorf("another %s: %v", field, err)
			}
		}
		shown := fmt.Sprintf("%+v %#v %v", first, first, n.Secrets)
		if strings.Contains(shown, "very secret") {
			t.Error("a secret is shown")
		}
	})
}

func TestSubscriptions_MakesASecretForWhatSigns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		n := h.wanted("s", event.Filter{})
		n.Sink.Kind = "webhook"
		s, made, err := h.operators.Create(t.Context(), n)
		if err != nil || made == nil || !strings.HasPrefix(string(made.Value), "whsec_") || len(s.SecretIDs) != 1 {
			t.Fatalf("%+v %v %v", s, made, err)
		}
		if _, again, err := h.operators.Create(t.Context(), n); err != nil || again != nil {
			t.Errorf("again: %v %v, want it to be shown once", again, err)
		}
		stored, err := h.Secrets(t.Context(), "s")
		if err != nil || !bytes.Equal(stored[0].Value, made.Value) {
			t.Errorf("%v %v", stored, err)
		}
		updated, err := h.operators.Update(t.Context(), event.Amendment{
			ID: "s", Revision: s.Revision, AddSecrets: []event.Secret{{ID: "next", Value: []byte("n")}}, RemoveSecrets: []string{made.ID},
		})
		if err != nil || len(updated.SecretIDs) != 1 || updated.SecretIDs[0] != "next" || updated.Revision != s.Revision+1 {
			t.Errorf("%+v %v", updated, err)
		}
		if _, err := h.operators.Update(t.Context(), event.Amendment{ID: "s", Revision: s.Revision}); !errors.Is(err, errs.ErrContended) {
			t.Errorf("an update of an older revision: %v", err)
		}
		if err := h.operators.Delete(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if stored, err := h.Secrets(t.Context(), "s"); err != nil || len(stored) != 0 {
			t.Errorf("after the end %d secrets %v", len(stored), err)
		}
		if err := h.operators.Delete(t.Context(), "s"); err != nil {
			t.Errorf("again: %v", err)
		}
		if _, err := h.operators.Get(t.Context(), "s"); !errors.Is(err, errs.ErrSubscriptionNotFound) {
			t.Errorf("get: %v", err)
		}
		if _, _, err := h.operators.Create(t.Context(), n); !errors.Is(err, errs.ErrSubscriptionExists) {
			t.Errorf("create: %v", err)
		}
	})
}

func TestSubscriptions_KeepHomesInTheirRegion(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.operators.RegionOf = func(home id.Home) (string, bool) { return "europe", home == h.home }
		n := h.wanted("s", event.Filter{})
		n.Sink.Region = "us"
		if _, _, err := h.operators.Create(t.Context(), n); !errors.Is(err, errs.ErrResidencyRefused) {
			t.Fatalf("without a grant: %v", err)
		}
		n.Grants = []event.Grant{{Home: h.home, Region: "us", Reason: "the regulator said so"}}
		if _, _, err := h.operators.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		elsewhere := n.Sink
		elsewhere.Region = "apac"
		if _, err := h.operators.Update(t.Context(), event.Amendment{ID: "s", Sink: &elsewhere}); !errors.Is(err, errs.ErrResidencyRefused) {
			t.Errorf("an update to another region: %v", err)
		}
		s, err := h.operators.Update(t.Context(), event.Amendment{
			ID: "s", Sink: &elsewhere, AddGrants: []event.Grant{{Home: h.home, Region: "apac", Reason: "so did this one"}},
		})
		if err != nil || len(s.Grants) != 2 {
			t.Errorf("%+v %v", s, err)
		}
	})
}

func TestSubscriptions_TestSendsOneEventAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.subscribe("s", event.Filter{})
		result, err := h.operators.Test(t.Context(), "s")
		if err != nil || !result.Delivered || len(h.sinks.arrived["s"]) != 1 || h.sinks.arrived["s"][0].Type() != event.Test {
			t.Fatalf("%+v %v %v", result, err, h.sinks.arrived)
		}
		h.sinks.set(func(string, sink.Message, int) error { return failing(sink.Down) })
		result, err = h.operators.Test(t.Context(), "s")
		if err != nil || result.Delivered || result.Cause != "scripted" || result.Detail == "" {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestSubscriptions_DeadLettersAreRetriedOrGivenUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b", "c")
		for range 4 {
			h.execute(credit("a"), credit("b"), credit("c"))
		}
		h.sinks.set(func(_ string, m sink.Message, _ int) error {
			if m.Position%3 == 0 {
				return failing(sink.Poison)
			}
			return nil
		})
		h.subscribe("s", event.Filter{})
		r := h.deliver(quick())
		defer r.end(t)
		h.settled(t, "s")
		page := event.DeliveryPage{Subscription: "s", Home: h.home, State: event.Dead, Limit: 2}
		first, err := h.operators.Deliveries(t.Context(), page)
		if err != nil || len(first) != 2 || first[0].Position != 3 || first[0].Attempts != 1 || first[0].Detail != "so says the script" {
			t.Fatalf("%+v %v", first, err)
		}
		page.AfterHome, page.AfterPosition, page.Limit = h.home, first[1].Position, 10
		second, err := h.operators.Deliveries(t.Context(), page)
		if err != nil || len(second) != 3 || second[0].Position != 9 {
			t.Fatalf("%+v %v", second, err)
		}
		if _, e, err := h.operators.Delivery(t.Context(), "s", h.home, 9); err != nil || e.Position != 9 || e.Record.Outcome.Transaction != second[0].Transaction {
			t.Errorf("%+v %v", e, err)
		}
		tallies, err := h.TallyDeliveries(t.Context(), h.home)
		if err != nil || len(tallies) != 1 || tallies[0].Count != 5 || tallies[0].Age != "hour" || tallies[0].Cause != "scripted" {
			t.Errorf("%+v %v", tallies, err)
		}
		h.sinks.set(nil)
		chosen := event.Selection{Subscription: "s", Home: h.home, Positions: []event.Position{3, 4}}
		if n, err := h.operators.DiscardDeliveries(t.Context(), chosen, "nobody wants it"); err != nil || n != 1 {
			t.Errorf("%d discarded %v", n, err)
		}
		all := event.Selection{Subscription: "s", Home: h.home, Cause: "scripted"}
		if n, err := h.operators.RetryDeliveries(t.Context(), all); err != nil || n != 4 {
			t.Errorf("%d retried %v", n, err)
		}
		h.settled(t, "s")
		if p := h.place(t, "s"); p.Dead != 0 || p.Discarded != 1 || p.Delivered != int64(h.head)-1 {
			t.Errorf("%+v", p)
		}
		r.end(t)
		given, err := h.Delivery(t.Context(), "s", h.home, 3)
		if err != nil || given.State != event.Discarded || !strings.HasSuffix(given.Detail, "discarded: nobody wants it") {
			t.Errorf("%+v %v", given, err)
		}
	})
}

func TestSubscriptions_ChangesTakeEffectSoon(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b")
		h.subscribe("s", event.Filter{})
		limits := quick()
		limits.Poll = 200 * time.Millisecond
		r := h.deliver(limits)
		defer r.end(t)
		h.settled(t, "s")
		if _, err := h.operators.Pause(t.Context(), "s", "the night shift asked"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // it is what is promised
		h.execute(credit("a"), credit("b"), credit("a"))
		r.Wake(h.home)
		time.Sleep(limits.Poll)
		if p := h.place(t, "s"); p.Position == h.head || len(h.sinks.positions("s", "")) != int(h.head)-3 {
			t.Errorf("a paused one went on to %d", p.Position)
		}
		if s, err := h.operators.Pause(t.Context(), "s", "again"); err != nil || s.Cause != "the night shift asked" {
			t.Errorf("%+v %v", s, err)
		}
		if s, err := h.operators.Resume(t.Context(), "s"); err != nil || s.State != event.Active || s.Cause != "" {
			t.Errorf("%+v %v", s, err)
		}
		h.settled(t, "s")
		only := event.Filter{AccountPrefixes: []string{"b"}}
		s, err := h.operators.Update(t.Context(), event.Amendment{ID: "s", Filter: &only})
		if err != nil || s.Places[0].Since != h.head || s.Places[0].Delivered != 0 {
			t.Fatalf("%+v %v, want the count to begin anew", s, err)
		}
		time.Sleep(2 * time.Second) // it is what is promised
		h.execute(credit("a"), credit("b"))
		h.settled(t, "s")
		r.end(t)
		h.prove(t, "s", only)
		if got := len(h.sinks.positions("s", "")); got != int(h.head)-1 {
			t.Errorf("%d arrived of %d, want no repeats and none of a", got, h.head)
		}
	})
}

func TestReplay_DeliversARangeAgainBesideWhatIsNew(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b")
		for range 10 {
			h.execute(credit("a"), credit("b"))
		}
		h.subscribe("s", event.Filter{})
		r := h.deliver(quick())
		defer r.end(t)
		h.settled(t, "s")
		before := h.place(t, "s")
		n := event.NewReplay{ID: "again", Subscription: "s", Home: h.home, First: 5, Last: 14, PerSecond: 20, Reason: "they lost it"}
		started := time.Now()
		if _, err := h.operators.StartReplay(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if again, err := h.operators.StartReplay(t.Context(), n); err != nil || again.First != 5 {
			t.Errorf("%+v %v", again, err)
		}
		other := n
		other.Last = 13
		if _, err := h.operators.StartReplay(t.Context(), other); !errors.Is(err, errs.ErrReplayExists) || errs.Of(err).Fields["field"] != "last" {
			t.Errorf("another range: %v", err)
		}
		h.sinks.until(t, "some are there again", func() bool { return len(h.sinks.positions("s", "again")) > 2 })
		r.kill(t)
		h.takeOver()
		next := h.deliver(quick())
		defer next.end(t)
		h.execute(credit("a"))
		h.settled(t, "s") // what is new does not wait
		h.sinks.until(t, "the replay is done", func() bool {
			all, err := h.operators.Replays(t.Context(), "s", 10)
			return err == nil && all[0].State == event.ReplayDone && all[0].Position == 14
		})
		if took := time.Since(started); took < 400*time.Millisecond {
			t.Errorf("ten events took %s at 20 a second", took)
		}
		again := h.sinks.positions("s", "again")
		want := event.Position(5)
		for _, p := range again {
			if p == want {
				want++
			} else if p > want {
				t.Errorf("position %d follows %d", p, want-1)
			}
		}
		if want != 15 {
			t.Errorf("it ends at %d: %v", want-1, again)
		}
		if after := h.place(t, "s"); after.Delivered != before.Delivered+1 {
			t.Errorf("a replay counts as delivered: %+v, before %+v", after, before)
		}
	})
}

func TestReplay_IsCancelled(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a")
		for range 20 {
			h.execute(credit("a"))
		}
		h.subscribe("s", event.Filter{})
		r := h.deliver(quick())
		defer r.end(t)
		h.settled(t, "s")
		n := event.NewReplay{ID: "slow", Subscription: "s", Home: h.home, PerSecond: 1, Reason: "they lost it"}
		if _, err := h.operators.StartReplay(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		h.sinks.until(t, "one is there again", func() bool { return len(h.sinks.positions("s", "slow")) > 0 })
		if got, err := h.operators.CancelReplay(t.Context(), h.home, "slow"); err != nil || got.State != event.ReplayCancelled {
			t.Fatalf("%+v %v", got, err)
		}
		if _, err := h.operators.CancelReplay(t.Context(), h.home, "none"); !errors.Is(err, errs.ErrReplayNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
		fast := event.NewReplay{ID: "fast", Subscription: "s", Home: h.home, First: 3, Last: 9, PerSecond: 1000, Reason: "once more"}
		if _, err := h.operators.StartReplay(t.Context(), fast); err != nil {
			t.Fatal(err)
		}
		h.sinks.until(t, "the next one is through", func() bool { return len(h.sinks.positions("s", "fast")) == 7 })
		if got := len(h.sinks.positions("s", "slow")); got > 3 {
			t.Errorf("%d came of the cancelled one", got)
		}
	})
}

func TestDeliver_AFailingSinkIsSeenAndComesBackByItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHouse(t, d)
		h.open("a", "b", "c", "d")
		limits := quick()
		limits.Patience, limits.Attempts = 50*time.Millisecond, 2
		limits.Probe = attempt.Backoff{First: time.Millisecond, Last: 20 * time.Millisecond}
		h.sinks.set(func(string, sink.Message, int) error { return failing(sink.Down) })
		h.subscribe("s", event.Filter{})
		r := h.deliver(limits)
		defer r.end(t)
		var s event.Standing
		h.sinks.until(t, "it is failing", func() bool {
			var err error
			s, err = h.Standing(t.Context(), "s")
			return err == nil && s.State == event.Failing
		})
		if !strings.Contains(s.Cause, "scripted: so says the script") || s.Places[0].Dead+s.Places[0].Due != 0 {
			t.Errorf("%+v, want the cause, and no message to be to blame", s)
		}
		calls := func() int {
			h.sinks.mu.Lock()
			defer h.sinks.mu.Unlock()
			return h.sinks.calls["s"]
		}
		before := calls()
		h.sinks.until(t, "it is probed", func() bool { return calls() > before+3 })
		r.end(t)
		h.takeOver()
		next := h.deliver(limits) // who takes over probes as well
		defer next.end(t)
		h.sinks.set(nil)
		h.settled(t, "s")
		h.sinks.until(t, "it is active again", func() bool {
			s, err := h.Standing(t.Context(), "s")
			return err == nil && s.State == event.Active && s.Cause == ""
		})
		next.end(t)
		h.prove(t, "s", event.Filter{})
	})
}
