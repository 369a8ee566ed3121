package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const prometheusDir = "../../deploy/prometheus"

// ruleFile is a file of rules as far as the tests look at it.
type ruleFile struct {
	name   string
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func (f ruleFile) rules() (all []rule) {
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func ruleFiles(t *testing.T) (all []ruleFile) {
	t.Helper()
	return readAll[ruleFile](t, "*.rules.yaml", 2, func(f *ruleFile, name string) { f.name = name })
}

// readAll reads the YAML files of a pattern, of which there are at least some.
func readAll[T any](t *testing.T, pattern string, least int, call func(*T, string)) []T {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(prometheusDir, pattern))
	if err != nil || len(names) < least {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	all := make([]T, len(names))
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		call(&all[i], filepath.Base(name))
	}
	return all
}

var (
	heading = regexp.MustCompile(`(?m)^### (.+)$`)
	tells   = regexp.MustCompile(`(?m)^\*\*Tells:\*\*(.+)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 -]`)
)

// runbooks returns the runbooks of our pages by the address that an alert gives, and the metrics that their first lines name.
func runbooks(t *testing.T) (addresses, told []string) {
	t.Helper()
	for _, page := range []string{"docs/gameday.md", "docs/operations.md"} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "\n## Runbooks")
		for _, h := range heading.FindAllStringSubmatch(after, -1) {
			addresses = append(addresses, page+"#"+strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
		}
		for _, line := range tells.FindAllString(after, -1) {
			for _, name := range mentionedMetric.FindAllString(line, -1) {
				told = append(told, histogramPart.ReplaceAllString(name, ""))
			}
		}
	}
	return addresses, told
}

// Whoever is woken has to be told what is the matter and where it is written what to do, and whatever a runbook looks at has to wake somebody.
func TestRules_NameWhatIsThere(t *testing.T) {
	j := newJudge(t)
	addresses, told := runbooks(t)
	var names, sent, watched []string
	for _, file := range ruleFiles(t) {
		for _, r := range file.rules() {
			where := file.name + ": " + r.Record + r.Alert
			j.check(t, where, r.Expr)
			if r.Record != "" {
				continue
			}
			if slices.Contains(names, r.Alert) {
				t.Errorf("%s is there twice", where)
			}
			if r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
				t.Errorf("%s is neither page nor ticket", where)
			}
			if r.Annotations["summary"] == "" || !strings.HasSuffix(r.Annotations["description"], ".") {
				t.Errorf("%s has no summary, or no description of whole sentences", where)
			}
			if !slices.Contains(addresses, r.Annotations["runbook"]) {
				t.Errorf("%s sends people to %q, where no runbook is", where, r.Annotations["runbook"])
			}
			names, sent, watched = append(names, r.Alert), append(sent, r.Annotations["runbook"]), append(watched, j.behind(r.Expr)...)
		}
	}
	for _, address := range addresses {
		if !slices.Contains(sent, address) {
			t.Errorf("no alert leads to %s", address)
		}
	}
	for _, name := range told {
		if !slices.Contains(watched, name) {
			t.Errorf("a runbook begins with %s, which no alert looks at", name)
		}
	}
	if len(names) < 40 || len(addresses) < 9 {
		t.Errorf("only %d alerts and %d runbooks were looked at", len(names), len(addresses))
	}
}

// testFile is a file for promtool test rules as far as the tests look at it.
type testFile struct {
	Tests []struct {
		Cases []struct {
			Expr    string
			Samples []any `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
	}
}

func TestRules_AreTestedBothWays(t *testing.T) {
	cases := map[string]int{} // 1: one that is silent, 2: one that fires
	for _, file := range readAll(t, "*_test.yaml", 2, func(*testFile, string) {}) {
		for _, test := range file.Tests {
			for _, c := range test.Cases {
				if len(c.Samples) == 0 {
					cases[c.Expr] |= 1
				} else {
					cases[c.Expr] |= 2
				}
			}
		}
	}
	for _, file := range ruleFiles(t) {
		for _, r := range file.rules() {
			if r.Alert != "" && cases[`ALERTS{alertname="`+r.Alert+`",alertstate="firing"}`] != 3 {
				t.Errorf("%s: %s needs a case in which it fires and one in which it is silent", file.name, r.Alert)
			}
		}
	}
}

// promtool runs Prometheus' own tool in deploy/prometheus.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on the PATH, so nobody asked Prometheus itself: apt-get install -y --no-install-recommends prometheus")
	}
	cmd := exec.CommandContext(t.Context(), tool, arguments...)
	cmd.Dir = prometheusDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

func TestRules_AreTakenByPrometheus(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yaml") // checks the rules that it names as well
	for _, file := range ruleFiles(t) {
		promtool(t, "check", "rules", file.name)
	}
}

func TestRules_FireAndAreSilent(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(prometheusDir, "*_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { promtool(t, "test", "rules", filepath.Base(file)) })
	}
}
