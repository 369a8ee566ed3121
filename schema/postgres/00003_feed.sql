-- What the change stream needs on PostgreSQL. CockroachDB has changefeeds instead.
--
-- written_in is the transaction that wrote a journal row. Whatever is below the oldest transaction still running can not change any more, so
-- that a reader who goes on from there skips nobody who commits late. The order of these numbers is also the order on every account: a
-- SERIALIZABLE writer that sees another's balance began after that one committed, and got its number later.
-- +goose NO TRANSACTION

-- +goose Up
ALTER TABLE journal ADD COLUMN IF NOT EXISTS written_in xid8 NOT NULL DEFAULT pg_current_xact_id();

-- home comes last: an index that began with it would be a plan for the look-up of a key while the table is small, and that plan would be kept.
CREATE INDEX IF NOT EXISTS journal_feed ON journal (written_in, recorded_at, home);

-- One notice a statement, which is one a group; it leaves with the commit.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION meridian_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('meridian_' || TG_TABLE_NAME, '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE OR REPLACE TRIGGER journal_notify AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION meridian_notify();

CREATE OR REPLACE TRIGGER stream_notify AFTER INSERT ON stream FOR EACH STATEMENT EXECUTE FUNCTION meridian_notify();
