package payment

import (
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Kind is that of the ledger.
type Kind = ledger.PaymentKind

// State is that of the ledger.
type State = ledger.PaymentState

// Trigger is that of the ledger.
type Trigger = ledger.Trigger

// Role is that of the ledger.
type Role = ledger.Role

// The kinds of payments.
const (
	Deposit    Kind = "deposit"
	Withdrawal Kind = "withdrawal"
	Bet        Kind = "bet"
	Refund     Kind = "refund"
	Bonus      Kind = "bonus"
	Commission Kind = "commission"
	Affiliate  Kind = "affiliate_commission"
	Chargeback Kind = "chargeback"
	Adjustment Kind = "adjustment"
)

// Expire is what a timer sends to payments whose time is over.
const Expire Trigger = "expire"

// New is the state of a payment that is not there yet.
const New State = ""

// Table is the lifecycle of one kind.
type Table struct {
	Kind   Kind
	Player bool // every payment of it is of a player
	Parent Kind // every payment of it takes back one of that kind; empty: of none
	Rules  []Rule
	// Uses says how much of a measure a payment uses, from its totals: a step adds the difference between after and before to the player's
	// usage.
	Uses map[ledger.Measure]Rest
	// Bounds are what holds in every state: the first total is never less than the others together.
	Bounds []Rest
}

// Rule is a line of a table: in one of these states, this trigger, if this holds, leads to that state, and posts this.
type Rule struct {
	From   []State // New: the step makes the payment
	On     Trigger
	Takes  Takes // which amounts the rule is for
	To     State
	Gates  []Gate   // refuse the step where one is closed
	Pauses []Gate   // send the payment to under_review where one is closed, and PausePosts is posted
	Sets   []Effect // on totals of the payment
	Parent []Effect // on totals of the parent
	Posts  string   // of the chart; empty posts nothing
	// Over makes the postings replace what was posted before: they are those of Over, for the stake, then those of Posts, less what the
	// payment has posted so far.
	Over       string
	PausePosts string
	OtherActor bool // who made the payment may not take this step
}

// Takes says for which amounts a rule is.
type Takes struct {
	How  How
	Rest Rest // of which amounts are taken
	Of   Whose
}

// How an amount relates to what is left.
type How uint8

// The ways. A step that gives no amount takes all that is left.
const (
	Nothing How = iota // the rule takes no amount, and the step gives none
	Any                // the step says how much
	All                // all that is left
	Part               // less than what is left
	Enough             // at least what is left
	UpTo               // at most what is left; the step says how much
)

// Whose totals an amount is taken from.
type Whose uint8

// The payment's own, or the parent's.
const (
	Own Whose = iota
	Parents
)

// Rest is a total less others: what of it is left.
type Rest struct {
	Of   string
	Less []string
}

func of(total string, less ...string) Rest { return Rest{Of: total, Less: less} }

// Effect changes a total: by the amount that the rule takes, or to a value.
type Effect struct {
	Total string
	Op    Op
	// Value of Set: another total, or the amount where it is empty. Of Add: the parameter of the chart that multiplies the amount.
	Value string
}

// Op is what an effect does.
type Op uint8

// The effects.
const (
	Add Op = iota
	Sub
	Set
	Clear
)

// The totals of payments.
const (
	Authorized = "authorized"
	Captured   = "captured"
	Voided     = "voided"
	Settled    = "settled"
	Returned   = "returned"
	Requested  = "requested"
	Refunded   = "refunded"
	Disputed   = "charged_back"
	Stake      = "stake"
	Payout     = "payout"
	Granted    = "granted"
	Required   = "required"
	Wagered    = "wagered"
	Base       = "base"
)

func plus(total string) []Effect  { return []Effect{{Total: total, Op: Add}} }
func minus(total string) []Effect { return []Effect{{Total: total, Op: Sub}} }
func from(states ...State) []State {
	return states
}

// States returns all states of the table but New, in the order in which rules lead to them.
func (t Table) States() []State {
	var all []State
	add := func(s State) {
		if s != New && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, r := range t.Rules {
		if len(r.Pauses) > 0 {
			add(ledger.UnderReview)
		}
		add(r.To)
	}
	return all
}

// Terminal tells whether a state has no way out.
func (t Table) Terminal(s State) bool {
	return !slices.ContainsFunc(t.Rules, func(r Rule) bool { return slices.Contains(r.From, s) })
}

// Place is where payments stand: a kind, and a state of it.
type Place struct {
	Kind  Kind
	State State
}

// Open lists the places that have a way out, in the order of the tables.
func Open() []Place {
	var open []Place
	for _, t := range Tables {
		for _, s := range t.States() {
			if !t.Terminal(s) {
				open = append(open, Place{t.Kind, s})
			}
		}
	}
	return open
}

// Tally is how many payments stand at a place, and when the one of them changed that stands there for the longest.
type Tally struct {
	Place
	Count  int64
	Oldest time.Time
}

// Triggers returns all triggers of the table, in its order.
func (t Table) Triggers() []Trigger {
	var all []Trigger
	for _, r := range t.Rules {
		if !slices.Contains(all, r.On) {
			all = append(all, r.On)
		}
	}
	return all
}

// leads lists where a rule may lead.
func (r Rule) leads() []State {
	if len(r.Pauses) > 0 {
		return []State{r.To, ledger.UnderReview}
	}
	return []State{r.To}
}

// reaches tells whether a payment can come from one state to another; each reaches itself.
func (t Table) reaches(from, to State) bool {
	seen, next := map[State]bool{from: true}, []State{from}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		if at == to {
			return true
		}
		for _, r := range t.Rules {
			if !slices.Contains(r.From, at) {
				continue
			}
			for _, s := range r.leads() {
				if !seen[s] {
					seen[s] = true
					next = append(next, s)
				}
			}
		}
	}
	return false
}

// TableOf returns the table of a kind.
func TableOf(k Kind) (Table, bool) {
	i := slices.IndexFunc(Tables, func(t Table) bool { return t.Kind == k })
	if i < 0 {
		return Table{}, false
	}
	return Tables[i], true
}
