-- PostgreSQL lets everybody who may connect make temporary tables, and a temporary `account` would hide the real one from its session.
-- The database belongs to Meridian alone, so nobody needs that. A migrator that does not own the database is warned and goes on.
-- +goose NO TRANSACTION

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
-- +goose StatementEnd
