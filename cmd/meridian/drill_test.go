package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
)

// enginesHere are those that this machine can start; what is missing is said aloud.
func enginesHere(t *testing.T) []string {
	t.Helper()
	var here []string
	for _, found := range cluster.Available(t.Context()) {
		if found.From == "" {
			t.Logf("SKIPPED: %s", found)
			continue
		}
		here = append(here, found.Engine)
	}
	if len(here) == 0 {
		t.Skip("SKIPPED: no engine can be started here")
	}
	return here
}

// short is a drill of the size of a test: a server and a connection to the database are lost within some seconds.
const shortDrill = `name: short
title: A short drill
why: It is small enough for a test.
topology: laptop
sink: true
payments: {deposits: 7, conflicts: true, withdrawals: 3}
load: {clients: 2, accounts: 20, hot: 2, duration: 8s, think: 20ms, attempt: 2s, reads: 30%, storm: 1}
timeline:
  - {at: 1s, do: provider_silent, for: 2s}
  - {at: 2s, do: kill, on: server/europe-west1, for: 2s}
  - {at: 2.5s, do: callbacks, copies: 3}
  - {at: 5s, do: reset, from: server/us-east1, to: database/*}
`

func storyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "short.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func drilled(t *testing.T, stdout string) evidence.Report {
	t.Helper()
	var reports []evidence.Report
	if err := json.Unmarshal([]byte(stdout), &reports); err != nil || len(reports) != 1 {
		t.Fatalf("%v: %s", err, stdout)
	}
	return reports[0]
}

func checkedBy(t *testing.T, r evidence.Report, checker string) evidence.Verdict {
	t.Helper()
	for _, v := range r.Verdicts {
		if v.Checker == checker {
			return v
		}
	}
	t.Fatalf("nobody judged %s: %+v", checker, r.Verdicts)
	return evidence.Verdict{}
}

func TestDrill_ProvesTheBooksAndLeavesEvidence(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it takes half a minute an engine, and -short is set")
	}
	for _, engine := range enginesHere(t) {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			r := meridian(t, "drill", "run", storyFile(t, shortDrill), "--engine", engine, "--seed", "1", "--report", dir, "--json")
			report := drilled(t, r.stdout)
			if r.code != 0 || !report.Passed {
				t.Fatalf("exit code %d; %+v\n%s", r.code, report.Verdicts, r.stderr)
			}
			for _, checker := range []string{
				"lost_write", "double_effect", "wrong_answer", "stale_read", "linearizable", "events", "sink", "verify", "faults",
				"callbacks_answered", "callbacks_once", "callbacks_applied", "payments_once", "payments_forward", "provider_record", "payments_sums", "payments_ended",
			} {
				if v := checkedBy(t, report, checker); v.Status != evidence.Passed || v.Looked == 0 {
					t.Errorf("%s: %s, looked at %d: %q", checker, v.Status, v.Looked, v.Detail)
				}
			}
			if report.Totals.FailedRequests == 0 || report.Totals.Replays == 0 || report.Totals.Acknowledged == 0 {
				t.Errorf("the faults hit nothing: %+v", report.Totals)
			}
			// The provider and its end, kill and its end, callbacks and reset; before and during, and after unless callbacks take as long as the load: in three
			// regions.
			if len(report.Recovery) != 18 || len(report.Phases) != 6 && len(report.Phases) != 9 {
				t.Errorf("%d recoveries and %d phases", len(report.Recovery), len(report.Phases))
			}
			if report.Environment.Engine == "" || len(report.Environment.Regions) != 3 || len(report.Series) != 3 || !strings.Contains(report.Command, "--seed 1") {
				t.Errorf("the report does not say where it was made: %+v, %s", report.Environment, report.Command)
			}
			for _, name := range []string{"report.json", "report.html", "junit.xml"} {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			if out := ok(t, "drill", "compare", dir, filepath.Join(dir, "report.json")); !strings.Contains(out, "short") {
				t.Errorf("compared with itself:\n%s", out)
			}
		})
	}
}

// A ledger that breaks a promise has to fail its drill: whoever trusts the drill trusts this test.
func TestDrill_CatchesALedgerThatIsFaultyByDesign(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds faulty servers and drills each, and -short is set")
	}
	engine := cluster.PostgreSQL // what is judged is the drill, and one engine shows it
	if here := enginesHere(t); here[len(here)-1] != engine {
		t.Skip("SKIPPED: PostgreSQL can not be started here")
	}
	broken := filepath.Join(t.TempDir(), "meridian-faulty")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "faulty", "-o", broken, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the faulty server: %v\n%s", err, out)
	}
	const story = `name: faulty
title: A ledger that breaks a promise
why: The drill has to notice.
topology: laptop
server_flags: ["--faulty", "%"]
load: {clients: 4, accounts: 12, hot: 4, duration: 3s, think: 2ms, attempt: 2s, reads: 40%, storm: 1}
timeline:
  - {at: 1s, do: reset, from: server/*, to: database/*}
`
	for promise, checkers := range map[string][]string{
		"lost_write":    {"lost_write"},
		"double_effect": {"double_effect"},
		"wrong_answer":  {"wrong_answer"},
		"stale_read":    {"stale_read", "linearizable"},
		"missing_event": {"events"},
		"broken_order":  {"events"},
	} {
		t.Run(promise, func(t *testing.T) {
			text := strings.Replace(story, `"%"`, `"`+promise+`"`, 1)
			r := meridian(t, "drill", "run", storyFile(t, text), "--engine", engine, "--seed", "1", "--server-binary", broken, "--json")
			report := drilled(t, r.stdout)
			if r.code != 3 || report.Passed {
				t.Fatalf("exit code %d: the drill passed on a ledger that breaks %s: %+v", r.code, promise, report.Verdicts)
			}
			for _, checker := range checkers {
				if v := checkedBy(t, report, checker); v.Status != evidence.Failed || len(v.Detail) == 0 {
					t.Errorf("%s says %s: %q", checker, v.Status, v.Detail)
				}
			}
			if v := checkedBy(t, report, "faults"); v.Status != evidence.Passed {
				t.Errorf("it failed for another reason: %+v", v)
			}
		})
	}
}

func TestDrill_TellsWhatThereIs(t *testing.T) {
	out := ok(t, "drill", "list")
	for _, want := range []string{"region_loss", "commit_limbo", "backup_restore", "A whole region is lost"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	out = ok(t, "drill", "show", "region_loss")
	for _, want := range []string{"8s: kill -9 region us-east1, for 28s", "99 % of requests succeed again within 11s", "(cockroachdb)"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	out = ok(t, "drill", "show", "callback_storm")
	for _, want := range []string{"payments  400 deposits and 0 withdrawals in each home (postgresql)", "5s: the provider posts its callbacks", "every payment has ended within 40s"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if yaml := ok(t, "drill", "show", "region_loss", "--yaml"); !strings.HasPrefix(yaml, "# A whole region dies") {
		t.Errorf("got\n%s", yaml)
	}
	var lines []drillLine
	if err := json.Unmarshal([]byte(ok(t, "drill", "list", "--json")), &lines); err != nil || len(lines) < 16 {
		t.Errorf("%v: %d drills", err, len(lines))
	}
}

func TestDrill_RefusesWhatCannotBeMeant(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run"}, "name a drill"},
		{[]string{"run", "flood"}, "there is no drill \"flood\"; there are: asymmetric_partition"},
		{[]string{"run", "node_loss", "--engine", "postgresql"}, "makes no sense on postgresql; it runs on cockroachdb"},
		{[]string{"run", "node_loss", "--target", "staging.yaml"}, "say --i-mean-it"},
		{[]string{"run", "node_loss", "--i-mean-it"}, "go with --target"},
		{[]string{"run", "node_loss", "--quick"}, "name drills, or say --all, or --quick"},
		{[]string{"compare", "/nonexistent", "/nonexistent"}, "read a report"},
	} {
		r := meridian(t, append([]string{"drill"}, c.args...)...)
		if r.code == 0 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%v: exit code %d, want %q in %s", c.args, r.code, c.want, r.stderr)
		}
	}
}
