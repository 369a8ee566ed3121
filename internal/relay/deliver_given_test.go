package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
	"github.com/meridian-ledger/meridian/internal/store"
)

// quick makes deliverers do in milliseconds what takes them seconds.
func quick() relay.DeliverLimits {
	return relay.DeliverLimits{
		Poll: 20 * time.Millisecond, Checkpoint: 5 * time.Millisecond, Page: 16, Window: 32, MaxDue: 100, Attempts: 4,
		Retry: attempt.Backoff{First: time.Millisecond, Last: 8 * time.Millisecond}, Probe: attempt.Backoff{First: time.Millisecond, Last: 10 * time.Millisecond},
		Patience: time.Minute, Call: 5 * time.Second, Grace: time.Second,
	}
}

const patience = 60 * time.Second // with a machine that has other work

// house is a home of its own in a database that others use, with a ledger and its stream.
type house struct {
	*store.Store
	t         testing.TB
	committer *commit.Committer
	home      id.Home
	brand     id.Ledger
	lease     event.Lease
	head      event.Position
	keys      int
	operators *relay.Subscriptions
	sinks     *script
	lossy     bool // see crash
}

// fatal is what a test and a check of rapid have.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

var houses atomic.Int64

func newHouse(t testing.TB, d dbtest.Database) *house {
	t.Helper()
	n := houses.Add(1)
	h := &house{
		Store: store.New(d.DB), t: t, home: id.Home(fmt.Sprintf("h%d", n)), brand: id.Ledger(fmt.Sprintf("brand%d", n)), sinks: newScript(),
	}
	h.committer = commit.New(h.Store, commit.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.committer.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	_, err := h.CreateLedger(t.Context(), ledger.Ledger{ID: h.brand, Home: h.home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	h.operators = &relay.Subscriptions{
		Store: h.Store, Stream: h.Store, Sinks: h.sinks.sinks(), HomeOf: h.homeOf,
		MakeSecret: map[string]func() []byte{webhook.Kind: webhook.MakeSecret},
	}
	h.takeOver()
	return h
}

func (h *house) homeOf(l id.Ledger) (id.Home, bool) {
	found, err := h.Ledger(context.Background(), l)
	return found.Home, err == nil
}

// takeOver gets the next lease, whoever has the one before.
func (h *house) takeOver() event.Lease {
	h.t.Helper()
	ctx := context.WithoutCancel(h.t.Context())
	if h.lease.Epoch > 0 {
		if err := h.Release(ctx, h.lease); err != nil {
			h.t.Fatal(err)
		}
	}
	tenure, taken, err := h.Acquire(ctx, h.home, fmt.Sprintf("owner %d", h.lease.Epoch+1), time.Hour)
	if err != nil || !taken {
		h.t.Fatalf("take the lease of %s: %t %v", h.home, taken, err)
	}
	h.lease = tenure.Lease
	return h.lease
}

// open opens accounts.
func (h *house) open(names ...id.Account) {
	h.t.Helper()
	var all []ledger.Command
	for _, name := range names {
		all = append(all, ledger.Command{Kind: ledger.KindOpen, Account: name, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}})
	}
	h.execute(all...)
}

func credit(to id.Account) ledger.Command {
	return ledger.Command{Kind: ledger.KindCredit, Account: to, Amount: &ledger.Money{Minor: money.FromInt64(5), Asset: "EUR"}}
}

func transfer(from, to id.Account) ledger.Command {
	return ledger.Command{Kind: ledger.KindTransfer, Account: from, Counter: to, Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"}}
}

// execute commits commands, and appends what they became to the stream.
func (h *house) execute(commands ...ledger.Command) {
	h.t.Helper()
	for part := range slices.Chunk(commands, 500) {
		for i := range part {
			h.keys++
			part[i].Ledger, part[i].Key = h.brand, id.Key(fmt.Sprintf("k%d", h.keys))
		}
		results, err := h.committer.Execute(h.t.Context(), ledger.Batch{Commands: part})
		if err != nil {
			h.t.Fatal(err)
		}
		var changes []event.Change
		for _, r := range results {
			if r.Err != nil {
				h.t.Fatal(r.Err)
			}
			changes = append(changes, event.Change{Home: h.home, Ledger: h.brand, Transaction: r.Outcome.Transaction})
		}
		if h.head, _, err = h.Append(h.t.Context(), h.lease, changes, ""); err != nil {
			h.t.Fatal(err)
		}
	}
}

// subscribe creates a subscription from the beginning.
func (h *house) subscribe(name string, filter event.Filter) {
	h.t.Helper()
	if _, _, err := h.operators.Create(h.t.Context(), h.wanted(name, filter)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) wanted(name string, filter event.Filter) event.NewSubscription {
	return event.NewSubscription{
		ID: name, Homes: []id.Home{h.home}, Filter: filter, Start: event.Start{Beginning: true},
		Sink: event.SinkSpec{Kind: "file", Settings: json.RawMessage(`{"name": "` + name + `"}`)},
	}
}

// running is deliverers at work.
type running struct {
	*relay.Deliverers
	stop   context.CancelFunc
	cancel *crash
	done   chan error
}

// deliver starts deliverers under the lease that the house has now.
func (h *house) deliver(limits relay.DeliverLimits) *running {
	h.t.Helper()
	c := &crash{DeliveryStore: h.Store, lossy: h.lossy}
	d := relay.NewDeliverers(relay.DeliverOptions{Store: c, Stream: h.Store, Sinks: h.sinks.sinks(), HomeOf: h.homeOf, Limits: limits})
	ctx, stop := context.WithCancel(context.WithoutCancel(h.t.Context()))
	r := &running{Deliverers: d, stop: stop, cancel: c, done: make(chan error, 1)}
	lease := h.lease
	go func() { r.done <- d.Run(ctx, lease) }()
	return r
}

// end stops deliverers as a node does that shuts down.
func (r *running) end(t fatal) {
	t.Helper()
	r.stop()
	_ = r.wait(t) // of a context that ended
}

func (r *running) wait(t fatal) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		t.Fatalf("the deliverers do not end")
		return nil
	}
}

// kill stops deliverers as a node does that dies: what they have not written they never will.
func (r *running) kill(t fatal) {
	t.Helper()
	r.cancel.dead.Store(true)
	r.end(t)
}

// crash is a store that a dead node does not reach. Where it is lossy, every third checkpoint is written and its answer lost, and every fourth
// is not written.
type crash struct {
	relay.DeliveryStore
	dead   atomic.Bool
	lossy  bool
	writes atomic.Int64
}

func (c *crash) WriteCheckpoint(ctx context.Context, p event.Checkpoint) error {
	if c.dead.Load() {
		return errs.ErrUnavailable
	}
	n := c.writes.Add(1)
	if c.lossy && n%4 == 0 {
		return errs.ErrUnavailable
	}
	err := c.DeliveryStore.WriteCheckpoint(ctx, p)
	if err == nil && c.lossy && n%3 == 0 {
		return errs.ErrOutcomeUnknown
	}
	return err
}

// place returns how far a subscription is.
func (h *house) place(t fatal, name string) event.HomeStanding {
	t.Helper()
	s, err := h.Standing(context.WithoutCancel(h.t.Context()), name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s.Places[0]
}

// settled waits until every event up to the head is delivered, dead or given up.
func (h *house) settled(t fatal, name string) {
	t.Helper()
	h.sinks.until(t, name+" is through", func() bool {
		p := h.place(t, name)
		return p.Position == h.head && p.Due == 0
	})
}

// prove holds the books of a subscription against the stream: what was committed and wanted is delivered, or stands in a row; and what arrived
// first came in order on every account.
func (h *house) prove(t fatal, name string, filter event.Filter) {
	t.Helper()
	ctx := context.WithoutCancel(h.t.Context())
	at := h.place(t, name)
	all, err := h.Events(ctx, h.home, at.Since, int(at.Position-at.Since))
	if err != nil {
		t.Fatalf("%v", err)
	}
	rows, err := h.Deliveries(ctx, event.DeliveryPage{Subscription: name, Limit: 100_000})
	if err != nil {
		t.Fatalf("%v", err)
	}
	behind := map[event.Position]bool{}
	for _, d := range rows {
		behind[d.Position] = true
	}
	arrived := map[event.Position]int{}
	for n, p := range h.sinks.positions(name, "") {
		if _, again := arrived[p]; !again {
			arrived[p] = n
		}
	}
	var delivered int64
	var digest event.Digest
	newest := map[ledger.Ref]event.Event{}
	for _, e := range all {
		if !filter.Matches(e) {
			if _, came := arrived[e.Position]; came {
				t.Errorf("position %d came, and nobody wants it", e.Position)
			}
			continue
		}
		if behind[e.Position] {
			continue
		}
		delivered++
		digest = digest.Add(event.Weigh(name, e.Position, e.Record.Outcome.Transaction))
		if _, came := arrived[e.Position]; !came {
			t.Errorf("position %d counts as delivered, and never came", e.Position)
		}
		for _, ref := range e.Accounts() {
			if before, ok := newest[ref]; ok && arrived[before.Position] > arrived[e.Position] {
				t.Errorf("on %s position %d came before %d", ref, e.Position, before.Position)
			}
			newest[ref] = e
		}
	}
	if at.Delivered != delivered || at.Digest != digest.String() {
		t.Errorf("%d are written down as delivered with digest %s, want %d with %s", at.Delivered, at.Digest, delivered, digest)
	}
	h.sinks.mu.Lock()
	defer h.sinks.mu.Unlock()
	if len(h.sinks.faults) > 0 {
		t.Errorf("the sink complains: %s", strings.Join(h.sinks.faults, "; "))
	}
}
