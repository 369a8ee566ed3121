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
	// LockedRows is the FROM and WHERE of a statement that locks rows of a table by their full keys (home, ledger_id, id), which come as
	// three arrays, sorted; the row is called r.
	LockedRows func(table, idType string) string
	// Gate makes a writer wait, before its transaction begins, until nobody else holds one of the numbers of an array; Ungate lets go of
	// all. Empty where rows queue by themselves.
	Gate, Ungate string
	// Notifies says that DB.Listen hears of notices. Poll is how often to look for what somebody waits for: where notices tell as well, it is
	// for the one that gets lost.
	Notifies bool
	Poll     time.Duration
	// Changefeeds tells that the engine streams committed rows by itself. Otherwise what was committed is found by transaction number, and
	// NOTIFY says when to look.
	Changefeeds bool
	// RoleOption is what a role needs for changefeeds besides SELECT, in versions that ask for it; empty where nothing does.
	RoleOption string

	// regional says that nodes have regions. sqlStanding asks a node for its standing, which says whether it serves us, and in which region it is.
	regional    bool
	sqlStanding string
	standing    func(answer string) (State, string)
	// writerParams are session settings of the connections that write.
	writerParams map[string]string
	// scanParams are those of the connections of Scan.
	scanParams map[string]string
	// transact runs a closure in one SERIALIZABLE transaction, again and again until it commits or the budget ends.
	transact func(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error
	// beginSnapshot begins a read-only transaction that sees one instant of the books and locks nothing.
	beginSnapshot func(ctx context.Context, conn *pgx.Conn) error
}

// The engines.
var (
	CockroachDB = Engine{
		Name:          "cockroachdb",
		Poll:          50 * time.Millisecond,
		writerParams:  map[string]string{"idle_in_transaction_session_timeout": writerIdle},
		Changefeeds:   true,
		RoleOption:    "CONTROLCHANGEFEED",
		regional:      true,
		sqlStanding:   sqlLocality,
		standing:      standingCockroachDB,
		LockedRows:    lockedRowsCockroachDB,
		transact:      transactCockroachDB,
		beginSnapshot: func(ctx context.Context, c *pgx.Conn) error { return begin(ctx, c, sqlSnapshotCockroachDB) },
	}
	PostgreSQL = Engine{
		Name:          "postgresql",
		Overlay:       "postgres",
		LockedRows:    lockedRowsPostgreSQL,
		Gate:          sqlGatePostgreSQL,
		Ungate:        sqlUngatePostgreSQL,
		Notifies:      true,
		Poll:          time.Second,
		sqlStanding:   sqlReadOnly,
		standing:      standingPostgreSQL,
		writerParams:  postgresWriterParams,
		scanParams:    postgresScanParams,
		transact:      transactPostgreSQL,
		beginSnapshot: func(ctx context.Context, c *pgx.Conn) error { return begin(ctx, c, sqlSnapshotPostgreSQL) },
	}
)

// A writer that stalls between two statements keeps its locks for so many milliseconds, which is less than the lease of a relay lasts: whoever
// takes over does not wait for the locks of who stalled.
const writerIdle = "5000"

// A scan reads all that there is, and joins it. Where nothing is known of tables yet, as after a load or a restore, the planner takes them for tiny and
// joins them in nested loops: 6,000 payments, which take 0.2 s by hashes, took 200 s.
var postgresScanParams = map[string]string{"enable_nestloop": "off"}

// A writer reads rows by full primary keys alone. Under SERIALIZABLE a scan takes a predicate lock on all that it passes and makes every
// concurrent writer a conflict; so a writer's connections do not consider sequential scans, nor the joins that would bring one back, and
// pay so much for a row that the planner looks for the plan that touches the fewest: otherwise it reads a whole small table rather than
// descend its index ten times. Both are needed because a statement is planned once and then kept while its table grows.
var postgresWriterParams = map[string]string{
	"enable_seqscan":    "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"enable_bitmapscan": "off",
	"cpu_tuple_cost":    "10", // the default is 0.01; a page costs 4
	// A writer that vanishes without a word must not keep its gate or its rows for the two hours that TCP would take to notice.
	"tcp_keepalives_idle":                 "10",
	"tcp_keepalives_interval":             "5",
	"tcp_keepalives_count":                "3",
	"idle_in_transaction_session_timeout": writerIdle,
	"plan_cache_mode":                     "force_generic_plan", // every statement has one sensible plan: planning it again would cost more than running it
}

// PostgreSQL plans a join of arrays by the full key whatever its statistics say. FOR UPDATE locks the rows of the table.
func lockedRowsPostgreSQL(table, idType string) string {
	return `FROM unnest($1::text[], $2::text[], $3::` + idType + `[]) AS k (home, ledger_id, id)
JOIN ` + table + ` r ON r.home = k.home AND r.ledger_id = k.ledger_id AND r.id = k.id`
}

// CockroachDB takes no locks in a look-up join (cockroachdb/cockroach#88262), and plans this form as constrained spans of the key.
func lockedRowsCockroachDB(table, idType string) string {
	return `FROM ` + table + ` r
WHERE r.home = ANY($1::text[]) AND r.ledger_id = ANY($2::text[]) AND r.id = ANY($3::` + idType + `[])`
}

// On PostgreSQL a SERIALIZABLE transaction that waits for a row is bound to fail when the wait ends, because its snapshot is older than
// the row: groups of several nodes that share a hot account would mostly fail. Session-level advisory locks are taken before the
// transaction and its snapshot begin, so that they queue instead. They only save work: correctness rests on the transaction.
const (
	sqlGatePostgreSQL   = `SELECT count(pg_advisory_lock(k)) FROM unnest($1::int8[]) AS k`
	sqlUngatePostgreSQL = `SELECT pg_advisory_unlock_all()`
)

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

// Not crdb_internal.locality_value, which newer versions call unsafe and refuse.
const (
	sqlLocality = `SHOW locality`
	sqlReadOnly = `SHOW transaction_read_only`
)

// standingCockroachDB reads a locality, as in region=europe-west1,zone=b. A node without one serves as well.
func standingCockroachDB(locality string) (State, string) {
	for tier := range strings.SplitSeq(locality, ",") {
		if region, found := strings.CutPrefix(tier, "region="); found {
			return Answers, region
		}
	}
	return Answers, ""
}

func standingPostgreSQL(readOnly string) (State, string) {
	if readOnly == "on" {
		return ReadOnly, ""
	}
	return Answers, ""
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

// Pause returns how long to wait after the given number of attempts, 1 or more: a uniform draw up to an exponentially growing bound.
func Pause(attempts int) time.Duration {
	bound := lastPause
	if attempts < 9 {
		bound = min(lastPause, firstPause<<attempts)
	}
	return time.Duration(rand.Int64N(int64(bound)) + 1)
}

// Wait pauses after the given number of attempts, unless the context ends first.
func Wait(ctx context.Context, attempts int) error {
	timer := time.NewTimer(Pause(attempts))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return Classify(ctx.Err())
	case <-timer.C:
		return nil
	}
}

// transactCockroachDB leaves serialization failures to cockroach-go: its savepoint keeps the place in the lock queue, where a restart
// would lose it. What cockroach-go does not do is done here: pauses between attempts, and whole restarts after other losses that are
// worth one (a key that somebody wrote first). All attempts count towards one budget.
func transactCockroachDB(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	attempts := 0
	paced := func(tx pgx.Tx) error {
		if attempts > 0 {
			if err := Wait(ctx, attempts); err != nil {
				return err
			}
		}
		attempts++
		return fn(tx)
	}
	for {
		before, retries := attempts, max(1, Budget-attempts-1) // zero would mean: for ever
		err := crdbpgxv5.ExecuteTx(crdb.WithMaxRetries(ctx, retries), pool, serializable, paced)
		var commit *crdb.AmbiguousCommitError
		if errors.As(err, &commit) { // so it calls whatever RELEASE answers, a refusal as well
			err = ClassifyCommit(fmt.Errorf("commit: %w", commit.Cause()))
		}
		if !errors.Is(Classify(err), errs.ErrContended) || attempts >= Budget {
			return err
		}
		if attempts == before { // it did not get as far as fn, which is an attempt as well
			attempts++
			if err := Wait(ctx, attempts); err != nil {
				return err
			}
		}
	}
}

// transactPostgreSQL restarts the whole transaction. cockroach-go must not be used here: it would ignore the error of COMMIT, which is
// where PostgreSQL reports a serialization failure, and retry inside a savepoint whose snapshot never changes.
func transactPostgreSQL(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	for attempts := 1; ; attempts++ {
		err := attemptPostgreSQL(ctx, pool, fn)
		if !errors.Is(Classify(err), errs.ErrContended) || attempts == Budget {
			return err
		}
		if err := Wait(ctx, attempts); err != nil {
			return err
		}
	}
}

func attemptPostgreSQL(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, serializable)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { // after a commit it does nothing; otherwise the first error is the story
		ending, cancel := farewell(ctx)
		defer cancel()
		_ = tx.Rollback(ending)
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return ClassifyCommit(fmt.Errorf("commit: %w", err))
	}
	return nil
}

var serializable = pgx.TxOptions{IsoLevel: pgx.Serializable}

// farewell is for what ends a transaction: it outlives the caller's context, but not a server that answers no more.
func farewell(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}
