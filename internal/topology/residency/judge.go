package residency

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// judge weighs every span for every home that it can hold rows of.
func (report *Report) judge(t topology.Topology, ledgers map[id.Home]int64, enum []topology.Region, spans []span) {
	homes := map[id.Home]topology.Region{}
	found := map[id.Home]*Home{}
	add := func(home id.Home, region topology.Region, allowed []topology.Region) {
		homes[home] = region
		found[home] = &Home{
			Home: home, Region: region, Allowed: append([]topology.Region{}, allowed...), Ledgers: ledgers[home], Verdict: Proven, Problems: []string{},
			Copies: map[topology.Region]int{}, Leases: map[topology.Region]int{},
		}
	}
	for home, region := range t.Homes {
		add(home, region, t.RegionsFor(region))
	}
	for home := range ledgers {
		if _, known := t.RegionOf(home); !known {
			add(home, "", nil)
			found[home].blame(Broken, "the topology does not know this home")
		}
	}
	byIndex := map[string][]span{}
	seen := map[int64]bool{}
	for _, s := range spans {
		byIndex[s.table+"@"+s.index] = append(byIndex[s.table+"@"+s.index], s)
		seen[s.id] = true
	}
	report.Ranges = len(seen)
	counted := map[string]bool{}
	for _, name := range sortedKeys(byIndex) {
		regionOf := partitions(byIndex[name], enum)
		for _, s := range byIndex[name] {
			in := s.homesIn(homes, regionOf)
			for _, home := range in {
				key := fmt.Sprintf("%s/%d", home, s.id) // a small table shares its range with its indexes
				found[home].weigh(t, s, len(in) > 1, !counted[key])
				counted[key] = true
			}
		}
	}
	report.Verdict = Proven
	for _, home := range sortedKeys(found) {
		h := found[home]
		if h.Ranges == 0 {
			h.blame(Broken, "no range was found that could hold its rows: what cannot be seen is not proven")
		}
		report.Verdict = worse(report.Verdict, h.Verdict)
		report.Homes = append(report.Homes, *h)
	}
}

// weigh holds one range against what the topology says of the home.
func (h *Home) weigh(t topology.Topology, s span, shared, first bool) {
	if first {
		h.Ranges++
		if shared {
			h.Shared++
		}
		for _, locality := range s.copies {
			h.Copies[region(locality)]++
		}
		h.Leases[region(s.lease)]++
	}
	where := fmt.Sprintf("range %d of %s@%s", s.id, s.table, s.index)
	for _, locality := range s.copies {
		if !slices.Contains(h.Allowed, region(locality)) {
			h.blame(Broken, fmt.Sprintf("a copy stands in %s, where it may not (%s)", named(region(locality)), where))
		}
	}
	if got := region(s.lease); got != h.Region {
		h.blame(Misplaced, fmt.Sprintf("served from %s instead of %s (%s)", named(got), h.Region, where))
	}
	tier := "zone"
	if t.Survive == topology.SurviveRegion {
		tier = "region"
	}
	if most, of := majority(s.voters, tier); 2*most >= of {
		h.blame(Misplaced, fmt.Sprintf("%d of %d votes stand in one %s, so that losing it stops the range (%s)", most, of, tier, where))
	}
}

// blame notes a problem; of each kind, told by the words before the bracket, the first is kept.
func (h *Home) blame(v Verdict, problem string) {
	h.Verdict = worse(h.Verdict, v)
	kind, _, _ := strings.Cut(problem, " (range")
	if !slices.ContainsFunc(h.Problems, func(p string) bool { return strings.HasPrefix(p, kind) }) {
		h.Problems = append(h.Problems, problem)
	}
}

// majority counts the votes of the strongest value of a tier, and all votes.
func majority(localities []string, tier string) (most, of int) {
	count := map[string]int{}
	for _, locality := range localities {
		key := tierOf(locality, tier)
		count[key]++
		most = max(most, count[key])
	}
	return most, len(localities)
}

func region(locality string) topology.Region { return topology.Region(tierOf(locality, "region")) }

// tierOf reads region=a,zone=b. A node without the tier is nowhere, which is no region of any topology.
func tierOf(locality, tier string) string {
	for part := range strings.SplitSeq(locality, ",") {
		if value, found := strings.CutPrefix(part, tier+"="); found {
			return value
		}
	}
	return ""
}

func named(r topology.Region) string {
	if r == "" {
		return "a node without a region"
	}
	return string(r)
}

func worse(a, b Verdict) Verdict {
	order := []Verdict{Proven, Misplaced, Broken}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
