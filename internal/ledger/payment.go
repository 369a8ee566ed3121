package ledger

import (
	"maps"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// PaymentKind is what a payment is: deposit, withdrawal, bet. Package payment has the list, and the table of each.
type PaymentKind string

// PaymentState is where a payment stands: authorized, settled. Every kind has states of its own.
type PaymentState string

// UnderReview is the state of a payment that a closed gate stopped and that somebody has to decide on. Its Review says who.
const UnderReview PaymentState = "under_review"

// Trigger is what moves a payment from one state to another: authorize, capture, expire.
type Trigger string

// Role is the part that an account plays in a payment: player_cash, psp_clearing, fees.
type Role string

// Step is what a client asks of a payment: one transition. The first step of a payment has no Target and makes it, with the id of its own
// transaction; each later one names that id in Command.Target. What only the first one says is kept with the payment.
type Step struct {
	Payment           PaymentKind    `json:"payment"`
	Trigger           Trigger        `json:"trigger"`
	Player            id.Player      `json:"player,omitempty"`             // first step: whose payment; empty where it is of no player
	Parent            id.Transaction `json:"parent,omitzero"`              // first step: the payment that this one takes back, as a refund or a chargeback does
	Provider          string         `json:"provider,omitempty"`           // who moves the money outside; the first step that says it decides
	ProviderReference string         `json:"provider_reference,omitempty"` // what the provider calls the payment; the newest that is given stands
	Evidence          string         `json:"evidence,omitempty"`           // what proves it: the envelope of a callback, a case, a ticket
	Actor             string         `json:"actor,omitempty"`              // who caused it
}

// Refs of players and of other payments stand among those of accounts in Touches and Behind, so that they wait and are locked as accounts
// are. The mark is no character of an account.
const (
	playerMark  = "!player/"
	paymentMark = "!payment/"
)

// PlayerRef is the player among refs.
func PlayerRef(l id.Ledger, player id.Player) Ref {
	return Ref{l, id.Account(playerMark + string(player))}
}

// PaymentRef is the payment among refs.
func PaymentRef(l id.Ledger, payment id.Transaction) Ref {
	return Ref{l, id.Account(paymentMark + payment.String())}
}

// Player returns the player that the ref is of.
func (r Ref) Player() (id.Player, bool) {
	name, found := strings.CutPrefix(string(r.Account), playerMark)
	return id.Player(name), found
}

// Payment returns the payment that the ref is of.
func (r Ref) Payment() (id.Transaction, bool) {
	name, found := strings.CutPrefix(string(r.Account), paymentMark)
	if !found {
		return id.Transaction{}, false
	}
	payment, err := id.ParseTransaction(name)
	return payment, err == nil
}

// Payment is money on its way through a lifecycle: the row that steps change and nothing else does.
type Payment struct {
	Home              id.Home
	Ledger            id.Ledger
	ID                id.Transaction
	Kind              PaymentKind
	State             PaymentState
	Version           int64 // accepted steps
	Attempts          int64 // accepted and refused steps: the number of the newest line of its history
	Player            id.Player
	Parent            id.Transaction
	Asset             money.Asset
	Provider          string
	ProviderReference string
	PaymentData
	OpenedAt  time.Time
	ChangedAt time.Time
}

// PaymentData is the part of a payment that no statement looks into.
type PaymentData struct {
	Roles    map[Role]id.Account     `json:"roles"`              // the accounts that its postings may touch, all of them open
	Totals   map[string]money.Amount `json:"totals,omitempty"`   // what its steps, and those of payments that take it back, add up to: authorized, captured, refunded
	Holdings map[Role]money.Amount   `json:"holdings,omitempty"` // credits less debits that its postings left on the account of each role; zero is left out
	Review   *Review                 `json:"review,omitempty"`   // of a payment under review
	Actor    string                  `json:"actor,omitempty"`    // who caused its first step
	Lead     id.Account              `json:"lead"`               // has a line in every step, so that events of one payment keep their order
}

// Review says why a payment stands still and who has to decide.
type Review struct {
	Gate   string `json:"gate"`             // kyc, aml, account_status …
	Cause  string `json:"cause"`            // what the gate saw
	Paused bool   `json:"paused,omitempty"` // money is set aside until somebody decides
	Next   string `json:"next"`             // who acts next: player, compliance, operator
}

// Exists tells the payment from the place where one is going to be.
func (p Payment) Exists() bool { return p.Version > 0 }

// Behind returns the accounts of a payment, its player and the payment that it takes back.
func (p Payment) Behind() []Ref {
	refs := make([]Ref, 0, len(p.Roles)+2)
	for _, account := range p.Roles {
		refs = append(refs, Ref{p.Ledger, account})
	}
	return append(refs, related(p.Ledger, p.Player, p.Parent)...)
}

func related(l id.Ledger, player id.Player, parent id.Transaction) (refs []Ref) {
	if player != "" {
		refs = append(refs, PlayerRef(l, player))
	}
	if !parent.IsZero() {
		refs = append(refs, PaymentRef(l, parent))
	}
	return refs
}

// clone returns a payment that can be changed without changing this one.
func (p Payment) clone() Payment {
	p.Roles, p.Totals, p.Holdings = maps.Clone(p.Roles), maps.Clone(p.Totals), maps.Clone(p.Holdings)
	if p.Review != nil {
		review := *p.Review
		p.Review = &review
	}
	return p
}

// Transition is what a step made of its payment or, where it was refused, what it met.
type Transition struct {
	Payment           id.Transaction          `json:"payment"`
	Kind              PaymentKind             `json:"kind"`
	Number            int64                   `json:"number,omitempty"`  // line of the payment's history, from 1, refused ones counted; 0 where there is no payment
	Version           int64                   `json:"version,omitempty"` // accepted steps, this one included where it is one
	Trigger           Trigger                 `json:"trigger"`
	From              PaymentState            `json:"from,omitempty"` // empty: the payment was not there
	To                PaymentState            `json:"to,omitempty"`   // of a refused step: From
	Player            id.Player               `json:"player,omitempty"`
	Parent            id.Transaction          `json:"parent,omitzero"`
	Asset             money.Asset             `json:"asset,omitzero"`
	Provider          string                  `json:"provider,omitempty"`
	ProviderReference string                  `json:"provider_reference,omitempty"`
	Added             map[string]money.Amount `json:"added,omitempty"`   // to Totals of the payment
	Parents           map[string]money.Amount `json:"parents,omitempty"` // added to Totals of the parent
	Totals            map[string]money.Amount `json:"totals,omitempty"`  // of the payment, after the step
	Review            *Review                 `json:"review,omitempty"`
	Lead              id.Account              `json:"lead,omitempty"`   // the account whose order its events keep
	Opened            map[id.Account]Terms    `json:"opened,omitempty"` // accounts that the step opened

	Ends  bool          `json:"-"` // the payment has ended; like Lasts said with the first answer alone, for whoever measures
	Lasts time.Duration `json:"-"` // since its first step; of an accepted step
}

// PaymentStep is a line of the append-only history of a payment.
type PaymentStep struct {
	Home        id.Home
	Ledger      id.Ledger
	Payment     id.Transaction
	Number      int64
	Transaction id.Transaction
	Trigger     Trigger
	From, To    PaymentState
	Decided     Decided
	Reason      errs.Reason
	RecordedAt  time.Time
}

// Situation is what a lifecycle is asked about: everything as it is before the step, loaded and locked.
type Situation struct {
	Now     time.Time
	Ledger  Ledger
	Command Command
	Payment Payment // does not exist yet where the step is the first one
	Player  Player  // zero where the payment has none
	Parent  Payment // does not exist where none is named
}

// Posting is a line of a step's postings.
type Posting struct {
	Role   Role
	Side   Side
	Amount money.Amount // zero lines are left out
}

// Refusal is a reason to decline a step and its facts.
type Refusal struct {
	Reason errs.Reason
	Detail map[string]string
}

// Advance is what a lifecycle answers.
type Advance struct {
	Refused  *Refusal // nothing else counts then
	State    PaymentState
	Ends     bool                    // no step leads out of the state
	Added    map[string]money.Amount // to the payment's totals; may be negative
	Parents  map[string]money.Amount // to the parent's totals; may be negative
	Postings []Posting               // in the payment's asset
	Usage    []Usage                 // of the player's limits as it is afterwards; nil: unchanged
	Review   *Review
	Opens    map[Role]Terms // first step: how to open the accounts that are not there yet; a role that is missing here has to be there
	Lead     Role           // first step: whose account leads the payment
}

// Lifecycle is how payments advance. Both functions are pure. The zero value knows no payments.
type Lifecycle struct {
	// Roles names the accounts that a new payment may touch. An error is about the request, and nothing is stored.
	Roles func(Command) (map[Role]id.Account, error)
	// Next says what a step becomes.
	Next func(Situation) Advance
}

// Prepared returns a step command with its roles, which those of a new payment need before they can wait. Other commands are returned as
// they are. The error is an *errs.Error, and says that the lifecycle knows no such payment.
func (l Lifecycle) Prepared(c Command) (Command, error) {
	if c.Kind != KindStep {
		return c, nil
	}
	if l.Roles == nil || l.Next == nil {
		return c, errs.Invalid("payment", "this service keeps no payments")
	}
	if !c.Target.IsZero() {
		return c, nil
	}
	roles, err := l.Roles(c)
	if err != nil {
		return c, err
	}
	c.Roles = roles
	return c, nil
}
