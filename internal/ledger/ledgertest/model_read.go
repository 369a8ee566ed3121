package ledgertest

import (
	"cmp"
	"context"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Ledger implements ledger.Service.
func (m *Model) Ledger(ctx context.Context, key id.Ledger) (ledger.Ledger, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return ledger.Ledger{}, err
	}
	defer leave()
	l, found := m.ledgers[key]
	if !found {
		return ledger.Ledger{}, errs.ErrLedgerNotFound.With("ledger", key)
	}
	return l, nil
}

// Ledgers implements ledger.Service.
func (m *Model) Ledgers(ctx context.Context, after id.Ledger, limit int) ([]ledger.Ledger, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var page []ledger.Ledger
	for _, name := range slices.Sorted(maps.Keys(m.ledgers)) {
		if name > after && len(page) < limit {
			page = append(page, m.ledgers[name])
		}
	}
	return page, nil
}

// find enters the model and looks for an account; the caller leaves where there is no error.
func (m *Model) find(ctx context.Context, ref ledger.Ref) (account, func(), error) {
	leave, err := m.enterLedger(ctx, ref.Ledger)
	if err != nil {
		return account{}, nil, err
	}
	a, found := m.books.accounts[ref]
	if !found {
		leave()
		return account{}, nil, errs.ErrAccountNotFound.With("ledger", ref.Ledger).With("account_id", ref.Account)
	}
	return a, leave, nil
}

func (m *Model) enterLedger(ctx context.Context, key id.Ledger) (func(), error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	if _, found := m.ledgers[key]; !found {
		leave()
		return nil, errs.ErrLedgerNotFound.With("ledger", key)
	}
	return leave, nil
}

// Account implements ledger.Service.
func (m *Model) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	a, leave, err := m.find(ctx, ref)
	if err != nil {
		return ledger.Account{}, err
	}
	defer leave()
	if asOf.IsZero() {
		return a.view(len(a.lines)), nil
	}
	return a.view(a.recordedBy(asOf)), nil
}

// Accounts implements ledger.Service.
func (m *Model) Accounts(ctx context.Context, key id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	leave, err := m.enterLedger(ctx, key)
	if err != nil {
		return nil, err
	}
	defer leave()
	var page []ledger.Account
	for _, a := range m.accountsOf(key) {
		if a.ref.Account > after && len(page) < limit {
			page = append(page, a.view(len(a.lines)))
		}
	}
	return page, nil
}

// accountsOf returns the accounts of a ledger, by id.
func (m *Model) accountsOf(key id.Ledger) []account {
	var all []account
	for ref, a := range m.books.accounts {
		if ref.Ledger == key {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b account) int { return cmp.Compare(a.ref.Account, b.ref.Account) })
	return all
}

// Entries implements ledger.Service.
func (m *Model) Entries(ctx context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	a, leave, err := m.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer leave()
	var all []ledger.StatementLine
	for i, l := range a.lines {
		switch sequence := int64(i + 1); {
		case !page.Backward && sequence <= page.After:
		case page.Backward && page.Before != 0 && sequence >= page.Before:
		case !page.From.IsZero() && l.recorded.Before(page.From):
		case !page.To.IsZero() && !l.recorded.Before(page.To):
		default:
			all = append(all, ledger.StatementLine{
				Entry: a.entry(i + 1), Transaction: l.transaction, Origin: l.origin, Line: l.number, Kind: l.kind,
				EffectiveAt: l.effective, RecordedAt: l.recorded,
			})
		}
	}
	if page.Backward {
		slices.Reverse(all)
	}
	return all[:min(len(all), page.Limit)], nil
}

// Transaction implements ledger.Service.
func (m *Model) Transaction(ctx context.Context, key id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	leave, err := m.enterLedger(ctx, key)
	if err != nil {
		return ledger.Record{}, err
	}
	defer leave()
	r, found := m.books.journal[transaction]
	if !found || r.Outcome.Ledger != key {
		return ledger.Record{}, errs.ErrTransactionNotFound.With("ledger", key).With("transaction_id", transaction)
	}
	return r, nil
}

// TransactionsByReference implements ledger.Service.
func (m *Model) TransactionsByReference(ctx context.Context, key id.Ledger, reference string, limit int) ([]ledger.Record, error) {
	leave, err := m.enterLedger(ctx, key)
	if err != nil {
		return nil, err
	}
	defer leave()
	var all []ledger.Record
	for _, transaction := range m.books.order {
		if r := m.books.journal[transaction]; r.Outcome.Ledger == key && r.Reference == reference {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b ledger.Record) int { return b.Outcome.RecordedAt.Compare(a.Outcome.RecordedAt) })
	return all[:min(len(all), limit)], nil
}

// TrialBalance implements ledger.Service.
func (m *Model) TrialBalance(ctx context.Context, key id.Ledger) ([]ledger.TrialLine, error) {
	leave, err := m.enterLedger(ctx, key)
	if err != nil {
		return nil, err
	}
	defer leave()
	sums, counts := map[money.Asset]effect{}, map[money.Asset]int64{}
	for _, a := range m.accountsOf(key) {
		if counts[a.asset]++; counts[a.asset] == 1 {
			sums[a.asset] = nothing
		}
		sums[a.asset] = sums[a.asset].plus(a.totals())
	}
	lines := make([]ledger.TrialLine, 0, len(sums))
	for asset, sum := range sums {
		for _, n := range []*big.Int{sum.debit, sum.credit, sum.heldDebit, sum.heldCredit} {
			if digits(n) > money.MaxDigits {
				return nil, errs.ErrInternal.Because(money.ErrRange)
			}
		}
		lines = append(lines, ledger.TrialLine{Asset: asset, Accounts: counts[asset], Balances: ledger.Balances{
			PostedDebits: amount(sum.debit), PostedCredits: amount(sum.credit),
			PendingDebits: amount(sum.heldDebit), PendingCredits: amount(sum.heldCredit),
		}})
	}
	slices.SortFunc(lines, func(a, b ledger.TrialLine) int { return cmp.Compare(a.Asset.Code, b.Asset.Code) })
	return lines, nil
}
