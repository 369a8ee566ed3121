package cluster

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestStart_CockroachDBIsReadyForChangefeedsAndTests(t *testing.T) {
	t.Parallel()
	needs(t, CockroachDB)
	e := started(t, Options{Engine: CockroachDB})
	conn := connect(t, e.URL)
	for sql, want := range map[string]string{
		"SHOW CLUSTER SETTING kv.rangefeed.enabled":                   "t",
		"SHOW CLUSTER SETTING sql.stats.automatic_collection.enabled": "f",
		"SELECT current_database()":                                   database,
	} {
		if got := text(t, conn, sql); !strings.HasPrefix(got, want) {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
	}
	if got := text(t, conn, "SELECT version()"); !strings.Contains(got, e.Version) || e.Name != CockroachDB {
		t.Errorf("engine %s %s, the server says %s", e.Name, e.Version, got)
	}
}

func TestStart_CockroachDBHasANodePerRegion(t *testing.T) {
	t.Parallel()
	needs(t, CockroachDB)
	regions := []string{"europe-west1", "us-east1", "asia-east1"}
	e := started(t, Options{Engine: CockroachDB, Regions: regions})
	if len(e.URLs) != len(regions) || e.URLs[0] != e.URL {
		t.Fatalf("%d URLs, want one per region", len(e.URLs))
	}
	for i, region := range regions {
		got := text(t, connect(t, e.URLs[i]), "SELECT locality FROM [SHOW LOCALITY]")
		if want := "region=" + region + ",zone=" + region + "-a"; got != want {
			t.Errorf("node %d is in %s, want %s", i+1, got, want)
		}
	}
	exec1(t, connect(t, e.URLs[0]), "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (42)")
	if got := text(t, connect(t, e.URLs[2]), "SELECT a::STRING FROM t"); got != "42" {
		t.Errorf("the third node reads %s, want 42: the nodes are not one cluster", got)
	}
}

func TestKill_CockroachDBKeepsWhatWasCommittedIfDurable(t *testing.T) {
	t.Parallel()
	needs(t, CockroachDB)
	dir := t.TempDir()
	o := Options{Engine: CockroachDB, Dir: dir, Durable: true, Regions: []string{"eu", "us", "apac"}}
	e := started(t, o)
	exec1(t, connect(t, e.URL), "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (42)")
	urls := strings.Join(e.URLs, " ")

	if err := e.server.kill(); err != nil {
		t.Fatal(err)
	}
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("left running: %s", left)
	}
	after, err := e.server.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, connect(t, e.URL), "SELECT a::STRING FROM t"); got != "42" {
		t.Errorf("after a kill and a start: %s, want 42", got)
	}
	if strings.Join(after, " ") != urls {
		t.Error("the URLs have changed")
	}

	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	fewer := o
	fewer.Regions = o.Regions[:2]
	if _, err := Start(t.Context(), fewer); err == nil || !strings.Contains(err.Error(), "eu,us,apac") {
		t.Errorf("two of three nodes: %v, want a refusal that names the regions", err)
	}
	o.Engine = "" // the data decide
	again := started(t, o)
	if got := text(t, connect(t, again.URLs[1]), "SELECT a::STRING FROM t"); got != "42" {
		t.Errorf("after Stop and Start: %s, want 42", got)
	}
}

func TestStop_CockroachDBLeavesNoProcessAndNoDirectory(t *testing.T) {
	t.Parallel()
	needs(t, CockroachDB)
	e := started(t, Options{Engine: CockroachDB, Regions: []string{"eu", "us"}})
	dir := e.home.dir
	if len(mentioning(t, dir)) != 2 {
		t.Errorf("running: %s, want two nodes", mentioning(t, dir))
	}
	for range 2 {
		if err := e.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("left running: %s", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left on disk: %s (%v)", dir, err)
	}
}

func TestNode_ArgumentsOfOneNodeAndOfThree(t *testing.T) {
	common := " --insecure --store=S --listen-addr=L:1 --advertise-addr=127.0.0.1:1 --http-addr=L:0 --cache=128MiB --max-sql-memory=256MiB"
	one, two := node{index: 1, port: 1}, node{index: 2, port: 2}
	if got, want := strings.Join(one.arguments([]node{one}, "S", "L"), " "), "start-single-node"+common; got != want {
		t.Errorf("alone:\n got %s\nwant %s", got, want)
	}
	one.region = "eu"
	want := "start" + common + " --locality=region=eu,zone=eu-a --join=127.0.0.1:1,127.0.0.1:2"
	if got := strings.Join(one.arguments([]node{one, two}, "S", "L"), " "); got != want {
		t.Errorf("together:\n got %s\nwant %s", got, want)
	}
}
