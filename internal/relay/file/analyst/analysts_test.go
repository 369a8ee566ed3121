// Package analyst runs what docs/events/analysts.md tells analysts to run, on files that the sink wrote: DuckDB inside this process, and pandas where
// there is one.
package analyst

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay/file"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

const wei = "12345678901234567890123456789012345678"

// story is what the page shows.
func story(t *testing.T) []sink.Message {
	b := sinktest.New(t)
	all := []sink.Message{
		b.Open("acc_42", "EUR"), b.Open("vault", "WEI"), b.Credit("acc_42", "20000", "EUR"), b.Credit("vault", wei, "WEI"), b.Credit("vault", wei, "WEI"),
		b.Credit("vault", wei, "WEI"),
	}
	b.Clock.Advance(24 * time.Hour)
	for range 3 {
		all = append(all, b.Credit("acc_42", "1", "EUR"))
	}
	debit := ledger.Command{Kind: ledger.KindDebit, Account: "acc_42", Amount: &ledger.Money{Minor: money.FromInt64(2), Asset: "EUR"}, Reason: "payout"}
	unfunded := debit
	unfunded.Account = "nobody"
	return append(all, b.Do(debit), b.Do(unfunded))
}

func newSink(t *testing.T, directory string, f file.Format) *file.Sink {
	t.Helper()
	settings := fmt.Sprintf(`{"directory":%q,"format":"FILE_FORMAT_%s"}`, directory, strings.ToUpper(string(f)))
	s, err := file.New(event.SinkSpec{Kind: file.Kind, Settings: json.RawMessage(settings)}, nil, file.Options{Root: "."})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func deliver(t *testing.T, s *file.Sink, messages []sink.Message) {
	t.Helper()
	if safe, err := s.Deliver(context.Background(), messages); err != nil || safe != len(messages) {
		t.Fatalf("%d safe: %v", safe, err)
	}
}

func duck(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// table runs a query and writes its rows as DuckDB casts them to text, columns parted by tabs.
func table(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT COLUMNS(*)::VARCHAR FROM ("+strings.TrimSuffix(strings.TrimSpace(query), ";")+")")
	if err != nil {
		t.Fatalf("%v in\n%s", err, query)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var b strings.Builder
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			cells[i].String, into[i] = "NULL", &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, cell := range cells {
			if !cell.Valid {
				cell.String = "NULL"
			}
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(cell.String)
		}
		b.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var example = regexp.MustCompile("(?s)```(sql|python)\n(.*?)```\n\n```text\n(.*?)```")

func TestAnalysts_ThePageIsRight(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/events/analysts.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	all := story(t)
	for _, s := range []*file.Sink{newSink(t, "lake", file.Parquet), newSink(t, "lines", file.NDJSON)} {
		deliver(t, s, all[:4])
		deliver(t, s, all[2:])
	}
	db := duck(t)
	examples := example.FindAllStringSubmatch(string(page), -1)
	if want := strings.Count(string(page), "```sql") + strings.Count(string(page), "```python"); len(examples) != want || want != 7 {
		t.Fatalf("%d examples of %d have an answer", len(examples), want)
	}
	for i, e := range examples {
		t.Run(fmt.Sprint(i, e[1]), func(t *testing.T) {
			var got string
			if e[1] == "sql" {
				got = table(t, db, e[2])
			} else {
				got = python(t, e[2])
			}
			if strings.TrimSpace(got) != strings.TrimSpace(e[3]) {
				t.Errorf("the page says\n%s\nand this is\n%s", e[3], got)
			}
		})
	}
}

// python runs lines with an interpreter that has pandas, and pyarrow where they need it.
func python(t *testing.T, lines string) string {
	t.Helper()
	needs := "import pandas"
	if strings.Contains(lines, "needs pyarrow") {
		needs += ", pyarrow"
	}
	for _, interpreter := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), interpreter, "-c", needs).Run() != nil {
			continue
		}
		out, err := exec.CommandContext(t.Context(), interpreter, "-c", lines).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	t.Skip("SKIPPED: no Python here can " + needs + "; on Debian apt-get install python3-pandas gives pandas, and pyarrow comes from PyPI")
	return ""
}

func TestDuckDB_ReadsTheTypes(t *testing.T) {
	t.Chdir(t.TempDir())
	deliver(t, newSink(t, "lake", file.Parquet), story(t))
	got := table(t, duck(t), `SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet('lake/home=*/date=*/*.parquet', hive_partitioning = true))
		WHERE column_name IN ('position', 'amount', 'occurred_at', 'effective_at', 'entries', 'home', 'date', 'data')`)
	want := `position	BIGINT
occurred_at	TIMESTAMP WITH TIME ZONE
effective_at	TIMESTAMP WITH TIME ZONE
amount	DECIMAL(38,0)
entries	STRUCT(ledger VARCHAR, account_id VARCHAR, "sequence" BIGINT, side VARCHAR, amount DECIMAL(38,0), currency VARCHAR, balance DECIMAL(38,0))[]
data	VARCHAR
date	DATE
home	VARCHAR
`
	if got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	got = table(t, duck(t), `SELECT epoch_us(occurred_at), amount, reason, status, json_valid(data) FROM read_parquet('lake/**/*.parquet') WHERE position IN (1, 4, 11)
		ORDER BY position`)
	story := story(t)
	at := func(i int) int64 { return story[i].Record.Outcome.RecordedAt.UnixMicro() }
	if want := fmt.Sprintf("%d\tNULL\tNULL\tposted\ttrue\n%d\t%s\tNULL\tposted\ttrue\n%d\t2\t%s\tdeclined\ttrue\n", at(0), at(3), wei, at(10),
		story[10].Record.Outcome.Reason); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestDuckDB_SumsAreExact(t *testing.T) {
	t.Chdir(t.TempDir())
	b := sinktest.New(t)
	all := []sink.Message{b.Open("vault", "WEI")}
	sum, n := new(big.Int), new(big.Int)
	for i := range 7 { // no float has them
		n.SetString("12345678901234567890123456789012345678", 10)
		n.Sub(n, big.NewInt(int64(1)<<(9*i)))
		all = append(all, b.Credit("vault", n.String(), "WEI"))
		sum.Add(sum, n)
	}
	deliver(t, newSink(t, "lake", file.Parquet), all)
	deliver(t, newSink(t, "lines", file.NDJSON), all)
	for _, query := range []string{
		`SELECT sum(amount) FROM read_parquet('lake/**/*.parquet')`,
		`SELECT max(e.balance) FROM (SELECT unnest(entries) AS e FROM read_parquet('lake/**/*.parquet')) WHERE e.account_id = 'vault'`,
		`SELECT -min(e.balance) FROM (SELECT unnest(entries) AS e FROM read_parquet('lake/**/*.parquet')) WHERE e.account_id <> 'vault'`,
		`SELECT sum(CAST(data->>'amount_minor' AS DECIMAL(38, 0))) FROM read_ndjson('lines/**/*.ndjson', columns = {data: 'JSON'})`,
	} {
		if got := strings.TrimSpace(table(t, duck(t), query)); got != sum.String() {
			t.Errorf("%s\nis %s, want %s", query, got, sum)
		}
	}
}

// A file of another day that no reader could read shows that it is not opened.
func TestDuckDB_PrunesPartitions(t *testing.T) {
	t.Chdir(t.TempDir())
	for directory, f := range map[string]file.Format{"lake": file.Parquet, "lines": file.NDJSON} {
		deliver(t, newSink(t, directory, f), story(t))
		files, _ := filepath.Glob(directory + "/home=eu/date=2025-03-10/*." + string(f))
		if len(files) != 1 {
			t.Fatalf("%v", files)
		}
		if err := os.WriteFile(files[0], []byte("this can not be read"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const parquet = `SELECT count(*) FROM read_parquet(['lake/home=eu/date=2025-03-11/*.parquet', 'lake/home=eu/date=2025-03-10/*.parquet'], hive_partitioning = true)`
	if got := table(t, duck(t), parquet+` WHERE date = '2025-03-11'`); got != "5\n" {
		t.Errorf("%s events of a day", got)
	}
	if _, err := duck(t).ExecContext(t.Context(), parquet); err == nil {
		t.Error("the other file can be read: the test shows nothing")
	}
	const ndjson = `SELECT count(*) FROM read_ndjson('lines/home=*/date=2025-03-11/*.ndjson', columns = {position: 'BIGINT'})`
	if got := table(t, duck(t), ndjson); got != "5\n" {
		t.Errorf("%s events of a day", got)
	}
}

// DuckDB looks all the time while files are written: it never meets half a file, nor an event twice.
func TestDuckDB_SeesWholeFilesWhileTheyAreWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	all := sinktest.New(t).Credits(800, "acc_1", "acc_2")
	for _, row := range []struct {
		f     file.Format
		query string
	}{
		{file.Parquet, `SELECT count(*), count(DISTINCT position), max(position) FROM read_parquet('parquet/**/*.parquet')`},
		{file.NDJSON, `SELECT count(*), count(DISTINCT position), max(position) FROM read_ndjson('ndjson/**/*.ndjson', columns = {position: 'BIGINT'})`},
	} {
		s := newSink(t, string(row.f), row.f)
		const step = 8
		deliver(t, s, all[:step])
		done := make(chan error, 1)
		go func() {
			for from := step; from < len(all); from += step {
				if _, err := s.Deliver(context.Background(), all[from:from+step]); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		db, partial := duck(t), 0
		for events := 0; events < len(all); {
			var distinct, last int
			if err := db.QueryRowContext(t.Context(), row.query).Scan(&events, &distinct, &last); err != nil {
				t.Fatal(err)
			}
			if events != distinct || events != last || events%step != 0 {
				t.Fatalf("%d events, %d distinct, the last is %d", events, distinct, last)
			}
			if events < len(all) {
				partial++
			}
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			default:
			}
		}
		if partial == 0 {
			t.Error("it never looked while files were written: the test shows nothing")
		}
		t.Logf("%s: looked %d times in the middle", row.f, partial)
	}
}
