package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// The books of the tables: ledger "brand" in eu with EUR/2 and USD/2, and ledger "other" in us with EUR/2.
const brand, other = id.Ledger("brand"), id.Ledger("other")

var (
	noon     = time.Date(2025, 3, 10, 12, 0, 0, 0, time.UTC)
	greatest = money.MustParse(strings.Repeat("9", money.MaxDigits))
)

type commands = []ledger.Command

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

func eurOf(a money.Amount) *ledger.Money { return &ledger.Money{Minor: a, Asset: "EUR"} }

func usd(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "USD"} }

func at(n int64) ledger.Limit { return ledger.AtLimit(money.FromInt64(n)) }

// with gives commands the ledger and the keys that a table need not repeat.
func with(all ...ledger.Command) commands {
	for i := range all {
		if all[i].Ledger == "" {
			all[i].Ledger = brand
		}
		if all[i].Key == "" {
			all[i].Key = id.Key(fmt.Sprintf("given-%d", i))
		}
	}
	return all
}

func open(name id.Account) ledger.Command { return openAs(name, ledger.Terms{}) }

func openAs(name id.Account, terms ledger.Terms) ledger.Command {
	if terms.Asset == "" {
		terms.Asset = "EUR"
	}
	if terms.Normal == 0 {
		terms.Normal = ledger.Credit
	}
	return ledger.Command{Kind: ledger.KindOpen, Key: id.Key("open-" + string(name)), Account: name, Terms: &terms}
}

func move(kind ledger.Kind, account, counter id.Account, m *ledger.Money) ledger.Command {
	return ledger.Command{Kind: kind, Account: account, Counter: counter, Amount: m}
}

func post(legs ...ledger.Leg) ledger.Command {
	return ledger.Command{Kind: ledger.KindPost, Legs: legs}
}

func leg(side ledger.Side, account id.Account, m *ledger.Money) ledger.Leg {
	return ledger.Leg{Side: side, Account: account, Amount: *m}
}

func legIn(l id.Ledger, side ledger.Side, account id.Account, m *ledger.Money) ledger.Leg {
	return ledger.Leg{Ledger: l, Side: side, Account: account, Amount: *m}
}

func aim(kind ledger.Kind, target id.Key, m *ledger.Money) ledger.Command {
	return ledger.Command{Kind: kind, Target: id.TransactionOf(brand, target), Amount: m}
}

func keyed(key id.Key, c ledger.Command) ledger.Command {
	c.Key = key
	return c
}

func freeze(name id.Account, status ledger.Status) ledger.Command {
	return ledger.Command{Kind: ledger.KindFreeze, Account: name, Status: status}
}

func shut(name id.Account) ledger.Command {
	return ledger.Command{Kind: ledger.KindClose, Account: name}
}

// given returns books in which the commands have been executed at noon, each of them posted.
func given(t testing.TB, earlier commands) *ledger.Books {
	t.Helper()
	b := ledger.NewBooks(noon)
	b.Ledgers[brand] = ledger.Ledger{ID: brand, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "USD", Scale: 2}}}
	b.Ledgers[other] = ledger.Ledger{ID: other, Home: "us", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
	for i, r := range b.Execute(ledger.Batch{Commands: with(earlier...)}) {
		if r.Err != nil || r.Outcome.Decided != ledger.Posted {
			t.Fatalf("given command %d, %s: %s %v %v", i, earlier[i].Kind, r.Outcome.Reason, r.Outcome.Detail, r.Err)
		}
	}
	return b
}

func zeros(n int) string { return strings.Repeat("0", n) }
