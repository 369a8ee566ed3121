// Package db opens the database, says which engine it is, and is the one way to run a transaction.
//
// It promises that a write is a closure that runs until it commits or is truly refused, that every error that leaves it is an
// *errs.Error chosen by SQLSTATE (but for a URL that can not be right, which Open tells whoever wrote it), and that engines differ in one value, Engine, and nowhere else. The two-round-trip transaction of a
// group of commands is driven by package store with the same classification. See cockroach-go for CockroachDB's loop, engine.go for
// why PostgreSQL has its own.
package db

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say how to connect. The zero value of everything but URL is sane.
type Options struct {
	URL      string // postgresql://…, several hosts for failover
	Writers  int    // connections that write; default 8
	Readers  int    // connections that read; default 8
	Name     string // application_name; default meridian
	Tracer   pgx.QueryTracer
	MaxQuery time.Duration // statement_timeout of the server; default 30 s
	Region   string        // ours: where the database has regions, connections go to hosts of the same name first
	Log      *slog.Logger  // of hosts that come and go; nil: silent
}

// DB is a pair of pools on one database. It is safe for concurrent use.
//
// Writers and readers have pools of their own, so that a statement which lists a million entries never stands in the way of money, and
// nothing holds a connection of a pool while it waits for another of the same pool.
type DB struct {
	Engine  Engine
	Version string
	config  *pgx.ConnConfig
	near    *nearest
	write   *pgxpool.Pool
	read    *pgxpool.Pool
}

// Open connects and finds out which engine answers. The error is errs.ErrUnavailable where none does, and ErrConfiguration where one does
// that has no place for us. Where the URL names several hosts, all are asked at once, and about every second until Close: new connections go to
// the nearest that answer (see Options.Region).
func Open(ctx context.Context, o Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err) // pgx leaves the password out of its message
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config.ConnConfig.Tracer = o.Tracer
	near := newNearest(config.ConnConfig.Copy(), o.Region, o.Log)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
		if len(near.hosts) > 1 {
			config.ConnConfig.ConnectTimeout = 2 * time.Second // somebody else may answer
		}
		near.base.ConnectTimeout = config.ConnConfig.ConnectTimeout
	}
	engine, version, err := near.survey(ctx)
	if err != nil {
		near.hangUp()
		if wrong := Misconfigured(err); wrong != nil {
			return nil, wrong
		}
		return nil, Classify(fmt.Errorf("connect to the database: %w", err))
	}
	d := &DB{Engine: engine, Version: version, config: config.ConnConfig.Copy(), near: near}
	if d.write, err = d.pool(ctx, config, o, cmp.Or(o.Writers, 8), engine.writerParams); err != nil {
		near.hangUp()
		return nil, err
	}
	if d.read, err = d.pool(ctx, config, o, cmp.Or(o.Readers, 8), nil); err != nil {
		near.hangUp()
		d.write.Close()
		return nil, err
	}
	if len(near.hosts) == 1 {
		near.hangUp() // there is nothing to choose: who uses it finds out how it is
		return d, nil
	}
	near.watch([]*pgxpool.Pool{d.write, d.read})
	return d, nil
}

// pool is of fixed size: idle connections are cheap, and one that must be opened in the middle of a burst is not. Connections live
// five minutes with jitter, so that after a failover or a rolling restart they spread over the nodes again; CockroachDB recommends 5
// to 30. A ping that hangs on a dead node must not hang its caller: pgx's own default is to wait for ever.
func (d *DB) pool(ctx context.Context, base *pgxpool.Config, o Options, size int, params map[string]string) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns = int32(size) //nolint:gosec // a handful
	config.MinConns = int32(size) //nolint:gosec // a handful
	config.MaxConnLifetime = 5 * time.Minute
	config.MaxConnLifetimeJitter = 30 * time.Second
	config.MaxConnIdleTime = 5 * time.Minute
	config.HealthCheckPeriod = time.Second // it opens what was closed
	config.PingTimeout = 2 * time.Second
	config.ShouldPing = func(ctx context.Context, p pgxpool.ShouldPingParams) bool {
		ask, said := ctx.Value(asking{}).(bool)
		return ask || !said && p.IdleDuration > time.Second
	}
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		d.near.direct(c, true)
		return nil
	}
	config.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) { return d.near.keeps(c), nil }
	runtime := config.ConnConfig.RuntimeParams
	runtime["application_name"] = cmp.Or(o.Name, "meridian")
	runtime["statement_timeout"] = fmt.Sprint(cmp.Or(o.MaxQuery, 30*time.Second).Milliseconds())
	runtime["idle_in_transaction_session_timeout"] = "30000" // a node that stalls in the middle of a group must not keep its locks
	maps.Copy(runtime, params)
	p, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, Classify(fmt.Errorf("open a pool: %w", err))
	}
	return p, nil
}

type asking struct{}

// Asking returns a context that says whether a pool asks a connection if it is alive before it lends it, which costs a round trip.
// Otherwise it asks those that lay idle for more than a second. Not to ask is for who begins again, asking, where errs.ErrUnavailable
// comes back: in a failover all connections die at once.
func Asking(ctx context.Context, ask bool) context.Context {
	return context.WithValue(ctx, asking{}, ask)
}

// Renew closes the connections that nobody uses, and those in use when they come back. It is for who waited for an answer in vain: a node
// that died without a word takes them all along, and each of them would be waited for again.
func (d *DB) Renew() {
	d.write.Reset()
	d.read.Reset()
}

// Close waits for borrowed connections and closes all.
func (d *DB) Close() {
	d.near.close()
	d.write.Close()
	d.read.Close()
}

// Write runs fn in one SERIALIZABLE transaction. fn may run any number of times and must reset what it captures.
func (d *DB) Write(ctx context.Context, fn func(pgx.Tx) error) error {
	return Classify(d.Engine.transact(ctx, d.write, fn))
}

// Writer lends a connection that writes, for transactions that count their own round trips. The caller releases it.
func (d *DB) Writer(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := d.write.Acquire(ctx)
	if err != nil {
		return nil, Classify(fmt.Errorf("borrow a connection: %w", err))
	}
	return conn, nil
}

// Reader returns the pool for strong reads of a single statement, or of several that need not agree.
func (d *DB) Reader() *pgxpool.Pool { return d.read }

// Snapshot runs fn on a connection that sees one instant of the books, for as long as fn likes, without locking anything.
func (d *DB) Snapshot(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := d.read.Acquire(ctx)
	if err != nil {
		return Classify(fmt.Errorf("borrow a connection: %w", err))
	}
	defer conn.Release()
	if err := d.Engine.beginSnapshot(ctx, conn.Conn()); err != nil {
		return Classify(err)
	}
	err = fn(conn.Conn())
	ending, cancel := farewell(ctx)
	defer cancel()
	if _, end := conn.Exec(ending, `COMMIT`); end != nil && err == nil {
		err = fmt.Errorf("end a snapshot: %w", end)
	}
	return Classify(err)
}

// Scan is Snapshot on a connection of its own, without a statement timeout: for who reads one instant for minutes.
func (d *DB) Scan(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := d.Connect(ctx, d.Engine.scanParams, nil)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := farewell(ctx)
		defer cancel()
		_ = conn.Close(ending)
	}()
	if err := d.Engine.beginSnapshot(ctx, conn); err != nil {
		return Classify(err)
	}
	return Classify(fn(conn)) // there is nothing to commit
}

// Connect opens a connection outside the pools, for who keeps one for long: a listener, a changefeed, a scan of a whole journal. No
// statement timeout applies to it. params are session settings; tune, unless nil, has the last word. The caller closes the connection.
func (d *DB) Connect(ctx context.Context, params map[string]string, tune func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config := d.config.Copy()
	config.RuntimeParams["application_name"] = "meridian"
	config.RuntimeParams["statement_timeout"] = "0"
	maps.Copy(config.RuntimeParams, params)
	d.near.direct(config, false)
	if tune != nil {
		tune(config)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, Classify(fmt.Errorf("connect to the database: %w", err))
	}
	return conn, nil
}

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return Classify(d.read.Ping(ctx)) }

// Hosts returns what is known of the hosts of the URL, in its order. Nobody asks an only host how it is: its state is that of when Open was
// called.
func (d *DB) Hosts() []Host { return d.near.snapshot() }
