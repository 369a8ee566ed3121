package event

import (
	"context"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
)

// T is what the helpers need of a test; *testing.T, *testing.B and *rapid.T have it.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// books are a ledger in memory whose journal rows leave as events, in the order in which they were written. There are three ledgers:
// brand-eu and shop-eu at home in eu, brand-us at home in us.
type books struct {
	t     T
	clock *ledgertest.Clock
	model *ledgertest.Model
	next  Position
}

func newBooks(t T) *books {
	clock := ledgertest.NewClock()
	b := &books{t: t, clock: clock, model: ledgertest.NewModel(clock.Now)}
	for l, home := range homes {
		_, err := b.model.CreateLedger(context.Background(), ledger.Ledger{ID: l, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}})
		if err != nil {
			t.Fatalf("create ledger %s: %v", l, err)
		}
	}
	return b
}

var homes = map[id.Ledger]id.Home{"brand-eu": "eu", "shop-eu": "eu", "brand-us": "us"}

func homeOf(l id.Ledger) (id.Home, bool) {
	home, known := homes[l]
	return home, known
}

func regionOf(home id.Home) (string, bool) {
	region, known := map[id.Home]string{"eu": "europe-west1", "us": "us-east1"}[home]
	return region, known
}

// do executes a command and returns its event.
func (b *books) do(c ledger.Command) Event {
	b.t.Helper()
	b.clock.Advance(1500 * time.Millisecond)
	if c.Ledger == "" {
		c.Ledger = "brand-eu"
	}
	c.TraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	o, err := ledger.Do(context.Background(), b.model, c)
	if err != nil {
		b.t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	return b.event(o)
}

// event is the journal row of an outcome on its way out.
func (b *books) event(o ledger.Outcome) Event {
	b.t.Helper()
	r, err := b.model.Transaction(context.Background(), o.Ledger, o.Transaction)
	if err != nil {
		b.t.Fatalf("transaction %s: %v", o.Transaction, err)
	}
	b.next++
	return Event{Home: r.Home, Position: b.next, AppendedAt: b.clock.Now(), Record: r}
}

func (b *books) open(l id.Ledger, account id.Account) Event {
	b.t.Helper()
	return b.do(ledger.Command{
		Kind: ledger.KindOpen, Ledger: l, Key: id.Key("open/" + string(account)), Account: account,
		Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(money.FromInt64(0)), Metadata: ledger.Metadata{"tier": "gold"}},
	})
}

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// across moves money in brand-eu and in brand-us at once, in one transaction of brand-eu.
func (b *books) across() Event {
	b.t.Helper()
	return b.do(ledger.Command{Kind: ledger.KindPost, Key: "across", Legs: []ledger.Leg{
		{Account: "acc_42", Side: ledger.Debit, Amount: *eur(70)},
		{Account: "clearing", Side: ledger.Credit, Amount: *eur(70)},
		{Ledger: "brand-us", Account: "clearing-us", Side: ledger.Debit, Amount: *eur(70)},
		{Ledger: "brand-us", Account: "acc_us", Side: ledger.Credit, Amount: *eur(70)},
	}})
}

func (b *books) accounts() []Event {
	us := func(account id.Account) Event {
		return b.do(ledger.Command{
			Kind: ledger.KindOpen, Ledger: "brand-us", Key: id.Key("open/" + string(account)), Account: account,
			Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit},
		})
	}
	return []Event{b.open("brand-eu", "acc_42"), b.open("brand-eu", "acc_43"), b.open("brand-eu", "clearing"), us("clearing-us"), b.open("brand-us", "acc_us")}
}

// story is one event of each type and more, as docs/events shows them.
func story(t T) []Event {
	b := newBooks(t)
	all := b.accounts()
	then := func(c ledger.Command) Event {
		all = append(all, b.do(c))
		return all[len(all)-1]
	}
	amount := eur(5000)
	then(ledger.Command{
		Kind: ledger.KindCredit, Key: "deposit_pi_001", Account: "acc_42", Amount: eur(20000), Reason: "deposit", Reference: "pi_001",
		EffectiveAt: time.Date(2025, 3, 9, 23, 59, 59, 0, time.UTC),
	})
	then(ledger.Command{
		Kind: ledger.KindDebit, Key: "debit_pi_001", Account: "acc_42", Amount: amount, Reason: "payout", Reference: "po_001", Correlation: "order-7",
		Metadata: ledger.Metadata{"channel": "web"},
	})
	sent := then(ledger.Command{Kind: ledger.KindTransfer, Key: "transfer_1", Account: "acc_42", Counter: "acc_43", Amount: eur(1200)})
	then(ledger.Command{Kind: ledger.KindReverse, Key: "reverse_1", Target: sent.Record.Outcome.Transaction})
	hold := func(key id.Key) id.Transaction {
		return then(ledger.Command{Kind: ledger.KindHold, Key: key, Account: "acc_42", Amount: eur(900), Reason: "bet", ExpiresIn: time.Hour}).Record.Outcome.Transaction
	}
	then(ledger.Command{Kind: ledger.KindCommit, Key: "commit_1", Target: hold("hold_1"), Amount: eur(400)})
	then(ledger.Command{Kind: ledger.KindRollback, Key: "rollback_1", Target: hold("hold_2")})
	late := hold("hold_3")
	b.clock.Advance(2 * time.Hour)
	then(ledger.ExpireCommand(ledger.Hold{ID: late, Ledger: "brand-eu"}))
	then(ledger.Command{Kind: ledger.KindDebit, Key: "debit_2", Account: "acc_43", Amount: eur(10), Reason: "payout"})
	all = append(all, b.across())
	ceiling := ledger.AtLimit(money.FromInt64(100000))
	then(ledger.Command{
		Kind: ledger.KindUpdate, Key: "update_1", Account: "acc_43", Change: &ledger.Change{Ceiling: &ceiling, Metadata: ledger.Metadata{"tier": "silver"}},
	})
	then(ledger.Command{Kind: ledger.KindFreeze, Key: "freeze_1", Account: "acc_43", Status: ledger.DebitsFrozen})
	then(ledger.Command{Kind: ledger.KindFreeze, Key: "freeze_2", Account: "acc_43", Status: ledger.Open})
	then(ledger.Command{Kind: ledger.KindClose, Key: "close_1", Account: "acc_43"})
	all = append(all, b.payments()...)
	test := Event{Home: "eu", Test: true, AppendedAt: b.clock.Now()}
	test.Record.Outcome.Transaction = id.TransactionOf("test", "1")
	return append(all, test)
}

// payments are a withdrawal that a gate stops, and what comes of it; the model of the books has no payments, so books of their own have these.
func (b *books) payments() []Event {
	l := ledger.Ledger{ID: "brand-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
	book := ledger.NewBooks(b.clock.Now())
	book.Ledgers[l.ID], book.Lifecycle = l, payment.Default().Lifecycle()
	then := func(c ledger.Command) id.Transaction {
		b.t.Helper()
		c.Ledger = l.ID
		c, err := book.Lifecycle.Prepared(c)
		if err != nil {
			b.t.Fatalf("%s: %v", c.Key, err)
		}
		return book.Execute(ledger.Batch{Commands: []ledger.Command{c}})[0].Outcome.Transaction
	}
	step := func(key id.Key, kind ledger.PaymentKind, on ledger.Trigger, target id.Transaction) id.Transaction {
		b.t.Helper()
		c := ledger.Command{Kind: ledger.KindStep, Key: key, Target: target, Step: &ledger.Step{Payment: kind, Trigger: on, Actor: "worker"}}
		if target.IsZero() {
			c.Amount, c.Account, c.Step.Player, c.Step.Provider, c.Step.ProviderReference = eur(2500), "wallet_7", "player_7", "psp", "psp_"+string(key)
		}
		return then(c)
	}
	step("deposit_7", "deposit", "receive", id.Transaction{})
	withdrawal := step("withdrawal_7", "withdrawal", "request", id.Transaction{})
	step("release_7", "withdrawal", "release", withdrawal)
	step("settle_7", "withdrawal", "settle", withdrawal)
	until := b.clock.Now().AddDate(0, 1, 0)
	then(ledger.Command{Kind: ledger.KindPlayer, Key: "player_7", Player: &ledger.PlayerChange{
		Player: "player_7", KYC: ledger.KYCVerified, ExcludedUntil: &until, Actor: "compliance",
	}})
	step("release_7_again", "withdrawal", "release", withdrawal)
	step("bet_7", "bet", "accept", id.Transaction{})
	var all []Event
	for _, r := range book.Changes().Records {
		b.next++
		all = append(all, Event{Home: "eu", Position: b.next, AppendedAt: b.clock.Now(), Record: r})
	}
	return all
}

// shown renders for a subscriber that sees both homes.
func shown(t T, e Event) Rendered {
	t.Helper()
	return rendered(t, e, Options{Homes: []id.Home{"eu", "us"}, HomeOf: homeOf, RegionOf: regionOf})
}

func rendered(t T, e Event, o Options) Rendered {
	t.Helper()
	r, err := Render(e, o)
	if err != nil {
		t.Fatalf("render %s: %v", e.ID(), err)
	}
	return r
}

var _ T = (*testing.T)(nil)
