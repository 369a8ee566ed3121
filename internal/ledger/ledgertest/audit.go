package ledgertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Audit reads whole ledgers through the Service and proves them: debits equal credits in every transaction and every ledger; each account is
// the sum of its entries, whose sequence has no gap, whose balances chain and whose times never run backwards; what is pending is what the
// open holds have left; and statements and transactions tell of each other, line by line. It wants ledgers at rest, and returns every
// breach that it found.
func Audit(ctx context.Context, s ledger.Service, ledgers ...id.Ledger) error {
	a := &auditor{
		service: s, assets: map[ledger.Ref]money.Code{}, records: map[id.Transaction]ledger.Record{}, lines: map[id.Transaction]int{},
		within: map[id.Ledger]bool{}, holds: map[id.Transaction]ledger.Hold{}, pending: map[ledger.Ref]ledger.Balances{},
	}
	for _, l := range ledgers {
		a.within[l] = true
	}
	for _, l := range ledgers {
		if err := a.ledger(ctx, l); err != nil {
			return fmt.Errorf("audit ledger %s: %w", l, err)
		}
	}
	a.transactions()
	a.holdings()
	return errors.Join(a.breaches...)
}

type auditor struct {
	service  ledger.Service
	within   map[id.Ledger]bool
	assets   map[ledger.Ref]money.Code
	records  map[id.Transaction]ledger.Record // of all statements
	lines    map[id.Transaction]int           // seen in statements
	holds    map[id.Transaction]ledger.Hold   // as their newest transaction left them
	pending  map[ledger.Ref]ledger.Balances   // as the accounts show it
	breaches []error
}

func (a *auditor) breach(format string, args ...any) {
	a.breaches = append(a.breaches, fmt.Errorf(format, args...))
}

// add is for sums of amounts that came out of sound books; one that does not fit is a breach.
func (a *auditor) add(into *money.Amount, more money.Amount) {
	sum, err := into.Add(more)
	if err != nil {
		a.breach("adding up: %w", err)
		return
	}
	*into = sum
}

func (a *auditor) ledger(ctx context.Context, key id.Ledger) error {
	accounts, err := readAccounts(ctx, a.service, key, 100)
	if err != nil {
		return err
	}
	sums := map[money.Code]*ledger.TrialLine{}
	for _, account := range accounts {
		a.assets[account.Ref] = account.Asset.Code
		a.pending[account.Ref] = ledger.Balances{PendingDebits: account.PendingDebits, PendingCredits: account.PendingCredits}
		if err := a.account(ctx, account); err != nil {
			return err
		}
		sum := sums[account.Asset.Code]
		if sum == nil {
			sum = &ledger.TrialLine{Asset: account.Asset}
			sums[account.Asset.Code] = sum
		}
		sum.Accounts++
		a.add(&sum.PostedDebits, account.PostedDebits)
		a.add(&sum.PostedCredits, account.PostedCredits)
		a.add(&sum.PendingDebits, account.PendingDebits)
		a.add(&sum.PendingCredits, account.PendingCredits)
	}
	want := make([]ledger.TrialLine, 0, len(sums))
	for _, sum := range sums {
		want = append(want, *sum)
		if sum.PostedDebits != sum.PostedCredits || sum.PendingDebits != sum.PendingCredits {
			a.breach("ledger %s: %s does not balance: %s", key, sum.Asset.Code, show(sum))
		}
	}
	slices.SortFunc(want, func(x, y ledger.TrialLine) int { return cmp.Compare(x.Asset.Code, y.Asset.Code) })
	got, err := a.service.TrialBalance(ctx, key)
	if err != nil {
		return fmt.Errorf("trial balance: %w", err)
	}
	if err := sameAll("trial balance of "+string(key), got, want); err != nil {
		a.breach("%w", err)
	}
	return nil
}

// account walks a statement.
func (a *auditor) account(ctx context.Context, account ledger.Account) error {
	entries, err := readEntries(ctx, a.service, account.Ref, ledger.EntryPage{Limit: 500})
	if err != nil {
		return err
	}
	var was ledger.Entry
	var sum ledger.Balances
	var recorded time.Time
	for _, e := range entries {
		balance := was.Balance
		a.add(&balance, e.Amount)
		switch {
		case e.Sequence != was.Sequence+1:
			a.breach("account %s: entry %d follows entry %d", account.Ref, e.Sequence, was.Sequence)
		case e.Balance != balance:
			a.breach("account %s: entry %d has balance %s, wanted %s", account.Ref, e.Sequence, e.Balance, balance)
		case e.PendingDebits.Sign() < 0 || e.PendingCredits.Sign() < 0:
			a.breach("account %s: entry %d has a negative amount pending", account.Ref, e.Sequence)
		case e.RecordedAt.Before(recorded):
			a.breach("account %s: entry %d was recorded before the one before it", account.Ref, e.Sequence)
		}
		if e.Amount.Sign() < 0 {
			a.add(&sum.PostedDebits, e.Amount.Abs())
		} else {
			a.add(&sum.PostedCredits, e.Amount)
		}
		sum.PendingDebits, sum.PendingCredits = e.PendingDebits, e.PendingCredits
		was, recorded = e.Entry, e.RecordedAt
		if err := a.line(ctx, e); err != nil {
			return err
		}
	}
	if account.Balances != sum || account.Sequence != was.Sequence {
		a.breach("account %s is %s at sequence %d, and its entries add up to %s at sequence %d",
			account.Ref, show(account.Balances), account.Sequence, show(sum), was.Sequence)
	}
	return nil
}

// line holds a line of a statement against the transaction that it is of.
func (a *auditor) line(ctx context.Context, e ledger.StatementLine) error {
	r, known := a.records[e.Transaction]
	if !known {
		var err error
		if r, err = a.service.Transaction(ctx, e.Origin, e.Transaction); err != nil {
			return fmt.Errorf("transaction of entry %d of %s: %w", e.Sequence, e.Ref, err)
		}
		a.records[e.Transaction] = r
		a.hold(r.Outcome)
	}
	a.lines[e.Transaction]++
	o := r.Outcome
	if o.Decided != ledger.Posted || e.Line >= len(o.Entries) || o.Entries[e.Line] != e.Entry || o.Kind != e.Kind ||
		!o.EffectiveAt.Equal(e.EffectiveAt) || !o.RecordedAt.Equal(e.RecordedAt) {
		a.breach("entry %d of %s is %s, and its transaction says %s", e.Sequence, e.Ref, show(e), show(o))
	}
	return nil
}

// hold remembers the newest state of a hold. Captured money only grows and a hold ends once, so the order of reading does not matter.
func (a *auditor) hold(o ledger.Outcome) {
	h := o.Hold
	if h == nil {
		return
	}
	known, found := a.holds[h.ID]
	if !found || known.Status == ledger.Held && (h.Status != ledger.Held || known.Captured.Less(h.Captured)) {
		now := *h
		now.Ledger = o.Ledger
		a.holds[h.ID] = now
	}
}

// transactions proves that each one is balanced, and that all its lines stand in statements.
func (a *auditor) transactions() {
	type book struct {
		ledger id.Ledger
		asset  money.Code
	}
	for transaction, r := range a.records {
		sums, inside := map[book]money.Amount{}, 0
		for _, e := range r.Outcome.Entries {
			if !a.within[e.Ref.Ledger] {
				continue
			}
			inside++
			at := book{e.Ref.Ledger, a.assets[e.Ref]}
			sum := sums[at]
			a.add(&sum, e.Amount)
			sums[at] = sum
		}
		if inside != a.lines[transaction] {
			a.breach("transaction %s has %d lines, and %d stand in statements", transaction, inside, a.lines[transaction])
		}
		for at, sum := range sums {
			if !sum.IsZero() {
				a.breach("transaction %s is off by %s %s in ledger %s", transaction, sum, at.asset, at.ledger)
			}
		}
	}
}

// holdings proves that what is pending on accounts is what open holds have left.
func (a *auditor) holdings() {
	left := map[ledger.Ref]ledger.Balances{}
	for _, h := range a.holds {
		from, to := ledger.Ref{Ledger: h.Ledger, Account: h.From}, ledger.Ref{Ledger: h.Ledger, Account: h.To}
		debited := left[from]
		a.add(&debited.PendingDebits, h.Remaining())
		left[from] = debited
		credited := left[to]
		a.add(&credited.PendingCredits, h.Remaining())
		left[to] = credited
	}
	for ref, shown := range a.pending {
		if shown != left[ref] {
			a.breach("account %s shows pending %s, and its holds have left %s", ref, show(shown), show(left[ref]))
		}
	}
}

// readAccounts pages through the accounts of a ledger.
func readAccounts(ctx context.Context, s ledger.Service, key id.Ledger, size int) ([]ledger.Account, error) {
	var all []ledger.Account
	for after := id.Account(""); ; after = all[len(all)-1].Ref.Account {
		page, err := s.Accounts(ctx, key, after, size)
		if err != nil {
			return nil, fmt.Errorf("list the accounts of %s after %q: %w", key, after, err)
		}
		if all = append(all, page...); len(page) < size {
			return all, nil
		}
	}
}

// readEntries pages through a statement, from either end.
func readEntries(ctx context.Context, s ledger.Service, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	var all []ledger.StatementLine
	for {
		lines, err := s.Entries(ctx, ref, page)
		if err != nil {
			return nil, fmt.Errorf("read the statement of %s: %w", ref, err)
		}
		if all = append(all, lines...); len(lines) < page.Limit {
			return all, nil
		}
		page.After, page.Before = all[len(all)-1].Sequence, all[len(all)-1].Sequence
	}
}
