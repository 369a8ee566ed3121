package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

const sqlHomes = `SELECT DISTINCT home FROM ledger ORDER BY home`

// Homes returns the homes that have a ledger, by name.
func (s *Store) Homes(ctx context.Context) ([]id.Home, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlHomes) // the error comes back from the collection
	homes, err := pgx.CollectRows(rows, pgx.RowTo[id.Home])
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read homes: %w", err))
	}
	return homes, nil
}

// The clock of leases is the database's.
const sqlHolding = `
SELECT owner, epoch, extract(epoch FROM expires_at - now())::float8 FROM relay WHERE home = $1`

// Holding returns who has the lease of a home, or had it last; the zero value where nobody ever had.
func (s *Store) Holding(ctx context.Context, home id.Home) (event.Holding, error) {
	h := event.Holding{Lease: event.Lease{Home: home}}
	var left float64
	err := s.db.Reader().QueryRow(ctx, sqlHolding, home).Scan(&h.Owner, &h.Epoch, &left)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return event.Holding{}, db.Classify(fmt.Errorf("read the lease of %s: %w", home, err))
	}
	h.Left = time.Duration(left * float64(time.Second))
	return h, nil
}

const sqlInsertRelay = `
INSERT INTO relay (home, owner, epoch, expires_at, head, cursor) VALUES ($1, '', 0, now(), 0, '')
ON CONFLICT (home) DO NOTHING`

// FOR UPDATE waits for everybody who is past the fence (sqlFence), which UPDATE by itself would not on PostgreSQL.
const sqlLockFree = `
SELECT owner FROM relay WHERE home = $1 AND expires_at <= now() FOR UPDATE`

const sqlTakeLease = `
UPDATE relay SET owner = $2, epoch = epoch + 1, expires_at = now() + $3::int8 * INTERVAL '1 millisecond'
WHERE home = $1
RETURNING epoch, head, cursor`

// Acquire takes the lease of a home for ttl, where it is free or has ended; taken is false where somebody has it. From then on everything
// under an earlier epoch is refused, and what was under way is committed or lost.
func (s *Store) Acquire(ctx context.Context, home id.Home, owner string, ttl time.Duration) (tenure event.Tenure, taken bool, err error) {
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		tenure, taken = event.Tenure{Lease: event.Lease{Home: home, Owner: owner}}, false
		if _, err := tx.Exec(ctx, sqlInsertRelay, home); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, sqlLockFree, home) // the error comes back from the collection
		free, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(free) == 0 {
			return err
		}
		tenure.From, taken = free[0], true
		return tx.QueryRow(ctx, sqlTakeLease, home, owner, ttl.Milliseconds()).Scan(&tenure.Epoch, &tenure.Head, &tenure.Cursor)
	})
	if err != nil {
		return event.Tenure{}, false, fmt.Errorf("take the lease of %s: %w", home, err)
	}
	return tenure, taken, nil
}

const sqlRenewLease = `
UPDATE relay SET expires_at = now() + $3::int8 * INTERVAL '1 millisecond' WHERE home = $1 AND epoch = $2`

// Renew prolongs a lease to ttl from now, also one that ended and that nobody took. The error is event.ErrFenced where somebody did.
func (s *Store) Renew(ctx context.Context, lease event.Lease, ttl time.Duration) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlRenewLease, lease.Home, lease.Epoch, ttl.Milliseconds())
		if err == nil && tag.RowsAffected() == 0 {
			err = event.ErrFenced
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("renew the lease of %s: %w", lease.Home, err)
	}
	return nil
}

const sqlReleaseLease = `
UPDATE relay SET expires_at = now(), owner = '' WHERE home = $1 AND epoch = $2`

// Release lets go of a lease, so that another may take it at once. To let go of what is lost is no error.
func (s *Store) Release(ctx context.Context, lease event.Lease) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlReleaseLease, lease.Home, lease.Epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("let go of the lease of %s: %w", lease.Home, err)
	}
	return nil
}

// The weakest lock that Acquire's waits for: it stands beside the updates of Append and Renew. CockroachDB takes none, and needs none: what
// a transaction read there still holds when it commits.
const sqlFence = `
SELECT epoch FROM relay WHERE home = $1 AND epoch = $2 FOR KEY SHARE`

// Fence makes a transaction of db.DB.Write one of the lease's owner: it commits before anybody else takes the lease, or not at all. The error
// is event.ErrFenced where somebody did.
func Fence(ctx context.Context, tx pgx.Tx, lease event.Lease) error {
	tag, err := tx.Exec(ctx, sqlFence, lease.Home, lease.Epoch)
	switch {
	case err != nil:
		return fmt.Errorf("check the lease of %s: %w", lease.Home, err)
	case tag.RowsAffected() == 0:
		return event.ErrFenced
	}
	return nil
}

// queueFence is Fence as a part of a batch.
func queueFence(batch *pgx.Batch, lease event.Lease) {
	batch.Queue(sqlFence, lease.Home, lease.Epoch).QueryRow(func(row pgx.Row) error {
		return orElse(row.Scan(new(int64)), event.ErrFenced)
	})
}
