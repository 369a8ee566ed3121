package db_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

// The shapes of what a writer does with rows: lock some by key, look some up, set some. The keys come as three arrays that are joined.
// `home = $1 AND ledger_id = $2 AND id = ANY($3)` says the same, and is a trap on PostgreSQL before 17: about a table that was never
// analyzed it believes that a ledger has one row, walks the whole ledger and filters. Planned on an empty database and run among 10,000
// accounts and 50,000 commands, a transaction over 20 accounts took 60 ms and its look-up 104 ms, and of four writers of disjoint
// accounts 249 attempts were lost for 200 that committed; in this form 3 ms, 0.7 ms, none.
const (
	keys = `unnest($1, $2, $3) AS k (home, ledger_id, id)`

	sqlPrepareLock = `
PREPARE touch (text[], text[], text[]) AS
SELECT a.id FROM ` + keys + ` JOIN account a ON a.home = k.home AND a.ledger_id = k.ledger_id AND a.id = k.id
ORDER BY a.home, a.ledger_id, a.id FOR UPDATE OF a`

	sqlPrepareLookup = `
PREPARE touch (text[], text[], uuid[]) AS
SELECT j.id FROM ` + keys + ` JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id`

	sqlPrepareUpdate = `
PREPARE touch (text[], text[], text[]) AS
UPDATE account SET sequence = account.sequence + 1 FROM ` + keys + `
WHERE account.home = k.home AND account.ledger_id = k.ledger_id AND account.id = k.id`

	sqlExplain = `EXPLAIN (COSTS OFF) EXECUTE touch('{eu}', '{brand}', '{11111111-1111-4111-8111-111111111111}')`
)

// explain returns the plan that a connection makes for a statement.
func explain(t *testing.T, conn *pgx.Conn, prepare string) string {
	t.Helper()
	for _, sql := range []string{`DEALLOCATE ALL`, prepare} {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	rows, _ := conn.Query(t.Context(), sqlExplain, pgx.QueryExecModeSimpleProtocol)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("explain: %v", err)
	}
	return strings.Join(lines, "\n")
}

const sqlFill = `
INSERT INTO journal (home, ledger_id, id, idempotency_key, kind, outcome, entries, request, request_hash, effective_at, recorded_at)
SELECT 'eu', 'brand', gen_random_uuid(), g::text, 'transfer', 'posted', '[]', '{}', '', now(), now() FROM generate_series(1, $1::int) AS g`

func TestWriter_FindsRowsByKeyWhateverTheSizeOfTheTable(t *testing.T) {
	for _, size := range []int{0, 2, 5, 100} { // 0: as a new database is, never analyzed
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d := dbtest.New(t, "postgresql") // CockroachDB plans each execution, with its keys
			if size > 0 {
				fill(t, d, size)
			}
			writer, err := d.DB.Writer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Release()
			for name, prepare := range map[string]string{"lock": sqlPrepareLock, "look-up": sqlPrepareLookup, "update": sqlPrepareUpdate} {
				if plan := explain(t, writer.Conn(), prepare); !byKey.MatchString(plan) || strings.Contains(plan, "Filter:") {
					t.Errorf("%s among %d rows: the plan is\n%s\nwant the index by its three columns", name, size, plan)
				}
			}
		})
	}
}

// byKey is what matters in a plan; the rest is spelled differently from one version to the next.
var byKey = regexp.MustCompile(`Nested Loop\n(.*\n)+.*Index (Only )?Scan using (account|journal)_pkey on .*\n\s+Index Cond: \(\(home = .+\) AND \(ledger_id = .+\) AND \(id = .+\)\)`)

// What the writer's settings are for: without them, as on a reader's connection, PostgreSQL reads all of a small table.
func TestReader_ScansASmallTable(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	fill(t, d, 5)
	reader, err := d.DB.Reader().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	for _, prepare := range []string{sqlPrepareLock, sqlPrepareUpdate} {
		if got := explain(t, reader.Conn(), prepare); !strings.Contains(got, "Seq Scan on account") {
			t.Errorf("the plan is\n%s\nwant a sequential scan", got)
		}
	}
}

// fill puts rows into account and journal and analyzes them.
func fill(t *testing.T, d dbtest.Database, size int) {
	t.Helper()
	var accounts []string
	for i := range size {
		accounts = append(accounts, fmt.Sprint(i))
	}
	open(t, d, accounts...)
	admin, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	if _, err := admin.Exec(t.Context(), sqlFill, size); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), `ANALYZE account, journal`); err != nil {
		t.Fatal(err)
	}
}
