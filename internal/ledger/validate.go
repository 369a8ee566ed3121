package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Validate refuses what no state of the books could accept. The typed fields are valid already; this looks at how they go together.
func (c Command) Validate(now time.Time) error {
	if c.Ledger == "" {
		return errs.Invalid("ledger", "name the ledger, or start the server with a default ledger")
	}
	if c.Key == "" {
		return errs.Invalid("idempotency_key", "give an idempotency key, in the field or in the Idempotency-Key header")
	}
	if c.Kind == KindExpire && c.Key != expiryOf(c.Target) {
		return errs.Invalid("idempotency_key", "the expiry of a hold has one key, so that it happens once")
	}
	if strings.HasPrefix(string(c.Key), ReservedKeys) && c.Kind != KindExpire {
		return errs.Invalid("idempotency_key", "keys that start with "+ReservedKeys+" belong to the service")
	}
	texts := firstError(ValidateText("reference_id", c.Reference), ValidateText("correlation_id", c.Correlation), c.Metadata.Validate("metadata"))
	if texts != nil {
		return texts
	}
	if c.EffectiveAt.After(now.Add(MaxEffectiveIn)) {
		return errs.Invalid("effective_at", "the effective time lies in the future")
	}
	if c.EffectiveAt.UTC().Year() < 1 {
		return errs.Invalid("effective_at", "the effective time lies before the year 1")
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
		if c.Amount == nil && c.KeepRest {
			return errs.Invalid("keep_rest", "committing all that remains leaves no rest")
		}
		if c.Amount == nil { // all that remains
			return c.needsTarget("hold_id")
		}
		return firstError(c.needsTarget("hold_id"), needsMoney(*c.Amount, "amount"))
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
		if c.Change == nil || c.Change.IsZero() {
			return errs.Invalid("limits", "say what to change: min_available, max_balance or metadata")
		}
		return firstError(needsAccount(c.Account, "account_id"), c.Change.Metadata.Validate("metadata"))
	case KindFreeze:
		if !slices.Contains([]Status{Open, DebitsFrozen, CreditsFrozen, Frozen}, c.Status) {
			return errs.Invalid("status", "freeze debits, credits, both, or none")
		}
		return needsAccount(c.Account, "account_id")
	case KindClose:
		return needsAccount(c.Account, "account_id")
	case KindStep:
		return c.validateStep()
	case KindPlayer:
		if c.Player == nil {
			return errs.Invalid("player", "name the player and say what to change")
		}
		return c.Player.validate()
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

// validateStep knows no lifecycle: whether the payment lets the trigger through is a matter of its table.
func (c Command) validateStep() error {
	s := c.Step
	if s == nil || !word(string(s.Payment)) {
		return errs.Invalid("payment", "name the kind of the payment: deposit, withdrawal, bet …")
	}
	if !word(string(s.Trigger)) {
		return errs.Invalid("trigger", "name what happens to the payment: authorize, capture, settle …")
	}
	texts := firstError(ValidateText("provider", s.Provider), ValidateText("provider_reference", s.ProviderReference),
		ValidateText("evidence", s.Evidence), ValidateText("actor", s.Actor))
	if texts != nil {
		return texts
	}
	if c.Target.IsZero() {
		return c.needsAmount()
	}
	if c.Account != "" || c.Counter != "" || s.Player != "" || !s.Parent.IsZero() {
		return errs.Invalid("payment_id", "account, counter account, player and parent are those that the payment was made with")
	}
	if c.Amount != nil {
		return needsMoney(*c.Amount, "amount")
	}
	return nil
}

// word tells whether a name is 1 to 32 of a-z and _.
func word(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' })
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

// distinct refuses a movement from an account to itself, named or by default.
func (c Command) distinct(a, b string) error {
	if c.Account == c.Counter || c.Amount != nil && c.Account == c.counter() {
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

// control also catches what is no UTF-8, which a range over a string shows as U+FFFD.
func control(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
