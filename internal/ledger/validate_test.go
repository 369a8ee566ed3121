package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// sound is a command of each kind that Validate accepts.
var sound = map[ledger.Kind]ledger.Command{
	ledger.KindDebit:    move(ledger.KindDebit, "a", "", eur(5)),
	ledger.KindCredit:   move(ledger.KindCredit, "a", "b", eur(5)),
	ledger.KindTransfer: move(ledger.KindTransfer, "a", "b", eurOf(greatest)),
	ledger.KindPost:     post(leg(ledger.Debit, "a", eur(5)), leg(ledger.Credit, "a", eur(5))),
	ledger.KindHold:     move(ledger.KindHold, "a", "b", eur(5)),
	ledger.KindCommit:   aim(ledger.KindCommit, "h", nil),
	ledger.KindRollback: aim(ledger.KindRollback, "h", nil),
	ledger.KindExpire:   ledger.ExpireCommand(ledger.Hold{ID: id.TransactionOf(brand, "h"), Ledger: brand}),
	ledger.KindReverse:  aim(ledger.KindReverse, "t", nil),
	ledger.KindOpen:     open("a"),
	ledger.KindUpdate:   {Kind: ledger.KindUpdate, Account: "a", Change: &ledger.Change{Floor: &ledger.Limit{}}},
	ledger.KindFreeze:   freeze("a", ledger.Open),
	ledger.KindClose:    shut("a"),
}

func TestValidate_AcceptsEveryKind(t *testing.T) {
	for _, kind := range ledger.Kinds {
		c, found := sound[kind]
		if !found {
			t.Errorf("the table has no %s", kind)
			continue
		}
		c = with(c)[0]
		c.Reference, c.Correlation = strings.Repeat("é", ledger.MaxText/2), "order 7"
		c.Metadata = ledger.Metadata{strings.Repeat("k", 64): strings.Repeat("v", ledger.MaxText), "empty": ""}
		c.EffectiveAt = noon.Add(ledger.MaxEffectiveIn)
		if err := c.Validate(noon); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestValidate_NamesTheFieldThatNoStateOfTheBooksCouldAccept(t *testing.T) {
	type edit = func(*ledger.Command)
	full := ledger.Metadata{}
	for i := range ledger.MaxMetadata + 1 {
		full[fmt.Sprint(i)] = ""
	}
	for _, row := range []struct {
		kind  ledger.Kind
		edit  edit
		field string
	}{
		{ledger.KindDebit, func(c *ledger.Command) { c.Ledger = "" }, "ledger"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Key = "" }, "idempotency_key"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Key = ledger.ReservedKeys + "x" }, "idempotency_key"},
		{ledger.KindExpire, func(c *ledger.Command) { c.Key = "mine" }, "idempotency_key"},
		{ledger.KindExpire, func(c *ledger.Command) { c.Target = id.TransactionOf(brand, "another") }, "idempotency_key"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Kind = "" }, "command"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Kind = "steal" }, "command"},

		{ledger.KindDebit, func(c *ledger.Command) { c.Reference = "a\nb" }, "reference_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Reference = strings.Repeat("x", ledger.MaxText+1) }, "reference_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Correlation = "a\u0085b" }, "correlation_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Correlation = "a\xffb" }, "correlation_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Metadata = full }, "metadata"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"": "v"} }, "metadata"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Metadata = ledger.Metadata{strings.Repeat("k", 65): "v"} }, "metadata"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"k\x00": "v"} }, "metadata"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"k": "\x7f"} }, "metadata.k"},
		{ledger.KindDebit, func(c *ledger.Command) { c.EffectiveAt = noon.Add(ledger.MaxEffectiveIn + time.Nanosecond) }, "effective_at"},
		{ledger.KindDebit, func(c *ledger.Command) { c.EffectiveAt = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }, "effective_at"},
		{ledger.KindDebit, func(c *ledger.Command) { c.EffectiveAt = time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)) }, "effective_at"},
		{ledger.KindDebit, func(c *ledger.Command) { c.EffectiveAt = time.Date(-4713, 1, 1, 0, 0, 0, 0, time.UTC) }, "effective_at"},

		{ledger.KindDebit, func(c *ledger.Command) { c.Account = "" }, "account_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Amount = nil }, "amount"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Amount = eur(0) }, "amount.minor_units"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Amount = eur(-5) }, "amount.minor_units"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Amount.Asset = "" }, "amount.currency"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Counter = "a" }, "counter_account_id"},
		{ledger.KindDebit, func(c *ledger.Command) { c.Account = "counter:general:EUR" }, "counter_account_id"},
		{ledger.KindCredit, func(c *ledger.Command) { c.Counter = "a" }, "counter_account_id"},
		{ledger.KindCredit, func(c *ledger.Command) { c.Account, c.Counter, c.Reason = "counter:fee:EUR", "", "fee" }, "counter_account_id"},
		{ledger.KindTransfer, func(c *ledger.Command) { c.Account = "" }, "from_account_id"},
		{ledger.KindTransfer, func(c *ledger.Command) { c.Counter = "" }, "to_account_id"},
		{ledger.KindTransfer, func(c *ledger.Command) { c.Counter = "a" }, "to_account_id"},

		{ledger.KindHold, func(c *ledger.Command) { c.Account = "" }, "account_id"},
		{ledger.KindHold, func(c *ledger.Command) { c.Amount = nil }, "amount"},
		{ledger.KindHold, func(c *ledger.Command) { c.Counter = "a" }, "to_account_id"},
		{ledger.KindHold, func(c *ledger.Command) { c.Account, c.Counter = "counter:general:EUR", "" }, "to_account_id"},
		{ledger.KindHold, func(c *ledger.Command) { c.ExpiresIn = -1 }, "expires_in"},
		{ledger.KindHold, func(c *ledger.Command) { c.ExpiresIn = ledger.MaxHold + 1 }, "expires_in"},
		{ledger.KindCommit, func(c *ledger.Command) { c.Target = id.Transaction{} }, "hold_id"},
		{ledger.KindCommit, func(c *ledger.Command) { c.Amount = eur(0) }, "amount.minor_units"},
		{ledger.KindCommit, func(c *ledger.Command) { c.Amount = &ledger.Money{Minor: eur(5).Minor} }, "amount.currency"},
		{ledger.KindCommit, func(c *ledger.Command) { c.KeepRest = true }, "keep_rest"},
		{ledger.KindRollback, func(c *ledger.Command) { c.Target = id.Transaction{} }, "hold_id"},
		{ledger.KindReverse, func(c *ledger.Command) { c.Target = id.Transaction{} }, "transaction_id"},

		{ledger.KindPost, func(c *ledger.Command) { c.Legs = nil }, "entries"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs = c.Legs[:1] }, "entries"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs = make([]ledger.Leg, ledger.MaxLegs+1) }, "entries"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs[1].Side = 0 }, "entries[1].side"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs[1].Account = "" }, "entries[1].account_id"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs[1].Amount.Minor = eur(0).Minor }, "entries[1].amount.minor_units"},
		{ledger.KindPost, func(c *ledger.Command) { c.Legs[0].Amount.Asset = "" }, "entries[0].amount.currency"},

		{ledger.KindOpen, func(c *ledger.Command) { c.Account = "" }, "account_id"},
		{ledger.KindOpen, func(c *ledger.Command) { c.Terms = nil }, "asset"},
		{ledger.KindOpen, func(c *ledger.Command) { c.Terms = &ledger.Terms{Normal: ledger.Credit} }, "asset"},
		{ledger.KindOpen, func(c *ledger.Command) { c.Terms = &ledger.Terms{Asset: "EUR"} }, "asset"},
		{ledger.KindOpen, func(c *ledger.Command) { c.Terms.Metadata = full }, "metadata"},
		{ledger.KindUpdate, func(c *ledger.Command) { c.Account = "" }, "account_id"},
		{ledger.KindUpdate, func(c *ledger.Command) { c.Change = nil }, "limits"},
		{ledger.KindUpdate, func(c *ledger.Command) { c.Change = &ledger.Change{} }, "limits"},
		{ledger.KindUpdate, func(c *ledger.Command) { c.Change.Metadata = full }, "metadata"},
		{ledger.KindFreeze, func(c *ledger.Command) { c.Account = "" }, "account_id"},
		{ledger.KindFreeze, func(c *ledger.Command) { c.Status = ledger.Closed }, "status"},
		{ledger.KindFreeze, func(c *ledger.Command) { c.Status = "" }, "status"},
		{ledger.KindClose, func(c *ledger.Command) { c.Account = "" }, "account_id"},
	} {
		c := deepCopy(sound[row.kind])
		c.Ledger, c.Key = brand, with(c)[0].Key
		row.edit(&c)
		err := c.Validate(noon)
		var e *errs.Error
		if !errors.As(err, &e) || e.Reason != errs.ReasonInvalidArgument || e.Fields["field"] != row.field {
			t.Errorf("%s without %s: %v", row.kind, row.field, err)
		}
	}
}

// deepCopy keeps the edits of one row out of the next.
func deepCopy(c ledger.Command) ledger.Command {
	if c.Amount != nil {
		m := *c.Amount
		c.Amount = &m
	}
	if c.Terms != nil {
		terms := *c.Terms
		c.Terms = &terms
	}
	if c.Change != nil {
		change := *c.Change
		c.Change = &change
	}
	c.Legs = append([]ledger.Leg(nil), c.Legs...)
	c.Metadata = maps.Clone(c.Metadata)
	return c
}

func TestValidate_NamesWhatAStepAndAPlayerLack(t *testing.T) {
	step := func(edit func(*ledger.Command)) ledger.Command {
		c := ledger.Command{
			Kind: ledger.KindStep, Ledger: brand, Key: "k", Amount: &ledger.Money{Minor: eur(5).Minor, Asset: "EUR"},
			Step: &ledger.Step{Payment: "deposit", Trigger: "authorize", Player: "p"},
		}
		edit(&c)
		return c
	}
	later := func(c *ledger.Command) { c.Target, c.Step.Player = id.TransactionOf(brand, "p"), "" }
	player := func(change ledger.PlayerChange) ledger.Command {
		return ledger.Command{Kind: ledger.KindPlayer, Ledger: brand, Key: "k", Player: &change}
	}
	for _, row := range []struct {
		command ledger.Command
		field   string // empty: it is sound
	}{
		{step(func(*ledger.Command) {}), ""},
		{step(later), ""},
		{step(func(c *ledger.Command) { later(c); c.Amount = nil }), ""},
		{step(func(c *ledger.Command) { c.Step = nil }), "payment"},
		{step(func(c *ledger.Command) { c.Step.Payment = "Deposit" }), "payment"},
		{step(func(c *ledger.Command) { c.Step.Trigger = "" }), "trigger"},
		{step(func(c *ledger.Command) { c.Step.Trigger = "a b" }), "trigger"},
		{step(func(c *ledger.Command) { c.Amount = nil }), "amount"},
		{step(func(c *ledger.Command) { c.Step.Evidence = strings.Repeat("x", ledger.MaxText+1) }), "evidence"},
		{step(func(c *ledger.Command) { c.Step.Actor = "a\nb" }), "actor"},
		{step(func(c *ledger.Command) { later(c); c.Step.Player = "q" }), "payment_id"},
		{step(func(c *ledger.Command) { later(c); c.Account = "a" }), "payment_id"},
		{step(func(c *ledger.Command) { later(c); c.Amount.Asset = "" }), "amount.currency"},
		{player(ledger.PlayerChange{Player: "p", KYC: ledger.KYCVerified}), ""},
		{player(ledger.PlayerChange{Player: "p", Limits: []ledger.PlayerLimit{}}), ""},
		{player(ledger.PlayerChange{KYC: ledger.KYCVerified}), "player"},
		{player(ledger.PlayerChange{Player: "p"}), "player"},
		{player(ledger.PlayerChange{Player: "p", KYC: "sure"}), "kyc"},
		{player(ledger.PlayerChange{Player: "p", AML: "odd"}), "aml"},
		{player(ledger.PlayerChange{Player: "p", Status: "gone"}), "status"},
		{player(ledger.PlayerChange{Player: "p", Limits: []ledger.PlayerLimit{{Measure: "fun", Period: ledger.Day, Asset: "EUR"}}}), "limits"},
		{ledger.Command{Kind: ledger.KindPlayer, Ledger: brand, Key: "k"}, "player"},
	} {
		err := row.command.Validate(noon)
		if row.field == "" && err != nil || row.field != "" && (err == nil || errs.Of(err).Fields["field"] != row.field) {
			t.Errorf("%s: %v, wanted %q", row.command.Canonical(), err, row.field)
		}
	}
}
