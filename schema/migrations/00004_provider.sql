-- Callbacks of payment providers: each event once, by the provider's own id, from when it was received until it had its effect or somebody gave it up.
--
-- An account at a provider belongs to one ledger, and so to one home: the key begins with both, and makes an event unique at its provider. A
-- server inserts; the worker of the home, under the lease of its relay, writes down what became of it; operators replay and discard.
-- +goose NO TRANSACTION

-- +goose Up
-- order_key names the payment whose order an event keeps. meaning is a hash of what it says, so that a repeat is told from a contradiction. opened_at is
-- when it was received, or replayed last. raw is what is kept of the body, as raw_mode says; raw_key names the key that opens it.
CREATE TABLE IF NOT EXISTS callback (
    home              TEXT        NOT NULL,
    ledger_id         TEXT        NOT NULL,
    provider          TEXT        NOT NULL,
    provider_event_id TEXT        NOT NULL,
    order_key         TEXT        NOT NULL,
    type              TEXT        NOT NULL,
    trigger           TEXT        NOT NULL,
    payment           TEXT        NOT NULL,
    reference         TEXT        NOT NULL,
    amount            DECIMAL(38, 0),
    currency          TEXT        NOT NULL,
    occurred_at       TIMESTAMPTZ,
    received_at       TIMESTAMPTZ NOT NULL,
    meaning           BYTEA       NOT NULL,
    raw_mode          TEXT        NOT NULL CHECK (raw_mode IN ('none', 'redacted', 'encrypted')),
    raw_key           TEXT        NOT NULL,
    raw               BYTEA       NOT NULL,
    state             TEXT        NOT NULL CHECK (state IN ('received', 'waiting', 'applied', 'dead', 'discarded')),
    attempts          INT4        NOT NULL,
    due_at            TIMESTAMPTZ NOT NULL,
    opened_at         TIMESTAMPTZ NOT NULL,
    cause             TEXT        NOT NULL,
    detail            TEXT        NOT NULL,
    changed_at        TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, provider, provider_event_id)
);

-- What a worker looks for: what is due, and what else is open of the same payments. Settled callbacks, which are nearly all, are in neither.
CREATE INDEX IF NOT EXISTS callback_due ON callback (home, due_at) WHERE state IN ('received', 'waiting');

CREATE INDEX IF NOT EXISTS callback_order ON callback (home, order_key) WHERE state IN ('received', 'waiting');

-- What operators look for.
CREATE INDEX IF NOT EXISTS callback_dead ON callback (home, ledger_id, provider, provider_event_id) WHERE state = 'dead';
