package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
)

// The tables hold what Meridian's hold for transfers, with as many indexes: opponent_transfer has the request and its hash, and its primary
// key is the look-up of the idempotency key.
const (
	sqlDropOpponents = `DROP TABLE IF EXISTS opponent_account;
DROP TABLE IF EXISTS opponent_transfer;
DROP TABLE IF EXISTS opponent_entry`

	sqlCreateOpponents = `CREATE TABLE opponent_account (
    ledger_id TEXT NOT NULL, id TEXT NOT NULL, asset TEXT NOT NULL, balance INT8 NOT NULL, sequence INT8 NOT NULL,
    min_available INT8 NOT NULL, status TEXT NOT NULL, metadata JSONB NOT NULL, opened_at TIMESTAMPTZ NOT NULL, changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, id)
);
CREATE TABLE opponent_transfer (
    ledger_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, id UUID NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
    request JSONB NOT NULL, request_hash BYTEA NOT NULL, recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, idempotency_key)
);
CREATE TABLE opponent_entry (
    ledger_id TEXT NOT NULL, account_id TEXT NOT NULL, sequence INT8 NOT NULL, transfer_id UUID NOT NULL, amount INT8 NOT NULL,
    balance INT8 NOT NULL, recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, account_id, sequence)
)`

	// The accounts get the storage settings that Meridian's have: updates that stay on their page help everybody.
	sqlStoreOpponents = `
ALTER TABLE opponent_account SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)`

	sqlFillOpponent = `
INSERT INTO opponent_account (ledger_id, id, asset, balance, sequence, min_available, status, metadata, opened_at, changed_at)
SELECT $1, a.id, $2, $3, 0, 0, 'open', '{}', now(), now() FROM unnest($4::text[]) AS a (id)`

	sqlAgeOpponent = `
INSERT INTO opponent_transfer (ledger_id, idempotency_key, id, kind, status, request, request_hash, recorded_at)
SELECT $1, t.key, $2, 'transfer', 'posted', '{}', '', now() FROM unnest($3::text[]) AS t (key)`

	sqlAnalyzeOpponents = `ANALYZE opponent_account; ANALYZE opponent_transfer`
)

// PrepareOpponents makes the tables anew. Each strategy gets the accounts of the books, with funds, and that many thousands of transfers of
// the past: on a young table the look-ups of missing keys share few pages of the index, which PostgreSQL under SERIALIZABLE locks as a
// whole, and transactions on different accounts conflict more than they would in service.
func PrepareOpponents(ctx context.Context, url string, b Books, past int, all ...Strategy) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to prepare opponents: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := execAll(ctx, conn, sqlDropOpponents+";\n"+sqlCreateOpponents); err != nil {
		return err
	}
	if conn.PgConn().ParameterStatus("crdb_version") == "" { // a storage setting, which CockroachDB has not
		if err := execAll(ctx, conn, sqlStoreOpponents); err != nil {
			return err
		}
	}
	for _, s := range all {
		if err := s.fill(ctx, conn, b, past); err != nil {
			return fmt.Errorf("prepare the %s program: %w", s.Name, err)
		}
	}
	return execAll(ctx, conn, sqlAnalyzeOpponents)
}

// fill opens accounts and adds the past, a thousand at a time.
func (s Strategy) fill(ctx context.Context, conn *pgx.Conn, b Books, past int) error {
	for names := range slices.Chunk(b.Accounts, 1000) {
		if _, err := conn.Exec(ctx, sqlFillOpponent, s.ledgerOf(b), string(asset.Code), int64(funds), names); err != nil {
			return fmt.Errorf("open its accounts: %w", err)
		}
	}
	keys := make([]id.Key, 1000)
	for range past {
		for i := range keys {
			keys[i] = keyOf(rand.Uint64(), rand.Uint64())
		}
		if _, err := conn.Exec(ctx, sqlAgeOpponent, s.ledgerOf(b), [16]byte{}, keys); err != nil {
			return fmt.Errorf("add transfers of the past: %w", err)
		}
	}
	return nil
}

// DropOpponents removes the tables.
func DropOpponents(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to drop the tables of opponents: %w", err)
	}
	defer conn.Close(ctx)
	return execAll(ctx, conn, sqlDropOpponents)
}

// execAll executes statements one at a time, as schema changes want to be.
func execAll(ctx context.Context, conn *pgx.Conn, statements string) error {
	for statement := range strings.SplitSeq(statements, ";") {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(statement), err)
		}
	}
	return nil
}
