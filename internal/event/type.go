package event

import (
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
	Test                  Type = "meridian.test" // made for a test of a sink
)

// Types lists all types.
var Types = []Type{
	WalletDebitCommitted, WalletCreditCommitted, TransactionPosted, TransactionReversed, TransactionDeclined,
	HoldCreated, HoldCommitted, HoldRolledBack, HoldExpired,
	AccountOpened, AccountUpdated, AccountFrozen, AccountUnfrozen, AccountClosed, Test,
}

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
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
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
}

func typeOf(o ledger.Outcome) Type {
	switch {
	case o.Decided == ledger.Declined:
		return TransactionDeclined
	case o.Kind == ledger.KindFreeze && o.Account != nil && o.Account.Status == ledger.Open:
		return AccountUnfrozen
	default:
		return posted[o.Kind]
	}
}
