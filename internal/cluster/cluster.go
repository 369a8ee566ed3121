// Package cluster starts a database engine on this machine for `meridian dev`, `demo`, `bench` and the tests, and stops it
// for sure.
//
// It promises: Start returns an engine that answers SQL on Engine.URL, or an error that says what was looked for, what was
// in the way and what to install. Stop leaves no process and no temporary directory. If this process dies without Stop,
// even by SIGKILL, the engine ends too, and the next Start removes what it left on disk. Passwords stand in URLs only,
// never in a log, a Progress line or an error.
//
// It relies on: a Unix system; binaries that somebody installed (it downloads and pulls only for durable engines).
//
// Where to look next: choose.go has the order of preference, postgres.go and cockroach.go (local.go, docker.go) the
// engines, process.go what ties an engine to our own life, home.go the private directory. For drills, network.go starts nodes and servers
// of several regions with links between them, network_link.go breaks those, and member.go ends processes one by one.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// The engines, as Options.Engine, Engine.Name and Found.Engine spell them.
const (
	CockroachDB = "cockroachdb"
	PostgreSQL  = "postgresql"
)

// database is created on every engine we start, so that nobody works in an engine's own default database.
const database = "meridian"

// Options say which engine is wanted. The zero value is a throw-away engine for a test.
type Options struct {
	// DatabaseURL names a database that runs already: nothing is started, and Stop leaves it alone.
	DatabaseURL string
	// Engine insists on CockroachDB or PostgreSQL. Empty: what Dir already holds, else the best this machine has.
	Engine string
	// Dir keeps the data from one Start to the next. Empty: a new temporary directory, removed by Stop.
	Dir string
	// Regions are the localities of CockroachDB nodes, one node each. PostgreSQL has one server for all of them.
	Regions []string
	// Durable makes a commit survive a crash. Without it (tests) the engine skips fsync, CockroachDB keeps its data in
	// memory, and nothing is ever downloaded.
	Durable bool
	// Log receives details for whoever debugs a start. Nil: none.
	Log *slog.Logger
	// Progress receives one line per step that a person waits for. Nil: none. It is called from Start only.
	Progress func(string)
}

// Engine is a running database engine. All methods may be called concurrently.
type Engine struct {
	Name    string   // CockroachDB or PostgreSQL
	Version string   // as the server itself says, such as "15.13" or "v25.4.14"
	URL     string   // of the first node; holds a password, so log Engine itself instead
	URLs    []string // one per region, in the order of Options.Regions; PostgreSQL: the same URL for each
	Why     string   // one sentence: what was taken, and what was passed over for which reason

	mu     sync.Mutex
	server server // nil: the database is not ours
	home   *home
	ended  bool // Stop has succeeded
}

// server is an engine bound to a directory: *postgres or *cockroach. Engine never calls it twice at the same time.
type server interface {
	// start returns one URL per node once all of them answer SQL. After kill it brings back the same nodes on the same
	// ports. When it fails, no process is left.
	start(ctx context.Context) ([]string, error)
	// kill ends every process at once and returns when none is left. Nothing running is not an error.
	kill() error
	// stop is kill, except that with keep the engine may first write what makes its next start quick.
	stop(keep bool) error
}

// Start finds an engine, starts it and returns when it answers. ctx bounds the start, not the life of the engine. A start
// takes about a second for PostgreSQL, some seconds for three CockroachDB nodes; a download comes on top.
func Start(ctx context.Context, o Options) (*Engine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.DatabaseURL != "" {
		return adopt(ctx, o)
	}

	h, err := openHome(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = h.dir
	e, err := choose(ctx, o, sources(o))
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	e.home = h
	o.Log.InfoContext(ctx, "engine started", "engine", e)
	return e, nil
}

// complete replaces what was left empty and refuses what cannot be meant.
func (o Options) complete() (Options, error) {
	switch o.Engine {
	case "", CockroachDB, PostgreSQL:
	default:
		return o, fmt.Errorf("engine %q: want %s or %s", o.Engine, CockroachDB, PostgreSQL)
	}
	for _, region := range o.Regions {
		// A locality is a comma-separated list of key=value, and the region becomes part of a shell command in a container.
		if !isRegion(region) {
			return o, fmt.Errorf("region %q: want lower-case letters, digits and hyphens", region)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o, nil
}

func isRegion(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return s != ""
}

// adopt takes the database that the caller named.
func adopt(ctx context.Context, o Options) (*Engine, error) {
	name, version, err := identify(ctx, o.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("take the database of --database-url: %w", err)
	}
	if o.Engine != "" && o.Engine != name {
		return nil, fmt.Errorf("the database of --database-url is %s, and %s was asked for", name, o.Engine)
	}
	e := &Engine{
		Name: name, Version: version,
		URL: o.DatabaseURL, URLs: perRegion([]string{o.DatabaseURL}, o.Regions),
		Why: fmt.Sprintf("%s %s, because its URL was given", Title(name), version),
	}
	o.Progress(e.Why)
	return e, nil
}

// perRegion repeats the only URL of a database that knows no regions.
func perRegion(urls, regions []string) []string {
	for len(urls) == 1 && len(regions) > 1 {
		for range regions[1:] {
			urls = append(urls, urls[0])
		}
	}
	return urls
}

// Title is how a person writes the name of an engine.
func Title(name string) string {
	if name == CockroachDB {
		return "CockroachDB"
	}
	return "PostgreSQL"
}

// Stop ends the engine and removes its directory if that was temporary. It may be called again, and after the engine has
// died by itself. A database that came by URL is left alone.
func (e *Engine) Stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil || e.ended {
		return nil
	}
	if err := e.server.stop(!e.home.temporary); err != nil {
		return fmt.Errorf("stop %s in %s: %w", Title(e.Name), e.home.dir, err)
	}
	e.ended = true
	return e.home.close()
}

// LogValue keeps the password out of logs.
func (e *Engine) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("name", e.Name),
		slog.String("version", e.Version),
		slog.String("url", redact(e.URL)),
		slog.Int("urls", len(e.URLs)),
		slog.String("why", e.Why),
	)
}
