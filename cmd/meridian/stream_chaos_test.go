package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/drill"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/store"
)

// Three servers, a load on all of them, a consumer of every kind, and everything that can fail failing, by a plan that a seed makes up.
// Whatever a client was told has to come to every consumer: once after deduplication, in order on each account, and nothing else.
//
//	MERIDIAN_SOAK=5m         goes on for so long on each engine; else it is one round
//	MERIDIAN_TEST_SEED=123   the plan and the commands of an earlier run; when what meets what is up to the machine
func TestStream_EveryConsumerGetsEveryEventWhateverFails(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute on each engine")
	}
	seed, rounds := chaosSettings(t)
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		t.Logf("MERIDIAN_TEST_SEED=%d", seed)
		c := newChaos(t, d, seed)
		c.subscribe(t)
		plan := newPlan(seed, rounds, c.homes, []string{"web", "files", "jetstream", "kafka"})
		load := c.load(t, time.Duration(rounds)*round)
		c.faults.run(t, plan, time.Duration(rounds)*round)
		c.web.calm.Store(true)
		history := load()
		c.settle(t)
		c.judge(t, history)
	})
}

func chaosSettings(t *testing.T) (seed uint64, rounds int) {
	t.Helper()
	seed, rounds = uint64(time.Now().UnixNano()), 1
	var err error
	if text := os.Getenv("MERIDIAN_TEST_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("MERIDIAN_TEST_SEED: %v", err)
		}
	}
	if text := os.Getenv("MERIDIAN_SOAK"); text != "" {
		soak, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("MERIDIAN_SOAK: %v", err)
		}
		rounds = max(1, int((soak+round-1)/round))
	}
	return seed, rounds
}

// chaos is one engine under faults, and all who watch it.
type chaos struct {
	database dbtest.Database
	books    *store.Store
	homes    []id.Home
	homeOf   map[id.Ledger]id.Home
	workload sim.Workload
	seats    []*seat
	faults   *faults
	leases   *leases

	dir       string
	web       *hook
	jetstream *jetStream
	kafka     *kfake.Cluster
	forms     *forms
	live      []*sim.Witness // that hear while the load runs
	end       context.CancelFunc
	watching  sync.WaitGroup
}

func newChaos(t *testing.T, d dbtest.Database, seed uint64) *chaos {
	t.Helper()
	c := &chaos{
		database: d, books: store.New(d.DB), homes: []id.Home{"eu", "us"}, homeOf: map[id.Ledger]id.Home{}, leases: &leases{}, dir: t.TempDir(),
		jetstream: newJetStream(t), kafka: newKafka(t), forms: &forms{known: map[[32]byte]error{}},
	}
	c.workload = sim.Workload{Accounts: 40, Hot: 3, Seed: seed}
	for _, home := range c.homes {
		for _, brand := range []string{"brand-", "shop-"} {
			l := id.Ledger(brand + string(home))
			c.workload.Ledgers, c.homeOf[l] = append(c.workload.Ledgers, l), home
		}
	}
	c.web = newHook(t, seed, c.witness("webhook"))
	c.live = append(c.live, c.web.Witness)
	proxy := dbtest.NewProxy(t, d.URL)
	start := func() *server {
		return serving(t, proxy.URL(), "--webhook-allow-private", "127.0.0.1/32", "--events-dir", c.dir)
	}
	for n := range 3 {
		s := &seat{name: fmt.Sprint("seat-", n+1), transport: rpc.NewHTTPClient(nil, false).Transport}
		s.now.Store(start())
		c.seats = append(c.seats, s)
	}
	c.faults = &faults{proxy: proxy, homes: c.homes, seats: c.seats, leases: c.leases, start: start}
	ctx, end := context.WithCancel(t.Context())
	c.end = sync.OnceFunc(func() { end(); c.watching.Wait() })
	t.Cleanup(c.end)
	c.open(t)
	c.watching.Go(func() { c.leases.watch(ctx, c.books, c.homes) })
	waitFor(t, "every home has an owner", func() bool {
		return !slices.ContainsFunc(c.homes, func(home id.Home) bool { return c.leases.owner(home) == "" })
	})
	c.listen(ctx)
	return c
}

func (c *chaos) witness(name string) *sim.Witness {
	return sim.NewWitness(name, c.homeOf, c.forms.check)
}

// open makes ledgers and accounts while nothing is wrong yet.
func (c *chaos) open(t *testing.T) {
	t.Helper()
	svc := rpc.NewClient(c.seats[0].http(), "http://seat")
	for _, l := range c.workload.Ledgers {
		made := ledger.Ledger{ID: l, Home: c.homeOf[l], Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
		if _, err := svc.CreateLedger(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.workload.Open(t.Context(), svc); err != nil {
		t.Fatal(err)
	}
}

// listen has a subscriber for the stream of each home, who begins at another node.
func (c *chaos) listen(ctx context.Context) {
	const hangUpAfter = 300
	w := c.witness("subscriber")
	c.live = append(c.live, w)
	for i, home := range c.homes {
		var nodes []sim.Source
		for n := range c.seats {
			nodes = append(nodes, drill.StreamOf(c.seats[(i+n)%len(c.seats)].events()))
		}
		c.watching.Go(func() { w.Listen(ctx, home, nodes, hangUpAfter) })
	}
}

// subscribe makes the subscriptions.
func (c *chaos) subscribe(t *testing.T) {
	t.Helper()
	files := map[string]any{"directory": "chaos", "format": "FILE_FORMAT_NDJSON", "batch": 200, "linger": "0.300s"}
	for name, sink := range map[string]event.SinkSpec{
		"web": c.web.spec(), "files": specOf("file", files), "jetstream": c.jetstream.spec(), "kafka": kafkaSpec(c.kafka),
	} {
		n := event.NewSubscription{ID: name, Homes: c.homes, Sink: sink, Start: event.Start{Beginning: true}}
		if name == "web" {
			n.Secrets = []event.Secret{c.web.secret()}
		}
		if _, _, err := c.seats[1].events().Create(t.Context(), n); err != nil {
			t.Fatalf("create subscription %s: %v", name, err)
		}
	}
}

// load runs clients until the time is over and every command has its answer. They think a moment before each: faults are what is to be heavy,
// not the load. Some commands move money from one home to the other.
func (c *chaos) load(t *testing.T, lasts time.Duration) (wait func() *sim.History) {
	t.Helper()
	var nodes []ledger.Service
	var names []string
	for _, s := range c.seats {
		nodes, names = append(nodes, rpc.NewClient(s.http(), "http://"+s.name)), append(names, s.name)
	}
	done := make(chan *sim.History, 1)
	go func() {
		done <- sim.Run(t.Context(), c.workload, sim.Ring(names, nodes), sim.Options{
			Clients: 8, Duration: lasts, Attempt: 2 * time.Second, Think: 15 * time.Millisecond, Reads: 0.1,
		})
	}()
	return func() *sim.History {
		h := <-done
		settling, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		h.Settle(settling, nodes[0])
		return h
	}
}
