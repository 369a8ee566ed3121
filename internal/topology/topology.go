// Package topology knows where money lives: regions, their zones and nodes, the homes that live in them, and what the deployment
// survives.
//
// It promises that a Topology from Parse or Load is complete and consistent: every home lives in exactly one known region, every pair
// of regions has one round trip, and the survival goal is one that the number of regions allows. From it the package renders the
// locality overlay, the statements that lay the tables of a CockroachDB database out over the regions (OverlaySQL), and applies them
// (Apply). Nothing else in Meridian knows about regions: SQL knows homes only.
//
// It relies on the grammar and the behaviour of CockroachDB 24.3 to 26.2, described in schema/cockroachdb/README.md. The file format
// is described in regions/README.md; the shipped files are in package regions. Look next at parse.go for what is refused and at
// overlay.go for what is rendered.
package topology

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Region is where a node or a replica runs: europe-west1. It is the value of the region tier of a node's --locality.
type Region string

// Zone is a part of a region that fails by itself: europe-west1-b. It is the value of the zone tier of a node's --locality.
type Zone string

// Survival is what the deployment survives without losing money or service.
type Survival string

// The survival goals.
const (
	SurviveZone   Survival = "zone"   // one zone of any region; commits stay inside the region
	SurviveRegion Survival = "region" // one region; every commit waits for the nearest other region
)

// Placement says whether copies of a home's rows may stand outside the region of the home.
type Placement string

// The placements. Where one region may be lost, copies have to stand in several, so that restricted goes with SurviveZone alone.
const (
	PlacementDefault    Placement = ""           // in any region of the topology, or of the home's super region
	PlacementRestricted Placement = "restricted" // in the region of the home alone; global tables are everywhere all the same
)

// SuperRegion is a group of regions that the copies of its homes do not leave: a country, say. Super regions do not overlap.
type SuperRegion struct {
	Name    string   `json:"name"`
	Regions []Region `json:"regions"` // at least one; at least three where one region may be lost
}

// minRegionsToSurviveOne is the number of regions a quorum needs so that one of them can go.
const minRegionsToSurviveOne = 3

// Topology is a deployment: its regions in order, the homes in them, and the distances between them. It comes from Parse or Load;
// treat it as a value that nobody changes. It is safe for concurrent use.
type Topology struct {
	Name      string
	Survive   Survival
	Regions   []RegionSpec // in the order of the file; the first one is the primary region
	Homes     map[id.Home]Region
	Latencies []Latency // one for each pair of regions

	Placement    Placement
	SuperRegions []SuperRegion
}

// RegionSpec is one region of a topology.
type RegionSpec struct {
	Name  Region
	Zones []Zone // at least one
	Nodes int    // database nodes, spread over the zones; at least one for each zone
}

// Latency is the time of one round trip between two regions, the same in both directions.
type Latency struct {
	Between [2]Region
	RTT     time.Duration
}

// ParseRegion reads 1 to 63 of a-z 0-9 -, starting with a letter.
func ParseRegion(s string) (Region, error) {
	if !isName(s) {
		return "", fmt.Errorf("region %q is not %s", clip(s), nameRule)
	}
	return Region(s), nil
}

// Primary returns the region where tables live that belong to no home.
func (t Topology) Primary() Region { return t.Regions[0].Name }

// RegionOf returns the region that a home lives in; ok is false for a home the topology does not know.
func (t Topology) RegionOf(home id.Home) (region Region, ok bool) {
	region, ok = t.Homes[home]
	return region, ok
}

// HomeNames returns the homes in alphabetical order.
func (t Topology) HomeNames() []id.Home { return slices.Sorted(maps.Keys(t.Homes)) }

// HomesIn returns the homes that live in a region, in alphabetical order.
func (t Topology) HomesIn(region Region) []id.Home {
	var homes []id.Home
	for _, home := range t.HomeNames() {
		if t.Homes[home] == region {
			homes = append(homes, home)
		}
	}
	return homes
}

// RTT returns the time of one round trip between two regions: zero inside one region; ok is false where one of them is unknown.
func (t Topology) RTT(a, b Region) (rtt time.Duration, ok bool) {
	if a == b {
		return 0, slices.ContainsFunc(t.Regions, func(r RegionSpec) bool { return r.Name == a })
	}
	for _, l := range t.Latencies {
		if l.Between == [2]Region{a, b} || l.Between == [2]Region{b, a} {
			return l.RTT, true
		}
	}
	return 0, false
}

// SuperRegionOf returns the super region that a region belongs to.
func (t Topology) SuperRegionOf(region Region) (super SuperRegion, ok bool) {
	for _, s := range t.SuperRegions {
		if slices.Contains(s.Regions, region) {
			return s, true
		}
	}
	return SuperRegion{}, false
}

// RegionsFor returns where copies of the rows of a region's homes may stand, in the order of the file.
func (t Topology) RegionsFor(region Region) []Region {
	if t.Placement == PlacementRestricted {
		return []Region{region}
	}
	super, confined := t.SuperRegionOf(region)
	var all []Region
	for _, r := range t.Regions {
		if !confined || slices.Contains(super.Regions, r.Name) {
			all = append(all, r.Name)
		}
	}
	return all
}

// CommitFloor returns the least time that a commit in a region spends between regions: nothing where a quorum stands in one region, the
// round trip to the nearest other region that may hold a copy where one region may be lost.
func (t Topology) CommitFloor(region Region) time.Duration {
	if t.Survive != SurviveRegion {
		return 0
	}
	var nearest time.Duration
	for _, other := range t.RegionsFor(region) {
		rtt, ok := t.RTT(region, other)
		if other == region || !ok {
			continue
		}
		if nearest == 0 || rtt < nearest {
			nearest = rtt
		}
	}
	return nearest
}

const nameRule = "1 to 63 of a-z 0-9 -, starting with a letter"

// isName says whether s is a name for a topology, a region or a zone: ^[a-z][a-z0-9-]{0,62}$.
func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// clip bounds what an error repeats of a file.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
