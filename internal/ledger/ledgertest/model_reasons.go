package ledgertest

import (
	"math/big"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

type facts = map[string]string

// declines tells whether the books would refuse the attempt for that reason, all reasons before it ruled out, and returns the facts that
// go with it, or nil.
func (a attempt) declines(reason errs.Reason) facts {
	switch reason {
	case errs.ReasonTransactionNotFound, errs.ReasonNotReversible, errs.ReasonAlreadyReversed:
		if a.Kind == ledger.KindReverse {
			return a.irreversible(reason)
		}
	case errs.ReasonHoldNotFound, errs.ReasonHoldExhausted, errs.ReasonHoldExpired, errs.ReasonHoldExceeded:
		if a.Kind == ledger.KindCommit || a.Kind == ledger.KindRollback || a.Kind == ledger.KindExpire {
			return a.unsettleable(reason)
		}
	case errs.ReasonUnbalanced:
		if a.Kind == ledger.KindPost {
			return a.unbalanced()
		}
	case errs.ReasonHoldsOpen, errs.ReasonBalanceNotZero:
		if a.Kind == ledger.KindClose {
			return a.notEmpty(reason)
		}
	case errs.ReasonAccountClosed:
		return a.closed()
	case errs.ReasonInsufficientFunds, errs.ReasonCeilingExceeded:
		switch a.Kind {
		case ledger.KindOpen, ledger.KindUpdate, ledger.KindFreeze, ledger.KindClose: // move nothing, so no limit stops them
		default:
			return a.eachLine(reason)
		}
	case errs.ReasonBatchDeclined: // a matter of the batch
	default:
		return a.eachLine(reason)
	}
	return nil
}

func (a attempt) irreversible(reason errs.Reason) facts {
	target, found := a.model.books.journal[a.Target]
	here := found && target.Outcome.Ledger == a.Ledger
	switch {
	case reason == errs.ReasonTransactionNotFound && !here:
		return facts{"transaction_id": a.Target.String()}
	case reason == errs.ReasonNotReversible && (target.Outcome.Decided != ledger.Posted || !moves(target.Outcome.Kind)):
		return facts{"kind": string(target.Outcome.Kind), "outcome": string(target.Outcome.Decided)}
	case reason == errs.ReasonAlreadyReversed:
		for by, r := range a.model.books.journal {
			if r.Reverses == a.Target {
				return facts{"reversed_by": by.String()}
			}
		}
	}
	return nil
}

// moves tells whether a kind posts money, and is no reversal itself.
func moves(k ledger.Kind) bool {
	return k == ledger.KindDebit || k == ledger.KindCredit || k == ledger.KindTransfer || k == ledger.KindPost || k == ledger.KindCommit
}

func (a attempt) unsettleable(reason errs.Reason) facts {
	h, found := a.model.books.holds[a.Target]
	here := found && h.Ledger == a.Ledger
	late := h.Status == ledger.Expired || a.Kind == ledger.KindCommit && !a.now.Before(h.ExpiresAt)
	switch {
	case reason == errs.ReasonHoldNotFound && !here:
		return facts{"hold_id": a.Target.String()}
	case reason == errs.ReasonHoldExhausted && (h.Status == ledger.Committed || h.Status == ledger.RolledBack):
		return facts{"status": string(h.Status), "captured": h.Captured.String()}
	case reason == errs.ReasonHoldExpired && late:
		return facts{"expired_at": h.ExpiresAt.UTC().Format(time.RFC3339Nano)}
	case reason == errs.ReasonHoldExceeded:
		rest := minus(number(h.Amount), number(h.Captured))
		if takes, _ := a.settlement(h); takes.Cmp(rest) > 0 {
			return facts{"remaining": rest.String(), "required": takes.String()}
		}
	}
	return nil
}

// unbalanced adds up credits less debits per ledger and asset, and names the first line whose sum is not zero.
func (a attempt) unbalanced() facts {
	type book struct {
		ledger id.Ledger
		asset  money.Code
	}
	sums := map[book]*big.Int{}
	for _, w := range a.wants() {
		at := book{w.ref.Ledger, w.asset}
		if sums[at] == nil {
			sums[at] = new(big.Int)
		}
		sums[at] = plus(sums[at], minus(w.credit, w.debit))
	}
	for _, w := range a.wants() {
		if sum := sums[book{w.ref.Ledger, w.asset}]; sum.Sign() != 0 {
			return facts{"ledger": string(w.ref.Ledger), "asset": string(w.asset), "difference": sum.String()}
		}
	}
	return nil
}

func (a attempt) notEmpty(reason errs.Reason) facts {
	there := a.model.books.accounts[a.ref(a.Account)]
	sum := there.totals()
	in, out := sum.incoming(there.normal), sum.outgoing(there.normal)
	switch {
	case reason == errs.ReasonHoldsOpen && (in.Sign() != 0 || out.Sign() != 0):
		return about(there.ref, "incoming", in.String(), "outgoing", out.String())
	case reason == errs.ReasonBalanceNotZero && sum.posted(there.normal).Sign() != 0:
		return about(there.ref, "posted", sum.posted(there.normal).String())
	}
	return nil
}

// closed: no line may stand on a closed account.
func (a attempt) closed() facts {
	for _, w := range a.wants() {
		if a.model.books.accounts[w.ref].status == ledger.Closed {
			return about(w.ref)
		}
	}
	return nil
}

// eachLine finds the first line for which a reason holds.
func (a attempt) eachLine(reason errs.Reason) facts {
	for _, w := range a.wants() {
		if f := a.lineDeclines(reason, w); f != nil {
			return f
		}
	}
	return nil
}

func (a attempt) lineDeclines(reason errs.Reason, w want) facts {
	there, found := a.model.books.accounts[w.ref]
	if !found {
		there = a.opened(w)
	}
	was := there.totals()
	is := was
	for _, other := range a.wants() { // the net effect of the whole transaction
		if other.ref == w.ref {
			is = is.plus(other.effect)
		}
	}
	_, known := a.model.ledgers[w.ref.Ledger].Asset(w.asset)
	switch {
	case reason == errs.ReasonAccountNotFound && !found && !w.mayOpen:
		return about(w.ref)
	case reason == errs.ReasonAccountExists && a.Kind == ledger.KindOpen && found:
		return about(w.ref)
	case reason == errs.ReasonAssetUnknown && !found && !known:
		return facts{"asset": string(w.asset)}
	case reason == errs.ReasonAssetMismatch && found && there.asset.Code != w.asset:
		return about(w.ref, "account_asset", string(there.asset.Code), "asset", string(w.asset))
	case reason == errs.ReasonAccountFrozen && frozen(there.status, w.side):
		return about(w.ref, "status", string(there.status))
	case reason == errs.ReasonBalanceOverflow && !is.fits(there.normal):
		return about(w.ref)
	case reason == errs.ReasonInsufficientFunds && there.floor.Set:
		least, old, now := number(there.floor.Amount), was.available(there.normal), is.available(there.normal)
		if now.Cmp(least) < 0 && now.Cmp(old) < 0 {
			return about(w.ref, "available", old.String(), "required", minus(old, now).String(), "min_available", least.String())
		}
	case reason == errs.ReasonCeilingExceeded && there.ceiling.Set:
		most, old, now := number(there.ceiling.Amount), was.occupied(there.normal), is.occupied(there.normal)
		if now.Cmp(most) > 0 && now.Cmp(old) > 0 {
			return about(w.ref, "balance", old.String(), "after", now.String(), "max_balance", most.String())
		}
	}
	return nil
}

func frozen(s ledger.Status, side ledger.Side) bool {
	return side != 0 && s == ledger.Frozen || side == ledger.Debit && s == ledger.DebitsFrozen ||
		side == ledger.Credit && s == ledger.CreditsFrozen
}

// about are the facts of a decline that is about one account.
func about(ref ledger.Ref, more ...string) facts {
	f := facts{"ledger": string(ref.Ledger), "account_id": string(ref.Account)}
	for i := 0; i+1 < len(more); i += 2 {
		f[more[i]] = more[i+1]
	}
	return f
}
