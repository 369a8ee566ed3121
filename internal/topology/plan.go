package topology

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Plan is what lies between a database and a topology: the steps in order, or the reasons not to take them.
type Plan struct {
	Topology string      `json:"topology"`
	Database string      `json:"database"`
	Version  string      `json:"version,omitempty"` // of CockroachDB
	Method   string      `json:"method"`            // multi-region or zone-configurations
	Steps    []Statement `json:"steps"`
	Warnings []string    `json:"warnings"` // what the plan cannot promise
	Refused  []string    `json:"refused"`  // why nothing may be run: data would be lost, or residency broken
}

// The methods.
const (
	MultiRegion        = "multi-region"
	ZoneConfigurations = "zone-configurations"
)

// Plan compares a database with the topology. It is pure: the same state gives the same plan, and a plan that was interrupted is taken up
// by making a new one. Steps that widen where the money of a home in use may stand, move it, or drop where it lives are refused.
func (t Topology) Plan(database string, s State) Plan {
	p := Plan{
		Topology: t.Name, Database: database, Version: s.Version.String(), Method: MultiRegion,
		Steps: []Statement{}, Warnings: []string{}, Refused: []string{},
	}
	p.Refused = append(p.Refused, t.refuseCluster(s)...)
	p.Refused = append(p.Refused, t.refuseHomes(database, s)...)
	p.Refused = append(p.Refused, t.refuseMoves(s)...)
	p.Refused = append(p.Refused, t.refuseWider(s)...)
	p.Refused = append(p.Refused, refuseZones(database, s)...)
	p.Steps = append(p.Steps, t.regionSteps(database, s)...)
	for _, table := range homeTables {
		p.Steps = append(p.Steps, s.guarded(database, table, t.homeTableSteps(database, table, s.Tables[table]))...)
	}
	for _, table := range globalTables {
		var steps []Statement
		if s.Tables[table].Locality != "GLOBAL" {
			steps = []Statement{global(database, table)}
		}
		p.Steps = append(p.Steps, s.guarded(database, table, steps)...)
	}
	p.Steps = append(p.Steps, t.dropSteps(database, s)...)
	if len(p.Refused) > 0 {
		p.Steps = []Statement{}
	}
	return p
}

// regionSteps brings the regions of the database to those of the topology, one change at a time; regions that go are left for the end.
func (t Topology) regionSteps(database string, s State) []Statement {
	var steps []Statement
	if s.Primary == "" {
		steps = append(steps, t.setPrimary(database))
	}
	for _, region := range t.Regions {
		if !slices.Contains(s.Regions, region.Name) && (s.Primary != "" || region.Name != t.Primary()) {
			steps = append(steps, addRegion(database, region.Name))
		}
	}
	if s.Primary != "" && s.Primary != t.Primary() {
		if slices.ContainsFunc(s.SuperRegions, func(super SuperRegion) bool { return slices.Contains(super.Regions, s.Primary) }) {
			steps = append(steps, Statement{
				SQL: "SET alter_primary_region_super_region_override = 'on'", Why: "the primary region, " + string(s.Primary) + ", is in a super region", Cost: costSession,
			})
		}
		steps = append(steps, t.setPrimary(database))
	}
	// Placement is lifted before the goal that does not allow it, and set after the goal that does.
	if s.Placement != t.Placement && t.Placement == PlacementDefault {
		steps = append(steps, setPlacement(database, t.Placement)...)
	}
	supers := t.superRegionSteps(database, s)
	if s.Primary != "" && t.Survive == SurviveRegion { // the goal does not take small super regions that are on their way out
		steps, supers = append(steps, supers...), nil
	}
	if s.Survive != t.Survive {
		steps = append(steps, t.setGoal(database))
	}
	if s.Placement != t.Placement && t.Placement == PlacementRestricted {
		steps = append(steps, setPlacement(database, t.Placement)...)
	}
	return append(steps, supers...)
}

// superRegionSteps makes room before it fills it: super regions do not overlap at any time.
func (t Topology) superRegionSteps(database string, s State) []Statement {
	var drop, alter, add []Statement
	present := map[string]SuperRegion{}
	for _, old := range s.SuperRegions {
		present[old.Name] = old
		if !slices.ContainsFunc(t.SuperRegions, func(n SuperRegion) bool { return n.Name == old.Name }) {
			drop = append(drop, Statement{
				SQL: alterDatabase(database) + " DROP SUPER REGION " + Ident(old.Name), Why: "the topology has no super region " + old.Name, Cost: costPlace,
			})
		}
	}
	for _, super := range t.SuperRegions {
		old, there := present[super.Name]
		switch {
		case !there:
			add = append(add, changeSuperRegion(database, "ADD", super))
		case !slices.Equal(slices.Sorted(slices.Values(old.Regions)), slices.Sorted(slices.Values(super.Regions))):
			alter = append(alter, changeSuperRegion(database, "ALTER", super))
		}
	}
	steps := slices.Concat(drop, alter, add)
	if len(steps) == 0 {
		return nil
	}
	return append(enableSuperRegions(s.Version), steps...)
}

// homeTableSteps gives a table its region column and its locality. Another mapping cannot be had by altering the column: a second one is
// filled, takes the name, becomes the locality, and the first goes.
func (t Topology) homeTableSteps(database, table string, now Table) []Statement {
	var steps []Statement
	alter := "ALTER TABLE " + tableName(database, table)
	right := func(column string) bool {
		expression, there := now.Columns[column]
		return there && maps.Equal(mappingOf(expression), t.Homes)
	}
	_, there := now.Columns[regionColumn]
	_, half := now.Columns[newColumn]
	_, left := now.Columns[prevColumn]
	drop := func(column, why string) Statement {
		return Statement{SQL: alter + " DROP COLUMN IF EXISTS " + Ident(column), Why: why, Cost: costDrop}
	}
	replace := there && !right(regionColumn)
	if half && (!replace || !right(newColumn)) {
		steps = append(steps, drop(newColumn, "an earlier change was left half-way, with other homes"))
		half = false
	}
	if left && replace {
		steps = append(steps, drop(prevColumn, "an earlier change was left before its last step"))
		left = false
	}
	if !there {
		steps = append(steps, t.addRegionColumn(database, table, regionColumn))
	}
	if replace {
		if !half {
			steps = append(steps, t.addRegionColumn(database, table, newColumn))
		}
		steps = append(steps, Statement{
			SQL: alter + " RENAME COLUMN " + Ident(regionColumn) + " TO " + Ident(prevColumn) + ", RENAME COLUMN " + Ident(newColumn) + " TO " + Ident(regionColumn),
			Why: "the column with the homes of topology " + t.Name + " takes over", Cost: costMeta,
		})
	}
	if replace || !byRow(now.Locality) {
		steps = append(steps, regionalByRow(database, table))
	}
	if replace || left {
		steps = append(steps, drop(prevColumn, "nothing is placed by the earlier column any more"))
	}
	return steps
}

// byRow says whether a locality is that of the overlay. The column is not named where it has the name that CockroachDB gives.
func byRow(locality string) bool {
	locality = strings.ReplaceAll(locality, `"`, "")
	return locality == "REGIONAL BY ROW" || locality == "REGIONAL BY ROW AS "+regionColumn
}

// guarded opens the schema lock around steps, and closes one that an interrupted run left open.
func (s State) guarded(database, table string, steps []Statement) []Statement {
	switch {
	case len(steps) > 0:
		return unlocked(database, table, s.Version, steps)
	case s.Tables[table].Unlocked:
		return []Statement{lockSchema(database, table, true)}
	default:
		return nil
	}
}

// dropSteps comes last, when no column names the regions any more.
func (t Topology) dropSteps(database string, s State) []Statement {
	var steps []Statement
	for _, region := range t.leaving(s) {
		steps = append(steps, Statement{
			SQL: alterDatabase(database) + " DROP REGION " + Ident(string(region)),
			Why: "the topology has no region " + string(region), Cost: costRegion,
		})
	}
	return steps
}

// leaving are the regions of the database that the topology does not have.
func (t Topology) leaving(s State) []Region {
	var all []Region
	for _, region := range s.Regions {
		if !slices.ContainsFunc(t.Regions, func(r RegionSpec) bool { return r.Name == region }) {
			all = append(all, region)
		}
	}
	return all
}

// Write prints the plan for a person: the refusals, or the statements with their reasons and costs.
func (p Plan) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "-- Topology %s on database %s, by %s", p.Topology, p.Database, p.Method)
	if p.Version != "" {
		fmt.Fprintf(&b, ", CockroachDB %s", p.Version)
	}
	b.WriteString(".\n")
	for _, warning := range p.Warnings {
		fmt.Fprintf(&b, "-- NOT PROMISED: %s.\n", warning)
	}
	for _, refusal := range p.Refused {
		fmt.Fprintf(&b, "-- REFUSED: %s.\n", refusal)
	}
	switch {
	case len(p.Refused) > 0:
		b.WriteString("-- Nothing may be run.\n")
	case len(p.Steps) == 0:
		b.WriteString("-- Nothing to do: the database is laid out as the topology says.\n")
	default:
		fmt.Fprintf(&b, "-- %d statements, one at a time, each outside a transaction.\n\n", len(p.Steps))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return WriteSQL(w, p.Steps)
}
