-- The change stream. The journal is the outbox; here stands the order in which its rows leave, and who has got how far.
--
-- stream: one relay a home writes down the order, with positions that have no gap, so that every consumer, however slow, reads a range of a
-- primary key on both engines, and no consumer depends on how long an engine keeps its history. Keys begin with home, which alone decides the
-- region.
-- +goose NO TRANSACTION

-- +goose Up
-- The lease of a home's relay. epoch grows with each owner and fences the ones before; head is the newest position, cursor is where the feed
-- of the engine goes on.
CREATE TABLE IF NOT EXISTS relay (
    home       TEXT        NOT NULL PRIMARY KEY,
    owner      TEXT        NOT NULL,
    epoch      INT8        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    head       INT8        NOT NULL CHECK (head >= 0),
    cursor     TEXT        NOT NULL
);

CREATE TABLE IF NOT EXISTS stream (
    home           TEXT        NOT NULL,
    position       INT8        NOT NULL CHECK (position > 0),
    ledger_id      TEXT        NOT NULL,
    transaction_id UUID        NOT NULL,
    appended_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, position)
);

-- A journal row leaves once through the stream of each home that it touches. Here and in delivery_state, home does not come first: an index that begins as the primary key does would be a
-- plan for its look-ups while the table is small, and a writer keeps its plans.
CREATE UNIQUE INDEX IF NOT EXISTS stream_transaction ON stream (ledger_id, transaction_id, home);

-- Who wants events. sink and filter are JSON forms of their Go types; secrets are apart, so that no query that lists subscriptions can show
-- one.
CREATE TABLE IF NOT EXISTS subscription (
    id         TEXT        NOT NULL PRIMARY KEY,
    revision   INT8        NOT NULL,
    state      TEXT        NOT NULL CHECK (state IN ('active', 'paused', 'failing', 'deleted')),
    cause      TEXT        NOT NULL,
    homes      JSONB       NOT NULL,
    filter     JSONB       NOT NULL,
    sink       JSONB       NOT NULL,
    grants     JSONB       NOT NULL,
    metadata   JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS subscription_secret (
    subscription_id TEXT        NOT NULL,
    id              TEXT        NOT NULL,
    secret          BYTEA       NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (subscription_id, id)
);

-- How far a subscription is in one home. Everything up to position is delivered or stands in delivery; delivered and digest count, and add up
-- by a keyed hash, what was delivered of the positions after since, so that a proof needs no row an event.
CREATE TABLE IF NOT EXISTS progress (
    home            TEXT           NOT NULL,
    subscription_id TEXT           NOT NULL,
    since           INT8           NOT NULL,
    position        INT8           NOT NULL,
    delivered       INT8           NOT NULL,
    digest          DECIMAL(38, 0) NOT NULL,
    changed_at      TIMESTAMPTZ    NOT NULL,
    PRIMARY KEY (home, subscription_id)
);

-- Events that were not delivered at the first attempt, or wait behind such a one.
CREATE TABLE IF NOT EXISTS delivery (
    home            TEXT        NOT NULL,
    subscription_id TEXT        NOT NULL,
    position        INT8        NOT NULL,
    ledger_id       TEXT        NOT NULL,
    transaction_id  UUID        NOT NULL,
    accounts        JSONB       NOT NULL,
    state           TEXT        NOT NULL CHECK (state IN ('due', 'dead', 'discarded')),
    attempts        INT4        NOT NULL,
    due_at          TIMESTAMPTZ NOT NULL,
    cause           TEXT        NOT NULL,
    detail          TEXT        NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    changed_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, subscription_id, position)
);

CREATE INDEX IF NOT EXISTS delivery_state ON delivery (state, home, subscription_id, position);

-- A second reading of a range, at a bounded rate, beside what is new.
CREATE TABLE IF NOT EXISTS replay (
    home            TEXT        NOT NULL,
    id              TEXT        NOT NULL,
    subscription_id TEXT        NOT NULL,
    first_position  INT8        NOT NULL,
    last_position   INT8        NOT NULL,
    position        INT8        NOT NULL,
    per_second      INT4        NOT NULL CHECK (per_second > 0),
    state           TEXT        NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    reason          TEXT        NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    changed_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, id)
);

-- The read model of searches: one row a transaction, one for each account of it. generation lets it be built anew while the old one serves.
CREATE TABLE IF NOT EXISTS search_state (
    home       TEXT        NOT NULL,
    generation INT8        NOT NULL,
    position   INT8        NOT NULL,
    serving    BOOLEAN     NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, generation)
);

CREATE TABLE IF NOT EXISTS search_transaction (
    home           TEXT        NOT NULL,
    ledger_id      TEXT        NOT NULL,
    generation     INT8        NOT NULL,
    recorded_at    TIMESTAMPTZ NOT NULL,
    position       INT8        NOT NULL,
    transaction_id UUID        NOT NULL,
    kind           TEXT        NOT NULL,
    outcome        TEXT        NOT NULL,
    reason         TEXT        NOT NULL,
    reference      TEXT        NOT NULL,
    correlation_id TEXT        NOT NULL,
    metadata       JSONB       NOT NULL,
    PRIMARY KEY (home, ledger_id, generation, recorded_at, position)
);

CREATE INDEX IF NOT EXISTS search_transaction_reference ON search_transaction (home, ledger_id, generation, reference, recorded_at, position)
    WHERE reference <> '';

CREATE TABLE IF NOT EXISTS search_account (
    home        TEXT        NOT NULL,
    ledger_id   TEXT        NOT NULL,
    generation  INT8        NOT NULL,
    account_id  TEXT        NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    position    INT8        NOT NULL,
    PRIMARY KEY (home, ledger_id, generation, account_id, recorded_at, position)
);
