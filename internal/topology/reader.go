package topology

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

const (
	maxNodes = 1000
	maxRTT   = time.Minute
)

// reader is what turns the tree of one file into a topology.
type reader struct{ *yamltree.Reader }

// kind is what a topology file is in sentences about it.
var kind = yamltree.Kind{Noun: "topology", Fields: "name, survive, regions, homes and latencies"}

// document reads the whole file. Each part is read as far as it can be; what depends on a broken part is not complained about twice.
func (r reader) document(root ast.Node) Topology {
	if root == nil {
		return Topology{}
	}
	f, ok := r.Fields(root, "a topology", []string{"name", "survive", "regions", "homes"}, []string{"latencies", "placement", "super_regions"})
	if !ok {
		return Topology{}
	}
	t := Topology{Name: r.name(f["name"], "the topology"), Survive: r.survival(f["survive"])}
	before := r.Problems()
	t.Regions = r.regions(f["regions"])
	known := map[Region]bool{}
	if r.Problems() == before { // otherwise nobody knows which regions were meant, and known stays empty: unknown regions pass
		for _, region := range t.Regions {
			known[region.Name] = true
		}
	}
	t.Homes = r.homes(f["homes"], known)
	t.Latencies = r.latencies(f["latencies"], f["regions"], known)
	t.Placement = r.placement(f, t.Survive)
	t.SuperRegions = r.superRegions(f["super_regions"], known, t.Survive)
	if t.Survive == SurviveRegion && len(known) > 0 && len(known) < minRegionsToSurviveOne {
		r.Complain(f["survive"], "survive: region needs at least %d regions, because a quorum must outlive one of them, and the file has %d; "+
			"add regions or write survive: zone", minRegionsToSurviveOne, len(known))
	}
	return t
}

func (r reader) regions(n ast.Node) []RegionSpec {
	items := r.List(n, "regions")
	regions := make([]RegionSpec, 0, len(items))
	lineOf := map[Region]int{}
	zoneLine := map[Zone]int{}
	for _, item := range items {
		f, ok := r.Fields(item, "a region", []string{"name", "zones", "nodes"}, nil)
		if !ok {
			continue
		}
		region := RegionSpec{Name: Region(r.name(f["name"], "a region")), Zones: r.zones(f["zones"], zoneLine), Nodes: r.nodes(f["nodes"])}
		if region.Name == "" {
			continue
		}
		if first, twice := lineOf[region.Name]; twice {
			r.Complain(f["name"], "region %s is already in line %d; name each region once", region.Name, first)
			continue
		}
		if region.Nodes > 0 && region.Nodes < len(region.Zones) {
			r.Complain(f["nodes"], "region %s has %d zones and nodes: %d; write at least one node for each zone", region.Name, len(region.Zones), region.Nodes)
		}
		lineOf[region.Name] = yamltree.Place(f["name"]).Line
		regions = append(regions, region)
	}
	return regions
}

func (r reader) zones(n ast.Node, lineOf map[Zone]int) []Zone {
	var zones []Zone
	for _, item := range r.List(n, "zones") {
		zone := Zone(r.name(item, "a zone"))
		if zone == "" {
			continue
		}
		if first, twice := lineOf[zone]; twice {
			r.Complain(item, "zone %s is already in line %d; a zone belongs to one region and is named once", zone, first)
			continue
		}
		lineOf[zone] = yamltree.Place(item).Line
		zones = append(zones, zone)
	}
	return zones
}

func (r reader) nodes(n ast.Node) int {
	digits, ok := yamltree.Number(n)
	nodes, err := strconv.Atoi(digits)
	if !ok || err != nil || nodes < 1 || nodes > maxNodes {
		r.Complain(n, "nodes is %s; write the number of database nodes of the region, 1 to %d", yamltree.Describe(n), maxNodes)
		return 0
	}
	return nodes
}

func (r reader) survival(n ast.Node) Survival {
	goal, ok := yamltree.Text(n)
	if s := Survival(goal); ok && (s == SurviveZone || s == SurviveRegion) {
		return s
	}
	r.Complain(n, "survive is %s; write zone (any one zone may be lost) or region (any one region may be lost)", yamltree.Describe(n))
	return ""
}

func (r reader) homes(n ast.Node, known map[Region]bool) map[id.Home]Region {
	pairs, ok := yamltree.Pairs(n)
	if !ok || len(pairs) == 0 {
		r.Complain(n, "homes is %s; write at least one line home: region", yamltree.Describe(n))
		return nil
	}
	homes := make(map[id.Home]Region, len(pairs))
	lineOf := map[id.Home]int{}
	for _, pair := range pairs {
		key, _ := yamltree.Text(pair.Key)
		home, err := id.ParseHome(key)
		if err != nil {
			r.Complain(pair.Key, "a home is %s; write 1 to 32 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)", yamltree.Describe(pair.Key))
			continue
		}
		if first, twice := lineOf[home]; twice {
			r.Complain(pair.Key, "home %s is already in line %d; a home lives in one region", home, first)
			continue
		}
		lineOf[home] = yamltree.Place(pair.Key).Line
		region := Region(r.name(pair.Value, "the region of home "+key))
		if region != "" && len(known) > 0 && !known[region] {
			r.Complain(pair.Value, "home %s lives in region %s, which is not under regions; add that region or choose one of %s", home, region, names(known))
			continue
		}
		homes[home] = region
	}
	return homes
}

// latencies reads the matrix: each pair of regions once, in either order.
func (r reader) latencies(n, regions ast.Node, known map[Region]bool) []Latency {
	var all []Latency
	lineOf := map[[2]Region]int{}
	if n != nil {
		for _, item := range r.List(n, "latencies") {
			if l, ok := r.latency(item, known, lineOf); ok {
				all = append(all, l)
			}
		}
	}
	if r.Problems() > 0 {
		return all // a pair that is missing because its line is broken needs no second complaint
	}
	ordered := names(known)
	for i, a := range ordered {
		for _, b := range ordered[i+1:] {
			if _, ok := lineOf[pairOf(a, b)]; ok {
				continue
			}
			at := n
			if at == nil {
				at = regions
			}
			r.Complain(at, "no latency between %s and %s; add - {between: [%s, %s], rtt_ms: …} under latencies", a, b, a, b)
		}
	}
	return all
}

func (r reader) latency(item ast.Node, known map[Region]bool, lineOf map[[2]Region]int) (Latency, bool) {
	f, ok := r.Fields(item, "a latency", []string{"between", "rtt_ms"}, nil)
	if !ok {
		return Latency{}, false
	}
	ends := r.List(f["between"], "between")
	rtt, ok := r.rtt(f["rtt_ms"])
	if len(ends) != 2 {
		r.Complain(f["between"], "between names %d regions; write two: between: [a, b]", len(ends))
		return Latency{}, false
	}
	l := Latency{RTT: rtt}
	for i, end := range ends {
		l.Between[i] = Region(r.name(end, "a region under between"))
		if l.Between[i] != "" && len(known) > 0 && !known[l.Between[i]] {
			r.Complain(end, "region %s is not under regions; add it there or choose one of %s", l.Between[i], names(known))
			ok = false
		}
	}
	a, b := l.Between[0], l.Between[1]
	if a == "" || b == "" {
		return Latency{}, false
	}
	if a == b {
		r.Complain(f["between"], "the latency is between %s and itself; name two different regions", a)
		return Latency{}, false
	}
	if first, twice := lineOf[pairOf(a, b)]; twice {
		r.Complain(f["between"], "the latency between %s and %s is already in line %d; write each pair once, in either order", a, b, first)
		return Latency{}, false
	}
	lineOf[pairOf(a, b)] = yamltree.Place(f["between"]).Line
	return l, ok
}

// rtt reads milliseconds with up to three decimals.
func (r reader) rtt(n ast.Node) (time.Duration, bool) {
	digits, ok := yamltree.Number(n)
	ms, err := strconv.ParseFloat(digits, 64)
	us := math.Round(ms * 1000)
	if !ok || err != nil || !(us >= 1 && us <= float64(maxRTT.Microseconds())) || math.Abs(ms*1000-us) > 1e-6 {
		r.Complain(n, "rtt_ms is %s; write the round trip in milliseconds, more than 0, at most %d, with up to three decimals", yamltree.Describe(n), maxRTT.Milliseconds())
		return 0, false
	}
	return time.Duration(us) * time.Microsecond, true
}

func (r reader) name(n ast.Node, what string) string {
	s, ok := yamltree.Text(n)
	if !ok || !isName(s) {
		r.Complain(n, "the name of %s is %s; write %s (words such as true and null in quotes)", what, yamltree.Describe(n), nameRule)
		return ""
	}
	return s
}

func pairOf(a, b Region) [2]Region { return [2]Region{min(a, b), max(a, b)} }

type regionNames []Region

func names(known map[Region]bool) regionNames {
	all := make(regionNames, 0, len(known))
	for region := range known {
		all = append(all, region)
	}
	slices.Sort(all)
	return all
}

// String writes the names for a sentence: a, b, c.
func (n regionNames) String() string {
	all := make([]string, len(n))
	for i, region := range n {
		all[i] = string(region)
	}
	return strings.Join(all, ", ")
}
