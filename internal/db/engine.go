package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	crdbpgxv5 "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Engine is all that differs between the two databases, as one value chosen in Open. Nothing else asks which one it is.
type Engine struct {
	Name string // cockroachdb or postgresql
	// Overlay is the directory of schema whose statements follow the migrations on this engine, always; empty where there is none.
	Overlay string

	// writerParams are session settings of the connections that write.
	writerParams map[string]string
	// transact runs a closure in one SERIALIZABLE transaction, again and again until it commits or the budget ends.
	transact func(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error
	// beginSnapshot begins a read-only transaction that sees one instant of the books and locks nothing.
	beginSnapshot func(ctx context.Context, conn *pgx.Conn) error
}

// The engines.
var (
	CockroachDB = Engine{
		Name:          "cockroachdb",
		transact:      transactCockroachDB,
		beginSnapshot: func(ctx context.Context, c *pgx.Conn) error { return begin(ctx, c, sqlSnapshotCockroachDB) },
	}
	PostgreSQL = Engine{
		Name:          "postgresql",
		Overlay:       "postgres",
		writerParams:  postgresWriterParams,
		transact:      transactPostgreSQL,
		beginSnapshot: func(ctx context.Context, c *pgx.Conn) error { return begin(ctx, c, sqlSnapshotPostgreSQL) },
	}
)

// A writer reads rows by full primary keys alone. Under SERIALIZABLE a sequential scan, which the planner prefers on small tables, takes
// a predicate lock on the whole table and makes every concurrent writer a conflict; so a writer's connections do not consider one,
// nor the joins that would bring one back.
var postgresWriterParams = map[string]string{
	"enable_seqscan":    "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"enable_bitmapscan": "off",
	"plan_cache_mode":   "force_generic_plan", // every statement has one sensible plan: planning it again would cost more than running it
}

// A present instant with certainty that no writer is still at work at it. The literal has to stand in the text: placeholders are not
// supported there.
const sqlSnapshotCockroachDB = `BEGIN TRANSACTION READ ONLY, AS OF SYSTEM TIME '-1ms'`

// A snapshot is consistent because every transaction writes all its rows or none; SERIALIZABLE would add predicate locks on the whole
// ledger and conflicts with every writer.
const sqlSnapshotPostgreSQL = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

func begin(ctx context.Context, conn *pgx.Conn, sql string) error {
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("begin a snapshot: %w", err)
	}
	return nil
}

// Detect asks the server what it is, and for the version it calls itself.
func Detect(ctx context.Context, conn *pgx.Conn) (Engine, string, error) {
	var version string
	if err := conn.QueryRow(ctx, `SELECT version()`).Scan(&version); err != nil {
		return Engine{}, "", fmt.Errorf("ask the database for its version: %w", err)
	}
	if strings.Contains(version, "CockroachDB") {
		return CockroachDB, version, nil
	}
	return PostgreSQL, version, nil
}

// Budget bounds the attempts at one transaction; the pauses between them grow from firstPause to lastPause, with jitter, so that
// writers who met once do not meet again in step.
const (
	Budget     = 40
	firstPause = time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Pause returns how long to wait before the given attempt, counted from 1: a uniform draw up to an exponentially growing bound.
func Pause(attempt int) time.Duration {
	bound := lastPause
	if attempt < 9 {
		bound = min(lastPause, firstPause<<attempt)
	}
	return time.Duration(rand.Int64N(int64(bound)) + 1) //nolint:gosec // jitter needs no secret
}

// Wait pauses before an attempt, unless the context ends first.
func Wait(ctx context.Context, attempt int) error {
	timer := time.NewTimer(Pause(attempt))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return Classify(ctx.Err())
	case <-timer.C:
		return nil
	}
}

// transactCockroachDB leaves the loop to cockroach-go: its savepoint keeps the place in the lock queue. It
// pauses between attempts, which cockroach-go does not.
func transactCockroachDB(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	attempt := 0
	err := crdbpgxv5.ExecuteTx(crdb.WithMaxRetries(ctx, Budget), pool, serializable, func(tx pgx.Tx) error {
		if attempt++; attempt > 1 { // the library itself comes back at once
			if err := Wait(ctx, attempt); err != nil {
				return err
			}
		}
		return fn(tx)
	})
	var ambiguous *crdb.AmbiguousCommitError
	if errors.As(err, &ambiguous) {
		return errs.ErrOutcomeUnknown.Because(err)
	}
	return err
}

// transactPostgreSQL restarts the whole transaction. cockroach-go must not be used here: it would ignore the error of COMMIT, which is
// where PostgreSQL reports a serialization failure, and retry inside a savepoint whose snapshot never changes.
func transactPostgreSQL(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := attemptPostgreSQL(ctx, pool, fn)
		if !errors.Is(Classify(err), errs.ErrContended) || attempt == Budget {
			return err
		}
		if err := Wait(ctx, attempt); err != nil {
			return err
		}
	}
}

func attemptPostgreSQL(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, serializable)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing; otherwise the first error is the story
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return ClassifyCommit(fmt.Errorf("commit: %w", err))
	}
	return nil
}

var serializable = pgx.TxOptions{IsoLevel: pgx.Serializable}
