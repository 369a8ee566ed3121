package evidence

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed compare.html
var compareText string

var comparePage = template.Must(template.New("compare").Funcs(words).Funcs(template.FuncMap{
	"sign": Judgement.mark, "times": times, "groups": Comparison.groups, "orNone": func(s Status) string { return orNone(string(s)) },
}).Parse(compareText))

// mark is a judgement in one character, beside which its word always stands.
func (j Judgement) mark() string {
	switch j {
	case Better:
		return "▲"
	case Worse:
		return "▼"
	case Same:
		return "="
	default:
		return ""
	}
}

func (j Judgement) words() string {
	if j == NoJudgement {
		return ""
	}
	return j.mark() + " " + string(j)
}

// times writes a ratio.
func times(r *float64) string {
	if r == nil {
		return ""
	}
	return "× " + trimmed(*r, 2)
}

// rule says how numbers are judged.
func (c Comparison) rule() string {
	return fmt.Sprintf("Within %g %% is the same, and so is 1 ms of latency, a bucket of recovery, and for counts twice the spread of chance. × is B / A.", 100*c.Noise)
}

// Headline is the comparison in one line.
func (c Comparison) Headline() string {
	s := fmt.Sprintf("%d better, %d worse, %d the same", c.Better, c.Worse, c.Same)
	if len(c.Warnings) > 0 {
		return s + ", BUT NOT COMPARABLE"
	}
	return s
}

func (s Side) status() Status { return Report{Passed: s.Passed}.status() }

func (s Side) words() string {
	return fmt.Sprintf("%s %s: %s, %s, seed %d", s.status().mark(), s.Drill, s.status(), s.Started.UTC().Format("2006-01-02 15:04:05 MST"), s.Seed)
}

// group is the measures that stand in one table.
type group struct {
	Title    string
	Measures []Measure
}

func (c Comparison) groups() []group {
	all := []group{{Title: "Recovery"}, {Title: "Phases"}, {Title: "Totals"}}
	for _, m := range c.Measures {
		i := map[string]int{"recovery": 0, "phase": 1, "totals": 2}[m.Group]
		all[i].Measures = append(all[i].Measures, m)
	}
	return all
}

// Text writes the comparison for a terminal.
func (c Comparison) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A  %s\nB  %s\n", printable(c.A.words()), printable(c.B.words()))
	for _, warning := range c.Warnings {
		fmt.Fprintf(&b, "\n! %s", printable(warning))
	}
	if len(c.Warnings) > 0 {
		b.WriteString("\n")
	}
	if len(c.Environment) > 0 {
		b.WriteString("\nWhat differs about the runs\n")
		table := [][]string{{"", "A", "B"}}
		for _, d := range c.Environment {
			table = append(table, []string{d.Name, shortened(orNone(d.A), 50), shortened(orNone(d.B), 50)})
		}
		writeTable(&b, table, "lll")
	}
	for _, g := range c.groups() {
		if len(g.Measures) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		table := [][]string{{"", "A", "B", "", ""}}
		for _, m := range g.Measures {
			table = append(table, []string{m.Name, m.AText, m.BText, times(m.Ratio), m.Judgement.words()})
		}
		writeTable(&b, table, "lrrrl")
	}
	b.WriteString("\nVerdicts that changed\n")
	table := make([][]string, 0, len(c.Verdicts))
	for _, v := range c.Verdicts {
		table = append(table, []string{v.Name, orNone(string(v.A)), "→", orNone(string(v.B)), v.Judgement.words()})
	}
	if len(table) == 0 {
		table = [][]string{{"none", "", "", "", ""}}
	}
	writeTable(&b, table, "lllll")
	fmt.Fprintf(&b, "\n%s\n%s\n", c.rule(), c.Headline())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}

// HTML gives the comparison as one page that needs nothing else, with the look of that of a report.
func (c Comparison) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := comparePage.Execute(&b, map[string]any{
		"C": c, "Headline": c.Headline(), "Rule": c.rule(), "A": c.A.words(), "B": c.B.words(), "AStatus": c.A.status(), "BStatus": c.B.status(),
		"Policy": policy(styleText, ""),
		"Style":  template.CSS(styleText), //nolint:gosec // our own file
	})
	if err != nil {
		return nil, fmt.Errorf("render the comparison: %w", err)
	}
	return b.Bytes(), nil
}
