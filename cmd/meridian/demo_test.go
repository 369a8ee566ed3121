package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

// A small demo on a database of the test, twice: the second time on the books of the first.
func TestDemo_KillsANodeAndProvesTheBooks(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes some seconds, and -short is set")
	}
	d := dbtest.Empty(t, cluster.PostgreSQL)
	for _, seed := range []string{"1", "2"} {
		r := meridian(t, "demo", "--database-url", d.AdminURL, "--clients", "8", "--duration", "2s", "--accounts", "20", "--rows", "500",
			"--berka", "/nonexistent", "--seed", seed, "--json")
		if r.code != 0 || r.stderr != "" {
			t.Fatalf("seed %s: %s", seed, r)
		}
		var s demoSummary
		decoder := json.NewDecoder(strings.NewReader(r.stdout))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&s); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		if !s.Proven || s.Problems == nil || len(s.Problems) > 0 {
			t.Errorf("proven %t, problems %q", s.Proven, s.Problems)
		}
		if s.Killed == "" || s.FailedCalls == 0 || s.Moved == 0 {
			t.Errorf("killed %q, %d failed calls, %d commands moved: the kill hit nothing", s.Killed, s.FailedCalls, s.Moved)
		}
		if s.ImportedRows != 500 || s.Commands == 0 || s.Posted == 0 || len(s.Declines) == 0 || s.Replays == 0 || s.Checked["lost_write"] < s.Commands ||
			s.Checked["double_effect"] < 3*20 || s.Checked["stale_read"] == 0 || s.Checked["linearizable"] == 0 || s.Checked["events"] == 0 {
			t.Errorf("the summary says %s", r.stdout)
		}
		if !strings.HasPrefix(s.Engine, "postgresql ") || s.LatencyMS["p50"] <= 0 || s.LatencyMS["max"] < s.LatencyMS["p99"] {
			t.Errorf("engine %q, latencies %v", s.Engine, s.LatencyMS)
		}
	}
}

func TestDemo_SaysWhatAPersonReads(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes some seconds, and -short is set")
	}
	d := dbtest.Empty(t, cluster.PostgreSQL)
	out := ok(t, "demo", "--database-url", d.AdminURL, "--clients", "4", "--duration", "1s", "--accounts", "20", "--rows", "200", "--berka", "/nonexistent")
	for _, want := range []string{
		"Starting a cluster", "200 generated transactions (/nonexistent is not there)", "every balance equals the running sum of the file",
		"kill -9 ", "go on elsewhere with the same keys", "declined", "INSUFFICIENT_FUNDS", "replays", "p99", "█", "none was lost, none doubled",
		"✓ The books are right, to the last unit.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

func TestGrouped_SetsCommas(t *testing.T) {
	for number, want := range map[string]string{
		"0": "0", "999": "999", "1000": "1,000", "1234567": "1,234,567", "-1000": "-1,000", "-999": "-999", "31402554.20": "31,402,554.20",
	} {
		if got := grouped(number); got != want {
			t.Errorf("grouped(%s) is %s, want %s", number, got, want)
		}
	}
}
