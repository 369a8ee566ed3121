package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
)

// migrator holds the lock.
type migrator struct {
	source
	pool *sql.DB
}

// locked runs fn as the only migrator.
//
// The lock is a row with an owner and a lease that a heartbeat renews. Advisory locks would not do: CockroachDB accepts them and locks
// nothing. A lease can run out under a suspended process, and no lock can call back a statement that the server has already begun; what
// keeps two migrators from harm even then is that every statement can run again.
func (s source) locked(ctx context.Context, config *pgx.ConnConfig, fn func(migrator) error) (err error) {
	pool := stdlib.OpenDB(*config)
	defer pool.Close()
	lease, err := lock.NewPostgresTableLocker(
		lock.WithTableName("schema_lock"),
		lock.WithTableLeaseDuration(s.lease),
		lock.WithTableHeartbeatInterval(s.lease/6),
		lock.WithTableLockTimeout(s.poll, s.tries),
		lock.WithTableUnlockTimeout(200*time.Millisecond, 10), // a row that stays locked is free again when the lease ends
		lock.WithTableRetryPolicy(worthWaiting),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)), // its errors come back to us
	)
	if err != nil {
		return fmt.Errorf("set up the lock of the schema: %w", err)
	}
	if err := lease.Lock(ctx, pool); err != nil {
		return fmt.Errorf("wait for the lock of the schema: %w", err)
	}
	defer func() {
		if end := lease.Unlock(ctx, pool); end != nil {
			err = errors.Join(err, fmt.Errorf("give back the lock of the schema: %w", end))
		}
	}()
	return fn(migrator{source: s, pool: pool})
}

// worthWaiting tells a lock that somebody holds, or a server that is away, from one that will never be ours.
func worthWaiting(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return true
	}
	classified := db.Classify(err)
	return errors.Is(classified, errs.ErrContended) || errors.Is(classified, errs.ErrUnavailable)
}

// mode says whether the files of a directory are applied once, with their version recorded, or every time.
type mode bool

const (
	versioned mode = false
	everyTime mode = true
)

// run applies the files of a directory in the order of their numbers.
func (m migrator) run(ctx context.Context, directory string, how mode, o Options) error {
	dir, err := fs.Sub(m.files, directory)
	if err != nil {
		return fmt.Errorf("open %s: %w", directory, err)
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithIsolateDDL(true)}
	if o.Progress != nil {
		options = append(options, goose.WithVerbose(true), goose.WithSlog(slog.New(progress(o.Progress))))
	}
	dialect := goose.DialectCustom
	if how == everyTime {
		dialect, options = goose.DialectPostgres, append(options, goose.WithDisableVersioning(true))
	} else {
		options = append(options, goose.WithStore(versions{}))
	}
	provider, err := goose.NewProvider(dialect, m.pool, dir, options...)
	if err != nil {
		return fmt.Errorf("read %s: %w", directory, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("apply %s: %w", directory, err)
	}
	return nil
}
