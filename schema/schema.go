// Package schema holds the tables of the books and brings a database to them.
//
// It promises that Up takes any database of an earlier version, an empty one, or one on which an earlier Up was interrupted, to the
// version this binary speaks; that it may run on several machines at once; and that Check refuses every other version. It relies on
// goose for the order of the files and for the lock, and on one rule that migrations follow: each is a list of single statements that
// both engines take, outside transactions, and that can run again without harm (CREATE TABLE IF NOT EXISTS, updates that find nothing
// left to do). The rule carries three things at once: schema changes of CockroachDB do not belong into transactions, a failure half-way
// is mended by running Up again, and a migrator that was suspended for longer than its lease can not damage the work of the next one.
//
// Look next at migrations/ (the books), postgres/ (what PostgreSQL needs on top, always applied), cockroachdb/ (where rows live, applied
// on request) and grants.go (what a server may do).
package schema

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
)

//go:embed migrations/*.sql postgres/*.sql
var files embed.FS

// Errors of Check and Up. Both say what to do.
var (
	ErrOlder = errors.New("the schema of the database is older than this binary: run `meridian migrate up`")
	ErrNewer = errors.New("the schema of the database is newer than this binary: upgrade the binary")
)

// Options of Up.
type Options struct {
	// Progress receives a line before each statement and after each migration that the database has not had yet. Nil: none.
	Progress func(string)
}

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // of its file; empty where this binary does not know it
	AppliedAt time.Time // zero where it is pending
}

// Up applies what is pending, then the overlay of the engine. The role of the URL must own the database. It waits for another migrator
// for as long as ctx allows, ten minutes at most. On a schema that is newer it changes nothing and returns ErrNewer.
func Up(ctx context.Context, url string, o Options) error { return books.up(ctx, url, o) }

// Status lists the migrations by version: those of this binary, and those that only the database knows. It changes nothing.
func Status(ctx context.Context, url string) ([]Migration, error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer hangUp(ctx, conn)
	return books.status(ctx, conn)
}

// Querier is a connection or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Check returns nil where the database is at exactly the version of this binary, ErrOlder or ErrNewer where it is not. The server's role
// may run it.
func Check(ctx context.Context, q Querier) error { return books.check(ctx, q) }

// source is a set of migrations and overlays, and how patient its lock is.
type source struct {
	files fs.FS         // migrations/*.sql and a directory per overlay
	lease time.Duration // how long a migrator that died keeps the lock; whole seconds
	poll  time.Duration // how often the next one tries
	tries uint64        // and how many times
}

// A heartbeat renews the lease, so its length is no limit on a migration; it is what a crash costs the next migrator.
var books = source{files: files, lease: 30 * time.Second, poll: 500 * time.Millisecond, tries: 1200}

func (s source) up(ctx context.Context, url string, o Options) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	engine, _, err := db.Detect(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.check(ctx, conn); err != nil && !errors.Is(err, ErrOlder) {
		return err
	}
	return s.locked(ctx, conn.Config(), func(m migrator) error {
		if err := m.run(ctx, "migrations", versioned, o); err != nil {
			return err
		}
		if engine.Overlay == "" {
			return nil
		}
		return m.overlay(ctx, engine.Overlay, o)
	})
}

// connect is for schema changes, which may take hours: no timeout of the role applies to them.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err) // pgx leaves the password out of its message
	}
	config.RuntimeParams["application_name"] = "meridian migrate"
	config.RuntimeParams["statement_timeout"] = "0"
	conn, err := pgx.ConnectConfig(ctx, config)
	if wrong := db.Misconfigured(err); wrong != nil {
		return nil, wrong
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

// hangUp closes a connection also where the work was cut short.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

const sqlSelectVersions = `SELECT version, applied_at FROM schema_version WHERE version > 0 ORDER BY version`

// applied reads which versions the database has: none where the table is missing.
func applied(ctx context.Context, q Querier) (map[int64]time.Time, error) {
	rows, _ := q.Query(ctx, sqlSelectVersions) // the error comes back from the loop
	var version int64
	var at time.Time
	versions := map[int64]time.Time{}
	_, err := pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		versions[version] = at
		return nil
	})
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == undefinedTable {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the version of the schema: %w", err)
	}
	return versions, nil
}

const undefinedTable = "42P01"

// known lists the migrations of this binary.
func (s source) known() ([]Migration, error) {
	names, err := fs.Glob(s.files, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var all []Migration
	for _, name := range names { // Glob sorts, and the numbers have leading zeros
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name has no number: %w", name, err)
		}
		all = append(all, Migration{Version: version, Name: strings.TrimSuffix(path.Base(name), ".sql")})
	}
	return all, nil
}

func (s source) status(ctx context.Context, q Querier) ([]Migration, error) {
	all, err := s.known()
	if err != nil {
		return nil, err
	}
	versions, err := applied(ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].AppliedAt = versions[all[i].Version]
		delete(versions, all[i].Version)
	}
	for version, at := range versions {
		all = append(all, Migration{Version: version, AppliedAt: at})
	}
	slices.SortFunc(all, func(a, b Migration) int { return int(a.Version - b.Version) })
	return all, nil
}

func (s source) check(ctx context.Context, q Querier) error {
	all, err := s.status(ctx, q)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Name == "" { // comes first: a binary must not repair what it does not know
			return fmt.Errorf("version %d: %w", m.Version, ErrNewer)
		}
	}
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			return fmt.Errorf("%s is missing: %w", m.Name, ErrOlder)
		}
	}
	return nil
}
