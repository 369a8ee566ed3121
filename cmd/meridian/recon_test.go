package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// The story of docs/reconciliation.md: import, run, show, export, propose, approve, and the next run finds nothing open.
func TestRecon_FromTheFileToTheAdjustment(t *testing.T) {
	d := postgres(t)
	svc, err := openService(t.Context(), storeFlags{url: d.URL, lanes: 1, maxGroup: 16, maxQueue: 16, writers: 1, readers: 1}, "", prometheus.NewRegistry(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -5)
	for _, c := range []ledger.Command{
		{Kind: ledger.KindOpen, Key: "o1", Account: "psp:eur", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}},
		{Kind: ledger.KindOpen, Key: "o2", Account: "suspense", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}},
		{
			Kind: ledger.KindDebit, Key: "d1", Account: "psp:eur", Counter: "suspense", Reference: "r1", Amount: &ledger.Money{Minor: money.FromInt64(100), Asset: "EUR"},
			EffectiveAt: day,
		},
	} {
		c.Ledger = "brand"
		if o, err := ledger.Do(t.Context(), svc, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	if err := svc.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	svc.close()

	dir := t.TempDir()
	file := filepath.Join(dir, "day.csv")
	stamp := day.Format("2006-01-02") + "T10:00:00Z"
	text := "line_id,reference,settled_at,currency,amount,direction,type,status\n1,r1," + stamp + ",eur,1.00,in,,done\n2,r2," + stamp + ",eur,2.50,out,,done\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	recon := func(code int, args ...string) string {
		t.Helper()
		r := meridian(t, append([]string{"recon", args[0], "--database-url", d.URL, "--ledger", "brand"}, args[1:]...)...)
		if r.code != code {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", args, r.code, code, r.stdout, r.stderr)
		}
		return r.stdout
	}
	wants := func(text string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	imports := []string{"import", "--provider", "psp", "--map", "../../examples/recon/statement.yaml", file}
	wants(recon(0, imports...), "2 lines, 0 of them pending", "; imported")
	wants(recon(0, imports...), "there already")
	cut := time.Now().UTC().Format(time.RFC3339Nano)
	run := []string{"run", "--provider", "psp", "--rules", "../../examples/recon/rules.yaml", "--as-of", cut}
	wants(recon(5, run...), "1 matched  1 missing_here; 1 open, 250 minor units in doubt", "done in")
	wants(recon(5, run...), "compared again: the same results")
	wants(recon(0, "show"), "2 results, 1 open")
	wants(recon(0, "show", "latest"), "missing_here   not_in_books", "-2.50 EUR  r2")
	wants(recon(0, "export", "latest", "--verdict", "missing_here"), "number,match,verdict", "2,2,missing_here,not_in_books,,r2,EUR,-250,")
	if got := recon(0, "export", "latest", "--format", "jsonl"); strings.Count(got, "\n") != 2 || !json.Valid([]byte(strings.SplitN(got, "\n", 2)[0])) {
		t.Errorf("as JSON lines:\n%s", got)
	}
	propose := []string{"propose", "latest", "--result", "2", "--actor", "alice", "--reason", "a refund by hand", "--attachment", file, "--account", "psp:eur", "--counter", "suspense", "--json"}
	var resolution struct {
		ID string `json:"resolution_id"`
	}
	if err := json.Unmarshal([]byte(recon(0, propose...)), &resolution); err != nil {
		t.Fatal(err)
	}
	recon(1, "approve", "--actor", "alice", resolution.ID)
	wants(recon(0, "approve", "--actor", "bob", resolution.ID), "refused by alice", "approved by bob: transaction")
	recon(1, "reject", "--actor", "carol", "--reason", "too late", resolution.ID)
	wants(recon(0, "run", "--provider", "psp", "--rules", "../../examples/recon/rules.yaml", "--as-of", time.Now().UTC().Format(time.RFC3339Nano)), "2 matched")
}

func TestRecon_RefusesWhatItCanNotMean(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"import", "--provider", "psp", "--ledger", "brand", "x.csv"}, "needs --map"},
		{[]string{"import", "--provider", "psp", "--ledger", "brand", "--reference", "iban", "x.xml"}, "--reference iban"},
		{[]string{"run", "--provider", "psp", "--ledger", "brand", "--rules", "../../examples/recon/rules.yaml", "--from", "yesterday"}, "--from yesterday"},
		{[]string{"run", "--provider", "psp", "--ledger", "brand", "--rules", "../../examples/recon/statement.yaml"}, "a file of rules has no field"},
		{[]string{"show", "--ledger", "Brand"}, "--ledger"},
		{[]string{"export", "--ledger", "brand", "--verdict", "lost", "latest"}, "--verdict lost"},
		{[]string{"approve", "--ledger", "brand", "latest"}, "actor"},
	} {
		refused(t, meridian(t, append([]string{"recon"}, row.args...)...), row.want)
	}
}
