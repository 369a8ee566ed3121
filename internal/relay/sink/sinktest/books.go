// Package sinktest makes messages for tests of sinks: commands on the model of the ledger, rendered as a relay renders them.
package sinktest

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// T is what is needed of a test.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Books are the ledger brand-eu, at home in eu, whose events leave in the order in which they were written.
type Books struct {
	Clock *ledgertest.Clock

	t     T
	model *ledgertest.Model
	next  event.Position
}

// New makes empty books. The same calls make the same events in every process.
func New(t T) *Books {
	clock := ledgertest.NewClock()
	b := &Books{Clock: clock, t: t, model: ledgertest.NewModel(clock.Now)}
	if _, err := b.model.CreateLedger(context.Background(), ledger.Ledger{
		ID: "brand-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "WEI", Scale: 18}},
	}); err != nil {
		t.Fatalf("create a ledger: %v", err)
	}
	return b
}

// Do executes a command of brand-eu, a second after the last, and returns its message.
func (b *Books) Do(c ledger.Command) sink.Message {
	b.t.Helper()
	b.Clock.Advance(time.Second)
	c.Ledger = "brand-eu"
	c.Key = id.Key(fmt.Sprintf("command-%d", b.next+1))
	o, err := ledger.Do(context.Background(), b.model, c)
	if err != nil {
		b.t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	r, err := b.model.Transaction(context.Background(), o.Ledger, o.Transaction)
	if err != nil {
		b.t.Fatalf("read transaction %s: %v", o.Transaction, err)
	}
	b.next++
	return Message(b.t, event.Event{Home: r.Home, Position: b.next, AppendedAt: b.Clock.Now(), Record: r})
}

// Open opens an account without limits.
func (b *Books) Open(account id.Account, asset money.Code) sink.Message {
	b.t.Helper()
	return b.Do(ledger.Command{Kind: ledger.KindOpen, Account: account, Terms: &ledger.Terms{Asset: asset, Normal: ledger.Credit}})
}

// Credit gives an account minor units of its asset.
func (b *Books) Credit(account id.Account, minor string, asset money.Code) sink.Message {
	b.t.Helper()
	amount, err := money.Parse(minor)
	if err != nil {
		b.t.Fatalf("amount %s: %v", minor, err)
	}
	return b.Do(ledger.Command{Kind: ledger.KindCredit, Account: account, Amount: &ledger.Money{Minor: amount, Asset: asset}, Reason: "deposit"})
}

// Credits opens accounts and gives each one cent in turn, n messages in all.
func (b *Books) Credits(n int, accounts ...id.Account) []sink.Message {
	b.t.Helper()
	all := make([]sink.Message, 0, n)
	for i := range n {
		if account := accounts[i%len(accounts)]; i < len(accounts) {
			all = append(all, b.Open(account, "EUR"))
		} else {
			all = append(all, b.Credit(account, "1", "EUR"))
		}
	}
	return all
}

// Test is the message of a test of the subscription.
func Test(t T) sink.Message {
	e := event.Event{Home: "eu", Test: true, AppendedAt: ledgertest.NewClock().Now()}
	e.Record.Outcome.Transaction = id.TransactionOf("test", "1")
	return Message(t, e)
}

// Message renders an event as a relay does.
func Message(t T, e event.Event) sink.Message {
	t.Helper()
	r, err := event.Render(e, event.Options{})
	if err != nil {
		t.Fatalf("render %s: %v", e.ID(), err)
	}
	return sink.Message{Event: e, Key: e.Key(), Body: r.Body, Data: r.Data, Headers: r.Headers}
}
