package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// dashboard is one as Grafana reads it, as far as the tests look at it.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
}

type variable struct{ Name, Type, Definition string }

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr string
		Datasource  struct{ UID string }
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("../../deploy/grafana/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

var ofGrafana = regexp.MustCompile(`\$__rate_interval`)

func TestDashboards_NameWhatIsThere(t *testing.T) {
	j, shown := newJudge(t), map[string]struct{}{}
	for name, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if metric, is := strings.CutPrefix(v.Definition, "label_values("); is {
				j.check(t, name+": variable "+v.Name, strings.Split(metric, ", ")[0])
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				j.check(t, name+": "+p.Title, target.Expr)
				for _, metric := range j.behind(target.Expr) {
					shown[metric] = struct{}{}
				}
			}
		}
	}
	for metric := range j.known {
		if _, is := shown[metric]; !is && strings.HasPrefix(metric, "meridian_") {
			t.Errorf("no dashboard shows %s", metric)
		}
	}
}

func TestDashboards_AreWhole(t *testing.T) {
	uids := map[string]string{}
	for name, d := range dashboards(t) {
		if other, twice := uids[d.UID]; d.UID == "" || d.Title == "" || d.SchemaVersion < 38 || twice {
			t.Errorf("%s: uid %q (also of %q), title %q, schema %d (38 is that of Grafana 10)", name, d.UID, other, d.Title, d.SchemaVersion)
		}
		uids[d.UID] = name
		for _, want := range []string{"datasource datasource", "region query"} {
			if !slices.ContainsFunc(d.Templating.List, func(v variable) bool { return v.Name+" "+v.Type == want }) {
				t.Errorf("%s has no variable %s", name, want)
			}
		}
		ids, taken := map[int]string{}, map[[2]int]string{}
		for _, p := range d.Panels {
			where := fmt.Sprintf("%s: %s", name, p.Title)
			if other, twice := ids[p.ID]; twice || p.ID == 0 {
				t.Errorf("%s has the id %d, as has %q", where, p.ID, other)
			}
			ids[p.ID] = p.Title
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
				t.Errorf("%s stands outside of the grid: %+v", where, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, is := taken[[2]int{x, y}]; is {
						t.Fatalf("%s lies over %q", where, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s lacks a description, a unit, a target or the chosen datasource", where)
			}
			refs := map[string]bool{}
			for _, target := range p.Targets {
				if refs[target.RefID] || target.RefID == "" || target.Datasource.UID != "${datasource}" {
					t.Errorf("%s: target %q is there twice, or asks another datasource", where, target.RefID)
				}
				refs[target.RefID] = true
			}
		}
		if len(ids) < 20 {
			t.Errorf("%s: only %d panels were looked at", name, len(ids))
		}
	}
}

// Prometheus itself reads every expression, as a rule that records it.
func TestDashboards_AskWhatPrometheusUnderstands(t *testing.T) {
	type recorded struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string     `yaml:"name"`
		Rules []recorded `yaml:"rules"`
	}
	g := group{Name: "dashboards"}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				g.Rules = append(g.Rules, recorded{fmt.Sprintf("%s:panel_%d:%s", strings.ReplaceAll(d.UID, "-", "_"), p.ID, target.RefID), ofGrafana.ReplaceAllString(target.Expr, "5m")})
			}
		}
	}
	text, err := yaml.Marshal(map[string][]group{"groups": {g}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboards.rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
