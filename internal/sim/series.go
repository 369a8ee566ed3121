package sim

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Everything here is a function of the records alone, and looks at every attempt but probes. An attempt counts in the moment in which it
// began, however long it took: what a client went through belongs to the moment in which it asked.

// Totals are the numbers of a run.
type Totals struct {
	Clients        int
	Requests       int // calls to nodes
	FailedRequests int
	SlowRequests   int // answered, and slower than what was given
	Commands       int
	Acknowledged   int // by the load: posted and declined
	Posted         int
	Declined       int
	Unknown        int // without an answer when their clients gave up, whatever Settle heard later
	Settled        int // of them, those that Settle has an answer for
	Replays        int // repeats that got the answer again
	Moved          int // acknowledged commands of which a try had failed
	Reads          int
	Kinds          map[ledger.Kind]int // of acknowledged commands
	Declines       map[errs.Reason]int
	Worst          time.Duration           // the longest that a command of Moved took to its answer
	Latency        *hdrhistogram.Histogram // of acknowledged commands, from the first try to the answer, in microseconds
}

// Totals adds up. An attempt is slow where it was answered and took longer than slow.
func (h *History) Totals(slow time.Duration) Totals {
	const longest = int64(10 * time.Minute / time.Microsecond)
	t := Totals{
		Clients: h.Clients, Commands: len(h.Calls), Replays: h.Replays, Reads: len(h.Reads), Kinds: map[ledger.Kind]int{}, Declines: map[errs.Reason]int{},
		Latency: hdrhistogram.New(1, longest, 3),
	}
	for _, a := range h.Attempts {
		if a.What == Probe {
			continue
		}
		t.Requests++
		if !a.OK() {
			t.FailedRequests++
		} else if a.Took > slow {
			t.SlowRequests++
		}
	}
	for _, c := range h.Calls {
		if c.State != Acknowledged {
			t.Unknown++
			if c.decided() {
				t.Settled++
			}
			continue
		}
		t.Acknowledged++
		t.Kinds[c.Outcome.Kind]++
		if c.Outcome.Decided == ledger.Declined {
			t.Declined++
			t.Declines[c.Outcome.Reason]++
		} else {
			t.Posted++
		}
		took := c.Ended - c.Began
		_ = t.Latency.RecordValue(min(took.Microseconds(), longest)) // within the range
		if c.Failed > 0 {
			t.Moved++
			t.Worst = max(t.Worst, took)
		}
	}
	return t
}

// Series are the attempts of the clients of a region in buckets. Percentiles are of those that were answered; -1 where there is none.
type Series struct {
	Region        string
	OK, Failed    []int
	P50, P99, Max []float64 // milliseconds
}

// Series counts the attempts of each region that has clients in buckets of a length, from the start of the history to the last attempt.
func (h *History) Series(bucket time.Duration) []Series {
	if len(h.Attempts) == 0 || bucket <= 0 {
		return nil
	}
	buckets := int(max(h.Attempts[len(h.Attempts)-1].Began, h.Loaded-1)/bucket) + 1
	var all []Series
	for region, attempts := range h.byRegion() {
		s := Series{Region: h.Regions[region]}
		for b := range buckets {
			d := digest(within(attempts, time.Duration(b)*bucket, time.Duration(b+1)*bucket), 0)
			s.OK, s.Failed = append(s.OK, len(d.took)), append(s.Failed, d.failed)
			s.P50 = append(s.P50, d.milliseconds(0.5))
			s.P99 = append(s.P99, d.milliseconds(0.99))
			s.Max = append(s.Max, d.milliseconds(1))
		}
		all = append(all, s)
	}
	return all
}

// Span is a part of the timeline: From <= t < Until.
type Span struct {
	Name        string
	From, Until time.Duration
}

// Phase sums up the attempts of the clients of a region that began in a span. Times are of those that were answered; 0 where there is none.
type Phase struct {
	Span
	Region                 string
	Requests, Failed, Slow int
	PerSecond              float64 // answered
	P50, P99, P999, Max    time.Duration
}

// Phases sums up spans, for the clients of each region. An attempt is slow where it was answered and took longer than slow.
func (h *History) Phases(slow time.Duration, spans ...Span) []Phase {
	var all []Phase
	for region, attempts := range h.byRegion() {
		for _, span := range spans {
			d := digest(within(attempts, span.From, span.Until), slow)
			p := Phase{
				Span: span, Region: h.Regions[region], Requests: len(d.took) + d.failed, Failed: d.failed, Slow: d.slow,
				P50: d.quantile(0.5), P99: d.quantile(0.99), P999: d.quantile(0.999), Max: d.quantile(1),
			}
			if span.Until > span.From {
				p.PerSecond = float64(len(d.took)) / (span.Until - span.From).Seconds()
			}
			all = append(all, p)
		}
	}
	return all
}

// Recovery is how the clients of a region got over something.
type Recovery struct {
	Noticed   bool          // an attempt failed, or RTO is not 0
	Detect    time.Duration // from the event to the end of the first attempt that failed; 0 where none failed
	RTO       time.Duration // from the event to the end of the last bad window; 0 where there is none
	Recovered bool          // the last window was a good one
}

// What recovery is measured with: windows of four steps, each a step after the one before.
const (
	step   = 250 * time.Millisecond
	window = 4 * step
	// good is the least share of attempts, in hundredths, that succeed in a good window.
	good = 99
)

// Recovery measures how the clients of a region got over what happened at from. Until is where the next thing happens, or the load ends; what
// is asked for beyond the end of the load is cut off.
//
// Detect is from the event to the end of the first failed attempt, of those that were under way at from or began before until.
//
// RTO is from the event to the end of the last bad window. Windows of one second begin at from, every 250 ms, and end at until at the latest.
// A window is bad where fewer than 99 of 100 attempts that began in it succeeded, however late: an attempt that is slow counts as slow and not
// as failed. A window in which none began is bad where the last one before it failed, or where one was under way through the whole of it: all
// clients hang. It goes by the clock of the clients, in steps of 250 ms, and an outage shorter than a window counts as one window or more.
//
// Where the last window is bad, the region has not recovered, and RTO is how long the outage was watched. A part of the timeline shorter than
// a window has no RTO and is not recovered from.
func (h *History) Recovery(region string, from, until time.Duration) Recovery {
	at := slices.Index(h.Regions, region)
	if attempts := h.byRegion(); at >= 0 && at < len(attempts) {
		return recovery(attempts[at], from, min(until, h.Loaded))
	}
	return Recovery{}
}

// recovery looks at attempts in the order of their beginnings.
func recovery(attempts []Attempt, from, until time.Duration) Recovery {
	var r Recovery
	for _, a := range within(attempts, 0, until) {
		if ended := a.Began + a.Took; !a.OK() && ended > from && (!r.Noticed || ended-from < r.Detect) {
			r.Noticed, r.Detect = true, ended-from
		}
	}
	next, busy := 0, time.Duration(0) // the attempts before a window, and how long one of them was under way
	for began := from; began+window <= until; began += step {
		for ; next < len(attempts) && attempts[next].Began < began; next++ {
			busy = max(busy, attempts[next].Began+attempts[next].Took)
		}
		asked, succeeded := 0, 0
		for _, a := range attempts[next:] {
			if a.Began >= began+window {
				break
			}
			asked++
			if a.OK() {
				succeeded++
			}
		}
		bad := 100*succeeded < good*asked
		if asked == 0 {
			bad = busy >= began+window || next > 0 && !attempts[next-1].OK()
		}
		if r.Recovered = !bad; bad {
			r.Noticed, r.RTO = true, began+window-from
		}
	}
	return r
}

// byRegion deals the attempts out to the regions that have clients, which are the first of Regions.
func (h *History) byRegion() [][]Attempt {
	var all [][]Attempt
	for _, a := range h.Attempts {
		for len(all) <= int(a.Region) {
			all = append(all, nil)
		}
		if a.What != Probe {
			all[a.Region] = append(all[a.Region], a)
		}
	}
	return all
}

// within is the part of attempts, in the order of their beginnings, that began in a span.
func within(attempts []Attempt, from, until time.Duration) []Attempt {
	at := func(t time.Duration) int {
		i, _ := slices.BinarySearchFunc(attempts, t, func(a Attempt, t time.Duration) int { return int(a.Began - t) })
		return i
	}
	return attempts[at(from):max(at(from), at(until))]
}

// digested are attempts, counted.
type digested struct {
	took         []time.Duration // of those that were answered, in order
	failed, slow int
}

func digest(attempts []Attempt, slow time.Duration) digested {
	var d digested
	for _, a := range attempts {
		switch {
		case !a.OK():
			d.failed++
			continue
		case a.Took > slow:
			d.slow++
		}
		d.took = append(d.took, a.Took)
	}
	slices.Sort(d.took)
	return d
}

// quantile is the smallest time that a share of the attempts did not exceed, or 0.
func (d digested) quantile(share float64) time.Duration {
	if len(d.took) == 0 {
		return 0
	}
	rank := int(share*float64(len(d.took)) + 0.999999)
	return d.took[min(max(rank, 1), len(d.took))-1]
}

func (d digested) milliseconds(share float64) float64 {
	if len(d.took) == 0 {
		return -1
	}
	return float64(d.quantile(share).Microseconds()) / 1000
}
