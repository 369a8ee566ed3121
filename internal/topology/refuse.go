package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
)

// refuseCluster holds the topology against the localities that the nodes were started with.
func (t Topology) refuseCluster(s State) []string {
	var missing []string
	for _, region := range t.Regions {
		if s.Seen && !slices.Contains(s.Cluster, string(region.Name)) {
			missing = append(missing, string(region.Name))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	has := "it has " + strings.Join(s.Cluster, ", ")
	if len(s.Cluster) == 0 {
		has = "it has none"
	}
	return []string{fmt.Sprintf("topology %s needs regions that the cluster lacks: %s (%s); start nodes there with --locality=region=%s,zone=… and try again",
		t.Name, strings.Join(missing, ", "), has, missing[0])}
}

// refuseHomes keeps a database out of the overlay that has ledgers in homes without a region.
func (t Topology) refuseHomes(database string, s State) []string {
	var unknown []id.Home
	for _, home := range s.Homes {
		if _, ok := t.RegionOf(home); !ok {
			unknown = append(unknown, home)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("database %s has ledgers in homes that topology %s does not list: %s; add them under homes", database, t.Name, joined(unknown))}
}

// refuseMoves keeps the rows of a home where they are. Homes without a ledger may move: there is nothing to carry.
func (t Topology) refuseMoves(s State) []string {
	var refused []string
	said := map[string]bool{}
	say := func(text string) {
		if !said[text] {
			said[text] = true
			refused = append(refused, text)
		}
	}
	leaving := t.leaving(s)
	for _, name := range homeTables {
		expression, there := s.Tables[name].Columns[regionColumn]
		if !there {
			continue
		}
		now := mappingOf(expression)
		if len(now) == 0 {
			say(fmt.Sprintf("table %s maps homes to regions otherwise than topology %s: it has %s where the topology has %s (the column is computed as: %s); "+
				"somebody else made that column", name, t.Name, homesText(now), homesText(t.Homes), clip(expression)))
			continue
		}
		for _, home := range s.Homes {
			from, to := now[home], t.Homes[home]
			switch {
			case from == "" || to == "" || from == to:
			case slices.Contains(leaving, from):
				say(fmt.Sprintf("region %s would be dropped, and the money of home %s lives in it (table %s); keep the region while the home has ledgers", from, home, name))
			default:
				say(fmt.Sprintf("home %s would move from %s to %s, and it has ledgers (table %s): their rows would leave their region; "+
					"schema/cockroachdb/README.md says how to move a home by hand where that is lawful", home, from, to, name))
			}
		}
	}
	return refused
}

// refuseWider keeps copies inside the borders that the database has drawn around homes in use.
func (t Topology) refuseWider(s State) []string {
	var refused []string
	now := Topology{Placement: s.Placement, SuperRegions: s.SuperRegions}
	for _, region := range s.Regions {
		now.Regions = append(now.Regions, RegionSpec{Name: region})
	}
	for _, home := range s.Homes {
		region, known := t.RegionOf(home)
		_, confined := now.SuperRegionOf(region)
		if !known || !slices.Contains(s.Regions, region) || !confined && s.Placement != PlacementRestricted {
			continue
		}
		before := now.RegionsFor(region)
		var added []Region
		for _, r := range t.RegionsFor(region) {
			if !slices.Contains(before, r) {
				added = append(added, r)
			}
		}
		if len(added) > 0 {
			refused = append(refused, fmt.Sprintf("copies of home %s, which has ledgers, are confined to %s and could then stand in %s as well; "+
				"where that is lawful, change the super region or the placement by hand first", home, joined(before), joined(added)))
		}
	}
	return refused
}

// refuseZones finds zone configurations that multi-region SQL would trip over: it owns those of a database with regions.
func refuseZones(database string, s State) []string {
	if s.Primary != "" {
		return nil
	}
	var refused []string
	for _, table := range slices.Sorted(maps.Keys(s.Zones)) {
		what, statement := "database "+database, alterDatabase(database)
		if table != "" {
			what, statement = "table "+table, "ALTER TABLE "+tableName(database, table)
		}
		refused = append(refused, fmt.Sprintf("%s has a zone configuration of its own, which multi-region SQL does not take over; "+
			"after a look at it, run %s CONFIGURE ZONE DISCARD", what, statement))
	}
	return refused
}
