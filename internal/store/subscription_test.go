package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/store"
)

// subscribed is a store with a subscription of eu, and the lease of that home.
func subscribed(t *testing.T, d dbtest.Database) (*store.Store, event.Checkpoint) {
	t.Helper()
	s := store.New(d.DB)
	tenure, taken, err := s.Acquire(t.Context(), "eu", "test", time.Hour)
	if err != nil || !taken {
		t.Fatalf("%t %v", taken, err)
	}
	existed, err := s.CreateSubscription(t.Context(), event.NewSubscription{
		ID: "s", Homes: []id.Home{"eu", "us"}, Sink: event.SinkSpec{Kind: "file", Settings: json.RawMessage(`{}`)}, Start: event.Start{Beginning: true},
		Secrets: []event.Secret{{ID: "one", Value: []byte{0, 1, 2}}},
	})
	if err != nil || existed {
		t.Fatalf("%t %v", existed, err)
	}
	return s, event.Checkpoint{Lease: tenure.Lease, Revision: 1, Progress: event.Progress{Home: "eu", Subscription: "s", Digest: "0"}}
}

func due(p event.Position) event.Delivery {
	return event.Delivery{
		Home: "eu", Subscription: "s", Position: p, Ledger: "brand", Transaction: id.TransactionOf("brand", id.Key(fmt.Sprintf("k%d", p))),
		Accounts: []ledger.Ref{{Ledger: "brand", Account: "a"}, {Ledger: "other", Account: "b"}}, State: event.Due, Attempts: 1,
		DueAt: time.Unix(1_800_000_000, 0).UTC(), Cause: "timeout", Detail: "too slow", CreatedAt: time.Unix(1_700_000_000, 0).UTC(),
	}
}

func TestCheckpoint_IsWrittenWholeAndAsOftenAsOneLikes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, c := subscribed(t, d)
		c.Progress.Position, c.Progress.Delivered, c.Progress.Digest = 7, 5, "99999999999999999999999999999999999999"
		c.Put = []event.Delivery{due(3), due(4)}
		for range 2 {
			if err := s.WriteCheckpoint(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Outstanding(t.Context(), "eu", "s")
		if err != nil || got.Progress.Position != 7 || got.Progress.Delivered != 5 || got.Progress.Digest != c.Progress.Digest || len(got.Due) != 2 {
			t.Fatalf("%+v %v", got, err)
		}
		want := due(3)
		want.ChangedAt = got.Due[0].ChangedAt
		if fmt.Sprintf("%+v", got.Due[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v\nwant %+v", got.Due[0], want)
		}
		dead := due(4)
		dead.State, dead.Attempts, dead.Cause = event.Dead, 12, "status_5xx"
		c.Put, c.Drop, c.Progress.Delivered = []event.Delivery{dead}, []event.Position{3}, 6
		for range 2 {
			if err := s.WriteCheckpoint(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Outstanding(t.Context(), "eu", "s"); err != nil || len(got.Due) != 0 || got.Progress.Delivered != 6 {
			t.Errorf("%+v %v", got, err)
		}
		at, err := s.Standing(t.Context(), "s")
		if err != nil || len(at.Places) != 2 || at.Places[0].Dead != 1 || at.Places[0].Due != 0 || at.Places[1].Home != "us" || at.Places[1].Position != 0 {
			t.Errorf("%+v %v", at, err)
		}
	})
}

func TestCheckpoint_IsRefusedWholeWhereItsGroundIsGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, c := subscribed(t, d)
		c.Progress.Position, c.Put = 7, []event.Delivery{due(3)}
		if err := s.WriteCheckpoint(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			name   string
			change func(*event.Checkpoint)
			want   error
		}{
			{"another owner", func(c *event.Checkpoint) { c.Lease.Epoch++ }, event.ErrFenced},
			{"another revision", func(c *event.Checkpoint) { c.Revision++ }, event.ErrRevised},
			{"no such subscription", func(c *event.Checkpoint) { c.Progress.Subscription = "t" }, event.ErrRevised},
			{"a position behind", func(c *event.Checkpoint) { c.Progress.Position = 6 }, errs.ErrInternal},
		} {
			other := c
			other.Progress.Position, other.Put, other.Drop = 9, []event.Delivery{due(8)}, []event.Position{3}
			row.change(&other)
			if err := s.WriteCheckpoint(t.Context(), other); !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", row.name, err, row.want)
			}
		}
		got, err := s.Outstanding(t.Context(), "eu", "s")
		if err != nil || got.Progress.Position != 7 || len(got.Due) != 1 || got.Due[0].Position != 3 {
			t.Errorf("a refused checkpoint left something: %+v %v", got, err)
		}
		lease := c.Lease
		lease.Epoch++
		if err := s.SetHealth(t.Context(), lease, "s", event.Failing, "x"); !errors.Is(err, event.ErrFenced) {
			t.Errorf("the state, by another owner: %v", err)
		}
	})
}

func TestSubscription_HealthLeavesWhatPeopleDecided(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, c := subscribed(t, d)
		state := func() event.Subscription {
			t.Helper()
			got, err := s.Subscription(t.Context(), "s")
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		set := func(to event.State, cause string) {
			t.Helper()
			if err := s.SetHealth(t.Context(), c.Lease, "s", to, cause); err != nil {
				t.Fatal(err)
			}
		}
		set(event.Failing, "down")
		if got := state(); got.State != event.Failing || got.Cause != "down" || got.Revision != 1 {
			t.Errorf("%+v", got)
		}
		set(event.Active, "")
		paused := state()
		if paused.State != event.Active {
			t.Errorf("%+v", paused)
		}
		paused.State, paused.Cause = event.Paused, "a person"
		if err := s.ReviseSubscription(t.Context(), paused, false, nil, nil); err != nil {
			t.Fatal(err)
		}
		set(event.Failing, "down")
		if got := state(); got.State != event.Paused || got.Cause != "a person" || got.Revision != 2 {
			t.Errorf("%+v", got)
		}
		if err := s.ReviseSubscription(t.Context(), paused, false, nil, nil); !errors.Is(err, errs.ErrContended) {
			t.Errorf("a revision that is gone: %v", err)
		}
	})
}

func TestReviseSubscription_CountsAnewAndForgetsWhatIsAhead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, c := subscribed(t, d)
		c.Progress.Position, c.Progress.Delivered, c.Progress.Digest = 5, 4, "17"
		c.Put = []event.Delivery{due(3), due(9)} // 9 was settled before what is between
		if err := s.WriteCheckpoint(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		sub, err := s.Subscription(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		sub.Filter = event.Filter{Types: []event.Type{event.HoldCreated}}
		if err := s.ReviseSubscription(t.Context(), sub, true, nil, nil); err != nil {
			t.Fatal(err)
		}
		got, err := s.Outstanding(t.Context(), "eu", "s")
		if err != nil {
			t.Fatal(err)
		}
		if p := got.Progress; p.Since != 5 || p.Position != 5 || p.Delivered != 0 || p.Digest != "0" {
			t.Errorf("the count goes on: %+v", p)
		}
		if len(got.Due) != 1 || got.Due[0].Position != 3 {
			t.Errorf("due is %+v, want 3 alone: 9 is read again", got.Due)
		}
	})
}

func TestRetryDeliveries_MakesNoMoreDueThanThereIsRoom(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, c := subscribed(t, d)
		c.Progress.Position = 20
		for p := event.Position(1); p <= 10; p++ {
			row := due(p)
			if p > 2 {
				row.State = event.Dead
			}
			c.Put = append(c.Put, row)
		}
		if err := s.WriteCheckpoint(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		n, err := s.RetryDeliveries(t.Context(), event.Selection{Subscription: "s", Home: "eu"}, 5)
		got, lookErr := s.Outstanding(t.Context(), "eu", "s")
		if err != nil || lookErr != nil || n != 3 || len(got.Due) != 5 || got.Due[4].Position != 5 || got.Due[4].Attempts != 0 {
			t.Errorf("%d %+v %v %v", n, got, err, lookErr)
		}
		if sub, err := s.Subscription(t.Context(), "s"); err != nil || sub.Revision != 2 {
			t.Errorf("%+v %v, want who delivers to look again", sub, err)
		}
	})
}
