package topology

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
)

func TestApply_RunsTheOverlayOneStatementAtATime(t *testing.T) {
	topology := shipped(t, "three-continents")
	c := newCluster("asia-northeast1", "europe-west1", "us-east1", "us-west1")
	var announced []string
	err := topology.Apply(t.Context(), c, "meridian", func(number, of int, s Statement) {
		if number != len(announced)+1 || number != len(c.ran)+1 || of != len(topology.OverlaySQL("meridian", Version{26, 2})) {
			t.Errorf("announced as %d of %d after %d announcements and %d statements", number, of, len(announced), len(c.ran))
		}
		announced = append(announced, s.SQL)
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range topology.OverlaySQL("meridian", Version{26, 2}) {
		want = append(want, s.SQL)
	}
	if !slices.Equal(c.ran, want) || !slices.Equal(announced, want) {
		t.Errorf("ran\n%s\nannounced\n%s\nwant\n%s", strings.Join(c.ran, "\n"), strings.Join(announced, "\n"), strings.Join(want, "\n"))
	}
}

func TestApply_RendersForTheVersionOfTheServer(t *testing.T) {
	for _, row := range []struct {
		version string
		locks   bool
	}{
		{"CockroachDB CCL v24.3.12 (linux)", false},
		{"CockroachDB CCL v25.4.10 (linux)", false},
		{"CockroachDB CCL v26.1.0 (linux)", true},
	} {
		c := newCluster("europe-west1")
		c.version, c.homes = row.version, nil
		if err := shipped(t, "single-region").Apply(t.Context(), c, "meridian", nil); err != nil {
			t.Fatal(err)
		}
		if locks := strings.Contains(strings.Join(c.ran, "\n"), "schema_locked"); locks != row.locks {
			t.Errorf("%s: statements about schema locks: %v; want %v", row.version, locks, row.locks)
		}
	}
}

func TestApply_RefusesBeforeItChangesAnything(t *testing.T) {
	all := []string{"us-east1", "europe-west1", "asia-northeast1"}
	for _, row := range []struct {
		name   string
		change func(*cluster)
		want   string
	}{
		{
			"a region is missing", func(c *cluster) { c.regions = all[:2] },
			"topology three-continents needs regions that the cluster lacks: asia-northeast1 (it has us-east1, europe-west1); start nodes there with --locality=region=asia-northeast1,zone=… and try again",
		},
		{
			"no localities", func(c *cluster) { c.regions = nil },
			"topology three-continents needs regions that the cluster lacks: us-east1, europe-west1, asia-northeast1 (it has none); start nodes there with --locality=region=us-east1,zone=… and try again",
		},
		{
			"a ledger without a region", func(c *cluster) { c.homes = []string{"eu", "mars", "moon"} },
			"database meridian has ledgers in homes that topology three-continents does not list: mars, moon; add them under homes",
		},
		{
			"another database", func(c *cluster) { c.version = "PostgreSQL 15.14" },
			`"PostgreSQL 15.14" is no version of CockroachDB; write it as in 26.2`,
		},
		{
			"another mapping", func(c *cluster) {
				c.columns["entry"] = map[string]string{regionColumn: "CASE home WHEN 'eu' THEN 'us-east1' WHEN 'us' THEN 'us-east1' END"}
			},
			"home eu would move from us-east1 to europe-west1, and it has ledgers (table entry): their rows would leave their region; ",
		},
		{
			"a column of somebody else", func(c *cluster) { c.columns["entry"] = map[string]string{regionColumn: ""} },
			"table entry maps homes to regions otherwise than topology three-continents: it has none that can be read where",
		},
		{"no answer about regions", func(c *cluster) { c.broken = "SHOW REGIONS" }, "list the regions of the cluster: connection reset by peer"},
		{"no tables", func(c *cluster) { c.broken = "DISTINCT home" }, "list the homes of the ledgers in database meridian, which has to be migrated first: connection reset by peer"},
		{"no answer about columns", func(c *cluster) { c.broken = "information_schema" }, "read the region columns of database meridian: connection reset by peer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCluster(all...)
			row.change(c)
			err := shipped(t, "three-continents").Apply(t.Context(), c, "meridian", nil)
			if !errors.Is(err, ErrRefused) || len(c.ran) > 0 {
				t.Fatalf("error %v after the statements %q; want a refusal before the first", err, c.ran)
			}
			if want := ErrRefused.Error() + ": " + row.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestApply_MayBeRunAgainAfterItStopped(t *testing.T) {
	topology := shipped(t, "three-continents")
	c := newCluster("us-east1", "europe-west1", "asia-northeast1")
	c.broken = `"entry" SET LOCALITY`
	err := topology.Apply(t.Context(), c, "meridian", nil)
	if !errors.Is(err, errBroken) || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "statement 15 of 106 (each row of entry") {
		t.Fatalf("a lost connection in the middle is reported as: %v", err)
	}
	c.broken, c.ran = "", nil
	if err := topology.Apply(t.Context(), c, "meridian", nil); err != nil {
		t.Fatalf("the second run: %v", err)
	}
	if len(c.ran) != 106-13 { // twelve were done; of entry, unlocked and with its column, the lock is opened once more
		t.Errorf("the second run had %d statements, from %s on", len(c.ran), c.ran[0])
	}
	c.ran = nil
	if err := topology.Apply(t.Context(), c, "meridian", nil); err != nil || len(c.ran) > 0 {
		t.Errorf("a third run: %v, with %q", err, c.ran)
	}
}

// Versions differ in how they print the expression of a column.
func TestMappingOf_ReadsWhatTheServerPrints(t *testing.T) {
	want := map[id.Home]Region{"apac": "asia-northeast1", "eu": "europe-west1"}
	for _, row := range []struct {
		expression string
		want       map[id.Home]Region
	}{
		{`CASE home WHEN 'apac' THEN 'asia-northeast1' WHEN 'eu' THEN 'europe-west1' END`, want},
		{`CASE home WHEN 'apac':::STRING THEN 'asia-northeast1':::public.crdb_internal_region WHEN 'eu':::STRING THEN 'europe-west1':::public.crdb_internal_region END`, want},
		{"CASE home\n\tWHEN 'apac'\n\tTHEN 'asia-northeast1'::meridian.public.crdb_internal_region\n\tWHEN 'eu' THEN 'europe-west1' END", want},
		{`CASE home WHEN 'apac' THEN 'asia-northeast1' WHEN 'eu' THEN 'europe-west1' ELSE 'us-east1' END`, nil},
		{`default_to_database_primary_region(gateway_region())`, nil},
		{``, nil},
	} {
		if got := mappingOf(row.expression); !maps.Equal(got, row.want) {
			t.Errorf("%s\nreads as %v; want %v", row.expression, got, row.want)
		}
	}
}
