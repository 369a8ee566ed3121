package saga_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	noon  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	brand = ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
)

func eur(n int64) ledger.Money { return ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// tables are those of sagas: the store, or memory.
type tables interface {
	saga.Store
	saga.OperatorStore
}

// memory is the tables in memory.
type memory struct {
	mu    sync.Mutex
	epoch int64
	rows  map[id.Transaction]saga.Saga
	lines map[id.Transaction][]saga.Line
}

func newMemory() *memory {
	return &memory{rows: map[id.Transaction]saga.Saga{}, lines: map[id.Transaction][]saga.Line{}}
}

func (m *memory) StartSaga(_ context.Context, s saga.Saga, line saga.Line) (saga.Saga, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stands, there := m.rows[s.ID]; there {
		return stands, true, nil
	}
	m.rows[s.ID], m.lines[s.ID] = s, []saga.Line{line}
	return s, false, nil
}

func (m *memory) DueSagas(_ context.Context, home id.Home, now time.Time, _ int) ([]saga.Saga, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []saga.Saga
	for _, s := range m.rows {
		if s.Home == home && (s.State == saga.Running || s.State == saga.Compensating || s.State == saga.Waiting) && !s.DueAt.After(now) {
			due = append(due, s)
		}
	}
	slices.SortFunc(due, func(a, b saga.Saga) int { return a.DueAt.Compare(b.DueAt) })
	return due, nil
}

func (m *memory) AdvanceSaga(_ context.Context, lease event.Lease, s saga.Saga, line *saga.Line) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lease.Epoch != m.epoch {
		return event.ErrFenced
	}
	return m.put(s, line)
}

func (m *memory) put(s saga.Saga, line *saga.Line) error {
	if m.rows[s.ID].Version != s.Version-1 {
		return errs.ErrContended
	}
	m.rows[s.ID] = s
	if line != nil {
		if line.Number != int64(len(m.lines[s.ID]))+1 {
			return errs.ErrInternal.Because(fmt.Errorf("line %d after %d", line.Number, len(m.lines[s.ID])))
		}
		m.lines[s.ID] = append(m.lines[s.ID], *line)
	}
	return nil
}

func (m *memory) ChangeSaga(_ context.Context, s saga.Saga, line saga.Line) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(s, &line)
}

func (m *memory) TallySagas(context.Context, id.Home) ([]saga.Tally, error) { return nil, nil }

func (m *memory) Saga(_ context.Context, _ id.Home, _ id.Ledger, key id.Transaction) (saga.Saga, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, there := m.rows[key]
	if !there {
		return saga.Saga{}, saga.ErrNotFound
	}
	return s, nil
}

func (m *memory) SagaLines(_ context.Context, _ id.Home, _ id.Ledger, key id.Transaction, after int64, _ int) ([]saga.Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lines[key][after:]), nil
}

func (m *memory) StandingSagas(_ context.Context, _ id.Home, _ id.Ledger, _ saga.Page) ([]saga.Saga, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []saga.Saga
	for _, s := range m.rows {
		if s.State == saga.Stuck || s.State == saga.Review || s.State == saga.Waiting {
			all = append(all, s)
		}
	}
	return all, nil
}

func (m *memory) AllSagas(_ context.Context, _ id.Home, _ id.Ledger, page saga.Page) ([]saga.Saga, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Collect(maps.Values(m.rows))
	slices.SortFunc(all, func(a, b saga.Saga) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	all = slices.DeleteFunc(all, func(s saga.Saga) bool { return bytes.Compare(s.ID[:], page.ID[:]) <= 0 })
	return all[:min(len(all), page.Limit)], nil
}

// ledgerInMemory are books with all payments loaded.
type ledgerInMemory struct {
	t     testing.TB
	mu    sync.Mutex
	books *ledger.Books
}

func newLedger(t testing.TB) *ledgerInMemory {
	b := ledger.NewBooks(noon)
	b.Ledgers[brand.ID], b.Lifecycle = brand, payment.Default().Lifecycle()
	b.Players[ledger.PlayerRef(brand.ID, "p")] = ledger.Player{Home: "eu", Ledger: brand.ID, ID: "p"}
	return &ledgerInMemory{t: t, books: b}
}

func (l *ledgerInMemory) Execute(_ context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range batch.Commands {
		if err := c.Validate(noon); err != nil {
			return nil, err
		}
		prepared, err := l.books.Lifecycle.Prepared(c)
		if err != nil {
			return nil, err
		}
		batch.Commands[i] = prepared
	}
	return l.books.Execute(batch), nil
}

func (l *ledgerInMemory) Payment(_ context.Context, _ id.Ledger, key id.Transaction) (ledger.Payment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, there := l.books.Payments[key]
	if !there {
		return ledger.Payment{}, errs.ErrPaymentNotFound
	}
	return p, nil
}

// errDead is what a process that was killed hears of everything.
var errDead = errors.New("killed")

// death kills a process at its n-th call to anything outside: before the call has its effect, or after it and before the answer. Zero never.
type death struct {
	mu     sync.Mutex
	at     int
	after  bool
	calls  int
	killed bool
}

// around makes a call of a process that may die there.
func around[V any](d *death, call func() (V, error)) (V, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var none V
	d.calls++
	if d.killed || d.calls == d.at && !d.after {
		d.killed = true
		return none, errDead
	}
	v, err := call()
	if d.calls == d.at {
		d.killed = true
		return none, errDead
	}
	return v, err
}

// mortal are the ports of one process.
type mortal struct {
	*death
	tables
	books saga.Books
	desk  provider.Desk
}

func (m mortal) DueSagas(ctx context.Context, home id.Home, now time.Time, n int) ([]saga.Saga, error) {
	return around(m.death, func() ([]saga.Saga, error) { return m.tables.DueSagas(ctx, home, now, n) })
}

func (m mortal) AdvanceSaga(ctx context.Context, lease event.Lease, s saga.Saga, line *saga.Line) error {
	_, err := around(m.death, func() (any, error) { return nil, m.tables.AdvanceSaga(ctx, lease, s, line) })
	return err
}

func (m mortal) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	return around(m.death, func() ([]ledger.Result, error) { return m.books.Execute(ctx, b) })
}

func (m mortal) Payment(ctx context.Context, l id.Ledger, p id.Transaction) (ledger.Payment, error) {
	return around(m.death, func() (ledger.Payment, error) { return m.books.Payment(ctx, l, p) })
}

func (m mortal) Submit(ctx context.Context, key string, o provider.Order) (provider.OrderStatus, error) {
	return around(m.death, func() (provider.OrderStatus, error) { return m.desk.Submit(ctx, key, o) })
}

func (m mortal) Status(ctx context.Context, key string) (provider.OrderStatus, error) {
	return around(m.death, func() (provider.OrderStatus, error) { return m.desk.Status(ctx, key) })
}

func (m mortal) Cancel(ctx context.Context, key string) (provider.OrderStatus, error) {
	return around(m.death, func() (provider.OrderStatus, error) { return m.desk.Cancel(ctx, key) })
}

// world is everything that outlives a process, and a clock that jumps.
type world struct {
	t      testing.TB
	clock  *simulate.Clock
	tables tables
	books  saga.Books
	desk   *simulate.Orders
	lease  func() event.Lease // the next owner's
	ops    *saga.Operators
	keys   int
}

func inMemory(t testing.TB) *world {
	w := &world{t: t, clock: simulate.NewClock(noon), books: newLedger(t), desk: &simulate.Orders{}}
	m := newMemory()
	w.tables = m
	w.lease = func() event.Lease {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.epoch++
		return event.Lease{Home: "eu", Owner: fmt.Sprint("worker", m.epoch), Epoch: m.epoch}
	}
	w.open()
	return w
}

func (w *world) open() {
	w.ops = &saga.Operators{Store: w.tables, Now: w.clock.Now, Ledger: func(context.Context, id.Ledger) (ledger.Ledger, error) { return brand, nil }}
}

// posted executes a command that has to be accepted.
func (w *world) posted(c ledger.Command) ledger.Outcome {
	w.t.Helper()
	w.keys++
	c.Ledger, c.Key = brand.ID, id.Key(fmt.Sprint("given", w.keys))
	results, err := w.books.Execute(context.Background(), ledger.Batch{Commands: []ledger.Command{c}})
	if err != nil || results[0].Err != nil || results[0].Outcome.Decided != ledger.Posted {
		w.t.Fatalf("%+v: %+v, %v", c, results, err)
	}
	return results[0].Outcome
}

// player is known and has paid in 10 000; it returns that deposit.
func (w *world) player(name id.Player) id.Transaction {
	w.t.Helper()
	w.profile(ledger.PlayerChange{Player: name, KYC: ledger.KYCVerified})
	amount := eur(10_000)
	return w.posted(ledger.Command{Kind: ledger.KindStep, Amount: &amount, Step: &ledger.Step{
		Payment: payment.Deposit, Trigger: "receive", Player: name, Provider: "acme", ProviderReference: "pi_1",
	}}).Transaction
}

func (w *world) profile(c ledger.PlayerChange) {
	w.t.Helper()
	w.posted(ledger.Command{Kind: ledger.KindPlayer, Player: &c})
}

func (w *world) step(p id.Transaction, kind ledger.PaymentKind, on ledger.Trigger) {
	w.t.Helper()
	w.posted(ledger.Command{Kind: ledger.KindStep, Target: p, Step: &ledger.Step{Payment: kind, Trigger: on, Actor: "somebody"}})
}

// start starts a flow for a player with a deposit.
func (w *world) start(flow saga.Name, player id.Player, deposit id.Transaction, four bool) saga.Saga {
	w.t.Helper()
	q := saga.Request{Player: player, Amount: eur(1000), Provider: "acme", Actor: "alice", FourEyes: four}
	if flow == saga.Deposit {
		bonus := eur(300)
		q.Bonus = &bonus
	}
	if flow == saga.Refund {
		q.Parent = deposit
	}
	w.keys++
	s, _, err := w.ops.Start(w.t.Context(), brand.ID, flow, id.Key(fmt.Sprintf("start-%s-%d", player, w.keys)), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// process is a worker with ports that may die.
func (w *world) process(d *death) *saga.Workers {
	m := mortal{death: d, tables: w.tables, books: w.books, desk: w.desk}
	return saga.NewWorkers(saga.WorkerOptions{Store: m, Books: m, Desks: map[provider.Name]provider.Desk{"acme": m}, Now: w.clock.Now})
}

// run lets a process work until the saga rests or the process dies. The clock jumps to whatever is due next.
func (w *world) run(key id.Transaction, d *death) saga.Saga {
	w.t.Helper()
	workers, lease := w.process(d), w.lease()
	for range 500 {
		s, err := w.tables.Saga(w.t.Context(), "eu", brand.ID, key)
		if err != nil {
			w.t.Fatal(err)
		}
		if s.State.Ended() || s.State == saga.Stuck || s.State == saga.Review || s.State == saga.Waiting && s.DueAt.After(w.clock.Now()) {
			return s
		}
		w.clock.Forward(s.DueAt)
		if _, err := workers.Turn(w.t.Context(), lease); d.killed {
			return s
		} else if err != nil {
			w.t.Fatal(err)
		}
	}
	s, _ := w.tables.Saga(w.t.Context(), "eu", brand.ID, key)
	w.t.Fatalf("it goes round and round: %+v", s)
	return saga.Saga{}
}

func (w *world) payment(key id.Transaction) ledger.Payment {
	w.t.Helper()
	p, err := w.books.Payment(w.t.Context(), brand.ID, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}
