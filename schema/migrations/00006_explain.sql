-- What a story needs to be told from any end of it. docs/decisions.md says what each of these costs, and whom: no debit, credit, transfer, hold or
-- step of a payment writes a row more than before.
-- +goose NO TRANSACTION

-- +goose Up
-- What was asked of a hold or of a transaction, refused attempts among it. Steps are left out: payment_step has those of a payment.
CREATE INDEX IF NOT EXISTS journal_target ON journal (home, ledger_id, target) WHERE target IS NOT NULL AND kind <> 'step';

-- Traces are found through the search model, which is written behind the commands. Rows that are older than this column have none: a rebuild brings it.
ALTER TABLE search_transaction ADD COLUMN IF NOT EXISTS trace_id TEXT NOT NULL DEFAULT '';

CREATE INDEX IF NOT EXISTS search_transaction_trace ON search_transaction (home, ledger_id, generation, trace_id, transaction_id) WHERE trace_id <> '';

-- All callbacks of a payment, settled ones as well. home does not come first, as in stream_transaction: it would be a plan for the look-ups by key.
CREATE INDEX IF NOT EXISTS callback_payment ON callback (order_key, home, ledger_id);

-- What comparisons said of a transaction, and of lines that no transaction was found for.
CREATE INDEX IF NOT EXISTS recon_result_transaction ON recon_result (home, ledger_id, transaction_id) WHERE transaction_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS recon_result_line ON recon_result (home, ledger_id, reference) WHERE transaction_id IS NULL;
