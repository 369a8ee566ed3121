package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var _ event.Stream = (*Store)(nil)

// MaxAppend bounds the changes of one Append.
const MaxAppend = 1000

// As for a group, the look-up stands before the serializable transaction, where it would lock the pages of the index; the unique index is what
// keeps a change from standing there twice.
const sqlLookupAppended = `
SELECT k.n
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS k (home, ledger_id, id, n)
JOIN stream s ON s.home = k.home AND s.ledger_id = k.ledger_id AND s.transaction_id = k.id`

// Fence, positions and cursor in one statement: either it finds the lease's row, or it does nothing. That row is what makes the appends to a
// home follow each other. Times never run backwards, whoever's clock they come from, so that PositionAt can search.
const sqlAppend = `
WITH appended AS (
    INSERT INTO stream (home, position, ledger_id, transaction_id, appended_at)
    SELECT r.home, r.head + k.n, k.ledger_id, k.id, greatest(now(), (SELECT l.appended_at FROM stream l WHERE l.home = r.home AND l.position = r.head))
    FROM relay r CROSS JOIN unnest($3::text[], $4::uuid[]) WITH ORDINALITY AS k (ledger_id, id, n)
    WHERE r.home = $1 AND r.epoch = $2
    RETURNING position
)
UPDATE relay SET head = head + (SELECT count(*) FROM appended), cursor = CASE WHEN $5::text = '' THEN cursor ELSE $5::text END
WHERE home = $1 AND epoch = $2
RETURNING head`

// Append writes changes at the end of the stream of the lease's home, in their order, and with them where the feed goes on; an empty cursor
// leaves that as it was. What stands in the stream already is left out, so that an append can be repeated. It returns the head and how
// many are new. Errors: event.ErrFenced, where somebody else has the lease; errs.ErrOutcomeUnknown and others of the database, after
// which the same may be appended again. Several may append to a home at once: the row of the lease has them follow each other, and a unique
// index keeps a change that two of them bring from standing there twice.
func (s *Store) Append(
	ctx context.Context, lease event.Lease, changes []event.Change, cursor event.Cursor,
) (head event.Position, appended int, err error) {
	if len(changes) > MaxAppend {
		return 0, 0, errs.Invalid("changes", fmt.Sprintf("append at most %d at once", MaxAppend))
	}
	changes = once(changes)
	ledgers, ids, err := missing(ctx, s.db.Reader(), lease.Home, changes)
	if err != nil {
		return 0, 0, db.Classify(fmt.Errorf("append to the stream of %s: %w", lease.Home, err))
	}
	attempts := 0
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		if attempts++; attempts > 1 { // an append whose answer was lost may have been committed since
			if ledgers, ids, err = missing(ctx, tx, lease.Home, changes); err != nil {
				return err
			}
		}
		err := tx.QueryRow(ctx, sqlAppend, lease.Home, lease.Epoch, ledgers, ids, cursor).Scan(&head)
		if errors.Is(err, pgx.ErrNoRows) {
			err = event.ErrFenced
		}
		appended = len(ids)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("append to the stream of %s: %w", lease.Home, err)
	}
	return head, appended, nil
}

// once leaves out changes that stand there before.
func once(changes []event.Change) []event.Change {
	type key struct {
		ledger      id.Ledger
		transaction id.Transaction
	}
	seen := make(map[key]bool, len(changes))
	return slices.DeleteFunc(slices.Clone(changes), func(c event.Change) bool {
		k := key{c.Ledger, c.Transaction}
		defer func() { seen[k] = true }()
		return seen[k]
	})
}

// queryer is a pool or a transaction.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// missing returns the keys of those changes that are not in the stream yet.
func missing(ctx context.Context, on queryer, home id.Home, changes []event.Change) (ledgers column[string], ids column[[16]byte], err error) {
	var keys rowKeys[[16]byte]
	for _, c := range changes {
		keys.add(ledger.Ledger{Home: home, ID: c.Ledger}, c.Transaction)
	}
	if len(changes) == 0 {
		return column[string]{}, column[[16]byte]{}, nil
	}
	there := make([]bool, len(changes))
	rows, _ := on.Query(ctx, sqlLookupAppended, keys.homes, keys.ledgers, keys.ids) // the error comes back from the loop
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&n}, func() error { there[n-1] = true; return nil }); err != nil {
		return nil, nil, fmt.Errorf("look up changes: %w", err)
	}
	ledgers, ids = make(column[string], 0, len(changes)), make(column[[16]byte], 0, len(changes))
	for i := range changes {
		if !there[i] {
			ledgers, ids = append(ledgers, keys.ledgers[i]), append(ids, keys.ids[i])
		}
	}
	return ledgers, ids, nil
}

const sqlHeads = `SELECT home, head FROM relay ORDER BY home`

// Heads implements event.Stream.
func (s *Store) Heads(ctx context.Context) ([]event.Head, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlHeads) // the error comes back from the loop
	var h event.Head
	found, err := collect(rows, &h, []any{&h.Home, &h.Position}, nil)
	batch := &pgx.Batch{}
	for i := range found {
		if h := &found[i]; h.Position > 0 {
			batch.Queue(sqlAppendedAt, h.Home, h.Position).QueryRow(func(row pgx.Row) error { return row.Scan(&h.At) })
		}
	}
	if err == nil && batch.Len() > 0 {
		err = s.db.Reader().SendBatch(ctx, batch).Close()
	}
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the heads of the streams: %w", err))
	}
	for i := range found {
		found[i].At = found[i].At.UTC()
	}
	return found, nil
}

const sqlHead = `SELECT head FROM relay WHERE home = $1`

// Head implements event.Stream.
func (s *Store) Head(ctx context.Context, home id.Home) (event.Position, error) {
	return s.position(ctx, sqlHead, home)
}

// originReading is the home of a position's journal row, which is that of its ledger: rows of other homes are in the stream as well where they
// have entries here. As a join, ledger would give PostgreSQL a way to find all of its journal, as long as neither has statistics.
const originReading = `(SELECT l.home FROM ledger l WHERE l.id = stream.ledger_id) AS origin`

// Positions have no gap, so that a limit is a range. Without the range CockroachDB would sort the whole stream to find the first ones of the
// join, without the limit PostgreSQL would compare all of the journal with them, as long as neither has statistics.
const sqlSelectEvents = `
SELECT ` + recordReading + `, s.position, s.appended_at
FROM (SELECT ` + originReading + `, position, ledger_id, transaction_id, appended_at
    FROM stream WHERE home = $1 AND position > $2 AND position <= $2 + $3::int8 ORDER BY position LIMIT $3) s
JOIN journal j ON j.home = s.origin AND j.ledger_id = s.ledger_id AND j.id = s.transaction_id
ORDER BY s.position`

// Events implements event.Stream. A gap, which is a row of the journal that is gone or a position that is, is errs.ErrInternal.
func (s *Store) Events(ctx context.Context, home id.Home, after event.Position, limit int) ([]event.Event, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlSelectEvents, home, after, limit) // the error comes back from the loop
	var found []event.Event
	var position event.Position
	var at time.Time
	err := eachRecord(rows, func(r ledger.Record) error {
		if want := after + event.Position(len(found)) + 1; position != want {
			return fmt.Errorf("position %d follows %d", position, want-1)
		}
		found = append(found, event.Event{Home: home, Position: position, AppendedAt: at.UTC(), Record: r})
		return nil
	}, &position, &at)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the stream of %s: %w", home, err))
	}
	return found, nil
}

const sqlPositionOf = `SELECT position FROM stream WHERE home = $1 AND ledger_id = $2 AND transaction_id = $3`

// PositionOf implements event.Stream.
func (s *Store) PositionOf(ctx context.Context, home id.Home, key id.Ledger, transaction id.Transaction) (event.Position, error) {
	return s.position(ctx, sqlPositionOf, home, key, [16]byte(transaction))
}

// position reads one, or 0 where there is none.
func (s *Store) position(ctx context.Context, sql string, args ...any) (p event.Position, err error) {
	err = s.db.Reader().QueryRow(ctx, sql, args...).Scan(&p)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, db.Classify(fmt.Errorf("read a position of %s: %w", args[0], err))
	}
	return p, nil
}

const sqlAppendedAt = `SELECT appended_at FROM stream WHERE home = $1 AND position = $2`

// PositionAt implements event.Stream: a binary search by primary key, in a logarithm of round trips.
func (s *Store) PositionAt(ctx context.Context, home id.Home, at time.Time) (event.Position, error) {
	last, err := s.Head(ctx, home)
	if err != nil {
		return 0, err
	}
	low, high := event.Position(1), last+1 // the answer is low - 1
	for low < high {
		middle := low + (high-low)/2
		var appended time.Time
		if err := s.db.Reader().QueryRow(ctx, sqlAppendedAt, home, middle).Scan(&appended); err != nil {
			return 0, db.Classify(fmt.Errorf("search the stream of %s: %w", home, err))
		}
		if appended.Before(at) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1, nil
}
