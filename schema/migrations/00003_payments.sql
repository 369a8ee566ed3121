-- Payments: money on its way through a lifecycle, and the players whom gates look at.
--
-- A transition of a payment is a command of the ledger: its journal row is the record, posted or declined, its entries are the postings. The
-- rows here are written in the same transaction, locked as accounts are, and changed by commands alone; `meridian verify` folds the journal and
-- proves that they are what it says.
-- +goose NO TRANSACTION

-- +goose Up
-- version counts the accepted steps, attempts those that were refused as well. data is the JSON form of ledger.PaymentData: the accounts by
-- role, the totals, and why the payment is under review.
CREATE TABLE IF NOT EXISTS payment (
    home               TEXT        NOT NULL,
    ledger_id          TEXT        NOT NULL,
    id                 UUID        NOT NULL,
    kind               TEXT        NOT NULL,
    state              TEXT        NOT NULL,
    version            INT8        NOT NULL CHECK (version > 0),
    attempts           INT8        NOT NULL CHECK (attempts >= version),
    player             TEXT        NOT NULL,
    parent             UUID,
    asset              TEXT        NOT NULL,
    scale              INT2        NOT NULL,
    provider           TEXT        NOT NULL,
    provider_reference TEXT        NOT NULL,
    data               JSONB       NOT NULL,
    opened_at          TIMESTAMPTZ NOT NULL,
    changed_at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);

-- Support asks for the payments of a player, operators for those that stand still, and a callback or a statement of a provider knows nothing but
-- its reference. In the first two home does not come first, as in stream_transaction: a writer keeps the plans that it made while the table was
-- small.
CREATE INDEX IF NOT EXISTS payment_player ON payment (player, home, ledger_id, opened_at, id) WHERE player <> '';

CREATE INDEX IF NOT EXISTS payment_state ON payment (state, home, ledger_id, kind, opened_at, id);

CREATE INDEX IF NOT EXISTS payment_reference ON payment (home, ledger_id, provider_reference, provider, opened_at) WHERE provider_reference <> '';

-- The history of a payment is one range of this key; refused steps stand in it with the state that they met.
CREATE TABLE IF NOT EXISTS payment_step (
    home           TEXT        NOT NULL,
    ledger_id      TEXT        NOT NULL,
    payment_id     UUID        NOT NULL,
    number         INT8        NOT NULL CHECK (number > 0),
    transaction_id UUID        NOT NULL,
    trigger_name   TEXT        NOT NULL,
    from_state     TEXT        NOT NULL,
    to_state       TEXT        NOT NULL,
    outcome        TEXT        NOT NULL CHECK (outcome IN ('posted', 'declined')),
    reason         TEXT        NOT NULL CHECK ((reason = '') = (outcome = 'posted')),
    recorded_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, payment_id, number)
);

-- profile and used are JSON forms of ledger.Profile and of a list of ledger.Usage. version counts the changes of the profile.
CREATE TABLE IF NOT EXISTS player (
    home       TEXT        NOT NULL,
    ledger_id  TEXT        NOT NULL,
    id         TEXT        NOT NULL,
    version    INT8        NOT NULL CHECK (version >= 0),
    profile    JSONB       NOT NULL,
    used       JSONB       NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, id)
);
