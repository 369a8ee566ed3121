package residency

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// Queryer is what Read needs of a connection, as a user with the admin role or ZONECONFIG.
type Queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// span is one range as far as one index reaches into it.
type span struct {
	table, index string
	byHome       bool // the first column of the index is the home
	byRow        bool // the table is REGIONAL BY ROW: regions come before the first column
	start, end   string
	lease        string   // locality of the leaseholder
	copies       []string // localities of all replicas
	voters       []string // localities of those that vote
	id           int64
}

// Read looks at every range of every index of the tables that hold money, and judges. It changes nothing and locks nothing; on a cluster
// with many ranges it takes a question to each node that holds one.
func Read(ctx context.Context, conn Queryer, t topology.Topology, database string, now time.Time) (Report, error) {
	r := reader{ctx: ctx, conn: conn, database: pgx.Identifier{database}.Sanitize()}
	report := Report{Format: format, At: now.UTC().Truncate(time.Second), Database: database, Topology: t.View(), Tables: topology.HomeTables(), Limits: limits}
	report.Engine = r.text(`SELECT version()`)
	report.Cluster = r.text(`SELECT crdb_internal.cluster_id()::STRING`)
	ledgers := r.ledgers()
	enum := r.regions()
	spans := r.spans(detailed(report.Engine))
	if r.err != nil {
		return Report{}, fmt.Errorf("read where the ranges of database %s stand: %w", database, r.err)
	}
	report.judge(t, ledgers, enum, spans)
	return report, nil
}

type reader struct {
	ctx      context.Context //nolint:containedctx // lives as long as one Read
	conn     Queryer
	database string // quoted
	err      error
}

func (r *reader) rows(sql string) [][]string {
	if r.err != nil {
		return nil
	}
	rows, err := r.conn.Query(r.ctx, sql)
	if err != nil {
		r.err = err
		return nil
	}
	all, err := pgx.CollectRows(rows, topology.Texts)
	r.err = err
	return all
}

func (r *reader) text(sql string) string {
	if rows := r.rows(sql); len(rows) == 1 {
		return rows[0][0]
	}
	return ""
}

func (r *reader) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *reader) ledgers() map[id.Home]int64 {
	count := map[id.Home]int64{}
	for _, row := range r.rows(`SELECT home, count(*)::STRING FROM ` + r.database + `.public.ledger GROUP BY home`) {
		count[id.Home(row[0])] = r.number(row[1])
	}
	return count
}

// regions are those of the database in the order in which its rows are sorted; none without multi-region SQL.
func (r *reader) regions() []topology.Region {
	var all []topology.Region
	for _, row := range r.rows(`SELECT e.enumlabel FROM ` + r.database + `.pg_catalog.pg_enum e JOIN ` + r.database + `.pg_catalog.pg_type t ON t.oid = e.enumtypid
WHERE t.typname = 'crdb_internal_region' ORDER BY e.enumsortorder`) {
		all = append(all, topology.Region(row[0]))
	}
	return all
}

// spans lists the ranges of every index of every table of money.
func (r *reader) spans(detailed bool) []span {
	locality := map[string]string{}
	for _, row := range r.rows(`SELECT table_name, coalesce(locality, '') FROM [SHOW TABLES FROM ` + r.database + `.public]`) {
		locality[row[0]] = row[1]
	}
	var all []span
	for _, table := range topology.HomeTables() {
		name := r.database + ".public." + pgx.Identifier{table}.Sanitize()
		first := map[string]string{}
		for _, row := range r.rows(`SELECT index_name, column_name FROM [SHOW INDEXES FROM ` + name + `] WHERE NOT implicit ORDER BY index_name, seq_in_index`) {
			if first[row[0]] == "" {
				first[row[0]] = row[1]
			}
		}
		if len(first) == 0 && r.err == nil {
			r.err = fmt.Errorf("table %s has no index", table)
		}
		for _, index := range sortedKeys(first) {
			base := span{table: table, index: index, byHome: first[index] == "home", byRow: strings.HasPrefix(locality[table], "REGIONAL BY ROW")}
			found := r.ranges(base, name+"@"+pgx.Identifier{index}.Sanitize(), detailed)
			if len(found) == 0 && r.err == nil {
				r.err = fmt.Errorf("index %s of table %s has no range", index, table)
			}
			all = append(all, found...)
		}
	}
	return all
}

// detailed says whether SHOW RANGES of a version has to be asked for leaseholders, and tells voters from others: since 23.1.
func detailed(version string) bool { return !strings.Contains(version, " v22.") }

func (r *reader) ranges(base span, index string, detailed bool) []span {
	with, voting := "", "replicas"
	if detailed {
		with, voting = " WITH DETAILS", "voting_replicas"
	}
	var all []span
	for _, row := range r.rows(`SELECT coalesce(start_key, ''), coalesce(end_key, ''), range_id::STRING, coalesce(lease_holder_locality, ''),
array_to_string(replicas, ','), array_to_string(replica_localities, ';'), array_to_string(` + voting + `, ',')
FROM [SHOW RANGES FROM INDEX ` + index + with + `]`) {
		s := base
		s.start, s.end, s.lease = row[0], row[1], row[3]
		s.id = r.number(row[2])
		s.copies = strings.Split(row[5], ";")
		stores, voters := strings.Split(row[4], ","), strings.Split(row[6], ",")
		if len(stores) != len(s.copies) {
			r.err = fmt.Errorf("range %d has %d replicas and %d localities", s.id, len(stores), len(s.copies))
			return nil
		}
		for i, store := range stores {
			if slices.Contains(voters, store) {
				s.voters = append(s.voters, s.copies[i])
			}
		}
		all = append(all, s)
	}
	return all
}
