package dbtest

import (
	"errors"
	"testing"

	"github.com/meridian-ledger/meridian/internal/cluster"
)

func TestWanted_ReadsTheListOfEngines(t *testing.T) {
	for _, c := range []struct {
		list                string
		postgres, cockroach bool // run it
		isAMisuse           bool
	}{
		{list: "", postgres: true, cockroach: true},
		{list: "postgresql", postgres: true},
		{list: "cockroachdb", cockroach: true},
		{list: "cockroachdb, postgresql", postgres: true, cockroach: true},
		{list: "postgres", isAMisuse: true},
	} {
		t.Setenv("MERIDIAN_TEST_ENGINES", c.list)
		for name, want := range map[string]bool{cluster.PostgreSQL: c.postgres, cluster.CockroachDB: c.cockroach} {
			err := find(name).wanted()
			if (err == nil) != want {
				t.Errorf("MERIDIAN_TEST_ENGINES=%s: %s = %v, want it to run: %v", c.list, name, err, want)
			}
			if skipped := errors.As(err, new(absent)); err != nil && skipped == c.isAMisuse {
				t.Errorf("MERIDIAN_TEST_ENGINES=%s: %s is skipped: %v, want a misspelling to fail", c.list, name, skipped)
			}
		}
	}
}

// A server that is not ours outlives us, and must not keep what we made on it.
func TestEnd_LeavesNothingOnAServerOfOthers(t *testing.T) {
	theirs, err := find(cluster.PostgreSQL).server()
	if errors.As(err, new(absent)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	const env = "MERIDIAN_TEST_SOME_URL"
	t.Setenv(env, theirs.admin.String())
	e := &engine{name: theirs.name, envURL: env, sqlCopy: theirs.sqlCopy, sqlDrop: theirs.sqlDrop}
	s, err := e.server()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.migrated(t.Context(), s.prefix+"_1"); err != nil {
		t.Fatal(err)
	}
	if err := s.drop(t.Context(), s.prefix+"_1"); err != nil {
		t.Fatal(err)
	}
	if err := e.end(); err != nil {
		t.Fatal(err)
	}

	const sqlLeft = `SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE $1 || '%') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE $1 || '%')`
	var left int
	if err := theirs.pool.QueryRow(t.Context(), sqlLeft, s.prefix).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d databases and roles are left", left)
	}
}
