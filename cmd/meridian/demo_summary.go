package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// demoSummary is the machine's view of a run.
type demoSummary struct {
	Engine       string              `json:"engine"`
	Seed         uint64              `json:"seed"`
	ImportedRows int64               `json:"imported_rows"`
	Commands     int                 `json:"commands"`
	Kinds        map[ledger.Kind]int `json:"kinds"`
	Posted       int                 `json:"posted"`
	Declines     map[errs.Reason]int `json:"declines"`
	Replays      int                 `json:"replays"`
	PerSecond    float64             `json:"commands_per_second"`
	LatencyMS    map[string]float64  `json:"latency_ms"`
	Killed       string              `json:"killed_node"`
	FailedCalls  int                 `json:"failed_calls"`
	Moved        int                 `json:"commands_answered_elsewhere"`
	WorstMS      float64             `json:"slowest_of_them_ms"`
	Events       int                 `json:"events_heard"`
	EventRepeats int                 `json:"events_heard_again"`
	StreamBreaks int                 `json:"streams_broken_off"`
	Checked      map[string]int      `json:"checked"` // how many things each check looked at
	Proven       bool                `json:"proven"`
	Problems     []string            `json:"problems"`
	Seconds      float64             `json:"seconds"`
}

func (d *demo) summary() demoSummary {
	t, latency, checked := d.totals, map[string]float64{}, map[string]int{}
	for name, q := range map[string]float64{"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100} {
		latency[name] = ms(t.Latency.ValueAtQuantile(q))
	}
	for _, v := range d.verdicts {
		checked[v.Checker] = v.Looked
	}
	events, repeats, breaks := d.witness.Heard()
	return demoSummary{
		Engine: d.local.engine.Name + " " + d.local.engine.Version, Seed: d.history.Seed, ImportedRows: d.imported.Rows, Commands: t.Acknowledged,
		Kinds: t.Kinds, Posted: t.Posted, Declines: t.Declines, Replays: t.Replays, PerSecond: float64(t.Acknowledged) / d.history.Elapsed.Seconds(),
		LatencyMS: latency, Killed: d.killed, FailedCalls: t.FailedRequests, Moved: t.Moved, WorstMS: ms(t.Worst.Microseconds()),
		Events: events, EventRepeats: repeats, StreamBreaks: breaks, Checked: checked, Proven: len(d.problems) == 0,
		Problems: append([]string{}, d.problems...), Seconds: d.elapsed.Seconds(),
	}
}

func ms(micros int64) float64 { return float64(micros) / 1000 }

// print is the summary that a person reads.
func (d *demo) print() {
	s, h, t := d.summary(), d.history, d.totals
	d.headline("What happened")
	line := func(name, format string, args ...any) {
		fmt.Fprintf(d.w, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("engine", "%s", s.Engine)
	line("imported", "%s rows at %.0f rows/s", grouped(fmt.Sprint(s.ImportedRows)), d.imported.Rate())
	line("commands", "%s in %s: %s a second through %d nodes", grouped(fmt.Sprint(s.Commands)), h.Elapsed.Round(10*time.Millisecond),
		grouped(fmt.Sprintf("%.0f", s.PerSecond)), len(d.local.nodes))
	line("posted", "%s", grouped(fmt.Sprint(s.Posted)))
	for _, kind := range slices.Sorted(maps.Keys(t.Kinds)) {
		line("", "  %-10s %8s", kind, grouped(fmt.Sprint(t.Kinds[kind])))
	}
	line("declined", "%s", grouped(fmt.Sprint(s.Commands-s.Posted)))
	for _, reason := range slices.Sorted(maps.Keys(t.Declines)) {
		line("", "  %-22s %8s", reason, grouped(fmt.Sprint(t.Declines[reason])))
	}
	line("replays", "%s repeats of a key got the same answer again", grouped(fmt.Sprint(s.Replays)))
	line("latency", "p50 %.1f ms   p90 %.1f ms   p99 %.1f ms   p99.9 %.1f ms   max %.0f ms",
		s.LatencyMS["p50"], s.LatencyMS["p90"], s.LatencyMS["p99"], s.LatencyMS["p99.9"], s.LatencyMS["max"])
	d.printHistogram()
	verdict := "; none was lost, none doubled"
	if !s.Proven {
		verdict = ""
	}
	line("the kill", "%s: %d calls failed, %d commands were answered elsewhere, the slowest of them after %.0f ms%s",
		s.Killed, s.FailedCalls, s.Moved, s.WorstMS, verdict)
	looked := func(checker string) string { return grouped(fmt.Sprint(s.Checked[checker])) }
	line("checked", "%s answers against the journal, %s accounts against what clients were told, %s repeats, %s reads", looked("lost_write"),
		looked("double_effect"), looked("wrong_answer"), looked("stale_read"))
	once := ""
	if s.Proven {
		once = ": each once, in order on every account"
	}
	line("the stream", "%s events heard, %s of them again after %d breaks and dropped%s", grouped(fmt.Sprint(s.Events)), grouped(fmt.Sprint(s.EventRepeats)), s.StreamBreaks, once)
	if s.Proven {
		fmt.Fprintf(d.w, "\n  %s  (%s in all)\n", styled(d.w, green, "✓ The books are right, to the last unit."), d.elapsed.Round(100*time.Millisecond))
		return
	}
	fmt.Fprintf(d.w, "\n  %s\n", styled(d.w, red, "✗ Something is off:"))
	for _, p := range d.problems[:min(len(d.problems), 20)] {
		fmt.Fprintln(d.w, "    "+p)
	}
	fmt.Fprintf(d.w, "  %d in all; seed %d\n", len(d.problems), s.Seed)
}

// printHistogram draws the latencies in steps of a factor of two.
func (d *demo) printHistogram() {
	const from, steps, width = 500, 12, 44 // microseconds
	counts := make([]int64, steps+1)
	var most int64
	for _, bar := range d.totals.Latency.Distribution() {
		i, bound := 0, int64(from)
		for i < steps && bar.To > bound {
			i, bound = i+1, 2*bound
		}
		counts[i] += bar.Count
		most = max(most, counts[i])
	}
	bound := float64(from) / 1000
	for i, n := range counts {
		if n > 0 {
			label := fmt.Sprintf("≤ %g ms", bound)
			if i == steps {
				label = "more"
			}
			bar := strings.Repeat("█", int(n*width/most))
			if bar == "" {
				bar = "▏"
			}
			fmt.Fprintf(d.w, "  %12s %9s %s\n", label, grouped(fmt.Sprint(n)), bar)
		}
		bound *= 2
	}
}

// grouped sets commas between thousands.
func grouped(number string) string {
	whole, fraction, _ := strings.Cut(number, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction
}
