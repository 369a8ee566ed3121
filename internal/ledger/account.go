package ledger

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Ledger is one set of books of one tenant or brand. It has exactly one home and a fixed list of assets.
type Ledger struct {
	ID        id.Ledger
	Home      id.Home
	Assets    []money.Asset
	Metadata  Metadata
	CreatedAt time.Time
}

// Asset returns the asset of that code, if the ledger has it.
func (l Ledger) Asset(code money.Code) (money.Asset, bool) {
	for _, a := range l.Assets {
		if a.Code == code {
			return a, true
		}
	}
	return money.Asset{}, false
}

// Metadata is what a client wants to find again: up to 64 short texts.
type Metadata map[string]string

// Side is the side of an entry, and the normal side of an account.
type Side uint8

// The two sides.
const (
	Debit Side = iota + 1
	Credit
)

// String returns debit or credit.
func (s Side) String() string {
	switch s {
	case Debit:
		return "debit"
	case Credit:
		return "credit"
	}
	return ""
}

// Status says which movements an account takes.
type Status string

// The states of an account. A freeze stops every entry on its side, settling of holds included; releasing a hold stays possible.
const (
	Open          Status = "open"
	DebitsFrozen  Status = "debits_frozen"
	CreditsFrozen Status = "credits_frozen"
	Frozen        Status = "frozen"
	Closed        Status = "closed"
)

// Refuses tells whether an account of this status takes no entry on that side.
func (s Status) Refuses(side Side) bool {
	switch s {
	case Frozen, Closed:
		return true
	case DebitsFrozen:
		return side == Debit
	case CreditsFrozen:
		return side == Credit
	default:
		return false
	}
}

// Limit is an optional bound in minor units, on the account's normal side.
type Limit struct {
	Set    bool         `json:"set,omitempty"`
	Amount money.Amount `json:"amount,omitzero"`
}

// AtLimit returns a bound.
func AtLimit(a money.Amount) Limit { return Limit{Set: true, Amount: a} }

// Ref names an account in the whole system.
type Ref struct {
	Ledger  id.Ledger
	Account id.Account
}

// String returns ledger/account.
func (r Ref) String() string { return string(r.Ledger) + "/" + string(r.Account) }

// Balances are the running totals of an account, all of them zero or positive, in minor units.
type Balances struct {
	PostedDebits   money.Amount `json:"posted_debits"`
	PostedCredits  money.Amount `json:"posted_credits"`
	PendingDebits  money.Amount `json:"pending_debits"`
	PendingCredits money.Amount `json:"pending_credits"`
}

// Account is one asset, one normal side, one ledger.
type Account struct {
	Home     id.Home
	Ref      Ref
	Asset    money.Asset
	Normal   Side
	Floor    Limit // least Available that a movement may leave behind (min_available)
	Ceiling  Limit // greatest Posted plus Incoming that a movement may leave behind (max_balance)
	Status   Status
	Metadata Metadata
	Balances
	Sequence  int64 // of the newest entry; entries are numbered 1, 2, 3 without a gap
	OpenedAt  time.Time
	ChangedAt time.Time // recorded time of the newest entry; recorded times of one account never run backwards
}

// signed turns credits minus debits into the sign of the account's normal side.
func (a Account) signed(debits, credits money.Amount) money.Amount {
	up, down := credits, debits
	if a.Normal == Debit {
		up, down = debits, credits
	}
	n, err := up.Sub(down)
	if err != nil {
		panic("totals below 10^38 differ by less than 10^38: " + err.Error()) // both are non-negative, so the difference always fits
	}
	return n
}

// Posted returns the balance of committed money on the account's normal side.
func (a Account) Posted() money.Amount { return a.signed(a.PostedDebits, a.PostedCredits) }

// Outgoing returns the held money that would leave the account.
func (a Account) Outgoing() money.Amount {
	if a.Normal == Debit {
		return a.PendingCredits
	}
	return a.PendingDebits
}

// Incoming returns the held money that would reach the account.
func (a Account) Incoming() money.Amount {
	if a.Normal == Debit {
		return a.PendingDebits
	}
	return a.PendingCredits
}

// Available returns what can leave now: posted money less what is held. It returns money.ErrRange beyond 38 digits.
func (a Account) Available() (money.Amount, error) { return a.Posted().Sub(a.Outgoing()) }

// Occupied returns posted money and what is on its way in, which the ceiling bounds. It returns money.ErrRange beyond 38 digits.
func (a Account) Occupied() (money.Amount, error) { return a.Posted().Add(a.Incoming()) }

// HoldStatus is the state of a hold.
type HoldStatus string

// The states of a hold; only Held can change.
const (
	Held       HoldStatus = "held"
	Committed  HoldStatus = "committed"
	RolledBack HoldStatus = "rolled_back"
	Expired    HoldStatus = "expired"
)

// Hold is money set aside on its way from one account to another. It is committed wholly or in parts, rolled back or expired.
type Hold struct {
	ID        id.Transaction `json:"id"`
	Home      id.Home        `json:"-"`
	Ledger    id.Ledger      `json:"-"`
	From      id.Account     `json:"from"`
	To        id.Account     `json:"to"`
	Asset     money.Asset    `json:"-"`
	Amount    money.Amount   `json:"amount"`
	Captured  money.Amount   `json:"captured"`
	Status    HoldStatus     `json:"status"`
	ExpiresAt time.Time      `json:"expires_at"`
}

// Remaining returns what can still be committed.
func (h Hold) Remaining() money.Amount {
	if h.Status != Held {
		return money.Amount{}
	}
	n, _ := h.Amount.Sub(h.Captured) // 0 <= captured <= amount
	return n
}
