package bench

import (
	"fmt"
	"io"
)

// WriteText prints delays for a person.
func (d Delays) WriteText(w io.Writer) error {
	t := &text{}
	t.line("%s/s for %s after %s, open loop, %s; milliseconds", count(d.Load.Rate), d.Load.Duration, d.Load.WarmUp, plural(d.Load.Clients, "client"))
	t.line("%-34s %8s %8s %9s %9s %9s %9s", "", "count", "missing", "p50", "p99", "p99.9", "max")
	row := func(name string, n, missing int64, l Latency) {
		t.line("%-34s %8d %8d %9.1f %9.1f %9.1f %9.1f", name, n, missing, l.P50, l.P99, l.P999, l.Max)
	}
	row("call to answer", d.Answers.Commands, d.Answers.Unanswered, d.Answers.Latency)
	if a := d.Appended; a != nil {
		row("recorded to appended (database)", a.Count, a.Missing, a.Latency)
	}
	if a := d.Delivered; a != nil {
		row("answer to webhook", a.Count, a.Missing, a.Latency)
	}
	row("answer to searchable", d.Searchable.Count, d.Searchable.Missing, d.Searchable.Latency)
	if _, err := io.WriteString(w, t.String()); err != nil {
		return fmt.Errorf("write the delays: %w", err)
	}
	return nil
}
