package topology

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// cluster answers what Apply asks of CockroachDB, and does what it is told as CockroachDB would: it refuses what that refuses.
type cluster struct {
	version   string
	regions   []string
	homes     []string
	columns   map[string]map[string]string // table -> column -> how it is computed, as the server prints it
	locality  map[string]string
	unlocked  map[string]bool
	zones     [][]string
	primary   string
	database  []string // its regions
	goal      string
	placement string
	supers    [][]string // name, members
	broken    string     // a statement or question that contains this fails
	dies      int        // after so many statements, if not 0
	ran       []string
}

func newCluster(regions ...string) *cluster {
	return &cluster{
		version: "CockroachDB CCL v26.2.2 (x86_64-pc-linux-gnu, built 2026/06/05 12:00:00, go1.25.1)",
		regions: regions, homes: []string{"eu", "us"}, goal: "zone",
		columns: map[string]map[string]string{}, locality: map[string]string{}, unlocked: map[string]bool{},
	}
}

var errBroken = errors.New("connection reset by peer")

func (c *cluster) Exec(_ context.Context, sql string, _ ...any) (pgconn.CommandTag, error) {
	if c.broken != "" && strings.Contains(sql, c.broken) || c.dies > 0 && len(c.ran) == c.dies {
		return pgconn.CommandTag{}, errBroken
	}
	if err := c.do(sql); err != nil {
		return pgconn.CommandTag{}, fmt.Errorf("%w: %s", err, sql)
	}
	c.ran = append(c.ran, sql)
	return pgconn.CommandTag{}, nil
}

var (
	quotedName = regexp.MustCompile(`"([^"]*)"`)
	alterTable = regexp.MustCompile(`^ALTER TABLE "meridian"\."public"\."(\w+)" (.*)$`)
)

// do changes the state as one statement does, in the subset of SQL that plans consist of.
func (c *cluster) do(sql string) error {
	sql = strings.NewReplacer("\n    ", " ", "\n", " ").Replace(sql)
	if change, found := strings.CutPrefix(sql, `ALTER DATABASE "meridian" `); found {
		var names []string
		for _, m := range quotedName.FindAllStringSubmatch(change, -1) {
			names = append(names, m[1])
		}
		return c.alterDatabase(change, names)
	}
	if m := alterTable.FindStringSubmatch(sql); m != nil {
		return c.alterTable(m[1], m[2])
	}
	if strings.HasPrefix(sql, "SET ") {
		return nil
	}
	return errors.New("syntax error")
}

func (c *cluster) inSuper(region string) bool {
	return slices.ContainsFunc(c.supers, func(s []string) bool { return slices.Contains(s[1:], region) })
}

func (c *cluster) alterDatabase(change string, names []string) error {
	if c.primary == "" && !strings.HasPrefix(change, "SET PRIMARY REGION") {
		return errors.New("the database has no primary region")
	}
	switch {
	case strings.HasPrefix(change, "SET PRIMARY REGION"):
		if c.primary != "" && !slices.Contains(c.database, names[0]) {
			return errors.New("the region is not one of the database")
		}
		if c.primary == "" {
			c.database = names
		}
		c.primary = names[0]
	case strings.HasPrefix(change, "ADD REGION"):
		if !slices.Contains(c.regions, names[0]) {
			return errors.New("the cluster does not have the region")
		}
		if !slices.Contains(c.database, names[0]) {
			c.database = append(c.database, names[0])
		}
	case strings.HasPrefix(change, "DROP REGION"):
		return c.dropRegion(names[0])
	case change == "SURVIVE REGION FAILURE":
		small := slices.ContainsFunc(c.supers, func(s []string) bool { return len(s) < 4 })
		if len(c.database) < 3 || c.placement == "restricted" || small {
			return errors.New("the goal needs three regions without restrictions")
		}
		c.goal = "region"
	case change == "SURVIVE ZONE FAILURE":
		c.goal = "zone"
	case change == "PLACEMENT RESTRICTED" && c.goal == "region":
		return errors.New("the goal does not allow it")
	case strings.HasPrefix(change, "PLACEMENT "):
		c.placement = strings.ToLower(strings.TrimPrefix(change, "PLACEMENT "))
	default:
		return c.superRegion(change, names)
	}
	return nil
}

func (c *cluster) superRegion(change string, names []string) error {
	kept := slices.DeleteFunc(slices.Clone(c.supers), func(s []string) bool { return s[0] == names[0] })
	there := len(kept) < len(c.supers)
	if there == strings.HasPrefix(change, "ADD ") {
		return errors.New("the super region is there already, or is not")
	}
	c.supers = kept
	if strings.HasPrefix(change, "DROP ") {
		return nil
	}
	for _, region := range names[1:] {
		if c.inSuper(region) || !slices.Contains(c.database, region) {
			return errors.New("super regions overlap, or have regions that the database lacks")
		}
	}
	if c.goal == "region" && len(names) < 4 {
		return errors.New("the goal needs three regions in a super region")
	}
	c.supers = append(c.supers, names)
	return nil
}

func (c *cluster) dropRegion(region string) error {
	if region == c.primary || c.inSuper(region) || c.goal == "region" && len(c.database) == 3 {
		return errors.New("2BP01: the region is needed")
	}
	for _, columns := range c.columns {
		for _, expression := range columns {
			if strings.Contains(expression, "THEN '"+region+"'") {
				return errors.New("2BP01: a column names the region")
			}
		}
	}
	c.database = slices.DeleteFunc(c.database, func(r string) bool { return r == region })
	return nil
}

func (c *cluster) alterTable(table, change string) error {
	columns := c.columns[table]
	if columns == nil {
		columns = map[string]string{}
		c.columns[table] = columns
	}
	locks := strings.Contains(c.version, " v26.")
	var names []string
	for _, m := range quotedName.FindAllStringSubmatch(change, -1) {
		names = append(names, m[1])
	}
	switch {
	case strings.HasPrefix(change, "SET (schema_locked = "):
		c.unlocked[table] = strings.Contains(change, "false")
	case strings.HasPrefix(change, "ADD COLUMN IF NOT EXISTS"):
		_, expression, _ := strings.Cut(change, "AS (")
		expression, _, _ = strings.Cut(expression, ") STORED")
		for _, m := range whenThen.FindAllStringSubmatch(expression, -1) {
			if !slices.Contains(c.database, m[2]) {
				return errors.New("22P02: the region is no value of crdb_internal_region")
			}
		}
		if columns[names[0]] == "" {
			columns[names[0]] = strings.ReplaceAll(expression, `"`, "")
		}
	case strings.HasPrefix(change, "RENAME COLUMN"):
		if len(names) != 4 || columns[names[0]] == "" || columns[names[2]] == "" || columns[names[1]] != "" {
			return errors.New("42703: a column is there or is not")
		}
		columns[names[1]], columns[names[3]] = columns[names[0]], columns[names[2]]
		delete(columns, names[2])
		c.locality[table] = "REGIONAL BY ROW AS " + names[1] // it follows the column that it was made with
	case strings.HasPrefix(change, "SET LOCALITY"):
		if locks && !c.unlocked[table] {
			return errors.New("57000: the schema of the table is locked")
		}
		c.locality[table] = strings.ReplaceAll(strings.TrimPrefix(change, "SET LOCALITY "), `"`, "")
	case strings.HasPrefix(change, "DROP COLUMN IF EXISTS"):
		if c.locality[table] == "REGIONAL BY ROW AS "+names[0] {
			return errors.New("2BP01: the locality needs the column")
		}
		delete(columns, names[0])
	default:
		return errors.New("syntax error")
	}
	return nil
}

func (c *cluster) Query(_ context.Context, sql string, _ ...any) (pgx.Rows, error) {
	if c.broken != "" && strings.Contains(sql, c.broken) {
		return nil, errBroken
	}
	answer, known := c.answer(sql)
	if !known {
		return nil, fmt.Errorf("an unexpected question: %s", sql)
	}
	return &rows{answer: answer}, nil
}

func list(values ...string) [][]string {
	var answer [][]string
	for _, v := range values {
		answer = append(answer, []string{v})
	}
	return answer
}

func (c *cluster) answer(sql string) (answer [][]string, known bool) {
	switch sql {
	case `SELECT version()`:
		return list(c.version), true
	case sqlClusterRegions:
		return list(c.regions...), true
	case sqlHomes("meridian"):
		return list(c.homes...), true
	case sqlDatabaseRegions("meridian"):
		for _, region := range c.database {
			answer = append(answer, []string{region, fmt.Sprint(region == c.primary)})
		}
	case sqlGoal("meridian"):
		return list(c.goal), true
	case sqlCreateDatabase("meridian"):
		return list("CREATE DATABASE meridian PRIMARY REGION … SURVIVE … FAILURE" + map[bool]string{true: " PLACEMENT RESTRICTED"}[c.placement == "restricted"]), true
	case sqlSuperRegions("meridian"):
		for _, super := range c.supers {
			answer = append(answer, []string{super[0], strings.Join(super[1:], ",")})
		}
	case sqlLocalities("meridian"):
		for _, table := range slices.Concat(homeTables, globalTables) {
			answer = append(answer, []string{table, c.locality[table]})
		}
	case sqlColumns("meridian"):
		for table, columns := range c.columns {
			for column, expression := range columns {
				answer = append(answer, []string{table, column, expression})
			}
		}
	case sqlZones:
		return c.zones, true
	default:
		for _, table := range slices.Concat(homeTables, globalTables) {
			if sql == sqlCreateTable("meridian", table) {
				return list(fmt.Sprintf("CREATE TABLE public.%s (…) WITH (schema_locked = %t)", table, !c.unlocked[table])), true
			}
		}
		return nil, false
	}
	return answer, true
}

// rows is an answer of text columns.
type rows struct {
	pgx.Rows // what Apply does not call
	answer   [][]string
	current  []string
}

func (r *rows) Next() bool {
	if len(r.answer) == 0 {
		return false
	}
	r.current, r.answer = r.answer[0], r.answer[1:]
	return true
}

func (r *rows) Scan(into ...any) error {
	for i, value := range r.current {
		*into[i].(*string) = value
	}
	return nil
}

func (r *rows) FieldDescriptions() []pgconn.FieldDescription {
	return make([]pgconn.FieldDescription, len(r.current))
}

func (r *rows) RawValues() [][]byte { return make([][]byte, len(r.current)) }
func (r *rows) Err() error          { return nil }
func (r *rows) Close()              {}
