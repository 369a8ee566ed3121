package evidence

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Names of the two checkers whose result is the headline of a report.
const (
	LostWrite    = "lost_write"    // finds acknowledged commands that are not in the books: the RPO
	DoubleEffect = "double_effect" // finds commands with more than one effect
)

// mark is a status in one character, beside which its word always stands.
func (s Status) mark() string {
	switch s {
	case Passed:
		return "✓"
	case Failed:
		return "✗"
	default:
		return "–"
	}
}

func (r Report) status() Status {
	if r.Passed {
		return Passed
	}
	return Failed
}

// name is what the drill is called by people.
func (r Report) name() string {
	if r.Title != "" {
		return r.Title
	}
	return r.Drill
}

// tally counts verdicts by how they came out.
func (r Report) tally() (passed, failed, skipped int) {
	for _, v := range r.Verdicts {
		switch v.Status {
		case Passed:
			passed++
		case Failed:
			failed++
		default:
			skipped++
		}
	}
	return passed, failed, skipped
}

// checked is what a checker looked at; ok is false if nobody looked, in which case a number of 0 problems says nothing.
func (r Report) checked(checker string) (looked int, ok bool) {
	for _, v := range r.Verdicts {
		if v.Checker == checker && v.Status != Skipped {
			looked, ok = looked+v.Looked, true
		}
	}
	return looked, ok
}

// span is the length of the load in seconds, as far as it was recorded.
func (r Report) span() float64 {
	end := 0.0
	for _, s := range r.Series {
		end = max(end, float64(len(s.OK))*r.Bucket)
	}
	for _, p := range r.Phases {
		end = max(end, p.Until)
	}
	return end
}

// slowest is the recovery to speak of first: one that never came, else the longest. nil: nobody was hurt.
func (r Report) slowest() *Recovery {
	var worst *Recovery
	for i := range r.Recovery {
		c := &r.Recovery[i]
		switch {
		case c.never():
			return c
		case c.RTOSeconds != nil && (worst == nil || *c.RTOSeconds > *worst.RTOSeconds):
			worst = c
		}
	}
	return worst
}

// Headline is the report in one line: mark, name and verdict.
func (r Report) Headline() string {
	return fmt.Sprintf("%s %s: %s", r.status().mark(), r.name(), r.status())
}

// Summary is the report in a few plain sentences with the numbers that are asked for first: RPO, duplicates, RTO and its limit, failed
// requests, verdicts. A number that nobody checked is not claimed.
func (r Report) Summary() string {
	var b strings.Builder
	t := r.Totals
	steps, skipped := 0, 0
	for _, s := range r.Steps {
		if s.Skipped == "" {
			steps++
		} else {
			skipped++
		}
	}
	fmt.Fprintf(&b, "%s sent %s in %s while %s on a running system", counted(t.Clients, "client"), counted(t.Requests, "request"), seconds(r.span()), acted(steps))
	if skipped > 0 {
		fmt.Fprintf(&b, " (%d more skipped)", skipped)
	}
	b.WriteString(". " + r.rpo() + " " + r.duplicates() + " " + r.rto())
	fmt.Fprintf(&b, " %s of %s failed (%s).", grouped(t.FailedRequests), counted(t.Requests, "request"), share(t.FailedRequests, t.Requests))
	p, f, s := r.tally()
	fmt.Fprintf(&b, " Of %s, %d passed, %d failed and %d %s skipped.", counted(p+f+s, "check"), p, f, s, wasWere(s))
	return b.String()
}

func acted(steps int) string {
	switch steps {
	case 0:
		return "nothing was done"
	case 1:
		return "one thing was done"
	default:
		return fmt.Sprintf("%d things were done", steps)
	}
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func (r Report) rpo() string {
	looked, ok := r.checked(LostWrite)
	switch {
	case !ok && r.Totals.LostWrites == 0:
		return "RPO: not checked."
	case r.Totals.LostWrites == 0 && r.Totals.RestoredLoss > 0:
		return fmt.Sprintf("RPO: %s gone with what was restored, all of them younger than the backup.", counted(r.Totals.RestoredLoss, "acknowledged write"))
	case r.Totals.LostWrites == 0:
		return fmt.Sprintf("RPO: 0, none of %s acknowledged writes is missing.", grouped(looked))
	default:
		return fmt.Sprintf("RPO BROKEN: %s missing.", counted(r.Totals.LostWrites, "acknowledged write"))
	}
}

func (r Report) duplicates() string {
	looked, ok := r.checked(DoubleEffect)
	switch {
	case !ok && r.Totals.DoubleEffects == 0:
		return "Duplicates: not checked."
	case r.Totals.DoubleEffects == 0:
		return fmt.Sprintf("Duplicates: 0, nothing happened twice on any of %s accounts.", grouped(looked))
	default:
		return fmt.Sprintf("DUPLICATES: %s took effect more than once.", counted(r.Totals.DoubleEffects, "command"))
	}
}

func (r Report) rto() string {
	c := r.slowest()
	switch {
	case len(r.Recovery) == 0:
		return "RTO: not measured."
	case c == nil:
		return "RTO: 0, no region of clients noticed."
	case c.never():
		return fmt.Sprintf("RTO BROKEN: %s was hurt by “%s” and did not get well again%s.", c.Region, c.Step, c.limitWords(" within the limit of "))
	case !c.Met:
		return fmt.Sprintf("RTO BROKEN: %s was well again %s after “%s”%s.", c.Region, seconds(*c.RTOSeconds), c.Step, c.limitWords(", above the limit of "))
	default:
		return fmt.Sprintf("RTO: the slowest region, %s, was well again %s after “%s”%s.", c.Region, seconds(*c.RTOSeconds), c.Step, c.limitWords("; the limit is "))
	}
}

func (c Recovery) limitWords(before string) string {
	if c.LimitSeconds == nil {
		return ""
	}
	return before + seconds(*c.LimitSeconds)
}

// words of the columns of a recovery.
func (c Recovery) detect() string {
	if c.DetectSeconds == nil && c.RTOSeconds == nil {
		return "not noticed"
	}
	return optional(c.DetectSeconds)
}

func (c Recovery) rto() string {
	switch {
	case c.never():
		return "never"
	case c.RTOSeconds == nil:
		return "not noticed"
	default:
		return seconds(*c.RTOSeconds)
	}
}

func (c Recovery) limit() string { return optional(c.LimitSeconds) }

// status of a recovery: skipped means that no limit was set.
func (c Recovery) status() Status {
	switch {
	case !c.Met:
		return Failed
	case c.LimitSeconds == nil:
		return Skipped
	default:
		return Passed
	}
}

func (c Recovery) met() string {
	switch c.status() {
	case Failed:
		return "not met"
	case Passed:
		return "met"
	default:
		return "no limit"
	}
}

func optional(s *float64) string {
	if s == nil {
		return "–"
	}
	return seconds(*s)
}

// seconds writes a time in seconds for people.
func seconds(s float64) string {
	switch {
	case math.Abs(s) < 10:
		return trimmed(s, 2) + " s"
	case math.Abs(s) < 1000:
		return trimmed(s, 1) + " s"
	default:
		return number(s) + " s"
	}
}

// milliseconds writes a latency for people; "–" if no call ended.
func milliseconds(ms float64) string {
	switch {
	case !known(ms):
		return "–"
	case ms < 10:
		return trimmed(ms, 2) + " ms"
	case ms < 100:
		return trimmed(ms, 1) + " ms"
	case ms < 1000:
		return number(ms) + " ms"
	default:
		return seconds(ms / 1000)
	}
}

// number writes a number for people: whole and with separators if it is large.
func number(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "–"
	case math.Abs(f) >= 100:
		return digits(strconv.FormatFloat(f, 'f', 0, 64))
	case math.Abs(f) >= 10:
		return trimmed(f, 1)
	default:
		return trimmed(f, 2)
	}
}

// trimmed writes a number with at most so many decimals.
func trimmed(f float64, decimals int) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	s := strconv.FormatFloat(f, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// share is a part in percent.
func share(part, whole int) string {
	switch {
	case whole <= 0 || part <= 0:
		return "0 %"
	case part == whole:
		return "100 %"
	}
	percent := 100 * float64(part) / float64(whole)
	if percent < 0.01 {
		return "< 0.01 %"
	}
	return trimmed(min(percent, 99.99), 2) + " %"
}

// counted writes "1 request" and "2,000 requests".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// grouped writes a number with separators for people.
func grouped(n int) string { return digits(strconv.Itoa(n)) }

func digits(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// bytesOf writes an amount of memory.
func bytesOf(n int64) string {
	switch {
	case n <= 0:
		return "–"
	case n < 1<<30:
		return trimmed(float64(n)/(1<<20), 0) + " MiB"
	default:
		return trimmed(float64(n)/(1<<30), 1) + " GiB"
	}
}

// shortened cuts a text to so many characters.
func shortened(s string, length int) string {
	if utf8.RuneCountInString(s) <= length {
		return s
	}
	return string([]rune(s)[:max(length-1, 0)]) + "…"
}

// rounded keeps as many digits as anybody reads.
func rounded(f float64) float64 { return math.Round(f*1000) / 1000 }
