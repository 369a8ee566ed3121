package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/recon"
)

var _ recon.Store = (*Store)(nil)

const statementReading = `id, provider, file_name, file_hash, reading, lines, pending, period_from, period_to, imported_at`

const sqlSelectStatement = `SELECT ` + statementReading + ` FROM statement WHERE home = $1 AND ledger_id = $2 AND id = $3`

// Statement implements recon.Store.
func (s *Store) Statement(ctx context.Context, l ledger.Ledger, key recon.StatementID) (recon.Statement, error) {
	found, err := s.queryStatements(ctx, l, sqlSelectStatement, l.Home, l.ID, [16]byte(key.Transaction))
	return only(found, err, errs.ErrReconNotFound.With("statement_id", key))
}

const sqlListStatements = `
SELECT ` + statementReading + ` FROM statement WHERE home = $1 AND ledger_id = $2 AND provider = $3 ORDER BY imported_at, id`

// StatementsOf implements recon.Store.
func (s *Store) StatementsOf(ctx context.Context, l ledger.Ledger, provider string) ([]recon.Statement, error) {
	return s.queryStatements(ctx, l, sqlListStatements, l.Home, l.ID, provider)
}

func (s *Store) queryStatements(ctx context.Context, l ledger.Ledger, sql string, args ...any) ([]recon.Statement, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []recon.Statement
	st := recon.Statement{Ledger: l.ID}
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{
		(*[16]byte)(&st.ID.Transaction), &st.Provider, &st.File, &hash, &st.Reading, &st.Lines, &st.Pending, &st.From, &st.To, &st.Imported,
	}, func() error {
		one := st
		one.FileHash, one.From, one.To, one.Imported = [32]byte(hash), st.From.UTC(), st.To.UTC(), st.Imported.UTC()
		found = append(found, one)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read statements: %w", err))
	}
	return found, nil
}

// The order is that of bytes on both engines. What a statement calls pending comes again when it is final.
const sqlScanLines = `
SELECT statement_id, number, reference, line, line_id, kind, asset, amount::text, value_at
FROM statement_line WHERE home = $1 AND ledger_id = $2 AND statement_id = ANY($3::uuid[]) AND NOT pending
ORDER BY reference, statement_id, number`

// Both kinds of rows come in one order: plain commands by the reference that the client gave, and steps by the provider's reference of their payment. That
// is taken from the journal, as it was known when the step was recorded, so that it never changes. What a settled deposit brings to the bank is left out: it is
// a part of a payout, which has a reference of its own.
//
// A reversal without a reference is one that the provider does not know of; the index on reverses finds it. Sorting is the engine's work, on its disk
// where it is much: the index on references has the order of the collation, which is not that of the lines.
const sqlScanBooks = `
SELECT b.reference, b.id, b.payment_id, b.kind, b.outcome, b.reason, b.entries, b.asked, b.code, b.effective_at, b.reversed FROM (
    SELECT j.reference, j.id, NULL::uuid AS payment_id, j.kind, j.outcome, COALESCE(j.reason, '') AS reason, j.entries,
        COALESCE(j.request->'amount'->>'minor_units', '0') AS asked, COALESCE(j.request->'amount'->>'currency', '') AS code, j.effective_at,
        r.id IS NOT NULL AS reversed, j.recorded_at
    FROM journal j
    LEFT JOIN journal r ON r.home = j.home AND r.ledger_id = j.ledger_id AND r.reverses = j.id AND r.reference IS NULL AND r.recorded_at <= $3
    WHERE j.home = $1 AND j.ledger_id = $2 AND j.reference IS NOT NULL AND j.recorded_at <= $3 AND j.effective_at >= $4 AND j.effective_at < $5
        AND j.kind IN ('debit', 'credit', 'transfer', 'post', 'commit', 'reverse')
    UNION ALL
    SELECT j.detail->'step'->>'provider_reference', j.id, p.id, p.kind || '.' || s.trigger_name, j.outcome, '', j.entries, '0', '', j.effective_at,
        false, j.recorded_at
    FROM payment p
    JOIN payment_step s ON s.home = p.home AND s.ledger_id = p.ledger_id AND s.payment_id = p.id
    JOIN journal j ON j.home = s.home AND j.ledger_id = s.ledger_id AND j.id = s.transaction_id
    WHERE p.home = $1 AND p.ledger_id = $2 AND p.provider_reference <> '' AND p.provider = $6 AND s.outcome = 'posted'
        AND NOT (p.kind = 'deposit' AND s.trigger_name = 'settle') AND j.detail->'step'->>'provider_reference' <> ''
        AND j.recorded_at <= $3 AND j.effective_at >= $4 AND j.effective_at < $5
) b
ORDER BY convert_to(b.reference, 'UTF8'), b.recorded_at, b.id`

// Compare implements recon.Store. Each side is one statement, whose rows are read as they come.
func (s *Store) Compare(
	ctx context.Context, l ledger.Ledger, n recon.Snapshot, fn func(lines iter.Seq2[recon.Line, error], books iter.Seq2[recon.Book, error]) error,
) error {
	ctx, cancel := context.WithCancel(ctx) // a side that is left in the middle would be read to its end
	defer cancel()
	return s.db.Scan(ctx, func(there *pgx.Conn) error {
		return s.db.Scan(ctx, func(here *pgx.Conn) error {
			b := &bookReader{store: s, ledger: l, rules: n.Rules, assets: map[id.Account]money.Code{}}
			err := fn(scanLines(ctx, there, l, n.Statements), b.scan(ctx, here, n))
			cancel()
			return err
		})
	})
}

func scanLines(ctx context.Context, conn *pgx.Conn, l ledger.Ledger, statements []recon.StatementID) iter.Seq2[recon.Line, error] {
	ids := make(column[[16]byte], len(statements))
	for i, st := range statements {
		ids[i] = st.Transaction
	}
	return func(yield func(recon.Line, error) bool) {
		rows, err := conn.Query(ctx, sqlScanLines, l.Home, l.ID, ids)
		if err != nil {
			yield(recon.Line{}, db.Classify(fmt.Errorf("read lines of statements: %w", err)))
			return
		}
		defer rows.Close()
		var line recon.Line
		var reference []byte
		var code money.Code
		var at int64
		into := []any{
			(*[16]byte)(&line.Statement.Transaction), &line.Number, &reference, &at, &line.ID, again(&line.Kind), again(&code), into(&line.Amount), &line.Date,
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				yield(recon.Line{}, db.Classify(fmt.Errorf("read a line of a statement: %w", err)))
				return
			}
			line.Reference, line.At, line.Date = string(reference), int(at), line.Date.UTC()
			if line.Asset.Code != code {
				line.Asset, _ = l.Asset(code)
			}
			if !yield(line, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(recon.Line{}, db.Classify(fmt.Errorf("read lines of statements: %w", err)))
		}
	}
}

// bookReader turns journal rows into movements on the accounts of a provider. It is for one goroutine.
type bookReader struct {
	store  *Store
	ledger ledger.Ledger
	rules  recon.Rules
	assets map[id.Account]money.Code // of accounts of the provider, which never change
}

func (b *bookReader) scan(ctx context.Context, conn *pgx.Conn, n recon.Snapshot) iter.Seq2[recon.Book, error] {
	return func(yield func(recon.Book, error) bool) {
		rows, err := conn.Query(ctx, sqlScanBooks, b.ledger.Home, b.ledger.ID, n.Cut, n.From.Add(-b.rules.Reach()), n.To.Add(b.rules.Reach()), n.Provider)
		if err != nil {
			yield(recon.Book{}, db.Classify(fmt.Errorf("read the journal by reference: %w", err)))
			return
		}
		defer rows.Close()
		book := recon.Book{Ledger: b.ledger.ID}
		var outcome, asked string
		var code money.Code
		var entries []byte
		var reversed bool
		var payment pgtype.UUID
		into := []any{
			&book.Reference, (*[16]byte)(&book.Transaction), &payment, again(&book.Kind), again(&outcome), again(&book.Reason), &entries, &asked, again(&code), &book.Date,
			&reversed,
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				yield(recon.Book{}, db.Classify(fmt.Errorf("read a journal row: %w", err)))
				return
			}
			book.Date, book.Payment = book.Date.UTC(), payment.Bytes
			if book.State = recon.Posted; reversed {
				book.State = recon.Reversed
			}
			if outcome == string(ledger.Declined) {
				book.State, book.Asset = recon.Declined, code
				book.Amount, _ = money.Parse(asked) // evidence; it is never compared
				if !yield(book, nil) {
					return
				}
				continue
			}
			moved, err := b.moved(ctx, entries)
			if err != nil {
				yield(recon.Book{}, fmt.Errorf("journal row %s: %w", book.Transaction, err))
				return
			}
			for _, m := range moved {
				book.Asset, book.Amount = m.Asset, m.Minor
				if !yield(book, nil) {
					return
				}
			}
		}
		if err := rows.Err(); err != nil {
			yield(recon.Book{}, db.Classify(fmt.Errorf("read the journal by reference: %w", err)))
		}
	}
}

// moved adds up what entries did to the accounts of the provider, by asset in the order of the entries. What adds up to nothing is left out.
func (b *bookReader) moved(ctx context.Context, entries []byte) ([]ledger.Money, error) {
	var all []entryJSON
	if err := json.Unmarshal(entries, &all); err != nil {
		return nil, fmt.Errorf("read its entries: %w", err)
	}
	var moved []ledger.Money
	for _, e := range all {
		if e.Ledger != "" || e.Amount.IsZero() || !b.rules.Ours(e.Account) {
			continue
		}
		asset, err := b.assetOf(ctx, e.Account)
		if err != nil {
			return nil, err
		}
		amount := e.Amount
		if b.rules.Positive() == ledger.Debit {
			amount = amount.Neg()
		}
		i := 0
		for i < len(moved) && moved[i].Asset != asset {
			i++
		}
		if i == len(moved) {
			moved = append(moved, ledger.Money{Asset: asset})
		}
		if moved[i].Minor, err = moved[i].Minor.Add(amount); err != nil {
			return nil, fmt.Errorf("add up its entries: %w", err)
		}
	}
	kept := moved[:0]
	for _, m := range moved {
		if !m.Minor.IsZero() {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// mostAssets bounds what is remembered of accounts; a provider has a handful.
const mostAssets = 10_000

func (b *bookReader) assetOf(ctx context.Context, account id.Account) (money.Code, error) {
	if code, known := b.assets[account]; known {
		return code, nil
	}
	a, err := b.store.Account(ctx, ledger.Ref{Ledger: b.ledger.ID, Account: account}, zeroTime)
	if err != nil {
		return "", err
	}
	if len(b.assets) >= mostAssets {
		clear(b.assets)
	}
	b.assets[account] = a.Asset.Code
	return a.Asset.Code, nil
}

const runReading = `home, ledger_id, id, provider, statements, period_from, period_to, cut, rules, state, attempt, started_at, ended_at, books, books_hash,
    results, result_hash, totals`

const sqlSelectRun = `SELECT ` + runReading + ` FROM recon_run WHERE home = $1 AND ledger_id = $2 AND id = $3`

// Run implements recon.Store.
func (s *Store) Run(ctx context.Context, l ledger.Ledger, key recon.RunID) (recon.Run, error) {
	found, err := s.queryRuns(ctx, sqlSelectRun, l.Home, l.ID, [16]byte(key.Transaction))
	return only(found, err, errs.ErrReconNotFound.With("run_id", key))
}

const sqlListRuns = `
SELECT ` + runReading + ` FROM recon_run WHERE home = $1 AND ledger_id = $2 AND ($3 = '' OR provider = $3) ORDER BY started_at DESC, id LIMIT $4`

// Runs implements recon.Store.
func (s *Store) Runs(ctx context.Context, l ledger.Ledger, provider string, limit int) ([]recon.Run, error) {
	return s.queryRuns(ctx, sqlListRuns, l.Home, l.ID, provider, limit)
}

// There is a row a run, so that reading all of them is little.
const sqlLatestRuns = `
SELECT ` + runReading + ` FROM (
    SELECT DISTINCT ON (home, ledger_id, provider) * FROM recon_run WHERE state = 'done' ORDER BY home, ledger_id, provider, ended_at DESC, id
) newest`

// LatestRuns implements recon.Store.
func (s *Store) LatestRuns(ctx context.Context) ([]recon.Run, error) {
	return s.queryRuns(ctx, sqlLatestRuns)
}

func (s *Store) queryRuns(ctx context.Context, sql string, args ...any) ([]recon.Run, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []recon.Run
	var r recon.Run
	var home, state, rules string
	var statements, booksHash, resultHash, totals []byte
	var ended *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&home, &r.Ledger, (*[16]byte)(&r.ID.Transaction), &r.Provider, &statements, &r.From, &r.To, &r.Cut, &rules, &state, &r.Attempt, &r.StartedAt, &ended,
		&r.Books, &booksHash, &r.Results, &resultHash, &totals,
	}, func() error {
		one := r
		one.From, one.To, one.Cut, one.StartedAt, one.Done = r.From.UTC(), r.To.UTC(), r.Cut.UTC(), r.StartedAt.UTC(), state == "done"
		if ended != nil {
			one.EndedAt = ended.UTC()
		}
		copy(one.BooksHash[:], booksHash)
		copy(one.ResultHash[:], resultHash)
		var err error
		if one.Rules, err = recon.ParseRules("rules of run "+r.ID.String(), []byte(rules)); err != nil {
			return err
		}
		found = append(found, one)
		last := &found[len(found)-1]
		return errors.Join(json.Unmarshal(statements, &last.Statements), json.Unmarshal(totals, &last.Totals))
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read runs of reconciliation: %w", err))
	}
	return found, nil
}

const resultReading = `number, match, verdict, reason, way, reference, asset, difference::text, statement_id, line_number, line_amount::text, line_at,
    transaction_id, payment_id, book_amount::text, book_at, evidence`

const sqlListResults = `
SELECT ` + resultReading + `
FROM recon_result WHERE home = $1 AND ledger_id = $2 AND run_id = $3 AND attempt = $4 AND number > $5
ORDER BY number LIMIT $6`

// All verdicts but matched are in the partial index, a range each.
const sqlListResultsOf = `
SELECT ` + resultReading + `
FROM recon_result WHERE home = $1 AND ledger_id = $2 AND run_id = $3 AND attempt = $4 AND number > $5 AND verdict <> 'matched' AND verdict = $7
ORDER BY number LIMIT $6`

const sqlListMatched = `
SELECT ` + resultReading + `
FROM recon_result WHERE home = $1 AND ledger_id = $2 AND run_id = $3 AND attempt = $4 AND number > $5 AND verdict = 'matched'
ORDER BY number LIMIT $6`

// Results implements recon.Store.
func (s *Store) Results(ctx context.Context, l ledger.Ledger, run recon.Run, verdict recon.Verdict, after int64, limit int) ([]recon.Result, error) {
	args := []any{l.Home, l.ID, [16]byte(run.ID.Transaction), run.Attempt, after, limit}
	sql := sqlListResults
	switch verdict {
	case "":
	case recon.Matched:
		sql = sqlListMatched
	default:
		sql, args = sqlListResultsOf, append(args, string(verdict))
	}
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []recon.Result
	var r recon.Result
	var statement, transaction, payment pgtype.UUID
	var lineNumber *int64
	var lineAmount, bookAmount *string
	var lineAt, bookAt *time.Time
	var evidence []byte
	_, err := pgx.ForEachRow(rows, []any{
		&r.Number, &r.Match, &r.Verdict, &r.Reason, &r.Way, &r.Reference, &r.Asset, into(&r.Difference), &statement, &lineNumber, &lineAmount, &lineAt,
		&transaction, &payment, &bookAmount, &bookAt, &evidence,
	}, func() error {
		one := r
		one.Evidence = append(json.RawMessage(nil), evidence...)
		if statement.Valid {
			one.Line = &recon.LineSide{Statement: recon.StatementID{Transaction: statement.Bytes}, Number: *lineNumber, Date: lineAt.UTC()}
			if err := parseInto(&one.Line.Amount, lineAmount); err != nil {
				return err
			}
		}
		if transaction.Valid {
			one.Book = &recon.BookSide{Transaction: transaction.Bytes, Payment: payment.Bytes, Date: bookAt.UTC()}
			if err := parseInto(&one.Book.Amount, bookAmount); err != nil {
				return err
			}
		}
		found = append(found, one)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read results of run %s: %w", run.ID, err))
	}
	return found, nil
}

func parseInto(a *money.Amount, text *string) (err error) {
	*a, err = money.Parse(value(text))
	return err
}
