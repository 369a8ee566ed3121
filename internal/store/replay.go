package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

const sqlInsertReplay = `
INSERT INTO replay (home, id, subscription_id, first_position, last_position, position, per_second, state, reason, created_at, changed_at)
VALUES ($1, $2, $3, $4::int8, $5, $4::int8 - 1, $6, 'running', $7, now(), now())
ON CONFLICT (home, id) DO NOTHING`

// CreateReplay writes a replay down; where its id is taken in that home it returns what stands there.
func (s *Store) CreateReplay(ctx context.Context, r event.Replay) (event.Replay, error) {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlInsertReplay, r.Home, r.ID, r.Subscription, int64(r.First), int64(r.Last), int64(r.PerSecond), r.Reason)
		return err
	})
	if err != nil {
		return event.Replay{}, fmt.Errorf("create replay %s: %w", r.ID, err)
	}
	return s.replay(ctx, r.Home, r.ID)
}

const replayReading = `home, id, subscription_id, first_position, last_position, position, per_second, state, reason, created_at, changed_at`

const sqlSelectReplay = `
SELECT ` + replayReading + ` FROM replay WHERE home = $1 AND id = $2`

func (s *Store) replay(ctx context.Context, home id.Home, name string) (event.Replay, error) {
	found, err := s.queryReplays(ctx, sqlSelectReplay, home, name)
	return only(found, err, errs.ErrReplayNotFound.With("home", home).With("replay", name))
}

const sqlRunningReplays = `
SELECT ` + replayReading + ` FROM replay WHERE home = $1 AND state = 'running' ORDER BY created_at, id`

// RunningReplays returns the replays of a home that are running, oldest first.
func (s *Store) RunningReplays(ctx context.Context, home id.Home) ([]event.Replay, error) {
	return s.queryReplays(ctx, sqlRunningReplays, home)
}

const sqlListReplays = `
SELECT ` + replayReading + ` FROM replay WHERE subscription_id = $1 ORDER BY created_at DESC, home, id LIMIT $2`

// Replays lists the replays of a subscription, newest first, at most limit of them.
func (s *Store) Replays(ctx context.Context, subscription string, limit int) ([]event.Replay, error) {
	return s.queryReplays(ctx, sqlListReplays, subscription, limit)
}

func (s *Store) queryReplays(ctx context.Context, sql string, args ...any) ([]event.Replay, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var r event.Replay
	found, err := collect(rows, &r, []any{
		&r.Home, &r.ID, &r.Subscription, &r.First, &r.Last, &r.Position, &r.PerSecond, &r.State, &r.Reason, &r.CreatedAt, &r.ChangedAt,
	}, func(r *event.Replay) { r.CreatedAt, r.ChangedAt = r.CreatedAt.UTC(), r.ChangedAt.UTC() })
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read replays: %w", err))
	}
	return found, nil
}

const sqlAdvanceReplay = `
UPDATE replay SET position = greatest(position, $3), state = CASE WHEN $4::bool THEN 'done' ELSE state END, changed_at = now()
WHERE home = $1 AND id = $2 AND state = 'running'`

// AdvanceReplay writes down how far a running replay is, and whether it is done. It returns false where the replay runs no more, and
// event.ErrFenced where the lease is lost.
func (s *Store) AdvanceReplay(ctx context.Context, lease event.Lease, name string, position event.Position, done bool) (runs bool, err error) {
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		if err := Fence(ctx, tx, lease); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlAdvanceReplay, lease.Home, name, int64(position), done)
		runs = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("advance replay %s: %w", name, err)
	}
	return runs, nil
}

const sqlCancelReplay = `
UPDATE replay SET state = 'cancelled', changed_at = now() WHERE home = $1 AND id = $2 AND state = 'running'`

// CancelReplay stops a replay; one that is over stays as it is. It is errs.ErrReplayNotFound where there is none.
func (s *Store) CancelReplay(ctx context.Context, home id.Home, name string) (event.Replay, error) {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlCancelReplay, home, name)
		return err
	})
	if err != nil {
		return event.Replay{}, fmt.Errorf("cancel replay %s: %w", name, err)
	}
	return s.replay(ctx, home, name)
}
