package payment_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	. "github.com/meridian-ledger/meridian/internal/payment"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

var (
	noon     = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	advances = Default().Lifecycle()
	brand    = ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
)

// world is a ledger in memory with payments in it.
type world struct {
	t     testing.TB
	books *ledger.Books
	keys  int
}

func newWorld(t testing.TB) *world {
	b := ledger.NewBooks(noon)
	b.Ledgers[brand.ID], b.Lifecycle = brand, advances
	b.Players[ledger.PlayerRef(brand.ID, "p")] = ledger.Player{Home: "eu", Ledger: brand.ID, ID: "p"}
	w := &world{t: t, books: b}
	w.player(ledger.PlayerChange{KYC: ledger.KYCVerified})
	w.cash(1_000_000)
	return w
}

func minor(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// try executes a command under a fresh key.
func (w *world) try(c ledger.Command) ledger.Outcome {
	w.t.Helper()
	w.keys++
	c.Ledger, c.Key = brand.ID, id.Key(fmt.Sprint("k", w.keys))
	if err := c.Validate(noon); err != nil {
		w.t.Fatalf("%+v: %v", c, err)
	}
	c, err := w.books.Lifecycle.Prepared(c)
	if err != nil {
		w.t.Fatalf("%+v: %v", c, err)
	}
	if missing := w.books.Missing([]ledger.Command{c}); len(missing) > 0 {
		w.t.Fatalf("%v stand behind %s and are not there", missing, c.Target)
	}
	r := w.books.Execute(ledger.Batch{Commands: []ledger.Command{c}})[0]
	if r.Err != nil {
		w.t.Fatal(r.Err)
	}
	return r.Outcome
}

func (w *world) posted(c ledger.Command) ledger.Outcome {
	w.t.Helper()
	o := w.try(c)
	if o.Decided != ledger.Posted {
		w.t.Fatalf("%s: %s %v", c.Kind, o.Reason, o.Detail)
	}
	return o
}

func (w *world) player(change ledger.PlayerChange) {
	w.t.Helper()
	change.Player = "p"
	w.posted(ledger.Command{Kind: ledger.KindPlayer, Player: &change})
}

// cash gives the player money.
func (w *world) cash(n int64) {
	w.t.Helper()
	p := w.begin(Adjustment, "propose_credit", n, id.Transaction{})
	w.posted(step(p, "approve", nil, "second"))
}

// first is the command that makes a payment.
func first(k Kind, on Trigger, n int64, parent id.Transaction) ledger.Command {
	return ledger.Command{Kind: ledger.KindStep, Amount: minor(n), Step: &ledger.Step{
		Payment: k, Trigger: on, Player: "p", Parent: parent, Provider: "psp", Actor: "first",
	}}
}

func (w *world) begin(k Kind, on Trigger, n int64, parent id.Transaction) ledger.Payment {
	w.t.Helper()
	return w.payment(w.posted(first(k, on, n, parent)).Transaction)
}

// step is a command that takes a payment further.
func step(p ledger.Payment, on Trigger, amount *ledger.Money, actor string) ledger.Command {
	return ledger.Command{Kind: ledger.KindStep, Target: p.ID, Amount: amount, Step: &ledger.Step{Payment: p.Kind, Trigger: on, Actor: actor}}
}

func (w *world) payment(k id.Transaction) ledger.Payment { return w.books.Payments[k] }

// deposit is one that can be taken back.
func (w *world) deposit(n int64) ledger.Payment {
	return w.begin(Deposit, "receive", n, id.Transaction{})
}

// parentOf makes the payment that one of a kind takes back, where it takes one back.
func (w *world) parentOf(t Table) id.Transaction {
	if t.Parent == "" {
		return id.Transaction{}
	}
	return w.deposit(1000).ID
}

// balances are credits less debits of all accounts.
func (w *world) balances() map[id.Account]money.Amount {
	all := map[id.Account]money.Amount{}
	for ref, a := range w.books.Accounts {
		all[ref.Account], _ = a.PostedCredits.Sub(a.PostedDebits)
	}
	return all
}

// unchanged says what a refused step has changed, or "".
func (w *world) unchanged(was ledger.Payment, before map[id.Account]money.Amount, o ledger.Outcome) string {
	is := w.payment(was.ID)
	switch {
	case len(o.Entries) > 0 || !maps.Equal(before, w.balances()):
		return "money moved"
	case is.Attempts != was.Attempts+1 && was.Exists():
		return fmt.Sprintf("it is not counted: %d attempts, then %d", was.Attempts, is.Attempts)
	case is.State != was.State || is.Version != was.Version || !maps.Equal(is.Totals, was.Totals) || !maps.Equal(is.Holdings, was.Holdings):
		return fmt.Sprintf("%+v became %+v", was, is)
	case o.Step == nil || o.Step.From != was.State || o.Step.To != was.State:
		return fmt.Sprintf("it does not say what it met: %+v", o.Step)
	}
	return ""
}

// sound holds what is true of every payment, whatever happened to it.
func (w *world) sound(p ledger.Payment) {
	w.t.Helper()
	table, _ := TableOf(p.Kind)
	var sum money.Amount
	for _, held := range p.Holdings {
		sum, _ = sum.Add(held)
	}
	if !sum.IsZero() {
		w.t.Fatalf("%s %s: what it holds does not balance: %v", p.Kind, p.State, p.Holdings)
	}
	for _, b := range table.Bounds {
		if RestOf(b, p.Totals).Sign() < 0 {
			w.t.Fatalf("%s %s: %v of %v", p.Kind, p.State, b, p.Totals)
		}
	}
	for name, total := range p.Totals {
		if total.Sign() < 0 {
			w.t.Fatalf("%s %s: %s is %s", p.Kind, p.State, name, total)
		}
	}
	if table.Terminal(p.State) && !p.Holdings[Pending].IsZero() {
		w.t.Fatalf("%s %s: it is over, and %s wait on the pending account", p.Kind, p.State, p.Holdings[Pending])
	}
	if p.Holdings[Pending].Sign() < 0 {
		w.t.Fatalf("%s %s: less than nothing waits", p.Kind, p.State)
	}
	if (p.State == ledger.UnderReview) != (p.Review != nil) {
		w.t.Fatalf("%s %s: review %+v", p.Kind, p.State, p.Review)
	}
	pending := map[id.Account]money.Amount{}
	for _, q := range w.books.Payments {
		account := q.Roles[Pending]
		pending[account], _ = pending[account].Add(q.Holdings[Pending])
	}
	for account, want := range pending {
		if account != "" && w.balances()[account] != want {
			w.t.Fatalf("%s has %s, and its payments hold %s there", account, w.balances()[account], want)
		}
	}
	steps := w.books.Changes().Steps
	var numbers int64
	for _, s := range steps {
		if s.Payment == p.ID {
			if numbers++; s.Number != numbers {
				w.t.Fatalf("%s: line %d of its history has number %d", p.Kind, numbers, s.Number)
			}
		}
	}
	if numbers != p.Attempts {
		w.t.Fatalf("%s: %d lines of history, %d attempts", p.Kind, numbers, p.Attempts)
	}
}

// path is how a payment comes to a state.
type path []move

type move struct {
	on     Trigger
	amount *ledger.Money
	before func(*world) // what has to be so
	after  func(*world)
}

// amounts are those that a step is tried with: none, parts of the thousand that payments are made with, more than it, and more than ten times it.
var amounts = []*ledger.Money{nil, minor(1), minor(400), minor(600), minor(1000), minor(1001), minor(9999), minor(10000), minor(20000)}

func suspect(w *world) { w.player(ledger.PlayerChange{AML: ledger.AMLFlagged}) }
func acquit(w *world)  { w.player(ledger.PlayerChange{AML: ledger.AMLClear}) }

// follow takes a payment along a path.
func (w *world) follow(t Table, p path) ledger.Payment {
	w.t.Helper()
	parent := w.parentOf(t)
	var payment ledger.Payment
	for i, m := range p {
		if m.before != nil {
			m.before(w)
		}
		c := first(t.Kind, m.on, 1000, parent)
		if i > 0 {
			c = step(payment, m.on, m.amount, "second")
		}
		payment = w.payment(w.posted(c).Step.Payment)
		if m.after != nil {
			m.after(w)
		}
	}
	return payment
}

// paths finds a way to every state of a table by trying all triggers with all amounts, the gates open and the player flagged.
func paths(t *testing.T, table Table) map[State]path {
	t.Helper()
	found := map[State]path{New: nil}
	for todo := []State{New}; len(todo) > 0; todo = todo[1:] {
		for _, on := range table.Triggers() {
			for _, amount := range amounts {
				for _, flagged := range []bool{false, true} {
					m := move{on: on, amount: amount}
					if flagged {
						m.before, m.after = suspect, acquit
					}
					way := append(append(path(nil), found[todo[0]]...), m)
					if to, ok := tried(t, table, way); ok && found[to] == nil {
						found[to] = way
						todo = append(todo, to)
					}
					if todo[0] == New {
						break // amounts are those of later steps
					}
				}
			}
			if todo[0] == New { // once more with the gate closed
				m := move{on: on, before: suspect, after: acquit}
				if to, ok := tried(t, table, path{m}); ok && found[to] == nil {
					found[to] = path{m}
					todo = append(todo, to)
				}
			}
		}
	}
	return found
}

// tried follows a path whose last step may be refused.
func tried(t *testing.T, table Table, way path) (State, bool) {
	t.Helper()
	w := newWorld(t)
	p := ledger.Payment{}
	if len(way) > 1 {
		p = w.follow(table, way[:len(way)-1])
	}
	parent := id.Transaction{}
	if len(way) == 1 {
		parent = w.parentOf(table)
	}
	last := way[len(way)-1]
	if last.before != nil {
		last.before(w)
	}
	c := first(table.Kind, last.on, 1000, parent)
	if len(way) > 1 {
		c = step(p, last.on, last.amount, "second")
	}
	o := w.try(c)
	return w.payment(o.Step.Payment).State, o.Decided == ledger.Posted
}

func isStepDecline(r errs.Reason) bool {
	return r == errs.ReasonAmountRefused || r == errs.ReasonGateClosed || r == errs.ReasonInsufficientFunds || r == errs.ReasonTransitionRefused
}
