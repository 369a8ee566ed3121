-- The books. Plain SQL that PostgreSQL 14 and CockroachDB v22.1 both take, one statement at a time, outside transactions; each can run
-- again, because a migration that was interrupted starts over from its first statement.
--
-- Every table of money has home and ledger_id as its first key columns: home alone decides the region (schema/cockroachdb), and every
-- query of one ledger stays in one region. There are no foreign keys between tables of money: the application writes them in one
-- transaction, `meridian verify` proves that they agree, and a check of each row would cost a read of each row.
-- +goose NO TRANSACTION

-- +goose Up
CREATE TABLE IF NOT EXISTS ledger (
    id         TEXT        NOT NULL PRIMARY KEY,
    home       TEXT        NOT NULL,
    metadata   JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS asset (
    ledger_id TEXT NOT NULL REFERENCES ledger (id),
    code      TEXT NOT NULL,
    scale     INT2 NOT NULL CHECK (scale BETWEEN 0 AND 18),
    PRIMARY KEY (ledger_id, code)
);

-- Totals only grow (posted) or return to zero (pending); balances are their differences. sequence is that of the newest entry.
CREATE TABLE IF NOT EXISTS account (
    home            TEXT           NOT NULL,
    ledger_id       TEXT           NOT NULL,
    id              TEXT           NOT NULL,
    asset           TEXT           NOT NULL,
    scale           INT2           NOT NULL,
    normal_side     TEXT           NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    posted_debits   DECIMAL(38, 0) NOT NULL CHECK (posted_debits >= 0),
    posted_credits  DECIMAL(38, 0) NOT NULL CHECK (posted_credits >= 0),
    pending_debits  DECIMAL(38, 0) NOT NULL CHECK (pending_debits >= 0),
    pending_credits DECIMAL(38, 0) NOT NULL CHECK (pending_credits >= 0),
    sequence        INT8           NOT NULL CHECK (sequence > 0),
    min_available   DECIMAL(38, 0),
    max_balance     DECIMAL(38, 0),
    status          TEXT           NOT NULL CHECK (status IN ('open', 'debits_frozen', 'credits_frozen', 'frozen', 'closed')),
    metadata        JSONB          NOT NULL,
    opened_at       TIMESTAMPTZ    NOT NULL,
    changed_at      TIMESTAMPTZ    NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

-- One append-only row a command: idempotency record, transaction and outbox row in one. id is derived from the idempotency key, so
-- this primary key is what makes a repeat harmless.
CREATE TABLE IF NOT EXISTS journal (
    home            TEXT        NOT NULL,
    ledger_id       TEXT        NOT NULL,
    id              UUID        NOT NULL,
    idempotency_key TEXT        NOT NULL,
    kind            TEXT        NOT NULL,
    outcome         TEXT        NOT NULL CHECK (outcome IN ('posted', 'declined')),
    reason          TEXT        CHECK ((reason IS NULL) = (outcome = 'posted')),
    detail          JSONB,
    entries         JSONB       NOT NULL,
    request         JSONB       NOT NULL,
    request_hash    BYTEA       NOT NULL,
    reference       TEXT,
    correlation_id  TEXT,
    trace_id        TEXT,
    target          UUID,
    reverses        UUID,
    effective_at    TIMESTAMPTZ NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

CREATE INDEX IF NOT EXISTS journal_reference ON journal (home, ledger_id, reference, recorded_at) WHERE reference IS NOT NULL;

-- A transaction is reversed once.
CREATE UNIQUE INDEX IF NOT EXISTS journal_reverses ON journal (home, ledger_id, reverses) WHERE reverses IS NOT NULL;

-- One append-only line of an account's statement. amount is signed: credits are positive, debits negative, zero where only what is
-- pending or the account itself changed. The key makes a statement one range scan, and a gap visible.
CREATE TABLE IF NOT EXISTS entry (
    home             TEXT           NOT NULL,
    ledger_id        TEXT           NOT NULL,
    account_id       TEXT           NOT NULL,
    sequence         INT8           NOT NULL CHECK (sequence > 0),
    origin_ledger_id TEXT           NOT NULL,
    transaction_id   UUID           NOT NULL,
    line             INT4           NOT NULL,
    kind             TEXT           NOT NULL,
    amount           DECIMAL(38, 0) NOT NULL,
    balance          DECIMAL(38, 0) NOT NULL,
    pending_debits   DECIMAL(38, 0) NOT NULL,
    pending_credits  DECIMAL(38, 0) NOT NULL,
    effective_at     TIMESTAMPTZ    NOT NULL,
    recorded_at      TIMESTAMPTZ    NOT NULL,
    PRIMARY KEY (home, ledger_id, account_id, sequence)
);

CREATE TABLE IF NOT EXISTS hold (
    home         TEXT           NOT NULL,
    ledger_id    TEXT           NOT NULL,
    id           UUID           NOT NULL,
    from_account TEXT           NOT NULL,
    to_account   TEXT           NOT NULL,
    asset        TEXT           NOT NULL,
    scale        INT2           NOT NULL,
    amount       DECIMAL(38, 0) NOT NULL CHECK (amount > 0),
    captured     DECIMAL(38, 0) NOT NULL CHECK (captured >= 0 AND captured <= amount),
    status       TEXT           NOT NULL CHECK (status IN ('held', 'committed', 'rolled_back', 'expired')),
    expires_at   TIMESTAMPTZ    NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

-- What the expiry sweep looks for.
CREATE INDEX IF NOT EXISTS hold_expiry ON hold (home, expires_at) WHERE status = 'held';

