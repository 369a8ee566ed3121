package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/internal/topology/residency"
	"github.com/meridian-ledger/meridian/schema"
)

// ran runs a command as a shell would, without a terminal.
func ran(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	if code := run(t.Context(), append([]string{"regions"}, args...), &out, &errs); code != want {
		t.Fatalf("regions %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func decoded[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRegions_ValidateAndShow(t *testing.T) {
	if out, _ := ran(t, 0, "validate", "five-regions"); out != "topology five-regions is valid: 5 regions, 3 homes\n" {
		t.Error(out)
	}
	broken := written(t, "broken.yaml", "name: broken\nsurvive: zone\nregions:\n  - {name: a, zones: [a-1], nodes: 0}\nhomes: {eu: a}\n")
	if _, errs := ran(t, 1, "validate", broken); !strings.Contains(errs, "broken.yaml:4:36: nodes is 0; write") {
		t.Error(errs)
	}
	answer := decoded[struct {
		Valid bool
		Error string
	}](t, first(ran(t, 1, "validate", broken, "--json")))
	if answer.Valid || !strings.HasPrefix(answer.Error, "broken.yaml:4:36: ") {
		t.Errorf("%+v", answer)
	}
	if out, _ := ran(t, 0, "show", "five-regions"); !strings.Contains(out, "super region usa: copies stay in us-east1, us-central1, us-west1") || !strings.Contains(out, "ROUND TRIP (ms)") {
		t.Error(out)
	}
	view := decoded[topology.View](t, first(ran(t, 0, "show", "five-regions", "--json")))
	if view.Regions[2].CommitFloorMS != 40 || len(view.Latencies) != 10 {
		t.Errorf("%+v", view)
	}
}

func first(out, _ string) string { return out }

func TestRegions_PlanWithoutACluster(t *testing.T) {
	out, _ := ran(t, 0, "plan", "--topology", "five-regions", "--cluster-version", "25.4")
	for _, want := range []string{" statements, one at a time", "-- Cost: ", `ADD SUPER REGION "usa" VALUES "us-east1", "us-central1", "us-west1";`} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %s:\n%s", want, out)
		}
	}
	confined := written(t, "confined.yaml", `name: confined
survive: zone
placement: restricted
regions:
  - {name: a, zones: [a-1], nodes: 3}
  - {name: b, zones: [b-1], nodes: 3}
homes: {us: a, eu: b}
latencies: [{between: [a, b], rtt_ms: 90}]
`)
	p := decoded[topology.Plan](t, first(ran(t, 3, "plan", "--topology", confined, "--zone-configurations", "--json")))
	if len(p.Steps) > 0 || len(p.Refused) != 1 || !strings.HasPrefix(p.Refused[0], "topology confined confines home eu to b, and a table can be placed only as a whole, here in a as well") {
		t.Errorf("%+v", p)
	}
}

func TestRegions_PostgreSQLHasNone(t *testing.T) {
	url := postgres(t).URL
	for _, command := range []string{"plan", "apply", "verify"} {
		if _, errs := ran(t, 1, command, "--topology", "laptop", "--database-url", url); !strings.Contains(errs, "this is PostgreSQL, which keeps every row where its server stands") {
			t.Errorf("regions %s: %s", command, errs)
		}
	}
}

// oneHome is laptop with money in the United States alone: what zone configurations can promise.
func oneHome(t *testing.T, more string) string {
	t.Helper()
	data, err := os.ReadFile("../../regions/laptop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("name: laptop", "name: one-home", "  eu: europe-west1\n", "", "  apac: asia-northeast1\n", "").Replace(string(data))
	if more != "" {
		text = strings.Replace(text, "survive: region", more, 1)
	}
	return written(t, "one-home.yaml", text)
}

// Three real nodes without a licence: whole tables are placed by zone configurations, and what that promises, and what not, is proven.
func TestRegions_ZoneConfigurationsOnARealCluster(t *testing.T) {
	for _, f := range cluster.Available(t.Context()) {
		if f.Engine == cluster.CockroachDB && f.From == "" {
			t.Skip("SKIPPED: ", f)
		}
	}
	e, err := cluster.Start(t.Context(), cluster.Options{Engine: cluster.CockroachDB, Regions: []string{"europe-west1", "us-east1", "asia-northeast1"}}) // leases begin at the first, and have to move
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := schema.Up(t.Context(), e.URL, schema.Options{}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), e.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `INSERT INTO ledger (id, home, metadata, created_at) VALUES ('brand', 'us', '{}', now())`); err != nil {
		t.Fatal(err)
	}
	at := []string{"--database-url", e.URL}
	with := func(command, topology string, more ...string) []string {
		return slices.Concat([]string{command, "--topology", topology}, at, more)
	}

	if strings.HasPrefix(e.Version, "v22.") {
		if _, errs := ran(t, 1, with("plan", "laptop")...); !strings.Contains(errs, "--zone-configurations") {
			t.Errorf("a version without the overlay: %s", errs)
		}
	}
	requireResumable(t, conn, oneHome(t, ""), with)
	requireResidency(t, oneHome(t, ""), with)

	out, _ := ran(t, 3, with("verify", "laptop", "--json")...)
	r := decoded[residency.Report](t, out)
	if r.Verdict != residency.Misplaced || verdictOf(r, "us") != residency.Proven || verdictOf(r, "eu") != residency.Misplaced {
		t.Errorf("of three homes in one placement, us is served at home and the others are not: %s", out)
	}
	out, _ = ran(t, 3, with("verify", oneHome(t, "survive: zone\nplacement: restricted"), "--json")...)
	if r := decoded[residency.Report](t, out); r.Verdict != residency.Broken {
		t.Errorf("copies stand in other regions than the only one allowed: %s", out)
	}
}

func verdictOf(r residency.Report, home string) residency.Verdict {
	i := slices.IndexFunc(r.Homes, func(h residency.Home) bool { return string(h.Home) == home })
	return r.Homes[i].Verdict
}

// requireResumable applies a plan of which some statements ran before.
func requireResumable(t *testing.T, conn *pgx.Conn, topo string, with func(string, string, ...string) []string) {
	t.Helper()
	whole := decoded[topology.Plan](t, first(ran(t, 0, with("plan", topo, "--zone-configurations", "--json")...)))
	if len(whole.Steps) < 5 || len(whole.Warnings) == 0 {
		t.Fatalf("the plan: %+v", whole)
	}
	if _, errs := ran(t, 1, with("apply", topo, "--zone-configurations")...); !strings.Contains(errs, "apply with --yes") {
		t.Errorf("nobody agreed: %s", errs)
	}
	for _, s := range whole.Steps[:3] {
		if _, err := conn.Exec(t.Context(), s.SQL); err != nil {
			t.Fatal(err)
		}
	}
	rest := decoded[topology.Plan](t, first(ran(t, 0, with("plan", topo, "--zone-configurations", "--json")...)))
	if !slices.Equal(rest.Steps, whole.Steps[3:]) {
		t.Errorf("after three of %d statements, %d are left", len(whole.Steps), len(rest.Steps))
	}
	ran(t, 0, with("apply", topo, "--zone-configurations", "--yes")...)
	if out, _ := ran(t, 0, with("plan", topo, "--zone-configurations")...); !strings.Contains(out, "Nothing to do") {
		t.Errorf("after apply: %s", out)
	}
}

// requireResidency proves the placement in a signed page, and finds out a page that was changed.
func requireResidency(t *testing.T, topo string, with func(string, string, ...string) []string) {
	t.Helper()
	dir := t.TempDir()
	key, page := filepath.Join(dir, "key"), filepath.Join(dir, "residency.html")
	ran(t, 0, "verify", "--new-key", key)
	out, _ := ran(t, 0, with("verify", topo, "--wait", "4m", "--key", key, "--out", page)...)
	if !strings.Contains(out, "one-home: PROVEN") {
		t.Errorf("verify: %s", out)
	}
	if _, errs := ran(t, 0, "verify", "--report", page, "--public-key", key+".pub"); !strings.Contains(errs, "authentic: signed with this key") {
		t.Errorf("check: %s", errs)
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	forged := written(t, "forged.html", strings.Replace(string(data), "us-east1", "us-west1", 1))
	if _, errs := ran(t, 3, "verify", "--report", forged, "--public-key", key+".pub"); !strings.Contains(errs, "not authentic") {
		t.Errorf("a forged page: %s", errs)
	}
}
