package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// window is the part of the timeline in which a step is judged: from it until its end, or from its end; and no longer than until the next
// step begins or the load is over.
func window(acts []*act, i int, fromEnd bool, loaded time.Duration) sim.Span {
	a := acts[i]
	w := sim.Span{Name: a.Name, From: a.asked, Until: loaded}
	switch {
	case fromEnd:
		w.From = a.undone
	case a.ended:
		w.Until = min(loaded, a.ending)
	}
	for _, other := range acts {
		if other.asked > a.asked && other.asked > w.From && other.asked < w.Until {
			w.Until = other.asked
		}
	}
	return w
}

// recoveries measures what each step meant for each region, and holds it against the limits of the story.
func recoveries(s Story, engine string, h *sim.History, acts []*act) []evidence.Recovery {
	regions := clientRegions(h)
	var all []evidence.Recovery
	for i, a := range acts {
		for _, fromEnd := range []bool{false, true} {
			if fromEnd && !a.ended {
				continue
			}
			w := window(acts, i, fromEnd, h.Loaded)
			for _, region := range regions { // what has no limit is measured all the same
				all = append(all, judge(h.Recovery(region, w.From, w.Until), region, a, fromEnd, s.limit(a.Name, fromEnd, region, engine)))
			}
		}
	}
	return all
}

// limit is the tightest that the story sets for a region after a step, or after its end; nil: none.
func (s Story) limit(step string, fromEnd bool, region, engine string) *time.Duration {
	var tightest *time.Duration
	for _, r := range s.Recovery {
		d, found := r.Within[engine]
		if !found || r.Step != step || r.FromEnd != fromEnd || len(r.Regions) > 0 && !slices.Contains(r.Regions, region) {
			continue
		}
		if tightest == nil || d < *tightest {
			tightest = &d
		}
	}
	return tightest
}

// clientRegions are the regions in which clients are.
func clientRegions(h *sim.History) []string {
	var names []string
	for _, s := range h.Series(max(h.Loaded, time.Second)) {
		names = append(names, s.Region)
	}
	return names
}

// judge says in a sentence what a measure means.
func judge(m sim.Recovery, region string, a *act, fromEnd bool, within *time.Duration) evidence.Recovery {
	r := evidence.Recovery{Region: region, Step: a.Name, Met: true}
	if fromEnd {
		r.Step += " (its end)"
	}
	if within != nil {
		limit := within.Seconds()
		r.LimitSeconds = &limit
	}
	if !m.Noticed {
		r.Text = "nobody noticed"
		return r
	}
	detect := m.Detect.Seconds()
	r.DetectSeconds = &detect
	if !m.Recovered {
		r.Met = within == nil
		r.Text = "not well again before it ended, the next step began, or the load was over"
		return r
	}
	rto := m.RTO.Seconds()
	r.RTOSeconds = &rto
	r.Text = fmt.Sprintf("99 %% of requests succeed again after %.2f s", rto)
	if within != nil {
		r.Met = m.RTO <= *within
		r.Text += fmt.Sprintf(", and may take %.2f s", within.Seconds())
	}
	return r
}

// phases splits the load into what was before the faults, while they lasted, and after them.
func phases(h *sim.History, acts []*act, recovered []evidence.Recovery, slow time.Duration) []evidence.Phase {
	spans := []sim.Span{{Name: evidence.Before, Until: h.Loaded}}
	if len(acts) > 0 {
		first, last := h.Loaded, time.Duration(0)
		for _, a := range acts {
			first = min(first, a.asked)
			last = max(last, a.begun, a.undone)
			for _, r := range recovered {
				if r.RTOSeconds != nil && (r.Step == a.Name) {
					last = max(last, a.asked+time.Duration(*r.RTOSeconds*float64(time.Second)))
				}
			}
		}
		last = min(last, h.Loaded)
		spans = []sim.Span{{Name: evidence.Before, Until: first}, {Name: evidence.During, From: first, Until: last}}
		if last < h.Loaded {
			spans = append(spans, sim.Span{Name: evidence.After, From: last, Until: h.Loaded})
		}
	}
	var all []evidence.Phase
	for _, p := range h.Phases(slow, spans...) {
		all = append(all, evidence.Phase{
			Name: p.Name, Region: p.Region, From: p.From.Seconds(), Until: p.Until.Seconds(), Requests: p.Requests, Failed: p.Failed, Slow: p.Slow,
			PerSecond: p.PerSecond, P50: millis(p.P50), P99: millis(p.P99), P999: millis(p.P999), Max: millis(p.Max),
		})
	}
	return all
}

// millis is a time as reports have it; -1 where nothing was answered.
func millis(d time.Duration) float64 {
	if d == 0 {
		return -1
	}
	return float64(d) / float64(time.Millisecond)
}
