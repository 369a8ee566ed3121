package topology

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Version is a release series of CockroachDB, as in 26.2.
type Version struct {
	Year, Release int
}

// Supported are the series whose overlays are golden files, the oldest first. Series in between take the same statements; later ones
// take those of the last.
var Supported = [...]Version{{24, 3}, {25, 4}, {26, 2}}

// firstLocked is the first series that creates tables with their schema locked.
var firstLocked = Version{26, 1}

// firstWithSuperRegions is the first series that has super regions without a flag.
var firstWithSuperRegions = Version{26, 2}

func (v Version) before(o Version) bool {
	return v.Year < o.Year || v.Year == o.Year && v.Release < o.Release
}

func (v Version) locksSchemas() bool { return !v.before(firstLocked) }

// String writes the series as its documentation does: 26.2.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Year, v.Release) }

var (
	shortVersion  = regexp.MustCompile(`^v?(\d{2})\.(\d)(?:\.\d+)?$`)
	serverVersion = regexp.MustCompile(`^CockroachDB .*?\bv(\d{2})\.(\d)\b`)
)

// ParseVersion reads 26.2, v26.2.1 or the answer of a server to SELECT version(). It refuses other databases and series before 24.3.
func ParseVersion(s string) (Version, error) {
	m := shortVersion.FindStringSubmatch(s)
	if m == nil {
		m = serverVersion.FindStringSubmatch(s)
	}
	if m == nil {
		return Version{}, fmt.Errorf("%q is no version of CockroachDB; write it as in 26.2", clip(s))
	}
	year, _ := strconv.Atoi(m[1]) // the expressions admit one or two digits, so there is no error to look at
	release, _ := strconv.Atoi(m[2])
	v := Version{year, release}
	if oldest := Supported[0]; v.before(oldest) {
		return Version{}, fmt.Errorf("CockroachDB %s is older than %s, the first that the overlay is written for; upgrade the cluster", v, oldest)
	}
	return v, nil
}

// ServerVersion asks the server for its version.
func ServerVersion(ctx context.Context, conn Execer) (Version, error) {
	rows, err := conn.Query(ctx, `SELECT version()`)
	if err != nil {
		return Version{}, fmt.Errorf("ask the database for its version: %w", err)
	}
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		return Version{}, fmt.Errorf("ask the database for its version: %w", err)
	}
	return ParseVersion(text)
}
