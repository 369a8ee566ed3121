package ledger_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func (m *memory) CreateLedger(_ context.Context, l ledger.Ledger) (ledger.Ledger, error) {
	defer m.lock()()
	l.CreatedAt = m.now()
	m.ledgers[l.ID] = l
	return l, nil
}

func (m *memory) Ledger(_ context.Context, key id.Ledger) (ledger.Ledger, error) {
	defer m.lock()()
	return m.ledgers[key], nil
}

func (m *memory) Account(_ context.Context, ref ledger.Ref, _ time.Time) (ledger.Account, error) {
	defer m.lock()()
	a, found := m.accounts[ref]
	if !found {
		return a, errs.ErrAccountNotFound
	}
	return a, nil
}

func (m *memory) Accounts(_ context.Context, key id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	defer m.lock()()
	var page []ledger.Account
	for ref, a := range m.accounts {
		if ref.Ledger == key && ref.Account > after {
			page = append(page, a)
		}
	}
	slices.SortFunc(page, func(a, b ledger.Account) int { return cmp.Compare(a.Ref.Account, b.Ref.Account) })
	return page[:min(len(page), limit)], nil
}

func (m *memory) Entries(_ context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	defer m.lock()()
	lines := slices.Clone(m.lines[ref])
	if page.Backward {
		slices.Reverse(lines)
	}
	lines = slices.DeleteFunc(lines, func(l ledger.StatementLine) bool {
		return !page.Backward && l.Sequence <= page.After || page.Backward && page.Before != 0 && l.Sequence >= page.Before
	})
	return lines[:min(len(lines), page.Limit)], nil
}

func (m *memory) Transaction(_ context.Context, _ id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	defer m.lock()()
	r, found := m.journal[transaction]
	if !found {
		return r, errs.ErrTransactionNotFound
	}
	return r, nil
}

func (m *memory) TransactionsByReference(_ context.Context, _ id.Ledger, _ string, _ int) ([]ledger.Record, error) {
	panic("a matter of reading, which package ledger has no code for")
}

// TrialBalance adds up the accounts.
func (m *memory) TrialBalance(_ context.Context, key id.Ledger) ([]ledger.TrialLine, error) {
	defer m.lock()()
	sums := map[money.Asset]ledger.TrialLine{}
	for ref, a := range m.accounts {
		if ref.Ledger != key {
			continue
		}
		sum := sums[a.Asset]
		sum.Asset, sum.Accounts = a.Asset, sum.Accounts+1
		for _, total := range []struct {
			into *money.Amount
			more money.Amount
		}{
			{&sum.PostedDebits, a.PostedDebits},
			{&sum.PostedCredits, a.PostedCredits},
			{&sum.PendingDebits, a.PendingDebits},
			{&sum.PendingCredits, a.PendingCredits},
		} {
			var err error
			if *total.into, err = total.into.Add(total.more); err != nil {
				return nil, errs.ErrInternal.Because(err)
			}
		}
		sums[a.Asset] = sum
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b ledger.TrialLine) int { return cmp.Compare(a.Asset.Code, b.Asset.Code) }), nil
}
