package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Kind is what a command asks for.
type Kind string

// The kinds of commands. Those on accounts go through the same journal as those on money, so that one stream tells the whole story.
const (
	KindDebit    Kind = "debit"    // takes from Account, gives to Counter; of two entries the one of Account is the first, in each kind
	KindCredit   Kind = "credit"   // gives to Account, takes from Counter
	KindTransfer Kind = "transfer" // takes from Account, gives to Counter
	KindPost     Kind = "post"     // Legs
	KindHold     Kind = "hold"     // sets money of Account aside for Counter
	KindCommit   Kind = "commit"   // moves money that Target holds
	KindRollback Kind = "rollback" // releases what Target holds
	KindExpire   Kind = "expire"   // releases what Target holds, because its time is over; issued by the service alone
	KindReverse  Kind = "reverse"  // undoes Target, whole and once

	KindOpen   Kind = "open"   // opens Account with Terms
	KindUpdate Kind = "update" // changes limits and metadata of Account as Change says
	KindFreeze Kind = "freeze" // sets the Status of Account: open, debits_frozen, credits_frozen, frozen
	KindClose  Kind = "close"  // closes Account, at zero and without holds

	KindStep   Kind = "step"   // takes a payment to its next state, as Step says; the first step makes it
	KindPlayer Kind = "player" // changes what gates know of a player, as Player says
)

// Kinds lists the kinds of commands that every Service answers.
var Kinds = []Kind{
	KindDebit, KindCredit, KindTransfer, KindPost, KindHold, KindCommit, KindRollback, KindExpire, KindReverse,
	KindOpen, KindUpdate, KindFreeze, KindClose,
}

// PaymentCommands lists the kinds that a Service answers which has a Lifecycle.
var PaymentCommands = []Kind{KindStep, KindPlayer}

// ReservedKeys is how the keys of commands begin that the service itself issues.
const ReservedKeys = "meridian/"

// ExpireCommand releases a hold whose time is over. Every node that notices issues the same command, and the first one wins.
func ExpireCommand(h Hold) Command {
	return Command{Kind: KindExpire, Ledger: h.Ledger, Key: expiryOf(h.ID), Target: h.ID}
}

func expiryOf(hold id.Transaction) id.Key { return id.Key(ReservedKeys + "expire/" + hold.String()) }

// Bounds on commands, so that one of them can not occupy a node.
const (
	MaxLegs        = 1000
	MaxBatch       = 1000
	MaxText        = 255
	MaxMetadata    = 64
	MaxHold        = 365 * 24 * time.Hour
	DefaultHold    = 7 * 24 * time.Hour // as card authorizations commonly last
	MaxEffectiveIn = 5 * time.Minute    // clocks differ; further in the future is a mistake
)

// Money is an amount of an asset.
type Money struct {
	Minor money.Amount `json:"minor_units"`
	Asset money.Code   `json:"currency"`
}

// Leg is one line of a post.
type Leg struct {
	Ledger  id.Ledger  `json:"ledger,omitempty"` // empty: the command's
	Account id.Account `json:"account"`
	Side    Side       `json:"side"`
	Amount  Money      `json:"amount"`
}

// Terms are what an account is opened with.
type Terms struct {
	Asset    money.Code `json:"asset,omitempty"`
	Normal   Side       `json:"normal,omitempty"`
	Floor    Limit      `json:"floor,omitzero"`
	Ceiling  Limit      `json:"ceiling,omitzero"`
	Metadata Metadata   `json:"metadata,omitempty"`
}

// Change is what an update replaces of an account's terms. What is nil stays as it is: whoever raises one limit need not know the other.
type Change struct {
	Floor    *Limit   `json:"floor,omitempty"`
	Ceiling  *Limit   `json:"ceiling,omitempty"`
	Metadata Metadata `json:"metadata,omitzero"` // empty and not nil: takes all away
}

// IsZero tells whether nothing would change.
func (c Change) IsZero() bool { return c.Floor == nil && c.Ceiling == nil && c.Metadata == nil }

// of returns an account as it is after the change.
func (c Change) of(a Account) Account {
	if c.Floor != nil {
		a.Floor = *c.Floor
	}
	if c.Ceiling != nil {
		a.Ceiling = *c.Ceiling
	}
	if c.Metadata != nil {
		a.Metadata = c.Metadata
	}
	return a
}

// Command is what a client asks for. Its JSON form, in the order of the fields below, is its identity: two requests under one key are
// the same when that form is the same. TraceID and Roles are not part of it.
type Command struct {
	Kind        Kind           `json:"kind"`
	Ledger      id.Ledger      `json:"ledger"`
	Key         id.Key         `json:"key"`
	Account     id.Account     `json:"account,omitempty"`
	Counter     id.Account     `json:"counter,omitempty"` // empty: the ledger's default account for Reason
	Amount      *Money         `json:"amount,omitempty"`  // commit: nil commits all that remains
	Legs        []Leg          `json:"legs,omitempty"`
	Target      id.Transaction `json:"target,omitzero"` // hold to commit or roll back, transaction to reverse, payment to take further
	KeepRest    bool           `json:"keep_rest,omitempty"`
	ExpiresIn   time.Duration  `json:"expires_in,omitempty"`
	Reason      id.Reason      `json:"reason,omitempty"`
	Reference   string         `json:"reference,omitempty"`
	Correlation string         `json:"correlation,omitempty"`
	Metadata    Metadata       `json:"metadata,omitempty"`
	EffectiveAt time.Time      `json:"effective_at,omitzero"`
	Terms       *Terms         `json:"terms,omitempty"`  // open
	Change      *Change        `json:"change,omitempty"` // update
	Status      Status         `json:"status,omitempty"`
	Step        *Step          `json:"step,omitempty"`   // step
	Player      *PlayerChange  `json:"player,omitempty"` // player

	TraceID string              `json:"-"`
	Roles   map[Role]id.Account `json:"-"` // the accounts that a new payment may touch: Lifecycle.Prepared fills it in
}

// ID returns the id of the transaction that this command makes.
func (c Command) ID() id.Transaction { return id.TransactionOf(c.Ledger, c.Key) }

// Canonical returns the JSON form that is stored as the request. Whatever zone and precision the effective time came with, it stands
// there in UTC and microseconds, as engines keep it: a retry that passes another gateway is still the same request.
func (c Command) Canonical() []byte {
	c.EffectiveAt = micros(c.EffectiveAt)
	if c.Player != nil && c.Player.ExcludedUntil != nil {
		change, until := *c.Player, micros(*c.Player.ExcludedUntil)
		change.ExcludedUntil = &until
		c.Player = &change
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a command of strings and integers always marshals: %v", err))
	}
	return b
}

// micros cuts a time to what engines keep.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Hash returns SHA-256 of the canonical form.
func Hash(canonical []byte) [sha256.Size]byte { return sha256.Sum256(canonical) }

// Differs names the first field, in the order of Command, in which two requests differ, or "" where they are the same. The arguments
// are canonical forms.
func Differs(a, b []byte) string {
	var left, right map[string]json.RawMessage
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		return "request"
	}
	for _, field := range fields {
		if !bytes.Equal(left[field], right[field]) && normal(left[field]) != normal(right[field]) {
			return field
		}
	}
	return ""
}

var fields = []string{
	"kind", "ledger", "key", "account", "counter", "amount", "legs", "target", "keep_rest", "expires_in", "reason", "reference",
	"correlation", "metadata", "effective_at", "terms", "change", "status", "step", "player",
}

// normal makes two JSON texts comparable whatever the engine did to white space and the order of keys. Numbers keep all their digits: a
// float64 would not tell the longest times to live apart.
func normal(raw json.RawMessage) string {
	if raw == nil {
		return ""
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(raw)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// MarshalText writes debit or credit.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads debit or credit.
func (s *Side) UnmarshalText(b []byte) error {
	switch string(b) {
	case "debit":
		*s = Debit
	case "credit":
		*s = Credit
	default:
		return fmt.Errorf("side %q is neither debit nor credit", b)
	}
	return nil
}

// Priority orders waiting commands: settling money comes before moving it, and moving it before everything else.
type Priority uint8

// The priorities, most urgent first.
const (
	Settling Priority = iota
	Moving
	Other
	Priorities // how many there are
)

// Priority returns how urgent the kind is.
func (k Kind) Priority() Priority {
	switch k {
	case KindCommit, KindRollback, KindExpire, KindReverse:
		return Settling
	case KindDebit, KindCredit, KindTransfer, KindPost, KindHold, KindStep:
		return Moving
	default:
		return Other
	}
}

// Priority returns how urgent the command is: a step of a payment that is on its way settles money.
func (c Command) Priority() Priority {
	if c.Kind == KindStep && !c.Target.IsZero() {
		return Settling
	}
	return c.Kind.Priority()
}

// Reversible tells whether a posted transaction of this kind can be reversed. A step can not: its money comes back by a trigger of its
// lifecycle.
func (k Kind) Reversible() bool {
	switch k {
	case KindDebit, KindCredit, KindTransfer, KindPost, KindCommit:
		return true
	default:
		return false
	}
}

// CounterOf names the account that a ledger keeps for a reason: the other side of debits, credits and holds that name none.
// It is opened by the first command that needs it, debit-normal and without limits; a ledger that wants other terms opens it before.
func CounterOf(reason id.Reason, asset money.Code) id.Account {
	if reason == "" {
		reason = "general"
	}
	return id.Account("counter:" + string(reason) + ":" + string(asset))
}

// counter is the other side of a movement that is no post.
func (c Command) counter() id.Account {
	if c.Counter != "" {
		return c.Counter
	}
	return CounterOf(c.Reason, c.Amount.Asset)
}
