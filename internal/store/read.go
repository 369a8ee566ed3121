package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

var zeroTime time.Time

func compareText[S ~string](a, b S) int { return strings.Compare(string(a), string(b)) }

var sqlSelectAccount = `
SELECT ` + accountReading + `
FROM account a WHERE a.home = $1 AND a.ledger_id = $2 AND a.id = $3`

// Account implements ledger.Service.
func (s *Store) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	l, err := s.Ledger(ctx, ref.Ledger)
	if err != nil {
		return ledger.Account{}, err
	}
	found, err := s.queryAccounts(ctx, sqlSelectAccount, l.Home, ref.Ledger, ref.Account)
	if err != nil {
		return ledger.Account{}, err
	}
	if len(found) == 0 {
		return ledger.Account{}, errs.ErrAccountNotFound.With("ledger", ref.Ledger).With("account_id", ref.Account)
	}
	if asOf.IsZero() || !found[0].ChangedAt.After(asOf) {
		return found[0], nil
	}
	return s.accountAsOf(ctx, found[0], asOf)
}

const sqlSumEntries = `
SELECT coalesce(sum(CASE WHEN amount < 0 THEN -amount ELSE 0 END), 0)::text, coalesce(sum(CASE WHEN amount > 0 THEN amount ELSE 0 END), 0)::text
FROM entry WHERE home = $1 AND ledger_id = $2 AND account_id = $3 AND sequence <= $4`

const sqlSelectEntryState = `
SELECT balance::text, pending_debits::text, pending_credits::text, recorded_at
FROM entry WHERE home = $1 AND ledger_id = $2 AND account_id = $3 AND sequence = $4`

// accountAsOf puts the account back to the newest entry that was recorded by then.
func (s *Store) accountAsOf(ctx context.Context, a ledger.Account, asOf time.Time) (ledger.Account, error) {
	after, err := s.firstSince(ctx, a, asOf.Add(time.Microsecond))
	if err != nil {
		return ledger.Account{}, err
	}
	a.Balances, a.Sequence, a.ChangedAt = ledger.Balances{}, after-1, a.OpenedAt
	if a.Sequence == 0 {
		return a, nil
	}
	key := []any{a.Home, a.Ref.Ledger, a.Ref.Account, a.Sequence}
	batch := &pgx.Batch{}
	var balance digits
	batch.Queue(sqlSelectEntryState, key...).QueryRow(func(row pgx.Row) error {
		return row.Scan(&balance, into(&a.PendingDebits), into(&a.PendingCredits), &a.ChangedAt)
	})
	batch.Queue(sqlSumEntries, key...).QueryRow(func(row pgx.Row) error {
		return row.Scan(into(&a.PostedDebits), into(&a.PostedCredits))
	})
	if err := s.db.Reader().SendBatch(ctx, batch).Close(); err != nil {
		return ledger.Account{}, db.Classify(fmt.Errorf("read account %s as of %s: %w", a.Ref, asOf, err))
	}
	a.ChangedAt = a.ChangedAt.UTC()
	return a, nil
}

const sqlSelectRecordedAt = `
SELECT recorded_at FROM entry WHERE home = $1 AND ledger_id = $2 AND account_id = $3 AND sequence = $4`

// firstSince returns the sequence of the first entry recorded at t or later, or one past the newest. Recorded times of one account never
// run backwards, so a binary search by primary key finds it, in a logarithm of round trips; an index by time would cost every write.
func (s *Store) firstSince(ctx context.Context, a ledger.Account, t time.Time) (int64, error) {
	low, high := int64(1), a.Sequence+1
	for low < high {
		middle := low + (high-low)/2
		var recorded time.Time
		err := s.db.Reader().QueryRow(ctx, sqlSelectRecordedAt, a.Home, a.Ref.Ledger, a.Ref.Account, middle).Scan(&recorded)
		if err != nil {
			return 0, db.Classify(fmt.Errorf("search the statement of %s: %w", a.Ref, err))
		}
		if recorded.Before(t) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

var sqlListAccounts = `
SELECT ` + accountReading + `
FROM account a WHERE a.home = $1 AND a.ledger_id = $2 AND a.id > $3 ORDER BY a.id LIMIT $4`

// Accounts implements ledger.Service.
func (s *Store) Accounts(ctx context.Context, key id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.queryAccounts(ctx, sqlListAccounts, l.Home, key, after, limit)
}

func (s *Store) queryAccounts(ctx context.Context, sql string, args ...any) ([]ledger.Account, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []ledger.Account
	err := eachAccount(rows, func(a ledger.Account) error {
		found = append(found, a)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read accounts: %w", err))
	}
	return found, nil
}

const entryReading = `sequence, origin_ledger_id, transaction_id, line, kind, amount::text, balance::text, pending_debits::text,
    pending_credits::text, effective_at, recorded_at`

const sqlListEntries = `
SELECT ` + entryReading + `
FROM entry WHERE home = $1 AND ledger_id = $2 AND account_id = $3 AND sequence >= $4 AND sequence < $5
ORDER BY sequence LIMIT $6`

const sqlListEntriesBackward = `
SELECT ` + entryReading + `
FROM entry WHERE home = $1 AND ledger_id = $2 AND account_id = $3 AND sequence >= $4 AND sequence < $5
ORDER BY sequence DESC LIMIT $6`

// Entries implements ledger.Service.
func (s *Store) Entries(ctx context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	a, err := s.Account(ctx, ref, zeroTime)
	if err != nil {
		return nil, err
	}
	from, to := int64(1), a.Sequence+1
	if !page.From.IsZero() {
		if from, err = s.firstSince(ctx, a, page.From); err != nil {
			return nil, err
		}
	}
	if !page.To.IsZero() {
		if to, err = s.firstSince(ctx, a, page.To); err != nil {
			return nil, err
		}
	}
	sql := sqlListEntries
	if page.Backward {
		sql, to = sqlListEntriesBackward, min(to, cmp.Or(page.Before, to))
	} else {
		from = max(from, page.After+1)
	}
	rows, _ := s.db.Reader().Query(ctx, sql, a.Home, ref.Ledger, ref.Account, from, to, page.Limit) // the error comes back from the loop
	line := ledger.StatementLine{Entry: ledger.Entry{Ref: ref}}
	lines, err := collect(rows, &line, []any{
		&line.Sequence, &line.Origin, (*[16]byte)(&line.Transaction), &line.Line, &line.Kind, into(&line.Amount), into(&line.Balance),
		into(&line.PendingDebits), into(&line.PendingCredits), &line.EffectiveAt, &line.RecordedAt,
	}, func(l *ledger.StatementLine) { l.EffectiveAt, l.RecordedAt = l.EffectiveAt.UTC(), l.RecordedAt.UTC() })
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the statement of %s: %w", ref, err))
	}
	return lines, nil
}

const sqlSelectRecord = `
SELECT ` + recordReading + `
FROM journal j WHERE j.home = $1 AND j.ledger_id = $2 AND j.id = $3`

// Transaction implements ledger.Service.
func (s *Store) Transaction(ctx context.Context, key id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return ledger.Record{}, err
	}
	found, err := s.queryRecords(ctx, sqlSelectRecord, l.Home, key, [16]byte(transaction))
	return only(found, err, errs.ErrTransactionNotFound.With("ledger", key).With("transaction_id", transaction))
}

// The keys are found in the index alone and the rows by them: CockroachDB, before it has statistics, would rather walk the whole ledger than
// fetch rows that an index does not cover.
const sqlSelectByReference = `
SELECT ` + recordReading + `
FROM (SELECT home, ledger_id, id FROM journal WHERE home = $1 AND ledger_id = $2 AND reference = $3 ORDER BY recorded_at DESC, id LIMIT $4) k
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id
ORDER BY j.recorded_at DESC, j.id`

// TransactionsByReference implements ledger.Service.
func (s *Store) TransactionsByReference(ctx context.Context, key id.Ledger, reference string, limit int) ([]ledger.Record, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.queryRecords(ctx, sqlSelectByReference, l.Home, key, reference, limit)
}

func (s *Store) queryRecords(ctx context.Context, sql string, args ...any) ([]ledger.Record, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []ledger.Record
	err := eachRecord(rows, func(r ledger.Record) error {
		found = append(found, r)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read transactions: %w", err))
	}
	return found, nil
}

const sqlTrialBalance = `
SELECT asset, scale, count(*), sum(posted_debits)::text, sum(posted_credits)::text, sum(pending_debits)::text, sum(pending_credits)::text
FROM account WHERE home = $1 AND ledger_id = $2 GROUP BY asset, scale ORDER BY asset`

// TrialBalance implements ledger.Service. One statement is one snapshot on both engines.
func (s *Store) TrialBalance(ctx context.Context, key id.Ledger) ([]ledger.TrialLine, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return nil, err
	}
	rows, _ := s.db.Reader().Query(ctx, sqlTrialBalance, l.Home, key) // the error comes back from the loop
	var t ledger.TrialLine
	lines, err := collect(rows, &t, []any{
		&t.Asset.Code, &t.Asset.Scale, &t.Accounts, into(&t.PostedDebits), into(&t.PostedCredits), into(&t.PendingDebits), into(&t.PendingCredits),
	}, nil)
	if errors.Is(err, money.ErrRange) {
		return nil, errs.New(errs.FailedPrecondition, errs.ReasonBalanceOverflow, "a total of this ledger needs more than 38 digits").Because(err)
	}
	if err != nil {
		return nil, db.Classify(fmt.Errorf("add up ledger %s: %w", key, err))
	}
	return lines, nil
}

const sqlLookupHoldAccounts = `
SELECT h.ledger_id, h.id, h.from_account, h.to_account
` + byKey + `
JOIN hold h ON h.home = k.home AND h.ledger_id = k.ledger_id AND h.id = k.id`

const sqlLookupEntries = `
SELECT j.ledger_id, j.id, j.entries
` + byKey + `
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id`

// Behind returns the accounts behind the targets of commands, by target, in one round trip. Targets that are not there are left out. The
// accounts never change, so that what it says holds when the commands are executed.
func (s *Store) Behind(ctx context.Context, commands []ledger.Command) (map[id.Transaction][]ledger.Ref, error) {
	var holds, records, payments rowKeys[[16]byte]
	for _, c := range commands {
		l, err := s.Ledger(ctx, c.Ledger)
		if err != nil {
			return nil, err
		}
		switch c.Kind {
		case ledger.KindReverse:
			records.add(l, c.Target)
		case ledger.KindStep:
			payments.add(l, c.Target)
		default:
			holds.add(l, c.Target)
		}
	}
	behind, err := s.behind(db.Asking(ctx, false), holds, records, payments)
	if errors.Is(err, errs.ErrUnavailable) { // the connection may have died while it lay idle
		behind, err = s.behind(db.Asking(ctx, true), holds, records, payments)
	}
	return behind, err
}

func (s *Store) behind(ctx context.Context, holds, records, payments rowKeys[[16]byte]) (map[id.Transaction][]ledger.Ref, error) {
	behind := map[id.Transaction][]ledger.Ref{}
	batch := &pgx.Batch{}
	holds.queue(batch, sqlLookupHoldAccounts, func(rows pgx.Rows) error {
		var h ledger.Hold
		_, err := pgx.ForEachRow(rows, []any{&h.Ledger, (*[16]byte)(&h.ID), &h.From, &h.To}, func() error {
			behind[h.ID] = h.Behind()
			return nil
		})
		return err
	})
	records.queue(batch, sqlLookupEntries, func(rows pgx.Rows) error {
		var from ledger.Outcome
		var entries []byte
		_, err := pgx.ForEachRow(rows, []any{&from.Ledger, (*[16]byte)(&from.Transaction), &entries}, func() error {
			o := from
			if err := readOutcome(&o, entries, nil); err != nil {
				return fmt.Errorf("journal row %s: %w", o.Transaction, err)
			}
			behind[o.Transaction] = o.Behind()
			return nil
		})
		return err
	})
	payments.queue(batch, sqlLookupPayments, func(rows pgx.Rows) error {
		return eachPayment(rows, func(p ledger.Payment) error {
			behind[p.ID] = p.Behind()
			return nil
		})
	})
	if err := s.db.Reader().SendBatch(ctx, batch).Close(); err != nil {
		return nil, db.Classify(fmt.Errorf("look up targets: %w", err))
	}
	return behind, nil
}
