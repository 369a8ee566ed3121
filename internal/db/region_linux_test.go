package db_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db"
)

var regions = []string{"us-east1", "europe-west1", "asia-east1"}

// threeRegions is a CockroachDB of three nodes, whose ranges have a copy on each.
func threeRegions(t *testing.T) *cluster.Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: it starts three nodes of CockroachDB, and -short is set")
	}
	for _, found := range cluster.Available(t.Context()) {
		if found.Engine == cluster.CockroachDB && found.From == "" {
			t.Skip(found.String())
		}
	}
	e, err := cluster.Start(t.Context(), cluster.Options{Engine: cluster.CockroachDB, Regions: regions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// processOf finds the node that listens on the port of a URL.
func processOf(t *testing.T, raw string) int {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	listens := []byte("\x00--listen-addr=127.0.0.1:" + u.Port() + "\x00")
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		arguments, err := os.ReadFile(path)
		program, _, _ := bytes.Cut(arguments, []byte{0})
		if err != nil || filepath.Base(string(program)) != "cockroach" || !bytes.Contains(arguments, listens) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatalf("no node listens on %s", u.Port())
	return 0
}

// copied waits until the loss of a node costs no range its majority.
func copied(t *testing.T, raw string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	began := time.Now()
	for lacking := 1; lacking > 0; time.Sleep(200 * time.Millisecond) { // nothing tells
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM crdb_internal.ranges_no_leases WHERE array_length(replicas, 1) < 3`).Scan(&lacking); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%d ranges lack copies", lacking)
		}
	}
	t.Logf("three copies of everything after %s", time.Since(began))
}

// A node that is stopped says nothing and acknowledges everything, as one whose disk hangs.
func TestRegion_ConnectionsLeaveASilentRegionAndReturn(t *testing.T) {
	e := threeRegions(t)
	d, err := db.Open(t.Context(), db.Options{URL: several(t, e.URLs...), Region: "europe-west1", Writers: 3, Readers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	settled(t, d, "our region has them all", allAt(1, 6))
	for i, h := range d.Hosts() {
		if h.Region != regions[i] || h.State != db.Answers || h.RoundTrip <= 0 {
			t.Errorf("host %d: %+v", i, h)
		}
	}
	if where := db.Where(d.Hosts(), "europe-west1"); where != "own region" {
		t.Errorf("connections: %q", where)
	}
	if _, err := d.Reader().Exec(t.Context(), `CREATE TABLE t (id INT8 PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	copied(t, e.URLs[0])

	pid := processOf(t, e.URLs[1])
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awake := func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(awake)
	began := time.Now()
	engine := make(chan time.Duration, 1)
	go func() { engine <- untilServes(t, e.URLs[0], began) }()
	for id := 2; ; id++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := d.Write(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO t VALUES ($1)`, id)
			return err
		})
		cancel()
		if err == nil {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("no write for a minute: %v", err)
		}
	}
	ours, theirs := time.Since(began), <-engine
	t.Logf("a client at another node could write after %s, ours after %s", theirs, ours)
	if ours > theirs+10*time.Second { // two seconds on an idle machine
		t.Errorf("our write took %s, and the engine was able after %s", ours, theirs)
	}
	settled(t, d, "the others have them all", func(h []db.Host) bool { return h[1].Connections == 0 && h[0].Connections+h[2].Connections == 6 })
	if where := db.Where(d.Hosts(), "europe-west1"); !strings.HasPrefix(where, "fallback: ") {
		t.Errorf("connections: %q", where)
	}
	awake()
	t.Logf("back after %s", settled(t, d, "our region has them all again", allAt(1, 6)))
}

// untilServes is how long it takes until a client of a node that is well can write.
func untilServes(t *testing.T, raw string, began time.Time) time.Duration {
	conn, err := pgx.Connect(t.Context(), raw)
	if err != nil {
		t.Errorf("connect: %v", err)
		return 0
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), `INSERT INTO t VALUES (1)`); err != nil {
		t.Errorf("write at a node that is well: %v", err)
	}
	return time.Since(began)
}
