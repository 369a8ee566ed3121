package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

const sqlSelectRevision = `SELECT revision FROM subscription WHERE id = $1`

const sqlUpdateProgress = `
UPDATE progress SET position = $3, delivered = $4, digest = $5::text::decimal, changed_at = now()
WHERE home = $1 AND subscription_id = $2 AND position <= $3`

const sqlDeleteDeliveries = `
DELETE FROM delivery WHERE home = $1 AND subscription_id = $2 AND position = ANY($3::int8[])`

const sqlPutDeliveries = `
INSERT INTO delivery (home, subscription_id, position, ledger_id, transaction_id, accounts, state, attempts, due_at, cause, detail, created_at,
    changed_at)
SELECT $1::text, $2::text, d.position, d.ledger_id, d.transaction_id, d.accounts::jsonb, d.state, d.attempts, d.due_at, d.cause, d.detail,
    d.created_at, now()
FROM unnest($3::int8[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::int8[], $9::timestamptz[], $10::text[], $11::text[],
    $12::timestamptz[])
AS d (position, ledger_id, transaction_id, accounts, state, attempts, due_at, cause, detail, created_at)
ON CONFLICT (home, subscription_id, position) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at,
    cause = excluded.cause, detail = excluded.detail, changed_at = excluded.changed_at`

// WriteCheckpoint writes a checkpoint, all of it or nothing. It is event.ErrFenced where the lease is lost, and event.ErrRevised where the
// subscription has another revision. Writing it again changes nothing.
func (s *Store) WriteCheckpoint(ctx context.Context, c event.Checkpoint) error {
	p := c.Progress
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		var revision int64
		moved := false
		batch := &pgx.Batch{}
		queueFence(batch, c.Lease)
		batch.Queue(sqlSelectRevision, p.Subscription).QueryRow(func(row pgx.Row) error {
			return orElse(row.Scan(&revision), event.ErrRevised)
		})
		batch.Queue(sqlUpdateProgress, p.Home, p.Subscription, p.Position, p.Delivered, p.Digest).Exec(func(tag pgconn.CommandTag) error {
			moved = tag.RowsAffected() == 1
			return nil
		})
		if len(c.Drop) > 0 {
			batch.Queue(sqlDeleteDeliveries, p.Home, p.Subscription, numbers(c.Drop))
		}
		if len(c.Put) > 0 {
			queuePut(batch, p, c.Put)
		}
		switch err := tx.SendBatch(ctx, batch).Close(); {
		case err != nil:
			return err
		case revision != c.Revision:
			return event.ErrRevised
		case !moved:
			return errs.ErrInternal.Because(fmt.Errorf("the progress of %s in %s is gone, or past position %d", p.Subscription, p.Home, p.Position))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write how far subscription %s is in %s: %w", p.Subscription, p.Home, err)
	}
	return nil
}

// orElse says what it means that a row is not there.
func orElse(err, missing error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return missing
	}
	return err
}

func queuePut(batch *pgx.Batch, p event.Progress, put []event.Delivery) {
	n := len(put)
	positions, attempts, transactions := make(column[int64], n), make(column[int64], n), make(column[[16]byte], n)
	ledgers, accounts, states, causes, details := make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n)
	due, created := make(column[time.Time], n), make(column[time.Time], n)
	for i, d := range put {
		positions[i], attempts[i], transactions[i] = int64(d.Position), int64(d.Attempts), d.Transaction
		ledgers[i], accounts[i], states[i], causes[i], details[i] = string(d.Ledger), refsJSON(d.Accounts), string(d.State), d.Cause, d.Detail
		due[i], created[i] = d.DueAt, d.CreatedAt
	}
	batch.Queue(sqlPutDeliveries, p.Home, p.Subscription, positions, ledgers, transactions, accounts, states, attempts, due, causes, details, created)
}
