package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/id"
)

// ErrRefused says that Apply found a reason not to begin, and changed nothing.
var ErrRefused = errors.New("the overlay was not applied, nothing was changed")

// Execer is what Apply needs of a connection; *pgx.Conn and *pgxpool.Pool have it. Give it a user with the admin role and no statement
// timeout: a change of locality rewrites the indexes of a table, and ending the statement does not end the job behind it.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Progress is called before each statement, counted from 1.
type Progress func(number, of int, s Statement)

// Apply lays the tables of a migrated database out over the regions of the topology: it checks that the cluster and the database allow
// it, then runs the statements of OverlaySQL for the version of the server, one after another. progress may be nil.
//
// An error that is ErrRefused came before the first statement. Any other error stopped in the middle; then the database works as before,
// some tables nearer than others, and Apply may be run again: every statement does only what is still to do. Two of them at a time, or
// one beside a migration, make each other fail; the caller holds whatever lock it uses for migrations.
func (t Topology) Apply(ctx context.Context, conn Execer, database string, progress Progress) error {
	version, err := t.preflight(ctx, conn, database)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	stmts := t.OverlaySQL(database, version)
	for i, s := range stmts {
		if progress != nil {
			progress(i+1, len(stmts), s)
		}
		if _, err := conn.Exec(ctx, s.SQL); err != nil {
			return fmt.Errorf("apply topology %s to database %s, statement %d of %d (%s): %w", t.Name, database, i+1, len(stmts), s.Why, err)
		}
	}
	return nil
}

// preflight finds every reason for which a statement would fail half-way, or succeed and mean something else than the topology says.
func (t Topology) preflight(ctx context.Context, conn Execer, database string) (Version, error) {
	version, err := ServerVersion(ctx, conn)
	if err != nil {
		return Version{}, err
	}
	if err := t.checkRegions(ctx, conn); err != nil {
		return Version{}, err
	}
	if err := t.checkHomes(ctx, conn, database); err != nil {
		return Version{}, err
	}
	return version, t.checkMapping(ctx, conn, database)
}

const sqlClusterRegions = `SELECT region FROM [SHOW REGIONS FROM CLUSTER] ORDER BY region`

// checkRegions holds the topology against the localities that the nodes were started with.
func (t Topology) checkRegions(ctx context.Context, conn Execer) error {
	present, err := column(ctx, conn, sqlClusterRegions)
	if err != nil {
		return fmt.Errorf("list the regions of the cluster: %w", err)
	}
	var missing []string
	for _, region := range t.Regions {
		if !slices.Contains(present, string(region.Name)) {
			missing = append(missing, string(region.Name))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	has := "it has " + strings.Join(present, ", ")
	if len(present) == 0 {
		has = "it has none"
	}
	return fmt.Errorf("topology %s needs regions that the cluster lacks: %s (%s); start nodes there with --locality=region=%s,zone=… and try again",
		t.Name, strings.Join(missing, ", "), has, missing[0])
}

// sqlHomes names the homes in use; every row of a table of money carries the home of its ledger.
func sqlHomes(database string) string {
	return `SELECT DISTINCT home FROM ` + tableName(database, "ledger") + ` ORDER BY home`
}

// checkHomes keeps a database out of the overlay that has ledgers in homes without a region.
func (t Topology) checkHomes(ctx context.Context, conn Execer, database string) error {
	homes, err := column(ctx, conn, sqlHomes(database))
	if err != nil {
		return fmt.Errorf("list the homes of the ledgers in database %s, which has to be migrated first: %w", database, err)
	}
	var unknown []string
	for _, home := range homes {
		if _, ok := t.RegionOf(id.Home(home)); !ok {
			unknown = append(unknown, home)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("database %s has ledgers in homes that topology %s does not list: %s; add them under homes", database, t.Name, strings.Join(unknown, ", "))
	}
	return nil
}

func sqlMapping(database string) string {
	tables := make([]string, len(homeTables))
	for i, table := range homeTables {
		tables[i] = literal(table)
	}
	return `SELECT table_name, coalesce(generation_expression, '') FROM ` + ident(database) + `.information_schema.columns
WHERE table_schema = 'public' AND column_name = ` + literal(regionColumn) + ` AND table_name IN (` + strings.Join(tables, ", ") + `)
ORDER BY table_name`
}

// checkMapping compares what earlier runs made of the homes with what the topology says. ADD COLUMN IF NOT EXISTS would keep an older
// mapping without a word, and money would stay in the region it was told to leave.
func (t Topology) checkMapping(ctx context.Context, conn Execer, database string) error {
	rows, err := conn.Query(ctx, sqlMapping(database))
	if err != nil {
		return fmt.Errorf("read the region columns of database %s: %w", database, err)
	}
	type existing struct{ Table, Expression string }
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[existing])
	if err != nil {
		return fmt.Errorf("read the region columns of database %s: %w", database, err)
	}
	for _, c := range columns {
		if got := mappingOf(c.Expression); !maps.Equal(got, t.Homes) {
			return fmt.Errorf("table %s maps homes to regions otherwise than topology %s: it has %s where the topology has %s; "+
				"schema/cockroachdb/README.md says how to move homes (the column is computed as: %s)",
				c.Table, t.Name, homesText(got), homesText(t.Homes), clip(c.Expression))
		}
	}
	return nil
}

// whenThen finds the arms of the CASE as CockroachDB prints them: with or without an annotation of the type, as in 'eu':::STRING.
var (
	whenThen = regexp.MustCompile(`WHEN\s+'([^']*)'\S*\s+THEN\s+'([^']*)'`)
	elseArm  = regexp.MustCompile(`\bELSE\b`)
)

// mappingOf reads a mapping back. An expression of another shape gives another mapping, and so a refusal.
func mappingOf(expression string) map[id.Home]Region {
	if elseArm.MatchString(expression) {
		return nil
	}
	mapping := map[id.Home]Region{}
	for _, m := range whenThen.FindAllStringSubmatch(expression, -1) {
		mapping[id.Home(m[1])] = Region(m[2])
	}
	return mapping
}

func homesText(homes map[id.Home]Region) string {
	if len(homes) == 0 {
		return "none that can be read"
	}
	text := make([]string, 0, len(homes))
	for _, home := range slices.Sorted(maps.Keys(homes)) {
		text = append(text, string(home)+": "+string(homes[home]))
	}
	return strings.Join(text, ", ")
}

func column(ctx context.Context, conn Execer, sql string) ([]string, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
