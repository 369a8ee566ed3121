package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Kind is what a command asks for.
type Kind string

// The kinds of commands. Those on accounts go through the same journal as those on money, so that one stream tells the whole story.
const (
	KindDebit    Kind = "debit"    // takes from Account, gives to Counter
	KindCredit   Kind = "credit"   // gives to Account, takes from Counter
	KindTransfer Kind = "transfer" // takes from Account, gives to Counter
	KindPost     Kind = "post"     // Legs
	KindHold     Kind = "hold"     // sets money of Account aside for Counter
	KindCommit   Kind = "commit"   // moves money that Target holds
	KindRollback Kind = "rollback" // releases what Target holds
	KindExpire   Kind = "expire"   // releases what Target holds, because its time is over; issued by the service alone
	KindReverse  Kind = "reverse"  // undoes Target, whole and once

	KindOpen   Kind = "open"   // opens Account with Terms
	KindUpdate Kind = "update" // replaces limits and metadata of Account
	KindFreeze Kind = "freeze" // sets the Status of Account: open, debits_frozen, credits_frozen, frozen
	KindClose  Kind = "close"  // closes Account, at zero and without holds
)

// Kinds lists all kinds.
var Kinds = []Kind{
	KindDebit, KindCredit, KindTransfer, KindPost, KindHold, KindCommit, KindRollback, KindExpire, KindReverse,
	KindOpen, KindUpdate, KindFreeze, KindClose,
}

// ReservedKeys is how the keys of commands begin that the service itself issues.
const ReservedKeys = "meridian/"

// ExpireCommand releases a hold whose time is over. Every node that notices issues the same command, and the first one wins.
func ExpireCommand(h Hold) Command {
	return Command{Kind: KindExpire, Ledger: h.Ledger, Key: id.Key(ReservedKeys + "expire/" + h.ID.String()), Target: h.ID}
}

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

// Terms are what an account is opened with, and what an update replaces (limits and metadata alone).
type Terms struct {
	Asset    money.Code `json:"asset,omitempty"`
	Normal   Side       `json:"normal,omitempty"`
	Floor    Limit      `json:"floor,omitzero"`
	Ceiling  Limit      `json:"ceiling,omitzero"`
	Metadata Metadata   `json:"metadata,omitempty"`
}

// Command is what a client asks for. Its JSON form, in the order of the fields below, is its identity: two requests under one key are
// the same when that form is the same. TraceID is not part of it.
type Command struct {
	Kind        Kind           `json:"kind"`
	Ledger      id.Ledger      `json:"ledger"`
	Key         id.Key         `json:"key"`
	Account     id.Account     `json:"account,omitempty"`
	Counter     id.Account     `json:"counter,omitempty"` // empty: the ledger's default account for Reason
	Amount      *Money         `json:"amount,omitempty"`  // commit: nil commits all that remains
	Legs        []Leg          `json:"legs,omitempty"`
	Target      id.Transaction `json:"target,omitzero"` // hold to commit or roll back, transaction to reverse
	KeepRest    bool           `json:"keep_rest,omitempty"`
	ExpiresIn   time.Duration  `json:"expires_in,omitempty"`
	Reason      id.Reason      `json:"reason,omitempty"`
	Reference   string         `json:"reference,omitempty"`
	Correlation string         `json:"correlation,omitempty"`
	Metadata    Metadata       `json:"metadata,omitempty"`
	EffectiveAt time.Time      `json:"effective_at,omitzero"`
	Terms       *Terms         `json:"terms,omitempty"`
	Status      Status         `json:"status,omitempty"`

	TraceID string `json:"-"`
}

// ID returns the id of the transaction that this command makes.
func (c Command) ID() id.Transaction { return id.TransactionOf(c.Ledger, c.Key) }

// Canonical returns the JSON form that is stored as the request.
func (c Command) Canonical() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a command of strings and integers always marshals: %v", err))
	}
	return b
}

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
		if normal(left[field]) != normal(right[field]) {
			return field
		}
	}
	return ""
}

var fields = []string{
	"kind", "ledger", "key", "account", "counter", "amount", "legs", "target", "keep_rest", "expires_in", "reason", "reference",
	"correlation", "metadata", "effective_at", "terms", "status",
}

// normal makes two JSON texts comparable whatever the engine did to white space and the order of keys.
func normal(raw json.RawMessage) string {
	if raw == nil {
		return ""
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
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
	case KindDebit, KindCredit, KindTransfer, KindPost, KindHold:
		return Moving
	}
	return Other
}

// Reversible tells whether a posted transaction of this kind can be reversed.
func (k Kind) Reversible() bool {
	switch k {
	case KindDebit, KindCredit, KindTransfer, KindPost, KindCommit:
		return true
	}
	return false
}

// CounterOf names the account that a ledger keeps for a reason: the other side of debits, credits and holds that name none.
// It is opened by the first command that needs it, without limits.
func CounterOf(reason id.Reason, asset money.Code) id.Account {
	if reason == "" {
		reason = "general"
	}
	return id.Account("counter:" + string(reason) + ":" + string(asset))
}

// Validate refuses what no state of the books could accept. The typed fields are valid already; this looks at how they go together.
func (c Command) Validate(now time.Time) error {
	if c.Ledger == "" {
		return errs.Invalid("ledger", "name the ledger, or start the server with a default ledger")
	}
	if c.Key == "" {
		return errs.Invalid("idempotency_key", "give an idempotency key, in the field or in the Idempotency-Key header")
	}
	if strings.HasPrefix(string(c.Key), ReservedKeys) && c.Kind != KindExpire {
		return errs.Invalid("idempotency_key", "keys that start with "+ReservedKeys+" belong to the service")
	}
	texts := firstError(ValidateText("reference", c.Reference), ValidateText("correlation_id", c.Correlation), c.Metadata.Validate("metadata"))
	if texts != nil {
		return texts
	}
	if c.EffectiveAt.After(now.Add(MaxEffectiveIn)) {
		return errs.Invalid("effective_at", "the effective time lies in the future")
	}
	return c.validateKind()
}

func (c Command) validateKind() error {
	switch c.Kind {
	case KindDebit, KindCredit:
		return firstError(needsAccount(c.Account, "account_id"), c.needsAmount(), c.distinct("account_id", "counter_account_id"))
	case KindTransfer:
		return firstError(needsAccount(c.Account, "from_account_id"), needsAccount(c.Counter, "to_account_id"), c.needsAmount(),
			c.distinct("from_account_id", "to_account_id"))
	case KindHold:
		if c.ExpiresIn < 0 || c.ExpiresIn > MaxHold {
			return errs.Invalid("expires_in", "a hold lasts more than nothing and at most 365 days")
		}
		return firstError(needsAccount(c.Account, "account_id"), c.needsAmount(), c.distinct("account_id", "to_account_id"))
	case KindPost:
		return c.validateLegs()
	case KindCommit:
		if c.Amount != nil && c.Amount.Minor.Sign() <= 0 {
			return errs.Invalid("amount.minor_units", "an amount is greater than zero; leave it out to commit all that remains")
		}
		if c.KeepRest && c.Amount == nil {
			return errs.Invalid("keep_rest", "committing all that remains leaves no rest")
		}
		return c.needsTarget("hold_id")
	case KindRollback, KindExpire:
		return c.needsTarget("hold_id")
	case KindReverse:
		return c.needsTarget("transaction_id")
	case KindOpen:
		if c.Terms == nil || c.Terms.Asset == "" || c.Terms.Normal == 0 {
			return errs.Invalid("asset", "an account has an asset and a normal side")
		}
		return firstError(needsAccount(c.Account, "account_id"), c.Terms.Metadata.Validate("metadata"))
	case KindUpdate:
		if c.Terms == nil {
			return errs.Invalid("limits", "say what to replace")
		}
		return firstError(needsAccount(c.Account, "account_id"), c.Terms.Metadata.Validate("metadata"))
	case KindFreeze:
		if !slices.Contains([]Status{Open, DebitsFrozen, CreditsFrozen, Frozen}, c.Status) {
			return errs.Invalid("status", "freeze debits, credits, both, or none")
		}
		return needsAccount(c.Account, "account_id")
	case KindClose:
		return needsAccount(c.Account, "account_id")
	}
	return errs.Invalid("command", "say what to do: debit, credit, transfer, post, hold, commit, rollback or reverse")
}

func (c Command) validateLegs() error {
	if len(c.Legs) < 2 || len(c.Legs) > MaxLegs {
		return errs.Invalid("entries", fmt.Sprintf("a post has 2 to %d entries", MaxLegs))
	}
	for i, leg := range c.Legs {
		at := fmt.Sprintf("entries[%d].", i)
		if leg.Side == 0 {
			return errs.Invalid(at+"side", "an entry is a debit or a credit")
		}
		if err := firstError(needsAccount(leg.Account, at+"account_id"), needsMoney(leg.Amount, at+"amount")); err != nil {
			return err
		}
	}
	return nil
}

func needsAccount(a id.Account, field string) error {
	if a == "" {
		return errs.Invalid(field, "name the account")
	}
	return nil
}

func (c Command) needsTarget(field string) error {
	if c.Target.IsZero() {
		return errs.Invalid(field, "name what to act on")
	}
	return nil
}

func (c Command) needsAmount() error {
	if c.Amount == nil {
		return errs.Invalid("amount", "give an amount")
	}
	return needsMoney(*c.Amount, "amount")
}

func (c Command) distinct(a, b string) error {
	if c.Account == c.Counter {
		return errs.Invalid(b, "must differ from "+a)
	}
	return nil
}

func needsMoney(m Money, field string) error {
	if m.Minor.Sign() <= 0 {
		return errs.Invalid(field+".minor_units", "an amount is greater than zero")
	}
	if m.Asset == "" {
		return errs.Invalid(field+".currency", "name the asset of the amount")
	}
	return nil
}

// Validate bounds metadata: 64 texts, keys of 1 to 64 and values of 0 to 255 printable characters.
func (m Metadata) Validate(field string) error {
	if len(m) > MaxMetadata {
		return errs.Invalid(field, fmt.Sprintf("at most %d entries", MaxMetadata))
	}
	for k, v := range m {
		if k == "" || len(k) > 64 || strings.ContainsFunc(k, control) {
			return errs.Invalid(field, "a key is 1 to 64 printable characters")
		}
		if err := ValidateText(field+"."+k, v); err != nil {
			return err
		}
	}
	return nil
}

// ValidateText refuses control characters and more than 255 bytes.
func ValidateText(field, text string) error {
	if len(text) > MaxText || strings.ContainsFunc(text, control) {
		return errs.Invalid(field, fmt.Sprintf("at most %d printable characters", MaxText))
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
