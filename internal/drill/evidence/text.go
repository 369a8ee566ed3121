package evidence

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sparkWidth is the most columns of a line of blocks: with the names of regions beside it, it stays below 100 characters.
const sparkWidth = 60

// Text writes the report as a person reads it on a terminal at the end of a run.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  (%s, seed %d)\n", printable(r.Headline()), seconds(r.Seconds), r.Seed)
	e := r.Environment
	fmt.Fprintf(&b, "  on %s, %s regions, %d CPUs\n", printable(e.Engine+" "+e.EngineVersion), grouped(len(e.Regions)), e.CPUs)
	r.writeSteps(&b)
	r.writeSparks(&b)
	r.writeRecovery(&b)
	r.writeTotals(&b)
	r.writeVerdicts(&b)
	r.writeLast(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// writeLast writes what stays in sight above the prompt.
func (r Report) writeLast(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s %s\n", r.status().mark(), strings.ToUpper(string(r.status())))
	for _, line := range []string{r.rpo(), r.duplicates(), r.rto()} {
		fmt.Fprintf(b, "  %s\n", printable(line))
	}
	if !r.Passed {
		fmt.Fprintf(b, "  Again: %s\n", printable(r.Command))
	}
}

func (r Report) writeSteps(b *strings.Builder) {
	if len(r.Steps) == 0 {
		return
	}
	b.WriteString("\nWhat was done\n")
	table := make([][]string, 0, len(r.Steps))
	for i, s := range r.Steps {
		text := s.Text
		if s.Skipped != "" {
			text = "– skipped: " + s.Skipped
		}
		table = append(table, []string{fmt.Sprint(i + 1), s.when(), s.Kind, s.Target, text})
	}
	writeTable(b, table, "rrlll")
}

// when is the time of a step: an instant, or from and until.
func (s Step) when() string {
	if s.Until == nil {
		return seconds(s.At)
	}
	return trimmed(s.At, 2) + "–" + seconds(*s.Until)
}

// writeSparks draws what was answered in each region, what failed below it, and where steps were done.
func (r Report) writeSparks(b *strings.Builder) {
	cols := r.columns(sparkWidth)
	if cols.count == 0 {
		return
	}
	fmt.Fprintf(b, "\nAnswered calls (× some failed), a column %s\n", seconds(cols.width))
	widest := 0
	for _, s := range r.Series {
		widest = max(widest, utf8.RuneCountInString(printable(s.Region)))
	}
	for _, s := range cols.series {
		most := 0.0
		for _, c := range s.columns {
			most = max(most, c.OK)
		}
		name := printable(s.region)
		fmt.Fprintf(b, "  %s%s  %s  up to %s/s\n", name, strings.Repeat(" ", widest-utf8.RuneCountInString(name)), spark(s.columns, most), number(most))
		if crosses := strings.TrimRight(crosses(s.columns), " "); crosses != "" {
			fmt.Fprintf(b, "  %*s  %s\n", widest, "", crosses)
		}
	}
	if marks := r.marks(cols); marks != "" {
		fmt.Fprintf(b, "  %*s  %s\n", widest, "", marks)
	}
}

var blocks = []rune(" ▁▂▃▄▅▆▇█")

func spark(columns []column, most float64) string {
	line := make([]rune, len(columns))
	for i, c := range columns {
		level := 0
		if c.OK > 0 && most > 0 {
			level = 1 + min(int(c.OK/most*8), 7) // what is not nothing is seen
		}
		line[i] = blocks[level]
	}
	return string(line)
}

func crosses(columns []column) string {
	line := make([]rune, len(columns))
	for i, c := range columns {
		line[i] = ' '
		if c.Failed > 0 {
			line[i] = '×'
		}
	}
	return string(line)
}

// marks writes the number of each step below the column in which it was done, as far as there is room.
func (r Report) marks(cols columns) string {
	line := make([]rune, 0, cols.count)
	for i, s := range r.Steps {
		at := int(s.At / cols.width)
		if s.Skipped != "" || s.At < 0 || at >= cols.count || at < len(line) {
			continue
		}
		line = append(line, []rune(strings.Repeat(" ", at-len(line)))...)
		line = append(line, []rune("^"+fmt.Sprint(i+1))...)
	}
	return string(line)
}

func (r Report) writeRecovery(b *strings.Builder) {
	if len(r.Recovery) == 0 {
		return
	}
	b.WriteString("\nRecovery\n")
	table := [][]string{{"", "region", "after", "noticed", "well again", "limit", ""}}
	for _, c := range r.Recovery {
		table = append(table, []string{c.status().mark(), c.Region, c.Step, c.detect(), c.rto(), c.limit(), c.met()})
	}
	writeTable(b, table, "lllrrrl")
}

func (r Report) writeTotals(b *strings.Builder) {
	t := r.Totals
	b.WriteString("\nTotals\n")
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("clients", "%s", grouped(t.Clients))
	line("requests", "%s: %s failed, %s slow, %s only reading", grouped(t.Requests), grouped(t.FailedRequests), grouped(t.SlowRequests), grouped(t.Reads))
	line("commands", "%s: %s acknowledged, %s declined, %s unknown in the end", grouped(t.Commands), grouped(t.Acknowledged), grouped(t.Declined), grouped(t.Unknown))
	line("", "%s repeats got the same answer again, %s answered elsewhere", grouped(t.Replays), grouped(t.Moved))
	line("events", "%s heard, and %s of them again", grouped(t.Events), grouped(t.EventRepeats))
	line("lost", "%s acknowledged writes (RPO), and %s with two effects", grouped(t.LostWrites), grouped(t.DoubleEffects))
}

// words is a line for each total.
func (t Totals) words() [][]string {
	return [][]string{
		{"clients", grouped(t.Clients)},
		{"requests", grouped(t.Requests)},
		{"  failed", grouped(t.FailedRequests)},
		{"  slow", grouped(t.SlowRequests)},
		{"  only reading", grouped(t.Reads)},
		{"commands", grouped(t.Commands)},
		{"  acknowledged", grouped(t.Acknowledged)},
		{"  declined", grouped(t.Declined)},
		{"  unknown in the end", grouped(t.Unknown)},
		{"  same answer again", grouped(t.Replays)},
		{"  answered elsewhere", grouped(t.Moved)},
		{"events heard", grouped(t.Events)},
		{"  again", grouped(t.EventRepeats)},
		{"lost writes (RPO)", grouped(t.LostWrites)},
		{"double effects", grouped(t.DoubleEffects)},
	}
}

func (r Report) writeVerdicts(b *strings.Builder) {
	if len(r.Verdicts) == 0 {
		b.WriteString("\nNothing was checked.\n")
		return
	}
	b.WriteString("\nChecks\n")
	table := make([][]string, 0, len(r.Verdicts))
	for _, v := range r.Verdicts {
		note := grouped(v.Looked) + " looked at"
		switch v.Status {
		case Skipped:
			note = "skipped"
		case Failed:
			note = "FAILED, " + note
		case Passed:
		}
		table = append(table, []string{v.Status.mark() + " " + v.Name, note})
	}
	writeTable(b, table, "lr")
	for _, v := range r.Verdicts {
		if v.Status == Passed || len(v.Detail) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n  %s %s\n", v.Status.mark(), printable(v.Name))
		for _, d := range v.Detail[:min(len(v.Detail), 10)] {
			fmt.Fprintf(b, "      %s\n", printable(d))
		}
		if more := len(v.Detail) - 10; more > 0 {
			fmt.Fprintf(b, "      … and %s more in the report\n", grouped(more))
		}
	}
}

// writeTable writes lines of the same number of cells, aligned as the letters say: l to the left, r to the right.
func writeTable(b *strings.Builder, table [][]string, align string) {
	widths := make([]int, len(align))
	for _, line := range table {
		for i := range line {
			line[i] = printable(line[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
		}
	}
	for _, line := range table {
		var text strings.Builder
		for i, cell := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				cell, gap = gap+cell, ""
			}
			text.WriteString("  " + cell + gap)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}

// printable keeps what a report holds from steering the terminal: a name with an escape sequence must not repaint a verdict, nor one with a
// line break look like one.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsPrint(c):
			return c
		default:
			return '�'
		}
	}, s)
}
