package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
)

// picky is a sink that takes everything but events of accounts that begin with poison.
type picky struct{}

func (picky) Deliver(_ context.Context, messages []sink.Message) (int, error) {
	for i, m := range messages {
		if strings.Contains(m.Key, "/poison") {
			return i, &sink.Error{Verdict: sink.Poison, Cause: "status_4xx", Detail: "the receiver said 422"}
		}
	}
	return len(messages), nil
}
func (picky) Shape() sink.Shape { return sink.Shape{Batch: 10, Parallel: 1} }
func (picky) Close() error      { return nil }

// streaming is a node with its change stream, as `meridian serve` puts it together.
type streaming struct {
	node
	operators *relay.Subscriptions
	base      string
	drain     func()
}

func newStreaming(t *testing.T, d dbtest.Database) *streaming {
	t.Helper()
	books := store.New(d.DB)
	n := &streaming{node: node{books, commit.New(books, commit.Options{})}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, stop := context.WithCancel(context.Background())
	homeOf := func(name id.Ledger) (id.Home, bool) {
		l, err := books.Ledger(ctx, name)
		return l.Home, err == nil
	}
	regionOf := func(home id.Home) (string, bool) { return "region-" + string(home), true }
	kinds := relay.Sinks{"webhook": func(event.SinkSpec, []event.Secret) (sink.Sink, error) { return picky{}, nil }}
	var listen relay.Listen
	if d.DB.Engine.Notifies {
		listen = func(ctx context.Context, told func()) error { return d.DB.Listen(ctx, "meridian_stream", told) }
	}
	tails := relay.NewTails(books, listen, d.DB.Engine.Poll, log)
	n.operators = &relay.Subscriptions{Store: books, Stream: books, Sinks: kinds, HomeOf: homeOf, RegionOf: regionOf, MakeSecret: map[string]func() []byte{"webhook": webhook.MakeSecret}}
	deliverers := relay.NewDeliverers(relay.DeliverOptions{
		Store: books, Stream: books, Sinks: kinds, HomeOf: homeOf, RegionOf: regionOf, Limits: relay.DeliverLimits{Poll: 50 * time.Millisecond},
	})
	r := relay.New(relay.Options{
		Store: books, Source: feed.New(d.DB, feed.Options{Log: log}), Tails: tails, Owner: t.Name(), Runners: []relay.Runner{deliverers}, Grown: deliverers.Wake, Log: log,
	})
	var running sync.WaitGroup
	running.Go(func() { tails.Run(ctx) })
	running.Go(func() { r.Run(ctx) })
	draining := make(chan struct{})
	n.drain = sync.OnceFunc(func() { close(draining) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewHandler(n.node, rpc.Options{
		Draining: draining, Events: n.operators, Stream: books, Tails: tails, RegionOf: regionOf,
	}), nil)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		stop()
		running.Wait()
		if err := n.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	n.base = "http://" + listener.Addr().String()
	return n
}

// forms are the ways to speak to it.
var forms = []struct {
	name    string
	http2   bool
	options []connect.ClientOption
}{
	{"connect", false, nil},
	{"connect-h2c", true, nil},
	{"grpc", true, []connect.ClientOption{connect.WithGRPC()}},
	{"grpc-web", false, []connect.ClientOption{connect.WithGRPCWeb()}},
	{"json", false, []connect.ClientOption{connect.WithProtoJSON()}},
}

func (n *streaming) client(t *testing.T, http2 bool, options ...connect.ClientOption) *rpc.EventClient {
	c := rpc.NewHTTPClient(nil, http2)
	t.Cleanup(c.CloseIdleConnections)
	return rpc.NewEventClient(c, n.base, options...)
}

// credit moves money into accounts, in one batch.
func (n *streaming) credit(t *testing.T, in id.Ledger, key string, accounts ...id.Account) []ledger.Result {
	t.Helper()
	var b ledger.Batch
	for i, a := range accounts {
		b.Commands = append(b.Commands, ledger.Command{
			Kind: ledger.KindCredit, Ledger: in, Key: id.Key(fmt.Sprintf("%s-%d", key, i)), Account: a, Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
		})
	}
	results, err := n.Execute(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil || r.Outcome.Decided != ledger.Posted {
			t.Fatalf("%s %v %v", r.Outcome.Decided, r.Outcome.Reason, r.Err)
		}
	}
	return results
}

// furnish makes a home with a ledger and accounts of its own.
func (n *streaming) furnish(t *testing.T, home id.Home, accounts ...id.Account) id.Ledger {
	t.Helper()
	name := id.Ledger("brand-" + string(home))
	if _, err := n.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		o, err := ledger.Do(t.Context(), n, ledger.Command{
			Kind: ledger.KindOpen, Ledger: name, Key: id.Key("open:" + string(a)), Account: a, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
		})
		if err != nil || o.Decided != ledger.Posted {
			t.Fatalf("open %s: %v %v", a, o, err)
		}
	}
	return name
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// The contract of event.Service, which the service and a client of it on every wire form keep alike.
func TestEventService_ConformsHereAndOverEveryWireForm(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newStreaming(t, d)
		t.Run("here", func(t *testing.T) { conform(t, n, n.operators, "h0") })
		for i, f := range forms {
			t.Run(f.name, func(t *testing.T) {
				conform(t, n, n.client(t, f.http2, f.options...), id.Home(fmt.Sprintf("h%d", i+1)))
			})
		}
	})
}

func conform(t *testing.T, n *streaming, svc event.Service, home id.Home) {
	ctx := t.Context()
	brand := n.furnish(t, home, "poison", "acc_1")
	name := "sub-" + string(home)
	wanted := event.NewSubscription{
		ID: name, Homes: []id.Home{home}, Filter: event.Filter{Types: []event.Type{"wallet.*"}}, Metadata: ledger.Metadata{"team": "treasury"},
		Sink:  event.SinkSpec{Kind: "webhook", Region: "region-" + string(home), Settings: []byte(`{"url":"https://x.example"}`)},
		Start: event.Start{Beginning: true},
	}
	want := func(what string, err error, target error) {
		t.Helper()
		if !errors.Is(err, target) {
			t.Errorf("%s: %v, want %v", what, err, target)
		}
	}
	_, err := svc.Get(ctx, name)
	want("one that is not there", err, errs.ErrSubscriptionNotFound)
	abroad := wanted
	abroad.Sink.Region = "elsewhere"
	_, _, err = svc.Create(ctx, abroad)
	want("a sink abroad", err, errs.ErrResidencyRefused)

	created, made, err := svc.Create(ctx, wanted)
	if err != nil || created.ID != name || created.State != event.Active || created.Revision != 1 || made == nil || !strings.HasPrefix(string(made.Value), "whsec_") {
		t.Fatalf("create: %+v %v %v", created, made, err)
	}
	again, made, err := svc.Create(ctx, wanted)
	if err != nil || made != nil || again.Revision != 1 || !slices.Equal(again.SecretIDs, []string{"made"}) || again.Metadata["team"] != "treasury" {
		t.Errorf("create again: %+v %v %v", again, made, err)
	}
	other := wanted
	other.Filter = event.Filter{}
	_, _, err = svc.Create(ctx, other)
	want("create another", err, errs.ErrSubscriptionExists)
	if field := errs.Of(err).Fields["field"]; field != "filter" {
		t.Errorf("it differs in %q", field)
	}
	listed, err := svc.List(ctx, "sub-"+string(home)[:1], 100)
	if err != nil || !slices.ContainsFunc(listed, func(s event.Standing) bool { return s.ID == name }) {
		t.Errorf("list: %v %v", listed, err)
	}

	// Two of three events are poison, and die.
	results := n.credit(t, brand, "first", "poison", "acc_1", "poison")
	selected := event.DeliveryPage{Subscription: name, State: event.Dead, Limit: 10}
	var dead []event.Delivery
	eventually(t, "two dead letters", func() bool {
		dead, err = svc.Deliveries(ctx, selected)
		return err == nil && len(dead) == 2
	})
	if d := dead[0]; d.Home != home || d.Ledger != brand || d.Transaction != results[0].Outcome.Transaction || d.Cause != "status_4xx" || d.Attempts < 1 ||
		!strings.Contains(d.Detail, "422") || d.Position >= dead[1].Position || d.ChangedAt.IsZero() {
		t.Errorf("a dead letter: %+v", d)
	}
	selected.AfterHome, selected.AfterPosition = home, dead[0].Position
	if rest, err := svc.Deliveries(ctx, selected); err != nil || len(rest) != 1 || rest[0].Position != dead[1].Position {
		t.Errorf("after the first: %v %v", rest, err)
	}
	if all, err := svc.Deliveries(ctx, event.DeliveryPage{Subscription: name, Limit: 1}); err != nil || len(all) != 1 || all[0].Position != dead[0].Position {
		t.Errorf("of any state: %v %v", all, err)
	}
	d, e, err := svc.Delivery(ctx, name, home, dead[0].Position)
	if err != nil || d.State != event.Dead || e.Position != dead[0].Position || e.ID() != dead[0].Transaction.String() {
		t.Errorf("one: %+v %+v %v", d, e, err)
	}
	_, _, err = svc.Delivery(ctx, name, home, 1<<40)
	want("a delivery that is not there", err, errs.ErrDeliveryNotFound)

	paused, err := svc.Pause(ctx, name, "a drill")
	if err != nil || paused.State != event.Paused || paused.Cause != "a drill" {
		t.Errorf("pause: %+v %v", paused, err)
	}
	count, err := svc.RetryDeliveries(ctx, event.Selection{Subscription: name, Home: home, Positions: []event.Position{dead[0].Position}})
	if err != nil || count != 1 {
		t.Errorf("retry: %d %v", count, err)
	}
	count, err = svc.DiscardDeliveries(ctx, event.Selection{Subscription: name, Home: home, Cause: "status_4xx"}, "booked by hand")
	if err != nil || count != 1 {
		t.Errorf("discard: %d %v", count, err)
	}
	_, err = svc.DiscardDeliveries(ctx, event.Selection{Subscription: name, Home: home}, "")
	want("discard without a reason", err, errs.Invalid("reason", ""))
	_, err = svc.RetryDeliveries(ctx, event.Selection{Subscription: name, Home: "mars"})
	want("retry elsewhere", err, errs.ErrHomeNotFound)

	filter, metadata := event.Filter{AccountPrefixes: []string{"acc_"}}, ledger.Metadata{"team": "risk"}
	updated, err := svc.Update(ctx, event.Amendment{
		ID: name, Filter: &filter, Metadata: &metadata, AddSecrets: []event.Secret{{ID: "next", Value: []byte("whsec_bmV4dG5leHRuZXh0bmV4dG5leHRuZXh0")}}, RemoveSecrets: []string{"made"},
		AddGrants: []event.Grant{{Home: home, Region: "region-x", Reason: "a test"}},
	})
	if err != nil || updated.Revision <= paused.Revision || !slices.Equal(updated.SecretIDs, []string{"next"}) || !slices.Equal(updated.Filter.AccountPrefixes, filter.AccountPrefixes) ||
		len(updated.Filter.Types) != 0 || updated.Metadata["team"] != "risk" || len(updated.Grants) != 1 || updated.State != event.Paused {
		t.Errorf("update: %+v %v", updated, err)
	}
	resumed, err := svc.Resume(ctx, name)
	if err != nil || resumed.State != event.Active || resumed.Cause != "" {
		t.Errorf("resume: %+v %v", resumed, err)
	}
	eventually(t, "everything is delivered", func() bool {
		s, err := svc.Get(ctx, name)
		return err == nil && len(s.Places) == 1 && s.Places[0].Position == s.Places[0].Head && s.Places[0].Head >= 5 && s.Places[0].Due == 0
	})
	if r, err := svc.Test(ctx, name); err != nil || !r.Delivered || r.Took <= 0 {
		t.Errorf("test: %+v %v", r, err)
	}

	n2 := event.NewReplay{ID: "again", Subscription: name, Home: home, First: 1, Last: 3, PerSecond: 10_000, Reason: "a drill"}
	replay, err := svc.StartReplay(ctx, n2)
	if err != nil || replay.First != 1 || replay.Last != 3 || replay.PerSecond != 10_000 {
		t.Fatalf("replay: %+v %v", replay, err)
	}
	n2.Last = 2
	_, err = svc.StartReplay(ctx, n2)
	want("another replay of this id", err, errs.ErrReplayExists)
	eventually(t, "the replay is done", func() bool {
		all, err := svc.Replays(ctx, name, 10)
		return err == nil && len(all) == 1 && all[0].State == event.ReplayDone && all[0].Position == 3
	})
	if over, err := svc.CancelReplay(ctx, home, "again"); err != nil || over.State != event.ReplayDone {
		t.Errorf("cancel what is over: %+v %v", over, err)
	}
	_, err = svc.CancelReplay(ctx, home, "none")
	want("cancel what is not there", err, errs.ErrReplayNotFound)

	want("delete", svc.Delete(ctx, name), nil)
	want("delete again", svc.Delete(ctx, name), nil)
	_, err = svc.Get(ctx, name)
	want("one that is deleted", err, errs.ErrSubscriptionNotFound)
	_, _, err = svc.Create(ctx, wanted)
	want("an id that was deleted", err, errs.ErrSubscriptionExists)
}

// Subscribers on every wire form see all that is committed while they listen, once, and in order on each account; and they end when the node drains.
func TestSubscribe_SeesWhatIsCommittedMeanwhile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newStreaming(t, d)
		accounts := []id.Account{"acc_0", "acc_1", "acc_2", "acc_3"}
		brand := n.furnish(t, "eu", accounts...)
		const rounds = 40
		want := len(accounts) * (rounds + 1)
		var listening, complete, heard sync.WaitGroup
		for _, f := range forms {
			c := n.client(t, f.http2, f.options...)
			listening.Add(1)
			complete.Add(1)
			heard.Go(func() {
				begun, whole := sync.OnceFunc(listening.Done), sync.OnceFunc(complete.Done)
				defer begun()
				defer whole()
				events, sequences := 0, map[string]string{}
				for w, err := range c.Subscribe(t.Context(), rpc.Subscriber{Home: "eu", Heartbeat: time.Second}) {
					begun()
					if err != nil {
						if events != want || !errors.Is(err, errs.ErrDraining) {
							t.Errorf("%s: it ends after %d of %d events with %v", f.name, events, want, err)
						}
						return
					}
					if w.Event == nil {
						continue
					}
					var at struct{ Account, Sequence string }
					if err := json.Unmarshal(w.Event.Body, &at); err != nil || at.Sequence <= sequences[at.Account] {
						t.Errorf("%s: %s is at %s after %s: %v", f.name, at.Account, at.Sequence, sequences[at.Account], err)
					}
					sequences[at.Account] = at.Sequence
					if events++; w.Position != event.Position(events) {
						t.Errorf("%s: the %d-th is at %d", f.name, events, w.Position)
					}
					if events == want {
						whole()
					}
				}
				t.Errorf("%s: it ended without an error", f.name)
			})
		}
		listening.Wait()
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for round := range rounds / 4 {
					n.credit(t, brand, fmt.Sprintf("w%d-%d", w, round), accounts...)
				}
			})
		}
		writers.Wait()
		complete.Wait()
		n.drain()
		heard.Wait()
	})
}
