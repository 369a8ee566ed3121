package bench

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Naive is the ledger as a competent engineer would first write it: one SERIALIZABLE transaction per transfer, rows locked in the order of
// their ids, and a loop that repeats what the database refused to serialize. It does transfers alone, and no more than its tables need:
// no RPC, no validation, amounts in 64 bits.
type Naive struct {
	pool *pgxpool.Pool
	size int
}

// OpenNaive connects with a pool of that size and makes its tables anew, with the accounts of the books in them.
func OpenNaive(ctx context.Context, url string, size int, b Books) (*Naive, error) {
	pool, err := naivePool(ctx, url, size)
	if err != nil {
		return nil, err
	}
	n := &Naive{pool: pool, size: size}
	if err := n.prepare(ctx, b); err != nil {
		pool.Close()
		return nil, fmt.Errorf("prepare the naive program: %w", err)
	}
	return n, nil
}

// Resized is the same program on the same tables with another pool.
func (n *Naive) Resized(ctx context.Context, size int) (*Naive, error) {
	pool, err := naivePool(ctx, n.pool.Config().ConnString(), size)
	if err != nil {
		return nil, err
	}
	return &Naive{pool: pool, size: size}, nil
}

func naivePool(ctx context.Context, url string, size int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	config.MaxConns, config.MinConns = int32(size), int32(size) //nolint:gosec // a hundred at most
	config.ConnConfig.RuntimeParams["application_name"] = "meridian bench"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the naive program's pool: %w", err)
	}
	return pool, nil
}

// Size is how many connections it has.
func (n *Naive) Size() int { return n.size }

// Close waits for its connections.
func (n *Naive) Close() { n.pool.Close() }

// Drop removes its tables.
func (n *Naive) Drop(ctx context.Context) error { return execAll(ctx, n.pool, sqlDropNaive) }

// The tables hold what Meridian's hold for transfers, with as many indexes: naive_transfer has the request and its hash, and its primary
// key is the look-up of the idempotency key.
const (
	sqlDropNaive = `DROP TABLE IF EXISTS naive_account;
DROP TABLE IF EXISTS naive_transfer;
DROP TABLE IF EXISTS naive_entry`

	sqlCreateNaive = `CREATE TABLE naive_account (
    ledger_id TEXT NOT NULL, id TEXT NOT NULL, asset TEXT NOT NULL, balance INT8 NOT NULL, sequence INT8 NOT NULL,
    min_available INT8 NOT NULL, status TEXT NOT NULL, metadata JSONB NOT NULL, opened_at TIMESTAMPTZ NOT NULL, changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, id)
);
CREATE TABLE naive_transfer (
    ledger_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, id UUID NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
    request JSONB NOT NULL, request_hash BYTEA NOT NULL, recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, idempotency_key)
);
CREATE TABLE naive_entry (
    ledger_id TEXT NOT NULL, account_id TEXT NOT NULL, sequence INT8 NOT NULL, transfer_id UUID NOT NULL, amount INT8 NOT NULL,
    balance INT8 NOT NULL, recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ledger_id, account_id, sequence)
)`

	// Its accounts get the storage settings that Meridian's have: updates that stay on their page help both.
	sqlStoreNaive = `ALTER TABLE naive_account SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)`

	sqlFillNaive = `
INSERT INTO naive_account (ledger_id, id, asset, balance, sequence, min_available, status, metadata, opened_at, changed_at)
SELECT $1, a.id, $2, $3, 0, 0, 'open', '{}', now(), now() FROM unnest($4::text[]) AS a (id)`

	sqlAgeNaive = `
INSERT INTO naive_transfer (ledger_id, idempotency_key, id, kind, status, request, request_hash, recorded_at)
SELECT $1, t.key, $2, 'transfer', 'posted', '{}', '', now() FROM unnest($3::text[]) AS t (key)`

	sqlAnalyzeNaive     = `ANALYZE naive_account`
	sqlAnalyzeNaiveAged = `ANALYZE naive_transfer`
)

func (n *Naive) prepare(ctx context.Context, b Books) error {
	if err := execAll(ctx, n.pool, sqlDropNaive+";\n"+sqlCreateNaive); err != nil {
		return err
	}
	var version string
	if err := n.pool.QueryRow(ctx, `SELECT version()`).Scan(&version); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	if strings.HasPrefix(version, "PostgreSQL") { // a storage setting, which the other engine has not
		if err := execAll(ctx, n.pool, sqlStoreNaive); err != nil {
			return err
		}
	}
	for names := range slices.Chunk(b.Accounts, 1000) {
		if _, err := n.pool.Exec(ctx, sqlFillNaive, b.Ledger, string(asset.Code), int64(funds), names); err != nil {
			return fmt.Errorf("open its accounts: %w", err)
		}
	}
	return execAll(ctx, n.pool, sqlAnalyzeNaive)
}

// Age puts transfers of the past into its table, a thousand at a time. On a young table the look-ups of missing keys share few pages of
// the index, which PostgreSQL under SERIALIZABLE locks as a whole, and transactions on different accounts conflict all the time.
func (n *Naive) Age(ctx context.Context, b Books, thousands int) error {
	keys := make([]id.Key, 1000)
	for range thousands {
		for i := range keys {
			keys[i] = keyOf(rand.Uint64(), rand.Uint64())
		}
		if _, err := n.pool.Exec(ctx, sqlAgeNaive, b.Ledger, [16]byte{}, keys); err != nil {
			return fmt.Errorf("age the naive program's transfers: %w", err)
		}
	}
	return execAll(ctx, n.pool, sqlAnalyzeNaiveAged)
}

// execAll executes statements one at a time, as schema changes want to be.
func execAll(ctx context.Context, pool *pgxpool.Pool, statements string) error {
	for statement := range strings.SplitSeq(statements, ";") {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(statement), err)
		}
	}
	return nil
}

// Do implements Target. A call of several transfers is one transaction each, as many at once as the pool has connections.
func (n *Naive) Do(ctx context.Context, _ int, commands []ledger.Command) (Answer, error) {
	if len(commands) == 1 {
		return n.persist(ctx, commands[0])
	}
	var mu sync.Mutex
	var sum Answer
	var failed error
	var workers sync.WaitGroup
	next := make(chan ledger.Command)
	for range min(n.size, len(commands)) {
		workers.Go(func() {
			for c := range next {
				a, err := n.persist(ctx, c)
				mu.Lock()
				sum.Posted, sum.Replayed, sum.Entries, sum.Retries = sum.Posted+a.Posted, sum.Replayed+a.Replayed, sum.Entries+a.Entries, sum.Retries+a.Retries
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, c := range commands {
		next <- c
	}
	close(next)
	workers.Wait()
	return sum, failed
}

// persist repeats a transfer until it is in, with pauses that grow to a quarter of a second.
func (n *Naive) persist(ctx context.Context, c ledger.Command) (Answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := n.attempt(ctx, c)
		if err == nil {
			a.Retries = attempt - 1
			return a, nil
		}
		if !serialization(err) {
			return Answer{}, fmt.Errorf("naive transfer: %w", err)
		}
		bound := min(250*time.Millisecond, time.Millisecond<<min(attempt, 10))
		if !sleepUntil(ctx, time.Now().Add(time.Duration(rand.Int64N(int64(bound))))) {
			return Answer{}, ctx.Err()
		}
	}
}

// serialization says that the same again may succeed; a duplicate key is one that somebody wrote first, and will be found.
func serialization(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01" || server.Code == "23505")
}

// The statements of one transfer.
const (
	sqlNaiveKey = `SELECT request_hash FROM naive_transfer WHERE ledger_id = $1 AND idempotency_key = $2`

	sqlNaiveLock = `
SELECT id, asset, balance, sequence, min_available, status FROM naive_account
WHERE ledger_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE`

	sqlNaiveTransfer = `
INSERT INTO naive_transfer (ledger_id, idempotency_key, id, kind, status, request, request_hash, recorded_at)
VALUES ($1, $2, $3, 'transfer', 'posted', $4, $5, now())`

	sqlNaiveEntries = `
INSERT INTO naive_entry (ledger_id, account_id, sequence, transfer_id, amount, balance, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, now()), ($1, $7, $8, $4, $9, $10, now())`

	sqlNaiveBalance = `UPDATE naive_account SET balance = $3, sequence = $4, changed_at = now() WHERE ledger_id = $1 AND id = $2`
)

type naiveAccount struct {
	id, asset         string
	balance, sequence int64
	floor             int64
	status            string
}

// attempt is one transaction, in eight round trips.
func (n *Naive) attempt(ctx context.Context, c ledger.Command) (a Answer, err error) {
	if c.Kind != ledger.KindTransfer {
		return a, fmt.Errorf("%s: it knows transfers alone", c.Kind)
	}
	minor, fits := c.Amount.Minor.Int64()
	if !fits {
		return a, fmt.Errorf("%s: it knows amounts of 64 bits alone", c.Amount.Minor)
	}
	request, err := json.Marshal(map[string]any{"from": c.Account, "to": c.Counter, "amount": minor, "asset": c.Amount.Asset})
	if err != nil {
		return a, err
	}
	hash := sha256.Sum256(request)
	tx, err := n.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return a, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	var earlier []byte
	switch err := tx.QueryRow(ctx, sqlNaiveKey, c.Ledger, c.Key).Scan(&earlier); {
	case err == nil && string(earlier) != string(hash[:]):
		return a, errs.ErrIdempotencyMismatch
	case err == nil:
		return Answer{Replayed: 1}, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return a, err
	}
	from, to, err := lockPair(ctx, tx, c)
	if err != nil {
		return a, err
	}
	if from.asset != string(c.Amount.Asset) || to.asset != from.asset || from.status != "open" || to.status != "open" {
		return Answer{Declined: map[errs.Reason]int{errs.ReasonAssetMismatch: 1}}, nil
	}
	if from.balance-minor < from.floor {
		return Answer{Declined: map[errs.Reason]int{errs.ReasonInsufficientFunds: 1}}, nil
	}
	from.balance, from.sequence = from.balance-minor, from.sequence+1
	to.balance, to.sequence = to.balance+minor, to.sequence+1
	if err := write(ctx, tx, c, minor, request, hash[:], from, to); err != nil {
		return a, err
	}
	if err := tx.Commit(ctx); err != nil {
		return a, err
	}
	return Answer{Posted: 1, Entries: 2}, nil
}

// lockPair reads and locks both accounts, in the order of their ids, so that two transfers never wait for each other.
func lockPair(ctx context.Context, tx pgx.Tx, c ledger.Command) (from, to naiveAccount, err error) {
	rows, _ := tx.Query(ctx, sqlNaiveLock, c.Ledger, []id.Account{c.Account, c.Counter}) // the error comes back from the loop
	var a naiveAccount
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&a.id, &a.asset, &a.balance, &a.sequence, &a.floor, &a.status}, func() error {
		found++
		if a.id == string(c.Account) {
			from = a
		} else {
			to = a
		}
		return nil
	})
	if err == nil && found != 2 {
		err = fmt.Errorf("%d accounts of %s and %s are there", found, c.Account, c.Counter)
	}
	return from, to, err
}

func write(ctx context.Context, tx pgx.Tx, c ledger.Command, minor int64, request, hash []byte, from, to naiveAccount) error {
	transfer := [16]byte(c.ID())
	if _, err := tx.Exec(ctx, sqlNaiveTransfer, c.Ledger, c.Key, transfer, request, hash); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sqlNaiveEntries, c.Ledger, from.id, from.sequence, transfer, -minor, from.balance,
		to.id, to.sequence, minor, to.balance); err != nil {
		return err
	}
	for _, account := range []naiveAccount{from, to} {
		if _, err := tx.Exec(ctx, sqlNaiveBalance, c.Ledger, account.id, account.balance, account.sequence); err != nil {
			return err
		}
	}
	return nil
}
