package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteText prints a report for a person.
func (r Report) WriteText(w io.Writer) error {
	t := &text{}
	t.line("%s · %s, %d cores · meridian %s, %s over %s · seed %d",
		cmp.Or(r.Engine, "unknown engine"), r.Machine.System, r.Machine.Cores, r.Version, plural(r.Servers, "server"), r.Protocol, r.Seed)
	for _, o := range r.Against {
		t.opponent(*o)
	}
	for _, row := range r.Rows {
		t.line("")
		t.row(row)
	}
	if len(r.Rows) > 1 {
		t.line("")
		t.tables(r)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

type text struct{ strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) opponent(o Opponent) {
	t.line("%s: a SERIALIZABLE transaction a transfer, %s; %s", o.Name, o.Does, plural(o.Connections, "connection"))
	if len(o.Tried) == 0 {
		return
	}
	tried := make([]string, len(o.Tried))
	for i, p := range o.Tried {
		tried[i] = fmt.Sprintf("%d: %s/s", p.Connections, count(p.PerSecond))
	}
	t.line("  the best of %s", strings.Join(tried, ", "))
}

func (t *text) row(r Result) {
	load := r.Load
	how := "closed loop"
	if load.Rate > 0 {
		how = "open loop at " + count(load.Rate) + "/s"
	}
	if load.Batch > 1 {
		how += fmt.Sprintf(", %d commands a call", load.Batch)
	}
	t.line("%s · %s, %s accounts (%s), %s · %s of %s after %s", r.Name, plural(load.Clients, "client"), count(float64(load.Accounts)),
		load.Scenario, how, plural(len(r.Rounds), "round"), load.Duration, load.WarmUp)
	t.line("%-10s %14s %11s %11s %11s %11s %11s", "", "commands/s", "p50", "p90", "p99", "p99.9", "max")
	t.side("meridian", r.Meridian, r.Meridian.Latency)
	if r.Meridian.Service != nil {
		t.side("  as sent", r.Meridian, *r.Meridian.Service)
	}
	names := slices.Sorted(maps.Keys(r.Against))
	for _, name := range names {
		t.side(name, r.Against[name].Measured, r.Against[name].Measured.Latency)
	}
	for _, name := range names {
		c := r.Against[name]
		t.line("%-10s %14s %11s   (the rate from %s to %s)", "to "+name, c.Rate, times(c.P50), times(c.Rate.Low), times(c.Rate.High))
	}
	t.counted("meridian", r.Meridian, "")
	for _, name := range names {
		s, window := r.Against[name].Measured, ""
		if s.Seconds > r.Meridian.Seconds {
			window = fmt.Sprintf(" in %s s", count(s.Seconds))
		}
		t.counted(name, s, window)
	}
	t.use(r)
}

func (t *text) side(name string, s Slice, l Latency) {
	t.line("%-10s %14s %11s %11s %11s %11s %11s", name, count(s.PerSecond), ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
}

// counted says how calls ended, in a window that is named where it is longer than Meridian's.
func (t *text) counted(name string, s Slice, window string) {
	parts := []string{
		count(float64(s.Posted)) + " posted" + window, reasons("declined", s.Declined), count(float64(s.Replayed)) + " replayed",
		reasons("errors", s.Errors),
	}
	if s.Unanswered > 0 {
		parts = append(parts, count(float64(s.Unanswered))+" calls without an answer in time")
	}
	if s.Retries > 0 {
		parts = append(parts, count(float64(s.Retries))+" transactions repeated")
	}
	t.line("  %-9s %s", name, strings.Join(parts, " · "))
}

// use says what it took, and how far from the database's own limits that is.
func (t *text) use(r Result) {
	s := r.Meridian
	if u := s.Server; u != nil {
		t.line("  groups    %s/s of %.0f commands, %.0f repeated; mean wait in queue %s, load %s, decide %s, write %s", count(u.GroupsPerSecond),
			u.GroupCommands, u.GroupRetries, ms(u.QueueMS), ms(u.LoadMS), ms(u.DecideMS), ms(u.WriteMS))
	}
	if l := r.Limits; l != nil {
		line := fmt.Sprintf("  limits    one connection: %s durable commits/s, %s entry rows/s", count(l.Commits), count(l.Rows))
		if s.Server != nil {
			line += fmt.Sprintf("; groups are %.2f of the first", r.Use.Groups)
		}
		t.line("%s; entries are %.2f of the second", line, r.Use.Entries)
	}
	used := fmt.Sprintf("  cores     generator %.2f", s.Client.Cores)
	if s.Server != nil {
		used += fmt.Sprintf(", servers %.2f", s.Server.Cores)
	}
	if s.Client.Machine > 0 {
		used += fmt.Sprintf(", the machine with its database %.2f", s.Client.Machine)
	}
	if s.Server != nil {
		used += fmt.Sprintf("; a server's memory %d MiB at most", s.Server.PeakRSS>>20)
	}
	t.line("%s", used)
}

// tables are the whole suite at a glance.
func (t *text) tables(r Report) {
	t.table(r, "commands/s", func(s Slice) string { return count(s.PerSecond) }, func(c Comparison) string { return c.Rate.String() })
	t.line("")
	t.table(r, "p50 of a call", Slice.p50, func(c Comparison) string { return times(c.P50) })
	if r.HotOfUniform > 0 {
		t.line("")
		t.line("hot is %.2f of uniform", r.HotOfUniform)
	}
}

func (t *text) table(r Report, title string, of func(Slice) string, ratio func(Comparison) string) {
	head := fmt.Sprintf("%-14s %12s", title, "meridian")
	for _, o := range r.Against {
		head += fmt.Sprintf(" %12s %9s", o.Name, "ratio")
	}
	t.line("%s", head)
	for _, row := range r.Rows {
		text := fmt.Sprintf("%-14s %12s", row.Name, of(row.Meridian))
		for _, o := range r.Against {
			if c, measured := row.Against[o.Name]; measured {
				text += fmt.Sprintf(" %12s %9s", of(c.Measured), ratio(c))
			}
		}
		t.line("%s", text)
	}
}

// line is one round in short.
func line(name string, r Round) string {
	s := fmt.Sprintf("%s: %s/s, p50 %s, p99 %s", name, count(r.Meridian.PerSecond), r.Meridian.p50(), ms(r.Meridian.Latency.P99))
	for _, name := range slices.Sorted(maps.Keys(r.Against)) {
		other := r.Against[name]
		ratio, atLeast := r.Meridian.faster(other)
		s += fmt.Sprintf("; %s %s/s, p50 %s: %s", name, count(other.PerSecond), other.p50(), Ratio{Median: ratio, AtLeast: atLeast})
	}
	return s
}

// p50 is a bound where most calls had no answer: what they waited is less than they would have.
func (s Slice) p50() string {
	if s.Unanswered > s.Calls {
		return "> " + ms(s.Latency.P50)
	}
	return ms(s.Latency.P50)
}

// String is the median, as "> 900x" where the truth is above it.
func (r Ratio) String() string {
	if r.AtLeast {
		return "> " + times(r.Median)
	}
	return times(r.Median)
}

// times writes a ratio; what was not compared, as a dash.
func times(ratio float64) string {
	switch {
	case ratio == 0:
		return "-"
	case ratio < 0.005:
		return "< 0.01x"
	case ratio >= 100:
		return count(ratio) + "x"
	case ratio >= 10:
		return fmt.Sprintf("%.1fx", ratio)
	}
	return fmt.Sprintf("%.2fx", ratio)
}

func reasons(name string, of map[string]int64) string {
	sum, each := int64(0), make([]string, 0, len(of))
	for _, reason := range slices.Sorted(maps.Keys(of)) {
		sum += of[reason]
		each = append(each, reason+" "+count(float64(of[reason])))
	}
	if sum == 0 {
		return "0 " + name
	}
	return fmt.Sprintf("%s %s (%s)", count(float64(sum)), name, strings.Join(each, ", "))
}

// count writes a whole number with its thousands apart; below ten with one decimal.
func count(f float64) string {
	if f < 10 && f != math.Trunc(f) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ms writes milliseconds with three digits that matter.
func ms(f float64) string {
	switch {
	case f >= 10_000:
		return fmt.Sprintf("%.1f s", f/1000)
	case f >= 100:
		return fmt.Sprintf("%.0f ms", f)
	case f >= 10:
		return fmt.Sprintf("%.1f ms", f)
	}
	return fmt.Sprintf("%.2f ms", f)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", count(float64(n)), what)
}
