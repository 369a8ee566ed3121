-- Who looks for payments in a state looks for those that have stood still there, not for those that were opened long ago: a bet on next year's champion
-- is old and fine. The list by state goes by the last change, from either end.
-- +goose NO TRANSACTION

-- +goose Up
-- It costs a step what the index cost that it replaces, save that one which leaves the state as it is moves its row here too. Servers of the version
-- before find rows of a state by it as well, and sort them. home does not come first, for the reason given there.
CREATE INDEX IF NOT EXISTS payment_standing ON payment (state, home, ledger_id, kind, changed_at, id);

DROP INDEX IF EXISTS payment_state;
