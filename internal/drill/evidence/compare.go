package evidence

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Noise is the part by which two numbers may differ and still count as the same: machines differ by that much from run to run.
const Noise = 0.10

// Judgement says how the second of two numbers compares with the first.
type Judgement string

// The judgements. NoJudgement: the numbers differ, or one is missing, and neither is good or bad.
const (
	Better      Judgement = "better"
	Worse       Judgement = "worse"
	Same        Judgement = "same"
	NoJudgement Judgement = "none"
)

// Comparison is two reports side by side: A, usually the older, and B.
type Comparison struct {
	A           Side         `json:"a"`
	B           Side         `json:"b"`
	Noise       float64      `json:"noise"`       // Noise
	Warnings    []string     `json:"warnings"`    // why numbers cannot be compared, or not all of them
	Environment []Difference `json:"environment"` // what is not the same about where and how they ran
	Measures    []Measure    `json:"measures"`    // every number of both
	Verdicts    []Change     `json:"verdicts"`    // that came out differently, or that only one of them has
	Better      int          `json:"better"`      // how many measures and verdicts are
	Worse       int          `json:"worse"`
	Same        int          `json:"same"`
}

// Side is what is compared.
type Side struct {
	Drill   string    `json:"drill"`
	Title   string    `json:"title"`
	Started time.Time `json:"started"`
	Seed    uint64    `json:"seed"`
	Passed  bool      `json:"passed"`
	Command string    `json:"command"`
}

// Difference is something about the runs that is not the same.
type Difference struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
	Warn bool   `json:"warn"` // it makes numbers incomparable
}

// Measure is one number of both reports.
type Measure struct {
	Group     string    `json:"group"` // "recovery", "phase" or "totals"
	Name      string    `json:"name"`
	Unit      string    `json:"unit"` // "s", "ms", "/s" or "" of counts
	A         *float64  `json:"a"`    // nil: there is none, and AText says why
	B         *float64  `json:"b"`
	AText     string    `json:"a_text"` // for people
	BText     string    `json:"b_text"`
	Ratio     *float64  `json:"ratio"` // B / A; nil where either is missing or A is 0
	Judgement Judgement `json:"judgement"`
}

// Change is a verdict that came out differently. A status is "" where the report has no such verdict.
type Change struct {
	Name      string    `json:"name"`
	Checker   string    `json:"checker"`
	A         Status    `json:"a"`
	B         Status    `json:"b"`
	Judgement Judgement `json:"judgement"`
}

// Compare sets two reports side by side. B is better or worse in a number where it differs by more than Noise, and by more than a step of
// what it was measured with: 1 ms of latency, a bucket of recovery, and for counts twice the spread that chance alone gives. Lost writes and
// double effects have no noise.
func Compare(a, b Report) Comparison {
	c := Comparison{A: a.side(), B: b.side(), Noise: Noise, Warnings: []string{}, Environment: differences(a, b), Measures: []Measure{}, Verdicts: []Change{}}
	for _, d := range c.Environment {
		if d.Warn {
			c.Warnings = append(c.Warnings, fmt.Sprintf("The numbers are not comparable: %s differs (%s, %s).", d.Name, orNone(d.A), orNone(d.B)))
		}
	}
	if x, y := a.span(), b.span(); beyond(x, y, 1) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("The load lasted %s and %s: counts are not comparable.", seconds(x), seconds(y)))
	}
	c.recovery(a, b)
	c.phases(a, b)
	c.totals(a.Totals, b.Totals)
	c.verdicts(a, b)
	for _, m := range c.Measures {
		c.count(m.Judgement)
	}
	for _, v := range c.Verdicts {
		c.count(v.Judgement)
	}
	return c
}

func (r Report) side() Side { return Side{r.Drill, r.Title, r.Started, r.Seed, r.Passed, r.Command} }

func (c *Comparison) count(j Judgement) {
	switch j {
	case Better:
		c.Better++
	case Worse:
		c.Worse++
	case Same:
		c.Same++
	case NoJudgement:
	}
}

// differences lists what is not the same about two runs, first what makes numbers incomparable.
func differences(a, b Report) []Difference {
	x, y := a.Environment, b.Environment
	all := []Difference{
		{"drill", a.Drill, b.Drill, true},
		{"story", storyLine(a.Story, b.Story), storyLine(b.Story, a.Story), true},
		{"engine", x.Engine, y.Engine, true},
		{"engine version", x.EngineVersion, y.EngineVersion, false},
		{"topology", x.Topology, y.Topology, true},
		{"regions", x.shape(), y.shape(), true},
		{"round trips", x.trips(), y.trips(), true},
		{"CPUs", fmt.Sprint(x.CPUs), fmt.Sprint(y.CPUs), true},
		{"CPU", x.CPU, y.CPU, false},
		{"memory", bytesOf(x.MemoryBytes), bytesOf(y.MemoryBytes), false},
		{"system", x.OS, y.OS, false},
		{"Meridian", x.Meridian, y.Meridian, false},
		{"Go", x.Go, y.Go, false},
		{"clients", fmt.Sprint(a.Totals.Clients), fmt.Sprint(b.Totals.Clients), true},
		{"seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed), false},
		{"bucket", seconds(a.Bucket), seconds(b.Bucket), false},
		{"steps not done", a.skippedSteps(), b.skippedSteps(), true},
	}
	return slices.DeleteFunc(all, func(d Difference) bool { return d.A == d.B })
}

// storyLine is the first line in which a story differs from another one.
func storyLine(story, other string) string {
	if story == other {
		return ""
	}
	lines, others := strings.Split(story, "\n"), strings.Split(other, "\n")
	for i, l := range lines {
		if i >= len(others) || l != others[i] {
			return fmt.Sprintf("line %d: %s", i+1, strings.TrimSpace(l))
		}
	}
	return fmt.Sprintf("ends after line %d", len(lines))
}

func (e Environment) shape() string {
	parts := make([]string, 0, len(e.Regions))
	for _, g := range e.Regions {
		parts = append(parts, fmt.Sprintf("%s %d+%d", g.Name, g.Databases, g.Servers))
	}
	return strings.Join(parts, ", ")
}

func (e Environment) trips() string {
	parts := make([]string, 0, len(e.RTTs))
	for _, t := range e.RTTs {
		parts = append(parts, fmt.Sprintf("%s–%s %s", t.Between[0], t.Between[1], milliseconds(t.Milliseconds)))
	}
	return strings.Join(parts, ", ")
}

func (r Report) skippedSteps() string {
	var parts []string
	for i, s := range r.Steps {
		if s.Skipped != "" {
			parts = append(parts, fmt.Sprintf("%d %s %s", i+1, s.Kind, s.Target))
		}
	}
	return strings.Join(parts, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// kind says how numbers of a kind are judged and written.
type kind struct {
	unit  string
	write func(float64) string
	more  Judgement                  // what more of it is
	floor func(a, b float64) float64 // the least difference that says something
	exact bool                       // no noise
}

func fixed(f float64) func(a, b float64) float64 { return func(float64, float64) float64 { return f } }

// chance is twice the spread of the difference of two counts of things that happen independently.
func chance(a, b float64) float64 { return 2 * math.Sqrt(a+b) }

var (
	latencyKind = kind{"ms", milliseconds, Worse, fixed(1), false}
	rateKind    = kind{"/s", func(f float64) string { return number(f) + "/s" }, Better, fixed(1), false}
	badKind     = kind{"", number, Worse, chance, false}
	plainKind   = kind{"", number, NoJudgement, chance, false}
	exactKind   = kind{"", number, Worse, fixed(0), true}
)

// beyond: two numbers differ by more than noise.
func beyond(a, b, floor float64) bool {
	return math.Abs(a-b) > floor && math.Abs(a-b) > Noise*math.Max(math.Abs(a), math.Abs(b))
}

func (k kind) judge(a, b float64) Judgement {
	if a == b || !k.exact && !beyond(a, b, k.floor(a, b)) {
		return Same
	}
	switch {
	case k.more == NoJudgement:
		return NoJudgement
	case b > a:
		return k.more
	case k.more == Worse:
		return Better
	default:
		return Worse
	}
}

// add compares two numbers, of which a negative or nil one is not there.
func (c *Comparison) add(group, name string, k kind, a, b *float64) {
	m := Measure{Group: group, Name: name, Unit: k.unit, A: a, B: b, AText: "–", BText: "–", Judgement: NoJudgement}
	if a != nil {
		m.AText = k.write(*a)
	}
	if b != nil {
		m.BText = k.write(*b)
	}
	if a != nil && b != nil {
		m.Judgement = k.judge(*a, *b)
		m.Ratio = ratio(*a, *b)
	}
	c.Measures = append(c.Measures, m)
}

func ratio(a, b float64) *float64 {
	r := b / a
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return nil
	}
	return &r
}

func present(f float64) *float64 {
	if !known(f) {
		return nil
	}
	return &f
}

// both walks two lists in the order of the first, and then over what only the second one has. Things with the same key meet in turn.
func both[T any](a, b []T, key func(T) string, see func(a, b *T)) {
	left := map[string][]int{}
	for i := range b {
		left[key(b[i])] = append(left[key(b[i])], i)
	}
	met := make([]bool, len(b))
	for i := range a {
		k := key(a[i])
		if len(left[k]) == 0 {
			see(&a[i], nil)
			continue
		}
		j := left[k][0]
		left[k], met[j] = left[k][1:], true
		see(&a[i], &b[j])
	}
	for j := range b {
		if !met[j] {
			see(nil, &b[j])
		}
	}
}

// recovery compares how soon regions noticed and were well again. Not to notice is the best that can happen, never to recover the worst.
func (c *Comparison) recovery(a, b Report) {
	times := kind{"s", seconds, Worse, fixed(max(a.Bucket, b.Bucket)), false}
	both(a.Recovery, b.Recovery, func(r Recovery) string { return r.Region + "\x00" + r.Step }, func(x, y *Recovery) {
		some := x
		if some == nil {
			some = y
		}
		name := some.Region + " after " + some.Step
		c.outcome(name+": noticed after", times, x, y, func(r Recovery) (*float64, string, float64) {
			if r.DetectSeconds == nil && r.RTOSeconds == nil {
				return nil, "not noticed", 0
			}
			return r.DetectSeconds, r.detect(), 0 // how soon it hurt is neither good nor bad
		})
		c.outcome(name+": well again after", times, x, y, func(r Recovery) (*float64, string, float64) {
			switch {
			case r.never():
				return nil, r.rto(), math.Inf(1)
			case r.RTOSeconds == nil:
				return nil, r.rto(), 0
			default:
				return r.RTOSeconds, r.rto(), *r.RTOSeconds
			}
		})
	})
}

// outcome adds a measure whose absence says something. of gives the number, its words, and the place of both among what is good and bad.
func (c *Comparison) outcome(name string, k kind, x, y *Recovery, of func(Recovery) (*float64, string, float64)) {
	m := Measure{Group: "recovery", Name: name, Unit: k.unit, AText: "–", BText: "–", Judgement: NoJudgement}
	var a, b float64
	if x != nil {
		m.A, m.AText, a = of(*x)
	}
	if y != nil {
		m.B, m.BText, b = of(*y)
	}
	if m.A != nil && m.B != nil {
		m.Ratio = ratio(*m.A, *m.B)
	}
	if x != nil && y != nil {
		m.Judgement = Same
		if m.AText != m.BText && a == 0 && b == 0 {
			m.Judgement = NoJudgement
		} else if a != b && (math.IsInf(a-b, 0) || beyond(a, b, k.floor(a, b))) {
			m.Judgement = k.judge(a, b)
			if math.IsInf(b, 1) {
				m.Judgement = Worse
			} else if math.IsInf(a, 1) {
				m.Judgement = Better
			}
		}
	}
	c.Measures = append(c.Measures, m)
}

func (c *Comparison) phases(a, b Report) {
	both(a.Phases, b.Phases, func(p Phase) string { return p.Region + "\x00" + p.Name }, func(x, y *Phase) {
		some := x
		if some == nil {
			some = y
		}
		for _, m := range []struct {
			name string
			kind kind
			of   func(Phase) float64
		}{
			{"answered", rateKind, func(p Phase) float64 { return p.PerSecond }},
			{"failed", badKind, func(p Phase) float64 { return float64(p.Failed) }},
			{"slow", badKind, func(p Phase) float64 { return float64(p.Slow) }},
			{"p50", latencyKind, func(p Phase) float64 { return p.P50 }},
			{"p99", latencyKind, func(p Phase) float64 { return p.P99 }},
			{"p99.9", latencyKind, func(p Phase) float64 { return p.P999 }},
			{"max", latencyKind, func(p Phase) float64 { return p.Max }},
		} {
			var from, to *float64
			if x != nil {
				from = present(m.of(*x))
			}
			if y != nil {
				to = present(m.of(*y))
			}
			c.add("phase", some.Region+" "+some.Name+": "+m.name, m.kind, from, to)
		}
	})
}

func (c *Comparison) totals(a, b Totals) {
	for _, m := range []struct {
		name string
		kind kind
		a, b int
	}{
		{"lost writes (RPO)", exactKind, a.LostWrites, b.LostWrites},
		{"double effects", exactKind, a.DoubleEffects, b.DoubleEffects},
		{"requests", plainKind, a.Requests, b.Requests},
		{"failed requests", badKind, a.FailedRequests, b.FailedRequests},
		{"slow requests", badKind, a.SlowRequests, b.SlowRequests},
		{"commands", plainKind, a.Commands, b.Commands},
		{"acknowledged", plainKind, a.Acknowledged, b.Acknowledged},
		{"declined", plainKind, a.Declined, b.Declined},
		{"unknown in the end", badKind, a.Unknown, b.Unknown},
		{"same answer again", plainKind, a.Replays, b.Replays},
		{"answered elsewhere", plainKind, a.Moved, b.Moved},
		{"only reading", plainKind, a.Reads, b.Reads},
		{"events heard", plainKind, a.Events, b.Events},
		{"events heard again", plainKind, a.EventRepeats, b.EventRepeats},
	} {
		x, y := float64(m.a), float64(m.b)
		c.add("totals", m.name, m.kind, &x, &y)
	}
}

// verdicts lists those that are not the same. To be checked and pass is better than not to be checked, which is better than to fail.
func (c *Comparison) verdicts(a, b Report) {
	rank := map[Status]int{Passed: 2, Skipped: 1, "": 1, Failed: 0}
	both(a.Verdicts, b.Verdicts, func(v Verdict) string { return v.Checker + "\x00" + v.Name }, func(x, y *Verdict) {
		var change Change
		if x != nil {
			change = Change{Name: x.Name, Checker: x.Checker, A: x.Status}
		}
		if y != nil {
			change.Name, change.Checker, change.B = y.Name, y.Checker, y.Status
		}
		if change.A == change.B {
			return
		}
		switch from, to := rank[change.A], rank[change.B]; {
		case to > from:
			change.Judgement = Better
		case to < from:
			change.Judgement = Worse
		default:
			change.Judgement = NoJudgement
		}
		c.Verdicts = append(c.Verdicts, change)
	})
}
