package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldestPostgres is the first version with everything our SQL uses (design: PostgreSQL since 14).
const oldestPostgres = 14

// postgresPlaces are where the packages of the platforms put what they keep off the PATH: Debian, the PostgreSQL project's
// own RPMs, Alpine, Homebrew on Apple silicon and on Intel.
var postgresPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
}

// installation is a PostgreSQL found on this machine.
type installation struct {
	bin     string
	version string // "15.13"
	major   int
}

// findPostgres returns the PostgreSQL to use for dir: the one on the PATH, else the newest of the known places, else that
// of pg_config. Data that lies in dir already can be read by its own major version only.
func findPostgres(ctx context.Context, dir string) (installation, error) {
	wanted, err := dataMajor(dir)
	if err != nil {
		return installation{}, err
	}
	var passed []string
	for _, in := range installations(ctx) {
		switch {
		case in.major < oldestPostgres:
			passed = append(passed, fmt.Sprintf("PostgreSQL %s in %s is older than %d", in.version, in.bin, oldestPostgres))
		case wanted != 0 && in.major != wanted:
			passed = append(passed, fmt.Sprintf("PostgreSQL %s in %s cannot read the data of PostgreSQL %d in %s", in.version, in.bin, wanted, dir))
		default:
			return in, nil
		}
	}
	if len(passed) > 0 {
		return installation{}, errors.New(strings.Join(passed, "; "))
	}
	return installation{}, errors.New("no initdb and postgres on the PATH, in " + postgresPlaces[0] + " or where pg_config points to")
}

// dataMajor returns the major version of the PostgreSQL data in dir, 0 if there is none.
func dataMajor(dir string) (int, error) {
	if dir == "" {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgresql", "PG_VERSION")) //nolint:gosec // G304: in the directory that was asked for
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of PostgreSQL's data: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the version of PostgreSQL's data in %s: %w", dir, err)
	}
	return major, nil
}

// installations lists what this machine has, in order of preference.
func installations(ctx context.Context) []installation {
	var found []installation
	add := func(bins ...string) {
		var here []installation
		for _, bin := range bins {
			if in, ok := inspect(ctx, bin); ok {
				here = append(here, in)
			}
		}
		slices.SortStableFunc(here, func(a, b installation) int { return cmp.Compare(b.major, a.major) })
		found = append(found, here...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		add(filepath.Dir(path))
	}
	var known []string
	for _, place := range postgresPlaces {
		bins, _ := filepath.Glob(place)
		known = append(known, bins...)
	}
	add(known...)
	if bin, err := (command{name: "pg_config", path: "pg_config", args: []string{"--bindir"}}).run(ctx); err == nil {
		add(bin)
	}
	return found
}

var postgresVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect asks the binaries in a directory for their version; ok means that both of them are there and run.
func inspect(ctx context.Context, bin string) (in installation, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := exec.LookPath(filepath.Join(bin, "initdb")); err != nil {
		return installation{}, false
	}
	server := filepath.Join(bin, "postgres")
	text, err := command{name: server, path: server, args: []string{"--version"}}.run(ctx)
	if err != nil {
		return installation{}, false
	}
	match := postgresVersion.FindStringSubmatch(text)
	if match == nil {
		return installation{}, false
	}
	major, err := strconv.Atoi(match[2])
	if err != nil {
		return installation{}, false
	}
	return installation{bin: bin, version: match[1], major: major}, true
}
