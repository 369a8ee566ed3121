package topology

import (
	"fmt"
	"io"
	"strings"
)

// Statement is one statement of the overlay, without a semicolon at its end. It may be run again after it succeeded or failed: it does
// what is still to do, or nothing.
type Statement struct {
	SQL string
	Why string // one sentence without a full stop, for a plan that a person reads before agreeing to it
}

// The tables that the overlay moves. All others (those of migrations and locks, say) stay what CockroachDB makes of them in a database
// with a primary region: REGIONAL BY TABLE IN PRIMARY REGION. A test compares these lists with schema/migrations.
var (
	homeTables = []string{ // first key column home: each row lives where its home lives, and so do the events that tell of it
		"account", "journal", "entry", "hold",
		"relay", "stream", "progress", "delivery", "replay", "search_state", "search_transaction", "search_account",
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
	stmts := t.regionStatements(database)
	for _, table := range homeTables {
		stmts = append(stmts, unlocked(database, table, v, []Statement{t.addRegionColumn(database, table), regionalByRow(database, table)})...)
	}
	for _, table := range globalTables {
		stmts = append(stmts, unlocked(database, table, v, []Statement{{
			SQL: "ALTER TABLE " + tableName(database, table) + " SET LOCALITY GLOBAL",
			Why: "every region reads " + table + " from a copy of its own; the rare writes to it wait for all regions",
		}})...)
	}
	return stmts
}

// regionStatements adds the regions one after another: two region changes of one database at a time block or fail each other. The goal
// comes last, because a goal of region needs three regions to be there.
func (t Topology) regionStatements(database string) []Statement {
	alter := "ALTER DATABASE " + ident(database)
	stmts := []Statement{{
		SQL: alter + " SET PRIMARY REGION " + ident(string(t.Primary())),
		Why: "tables without a home live in the primary region, " + string(t.Primary()),
	}}
	for _, region := range t.Regions[1:] {
		stmts = append(stmts, Statement{
			SQL: alter + " ADD REGION IF NOT EXISTS " + ident(string(region.Name)),
			Why: "the database may keep replicas in " + string(region.Name),
		})
	}
	goal := Statement{SQL: alter + " SURVIVE ZONE FAILURE", Why: "a quorum stands in one region: commits are near, a lost zone costs nothing"}
	if t.Survive == SurviveRegion {
		goal = Statement{SQL: alter + " SURVIVE REGION FAILURE", Why: "a quorum spans two regions: a lost region costs nothing, a commit waits for the nearest other one"}
	}
	return append(stmts, goal)
}

// addRegionColumn renders the column that decides where a row lives. The literals need no cast: a CASE in a column of an enum type takes
// their type from the column, and that form is the documented one in all supported versions. The names are written out, so that the
// current database of the session does not matter.
func (t Topology) addRegionColumn(database, table string) Statement {
	var b strings.Builder
	fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s.%s.%s AS (CASE %s",
		tableName(database, table), ident(regionColumn), ident(database), ident("public"), ident("crdb_internal_region"), ident("home"))
	for _, home := range t.HomeNames() {
		fmt.Fprintf(&b, "\n    WHEN %s THEN %s", literal(string(home)), literal(string(t.Homes[home])))
	}
	b.WriteString("\nEND) STORED NOT NULL")
	return Statement{SQL: b.String(), Why: "the home of a row of " + table + " says where it lives; a home that is not listed is refused"}
}

// regionalByRow comes after the column exists. Without a column of ours CockroachDB would add one in the same step, and updates would
// fail while that runs (cockroachdb/cockroach#150945).
func regionalByRow(database, table string) Statement {
	return Statement{
		SQL: "ALTER TABLE " + tableName(database, table) + " SET LOCALITY REGIONAL BY ROW AS " + ident(regionColumn),
		Why: "each row of " + table + " and of its indexes moves to its region",
	}
}

// unlocked puts statements between opening and closing the schema lock that tables have from birth since 26.1. ADD COLUMN would open it
// by itself where the cluster allows that, SET LOCALITY never does. The lock stands in statements of its own: together with another
// change it is refused.
func unlocked(database, table string, v Version, stmts []Statement) []Statement {
	if !v.locksSchemas() {
		return stmts
	}
	lock := "ALTER TABLE " + tableName(database, table) + " SET (schema_locked = "
	all := append([]Statement{{SQL: lock + "false)", Why: table + " is locked against schema changes, and a change of locality does not open the lock by itself"}}, stmts...)
	return append(all, Statement{SQL: lock + "true)", Why: "a locked " + table + " lets changefeeds skip their checks for schema changes"})
}

// WriteSQL writes statements as a script, each below the reason for it.
func WriteSQL(w io.Writer, stmts []Statement) error {
	for i, s := range stmts {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(w, "%s-- %s.\n%s;\n", gap, s.Why, s.SQL); err != nil {
			return fmt.Errorf("write the overlay: %w", err)
		}
	}
	return nil
}

func tableName(database, table string) string {
	return ident(database) + "." + ident("public") + "." + ident(table)
}

// ident quotes an identifier. All of them are quoted: region names need it because of their hyphens, and a rule without exceptions is
// easier to check.
func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a string; a backslash has no meaning in this form.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
