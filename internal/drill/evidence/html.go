package evidence

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"strings"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	styleText string
	//go:embed page.js
	scriptText string
)

// tableRows is the most rows of the table beside a chart: each covers as many buckets as it takes.
const tableRows = 120

var words = template.FuncMap{
	"seconds": seconds, "milliseconds": milliseconds, "number": number, "grouped": grouped, "counted": counted, "share": share, "place": place,
	"plus":  func(a, b float64) float64 { return a + b },
	"minus": func(a, b float64) float64 { return a - b },
	"mark":  Status.mark,
	"word":  Status.class,
	"join":  func(l []string) string { return strings.Join(l, ", ") },
	"stamp": func(s float64) string { return fmt.Sprintf("%8.2f s", s) },
}

var page = template.Must(template.New("page").Funcs(words).Parse(pageText))

// class names the colour of a status. "failed" alone is the colour of a line in a chart.
func (s Status) class() string {
	switch s {
	case Passed:
		return "passed"
	case Failed:
		return "failed-word"
	case Skipped:
		return "skipped"
	default:
		return ""
	}
}

// policy lets a browser run the given style and script of ours and nothing else, and load nothing from anywhere: what a report holds stays
// text even if it were to get past the escaping.
func policy(style, script string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	scripts := "'none'"
	if script != "" {
		scripts = hash(script)
	}
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + scripts + "; base-uri 'none'; form-action 'none'"
}

// HTML gives the report as one page for an auditor that needs nothing else: no font, no picture, no script from anywhere. It can be read
// without its script, printed, and opened from a file. The page names the SHA-256 of the JSON that WriteJSON writes.
func HTML(r Report) ([]byte, error) {
	text, err := r.encode()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	p := newPlot(r)
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Report": r, "Headline": r.Headline(), "Name": r.name(), "Status": r.status(), "Summary": r.Summary(), "Tiles": r.tiles(),
		"Regions": r.regions(p), "Column": p.cols.width, "Row": r.columns(tableRows).width, "Data": p.data(), "Recovery": r.recoveryRows(),
		"Steps": r.stepRows(), "Totals": r.Totals.words(), "Environment": r.Environment.words(), "Digest": hex.EncodeToString(digest[:]),
		"Policy": policy(styleText, scriptText),
		"Style":  template.CSS(styleText), //nolint:gosec // our own file
		"Script": template.JS(scriptText), //nolint:gosec // our own file
	})
	if err != nil {
		return nil, fmt.Errorf("render the report: %w", err)
	}
	return b.Bytes(), nil
}

// tile is one of the numbers that stand first.
type tile struct {
	Name, Value, Note string
	Status            Status
}

func (r Report) tiles() []tile {
	effect := func(name, checker, note string, n int) tile {
		looked, ok := r.checked(checker)
		switch {
		case n > 0:
			return tile{name, grouped(n), fmt.Sprintf(note, grouped(looked)), Failed}
		case !ok:
			return tile{name, "not checked", "", Skipped}
		default:
			return tile{name, "0", fmt.Sprintf(note, grouped(looked)), Passed}
		}
	}
	all := []tile{
		effect("RPO", LostWrite, "acknowledged writes lost, of %s", r.Totals.LostWrites),
		effect("Duplicates", DoubleEffect, "effects twice, on %s accounts", r.Totals.DoubleEffects),
	}
	if lost := r.Totals.RestoredLoss; lost > 0 && r.Totals.LostWrites == 0 {
		all[0] = tile{"RPO", grouped(lost), "acknowledged writes younger than the backup that was restored", Passed}
	}
	slowest := tile{"RTO, slowest region", "not measured", "", Skipped}
	if c := r.slowest(); c != nil {
		slowest = tile{slowest.Name, c.rto(), c.Region + c.limitWords(", limit "), c.status()}
	} else if len(r.Recovery) > 0 {
		slowest = tile{slowest.Name, "0 s", "no clients noticed", Passed}
	}
	p, f, s := r.tally()
	checks := tile{"Checks passed", fmt.Sprintf("%d of %d", p, p+f+s), fmt.Sprintf("%d failed, %d skipped", f, s), Passed}
	switch {
	case f > 0:
		checks.Status = Failed
	case p == 0:
		checks.Status = Skipped
	}
	t := r.Totals
	return append(all, slowest, checks,
		tile{"Failed requests", share(t.FailedRequests, t.Requests), grouped(t.FailedRequests) + " of " + grouped(t.Requests), ""})
}

// region is what the page shows of the clients of one region.
type region struct {
	Name   string
	Charts []chart
	Bucket float64
	Rows   []row
}

type row struct {
	From float64
	column
}

func (r Report) regions(p plot) []region {
	charts, table := p.charts(), r.columns(tableRows)
	all := make([]region, 0, len(p.cols.series))
	for i, s := range p.cols.series {
		g := region{Name: s.region, Charts: charts[2*i : 2*i+2], Bucket: r.Bucket}
		for j, c := range table.series[i].columns {
			g.Rows = append(g.Rows, row{float64(j) * table.width, c})
		}
		all = append(all, g)
	}
	return all
}

// chartData is what the script of the page reads.
type chartData struct {
	Count  int
	Width  float64
	Series []chartSeries
	Steps  []chartStep
}

type chartSeries struct {
	Region                    string
	OK, Failed, P50, P99, Max []float64
}

type chartStep struct {
	At    float64
	Until *float64
	Text  string
}

func (p plot) data() chartData {
	d := chartData{Count: p.cols.count, Width: p.cols.width, Series: []chartSeries{}, Steps: []chartStep{}}
	for _, s := range p.cols.series {
		out := chartSeries{Region: s.region}
		for _, c := range s.columns {
			out.OK, out.Failed = append(out.OK, rounded(c.OK)), append(out.Failed, rounded(c.Failed))
			out.P50, out.P99, out.Max = append(out.P50, rounded(c.P50)), append(out.P99, rounded(c.P99)), append(out.Max, rounded(c.Max))
		}
		d.Series = append(d.Series, out)
	}
	for i, s := range p.steps {
		if s.Skipped == "" {
			d.Steps = append(d.Steps, chartStep{s.At, s.Until, fmt.Sprintf("%d: %s", i+1, s.describe())})
		}
	}
	return d
}

type recoveryRow struct {
	Region, Step, Detect, RTO, Limit, Met, Text string
	Status                                      Status
}

func (r Report) recoveryRows() []recoveryRow {
	rows := make([]recoveryRow, 0, len(r.Recovery))
	for _, c := range r.Recovery {
		rows = append(rows, recoveryRow{c.Region, c.Step, c.detect(), c.rto(), c.limit(), c.met(), c.Text, c.status()})
	}
	return rows
}

type stepRow struct {
	Number                            int
	When, Kind, Target, Text, Skipped string
}

func (r Report) stepRows() []stepRow {
	rows := make([]stepRow, 0, len(r.Steps))
	for i, s := range r.Steps {
		rows = append(rows, stepRow{i + 1, s.when(), s.Kind, s.Target, s.Text, s.Skipped})
	}
	return rows
}

// words is a line for each thing known about where a drill ran.
func (e Environment) words() [][]string {
	all := [][]string{
		{"Engine", strings.TrimSpace(e.Engine + " " + e.EngineVersion)},
		{"Topology", e.Topology},
		{"Meridian", e.Meridian},
		{"Go", e.Go},
		{"System", e.OS},
		{"CPU", e.CPU},
		{"CPUs", grouped(e.CPUs)},
		{"Memory", bytesOf(e.MemoryBytes)},
	}
	for _, l := range all {
		if l[1] == "" || l[1] == "0" || l[1] == "–" {
			l[1] = "not known"
		}
	}
	return all
}
