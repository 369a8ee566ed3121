package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/search"
)

// That the position moves on from where it was keeps rows from being written twice. ON CONFLICT would say the same again, and CockroachDB reads
// all of a home for it.
const sqlAdvanceGeneration = `
UPDATE search_state SET position = $4, changed_at = now() WHERE home = $1 AND generation = $2 AND position = $3`

const sqlInsertSearchTransactions = `
INSERT INTO search_transaction (home, ledger_id, generation, recorded_at, position, transaction_id, kind, outcome, reason, reference,
    correlation_id, trace_id, metadata)
SELECT $1::text, r.ledger_id, $2::int8, r.recorded_at, r.position, r.transaction_id, r.kind, r.outcome, r.reason, r.reference, r.correlation_id,
    r.trace_id, r.metadata::jsonb
FROM unnest($3::text[], $4::timestamptz[], $5::int8[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
AS r (ledger_id, recorded_at, position, transaction_id, kind, outcome, reason, reference, correlation_id, trace_id, metadata)`

const sqlInsertSearchAccounts = `
INSERT INTO search_account (home, ledger_id, generation, account_id, recorded_at, position)
SELECT $1::text, r.ledger_id, $2::int8, r.account_id, r.recorded_at, r.position
FROM unnest($3::text[], $4::text[], $5::timestamptz[], $6::int8[]) AS r (ledger_id, account_id, recorded_at, position)`

// Project implements search.Store, in one round trip and a commit.
func (s *Store) Project(ctx context.Context, lease event.Lease, generation int64, after, to event.Position, rows []search.Row) error {
	transactions, accounts := searchColumns(lease.Home, generation, rows)
	err := s.fenced(ctx, lease, func(batch *pgx.Batch) {
		batch.Queue(sqlAdvanceGeneration, lease.Home, generation, after, to).Exec(touching(search.ErrMoved))
		batch.Queue(sqlInsertSearchTransactions, transactions...)
		batch.Queue(sqlInsertSearchAccounts, accounts...)
	})
	if err != nil {
		return fmt.Errorf("make positions %d to %d of %s searchable: %w", after+1, to, lease.Home, err)
	}
	return nil
}

// searchColumns turns rows into the arguments of both inserts.
func searchColumns(home id.Home, generation int64, rows []search.Row) (transactions, accounts []any) {
	n := len(rows)
	ledgers, at, positions, ids := make(column[string], n), make(column[time.Time], n), make(column[int64], n), make(column[[16]byte], n)
	kinds, outcomes, reasons := make(column[string], n), make(column[string], n), make(column[string], n)
	references, correlations, traces, metadata := make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n)
	var ofLedgers, names column[string]
	var ofTimes column[time.Time]
	var ofPositions column[int64]
	for i, r := range rows {
		ledgers[i], at[i], positions[i], ids[i] = string(r.Ledger), r.At, int64(r.Position), r.Transaction
		kinds[i], outcomes[i], reasons[i] = string(r.Kind), string(r.Decided), string(r.Reason)
		references[i], correlations[i], traces[i], metadata[i] = r.Reference, r.Correlation, r.TraceID, string(metadataJSON(r.Metadata))
		for _, a := range r.Accounts {
			ofLedgers, names = append(ofLedgers, string(r.Ledger)), append(names, string(a))
			ofTimes, ofPositions = append(ofTimes, r.At), append(ofPositions, int64(r.Position))
		}
	}
	return []any{home, generation, ledgers, at, positions, ids, kinds, outcomes, reasons, references, correlations, traces, metadata},
		[]any{home, generation, ofLedgers, names, ofTimes, ofPositions}
}

// A part of a generation is removed as a range that ends before the first row that stays: the same plan on both engines, of any version.
const (
	sqlKeepAccount = `
SELECT account_id, recorded_at, position FROM search_account WHERE home = $1 AND ledger_id = $2 AND generation = $3
ORDER BY account_id, recorded_at, position LIMIT 1 OFFSET $4`

	sqlPurgeAccounts = `
DELETE FROM search_account WHERE home = $1 AND ledger_id = $2 AND generation = $3 AND (account_id, recorded_at, position) < ($4, $5, $6::int8)`

	sqlPurgeLastAccounts = `DELETE FROM search_account WHERE home = $1 AND ledger_id = $2 AND generation = $3`

	sqlKeepTransaction = `
SELECT recorded_at, position FROM search_transaction WHERE home = $1 AND ledger_id = $2 AND generation = $3
ORDER BY recorded_at, position LIMIT 1 OFFSET $4`

	sqlPurgeTransactions = `
DELETE FROM search_transaction WHERE home = $1 AND ledger_id = $2 AND generation = $3 AND (recorded_at, position) < ($4, $5::int8)`

	sqlPurgeLastTransactions = `DELETE FROM search_transaction WHERE home = $1 AND ledger_id = $2 AND generation = $3`

	sqlDeleteGeneration = `DELETE FROM search_state WHERE home = $1 AND generation = $2 AND NOT serving`
)

const sqlLedgersOf = `SELECT id FROM ledger WHERE home = $1 ORDER BY id`

func (s *Store) ledgersOf(ctx context.Context, home id.Home) ([]id.Ledger, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlLedgersOf, home) // the error comes back from the collection
	ledgers, err := pgx.CollectRows(rows, pgx.RowTo[id.Ledger])
	if err != nil {
		return nil, fmt.Errorf("read the ledgers of %s: %w", home, err)
	}
	return ledgers, nil
}

// Purge implements search.Store: of one ledger and one table at a time. A generation that serves is not touched.
func (s *Store) Purge(ctx context.Context, lease event.Lease, generation int64, limit int) (gone bool, err error) {
	ledgers, err := s.ledgersOf(ctx, lease.Home)
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		gone = false
		if err := Fence(ctx, tx, lease); err != nil {
			return err
		}
		var serving bool
		if err := tx.QueryRow(ctx, sqlSelectServing, lease.Home, generation).Scan(&serving); err != nil {
			return orElse(err, search.ErrMoved)
		}
		if serving {
			return search.ErrMoved
		}
		for _, l := range ledgers {
			if some, err := purgeSome(ctx, tx, []any{lease.Home, l, generation}, limit); err != nil || some {
				return err
			}
		}
		gone = true
		_, err := tx.Exec(ctx, sqlDeleteGeneration, lease.Home, generation)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("remove generation %d of %s: %w", generation, lease.Home, err)
	}
	return gone, nil
}

const sqlSelectServing = `SELECT serving FROM search_state WHERE home = $1 AND generation = $2`

// purgeSome removes some rows of one ledger, unless there are none.
func purgeSome(ctx context.Context, tx pgx.Tx, of []any, limit int) (some bool, err error) {
	for _, table := range []struct {
		keep, some, last string
		place            []any
	}{
		{sqlKeepAccount, sqlPurgeAccounts, sqlPurgeLastAccounts, []any{new(string), new(time.Time), new(int64)}},
		{sqlKeepTransaction, sqlPurgeTransactions, sqlPurgeLastTransactions, []any{new(time.Time), new(int64)}},
	} {
		sql, args := table.some, slices.Concat(of, table.place)
		err := tx.QueryRow(ctx, table.keep, append(of[:len(of):len(of)], limit)...).Scan(table.place...)
		if errors.Is(err, pgx.ErrNoRows) {
			sql, args, err = table.last, of, nil
		}
		if err != nil {
			return false, err
		}
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil || tag.RowsAffected() > 0 {
			return err == nil, err
		}
	}
	return false, nil
}
