package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/expiry"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// books are a ledger on tables.
type books struct {
	*store.Store
	*commit.Committer
	t    *testing.T
	d    dbtest.Database
	keys int
}

func newBooks(t *testing.T, d dbtest.Database) *books {
	t.Helper()
	b := &books{Store: store.New(d.DB), t: t, d: d}
	b.Committer = commit.New(b.Store, commit.Options{MaxGroup: 16, Patience: 2 * time.Minute, Attempt: time.Minute, Lifecycle: payment.Default().Lifecycle()})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// do executes a command under a key of its own.
func (b *books) do(c ledger.Command) ledger.Outcome {
	b.t.Helper()
	b.keys++
	c.Ledger, c.Key = "brand", id.Key(fmt.Sprint("given", b.keys))
	results, err := b.Execute(b.t.Context(), ledger.Batch{Commands: []ledger.Command{c}})
	if err != nil || results[0].Err != nil || results[0].Outcome.Decided != ledger.Posted {
		b.t.Fatalf("%s: %+v, %v", c.Kind, results, err)
	}
	return results[0].Outcome
}

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// step takes a payment further; its first step where there is none.
func (b *books) step(p id.Transaction, kind ledger.PaymentKind, on ledger.Trigger, amount *ledger.Money) id.Transaction {
	b.t.Helper()
	c := ledger.Command{Kind: ledger.KindStep, Target: p, Amount: amount, Step: &ledger.Step{Payment: kind, Trigger: on}}
	if p.IsZero() {
		c.Step.Player = "p7"
	}
	return b.do(c).Step.Payment
}

func (b *books) state(p id.Transaction) ledger.Payment {
	b.t.Helper()
	found, err := b.Payment(b.t.Context(), "brand", p)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

func (b *books) proven() {
	b.t.Helper()
	report, err := verify.Run(b.t.Context(), b.d.DB, verify.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range report.Checks {
		if c.Found > 0 {
			b.t.Errorf("%s: %d findings: %+v", c.Name, c.Found, c.Findings[0])
		}
	}
}

// timer is one whose clock is ahead.
func (b *books) timer(ahead time.Duration, after map[ledger.PaymentKind]time.Duration, metrics *expiry.Metrics) *expiry.Timer {
	return expiry.NewTimer(expiry.Options{
		Store: b.Store, Books: b, After: after, Now: func() time.Time { return time.Now().Add(ahead) }, Metrics: metrics, Limits: expiry.Limits{Page: 1, Parallel: 4},
	})
}

func (b *books) turn(t *expiry.Timer) {
	b.t.Helper()
	if turned, err := t.Turn(b.t.Context(), "eu"); err != nil || turned.Down != "" {
		b.t.Fatalf("%+v, %v", turned, err)
	}
}

func TestTimer_ExpiresWhatIsDueAndNothingElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBooks(t, d)
		var none id.Transaction
		authorized, part := b.step(none, payment.Deposit, "authorize", eur(1000)), b.step(none, payment.Deposit, "authorize", eur(1000))
		b.step(part, payment.Deposit, "capture", eur(400))
		captured, bonus := b.step(none, payment.Deposit, "receive", eur(500)), b.step(none, payment.Bonus, "grant", eur(300))
		b.turn(b.timer(week-time.Hour, payment.Default().Expiries(), nil))
		if s := b.state(authorized).State; s != "authorized" {
			t.Errorf("an hour too early it is %s", s)
		}
		for range 2 { // again has no effect
			b.turn(b.timer(week+time.Hour, payment.Default().Expiries(), nil))
		}
		for p, want := range map[id.Transaction]ledger.PaymentState{authorized: "expired", part: "captured", captured: "captured", bonus: "granted"} {
			if found := b.state(p); found.State != want || found.Attempts != found.Version {
				t.Errorf("a %s is %s after %d of %d steps, want %s", found.Kind, found.State, found.Version, found.Attempts, want)
			}
		}
		record, err := b.Transaction(t.Context(), "brand", id.TransactionOf("brand", id.Key("expire/"+authorized.String()+"/1")))
		if err != nil || record.Outcome.Decided != ledger.Posted || record.Outcome.Step.Trigger != payment.Expire {
			t.Errorf("%+v, %v", record.Outcome, err)
		}
		if voided := b.state(part).Totals[payment.Voided]; voided != money.FromInt64(600) {
			t.Errorf("%s of a partial capture were given up, want 600", voided)
		}
		b.proven()
	})
}

func TestTimer_WhatTheBooksRefuseKeepsNothingBackAndIsTriedAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBooks(t, d)
		frozen, free := b.step(id.Transaction{}, payment.Bonus, "grant", eur(300)), b.do(ledger.Command{
			Kind: ledger.KindStep, Amount: eur(300), Step: &ledger.Step{Payment: payment.Bonus, Trigger: "grant", Player: "p8"},
		}).Step.Payment
		account := id.Account("player:p7:bonus:EUR")
		b.do(ledger.Command{Kind: ledger.KindFreeze, Account: account, Status: ledger.Frozen})
		registry := prometheus.NewRegistry()
		timer := b.timer(30*day+time.Hour, map[ledger.PaymentKind]time.Duration{payment.Bonus: 30 * day}, expiry.NewMetrics(registry))
		b.turn(timer)
		b.turn(timer)
		if one, other := b.state(frozen), b.state(free).State; one.State != "granted" || one.Attempts != 1 || other != "expired" {
			t.Errorf("the frozen one is %s after %d attempts, the other one %s", one.State, one.Attempts, other)
		}
		if n := overdue(t, registry); n != 1 {
			t.Errorf("%g are overdue, want one", n)
		}
		b.do(ledger.Command{Kind: ledger.KindFreeze, Account: account, Status: ledger.Open})
		b.turn(timer)
		if s, n := b.state(frozen).State, overdue(t, registry); s != "expired" || n != 0 {
			t.Errorf("it is %s when nothing stands against it any more", s)
		}
		b.proven()
	})
}

// between does something after the first dry run.
type between struct {
	expiry.Books
	do func()
}

func (b *between) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	results, err := b.Books.Execute(ctx, batch)
	if b.do != nil {
		b.do()
		b.do = nil
	}
	return results, err
}

func TestTimer_WhatIsDeclinedAfterAllIsTriedAgainUnderAnotherKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBooks(t, d)
		bonus := b.step(id.Transaction{}, payment.Bonus, "grant", eur(300))
		set := func(s ledger.Status) {
			b.do(ledger.Command{Kind: ledger.KindFreeze, Account: "player:p7:bonus:EUR", Status: s})
		}
		timer := b.timer(30*day+time.Hour, map[ledger.PaymentKind]time.Duration{payment.Bonus: 30 * day}, nil)
		timer.Books = &between{timer.Books, func() { set(ledger.Frozen) }}
		b.turn(timer)
		if found := b.state(bonus); found.State != "granted" || found.Attempts != 2 {
			t.Fatalf("it is %s after %d attempts, want it frozen before the second", found.State, found.Attempts)
		}
		set(ledger.Open)
		b.turn(timer)
		if s := b.state(bonus).State; s != "expired" {
			t.Errorf("it is %s when nothing stands against it any more", s)
		}
		b.proven()
	})
}

// overdue is what the gauge says.
func overdue(t *testing.T, registry *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "meridian_payments_overdue" {
			n = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return n
}

// Of a capture and a timer at the same moment one wins, and the other one leaves a refused step at most.
func TestTimer_ARaceWithACaptureIsDecidedByTheBooks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := newBooks(t, d)
		payments := make([]id.Transaction, 24)
		for i := range payments {
			payments[i] = b.step(id.Transaction{}, payment.Deposit, "authorize", eur(1000))
		}
		var all sync.WaitGroup
		for i, p := range payments {
			all.Go(func() {
				c := ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: id.Key(fmt.Sprint("capture", i)), Target: p, Step: &ledger.Step{Payment: payment.Deposit, Trigger: "capture"}}
				if _, err := b.Execute(t.Context(), ledger.Batch{Commands: []ledger.Command{c}}); err != nil {
					t.Error(err)
				}
			})
		}
		b.turn(b.timer(8*day, payment.Default().Expiries(), nil))
		all.Wait()
		ends := map[ledger.PaymentState]int{}
		for _, p := range payments {
			found := b.state(p)
			if found.Version != 2 || found.Attempts > 3 {
				t.Errorf("%s after %d of %d steps", found.State, found.Version, found.Attempts)
			}
			ends[found.State]++
		}
		if ends["captured"]+ends["expired"] != len(payments) {
			t.Errorf("they are %v", ends)
		}
		t.Log(ends)
		b.proven()
	})
}

// away are books that do not answer.
type away struct{ asked int }

func (a *away) Execute(context.Context, ledger.Batch) ([]ledger.Result, error) {
	a.asked++
	return nil, errs.ErrUnavailable
}

func (a *away) ExpiringPayments(_ context.Context, home id.Home, kind ledger.PaymentKind, _ time.Time, _ ledger.PaymentPage) ([]ledger.Payment, error) {
	return make([]ledger.Payment, 100), nil
}

func TestTimer_StopsWhereTheBooksDoNotAnswer(t *testing.T) {
	a := &away{}
	timer := expiry.NewTimer(expiry.Options{Store: a, Books: a, After: payment.Default().Expiries(), Limits: expiry.Limits{Parallel: 1, Page: 100}})
	if turned, err := timer.Turn(t.Context(), "eu"); err != nil || turned.Down != string(errs.ErrUnavailable.Reason) || a.asked != 1 {
		t.Errorf("%+v, %v, asked %d times", turned, err, a.asked)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := timer.Run(ctx, event.Lease{Home: "eu"}); err != nil || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
