package payment

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Pending is the role on whose account the money of a player waits while nobody has decided. Every chart has it.
const Pending Role = "player_pending"

// Chart says on which accounts the money of payments stands: roles, how their accounts are named and opened, and for each kind the postings of
// its rules. It was proved when it was read: every posting balances for all amounts. It is immutable and safe for concurrent use.
type Chart struct {
	Name     string
	Rounding Rounding

	accounts map[Role]role
	kinds    map[Kind]book
}

// role is how the account of a role is named and opened.
type role struct {
	names []string // the first of which everything is known
	terms ledger.Terms
	opens bool
}

// book is what a chart says of one kind.
type book struct {
	lead       Role
	expires    time.Duration // from the first step until expire is sent; 0: it is not
	parameters map[string]int64
	shares     []share
	postings   map[string][]line
}

// share is a part of an amount, by rate, or what the others leave of it.
type share struct {
	name string
	of   string   // a symbol
	rate *big.Rat // nil: what is left
	less []string
}

// line is a line of a posting.
type line struct {
	role   Role
	side   ledger.Side
	amount string // a symbol: amount, total <name>, held <role>, or a share
}

// The symbols that amounts of lines begin with.
const (
	symbolAmount = "amount"
	symbolTotal  = "total "
	symbolHeld   = "held "
)

//go:embed charts/default.yaml
var defaultChart []byte

// Default returns the chart that is used where nobody names another one.
func Default() *Chart {
	c, err := ParseChart("default.yaml", defaultChart)
	if err != nil {
		panic(fmt.Sprintf("the default chart is read by a test: %v", err))
	}
	return c
}

// RolesOf lists the roles that payments of a kind have, sorted.
func (c *Chart) RolesOf(k Kind) []Role {
	b := c.kinds[k]
	set := map[Role]bool{b.lead: true}
	for _, lines := range b.postings {
		for _, l := range lines {
			set[l.role] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Expiries returns how long after its first step a payment is sent expire, of the kinds of which the chart says so.
func (c *Chart) Expiries() map[Kind]time.Duration {
	all := map[Kind]time.Duration{}
	for kind, b := range c.kinds {
		if b.expires > 0 {
			all[kind] = b.expires
		}
	}
	return all
}

// roles names the accounts of a new payment, from what its command says.
func (c *Chart) roles(cmd ledger.Command) (map[Role]id.Account, error) {
	table, known := TableOf(cmd.Step.Payment)
	if !known {
		return nil, errs.Invalid("payment", "there is no kind of payment "+string(cmd.Step.Payment))
	}
	if table.Player && cmd.Step.Player == "" {
		return nil, errs.Invalid("player", "a "+string(table.Kind)+" is of a player: name the player")
	}
	if (table.Parent != "") == cmd.Step.Parent.IsZero() {
		return nil, errs.Invalid("parent", "a "+string(table.Kind)+" takes back "+cmp.Or(string(table.Parent), "no payment"))
	}
	said := map[string]string{
		"player": string(cmd.Step.Player), "provider": cmd.Step.Provider, "account": string(cmd.Account), "counter": string(cmd.Counter),
		"asset": string(cmd.Amount.Asset),
	}
	roles := map[Role]id.Account{}
	for _, r := range c.RolesOf(table.Kind) {
		name, missing := c.accounts[r].name(said)
		if missing != "" {
			return nil, errs.Invalid(missing, "the account of "+string(r)+" is named after it")
		}
		account, err := id.ParseAccount(name)
		if err != nil {
			return nil, errs.Invalid(string(r), err.Error())
		}
		roles[r] = account
	}
	return roles, nil
}

// name fills in the first name of which everything is known; else it says what the last one lacks.
func (r role) name(known map[string]string) (name, missing string) {
	for _, pattern := range r.names {
		missing = ""
		name = placeholder.ReplaceAllStringFunc(pattern, func(p string) string {
			v := known[strings.Trim(p, "{}")]
			if v == "" {
				missing = strings.Trim(p, "{}")
			}
			return v
		})
		if missing == "" {
			return name, ""
		}
	}
	return "", missing
}

// opens says how to open the accounts of a kind.
func (c *Chart) opens(k Kind) map[Role]ledger.Terms {
	opens := map[Role]ledger.Terms{}
	for _, r := range c.RolesOf(k) {
		if a := c.accounts[r]; a.opens {
			opens[r] = a.terms
		}
	}
	return opens
}

// errNegative says that a posting would come out below nothing.
var errNegative = errors.New("an amount of a posting is negative")

// post fills in the lines of a posting. Over makes it replace what the payment has posted so far.
func (c *Chart) post(k Kind, name, over string, s ledger.Situation, amount money.Amount) ([]ledger.Posting, error) {
	if name == "" {
		return nil, nil
	}
	posts, err := c.lines(k, name, s.Payment, amount)
	if err != nil || over == "" {
		return posts, err
	}
	first, err := c.lines(k, over, s.Payment, s.Payment.Totals[Stake])
	if err != nil {
		return nil, err
	}
	return instead(append(first, posts...), s.Payment.Holdings)
}

func (c *Chart) lines(k Kind, name string, p ledger.Payment, amount money.Amount) ([]ledger.Posting, error) {
	b := c.kinds[k]
	posts := make([]ledger.Posting, 0, len(b.postings[name]))
	for _, l := range b.postings[name] {
		n, err := c.value(b, l.amount, p, amount)
		if err != nil {
			return nil, err
		}
		if n.Sign() < 0 {
			return nil, errNegative
		}
		if !n.IsZero() {
			posts = append(posts, ledger.Posting{Role: l.role, Side: l.side, Amount: n})
		}
	}
	return posts, nil
}

// instead returns what has to be posted so that the lines are all that the payment has posted, role by role.
func instead(lines []ledger.Posting, held map[Role]money.Amount) ([]ledger.Posting, error) {
	want := map[Role]money.Amount{}
	for r := range held {
		want[r] = held[r].Neg()
	}
	for _, l := range lines {
		signed := l.Amount
		if l.Side == ledger.Debit {
			signed = signed.Neg()
		}
		var err error
		if want[l.Role], err = want[l.Role].Add(signed); err != nil {
			return nil, err
		}
	}
	var posts []ledger.Posting
	for _, r := range slices.Sorted(maps.Keys(want)) {
		switch n := want[r]; n.Sign() {
		case 1:
			posts = append(posts, ledger.Posting{Role: r, Side: ledger.Credit, Amount: n})
		case -1:
			posts = append(posts, ledger.Posting{Role: r, Side: ledger.Debit, Amount: n.Neg()})
		}
	}
	return posts, nil
}

// value is what a symbol comes to.
func (c *Chart) value(b book, symbol string, p ledger.Payment, amount money.Amount) (money.Amount, error) {
	if symbol == symbolAmount {
		return amount, nil
	}
	if name, is := strings.CutPrefix(symbol, symbolTotal); is {
		return p.Totals[name], nil
	}
	if r, is := strings.CutPrefix(symbol, symbolHeld); is {
		return p.Holdings[Role(r)].Abs(), nil
	}
	at := slices.IndexFunc(b.shares, func(s share) bool { return s.name == symbol })
	whole, err := c.value(b, b.shares[at].of, p, amount)
	if err != nil {
		return money.Amount{}, err
	}
	return c.shareOf(b, at, whole)
}

// shareOf takes shares of an amount in the order of the chart. None takes more than those before it left, whatever the rounding does, and what
// all leave goes to the share that says less: so they add up to the amount, to the last unit.
func (c *Chart) shareOf(b book, at int, whole money.Amount) (money.Amount, error) {
	left := whole
	for i, s := range b.shares {
		if s.of != b.shares[at].of || s.rate == nil {
			continue
		}
		n, err := c.Rounding.Share(whole, s.rate)
		if err != nil {
			return money.Amount{}, err
		}
		if left.Less(n) {
			n = left
		}
		if i == at {
			return n, nil
		}
		left, _ = left.Sub(n) // 0 <= n <= left
	}
	return left, nil
}
