package event

import (
	"maps"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Type is what happened, as consumers subscribe to it.
type Type string

// The types. Every declined command is one type, whatever its kind: the data names the kind, and the reason.
const (
	WalletDebitCommitted  Type = "wallet.debit.committed"
	WalletCreditCommitted Type = "wallet.credit.committed"
	TransactionPosted     Type = "transaction.posted" // a transfer or a post
	TransactionReversed   Type = "transaction.reversed"
	TransactionDeclined   Type = "transaction.declined"
	HoldCreated           Type = "hold.created"
	HoldCommitted         Type = "hold.committed" // wholly or in part
	HoldRolledBack        Type = "hold.rolled_back"
	HoldExpired           Type = "hold.expired"
	AccountOpened         Type = "account.opened"
	AccountUpdated        Type = "account.updated"
	AccountFrozen         Type = "account.frozen" // on one side or both
	AccountUnfrozen       Type = "account.unfrozen"
	AccountClosed         Type = "account.closed"
	TransitionRefused     Type = "payment.transition.refused"
	GateClosed            Type = "payment.gate.closed" // a step was refused by a gate; one that waits for a decision is under_review
	PlayerUpdated         Type = "player.updated"
	Test                  Type = "meridian.test" // made for a test of a sink
)

// Payments lists the kinds of payments and their states: each pair is a type, payment.<kind>.<state>. They are those of the tables in package
// payment, as a test proves.
var Payments = []struct {
	Kind   ledger.PaymentKind
	States []ledger.PaymentState
}{
	{"deposit", []ledger.PaymentState{"authorized", "under_review", "captured", "partially_captured", "voided", "expired", "settled", "returned"}},
	{"withdrawal", []ledger.PaymentState{"under_review", "requested", "rejected", "cancelled", "approved", "submitted", "settled", "failed", "compensated"}},
	{"bet", []ledger.PaymentState{"accepted", "won", "lost", "pushed", "voided", "settled"}},
	{"refund", []ledger.PaymentState{"under_review", "requested", "rejected", "approved", "submitted", "settled", "failed", "compensated"}},
	{"bonus", []ledger.PaymentState{"granted", "wagering", "cleared", "converted", "forfeited", "expired"}},
	{"commission", []ledger.PaymentState{"charged", "waived", "settled"}},
	{"affiliate_commission", []ledger.PaymentState{"accrued", "approved", "paid", "cancelled"}},
	{"chargeback", []ledger.PaymentState{"opened", "represented", "lost", "won"}},
	{"adjustment", []ledger.PaymentState{"credit_proposed", "debit_proposed", "applied", "rejected"}},
}

// payments is the name of the form that all types of Payments share.
const payments = "payment"

// PaymentType is the type of a payment that came to a state.
func PaymentType(k ledger.PaymentKind, s ledger.PaymentState) Type {
	return Type(payments + "." + string(k) + "." + string(s))
}

// form names the form of the data of a type: itself, or the one that it shares with others.
func (t Type) form() string {
	if ofPayment[t] {
		return payments
	}
	return string(t)
}

var ofPayment = func() map[Type]bool {
	all := map[Type]bool{}
	for _, p := range Payments {
		for _, s := range p.States {
			all[PaymentType(p.Kind, s)] = true
		}
	}
	return all
}()

// Types lists all types.
var Types = append([]Type{
	WalletDebitCommitted, WalletCreditCommitted, TransactionPosted, TransactionReversed, TransactionDeclined,
	HoldCreated, HoldCommitted, HoldRolledBack, HoldExpired,
	AccountOpened, AccountUpdated, AccountFrozen, AccountUnfrozen, AccountClosed,
	TransitionRefused, GateClosed, PlayerUpdated, Test,
}, slices.Sorted(maps.Keys(ofPayment))...)

// ParseType reads what a filter names: a type, or a prefix of types that ends in a dot and a star, as in wallet.*
func ParseType(s string) (Type, error) {
	if slices.ContainsFunc(Types, Type(s).takes) {
		return Type(s), nil
	}
	if len(s) > 48 {
		s = strings.ToValidUTF8(s[:48], "") + "…"
	}
	return "", errs.Invalid("types", "there is no event type "+quote(s)+": name one of "+typeNames+", or a prefix such as wallet.*")
}

var typeNames = func() string {
	var names []string
	for _, t := range Types {
		if !ofPayment[t] {
			names = append(names, string(t))
		}
	}
	return strings.Join(append(names, "payment.<kind>.<state>"), ", ")
}()

// takes tells whether a type, or a prefix that ends in a dot and a star, takes the other.
func (t Type) takes(other Type) bool {
	if prefix, wild := strings.CutSuffix(string(t), ".*"); wild {
		return len(prefix) < len(other) && strings.HasPrefix(string(other), prefix) && other[len(prefix)] == '.'
	}
	return t == other
}

// posted is the type of a command that was posted. A freeze is told from its end by the status that it left the account with.
var posted = map[ledger.Kind]Type{
	ledger.KindDebit: WalletDebitCommitted, ledger.KindCredit: WalletCreditCommitted,
	ledger.KindTransfer: TransactionPosted, ledger.KindPost: TransactionPosted, ledger.KindReverse: TransactionReversed,
	ledger.KindHold: HoldCreated, ledger.KindCommit: HoldCommitted, ledger.KindRollback: HoldRolledBack, ledger.KindExpire: HoldExpired,
	ledger.KindOpen: AccountOpened, ledger.KindUpdate: AccountUpdated, ledger.KindFreeze: AccountFrozen, ledger.KindClose: AccountClosed,
	ledger.KindPlayer: PlayerUpdated,
}

func typeOf(o ledger.Outcome) Type {
	switch {
	case o.Kind == ledger.KindStep && o.Decided == ledger.Declined && o.Reason == errs.ReasonGateClosed:
		return GateClosed
	case o.Kind == ledger.KindStep && o.Decided == ledger.Declined:
		return TransitionRefused
	case o.Kind == ledger.KindStep && o.Step != nil:
		return PaymentType(o.Step.Kind, o.Step.To)
	case o.Decided == ledger.Declined:
		return TransactionDeclined
	case o.Kind == ledger.KindFreeze && o.Account != nil && o.Account.Status == ledger.Open:
		return AccountUnfrozen
	default:
		return posted[o.Kind]
	}
}
