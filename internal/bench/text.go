package bench

import (
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
		or(r.Engine, "unknown engine"), r.Machine.System, r.Machine.Cores, r.Version, plural(r.Servers, "server"), r.Protocol, r.Seed)
	if len(r.Pools) > 0 {
		tried := make([]string, len(r.Pools))
		for i, p := range r.Pools {
			tried[i] = fmt.Sprintf("%d: %s/s", p.Connections, count(p.PerSecond))
		}
		t.line("naive with pools of %s; it got the best", strings.Join(tried, ", "))
	}
	for _, row := range r.Rows {
		t.line("")
		t.row(row)
	}
	if len(r.Rows) > 1 {
		t.line("")
		t.table(r)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

type text struct{ strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

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
	if r.Naive != nil {
		t.side("naive", *r.Naive, r.Naive.Latency)
		t.line("%-10s %13.2fx %10.2fx   (the rate from %.2fx to %.2fx)", "ratio", r.Ratios.Rate, r.Ratios.P50, r.Ratios.RateLow, r.Ratios.RateHigh)
	}
	t.counted("meridian", r.Meridian)
	if r.Naive != nil {
		t.counted("naive", *r.Naive)
	}
	t.use(r)
}

func (t *text) side(name string, s Slice, l Latency) {
	t.line("%-10s %14s %11s %11s %11s %11s %11s", name, count(s.PerSecond), ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
}

func (t *text) counted(name string, s Slice) {
	parts := []string{count(float64(s.Posted)) + " posted", reasons("declined", s.Declined), count(float64(s.Replayed)) + " replayed", reasons("errors", s.Errors)}
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
			line += fmt.Sprintf("; groups are %.2f of the first", r.Ratios.Groups)
		}
		t.line("%s; entries are %.2f of the second", line, r.Ratios.Entries)
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

// table is the whole suite at a glance.
func (t *text) table(r Report) {
	t.line("%-14s %12s %12s %9s %11s %11s %9s", "", "meridian/s", "naive/s", "ratio", "p50", "naive p50", "ratio")
	for _, row := range r.Rows {
		if row.Naive == nil {
			t.line("%-14s %12s %12s %9s %11s", row.Name, count(row.Meridian.PerSecond), "", "", ms(row.Meridian.Latency.P50))
			continue
		}
		t.line("%-14s %12s %12s %8.2fx %11s %11s %8.2fx", row.Name, count(row.Meridian.PerSecond), count(row.Naive.PerSecond), row.Ratios.Rate,
			ms(row.Meridian.Latency.P50), ms(row.Naive.Latency.P50), row.Ratios.P50)
	}
	if r.HotOfUniform > 0 {
		t.line("hot is %.2f of uniform", r.HotOfUniform)
	}
}

// line is one round in short.
func line(name string, r Round) string {
	s := fmt.Sprintf("%s: %s/s, p50 %s, p99 %s", name, count(r.Meridian.PerSecond), ms(r.Meridian.Latency.P50), ms(r.Meridian.Latency.P99))
	if r.Naive != nil {
		s += fmt.Sprintf("; naive %s/s, p50 %s: %.2fx", count(r.Naive.PerSecond), ms(r.Naive.Latency.P50), over(r.Meridian.PerSecond, r.Naive.PerSecond))
	}
	return s
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

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
