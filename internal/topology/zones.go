package topology

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// costZone is what a zone configuration costs.
const costZone = "replicas and leases move in the background; locks nothing"

// The most replicas that a plan by zone configurations asks for, and the least.
const (
	mostReplicas  = 5
	leastReplicas = 3
)

// PlanZones places tables by zone configurations, where multi-region SQL is not licensed. Without PARTITION BY, which is not licensed there
// either, a zone configuration covers a whole table: all homes share one placement. Where all homes live in one region that keeps what the
// topology promises; elsewhere the plan warns of what is not promised, and refuses where residency would be broken. It is pure, like Plan.
func (t Topology) PlanZones(database string, s State) Plan {
	p := Plan{Topology: t.Name, Database: database, Method: ZoneConfigurations, Steps: []Statement{}, Warnings: []string{}, Refused: []string{}}
	p.Refused = append(p.Refused, t.refuseCluster(s)...)
	p.Refused = append(p.Refused, t.refuseHomes(database, s)...)
	p.Refused = append(p.Refused, t.refuseShared()...)
	if s.Primary != "" {
		p.Refused = append(p.Refused, fmt.Sprintf("database %s has regions (primary %s): multi-region SQL owns its zone configurations; plan without them", database, s.Primary))
	}
	p.Warnings = append(p.Warnings, t.warnShared()...)
	if len(p.Refused) > 0 {
		return p
	}
	want := t.zone()
	done := func(table string) bool {
		present := plain(s.Zones[table]) + ","
		return !slices.ContainsFunc(want, func(setting string) bool { return !strings.Contains(present, plain(setting)+",") })
	}
	for _, table := range slices.Concat(homeTables, globalTables) {
		if done(table) { // other settings, such as gc.ttlseconds, are the operator's
			continue
		}
		p.Steps = append(p.Steps, Statement{
			SQL: "ALTER TABLE " + tableName(database, table) + " CONFIGURE ZONE USING " + strings.Join(want, ", "),
			Why: "copies of " + table + " stand in " + joined(t.zoneRegions()) + ", and " + string(t.zoneRegions()[0]) + " serves it", Cost: costZone,
		})
	}
	return p
}

// plain forgets how a statement is quoted and spaced.
func plain(sql string) string {
	return strings.NewReplacer(`"`, "", " ", "", "\n", "", "\t", "").Replace(sql)
}

// zoneRegions are where copies of every table stand: the one region where all homes live, or all regions of the topology that may serve all
// of them, the primary first. Nodes decide how many fit.
func (t Topology) zoneRegions() []Region {
	if only, ok := t.onlyRegion(); ok && t.Survive == SurviveZone {
		return []Region{only}
	}
	first := t.Primary()
	if only, ok := t.onlyRegion(); ok {
		first = only
	}
	all := []Region{first}
	for _, region := range t.RegionsFor(first) {
		if region != first && len(all) < t.zoneReplicas() {
			all = append(all, region)
		}
	}
	return all
}

// onlyRegion is the region where all homes live, if there is one.
func (t Topology) onlyRegion() (Region, bool) {
	regions := slices.Compact(slices.Sorted(maps.Values(t.Homes)))
	return regions[0], len(regions) == 1
}

func (t Topology) zoneReplicas() int {
	nodes := 0
	for _, region := range t.Regions {
		nodes += region.Nodes
	}
	if nodes >= mostReplicas && t.Survive == SurviveRegion {
		return mostReplicas
	}
	return leastReplicas
}

// zone renders the settings. The numbers add up to all replicas, so that none is free to stand anywhere else; regions are in alphabetical
// order, as CockroachDB prints them.
func (t Topology) zone() []string {
	regions, replicas := t.zoneRegions(), t.zoneReplicas()
	each := make([]string, len(regions))
	for i, region := range regions {
		count := replicas / len(regions)
		if i < replicas%len(regions) {
			count++
		}
		each[i] = fmt.Sprintf(`"+region=%s": %d`, region, count)
	}
	slices.Sort(each)
	return []string{
		fmt.Sprintf("num_replicas = %d", replicas), fmt.Sprintf("constraints = '{%s}'", strings.Join(each, ", ")),
		fmt.Sprintf("lease_preferences = '[[+region=%s]]'", regions[0]),
	}
}

// refuseShared finds homes whose copies may not stand where those of others may: a table has one placement for all of them.
func (t Topology) refuseShared() []string {
	var refused []string
	shared := t.zoneRegions()
	for _, home := range t.HomeNames() {
		allowed := t.RegionsFor(t.Homes[home])
		var outside []Region
		for _, region := range shared {
			if !slices.Contains(allowed, region) {
				outside = append(outside, region)
			}
		}
		if len(outside) > 0 {
			refused = append(refused, fmt.Sprintf("topology %s confines home %s to %s, and a table can be placed only as a whole, here in %s as well: "+
				"give the homes clusters of their own, or license multi-region SQL", t.Name, home, joined(allowed), joined(outside)))
		}
	}
	return refused
}

// warnShared says what the placement of whole tables cannot promise.
func (t Topology) warnShared() []string {
	var warnings []string
	shared := t.zoneRegions()
	for _, home := range t.HomeNames() {
		region := t.Homes[home]
		if !slices.Contains(shared, region) {
			warnings = append(warnings, fmt.Sprintf("home %s has no copy in its own region, %s: the copies stand in %s", home, region, joined(shared)))
		}
		if region != shared[0] {
			warnings = append(warnings, fmt.Sprintf("home %s is served from %s and not from %s: its reads and commits cross regions", home, shared[0], region))
		}
	}
	if _, ok := t.onlyRegion(); !ok {
		warnings = append(warnings, "rows of one home do not stand apart from those of another: no home can be kept out of a region, or moved, by itself",
			"a home that the topology does not list is not refused by the database")
	}
	if t.Survive == SurviveRegion && len(shared) < minRegionsToSurviveOne {
		warnings = append(warnings, "a lost region may stop everything: the copies stand in "+joined(shared)+" alone")
	}
	return append(warnings, "tables without a home (migrations, locks, subscriptions) stay where the cluster puts them, and no table has a fast copy in every region")
}

// CanBePlaced asks a server whether it is CockroachDB at all: placement is not something that other databases have.
func CanBePlaced(ctx context.Context, conn Execer) (version string, err error) {
	q := asker{ctx: ctx, conn: conn}
	version = strings.Join(flat(q.ask("ask the database for its version", `SELECT version()`)), "")
	if q.err == nil && !strings.HasPrefix(version, "CockroachDB ") {
		return "", ErrNotPlaceable
	}
	return version, q.err
}
