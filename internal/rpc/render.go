package rpc

import (
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// The tables between the words of the domain and those of the wire.
var (
	kinds = map[ledger.Kind]ledgerv1.Kind{
		ledger.KindDebit: ledgerv1.Kind_KIND_DEBIT, ledger.KindCredit: ledgerv1.Kind_KIND_CREDIT, ledger.KindTransfer: ledgerv1.Kind_KIND_TRANSFER,
		ledger.KindPost: ledgerv1.Kind_KIND_POST, ledger.KindHold: ledgerv1.Kind_KIND_HOLD, ledger.KindCommit: ledgerv1.Kind_KIND_COMMIT,
		ledger.KindRollback: ledgerv1.Kind_KIND_ROLLBACK, ledger.KindExpire: ledgerv1.Kind_KIND_EXPIRE, ledger.KindReverse: ledgerv1.Kind_KIND_REVERSE,
		ledger.KindOpen: ledgerv1.Kind_KIND_OPEN, ledger.KindUpdate: ledgerv1.Kind_KIND_UPDATE, ledger.KindFreeze: ledgerv1.Kind_KIND_FREEZE,
		ledger.KindClose: ledgerv1.Kind_KIND_CLOSE, ledger.KindStep: ledgerv1.Kind_KIND_STEP, ledger.KindPlayer: ledgerv1.Kind_KIND_PLAYER,
	}
	kindBack = inverse(kinds)
	statuses = map[ledger.Status]ledgerv1.AccountStatus{
		ledger.Open: ledgerv1.AccountStatus_ACCOUNT_STATUS_OPEN, ledger.DebitsFrozen: ledgerv1.AccountStatus_ACCOUNT_STATUS_DEBITS_FROZEN,
		ledger.CreditsFrozen: ledgerv1.AccountStatus_ACCOUNT_STATUS_CREDITS_FROZEN, ledger.Frozen: ledgerv1.AccountStatus_ACCOUNT_STATUS_FROZEN,
		ledger.Closed: ledgerv1.AccountStatus_ACCOUNT_STATUS_CLOSED,
	}
	statusBack   = inverse(statuses)
	holdStatuses = map[ledger.HoldStatus]ledgerv1.HoldStatus{
		ledger.Held: ledgerv1.HoldStatus_HOLD_STATUS_HELD, ledger.Committed: ledgerv1.HoldStatus_HOLD_STATUS_COMMITTED,
		ledger.RolledBack: ledgerv1.HoldStatus_HOLD_STATUS_ROLLED_BACK, ledger.Expired: ledgerv1.HoldStatus_HOLD_STATUS_EXPIRED,
	}
	holdStatusBack = inverse(holdStatuses)
	sides          = map[ledger.Side]ledgerv1.Side{ledger.Debit: ledgerv1.Side_SIDE_DEBIT, ledger.Credit: ledgerv1.Side_SIDE_CREDIT}
	sideBack       = inverse(sides)
)

func inverse[K, V comparable](m map[K]V) map[V]K {
	back := make(map[V]K, len(m))
	for k, v := range m {
		back[v] = k
	}
	return back
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func renderLedger(l ledger.Ledger) *ledgerv1.Ledger {
	out := &ledgerv1.Ledger{Id: string(l.ID), Home: string(l.Home), Metadata: l.Metadata, CreatedAt: stamp(l.CreatedAt)}
	for _, a := range l.Assets {
		out.Assets = append(out.Assets, a.String())
	}
	return out
}

func renderAccount(a ledger.Account) *ledgerv1.Account {
	return &ledgerv1.Account{
		Ledger: string(a.Ref.Ledger), AccountId: string(a.Ref.Account), Home: string(a.Home), Asset: a.Asset.String(), NormalSide: sides[a.Normal],
		MinAvailable: renderLimit(a.Floor), MaxBalance: renderLimit(a.Ceiling), Status: statuses[a.Status], Metadata: a.Metadata,
		Balance: renderBalance(a), OpenedAt: stamp(a.OpenedAt),
	}
}

func renderLimit(l ledger.Limit) string {
	if !l.Set {
		return none
	}
	return l.Amount.String()
}

func renderBalance(a ledger.Account) *ledgerv1.Balance {
	available := "" // beyond 38 digits there is no answer, and no such account can come to be
	if n, err := a.Available(); err == nil {
		available = n.String()
	}
	return &ledgerv1.Balance{
		Posted: a.Posted().String(), PendingIn: a.Incoming().String(), PendingOut: a.Outgoing().String(), Available: available,
		Sequence: a.Sequence, ChangedAt: stamp(a.ChangedAt), Totals: renderTotals(a.Balances),
	}
}

func renderTotals(b ledger.Balances) *ledgerv1.Totals {
	return &ledgerv1.Totals{
		PostedDebits: b.PostedDebits.String(), PostedCredits: b.PostedCredits.String(),
		PendingDebits: b.PendingDebits.String(), PendingCredits: b.PendingCredits.String(),
	}
}

func renderEntry(e ledger.Entry, entryID string) *ledgerv1.Entry {
	return &ledgerv1.Entry{
		EntryId: entryID, Ledger: string(e.Ref.Ledger), AccountId: string(e.Ref.Account), Sequence: e.Sequence, Side: sides[e.Side()],
		Amount: e.Amount.Abs().String(), CreditBalance: e.Balance.String(),
		PendingDebits: e.PendingDebits.String(), PendingCredits: e.PendingCredits.String(),
	}
}

func renderHold(h *ledger.Hold) *ledgerv1.Hold {
	if h == nil {
		return nil
	}
	return &ledgerv1.Hold{
		HoldId: h.ID.String(), FromAccountId: string(h.From), ToAccountId: string(h.To), Asset: h.Asset.String(), Amount: h.Amount.String(),
		Captured: h.Captured.String(), Remaining: h.Remaining().String(), Status: holdStatuses[h.Status], ExpiresAt: stamp(h.ExpiresAt),
	}
}

func renderOutcome(o ledger.Outcome) *ledgerv1.Transaction {
	out := &ledgerv1.Transaction{
		TransactionId: o.Transaction.String(), Ledger: string(o.Ledger), IdempotencyKey: string(o.Key), Kind: kinds[o.Kind],
		Status: ledgerv1.Status_STATUS_POSTED, Detail: o.Detail, Hold: renderHold(o.Hold), EffectiveAt: stamp(o.EffectiveAt),
		RecordedAt: stamp(o.RecordedAt), Replayed: o.Replayed, DryRun: o.DryRun, Position: PositionToken(o),
	}
	if o.Decided == ledger.Declined {
		out.Status, out.Reason = ledgerv1.Status_STATUS_DECLINED, reasonOf(o.Reason)
	}
	if o.Account != nil {
		out.Account = renderAccount(*o.Account)
	}
	out.Entries = make([]*ledgerv1.Entry, len(o.Entries))
	for i, e := range o.Entries {
		out.Entries[i] = renderEntry(e, o.EntryID(i))
	}
	return out
}

func renderRecord(r ledger.Record) *ledgerv1.RecordedTransaction {
	target := ""
	if !r.Target.IsZero() {
		target = r.Target.String()
	}
	return &ledgerv1.RecordedTransaction{
		Transaction: renderOutcome(r.Outcome), ReferenceId: r.Reference, CorrelationId: r.Correlation, TraceId: r.TraceID, TargetId: target,
		RequestJson: string(r.Request),
	}
}

func renderLine(a ledger.Account, l ledger.StatementLine) *ledgerv1.StatementLine {
	o := ledger.Outcome{Transaction: l.Transaction}
	balance := l.Balance
	if a.Normal == ledger.Debit {
		balance = balance.Neg()
	}
	return &ledgerv1.StatementLine{
		Entry: renderEntry(l.Entry, o.EntryID(l.Line)), TransactionId: l.Transaction.String(), OriginLedger: string(l.Origin), Kind: kinds[l.Kind],
		EffectiveAt: stamp(l.EffectiveAt), RecordedAt: stamp(l.RecordedAt), Balance: balance.String(), Line: int32(l.Line), //nolint:gosec // at most 1000
	}
}

func renderResult(r ledger.Result) *ledgerv1.CommandResult {
	if r.Err == nil {
		return &ledgerv1.CommandResult{Result: &ledgerv1.CommandResult_Transaction{Transaction: renderOutcome(r.Outcome)}}
	}
	e := errs.Of(r.Err)
	out := &ledgerv1.CommandError{Reason: reasonOf(e.Reason), Message: e.Message}
	if e.Code != errs.Internal { // what an internal error says stays in the log
		out.Detail = maps.Clone(e.Fields)
	}
	return &ledgerv1.CommandResult{Result: &ledgerv1.CommandResult_Error{Error: out}}
}

func renderTrial(lines []ledger.TrialLine) []*ledgerv1.TrialLine {
	out := make([]*ledgerv1.TrialLine, len(lines))
	for i, l := range lines {
		out[i] = &ledgerv1.TrialLine{Asset: l.Asset.String(), Accounts: l.Accounts, Totals: renderTotals(l.Balances)}
	}
	return out
}

func renderMoney(m *ledger.Money) *ledgerv1.Amount {
	if m == nil {
		return nil
	}
	return &ledgerv1.Amount{MinorUnits: m.Minor.String(), Currency: string(m.Asset)}
}
