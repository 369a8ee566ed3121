-- Reconciliation: what providers say, how it compares with the books, and how differences were closed.
--
-- All of it but the state of a run is append-only: a statement, its lines, the results of a comparison, a proposal and what was decided about it
-- are evidence. Keys begin with home, which alone decides the region.
-- +goose NO TRANSACTION

-- +goose Up
-- A file that was read whole. id is derived from the provider, the hash of the file and how it was read, so that the same file is imported once;
-- its row is written after its lines.
CREATE TABLE IF NOT EXISTS statement (
    home        TEXT        NOT NULL,
    ledger_id   TEXT        NOT NULL,
    id          UUID        NOT NULL,
    provider    TEXT        NOT NULL,
    file_name   TEXT        NOT NULL,
    file_hash   BYTEA       NOT NULL,
    reading     TEXT        NOT NULL,
    lines       INT8        NOT NULL CHECK (lines > 0),
    pending     INT8        NOT NULL,
    period_from TIMESTAMPTZ NOT NULL,
    period_to   TIMESTAMPTZ NOT NULL,
    imported_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

-- amount is signed: what comes to us is positive. reference is bytes, so that its order is the same under every collation; it is a part of the key,
-- so that a comparison reads a range. number counts the lines of the statement, line those of the file.
CREATE TABLE IF NOT EXISTS statement_line (
    home         TEXT           NOT NULL,
    ledger_id    TEXT           NOT NULL,
    statement_id UUID           NOT NULL,
    reference    BYTEA          NOT NULL,
    number       INT8           NOT NULL CHECK (number > 0),
    line         INT8           NOT NULL,
    line_id      TEXT           NOT NULL,
    kind         TEXT           NOT NULL,
    asset        TEXT           NOT NULL,
    amount       DECIMAL(38, 0) NOT NULL,
    value_at     TIMESTAMPTZ    NOT NULL,
    pending      BOOLEAN        NOT NULL,
    PRIMARY KEY (home, ledger_id, statement_id, reference, number)
);

-- A comparison of a snapshot: statements, rules, a period, and the journal up to a recorded time. id is derived from all of that. attempt is the one
-- whose results count.
CREATE TABLE IF NOT EXISTS recon_run (
    home        TEXT        NOT NULL,
    ledger_id   TEXT        NOT NULL,
    id          UUID        NOT NULL,
    provider    TEXT        NOT NULL,
    statements  JSONB       NOT NULL,
    period_from TIMESTAMPTZ NOT NULL,
    period_to   TIMESTAMPTZ NOT NULL,
    cut         TIMESTAMPTZ NOT NULL,
    rules       TEXT        NOT NULL,
    rules_hash  BYTEA       NOT NULL,
    state       TEXT        NOT NULL CHECK (state IN ('running', 'done')),
    attempts    INT8        NOT NULL,
    attempt     INT8        NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL,
    ended_at    TIMESTAMPTZ CHECK ((ended_at IS NULL) = (state = 'running')),
    books       INT8        NOT NULL,
    books_hash  BYTEA       NOT NULL,
    results     INT8        NOT NULL,
    result_hash BYTEA       NOT NULL,
    totals      JSONB       NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

CREATE TABLE IF NOT EXISTS recon_result (
    home           TEXT           NOT NULL,
    ledger_id      TEXT           NOT NULL,
    run_id         UUID           NOT NULL,
    attempt        INT8           NOT NULL,
    number         INT8           NOT NULL CHECK (number > 0),
    match          INT8           NOT NULL,
    verdict        TEXT           NOT NULL CHECK (verdict IN ('matched', 'amount_differs', 'missing_here', 'missing_there', 'duplicate', 'late')),
    reason         TEXT           NOT NULL,
    way            TEXT           NOT NULL,
    reference      TEXT           NOT NULL,
    asset          TEXT           NOT NULL,
    difference     DECIMAL(38, 0) NOT NULL,
    statement_id   UUID,
    line_number    INT8,
    line_amount    DECIMAL(38, 0),
    line_at        TIMESTAMPTZ,
    transaction_id UUID,
    payment_id     UUID,
    book_amount    DECIMAL(38, 0),
    book_at        TIMESTAMPTZ,
    evidence       JSONB,
    compared_at    TIMESTAMPTZ    NOT NULL,
    CHECK (statement_id IS NOT NULL OR transaction_id IS NOT NULL),
    PRIMARY KEY (home, ledger_id, run_id, attempt, number)
);

-- What somebody has to look at is a small part of a run.
CREATE INDEX IF NOT EXISTS recon_result_open ON recon_result (home, ledger_id, run_id, attempt, verdict, number) WHERE verdict <> 'matched';

-- A proposal to close a difference. It never changes; its proposer is in a key, so that a decision can not name another one.
CREATE TABLE IF NOT EXISTS recon_resolution (
    home            TEXT           NOT NULL,
    ledger_id       TEXT           NOT NULL,
    id              UUID           NOT NULL,
    run_id          UUID           NOT NULL,
    result          INT8           NOT NULL,
    proposer        TEXT           NOT NULL,
    reason          TEXT           NOT NULL CHECK (reason <> ''),
    attachment_hash BYTEA          NOT NULL,
    account         TEXT           NOT NULL,
    counter         TEXT           NOT NULL,
    asset           TEXT           NOT NULL,
    difference      DECIMAL(38, 0) NOT NULL CHECK (difference <> 0),
    side            TEXT           NOT NULL CHECK (side IN ('debit', 'credit')),
    reference       TEXT           NOT NULL,
    gap             TEXT           NOT NULL,
    effective_at    TIMESTAMPTZ    NOT NULL,
    proposed_at     TIMESTAMPTZ    NOT NULL,
    PRIMARY KEY (home, ledger_id, id),
    UNIQUE (home, ledger_id, id, proposer)
);

-- Whoever decides is not who proposed: the proposer stands here as well, a foreign key keeps it true, and a check compares. Refused attempts stay.
-- This is no table of money, and a decision a day costs nothing: so it may have a foreign key.
CREATE TABLE IF NOT EXISTS recon_decision (
    home           TEXT        NOT NULL,
    ledger_id      TEXT        NOT NULL,
    resolution_id  UUID        NOT NULL,
    number         INT8        NOT NULL,
    proposer       TEXT        NOT NULL,
    actor          TEXT        NOT NULL,
    decided        TEXT        NOT NULL CHECK (decided IN ('approved', 'rejected', 'refused')),
    why            TEXT        NOT NULL,
    adjustment_key TEXT        CHECK ((adjustment_key IS NULL) = (decided <> 'approved')),
    transaction_id UUID        CHECK ((transaction_id IS NULL) = (decided <> 'approved')),
    decided_at     TIMESTAMPTZ NOT NULL,
    CONSTRAINT recon_decision_four_eyes CHECK (decided = 'refused' OR actor <> proposer),
    CONSTRAINT recon_decision_resolution FOREIGN KEY (home, ledger_id, resolution_id, proposer) REFERENCES recon_resolution (home, ledger_id, id, proposer),
    PRIMARY KEY (home, ledger_id, resolution_id, number)
);

CREATE UNIQUE INDEX IF NOT EXISTS recon_decision_once ON recon_decision (home, ledger_id, resolution_id) WHERE decided <> 'refused';
