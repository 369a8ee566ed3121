package verify

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/search"
)

// streamed lets the journal leave, and makes it searchable, by a relay that stops then.
func (w writer) streamed(t *testing.T, d dbtest.Database) {
	t.Helper()
	want := map[id.Home]event.Position{}
	rows, err := d.DB.Reader().Query(t.Context(), `SELECT home, count(*) FROM (
		SELECT home, transaction_id AS id FROM entry UNION SELECT home, id FROM journal) own GROUP BY home`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var home id.Home
		var n event.Position
		if err := rows.Scan(&home, &n); err != nil {
			t.Fatal(err)
		}
		want[home] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	tails := relay.NewTails(w.Store, nil, 10*time.Millisecond, log)
	progress := relay.NewTails(search.Heads{Store: w.Store}, nil, 10*time.Millisecond, log)
	r := relay.New(relay.Options{
		Store: w.Store, Source: feed.New(d.DB, feed.Options{Log: log}), Tails: tails, Owner: "test",
		Runners: []relay.Runner{search.NewProjector(w.Store, tails, progress, nil, log)},
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	defer func() { stop(); <-done }()
	waiting, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for home, n := range want {
		if err := progress.Wait(waiting, home, n-1); err != nil {
			t.Fatalf("%s is not searchable up to %d: %v", home, n, err)
		}
	}
}

// subscribes makes a subscription that is at a position, as a deliverer leaves it: some of what it wants is dead, due or discarded.
func (w writer) subscribes(t *testing.T, name string, filter event.Filter, at event.Position) {
	t.Helper()
	sub := event.NewSubscription{
		ID: name, Homes: []id.Home{"eu"}, Filter: filter, Sink: event.SinkSpec{Kind: "file", Settings: json.RawMessage(`{}`)}, Start: event.Start{Beginning: true},
	}
	if existed, err := w.CreateSubscription(t.Context(), sub); err != nil || existed {
		t.Fatalf("subscribe: %t %v", existed, err)
	}
	tenure, taken, err := w.Acquire(t.Context(), "eu", "test", time.Minute)
	if err != nil || !taken {
		t.Fatalf("take the lease: %t %v", taken, err)
	}
	events, err := w.Events(t.Context(), "eu", 0, int(at))
	if err != nil {
		t.Fatal(err)
	}
	c := event.Checkpoint{Lease: tenure.Lease, Revision: 1, Progress: event.Progress{Home: "eu", Subscription: name, Position: at}}
	states := []event.DeliveryState{event.Dead, event.Due, event.Discarded}
	sum, wanted := event.Digest{}, 0
	for _, e := range events {
		if !filter.Matches(e) {
			continue
		}
		if wanted++; wanted%3 == 0 {
			c.Put = append(c.Put, event.Delivery{
				Home: "eu", Subscription: name, Position: e.Position, Ledger: e.Record.Outcome.Ledger, Transaction: e.Record.Outcome.Transaction,
				State: states[wanted/3%3], DueAt: time.Now(), Cause: "test", CreatedAt: time.Now(),
			})
			continue
		}
		c.Progress.Delivered++
		sum = sum.Add(event.Weigh(name, e.Position, e.Record.Outcome.Transaction))
	}
	if c.Progress.Digest = sum.String(); c.Progress.Delivered < 2 || len(c.Put) < 3 {
		t.Fatalf("the subscription wants %d events, which is too few to tell anything", wanted)
	}
	if err := w.WriteCheckpoint(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context(), tenure.Lease); err != nil {
		t.Fatal(err)
	}
}

// streamStory is the story of the books, all of it left and searchable, with two subscriptions.
func streamStory(t *testing.T, d dbtest.Database) writer {
	t.Helper()
	w := story(t, d.DB)
	w.streamed(t, d)
	w.subscribes(t, "all", event.Filter{}, 30)
	w.subscribes(t, "wallets", event.Filter{AccountPrefixes: []string{"acc_"}, Types: []event.Type{"transaction.*", "hold.created"}}, 40)
	return w
}

// late is a command that comes when the relay has gone.
func (w writer) late() ledger.Outcome {
	return w.do(ledger.Command{Kind: ledger.KindTransfer, Key: "late", Account: "acc_a", Counter: "acc_b", Amount: eur(1)}, "")
}
