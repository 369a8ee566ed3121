package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
)

// State is how a database is laid out at present. Its zero value with a Version is a database that has just been migrated, on a cluster
// that nobody has looked at.
type State struct {
	Version      Version
	Seen         bool     // read from a cluster; otherwise Cluster says nothing
	Cluster      []string // the regions its nodes were started in
	Homes        []id.Home
	Primary      Region // empty: no multi-region database
	Regions      []Region
	Survive      Survival
	Placement    Placement
	SuperRegions []SuperRegion
	Tables       map[string]Table
	Zones        map[string]string // zone configurations that somebody wrote: database or table (empty name: the database) -> statement
}

// Table is what a plan has to know of one.
type Table struct {
	Locality string            // as SHOW TABLES says it
	Columns  map[string]string // of regions: name -> the expression it is computed from
	Unlocked bool              // its schema lock is open, in a version that locks
}

// The columns in which a region stands: that of the overlay, and the two that exist while it is replaced.
const (
	newColumn  = regionColumn + "_new"
	prevColumn = regionColumn + "_prev"
)

const sqlClusterRegions = `SELECT region FROM [SHOW REGIONS FROM CLUSTER] ORDER BY region`

// sqlHomes names the homes in use; every row of a table of money carries the home of its ledger.
func sqlHomes(database string) string {
	return `SELECT DISTINCT home FROM ` + tableName(database, "ledger") + ` ORDER BY home`
}

func sqlDatabaseRegions(database string) string {
	return `SELECT region, "primary"::STRING FROM [SHOW REGIONS FROM DATABASE ` + Ident(database) + `] ORDER BY region`
}

func sqlGoal(database string) string {
	return `SELECT coalesce(survival_goal, '') FROM [SHOW SURVIVAL GOAL FROM DATABASE ` + Ident(database) + `]`
}

func sqlCreateDatabase(database string) string {
	return `SELECT create_statement FROM [SHOW CREATE DATABASE ` + Ident(database) + `]`
}

func sqlSuperRegions(database string) string {
	return `SELECT super_region_name, array_to_string(regions, ',') FROM [SHOW SUPER REGIONS FROM DATABASE ` + Ident(database) + `] ORDER BY 1`
}

func sqlLocalities(database string) string {
	return `SELECT table_name, coalesce(locality, '') FROM [SHOW TABLES FROM ` + Ident(database) + `.public] ORDER BY 1`
}

func sqlColumns(database string) string {
	return `SELECT table_name, column_name, coalesce(generation_expression, '') FROM ` + Ident(database) + `.information_schema.columns
WHERE table_schema = 'public' AND column_name IN ('` + regionColumn + `', '` + newColumn + `', '` + prevColumn + `') ORDER BY 1, 2`
}

func sqlCreateTable(database, table string) string {
	return `SELECT create_statement FROM [SHOW CREATE TABLE ` + tableName(database, table) + `]`
}

const sqlZones = `SELECT coalesce(target, ''), coalesce(raw_config_sql, '') FROM [SHOW ALL ZONE CONFIGURATIONS] ORDER BY 1`

// ReadState asks the cluster how a migrated database is laid out. It changes nothing, and needs a user with the admin role.
func ReadState(ctx context.Context, conn Execer, database string, v Version) (State, error) {
	s := State{Version: v, Seen: true, Tables: map[string]Table{}}
	q := asker{ctx: ctx, conn: conn}
	s.Cluster = flat(q.ask("list the regions of the cluster", sqlClusterRegions))
	for _, home := range flat(q.ask("list the homes of the ledgers in database "+database+", which has to be migrated first", sqlHomes(database))) {
		s.Homes = append(s.Homes, id.Home(home))
	}
	s.readRegions(&q, database)
	s.readTables(&q, database)
	s.Zones = zonesOf(database, q.ask("list the zone configurations", sqlZones))
	return s, q.err
}

func (s *State) readRegions(q *asker, database string) {
	for _, row := range q.ask("list the regions of database "+database, sqlDatabaseRegions(database)) {
		s.Regions = append(s.Regions, Region(row[0]))
		if row[1] == "true" {
			s.Primary = Region(row[0])
		}
	}
	if s.Primary == "" {
		return
	}
	s.Survive = Survival(strings.Join(flat(q.ask("read the survival goal of database "+database, sqlGoal(database))), ""))
	if strings.Contains(strings.Join(flat(q.ask("read the placement of database "+database, sqlCreateDatabase(database))), ""), "PLACEMENT RESTRICTED") {
		s.Placement = PlacementRestricted
	}
	for _, row := range q.ask("list the super regions of database "+database, sqlSuperRegions(database)) {
		super := SuperRegion{Name: row[0]}
		for member := range strings.SplitSeq(row[1], ",") {
			super.Regions = append(super.Regions, Region(member))
		}
		s.SuperRegions = append(s.SuperRegions, super)
	}
}

func (s *State) readTables(q *asker, database string) {
	for _, row := range q.ask("list the tables of database "+database, sqlLocalities(database)) {
		s.Tables[row[0]] = Table{Locality: row[1], Columns: map[string]string{}}
	}
	for _, row := range q.ask("read the region columns of database "+database, sqlColumns(database)) {
		if table, ok := s.Tables[row[0]]; ok {
			table.Columns[row[1]] = row[2]
		}
	}
	if !s.Version.locksSchemas() {
		return
	}
	for _, name := range slices.Concat(homeTables, globalTables) {
		create := strings.Join(flat(q.ask("read how table "+name+" is made", sqlCreateTable(database, name))), "")
		table := s.Tables[name]
		table.Unlocked = !strings.Contains(create, "schema_locked = true")
		s.Tables[name] = table
	}
}

// zonesOf finds those of a database and of its tables; the name of a database stands for itself as "".
func zonesOf(database string, rows [][]string) map[string]string {
	zones := map[string]string{}
	for _, row := range rows {
		target := strings.ReplaceAll(row[0], `"`, "")
		if target == "DATABASE "+database {
			zones[""] = row[1]
		}
		if table, ok := strings.CutPrefix(target, "TABLE "+database+".public."); ok {
			zones[table] = row[1]
		}
	}
	return zones
}

// asker asks one question after another until one fails.
type asker struct {
	ctx  context.Context //nolint:containedctx // lives as long as one ReadState
	conn Execer
	err  error
}

func (q *asker) ask(what, sql string) [][]string {
	if q.err != nil {
		return nil
	}
	rows, err := q.conn.Query(q.ctx, sql)
	if err == nil {
		var all [][]string
		if all, err = pgx.CollectRows(rows, Texts); err == nil {
			return all
		}
	}
	q.err = fmt.Errorf("%s: %w", what, err)
	return nil
}

// Texts is a pgx.RowToFunc for rows whose columns are all text and not NULL.
func Texts(row pgx.CollectableRow) ([]string, error) {
	values := make([]string, len(row.FieldDescriptions()))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	return values, row.Scan(into...)
}

// flat takes the first column.
func flat(rows [][]string) []string {
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = row[0]
	}
	return all
}
