package ledgertest

import (
	"math/big"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// account is its terms and the lines of its statement. There is no running total: it is added up from the lines.
type account struct {
	home     id.Home
	ref      ledger.Ref
	asset    money.Asset
	normal   ledger.Side
	floor    ledger.Limit
	ceiling  ledger.Limit
	status   ledger.Status
	metadata ledger.Metadata
	lines    []line
}

// line is one change of an account.
type line struct {
	effect
	transaction id.Transaction
	origin      id.Ledger
	number      int // of the transaction
	kind        ledger.Kind
	effective   time.Time
	recorded    time.Time
}

// effect is what a line adds to the four totals of its account; a negative held amount releases.
type effect struct {
	debit, credit, heldDebit, heldCredit *big.Int
}

var nothing = effect{debit: new(big.Int), credit: new(big.Int), heldDebit: new(big.Int), heldCredit: new(big.Int)}

func (e effect) plus(f effect) effect {
	return effect{
		debit: plus(e.debit, f.debit), credit: plus(e.credit, f.credit),
		heldDebit: plus(e.heldDebit, f.heldDebit), heldCredit: plus(e.heldCredit, f.heldCredit),
	}
}

// after adds up the first n lines.
func (a account) after(n int) effect {
	sum := nothing
	for _, l := range a.lines[:n] {
		sum = sum.plus(l.effect)
	}
	return sum
}

func (a account) totals() effect { return a.after(len(a.lines)) }

// posted is the balance as the account's normal side sees it.
func (e effect) posted(normal ledger.Side) *big.Int {
	if normal == ledger.Debit {
		return minus(e.debit, e.credit)
	}
	return minus(e.credit, e.debit)
}

func (e effect) incoming(normal ledger.Side) *big.Int {
	if normal == ledger.Debit {
		return e.heldDebit
	}
	return e.heldCredit
}

func (e effect) outgoing(normal ledger.Side) *big.Int {
	if normal == ledger.Debit {
		return e.heldCredit
	}
	return e.heldDebit
}

func (e effect) available(normal ledger.Side) *big.Int {
	return minus(e.posted(normal), e.outgoing(normal))
}

func (e effect) occupied(normal ledger.Side) *big.Int {
	return plus(e.posted(normal), e.incoming(normal))
}

// fits tells whether every number that the account shows has at most 38 digits.
func (e effect) fits(normal ledger.Side) bool {
	for _, n := range []*big.Int{e.debit, e.credit, e.heldDebit, e.heldCredit, e.available(normal), e.occupied(normal)} {
		if digits(n) > money.MaxDigits {
			return false
		}
	}
	return true
}

// recordedBy counts the lines that were recorded by then.
func (a account) recordedBy(t time.Time) int {
	n := 0
	for _, l := range a.lines {
		if !l.recorded.After(t) {
			n++
		}
	}
	return n
}

// view is the account as the Service shows it, after its first n lines.
func (a account) view(n int) ledger.Account {
	sum := a.after(n)
	v := ledger.Account{
		Home: a.home, Ref: a.ref, Asset: a.asset, Normal: a.normal, Floor: a.floor, Ceiling: a.ceiling, Status: a.status, Metadata: a.metadata,
		Balances: ledger.Balances{
			PostedDebits: amount(sum.debit), PostedCredits: amount(sum.credit),
			PendingDebits: amount(sum.heldDebit), PendingCredits: amount(sum.heldCredit),
		},
		Sequence: int64(n), OpenedAt: a.lines[0].recorded, ChangedAt: a.lines[0].recorded,
	}
	if n > 0 {
		v.ChangedAt = a.lines[n-1].recorded
	}
	return v
}

// entry is the line of that sequence, which counts from one.
func (a account) entry(sequence int) ledger.Entry {
	l, sum := a.lines[sequence-1], a.after(sequence)
	return ledger.Entry{
		Ref: a.ref, Sequence: int64(sequence), Amount: amount(minus(l.credit, l.debit)), Balance: amount(minus(sum.credit, sum.debit)),
		PendingDebits: amount(sum.heldDebit), PendingCredits: amount(sum.heldCredit),
	}
}

func digits(n *big.Int) int { return len(new(big.Int).Abs(n).String()) }

func plus(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

func minus(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

// number turns an amount into one that never overflows.
func number(a money.Amount) *big.Int {
	n, _ := new(big.Int).SetString(a.String(), 10) // the text of an amount is always a number
	return n
}

// amount turns a number back; it panics beyond 38 digits, which no decision lets into the books.
func amount(n *big.Int) money.Amount { return money.MustParse(n.String()) }
