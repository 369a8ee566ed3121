package drill

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// running serves the model of the books, as a deployment that somebody else started, and a hook that writes down what it is told.
func running(t *testing.T, hook string) (a Aim, svc ledger.Service, told string) {
	t.Helper()
	svc = ledgertest.NewModel(time.Now)
	server := httptest.NewServer(rpc.NewHandler(svc, rpc.Options{
		Standing: func() map[string]any {
			return map[string]any{"database": map[string]any{"engine": cluster.CockroachDB}}
		},
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	told = filepath.Join(dir, "told")
	script := "#!/bin/sh\nprintf '%s ' \"$1\" >>" + told + "\ncat >>" + told + "\n" + hook + "\n"
	if err := os.WriteFile(filepath.Join(dir, "hook.sh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "name: staging\nregions:\n  - {name: us-east1, servers: ['" + server.URL + "'], homes: [us]}\nhook: hook.sh\n"
	a, err := ParseAim(filepath.Join(dir, "target.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a, svc, told
}

func TestTarget_TellsItsHookWhatToBreakAndWhenToMendIt(t *testing.T) {
	a, _, told := running(t, "exit 0")
	target, err := OpenTarget(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	step := parsed(t, given).Steps[1]
	undo, err := target.Do(t.Context(), step)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := target.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `begin {"name":"partition","fault":"partition","from":["region/us-east1"]`) ||
		!strings.Contains(lines[0], `"one_way":true`) || !strings.HasPrefix(lines[1], "end {") || lines[2] != "heal {}" {
		t.Errorf("the hook was told\n%s", text)
	}
}

func TestTarget_TakesThreeForCanNotAndAllElseForFailed(t *testing.T) {
	a, _, _ := running(t, "echo no such thing here; exit 3")
	target, err := OpenTarget(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	step := parsed(t, given).Steps[0]
	if _, err := target.Do(t.Context(), step); err == nil {
		t.Error("a step that was not done passes for done")
	} else if reason, is := unsupportedReason(err); !is || !strings.Contains(reason, "no such thing here") {
		t.Errorf("got %v, want the hook's reason", err)
	}
	a, _, _ = running(t, "echo it burns >&2; exit 1")
	if target, err = OpenTarget(t.Context(), a, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Do(t.Context(), step); err == nil || !strings.Contains(err.Error(), "it burns") {
		t.Errorf("got %v, want what the hook said", err)
	} else if _, is := unsupportedReason(err); is {
		t.Error("a hook that failed passes for one that can not")
	}
}

func TestTarget_WritesToLedgersOfDrillsAlone(t *testing.T) {
	a, svc, _ := running(t, "exit 0")
	theirs := ledger.Ledger{ID: "drill-us", Home: "us", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}
	if _, err := svc.CreateLedger(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTarget(t.Context(), a, ""); err == nil || !strings.Contains(err.Error(), "not marked purpose: drill") {
		t.Errorf("got %v: a drill would write to somebody's books", err)
	}

	a, svc, _ = running(t, "exit 0")
	for range 2 { // made, and found
		target, err := OpenTarget(t.Context(), a, "")
		if err != nil {
			t.Fatal(err)
		}
		if target.Ledgers()[id.Ledger("drill-us")] != "us" {
			t.Errorf("the ledgers are %v", target.Ledgers())
		}
	}
	if l, err := svc.Ledger(t.Context(), "drill-us"); err != nil || l.Metadata[purpose] != forDrills {
		t.Errorf("the ledger is %+v (%v)", l, err)
	}
}

func TestTarget_IsJudgedWithoutADatabaseAsFarAsThatGoes(t *testing.T) {
	a, _, _ := running(t, "exit 0")
	target, err := OpenTarget(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	_, heads := target.Heads(context.Background())
	_, verify := target.Verify(context.Background())
	for _, err := range []error{heads, verify} {
		if reason, is := unsupportedReason(err); !is || !strings.Contains(reason, "--database-url") {
			t.Errorf("got %v, want what is missing", err)
		}
	}
}

func TestTarget_AsksItsServersWhatTheyStandOn(t *testing.T) {
	a, svc, _ := running(t, "exit 0")
	target, err := OpenTarget(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	if target.Engine() != cluster.CockroachDB || target.Environment().Engine != "CockroachDB" {
		t.Errorf("the engine is %q: limits and think times are another's", target.Engine())
	}
	silent := httptest.NewServer(rpc.NewHandler(svc, rpc.Options{}))
	defer silent.Close()
	a.Regions[0].Servers = []string{silent.URL}
	if _, err := OpenTarget(t.Context(), a, ""); err == nil || !strings.Contains(err.Error(), "/readyz: it says") {
		t.Errorf("got %v: a drill went by the limits of an engine that nobody named", err)
	}
}
