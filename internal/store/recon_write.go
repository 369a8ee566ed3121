package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/recon"
)

const sqlInsertLines = `
INSERT INTO statement_line (home, ledger_id, statement_id, reference, number, line, line_id, kind, asset, amount, value_at, pending)
SELECT $1::text, $2::text, r.statement_id, r.reference, r.number, r.line, r.line_id, r.kind, r.asset, r.amount::decimal, r.value_at, r.pending = 1
FROM unnest($3::uuid[], $4::bytea[], $5::int8[], $6::int8[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::int8[])
AS r (statement_id, reference, number, line, line_id, kind, asset, amount, value_at, pending)
ON CONFLICT (home, ledger_id, statement_id, reference, number) DO NOTHING`

// AddLines implements recon.Store.
func (s *Store) AddLines(ctx context.Context, l ledger.Ledger, lines []recon.Line) error {
	n := len(lines)
	statements, references, numbers, places := make(column[[16]byte], n), make(blobs, n), make(column[int64], n), make(column[int64], n)
	ids, kinds, assets, amounts := make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n)
	dates, pending := make(column[time.Time], n), make(column[int64], n)
	for i, line := range lines {
		statements[i], references[i], numbers[i], places[i] = line.Statement.Transaction, []byte(line.Reference), line.Number, int64(line.At)
		ids[i], kinds[i], assets[i], amounts[i], dates[i] = line.ID, line.Kind, string(line.Asset.Code), line.Amount.String(), line.Date
		if line.Pending {
			pending[i] = 1
		}
	}
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertLines, l.Home, l.ID, statements, references, numbers, places, ids, kinds, assets, amounts, dates, pending)
		return err
	})
	if err != nil {
		return fmt.Errorf("write lines of a statement: %w", err)
	}
	return nil
}

const sqlInsertStatement = `
INSERT INTO statement (home, ledger_id, id, provider, file_name, file_hash, reading, lines, pending, period_from, period_to, imported_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (home, ledger_id, id) DO NOTHING`

// AddStatement implements recon.Store.
func (s *Store) AddStatement(ctx context.Context, l ledger.Ledger, st recon.Statement) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertStatement, l.Home, l.ID, [16]byte(st.ID.Transaction), st.Provider, st.File, st.FileHash[:], st.Reading, st.Lines,
			st.Pending, st.From, st.To, st.Imported)
		return err
	})
	if err != nil {
		return fmt.Errorf("write statement %s: %w", st.ID, err)
	}
	return nil
}

const sqlInsertRun = `
INSERT INTO recon_run (home, ledger_id, id, provider, statements, period_from, period_to, cut, rules, rules_hash, state, attempts, attempt, started_at,
    books, books_hash, results, result_hash, totals)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', 0, 0, $11, 0, ''::bytea, 0, ''::bytea, '[]')
ON CONFLICT (home, ledger_id, id) DO NOTHING`

const sqlAttemptRun = `
UPDATE recon_run SET attempts = attempts + 1 WHERE home = $1 AND ledger_id = $2 AND id = $3 RETURNING attempts`

// BeginRun implements recon.Store.
func (s *Store) BeginRun(ctx context.Context, l ledger.Ledger, r recon.Run) (attempt int64, err error) {
	statements, err := json.Marshal(r.Statements)
	if err != nil {
		return 0, errs.ErrInternal.Because(fmt.Errorf("write the statements of a run: %w", err))
	}
	hash := r.Rules.Hash()
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertRun, l.Home, l.ID, [16]byte(r.ID.Transaction), r.Provider, string(statements), r.From, r.To, r.Cut, r.Rules.Text(),
			hash[:], r.StartedAt)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, sqlAttemptRun, l.Home, l.ID, [16]byte(r.ID.Transaction)).Scan(&attempt)
	})
	if err != nil {
		return 0, fmt.Errorf("begin run %s: %w", r.ID, err)
	}
	return attempt, nil
}

// An attempt has one writer, and who loses it begins another: nothing is there before. ON CONFLICT would say it again, and CockroachDB reads all of a
// run for it.
const sqlInsertResults = `
INSERT INTO recon_result (home, ledger_id, run_id, attempt, number, match, verdict, reason, way, reference, asset, difference, statement_id, line_number,
    line_amount, line_at, transaction_id, payment_id, book_amount, book_at, evidence, compared_at)
SELECT $1::text, $2::text, $3::uuid, $4::int8, r.number, r.match, r.verdict, r.reason, r.way, r.reference, r.asset, r.difference::decimal, r.statement_id,
    r.line_number::int8, r.line_amount::decimal, r.line_at::timestamptz, r.transaction_id, r.payment_id, r.book_amount::decimal, r.book_at::timestamptz,
    r.evidence::jsonb, $5::timestamptz
FROM unnest($6::int8[], $7::int8[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::text[],
    $17::text[], $18::uuid[], $19::uuid[], $20::text[], $21::text[], $22::text[])
AS r (number, match, verdict, reason, way, reference, asset, difference, statement_id, line_number, line_amount, line_at, transaction_id, payment_id,
    book_amount, book_at, evidence)`

// AddResults implements recon.Store. The time of comparison is that of the run.
func (s *Store) AddResults(ctx context.Context, l ledger.Ledger, run recon.Run, results []recon.Result) error {
	n := len(results)
	numbers, matches := make(column[int64], n), make(column[int64], n)
	verdicts, reasons, ways := make(column[string], n), make(column[string], n), make(column[string], n)
	references, assets, differences := make(column[string], n), make(column[string], n), make(column[string], n)
	statements, transactions, payments := make(sparse[[16]byte], n), make(sparse[[16]byte], n), make(sparse[[16]byte], n)
	lineNumbers, lineAmounts, lineDates := make(sparse[string], n), make(sparse[string], n), make(sparse[string], n)
	bookAmounts, bookDates, evidence := make(sparse[string], n), make(sparse[string], n), make(sparse[string], n)
	for i, r := range results {
		numbers[i], matches[i], verdicts[i], reasons[i], ways[i] = r.Number, r.Match, string(r.Verdict), string(r.Reason), string(r.Way)
		references[i], assets[i], differences[i] = r.Reference, string(r.Asset), r.Difference.String()
		if r.Line != nil {
			statements[i] = (*[16]byte)(&r.Line.Statement.Transaction)
			lineNumbers[i], lineAmounts[i], lineDates[i] = some(strconv.FormatInt(r.Line.Number, 10)), some(r.Line.Amount.String()), some(rfc(r.Line.Date))
		}
		if r.Book != nil {
			transactions[i] = (*[16]byte)(&r.Book.Transaction)
			bookAmounts[i], bookDates[i] = some(r.Book.Amount.String()), some(rfc(r.Book.Date))
			if !r.Book.Payment.IsZero() {
				payments[i] = (*[16]byte)(&r.Book.Payment)
			}
		}
		if r.Evidence != nil {
			evidence[i] = some(string(r.Evidence))
		}
	}
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertResults, l.Home, l.ID, [16]byte(run.ID.Transaction), run.Attempt, run.StartedAt, numbers, matches, verdicts, reasons,
			ways, references, assets, differences, statements, lineNumbers, lineAmounts, lineDates, transactions, payments, bookAmounts, bookDates, evidence)
		return err
	})
	if err != nil {
		return fmt.Errorf("write results of run %s: %w", run.ID, err)
	}
	return nil
}

func some(s string) *string { return &s }

func rfc(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

const sqlEndRun = `
UPDATE recon_run SET state = 'done', attempt = $4, ended_at = $5, books = $6, books_hash = $7, results = $8, result_hash = $9, totals = $10
WHERE home = $1 AND ledger_id = $2 AND id = $3 AND state = 'running'`

// EndRun implements recon.Store.
func (s *Store) EndRun(ctx context.Context, l ledger.Ledger, r recon.Run) error {
	totals, err := json.Marshal(r.Totals)
	if err != nil {
		return errs.ErrInternal.Because(fmt.Errorf("write the totals of a run: %w", err))
	}
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlEndRun, l.Home, l.ID, [16]byte(r.ID.Transaction), r.Attempt, r.EndedAt, r.Books, r.BooksHash[:], r.Results, r.ResultHash[:],
			string(totals))
		return err
	})
	if err != nil {
		return fmt.Errorf("end run %s: %w", r.ID, err)
	}
	return nil
}

const sqlInsertResolution = `
INSERT INTO recon_resolution (home, ledger_id, id, run_id, result, proposer, reason, attachment_hash, account, counter, asset, difference, side, reference,
    gap, effective_at, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::decimal, $13, $14, $15, $16, $17)
ON CONFLICT (home, ledger_id, id) DO NOTHING`

// Propose implements recon.Store.
func (s *Store) Propose(ctx context.Context, l ledger.Ledger, r recon.Resolution) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertResolution, l.Home, l.ID, [16]byte(r.ID.Transaction), [16]byte(r.Run.Transaction), r.Result, r.Proposer, r.Reason,
			r.Attachment[:], r.Account, r.Counter, r.Asset, r.Difference.String(), r.Side.String(), r.Reference, r.Gap, r.Effective, r.ProposedAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("write resolution %s: %w", r.ID, err)
	}
	return nil
}

const resolutionReading = `r.id, r.run_id, r.result, r.proposer, r.reason, r.attachment_hash, r.account, r.counter, r.asset, r.difference::text, r.side,
    r.reference, r.gap, r.effective_at, r.proposed_at, COALESCE(d.actor, ''), COALESCE(d.decided, ''), COALESCE(d.why, ''), COALESCE(d.adjustment_key, ''),
    d.transaction_id, d.decided_at`

const sqlSelectResolution = `
SELECT ` + resolutionReading + `
FROM recon_resolution r
LEFT JOIN recon_decision d ON d.home = r.home AND d.ledger_id = r.ledger_id AND d.resolution_id = r.id
WHERE r.home = $1 AND r.ledger_id = $2 AND r.id = $3
ORDER BY d.number`

// Resolution implements recon.Store.
func (s *Store) Resolution(ctx context.Context, l ledger.Ledger, key recon.ResolutionID) (recon.Resolution, error) {
	found, err := s.queryResolutions(ctx, sqlSelectResolution, l.Home, l.ID, [16]byte(key.Transaction))
	return only(found, err, errs.ErrReconNotFound.With("resolution_id", key))
}

// Proposals are made by people: a run has few of them.
const sqlListResolutions = `
SELECT ` + resolutionReading + `
FROM recon_resolution r
LEFT JOIN recon_decision d ON d.home = r.home AND d.ledger_id = r.ledger_id AND d.resolution_id = r.id
WHERE r.home = $1 AND r.ledger_id = $2 AND r.run_id = $3
ORDER BY r.proposed_at, r.id, d.number`

// Resolutions implements recon.Store.
func (s *Store) Resolutions(ctx context.Context, l ledger.Ledger, run recon.RunID) ([]recon.Resolution, error) {
	return s.queryResolutions(ctx, sqlListResolutions, l.Home, l.ID, [16]byte(run.Transaction))
}

func (s *Store) queryResolutions(ctx context.Context, sql string, args ...any) ([]recon.Resolution, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []recon.Resolution
	var r recon.Resolution
	var d recon.Decision
	var hash []byte
	var side string
	var transaction pgtype.UUID
	var at *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		(*[16]byte)(&r.ID.Transaction), (*[16]byte)(&r.Run.Transaction), &r.Result, &r.Proposer, &r.Reason, &hash, &r.Account, &r.Counter, &r.Asset,
		into(&r.Difference), &side, &r.Reference, &r.Gap, &r.Effective, &r.ProposedAt, &d.Actor, &d.Decided, &d.Why, &d.Key, &transaction, &at,
	}, func() error {
		if n := len(found); n == 0 || found[n-1].ID != r.ID {
			one := r
			one.Attachment, one.Effective, one.ProposedAt = [32]byte(hash), r.Effective.UTC(), r.ProposedAt.UTC()
			if err := one.Side.UnmarshalText([]byte(side)); err != nil {
				return err
			}
			found = append(found, one)
		}
		if at != nil {
			one := d
			one.Transaction, one.At = transaction.Bytes, at.UTC()
			last := &found[len(found)-1]
			last.Decisions = append(last.Decisions, one)
		}
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read resolutions: %w", err))
	}
	return found, nil
}

const sqlSelectDecided = `
SELECT actor FROM recon_decision WHERE home = $1 AND ledger_id = $2 AND resolution_id = $3 AND decided <> 'refused'`

const sqlInsertDecision = `
INSERT INTO recon_decision (home, ledger_id, resolution_id, number, proposer, actor, decided, why, adjustment_key, transaction_id, decided_at)
SELECT $1::text, $2::text, $3::uuid, COALESCE(max(number), 0) + 1, $4::text, $5::text, $6::text, $7::text, $8::text, $9::uuid, $10::timestamptz
FROM recon_decision WHERE home = $1::text AND ledger_id = $2::text AND resolution_id = $3::uuid`

// checkViolation is the SQLSTATE of a CHECK that does not hold.
const checkViolation = "23514"

// Decide implements recon.Store. Of two that decide at the same time, one runs again and sees the other.
func (s *Store) Decide(ctx context.Context, l ledger.Ledger, r recon.Resolution, d recon.Decision) error {
	var key *string
	var transaction *[16]byte
	if d.Decided == recon.Approved {
		key, transaction = some(string(d.Key)), (*[16]byte)(&d.Transaction)
	}
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		var by string
		err := tx.QueryRow(ctx, sqlSelectDecided, l.Home, l.ID, [16]byte(r.ID.Transaction)).Scan(&by)
		switch {
		case err == nil && d.Decided != recon.Refused:
			return errs.ErrDecided.With("by", by)
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		_, err = tx.Exec(ctx, sqlInsertDecision, l.Home, l.ID, [16]byte(r.ID.Transaction), r.Proposer, d.Actor, string(d.Decided), d.Why, key, transaction, d.At)
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == checkViolation {
			return errs.ErrFourEyes.With("actor", d.Actor).Because(err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("decide about resolution %s: %w", r.ID, err)
	}
	return nil
}
