package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/search"
)

// descriptions is a registry that keeps what collectors say of themselves: a vector without children is in no scrape.
type descriptions map[string][]string // labels by name

var descriptionText = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

func (d descriptions) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 1000)
	c.Describe(all)
	close(all)
	for one := range all {
		if parts := descriptionText.FindStringSubmatch(one.String()); parts != nil {
			d[parts[1]] = strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' })
		}
	}
	return nil
}

func (d descriptions) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c)
	}
}

func (descriptions) Unregister(prometheus.Collector) bool { return false }

// servers returns the metrics that a server has. A package with metrics gets a line here.
func servers() descriptions {
	known := descriptions{}
	commit.NewMetrics(known)
	relay.NewMetrics(known)
	relay.NewDeliveryMetrics(known)
	search.NewMetrics(known)
	feed.NewMetrics(known)
	provider.NewMetrics(known)
	recon.NewMetrics(known)
	saga.NewMetrics(known)
	rpc.NewHandler(ledgertest.NewModel(nil), rpc.Options{Registerer: known})
	known.MustRegister(databaseMetrics{}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return known
}

// words are what an expression may say besides metrics, as far as ours do.
var words = strings.Fields("sum min max avg count topk rate increase histogram_quantile label_replace absent max_over_time and or unless offset bool")

var (
	inBrackets   = regexp.MustCompile(`\[[^\]]*\]|offset \d+[smhd]`)
	inQuotes     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	grouping     = regexp.MustCompile(`\b(by|on|ignoring|without|group_left|group_right)\b\s*(\(([^)]*)\))?`)
	selection    = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	matcher      = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	identifier   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	number       = regexp.MustCompile(`\b\d+(e\d+)?\b`)
	everywhere   = []string{"region", "instance", "job", "le"} // labels of every server, and of histograms
	whatever     = []string{"procedure", "job", "region", "home", "provider", "alertname", "alertstate", "subscription"}
	plain        = regexp.MustCompile(`^[a-zA-Z_]*$`)
	literal      = regexp.MustCompile(`["']([a-zA-Z_]+)["']`) // of Go, and of SQL
	ofPrometheus = map[string][]string{"up": nil, "ALERTS": {"alertname", "alertstate", "severity"}}
)

// judge holds expressions to the metrics, labels and values of labels that there are.
type judge struct {
	known    descriptions
	recorded map[string]string   // expressions by name; a name begins with its labels
	values   map[string]struct{} // words of our sources
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{known: servers(), recorded: map[string]string{}, values: literals(t)}
	for _, file := range ruleFiles(t) {
		for _, r := range file.rules() {
			if r.Record != "" {
				j.recorded[r.Record] = r.Expr
			}
		}
	}
	return j
}

// literals are the words in our sources: a value that a rule asks for and that no source has is misspelled.
func literals(t *testing.T) map[string]struct{} {
	t.Helper()
	all := map[string]struct{}{"": {}}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		all[code.String()] = struct{}{}
	}
	err := filepath.WalkDir("../../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, word := range literal.FindAllStringSubmatch(string(text), -1) {
			all[word[1]] = struct{}{}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// labelsOf returns the labels that a metric has besides those of every server.
func (j *judge) labelsOf(name string) (labels []string, known bool) {
	if labels, known = ofPrometheus[name]; known {
		return labels, true
	}
	if _, is := j.recorded[name]; is {
		level, _, _ := strings.Cut(name, ":")
		return strings.Split(level, "_"), true
	}
	for _, one := range []string{name, histogramPart.ReplaceAllString(name, "")} {
		if labels, known = j.known[one]; known {
			return labels, true
		}
	}
	return nil, false
}

// check says what is wrong with an expression.
func (j *judge) check(t *testing.T, where, expr string) {
	t.Helper()
	labels := slices.Clone(everywhere)
	for _, name := range j.metricsIn(expr) {
		own, known := j.labelsOf(name)
		if !known {
			t.Errorf("%s: no server has %s", where, name)
		}
		labels = append(labels, own...)
	}
	for _, g := range grouping.FindAllStringSubmatch(inQuotes.ReplaceAllString(expr, `""`), -1) {
		for label := range strings.FieldsFuncSeq(g[3], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: groups by %s, which none of its metrics has", where, label)
			}
		}
	}
	for _, s := range selection.FindAllStringSubmatch(expr, -1) {
		own, _ := j.labelsOf(s[1])
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(own, m[1]) && !slices.Contains(everywhere, m[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], m[1])
			}
			j.checkValues(t, where, m[1], m[3])
		}
	}
}

func (j *judge) checkValues(t *testing.T, where, label, pattern string) {
	t.Helper()
	if slices.Contains(whatever, label) {
		return
	}
	for value := range strings.SplitSeq(pattern, "|") {
		if _, known := j.values[value]; plain.MatchString(value) && !known {
			t.Errorf("%s: no source has %q, which is asked for as %s", where, value, label)
		}
	}
}

// metricsIn returns what an expression names that is no word of the language.
func (*judge) metricsIn(expr string) []string {
	for _, cut := range []*regexp.Regexp{inBrackets, inQuotes} {
		expr = cut.ReplaceAllString(expr, `""`)
	}
	expr = grouping.ReplaceAllString(expr, " ")
	expr = number.ReplaceAllString(selection.ReplaceAllString(expr, "$1 "), " ")
	return slices.DeleteFunc(identifier.FindAllString(expr, -1), func(name string) bool { return slices.Contains(words, name) })
}

// behind returns the metrics of servers that an expression rests on, whatever was recorded in between.
func (j *judge) behind(expr string) []string {
	var all []string
	for _, name := range j.metricsIn(expr) {
		if recorded, is := j.recorded[name]; is {
			all = append(all, j.behind(recorded)...)
		} else {
			all = append(all, histogramPart.ReplaceAllString(name, ""))
		}
	}
	return all
}
