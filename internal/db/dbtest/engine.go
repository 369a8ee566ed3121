package dbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/schema"
)

// engine is one that tests run on, and all that differs between the two for them.
type engine struct {
	name   string
	envURL string
	// sqlCopy makes a database out of another, sqlDrop drops one with whoever is connected; both with names to fill in.
	sqlCopy, sqlDrop string
	// docker starts it where package cluster can not.
	docker func(context.Context) (url string, stop func() error, err error)

	once    sync.Once
	started *server
	err     error
}

var engines = []*engine{
	{
		name: cluster.PostgreSQL, envURL: "MERIDIAN_TEST_POSTGRES_URL",
		sqlCopy: `CREATE DATABASE %s TEMPLATE %s`, sqlDrop: `DROP DATABASE IF EXISTS %s WITH (FORCE)`,
	},
	{
		name: cluster.CockroachDB, envURL: "MERIDIAN_TEST_COCKROACH_URL",
		sqlDrop: `DROP DATABASE IF EXISTS %s CASCADE`,
		docker:  startContainer,
	},
}

func find(name string) *engine {
	for _, e := range engines {
		if e.name == name {
			return e
		}
	}
	panic("dbtest: there is no engine " + name)
}

// absent says why an engine is not here.
type absent struct{ why string }

func (a absent) Error() string { return a.why }

// server is a running engine. Its databases and its role carry a prefix that no other test binary uses.
type server struct {
	*engine
	admin          *url.URL
	ours           bool // started by us, and gone with us
	stop           func() error
	prefix         string
	role, password string

	pool     *pgxpool.Pool
	template func() error // makes the template, once
}

// server starts the engine, the first time it is asked. The error is absent where the engine is not here or not wanted.
func (e *engine) server() (*server, error) {
	e.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		e.started, e.err = e.start(ctx)
	})
	return e.started, e.err
}

func (e *engine) start(ctx context.Context) (*server, error) {
	if err := e.wanted(); err != nil {
		return nil, err
	}
	raw, stop, err := e.launch(ctx)
	if err != nil {
		return nil, err
	}
	s, err := e.connect(ctx, raw, stop)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return s, nil
}

// wanted reads MERIDIAN_TEST_ENGINES.
func (e *engine) wanted() error {
	list := os.Getenv("MERIDIAN_TEST_ENGINES")
	if list == "" {
		return nil
	}
	wanted := false
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name != cluster.PostgreSQL && name != cluster.CockroachDB {
			return fmt.Errorf("MERIDIAN_TEST_ENGINES names %q: want %s or %s", name, cluster.PostgreSQL, cluster.CockroachDB)
		}
		wanted = wanted || name == e.name
	}
	if !wanted {
		return absent{"MERIDIAN_TEST_ENGINES leaves out " + e.name}
	}
	return nil
}

// launch returns the URL of a server and what stops it.
func (e *engine) launch(ctx context.Context) (string, func() error, error) {
	o := cluster.Options{Engine: e.name, DatabaseURL: os.Getenv(e.envURL)}
	if why := e.unavailable(ctx); o.DatabaseURL == "" && why != "" {
		if e.docker == nil || os.Getenv("MERIDIAN_TEST_DOCKER") != "1" {
			return "", nil, absent{why}
		}
		return e.docker(ctx)
	}
	if b := flag.Lookup("test.bench"); b != nil && b.Value.String() != "" {
		o.Durable = true // a benchmark that does not wait for the disk measures another product
	}
	c, err := cluster.Start(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return c.URL, c.Stop, nil
}

// unavailable says why package cluster can not start the engine.
func (e *engine) unavailable(ctx context.Context) string {
	for _, found := range cluster.Available(ctx) {
		if found.Engine == e.name && found.From == "" {
			return found.String()
		}
	}
	return ""
}

func (e *engine) connect(ctx context.Context, raw string, stop func() error) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return nil, fmt.Errorf("%s wants a URL: postgresql://user@host/database", e.envURL)
	}
	suffix := strings.ToLower(rand.Text()[:10])
	s := &server{
		engine: e, admin: u, ours: os.Getenv(e.envURL) == "", stop: stop,
		prefix: "meridian_test_" + suffix, role: "meridian_test_" + suffix,
	}
	if _, has := u.User.Password(); has {
		s.password = rand.Text()
	} // else the server asks nobody for one, and CockroachDB in that mode takes none
	if s.pool, err = pgxpool.New(ctx, raw); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e.name, err)
	}
	s.template = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return s.build(ctx, s.prefix)
	})
	return s, nil
}

// end stops the engine, if it was started. A server that is not ours gets back what we made on it.
func (e *engine) end() error {
	if e.started == nil {
		return nil
	}
	s := e.started
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !s.ours {
		_ = s.drop(ctx, s.prefix)                             // there is one only where databases are copied
		_ = s.exec(ctx, `DROP ROLE IF EXISTS `+quote(s.role)) // stays where a database of a failed test was kept
	}
	s.pool.Close()
	return s.stop()
}

// migrated makes a database with the tables and the rights of a server: by copying one where the engine can, which takes half the time.
func (s *server) migrated(ctx context.Context, name string) error {
	if s.sqlCopy == "" {
		return s.build(ctx, name)
	}
	if err := s.template(); err != nil {
		return fmt.Errorf("make the template: %w", err)
	}
	return s.exec(ctx, fmt.Sprintf(s.sqlCopy, quote(name), quote(s.prefix)))
}

func (s *server) build(ctx context.Context, name string) error {
	if err := s.empty(ctx, name); err != nil {
		return err
	}
	if err := schema.Up(ctx, s.adminURL(name), schema.Options{}); err != nil {
		return err
	}
	return schema.ApplyGrants(ctx, s.adminURL(name), s.role, s.password)
}

func (s *server) empty(ctx context.Context, name string) error {
	return s.exec(ctx, `CREATE DATABASE `+quote(name))
}

func (s *server) drop(ctx context.Context, name string) error {
	return s.exec(ctx, fmt.Sprintf(s.sqlDrop, quote(name)))
}

func (s *server) exec(ctx context.Context, sql string) error {
	if _, err := s.pool.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (s *server) adminURL(name string) string { return on(s.admin, name).String() }

func (s *server) serverURL(name string) string {
	u := on(s.admin, name)
	u.User = url.User(s.role)
	if s.password != "" {
		u.User = url.UserPassword(s.role, s.password)
	}
	q := u.Query()
	q.Del("sslcert") // the administrator's
	q.Del("sslkey")
	u.RawQuery = q.Encode()
	return u.String()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
