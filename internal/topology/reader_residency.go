package topology

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// placement reads the placement and holds it against what else the file says of where copies may stand.
func (r reader) placement(f map[string]ast.Node, survive Survival) Placement {
	n, there := f["placement"]
	if !there {
		return PlacementDefault
	}
	text, _ := yamltree.Text(n)
	switch {
	case text == "default":
		return PlacementDefault
	case Placement(text) != PlacementRestricted:
		r.Complain(n, "placement is %s; write restricted (copies stay in the region of their home) or default", yamltree.Describe(n))
	case survive == SurviveRegion:
		r.Complain(n, "placement: restricted keeps every copy in one region, and survive: region needs copies in three; "+
			"write survive: zone, or super_regions of three regions each")
	case f["super_regions"] != nil:
		r.Complain(n, "placement: restricted is narrower than any of super_regions; keep one of the two")
	}
	return PlacementRestricted
}

// superRegions reads groups of regions that do not overlap.
func (r reader) superRegions(n ast.Node, known map[Region]bool, survive Survival) []SuperRegion {
	if n == nil {
		return nil
	}
	var all []SuperRegion
	nameLine := map[string]int{}
	regionLine := map[Region]int{}
	for _, item := range r.List(n, "super_regions") {
		f, ok := r.Fields(item, "a super region", []string{"name", "regions"}, nil)
		if !ok {
			continue
		}
		super := SuperRegion{Name: r.name(f["name"], "a super region"), Regions: r.members(f["regions"], known, regionLine)}
		if super.Name == "" {
			continue
		}
		if first, twice := nameLine[super.Name]; twice {
			r.Complain(f["name"], "super region %s is already in line %d; name each super region once", super.Name, first)
			continue
		}
		nameLine[super.Name] = yamltree.Place(f["name"]).Line
		if survive == SurviveRegion && len(super.Regions) > 0 && len(super.Regions) < minRegionsToSurviveOne {
			r.Complain(f["regions"], "super region %s has %d regions, and survive: region needs %d in it, because its copies do not leave it; "+
				"add regions, leave the super region out or write survive: zone", super.Name, len(super.Regions), minRegionsToSurviveOne)
		}
		all = append(all, super)
	}
	return all
}

func (r reader) members(n ast.Node, known map[Region]bool, lineOf map[Region]int) []Region {
	var members []Region
	for _, item := range r.List(n, "regions") {
		region := Region(r.name(item, "a region of a super region"))
		switch first, twice := lineOf[region]; {
		case region == "":
			continue
		case len(known) > 0 && !known[region]:
			r.Complain(item, "region %s is not under regions; add it there or choose one of %s", region, names(known))
		case twice:
			r.Complain(item, "region %s is already in a super region in line %d; super regions do not overlap", region, first)
		}
		lineOf[region] = yamltree.Place(item).Line
		members = append(members, region)
	}
	return members
}
