package topology

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Statement is one statement of an overlay or a plan, without a semicolon at its end. Those of the overlay may be run again: they
// do what is still to do, or nothing. ADD SUPER REGION, RENAME COLUMN and the like do not know how to; a plan leaves out what is done.
type Statement struct {
	SQL  string `json:"sql"`
	Why  string `json:"why"`  // one sentence without a full stop, for a plan that a person reads before agreeing to it
	Cost string `json:"cost"` // what it costs and what it locks, one line
}

// What statements cost. CockroachDB changes schemas online: what is locked is the schema, not the rows, unless a line says otherwise.
const (
	costSession  = "nothing: a setting of this session"
	costPrimary  = "voters and leases of every table move to the region in the background; locks out other region and locality changes"
	costRegion   = "new replicas are copied in the background; locks out other region and locality changes, and index changes of tables that are REGIONAL BY ROW"
	costGoal     = "replicas are added or moved in the background, and every commit has its new latency from then on; locks out other region changes"
	costPlace    = "replicas that stand elsewhere are moved in the background; locks out other region changes"
	costColumn   = "backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table"
	costLocality = "rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table"
	costGlobal   = "no rewrite; from then on each write to it waits until every region may read it; locks the schema of the table"
	costMeta     = "metadata only; locks the schema of the table for a moment"
	costDrop     = "rewrites every row of the table without the column; commands go on; locks the schema of the table"
)

// The tables that the overlay moves. All others (those of migrations and locks, say) stay what CockroachDB makes of them in a database
// with a primary region: REGIONAL BY TABLE IN PRIMARY REGION. A test compares these lists with schema/migrations.
var (
	homeTables = []string{ // first key column home: each row lives where its home lives, and so do the events that tell of it
		"account", "journal", "entry", "hold", "payment", "payment_step", "player",
		"relay", "stream", "progress", "delivery", "replay", "search_state", "search_transaction", "search_account",
		"callback", "saga", "saga_step",
		"statement", "statement_line", "recon_run", "recon_result", "recon_resolution", "recon_decision",
	}
	globalTables = []string{"ledger", "asset"} // read by every node, written by hand: a copy everywhere
)

// regionColumn is the name that CockroachDB would choose itself, so that its documentation applies word for word.
const regionColumn = "crdb_region"

// OverlaySQL renders the statements that lay the tables of a database out over the regions, in the order in which they have to run: one
// at a time, each outside a transaction, on a schema that is already migrated. The database needs no overlay to be correct, only to be
// near.
//
// The region of a row is computed from its home by a CASE without an ELSE in a NOT NULL column: a home that the topology does not know
// makes the INSERT fail (SQLSTATE 23502) instead of putting money in some region. Because the column is computed from key columns alone,
// CockroachDB checks uniqueness in one region and finds rows by home in one region. Primary keys stay as the migrations made them.
func (t Topology) OverlaySQL(database string, v Version) []Statement {
	stmts := t.regionStatements(database, v)
	for _, table := range homeTables {
		stmts = append(stmts, unlocked(database, table, v, []Statement{t.addRegionColumn(database, table, regionColumn), regionalByRow(database, table)})...)
	}
	for _, table := range globalTables {
		stmts = append(stmts, unlocked(database, table, v, []Statement{global(database, table)})...)
	}
	return stmts
}

func global(database, table string) Statement {
	return Statement{
		SQL: "ALTER TABLE " + tableName(database, table) + " SET LOCALITY GLOBAL",
		Why: "every region reads " + table + " from a copy of its own; the rare writes to it wait for all regions", Cost: costGlobal,
	}
}

// regionStatements adds the regions one after another: two region changes of one database at a time block or fail each other. The goal
// comes last, because a goal of region needs three regions to be there.
func (t Topology) regionStatements(database string, v Version) []Statement {
	stmts := []Statement{t.setPrimary(database)}
	for _, region := range t.Regions[1:] {
		stmts = append(stmts, addRegion(database, region.Name))
	}
	stmts = append(stmts, t.setGoal(database))
	if t.Placement == PlacementRestricted {
		stmts = append(stmts, setPlacement(database, PlacementRestricted)...)
	}
	if len(t.SuperRegions) > 0 {
		stmts = append(stmts, enableSuperRegions(v)...)
	}
	for _, super := range t.SuperRegions {
		stmts = append(stmts, changeSuperRegion(database, "ADD", super))
	}
	return stmts
}

func alterDatabase(database string) string { return "ALTER DATABASE " + Ident(database) }

func (t Topology) setPrimary(database string) Statement {
	return Statement{
		SQL: alterDatabase(database) + " SET PRIMARY REGION " + Ident(string(t.Primary())),
		Why: "tables without a home live in the primary region, " + string(t.Primary()), Cost: costPrimary,
	}
}

func addRegion(database string, region Region) Statement {
	return Statement{
		SQL: alterDatabase(database) + " ADD REGION IF NOT EXISTS " + Ident(string(region)),
		Why: "the database may keep replicas in " + string(region), Cost: costRegion,
	}
}

func (t Topology) setGoal(database string) Statement {
	goal := Statement{SQL: " SURVIVE ZONE FAILURE", Why: "a quorum stands in one region: commits are near, a lost zone costs nothing", Cost: costGoal}
	if t.Survive == SurviveRegion {
		goal.SQL, goal.Why = " SURVIVE REGION FAILURE", "a quorum spans two regions: a lost region costs nothing, a commit waits for the nearest other one"
	}
	goal.SQL = alterDatabase(database) + goal.SQL
	return goal
}

// setPlacement comes after the goal: only a database that survives the loss of a zone can be restricted.
func setPlacement(database string, p Placement) []Statement {
	word, why := "RESTRICTED", "copies stay in the region of their home, those for reading included"
	if p == PlacementDefault {
		word, why = "DEFAULT", "copies for reading stand in the other regions as well"
	}
	return []Statement{
		{SQL: "SET enable_multiregion_placement_policy = on", Why: "placement is not to be set by accident", Cost: costSession},
		{SQL: alterDatabase(database) + " PLACEMENT " + word, Why: why, Cost: costPlace},
	}
}

// enableSuperRegions is for versions that have super regions in preview.
func enableSuperRegions(v Version) []Statement {
	if !v.before(firstWithSuperRegions) {
		return nil
	}
	return []Statement{{SQL: "SET enable_super_regions = 'on'", Why: "super regions are a preview in " + v.String() + " and have to be allowed", Cost: costSession}}
}

// changeSuperRegion renders ADD or ALTER, which say what a super region consists of.
func changeSuperRegion(database, verb string, s SuperRegion) Statement {
	members := make([]string, len(s.Regions))
	for i, region := range s.Regions {
		members[i] = Ident(string(region))
	}
	return Statement{
		SQL:  alterDatabase(database) + " " + verb + " SUPER REGION " + Ident(s.Name) + " VALUES " + strings.Join(members, ", "),
		Why:  "no copy of a home in " + joined(s.Regions) + " leaves these regions",
		Cost: costPlace,
	}
}

// addRegionColumn renders the column that decides where a row lives. The literals need no cast: a CASE in a column of an enum type takes
// their type from the column, and that form is the documented one in all supported versions. The names are written out, so that the
// current database of the session does not matter.
func (t Topology) addRegionColumn(database, table, column string) Statement {
	var b strings.Builder
	fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s.%s.%s AS (CASE %s",
		tableName(database, table), Ident(column), Ident(database), Ident("public"), Ident("crdb_internal_region"), Ident("home"))
	for _, home := range t.HomeNames() {
		fmt.Fprintf(&b, "\n    WHEN %s THEN %s", Literal(string(home)), Literal(string(t.Homes[home])))
	}
	b.WriteString("\nEND) STORED NOT NULL")
	return Statement{SQL: b.String(), Why: "the home of a row of " + table + " says where it lives; a home that is not listed is refused", Cost: costColumn}
}

// regionalByRow comes after the column exists. Without a column of ours CockroachDB would add one in the same step, and updates would
// fail while that runs (cockroachdb/cockroach#150945).
func regionalByRow(database, table string) Statement {
	return Statement{
		SQL: "ALTER TABLE " + tableName(database, table) + " SET LOCALITY REGIONAL BY ROW AS " + Ident(regionColumn),
		Why: "each row of " + table + " and of its indexes moves to its region", Cost: costLocality,
	}
}

// unlocked puts statements between opening and closing the schema lock that tables have from birth since 26.1. ADD COLUMN would open it
// by itself where the cluster allows that, SET LOCALITY never does. The lock stands in statements of its own: together with another
// change it is refused.
func unlocked(database, table string, v Version, stmts []Statement) []Statement {
	if !v.locksSchemas() {
		return stmts
	}
	all := append([]Statement{lockSchema(database, table, false)}, stmts...)
	return append(all, lockSchema(database, table, true))
}

func lockSchema(database, table string, locked bool) Statement {
	why := table + " is locked against schema changes, and a change of locality does not open the lock by itself"
	if locked {
		why = "a locked " + table + " lets changefeeds skip their checks for schema changes"
	}
	return Statement{SQL: fmt.Sprintf("ALTER TABLE %s SET (schema_locked = %t)", tableName(database, table), locked), Why: why, Cost: costMeta}
}

// WriteSQL writes statements as a script, each below the reason for it and what it costs.
func WriteSQL(w io.Writer, stmts []Statement) error {
	for i, s := range stmts {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(w, "%s-- %s.\n-- Cost: %s.\n%s;\n", gap, s.Why, s.Cost, s.SQL); err != nil {
			return fmt.Errorf("write the overlay: %w", err)
		}
	}
	return nil
}

func tableName(database, table string) string {
	return Ident(database) + "." + Ident("public") + "." + Ident(table)
}

// Ident quotes an identifier. All of them are quoted: region names need it because of their hyphens, and a rule without exceptions is
// easier to check.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal quotes a string; a backslash has no meaning in this form.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// HomeTables names the tables whose rows belong to homes, in the order in which the overlay moves them.
func HomeTables() []string { return slices.Clone(homeTables) }
