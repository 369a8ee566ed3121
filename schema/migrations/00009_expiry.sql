-- Payments whose time is over: what a timer looks for, home by home, the longest open first.
-- +goose NO TRANSACTION

-- +goose Up
-- The states are those that expire leads out of. Payments that have moved on, which are nearly all, are not in it.
CREATE INDEX IF NOT EXISTS payment_expiry ON payment (home, kind, opened_at, id)
    WHERE state IN ('authorized', 'partially_captured', 'granted', 'wagering', 'cleared');
