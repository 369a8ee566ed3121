-- Sagas: what takes several steps, on the books and at providers, and where each of them stands.
--
-- A row of saga is all that a worker needs to go on, on any node; it is written by the worker of the home, under the lease of its relay, and by people
-- who decide about one that stands still. Its history is append-only. What the steps do to the books stands in the journal, under keys that begin with
-- saga/ and its id.
-- +goose NO TRANSACTION

-- +goose Up
-- request and progress are JSON forms of saga.Request and saga.Progress. version grows with every change, so that a worker and a person do not write over
-- each other.
CREATE TABLE IF NOT EXISTS saga (
    home       TEXT        NOT NULL,
    ledger_id  TEXT        NOT NULL,
    id         UUID        NOT NULL,
    start_key  TEXT        NOT NULL,
    flow       TEXT        NOT NULL,
    request    JSONB       NOT NULL,
    state      TEXT        NOT NULL CHECK (state IN ('running', 'compensating', 'waiting', 'stuck', 'review', 'completed', 'compensated')),
    step       TEXT        NOT NULL,
    version    INT8        NOT NULL CHECK (version > 0),
    attempts   INT8        NOT NULL CHECK (attempts >= 0),
    progress   JSONB       NOT NULL,
    cause      TEXT        NOT NULL,
    detail     TEXT        NOT NULL,
    awaits     TEXT        NOT NULL,
    due_at     TIMESTAMPTZ NOT NULL,
    since      TIMESTAMPTZ NOT NULL,
    opened_at  TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

-- What a worker looks for. Sagas that have ended, which are nearly all, are in neither index.
CREATE INDEX IF NOT EXISTS saga_due ON saga (home, due_at) WHERE state IN ('running', 'compensating', 'waiting');

-- What people look for.
CREATE INDEX IF NOT EXISTS saga_standing ON saga (home, ledger_id, opened_at, id) WHERE state IN ('stuck', 'review', 'waiting');

-- Whoever approves is not who proposed.
CREATE TABLE IF NOT EXISTS saga_step (
    home        TEXT        NOT NULL,
    ledger_id   TEXT        NOT NULL,
    saga_id     UUID        NOT NULL,
    number      INT8        NOT NULL CHECK (number > 0),
    step        TEXT        NOT NULL,
    back        BOOLEAN     NOT NULL,
    event       TEXT        NOT NULL,
    cause       TEXT        NOT NULL,
    detail      TEXT        NOT NULL,
    actor       TEXT        NOT NULL,
    proposer    TEXT        NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT saga_step_four_eyes CHECK (event NOT IN ('approved', 'rejected') OR (proposer <> '' AND actor <> proposer)),
    PRIMARY KEY (home, ledger_id, saga_id, number)
);
