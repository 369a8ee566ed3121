package topology

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
)

var update = flag.Bool("update", false, "write the golden files anew")

// requireGolden compares with a file under testdata, or writes it with -update.
func requireGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./internal/topology -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; after a look at the change, go test ./internal/topology -update writes it anew\ngot:\n%s", path, got)
	}
}

func TestOverlaySQL_Golden(t *testing.T) {
	for _, name := range shippedNames(t) {
		for _, version := range Supported {
			t.Run(name+"-"+version.String(), func(t *testing.T) {
				var b bytes.Buffer
				if err := WriteSQL(&b, shipped(t, name).OverlaySQL("meridian", version)); err != nil {
					t.Fatal(err)
				}
				requireGolden(t, filepath.Join("overlay", name+"-"+version.String()+".sql"), b.Bytes())
			})
		}
	}
}

func TestShow_Golden(t *testing.T) {
	for _, name := range shippedNames(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := shipped(t, name).Show(&b); err != nil {
				t.Fatal(err)
			}
			requireGolden(t, filepath.Join("show", name+".txt"), b.Bytes())
		})
	}
}

func TestShow_SaysWhereAZoneCannotBeLost(t *testing.T) {
	topology := shipped(t, "laptop")
	topology.Survive = SurviveZone
	var b bytes.Buffer
	if err := topology.Show(&b); err != nil {
		t.Fatal(err)
	}
	want := "laptop, survives the loss of any one zone, except in us-east1, europe-west1, asia-northeast1 with fewer than 3 zones\n"
	if got, _, _ := strings.Cut(b.String(), "\n"); got+"\n" != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

var (
	caseOf  = regexp.MustCompile(`(?s)AS \((CASE .* END|CASE .*\nEND)\) STORED NOT NULL$`)
	caseArm = regexp.MustCompile(`^WHEN '([a-z0-9-]+)' THEN '([a-z0-9-]+)'$`)
)

// The region column of every table of money maps each home to its one region, and nothing else to any region.
func TestOverlaySQL_EveryHomeLivesInExactlyOneRegion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t)
		version := rapid.SampledFrom(Supported[:]).Draw(t, "version")
		seen := 0
		for _, s := range topology.OverlaySQL("meridian", version) {
			m := caseOf.FindStringSubmatch(s.SQL)
			if m == nil {
				continue
			}
			seen++
			lines := strings.Split(m[1], "\n")
			if lines[0] != `CASE "home"` || lines[len(lines)-1] != "END" {
				t.Fatalf("no plain CASE over home: %s", s.SQL)
			}
			arms := map[id.Home]Region{}
			for _, line := range lines[1 : len(lines)-1] { // an ELSE would be a line that is no arm
				arm := caseArm.FindStringSubmatch(strings.TrimSpace(line))
				if arm == nil {
					t.Fatalf("%q is no arm of the CASE", line)
				}
				if region, twice := arms[id.Home(arm[1])]; twice {
					t.Fatalf("home %s lives in %s and in %s", arm[1], region, arm[2])
				}
				arms[id.Home(arm[1])] = Region(arm[2])
			}
			if len(arms) != len(topology.Homes) {
				t.Fatalf("the CASE has %d homes, the topology %d", len(arms), len(topology.Homes))
			}
			for home, region := range topology.Homes {
				if arms[home] != region {
					t.Fatalf("home %s lives in %q; want %s", home, arms[home], region)
				}
			}
		}
		if seen != len(homeTables) {
			t.Fatalf("%d tables have a region column; want %d", seen, len(homeTables))
		}
	})
}

func TestOverlaySQL_RunsInAnOrderThatCockroachDBTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t)
		version := rapid.SampledFrom(Supported[:]).Draw(t, "version")
		stmts := topology.OverlaySQL("meridian", version)
		index := func(sql string) int {
			i := slices.IndexFunc(stmts, func(s Statement) bool { return strings.HasPrefix(s.SQL, sql) })
			if i < 0 {
				t.Fatalf("there is no statement %s…", sql)
			}
			return i
		}
		// a database takes other regions after its primary one, a goal after its regions, localities after all of that
		last := index(`ALTER DATABASE "meridian" SET PRIMARY REGION "` + string(topology.Primary()) + `"`)
		for _, region := range topology.Regions[1:] {
			at := index(`ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "` + string(region.Name) + `"`)
			if at < last {
				t.Fatalf("region %s is added too early", region.Name)
			}
			last = at
		}
		goal := index(`ALTER DATABASE "meridian" SURVIVE ` + strings.ToUpper(string(topology.Survive)) + ` FAILURE`)
		for _, super := range topology.SuperRegions {
			if at := index(`ALTER DATABASE "meridian" ADD SUPER REGION "` + super.Name + `" VALUES `); at < goal {
				t.Fatalf("super region %s comes before the goal", super.Name)
			}
		}
		if topology.Placement == PlacementRestricted && index(`ALTER DATABASE "meridian" PLACEMENT RESTRICTED`) != goal+2 {
			t.Fatal("the placement does not come after the goal and its session setting")
		}
		if enabled := slices.ContainsFunc(stmts, func(s Statement) bool { return strings.Contains(s.SQL, "enable_super_regions") }); enabled !=
			(len(topology.SuperRegions) > 0 && version.before(Version{26, 2})) {
			t.Fatalf("super regions are enabled by hand: %v, for %s", enabled, version)
		}
		if goal != len(topology.Regions) || goal <= last {
			t.Fatalf("the goal is statement %d, after %d regions", goal, len(topology.Regions))
		}
		for _, table := range slices.Concat(homeTables, globalTables) {
			alter := `ALTER TABLE "meridian"."public"."` + table + `" `
			locality := index(alter + "SET LOCALITY")
			if locality < goal {
				t.Fatalf("the locality of %s comes before the goal", table)
			}
			if slices.Contains(homeTables, table) && index(alter+"ADD COLUMN") != locality-1 {
				t.Fatalf("the column of %s does not come right before its locality", table)
			}
			if !version.before(Version{26, 1}) && (index(alter+"SET (schema_locked = false)") > locality || index(alter+"SET (schema_locked = true)") != locality+1) {
				t.Fatalf("the locality of %s does not stand between unlocking and locking it", table)
			}
		}
		for _, s := range stmts {
			if strings.Contains(s.SQL, ";") {
				t.Fatalf("more than one statement: %s", s.SQL)
			}
			if version.before(Version{26, 1}) && strings.Contains(s.SQL, "schema_locked") {
				t.Fatalf("%s does not lock tables by itself: %s", version, s.SQL)
			}
		}
	})
}

func TestOverlaySQL_QuotesTheDatabase(t *testing.T) {
	topology := shipped(t, "single-region")
	for _, s := range topology.OverlaySQL(`my"; DROP DATABASE x; --`, Supported[0]) {
		if want := `"my""; DROP DATABASE x; --"`; strings.Count(s.SQL, want) != strings.Count(s.SQL, "DROP") || !strings.Contains(s.SQL, want) {
			t.Errorf("the name of the database is not quoted as %s in\n%s", want, s.SQL)
		}
	}
	if got, want := Literal(`it's \ fine`), `'it''s \ fine'`; got != want {
		t.Errorf("literal: %s; want %s", got, want)
	}
}

var createTable = regexp.MustCompile(`(?s)CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*?)\n\);`)

var keyedByHome = regexp.MustCompile(`PRIMARY KEY \(home,|(?m:^\s*home\s.*\bPRIMARY KEY\b)`)

// A table of a home that the overlay forgets would put all its rows into the primary region, silently.
func TestOverlaySQL_CoversTheTablesOfTheMigrations(t *testing.T) {
	files, err := filepath.Glob("../../schema/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	var homes, all []string
	for _, file := range files {
		sql, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(sql), "-- +goose Down")
		for _, m := range createTable.FindAllStringSubmatch(up, -1) {
			all = append(all, m[1])
			if keyedByHome.MatchString(m[2]) {
				homes = append(homes, m[1])
			}
		}
	}
	slices.Sort(homes)
	if want := slices.Sorted(slices.Values(homeTables)); !slices.Equal(homes, want) {
		t.Errorf("tables with home as their first key column: %v; the overlay moves by home: %v", homes, want)
	}
	for _, table := range globalTables {
		if !slices.Contains(all, table) {
			t.Errorf("the overlay makes %s global, which no migration creates", table)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for _, row := range []struct {
		text, version, refusal string
	}{
		{"24.3", "24.3", ""},
		{"v25.4.10", "25.4", ""},
		{"CockroachDB CCL v26.2.2 (x86_64-pc-linux-gnu, built 2026/06/05 12:00:00, go1.25.1)", "26.2", ""},
		{"CockroachDB OSS v25.2.1-12-gabcdef0 (linux)", "25.2", ""},
		{"27.1", "27.1", ""},
		{"CockroachDB CCL v23.2.28 (x86_64-pc-linux-gnu)", "", "CockroachDB 23.2 is older than 24.3, the first that the overlay is written for; upgrade the cluster"},
		{"PostgreSQL 15.14 (Debian 15.14-0) on x86_64", "", `"PostgreSQL 15.14 (Debian 15.14-0) on x86_64" is no version of CockroachDB; write it as in 26.2`},
		{"26", "", `"26" is no version of CockroachDB; write it as in 26.2`},
		{"", "", `"" is no version of CockroachDB; write it as in 26.2`},
	} {
		version, err := ParseVersion(row.text)
		if row.refusal != "" {
			if err == nil || err.Error() != row.refusal {
				t.Errorf("ParseVersion(%q): %v, %v; want %s", row.text, version, err, row.refusal)
			}
			continue
		}
		if err != nil || version.String() != row.version {
			t.Errorf("ParseVersion(%q): %v, %v; want %s", row.text, version, err, row.version)
		}
	}
}
