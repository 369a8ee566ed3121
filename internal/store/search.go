package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/search"
)

var _ search.Store = (*Store)(nil)

// The rows of a range are counted before they are judged, so that a statement looks at so many at most, whatever matches. What is wanted
// is a column, not a condition, for the same reason: the last row that was looked at is where the next portion begins.
const (
	scanned = `
SELECT t.recorded_at, t.position, t.transaction_id, t.position <= $9
    AND (array_length($10::text[], 1) IS NULL OR t.kind = ANY($10::text[]))
    AND ($11::text = '' OR t.outcome = $11::text)
    AND (array_length($12::text[], 1) IS NULL OR t.reason = ANY($12::text[]))
    AND ($13::text = '' OR t.reference = $13::text)
    AND ($14::text = '' OR t.correlation_id = $14::text)
    AND t.metadata @> $15::text::jsonb
FROM (SELECT home, ledger_id, generation, recorded_at, position FROM `
	withinRange = `home = $1 AND ledger_id = $2 AND generation = $3 AND (recorded_at, position) > ($4, $5::int8) AND (recorded_at, position) < ($6, $7::int8)`
	scannedRows = ` LIMIT $8) k
JOIN search_transaction t ON t.home = k.home AND t.ledger_id = k.ledger_id AND t.generation = k.generation AND t.recorded_at = k.recorded_at
    AND t.position = k.position
ORDER BY `
	oldest, oldestOf = ` ORDER BY recorded_at, position`, `k.recorded_at, k.position`
	newest, newestOf = ` ORDER BY recorded_at DESC, position DESC`, `k.recorded_at DESC, k.position DESC`

	byTime      = `search_transaction WHERE ` + withinRange
	byReference = `search_transaction WHERE ` + withinRange + ` AND reference = $13::text AND reference <> ''`
	byAccount   = `search_account WHERE ` + withinRange + ` AND account_id = $16`
)

const (
	sqlScanTime              = scanned + byTime + oldest + scannedRows + oldestOf
	sqlScanTimeBackward      = scanned + byTime + newest + scannedRows + newestOf
	sqlScanReference         = scanned + byReference + oldest + scannedRows + oldestOf
	sqlScanReferenceBackward = scanned + byReference + newest + scannedRows + newestOf
	sqlScanAccount           = scanned + byAccount + oldest + scannedRows + oldestOf
	sqlScanAccountBackward   = scanned + byAccount + newest + scannedRows + newestOf
)

const sqlServing = `SELECT generation FROM search_state WHERE home = $1 AND serving`

// Scan implements search.Store. A reference has the shortest range, then an account, then a time.
func (s *Store) Scan(ctx context.Context, q search.Scan) (hits []search.Hit, serving int64, err error) {
	oldestFirst, newestFirst := sqlScanTime, sqlScanTimeBackward
	args := []any{
		q.Home, q.Ledger, q.Generation, q.Low.At, q.Low.Position, q.High.At, q.High.Position, q.Rows, q.Until,
		texts(q.Kinds), q.Decided, texts(q.Reasons), q.Reference, q.Correlation, string(metadataJSON(q.Metadata)),
	}
	switch {
	case q.Reference != "":
		oldestFirst, newestFirst = sqlScanReference, sqlScanReferenceBackward
	case q.Account != "":
		oldestFirst, newestFirst, args = sqlScanAccount, sqlScanAccountBackward, append(args, q.Account)
	}
	if !q.OldestFirst {
		oldestFirst = newestFirst
	}
	batch := &pgx.Batch{}
	batch.Queue(oldestFirst, args...).Query(func(rows pgx.Rows) error {
		var hit search.Hit
		_, err := pgx.ForEachRow(rows, []any{&hit.At, &hit.Position, (*[16]byte)(&hit.Transaction), &hit.Matches}, func() error {
			hit.At = hit.At.UTC()
			hits = append(hits, hit)
			return nil
		})
		return err
	})
	batch.Queue(sqlServing, q.Home).Query(func(rows pgx.Rows) error { // after the rows: what was removed before it was read no longer serves
		_, err := pgx.ForEachRow(rows, []any{&serving}, func() error { return nil })
		return err
	})
	if err := s.db.Reader().SendBatch(ctx, batch).Close(); err != nil {
		return nil, 0, db.Classify(fmt.Errorf("search ledger %s: %w", q.Ledger, err))
	}
	return hits, serving, nil
}

func texts[S ~string](all []S) column[string] {
	c := make(column[string], len(all))
	for i, text := range all {
		c[i] = string(text)
	}
	return c
}

const sqlRecordsAt = `
SELECT ` + recordReading + `
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS k (home, ledger_id, id, n)
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id
ORDER BY k.n`

// RecordsAt implements search.Store. A row of the journal that is gone is errs.ErrInternal.
func (s *Store) RecordsAt(ctx context.Context, l ledger.Ledger, ids []id.Transaction) ([]ledger.Record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var keys rowKeys[[16]byte]
	for _, t := range ids {
		keys.add(l, t)
	}
	found, err := s.queryRecords(ctx, sqlRecordsAt, keys.homes, keys.ledgers, keys.ids)
	if err == nil && len(found) != len(ids) {
		err = errs.ErrInternal.Because(fmt.Errorf("the journal of %s has %d of %d transactions of the search model", l.ID, len(found), len(ids)))
	}
	return found, err
}

const sqlSelectGenerations = `
SELECT generation, position, serving, changed_at FROM search_state WHERE home = $1 ORDER BY generation`

// Generations implements search.Store.
func (s *Store) Generations(ctx context.Context, home id.Home) (search.Generations, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlSelectGenerations, home) // the error comes back from the collection
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g search.Generation, err error) {
		err = row.Scan(&g.Number, &g.Position, &g.Serving, &g.ChangedAt)
		g.ChangedAt = g.ChangedAt.UTC()
		return g, err
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the generations of %s: %w", home, err))
	}
	return found, nil
}

const sqlInsertGeneration = `
INSERT INTO search_state (home, generation, position, serving, changed_at)
SELECT $1::text, coalesce(max(generation), 0) + 1, 0, coalesce(NOT bool_or(serving), true), now() FROM search_state WHERE home = $1
RETURNING generation, serving, changed_at`

// BeginGeneration implements search.Store.
func (s *Store) BeginGeneration(ctx context.Context, home id.Home) (g search.Generation, err error) {
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, sqlInsertGeneration, home).Scan(&g.Number, &g.Serving, &g.ChangedAt)
	})
	if err != nil {
		return search.Generation{}, fmt.Errorf("begin a generation of %s: %w", home, err)
	}
	g.ChangedAt = g.ChangedAt.UTC()
	return g, nil
}

const sqlServeGeneration = `
UPDATE search_state SET serving = (generation = $2), changed_at = now()
WHERE home = $1 AND (serving OR generation = $2)
    AND (SELECT position FROM search_state WHERE home = $1 AND generation = $2) >= (SELECT max(position) FROM search_state WHERE home = $1 AND serving)`

// Serve implements search.Store.
func (s *Store) Serve(ctx context.Context, lease event.Lease, generation int64) error {
	err := s.fenced(ctx, lease, func(batch *pgx.Batch) {
		batch.Queue(sqlServeGeneration, lease.Home, generation).Exec(touching(search.ErrMoved))
	})
	if err != nil {
		return fmt.Errorf("let generation %d of %s serve: %w", generation, lease.Home, err)
	}
	return nil
}

// fenced runs a batch in a transaction of the lease's owner.
func (s *Store) fenced(ctx context.Context, lease event.Lease, queue func(*pgx.Batch)) error {
	return s.db.Write(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		queueFence(batch, lease)
		queue(batch)
		return tx.SendBatch(ctx, batch).Close()
	})
}

// touching wants a statement to change some row.
func touching(otherwise error) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return otherwise
		}
		return nil
	}
}
