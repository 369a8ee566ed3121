package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Environment variables that take part in the choice.
const (
	envBinary   = "COCKROACH_BINARY"            // the cockroach program to use
	envDownload = "MERIDIAN_DOWNLOAD_COCKROACH" // "0": never download it
)

// source is one way to come by an engine. find returns a server that is ready to start and where it is from, or the
// reason why this way is closed.
type source struct {
	engine string
	kind   string // data of one kind can be started by the same kind only
	name   string
	// tentative: if its engine is found but does not start, the next source is tried. What somebody installed is not.
	tentative bool
	find      func(context.Context) (server, string, error)
}

const (
	kindLocal    = "cockroach"
	kindDocker   = "docker"
	kindPostgres = "postgresql"
)

// sources lists the ways, the preferred one first.
func sources(o Options) []source {
	onCockroach := func(f fleet) server {
		return &cockroach{fleet: f, dir: o.Dir, durable: o.Durable, regions: o.Regions, log: o.Log, progress: o.Progress}
	}
	return []source{
		{CockroachDB, kindLocal, "CockroachDB", false, func(context.Context) (server, string, error) {
			bin, how, err := findCockroach()
			if err != nil {
				return nil, "", err
			}
			return onCockroach(&local{bin: bin, dir: o.Dir, durable: o.Durable}), how, nil
		}},
		{CockroachDB, kindLocal, "CockroachDB download", true, func(ctx context.Context) (server, string, error) {
			bin, err := downloadCockroach(ctx, o)
			if err != nil {
				return nil, "", err
			}
			return onCockroach(&local{bin: bin, dir: o.Dir, durable: o.Durable}), "downloaded to " + bin, nil
		}},
		{CockroachDB, kindDocker, "CockroachDB in Docker", true, func(ctx context.Context) (server, string, error) {
			if err := findDocker(ctx, o.Durable, o.Progress); err != nil {
				return nil, "", err
			}
			return onCockroach(&container{dir: o.Dir, durable: o.Durable}), "the Docker image " + dockerImage, nil
		}},
		{PostgreSQL, kindPostgres, "PostgreSQL", false, func(ctx context.Context) (server, string, error) {
			as, err := postgresAccount()
			if err != nil {
				return nil, "", err
			}
			in, err := findPostgres(ctx, o.Dir)
			if err != nil {
				return nil, "", err
			}
			return &postgres{bin: in.bin, dir: o.Dir, durable: o.Durable, as: as, progress: o.Progress}, in.bin, nil
		}},
	}
}

// choose starts the first engine that can be had.
func choose(ctx context.Context, o Options, ways []source) (*Engine, error) {
	holds := dataKind(o.Dir)
	passed := make([]string, 0, len(ways))
	for _, way := range ways {
		if o.Engine != "" && way.engine != o.Engine {
			continue
		}
		if holds != "" && way.kind != holds {
			passed = append(passed, fmt.Sprintf("%s: %s holds data of another engine", way.name, o.Dir))
			continue
		}
		e, err := try(ctx, o, way)
		if err == nil {
			for _, reason := range passed {
				first, _, _ := strings.Cut(reason, "\n")
				e.Why += "; " + first
			}
			o.Progress(e.Why)
			return e, nil
		}
		if final := (finalError{}); ctx.Err() != nil || errors.As(err, &final) {
			return nil, fmt.Errorf("start %s: %w", way.name, err)
		}
		passed = append(passed, way.name+": "+err.Error())
		o.Log.InfoContext(ctx, "engine passed over", "way", way.name, "reason", err)
	}
	return nil, noEngine(passed)
}

// finalError ends the choice: what somebody installed or named does not work, and they want to know rather than to find
// themselves on another engine.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// try takes one way to the end: an engine that answers.
func try(ctx context.Context, o Options, way source) (*Engine, error) {
	srv, from, err := way.find(ctx)
	if err != nil {
		return nil, err
	}
	urls, err := srv.start(ctx)
	var name, version string
	if err == nil {
		name, version, err = identify(ctx, urls[0])
		if err != nil {
			err = errors.Join(err, srv.kill())
		}
	}
	switch {
	case err != nil && way.tentative:
		return nil, fmt.Errorf("%s: %w", from, err)
	case err != nil:
		return nil, finalError{fmt.Errorf("%s: %w", from, err)}
	}
	return &Engine{
		Name: name, Version: version, URL: urls[0], URLs: perRegion(urls, o.Regions),
		Why:    fmt.Sprintf("%s %s (%s)", Title(name), version, from),
		server: srv,
	}, nil
}

// dataKind says which engine's data dir holds already, if any. Starting another one there would show an empty database to
// somebody who left a full one.
func dataKind(dir string) string {
	switch {
	case exists(filepath.Join(dir, "postgresql")):
		return kindPostgres
	case !exists(filepath.Join(dir, regionsFile)):
		return ""
	case exists(filepath.Join(dir, dockerLog)):
		return kindDocker
	}
	return kindLocal
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findCockroach looks for the program on this machine: the one named by the environment, on the PATH, downloaded earlier.
func findCockroach() (bin, how string, err error) {
	if named := os.Getenv(envBinary); named != "" {
		bin, err := exec.LookPath(named)
		if err != nil {
			return "", "", finalError{fmt.Errorf("%s: %w", envBinary, err)}
		}
		return bin, bin + ", named by " + envBinary, nil
	}
	if bin, err := exec.LookPath("cockroach"); err == nil {
		return bin, bin, nil
	}
	if d, err := officialDownload(); err == nil {
		if bin, ok := d.cached(); ok {
			return bin, bin + ", downloaded earlier", nil
		}
	}
	return "", "", fmt.Errorf("no cockroach on the PATH, and %s is not set", envBinary)
}

func downloadCockroach(ctx context.Context, o Options) (string, error) {
	if os.Getenv(envDownload) == "0" {
		return "", errors.New(envDownload + " is 0")
	}
	if !o.Durable {
		return "", errors.New("tests download nothing")
	}
	d, err := officialDownload()
	if err != nil {
		return "", err
	}
	return d.fetch(ctx, o.Progress)
}

// noEngine says what was looked for, and what to install on this platform.
func noEngine(passed []string) error {
	install := []string{
		"Debian, Ubuntu:  apt-get install postgresql",
		"Fedora, RHEL:    dnf install postgresql-server",
		"Alpine:          apk add postgresql",
		"Arch:            pacman -S postgresql",
	}
	if runtime.GOOS == "darwin" {
		install = []string{
			"macOS:           brew install postgresql@16",
			"or CockroachDB:  brew install cockroachdb/tap/cockroach",
		}
	}
	return fmt.Errorf("no database engine can be started here:\n  %s\nInstall one:\n  %s\n"+
		"or put CockroachDB (https://www.cockroachlabs.com/docs/releases) on the PATH, or give --database-url",
		strings.Join(passed, "\n  "), strings.Join(install, "\n  "))
}

// Found is one engine that this machine can start, or the reason why it cannot.
type Found struct {
	Engine string // CockroachDB or PostgreSQL
	From   string // where it is; empty if it cannot be started
	Reason string // why it cannot be started; empty if it can
}

// String is what a test says aloud when it skips an engine.
func (f Found) String() string {
	if f.Reason != "" {
		return fmt.Sprintf("%s cannot be started: %s", Title(f.Engine), f.Reason)
	}
	return fmt.Sprintf("%s (%s)", Title(f.Engine), f.From)
}

// Available lists both engines, CockroachDB first. It starts and downloads nothing, and takes 2 s at most for Docker.
func Available(ctx context.Context) []Found {
	o, err := Options{}.complete()
	if err != nil {
		return nil // the zero value is complete
	}
	found := []Found{{Engine: CockroachDB}, {Engine: PostgreSQL}}
	for _, way := range sources(o) {
		f := &found[0]
		if way.engine == PostgreSQL {
			f = &found[1]
		}
		if f.From != "" {
			continue
		}
		_, from, err := way.find(ctx)
		if err != nil {
			f.Reason = strings.TrimPrefix(f.Reason+"; "+way.name+": "+err.Error(), "; ")
			continue
		}
		f.From, f.Reason = from, ""
	}
	return found
}
