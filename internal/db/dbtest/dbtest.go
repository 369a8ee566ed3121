// Package dbtest gives a test a database of its own on every engine that is present.
//
// It promises a migrated, empty database per test, which nobody else sees, and that is dropped when the test has passed; and that DB and
// URL have the rights of a server and no more, so that every test also proves that those suffice. It relies on package cluster to start
// one process per engine and test binary, lazily, and to end it with us. An engine that is absent is skipped aloud.
//
// Environment:
//
//	MERIDIAN_TEST_ENGINES=postgresql,cockroachdb   leaves out what is not named
//	MERIDIAN_TEST_POSTGRES_URL, MERIDIAN_TEST_COCKROACH_URL   a server that runs already, as a user who may create databases and roles
//	MERIDIAN_TEST_DOCKER=1   may pull and run CockroachDB's image where nothing else provides it
//	CI=true   an absent engine is still skipped, but not all of them
//
// A package that uses it says `func TestMain(m *testing.M) { dbtest.Main(m) }`. Look next at engine.go, which knows how each engine makes
// and drops a database, and at proxy.go, which breaks the line to one where a test wants it broken.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
)

// Database is what one test has for itself.
type Database struct {
	Engine   string // postgresql or cockroachdb
	URL      string // as a server: for db.Open with other options, or a whole server
	AdminURL string // as the owner: to change tables, or to damage them by hand
	DB       *db.DB // opened on URL with the defaults; closed when the test ends
}

// patience bounds everything that a test waits for here; a CockroachDB that shares two cores takes a second per table.
const patience = 2 * time.Minute

// Main runs the tests of a package, then stops what they started. It does not return.
func Main(m *testing.M) {
	code := m.Run()
	for _, e := range engines {
		if err := e.end(); err != nil {
			fmt.Fprintf(os.Stderr, "dbtest: stop %s: %v\n", e.name, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Each runs a subtest per engine, named after it, with a database of its own.
func Each(t *testing.T, fn func(t *testing.T, d Database)) {
	t.Helper()
	forEach(t, func(t *testing.T, engine string) { fn(t, New(t, engine)) })
}

// EachEmpty is Each with databases that nobody has migrated; Database.DB is nil, and URL and AdminURL are the same.
func EachEmpty(t *testing.T, fn func(t *testing.T, d Database)) {
	t.Helper()
	forEach(t, func(t *testing.T, engine string) { fn(t, Empty(t, engine)) })
}

func forEach(t *testing.T, fn func(t *testing.T, engine string)) {
	t.Helper()
	present := 0
	for _, e := range engines {
		if _, err := e.server(); !errors.As(err, new(absent)) {
			present++
		}
	}
	if present == 0 && os.Getenv("CI") == "true" {
		t.Error("no engine is here, and CI has to have PostgreSQL at least")
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { fn(t, e.name) })
	}
}

// New returns a migrated database on one engine, and skips the test where that is absent.
func New(t testing.TB, engine string) Database {
	t.Helper()
	s, name := create(t, engine, (*server).migrated)
	d := Database{Engine: engine, AdminURL: s.adminURL(name), URL: s.serverURL(name)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if d.DB, err = db.Open(ctx, db.Options{URL: d.URL, Name: "meridian test"}); err != nil {
		t.Fatalf("open the database of the test: %v", err)
	}
	t.Cleanup(func() { closeAll(t, d.DB) })
	return d
}

// Empty returns a database without tables on one engine, and skips the test where that is absent.
func Empty(t testing.TB, engine string) Database {
	t.Helper()
	s, name := create(t, engine, (*server).empty)
	return Database{Engine: engine, AdminURL: s.adminURL(name), URL: s.adminURL(name)}
}

var serial atomic.Int64

// create makes a database and promises its end.
func create(t testing.TB, engine string, build func(*server, context.Context, string) error) (*server, string) {
	t.Helper()
	s, err := find(engine).server()
	switch {
	case errors.As(err, new(absent)):
		t.Skip(err)
	case err != nil:
		t.Fatalf("start %s: %v", engine, err)
	}
	name := fmt.Sprintf("%s_%d", s.prefix, serial.Add(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := build(s, ctx, name); err != nil {
		t.Fatalf("create a database on %s: %v", engine, err)
	}
	t.Cleanup(func() {
		if t.Failed() && !s.ours {
			t.Logf("the database is kept: %s", redacted(s.adminURL(name)))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return s, name
}

// closeAll finds connections that the test has not given back: Close would wait for them for ever.
func closeAll(t testing.TB, d *db.DB) {
	closed := make(chan struct{})
	go func() {
		d.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the test still holds a connection of its database")
	}
}

// on moves a URL to another database.
func on(base *url.URL, database string) *url.URL {
	u := *base
	u.Path, u.RawPath = "/"+database, ""
	return &u
}

func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
