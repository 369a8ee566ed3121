package verify

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// accountsAtOnce is how many accounts are in memory together.
const accountsAtOnce = 1000

const sqlAccounts = `
SELECT id, asset, scale, normal_side, posted_debits::text, posted_credits::text, pending_debits::text, pending_credits::text, sequence,
    coalesce(min_available::text, ''), coalesce(max_balance::text, ''), status, metadata, opened_at, changed_at
FROM account WHERE home = $1 AND ledger_id = $2 AND id >= $3
ORDER BY id LIMIT $4 OFFSET $5`

const entryReading = `account_id, sequence, origin_ledger_id, transaction_id, line, kind, amount::text, balance::text,
    pending_debits::text, pending_credits::text, effective_at, recorded_at`

const sqlEntriesUpTo = `
SELECT ` + entryReading + `
FROM entry WHERE home = $1 AND ledger_id = $2 AND (account_id, sequence) >= ($3, $4) AND account_id <= $5
ORDER BY account_id, sequence LIMIT $6 OFFSET $7`

const sqlEntriesFrom = `
SELECT ` + entryReading + `
FROM entry WHERE home = $1 AND ledger_id = $2 AND (account_id, sequence) >= ($3, $4)
ORDER BY account_id, sequence LIMIT $5 OFFSET $6`

// statements reads accounts and entries side by side, some accounts at a time. The database compares the names of accounts, here and
// in the order of its rows, so that its collation does not matter.
func (r *run) statements(ctx context.Context, b book) error {
	p := &statementPass{run: r, book: b, atOnce: int(min(accountsAtOnce, r.o.page))}
	p.entry.ledger, p.entry.sequence = b.ledger, math.MinInt64
	var last id.Account
	for more := true; more; {
		page, err := p.accounts(ctx, last)
		if err != nil {
			return err
		}
		if more = len(page) == p.atOnce; len(page) > 0 {
			last = page[len(page)-1].id
			if err := p.entries(ctx, sqlEntriesUpTo, last); err != nil {
				return err
			}
		}
		if err := r.judgeTerms(ctx, b, page); err != nil {
			return err
		}
		if err := r.judgeHoldings(ctx, b, page); err != nil {
			return err
		}
		for _, s := range page {
			s.end(r, b)
			p.count(s)
		}
	}
	clear(p.page)
	return p.entries(ctx, sqlEntriesFrom) // behind the last account there can be none
}

// statementPass is the state of reading the statements of one book.
type statementPass struct {
	*run
	book    book
	atOnce  int // accounts a page
	page    map[id.Account]*statement
	entry   entry // the one that was read last
	entered bool  // one was read
	listed  bool  // an account was read
	scratch []byte
}

// accounts reads the next accounts, and tells what they say of themselves.
func (p *statementPass) accounts(ctx context.Context, last id.Account) ([]*statement, error) {
	skip := 0
	if p.listed {
		skip = 1
	}
	var a account
	page := make([]*statement, 0, p.atOnce)
	rows := p.query(ctx, sqlAccounts, p.book.home, p.book.ledger, last, p.atOnce, skip)
	_, err := pgx.ForEachRow(rows, []any{
		&a.id, &a.terms.Asset.Code, &a.terms.Asset.Scale, &a.terms.Normal, &a.postedDebits, &a.postedCredits, &a.pendingDebits,
		&a.pendingCredits, &a.sequence, &a.terms.Floor, &a.terms.Ceiling, &a.terms.Status, &a.terms.Metadata, &a.openedAt, &a.changedAt,
	}, func() error {
		page = append(page, &statement{account: a})
		a.terms.Metadata = nil // the next row must not write into this one's map
		f := Finding{Ledger: p.book.ledger, Account: a.id, Message: "the account"}
		p.housed(p.book, f)
		p.denominated(p.book, a.terms.Asset, f)
		about := subject{ledger: p.book.ledger, account: a.id}
		about.matter = pendingDebits
		p.pending.say(kept, about, place{}, nil, a.pendingDebits.Amount)
		about.matter = pendingCredits
		p.pending.say(kept, about, place{}, nil, a.pendingCredits.Amount)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the accounts of %s: %w", p.book.ledger, err)
	}
	p.listed = p.listed || len(page) > 0
	p.page = make(map[id.Account]*statement, len(page))
	for _, s := range page {
		p.page[s.id] = s
	}
	return page, nil
}

// entries reads on from the last entry.
func (p *statementPass) entries(ctx context.Context, sql string, upTo ...any) error {
	e := &p.entry
	from := func() []any {
		return append([]any{p.book.home, p.book.ledger, e.account, e.sequence}, upTo...)
	}
	into := []any{
		&e.account, &e.sequence, &e.origin, (*[16]byte)(&e.transaction), &e.line, &e.kind, &e.amount, &e.balance, &e.pendingDebits,
		&e.pendingCredits, &e.effectiveAt, &e.recordedAt,
	}
	return p.paged(ctx, "statements", sql, &p.entered, from, into, p.take)
}

// take looks at one entry.
func (p *statementPass) take() error {
	e := &p.entry
	f := Finding{Ledger: p.book.ledger, Account: e.account, Transaction: e.transaction, Sequence: e.sequence, Message: "the entry"}
	p.housed(p.book, f)
	p.looked(&p.checks.balanced)
	if p.inScope(e.origin) {
		p.scratch = e.words(p.scratch[:0])
		about := subject{ledger: e.origin, transaction: e.transaction, line: e.line}
		p.lines.say(kept, about, place{p.book.ledger, e.account, e.sequence}, p.scratch, one)
	}
	s, found := p.page[e.account]
	if !found {
		f.Message = "the entry has no account"
		p.looked(&p.checks.sequences)
		p.find(&p.checks.sequences, f)
		return nil
	}
	about := subject{ledger: p.book.ledger, transaction: e.transaction, matter: string(s.terms.Asset.Code)}
	p.legs.say(kept, about, place{}, nil, e.amount.Amount)
	s.add(p.run, p.book, e)
	return nil
}

// count adds an account to the totals of its ledger.
func (p *statementPass) count(s *statement) {
	if p.searching {
		return
	}
	t := p.totals.of(p.book.ledger).of(s.terms.Asset)
	t.accounts++
	t.entries += s.entries
	plus(&t.entryDebits, s.debits)
	plus(&t.entryCredits, s.credits)
	plus(&t.accountDebits, s.postedDebits.Amount)
	plus(&t.accountCredits, s.postedCredits.Amount)
}

// judgeTotals holds the sums of whole ledgers against each other.
func (r *run) judgeTotals() {
	for ledger, sums := range r.totals {
		byCode := map[money.Code]*assetTotals{} // a damaged scale splits an asset in the table, not in the balance
		for asset, t := range sums.assets {
			sum, found := byCode[asset.Code]
			if !found {
				sum = &assetTotals{}
				byCode[asset.Code] = sum
			}
			sum.take(t)
		}
		for code, t := range byCode {
			r.even(ledger, code, "entries", &t.entryDebits, &t.entryCredits)
			r.even(ledger, code, "accounts", &t.accountDebits, &t.accountCredits)
		}
	}
	slices.SortFunc(r.checks.balanced.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Message, b.Message))
	})
}

func (t *assetTotals) take(o *assetTotals) {
	t.entryDebits.Add(&t.entryDebits, &o.entryDebits)
	t.entryCredits.Add(&t.entryCredits, &o.entryCredits)
	t.accountDebits.Add(&t.accountDebits, &o.accountDebits)
	t.accountCredits.Add(&t.accountCredits, &o.accountCredits)
}

func (r *run) even(ledger id.Ledger, code money.Code, what string, debits, credits *big.Int) {
	if debits.Cmp(credits) == 0 {
		return
	}
	r.find(&r.checks.balanced, Finding{Ledger: ledger, Message: fmt.Sprintf("%s: the %s have debits of %s and credits of %s, a difference of %s",
		code, what, debits, credits, new(big.Int).Sub(credits, debits))})
}

// unbalanced words a transaction whose entries do not cancel out.
func unbalanced(m mismatch) Finding {
	return Finding{Ledger: m.ledger, Transaction: m.transaction, Message: fmt.Sprintf("the entries of the transaction in %s add up to %s, not to zero",
		m.matter, m.sums[kept])}
}
