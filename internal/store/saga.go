package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/saga"
)

var (
	_ saga.Store         = (*Store)(nil)
	_ saga.OperatorStore = (*Store)(nil)
)

const sagaColumns = `home, ledger_id, id, start_key, flow, request, state, step, version, attempts, progress, cause, detail, awaits, due_at, since,
    opened_at, changed_at`

const sqlInsertSaga = `
INSERT INTO saga (` + sagaColumns + `)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11::jsonb, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (home, ledger_id, id) DO NOTHING`

const sqlInsertSagaLine = `
INSERT INTO saga_step (home, ledger_id, saga_id, number, step, back, event, cause, detail, actor, proposer, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

// StartSaga implements saga.OperatorStore.
func (s *Store) StartSaga(ctx context.Context, g saga.Saga, line saga.Line) (stands saga.Saga, there bool, err error) {
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlInsertSaga, g.Home, g.Ledger, [16]byte(g.ID), g.Key, g.Flow, mustJSON(g.Request), g.State, g.Step, g.Version,
			g.Attempts, mustJSON(g.Progress), g.Cause, g.Detail, g.Awaits, g.DueAt, g.Since, g.OpenedAt, g.ChangedAt)
		if there = err == nil && tag.RowsAffected() == 0; err != nil || there {
			return err
		}
		return insertLine(ctx, tx, g, line)
	})
	if err != nil {
		return saga.Saga{}, false, fmt.Errorf("start saga %s: %w", g.ID, err)
	}
	if !there {
		return g, false, nil
	}
	stands, err = s.Saga(ctx, g.Home, g.Ledger, g.ID)
	return stands, true, err
}

func insertLine(ctx context.Context, tx pgx.Tx, g saga.Saga, line saga.Line) error {
	_, err := tx.Exec(ctx, sqlInsertSagaLine, g.Home, g.Ledger, [16]byte(g.ID), line.Number, line.Step, line.Back, line.Event, line.Cause, line.Detail,
		line.Actor, line.Proposer, line.At)
	return err
}

const sqlDueSagas = `
SELECT ` + sagaColumns + `
FROM saga WHERE home = $1 AND state IN ('running', 'compensating', 'waiting') AND due_at <= $2 ORDER BY due_at LIMIT $3`

// DueSagas implements saga.Store.
func (s *Store) DueSagas(ctx context.Context, home id.Home, now time.Time, most int) ([]saga.Saga, error) {
	found, err := s.querySagas(ctx, sqlDueSagas, home, now, most)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the sagas of %s that are due: %w", home, err))
	}
	return found, nil
}

func (s *Store) querySagas(ctx context.Context, sql string, args ...any) ([]saga.Saga, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []saga.Saga
	var g saga.Saga
	var request, progress []byte
	_, err := pgx.ForEachRow(rows, []any{
		&g.Home, &g.Ledger, (*[16]byte)(&g.ID), &g.Key, &g.Flow, &request, &g.State, &g.Step, &g.Version, &g.Attempts, &progress, &g.Cause, &g.Detail,
		&g.Awaits, &g.DueAt, &g.Since, &g.OpenedAt, &g.ChangedAt,
	}, func() error {
		one := g
		one.Request, one.Progress = saga.Request{}, saga.Progress{}
		if err := errors.Join(json.Unmarshal(request, &one.Request), json.Unmarshal(progress, &one.Progress)); err != nil {
			return fmt.Errorf("saga %s: read what it is to do: %w", g.ID, err)
		}
		one.DueAt, one.Since, one.OpenedAt, one.ChangedAt = g.DueAt.UTC(), g.Since.UTC(), g.OpenedAt.UTC(), g.ChangedAt.UTC()
		found = append(found, one)
		return nil
	})
	return found, err
}

const sqlUpdateSaga = `
UPDATE saga SET state = $4, step = $5, version = $6, attempts = $7, progress = $8::jsonb, cause = $9, detail = $10, awaits = $11, due_at = $12, since = $13,
    changed_at = $14
WHERE home = $1 AND ledger_id = $2 AND id = $3 AND version = $6 - 1`

// AdvanceSaga implements saga.Store.
func (s *Store) AdvanceSaga(ctx context.Context, lease event.Lease, g saga.Saga, line *saga.Line) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		if err := Fence(ctx, tx, lease); err != nil {
			return err
		}
		return changeSaga(ctx, tx, g, line)
	})
	if err != nil {
		return fmt.Errorf("write down where saga %s is: %w", g.ID, err)
	}
	return nil
}

// ChangeSaga implements saga.OperatorStore.
func (s *Store) ChangeSaga(ctx context.Context, g saga.Saga, line saga.Line) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error { return changeSaga(ctx, tx, g, &line) })
	var server *pgconn.PgError
	if errors.As(err, &server) && server.ConstraintName == "saga_step_four_eyes" {
		return saga.ErrFourEyes.With("actor", line.Actor).Because(err)
	}
	if err != nil {
		return fmt.Errorf("change saga %s: %w", g.ID, err)
	}
	return nil
}

func changeSaga(ctx context.Context, tx pgx.Tx, g saga.Saga, line *saga.Line) error {
	tag, err := tx.Exec(ctx, sqlUpdateSaga, g.Home, g.Ledger, [16]byte(g.ID), g.State, g.Step, g.Version, g.Attempts, mustJSON(g.Progress), g.Cause, g.Detail,
		g.Awaits, g.DueAt, g.Since, g.ChangedAt)
	switch {
	case err != nil:
		return err
	case tag.RowsAffected() == 0:
		return errs.ErrContended.With("cause", "somebody else changed the saga")
	case line == nil:
		return nil
	}
	return insertLine(ctx, tx, g, *line)
}

const sqlTallySagas = `
SELECT flow, state, count(*), min(changed_at) FROM saga
WHERE home = $1 AND state IN ('running', 'compensating', 'waiting', 'stuck', 'review') GROUP BY flow, state`

// TallySagas implements saga.Store.
func (s *Store) TallySagas(ctx context.Context, home id.Home) ([]saga.Tally, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlTallySagas, home) // the error comes back from the collection
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[saga.Tally])
	if err != nil {
		return nil, db.Classify(fmt.Errorf("count the sagas of %s: %w", home, err))
	}
	return found, nil
}

const sqlSelectSaga = `
SELECT ` + sagaColumns + `
FROM saga WHERE home = $1 AND ledger_id = $2 AND id = $3`

// Saga implements saga.OperatorStore.
func (s *Store) Saga(ctx context.Context, home id.Home, ledger id.Ledger, key id.Transaction) (saga.Saga, error) {
	found, err := s.querySagas(ctx, sqlSelectSaga, home, ledger, [16]byte(key))
	if err != nil {
		return saga.Saga{}, db.Classify(fmt.Errorf("read saga %s: %w", key, err))
	}
	if len(found) == 0 {
		return saga.Saga{}, saga.ErrNotFound.With("saga", key)
	}
	return found[0], nil
}

const sqlListSagaLines = `
SELECT number, step, back, event, cause, detail, actor, proposer, recorded_at
FROM saga_step WHERE home = $1 AND ledger_id = $2 AND saga_id = $3 AND number > $4 ORDER BY number LIMIT $5`

// SagaLines implements saga.OperatorStore.
func (s *Store) SagaLines(ctx context.Context, home id.Home, ledger id.Ledger, key id.Transaction, after int64, limit int) ([]saga.Line, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlListSagaLines, home, ledger, [16]byte(key), after, limit) // the error comes back from the collection
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[saga.Line])
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the history of saga %s: %w", key, err))
	}
	for i := range found {
		found[i].At = found[i].At.UTC()
	}
	return found, nil
}

const sqlStandingSagas = `
SELECT ` + sagaColumns + `
FROM saga WHERE home = $1 AND ledger_id = $2 AND state IN ('stuck', 'review', 'waiting') AND (opened_at, id) > ($3, $4)
ORDER BY opened_at, id LIMIT $5`

// StandingSagas implements saga.OperatorStore.
func (s *Store) StandingSagas(ctx context.Context, home id.Home, ledger id.Ledger, page saga.Page) ([]saga.Saga, error) {
	found, err := s.querySagas(ctx, sqlStandingSagas, home, ledger, page.OpenedAt, [16]byte(page.ID), page.Limit)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("list the sagas of %s that wait for somebody: %w", ledger, err))
	}
	return found, nil
}

const sqlAllSagas = `
SELECT ` + sagaColumns + `
FROM saga WHERE home = $1 AND ledger_id = $2 AND id > $3
ORDER BY id LIMIT $4`

// AllSagas implements saga.OperatorStore.
func (s *Store) AllSagas(ctx context.Context, home id.Home, ledger id.Ledger, page saga.Page) ([]saga.Saga, error) {
	found, err := s.querySagas(ctx, sqlAllSagas, home, ledger, [16]byte(page.ID), page.Limit)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("list the sagas of %s: %w", ledger, err))
	}
	return found, nil
}
