package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/store"
)

// fate is a flow, how the provider answers, and the one way that it may end.
type fate struct {
	name   string
	flow   saga.Name
	manner simulate.Manner
	order  string // the step that gives the order
	state  saga.State
	main   payment.State
	bonus  bool
	moved  int   // how often money moves at the provider
	cash   int64 // of the player at the end, who begins with 10 000
}

var fates = []fate{
	{name: "withdrawal-done", flow: saga.Withdrawal, order: "pay", state: saga.Completed, main: "settled", moved: 1, cash: 9000},
	{name: "withdrawal-late", flow: saga.Withdrawal, order: "pay", manner: simulate.Manner{Pending: 1}, state: saga.Completed, main: "settled", moved: 1, cash: 9000},
	{name: "withdrawal-declined", flow: saga.Withdrawal, order: "pay", manner: simulate.Manner{Decline: true}, state: saga.Compensated, main: "compensated", cash: 10_000},
	{name: "deposit-done", flow: saga.Deposit, order: "charge", state: saga.Completed, main: "settled", bonus: true, moved: 1, cash: 11_000},
	{name: "deposit-declined", flow: saga.Deposit, order: "charge", manner: simulate.Manner{Decline: true}, state: saga.Compensated, main: "voided", cash: 10_000},
	{name: "refund-done", flow: saga.Refund, order: "give_back", state: saga.Completed, main: "settled", moved: 1, cash: 9000},
	{name: "refund-declined", flow: saga.Refund, order: "give_back", manner: simulate.Manner{Decline: true}, state: saga.Compensated, main: "compensated", cash: 10_000},
}

// stage is a home of its own in which one saga after the other meets the same fate, each killed at another point.
type stage struct {
	fate
	checkpoint
	home id.Home
	next int // the point at which the next one is killed
	over bool

	saga   saga.Saga
	player id.Player
}

// theatre is everything that outlives the servers.
type theatre struct {
	t       *testing.T
	books   *store.Store
	admin   dbtest.Database
	line    *databaseLine
	orders  *simulate.Orders
	ops     *saga.Operators
	stages  []*stage
	args    []string // of servers
	servers []*server

	mu    sync.Mutex
	roles map[string]*stage // by the beginning of the keys of orders
}

// Every process that works on sagas is killed, at every point of every flow: before each commit and each order reaches what it is meant for, and after
// each has had its effect and before the answer is heard. New processes take over, and each saga ends in the one way that it may: the payment is
// where it should be, the provider has moved the money once or never, as the books say, and the books are proved.
func TestSaga_EveryProcessIsKilledAtEveryPointAndEachEndsInOneWay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		slots, stride := 3, 1 // so many homes share the points of a fate, of which every so-manieth is taken
		if d.Engine == cluster.CockroachDB {
			slots, stride = 2, 7
		}
		w := openTheatre(t, d, slots, stride)
		began, deaths, points := time.Now(), 0, map[string]int{}
		for round := 0; w.playing() > 0; round++ {
			w.open(round)
			died := w.kill(points)
			deaths += died
			w.start()
			w.judge()
			if t.Failed() {
				t.Fatalf("in round %d", round)
			}
			for _, s := range w.stages {
				s.next += slots * stride
			}
		}
		w.stop()
		ok(t, "verify", "--database-url", d.URL)
		total := 0
		for _, n := range points {
			total += n
		}
		t.Logf("%d deaths at %d points of %d flows in %s: %v", deaths, total, len(points), time.Since(began).Round(time.Second), points)
		if deaths < total/stride || len(points) != len(fates) {
			t.Errorf("%d deaths at %d points of %d flows are too few", deaths, total, len(points))
		}
	})
}

func openTheatre(t *testing.T, d dbtest.Database, slots, stride int) *theatre {
	t.Helper()
	w := &theatre{t: t, books: store.New(d.DB), admin: d, orders: &simulate.Orders{}, roles: map[string]*stage{}}
	w.ops = &saga.Operators{Store: w.books, Ledger: w.books.Ledger}
	for _, f := range fates {
		for slot := range slots {
			w.stages = append(w.stages, &stage{fate: f, home: id.Home(fmt.Sprintf("%s-%d", f.name, slot)), next: slot * stride})
		}
	}
	w.orders.Manner = func(key string, _ provider.Order) simulate.Manner { return w.of(key).manner }
	w.line = newDatabaseLine(t, d.URL, func(written []byte) *checkpoint {
		for _, s := range w.stages {
			if bytes.Contains(written, []byte(s.home)) {
				return &s.checkpoint
			}
		}
		return nil
	})
	desk := httptest.NewServer(providerLine(w.orders, func(key string) *checkpoint {
		if s := w.of(key); s != nil {
			return &s.checkpoint
		}
		return nil
	}))
	t.Cleanup(desk.Close)
	file, _ := acmeFile(t, "    orders: {url: "+desk.URL+"}\n")
	// Commands of two homes in one group would stop together, and who stops holds a lane and a connection.
	w.args = []string{"--providers", file, "--max-group", "1", "--lanes", "32", "--writers", "40", "--expiry-interval", "1m"}
	w.start()
	for _, s := range w.stages {
		l := ledger.Ledger{ID: id.Ledger(s.home), Home: s.home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
		if _, err := w.servers[0].client().CreateLedger(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// of finds whose order has a key.
func (w *theatre) of(key string) *stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	const prefix = len("saga-00000000-0000-0000-0000-000000000000")
	return w.roles[key[:min(prefix, len(key))]]
}

// start starts two servers. The leases of the dead, which nobody but time takes from them, have run out.
func (w *theatre) start() {
	w.t.Helper()
	if _, err := w.admin.DB.Reader().Exec(w.t.Context(), `UPDATE relay SET expires_at = now()`); err != nil {
		w.t.Fatal(err)
	}
	both := make([]*server, 2)
	for i := range both {
		both[i] = serving(w.t, w.line.url, w.args...)
	}
	w.servers = both
}

// stop kills both servers.
func (w *theatre) stop() {
	for _, s := range w.servers {
		_ = s.cmd.Process.Kill()
	}
	for _, s := range w.servers {
		<-s.ended
	}
}

func (w *theatre) playing() (n int) {
	for _, s := range w.stages {
		if !s.over {
			n++
		}
	}
	return n
}

// open starts a saga of a new player on each stage.
func (w *theatre) open(round int) {
	w.t.Helper()
	payments := rpc.NewPaymentClient(rpc.NewHTTPClient(nil, false), w.servers[round%2].URL)
	eur := func(n int64) ledger.Money { return ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }
	for _, s := range w.stages {
		if s.over {
			continue
		}
		s.player = id.Player(fmt.Sprintf("p%d", round))
		do := func(c ledger.Command) ledger.Outcome {
			c.Ledger = id.Ledger(s.home)
			o, err := payments.Do(w.t.Context(), c, false)
			if err != nil || o.Decided != ledger.Posted {
				w.t.Fatalf("%s: %+v, %v", s.home, o, err)
			}
			return o
		}
		do(ledger.Command{Kind: ledger.KindPlayer, Key: id.Key(fmt.Sprint("kyc", round)), Player: &ledger.PlayerChange{Player: s.player, KYC: ledger.KYCVerified}})
		all := eur(10_000)
		deposit := do(ledger.Command{Kind: ledger.KindStep, Key: id.Key(fmt.Sprint("paid", round)), Amount: &all, Step: &ledger.Step{
			Payment: payment.Deposit, Trigger: "receive", Player: s.player, Provider: "acme", ProviderReference: fmt.Sprintf("pi_%s_%d", s.home, round),
		}})
		q := saga.Request{Player: s.player, Amount: eur(1000), Provider: "acme", Actor: "alice"}
		if s.flow == saga.Deposit {
			bonus := eur(300)
			q.Bonus = &bonus
		}
		if s.flow == saga.Refund {
			q.Parent = deposit.Transaction
		}
		key := id.Key(fmt.Sprint("saga", round))
		w.mu.Lock()
		w.roles["saga-"+saga.IDOf(id.Ledger(s.home), key).String()] = s
		w.mu.Unlock()
		s.arm(s.next)
		var err error
		if s.saga, _, err = w.ops.Start(w.t.Context(), id.Ledger(s.home), s.flow, key, q); err != nil {
			w.t.Fatal(err)
		}
	}
}

// kill waits until every saga stands at its point, or has ended without coming to one, and kills every process then.
func (w *theatre) kill(points map[string]int) (died int) {
	w.t.Helper()
	for _, s := range w.stages {
		if s.over {
			continue
		}
		waiting, stop := context.WithTimeout(w.t.Context(), patience)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.awaitEnd(waiting, s)
		}()
		select {
		case <-s.arrived:
			died++
		case <-ended:
			s.over = true
		case <-waiting.Done():
			w.t.Errorf("%s came neither to point %d nor to its end", s.home, s.next)
		}
		stop()
		<-ended
	}
	w.stop()
	for _, s := range w.stages {
		if s.dead == nil {
			continue
		}
		n := s.disarm()
		if fewest, known := points[s.name]; s.over && (!known || n < fewest) { // a transaction that the database has repeat is more than one point
			points[s.name] = n
		}
	}
	return died
}

// awaitEnd waits for the end of a saga, which is in the hands of another process.
func (w *theatre) awaitEnd(ctx context.Context, s *stage) (found saga.Saga) {
	for ask := time.NewTicker(20 * time.Millisecond); ; {
		found, err := w.books.Saga(ctx, s.home, s.saga.Ledger, s.saga.ID)
		if err == nil && (found.State.Ended() || found.State == saga.Stuck) {
			return found
		}
		select {
		case <-ask.C:
		case <-ctx.Done():
			return found
		}
	}
}

// judge waits for the ends of all sagas, and compares books and provider with what has to be.
func (w *theatre) judge() {
	w.t.Helper()
	waiting, stop := context.WithTimeout(w.t.Context(), patience)
	defer stop()
	for _, s := range w.stages {
		found := w.awaitEnd(waiting, s)
		if found.State != s.state {
			w.t.Errorf("%s, killed at point %d, is %s at %s because of %s (%s)", s.home, s.next, found.State, found.Step, found.Cause, found.Detail)
			continue
		}
		p, err := w.books.Payment(w.t.Context(), found.Ledger, found.Progress.Payments[saga.Main])
		if err != nil || p.State != s.main {
			w.t.Errorf("%s, killed at point %d: the payment is %s, want %s, %v", s.home, s.next, p.State, s.main, err)
		}
		order := "saga-" + found.ID.String() + "-" + s.order
		if moved := w.orders.Moved()[order]; moved != s.moved || moved == 1 && p.ProviderReference != "sim-"+order {
			w.t.Errorf("%s, killed at point %d: the provider moved money %d times, want %d; the books know it as %q", s.home, s.next, moved, s.moved, p.ProviderReference)
		}
		if bonus := found.Progress.Payments[saga.Bonus]; bonus.IsZero() == s.bonus {
			w.t.Errorf("%s, killed at point %d: the bonus is %v", s.home, s.next, bonus)
		}
		a, err := w.books.Account(w.t.Context(), ledger.Ref{Ledger: found.Ledger, Account: id.Account("player:" + string(s.player) + ":cash:EUR")}, time.Time{})
		if err != nil || a.Posted() != money.FromInt64(s.cash) {
			w.t.Errorf("%s, killed at point %d: the player has %s, want %d, %v", s.home, s.next, a.Posted(), s.cash, err)
		}
	}
	for key, n := range w.orders.Moved() {
		if n > 1 {
			w.t.Errorf("under %s money moved %d times", key, n)
		}
	}
}
