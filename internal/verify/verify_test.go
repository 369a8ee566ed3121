package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/schema"
)

func TestRun_BooksOfEveryKindOfCommandAreRight(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		story(t, d.DB)
		r := verified(t, d.DB, Options{})
		wantClean(t, r)
		if r.Engine != d.Engine || time.Since(r.At).Abs() > time.Minute || r.Duration <= 0 {
			t.Errorf("the report is of %s at %s after %s", r.Engine, r.At, r.Duration)
		}
		for _, c := range r.Checks {
			quiet := c.Name == "deliveries" || c.Name == "search" || c.Name == "payments" || c.Name == "holdings" // nobody has subscribed, no relay runs; TestPayments has those
			if c.Rows == 0 && !quiet {
				t.Errorf("%s looked at nothing", c.Name)
			}
		}
		for _, page := range []int64{1, 2, 7} { // wherever pages begin and end
			small := verified(t, d.DB, Options{page: page})
			wantClean(t, small)
			wantSame(t, small, r)
		}
	})
}

// wantSame wants the same rows seen and the same sums.
func wantSame(t *testing.T, got, want Report) {
	t.Helper()
	for i, c := range got.Checks {
		if c.Rows != want.Checks[i].Rows {
			t.Errorf("%s looked at %d rows, want %d", c.Name, c.Rows, want.Checks[i].Rows)
		}
	}
	if g, w := fmt.Sprint(got.Totals), fmt.Sprint(want.Totals); g != w {
		t.Errorf("the totals are %s, want %s", g, w)
	}
}

func TestRun_TotalsAreThoseOfTheLedger(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := story(t, d.DB)
		r := verified(t, d.DB, Options{})
		for _, l := range r.Totals {
			trial, err := w.TrialBalance(t.Context(), l.Ledger)
			if err != nil {
				t.Fatal(err)
			}
			if len(trial) != len(l.Assets) {
				t.Fatalf("%s has %d assets, want %d", l.Ledger, len(l.Assets), len(trial))
			}
			for i, line := range trial {
				want := AssetTotals{Asset: line.Asset, Accounts: line.Accounts, Entries: l.Assets[i].Entries, Debits: line.PostedDebits.String(), Credits: line.PostedCredits.String()}
				if l.Assets[i] != want {
					t.Errorf("%s has %+v, want %+v", l.Ledger, l.Assets[i], want)
				}
			}
		}
	})
}

func TestRun_EmptyBooksAreRight(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		wantClean(t, verified(t, d.DB, Options{}))
	})
}

func TestRun_NamedLedgersAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		story(t, d.DB)
		for _, l := range []id.Ledger{euBooks, usBooks} {
			wantClean(t, verified(t, d.DB, Options{Ledgers: []id.Ledger{l}}))
		}
		if _, err := Run(t.Context(), d.DB, Options{Ledgers: []id.Ledger{euBooks, "brand-ue"}}); !errors.Is(err, errs.ErrLedgerNotFound) {
			t.Errorf("Run on a ledger that is not there = %v, want %v", err, errs.ErrLedgerNotFound)
		}
		v := openVandal(t, d)
		v.exec(t, "UPDATE account SET posted_debits = posted_debits + 1 WHERE id = 'us_1'")
		wantClean(t, verified(t, d.DB, Options{Ledgers: []id.Ledger{euBooks}}))
		if verified(t, d.DB, Options{Ledgers: []id.Ledger{usBooks}}).OK() {
			t.Error("the damage to brand-us was not found")
		}
	})
}

func TestRun_CountsMoreThanItLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		story(t, d.DB)
		v := openVandal(t, d)
		v.exec(t, "DELETE FROM entry WHERE true")
		for _, c := range verified(t, d.DB, Options{MaxFindings: 3}).Checks {
			switch c.Name {
			case "journal", "sequences", "balances":
				if len(c.Findings) != 3 || c.Found < 8 {
					t.Errorf("%s lists %d of %d", c.Name, len(c.Findings), c.Found)
				}
			}
		}
	})
}

// The names of accounts are ordered by the database, and that depends on how it was set up.
func TestRun_InAnyCollation(t *testing.T) {
	d := dbtest.Empty(t, "postgresql") // on CockroachDB the order of texts is always that of their bytes
	name := "icu_" + strings.ToLower(fmt.Sprintf("%x", rand.Uint64()))
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		_ = conn.Close(context.Background())
	})
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted'"); err != nil {
		t.Skip("this PostgreSQL has no ICU: ", err)
	}
	u, err := url.Parse(d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	if err := schema.Up(t.Context(), u.String(), schema.Options{}); err != nil {
		t.Fatal(err)
	}
	icu, err := db.Open(t.Context(), db.Options{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer icu.Close()
	w := story(t, icu)
	for _, a := range []id.Account{"a_b", "ab", "A_B", "a-b", "AB", "a:b", "z", "Z", "9"} { // which no two collations agree on
		w.opens(euBooks, a, "EUR")
	}
	for _, page := range []int64{1, 2, 0} {
		wantClean(t, verified(t, icu, Options{page: page}))
	}
}

func TestRun_StopsWithItsContext(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		story(t, d.DB)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, d.DB, Options{page: 1, Progress: func(string, int64) { cancel() }})
		if !errors.Is(err, errs.ErrCanceled) {
			t.Errorf("Run = %v, want %v", err, errs.ErrCanceled)
		}
	})
}

// Writers are at work on other connections all the time; each snapshot has to be right by itself.
func TestRun_BooksAreRightWhileTheyAreWritten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := writer{t, newService(d.DB)}
		w.ledgers()
		accounts := []id.Account{"hot_1", "hot_2", "hot_3", "warm"}
		for _, a := range accounts {
			w.opens(euBooks, a, "EUR")
		}
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for n := range 8 {
			writers.Go(func() { w.writeUntil(ctx, n, accounts) })
		}
		seen := []int64{0}
		for deadline := time.Now().Add(time.Minute); len(seen) < 6 && time.Now().Before(deadline) && !t.Failed(); {
			r := verified(t, d.DB, Options{page: 50})
			wantClean(t, r)
			if n := r.Totals[0].Transactions; n > seen[len(seen)-1] {
				seen = append(seen, n)
			}
		}
		stop()
		writers.Wait()
		if len(seen) < 6 {
			t.Errorf("the books grew from snapshot to snapshot as %v, which proves little", seen)
		}
		wantClean(t, verified(t, d.DB, Options{}))
	})
}

// writeUntil moves and holds money, and undoes it, until told to stop.
func (w writer) writeUntil(ctx context.Context, n int, accounts []id.Account) {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; ctx.Err() == nil; i++ {
		key := func(what string) id.Key { return id.Key(fmt.Sprintf("%s_%d_%d", what, n, i)) }
		from := random.IntN(len(accounts))
		to := (from + 1 + random.IntN(len(accounts)-1)) % len(accounts)
		commands := []ledger.Command{
			{Kind: ledger.KindTransfer, Ledger: euBooks, Key: key("t"), Account: accounts[from], Counter: accounts[to], Amount: eur(1 + random.Int64N(500))},
			{Kind: ledger.KindHold, Ledger: euBooks, Key: key("h"), Account: accounts[to], Counter: accounts[from], Amount: eur(100)},
			{Kind: ledger.KindCommit, Ledger: euBooks, Key: key("c"), Target: tx(key("h")), Amount: eur(40), KeepRest: i%2 == 0},
			{Kind: ledger.KindReverse, Ledger: euBooks, Key: key("r"), Target: tx(key("t"))},
		}
		_, err := w.Execute(context.WithoutCancel(ctx), ledger.Batch{Commands: commands})
		if err != nil {
			w.t.Errorf("writer %d: %v", n, err)
			return
		}
	}
}

// Four times the rows must not take more memory: what grows is the time.
func TestRun_MemoryDoesNotGrowWithTheBooks(t *testing.T) {
	d := dbtest.New(t, "postgresql") // the memory is ours, whatever the engine
	w := writer{t, newService(d.DB)}
	w.ledgers()
	measure := func() (live uint64, rows int64) {
		r := verified(t, d.DB, Options{page: 500, Progress: func(string, int64) {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			live = max(live, m.HeapAlloc)
		}})
		wantClean(t, r)
		for _, c := range r.Checks {
			rows += c.Rows
		}
		return live, rows
	}
	w.transfers(1000, 2500)
	few, fewRows := measure()
	w.transfersFrom(2500, 1000, 7500)
	many, manyRows := measure()
	t.Logf("%d bytes for %d rows, %d bytes for %d rows", few, fewRows, many, manyRows)
	if manyRows < 3*fewRows {
		t.Fatalf("%d rows are not many more than %d", manyRows, fewRows)
	}
	if const1MiB := uint64(1 << 20); many > few+const1MiB {
		t.Errorf("memory grew from %d to %d bytes", few, many)
	}
}

func TestReport_JSON(t *testing.T) {
	b, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ok":false,"at":"2026-11-20T21:08:11.730852Z","engine":"postgresql","duration_ns":1234567890,"checks":[` +
		`{"name":"balanced","promise":"debits equal credits","rows":1234567,"found":0,"findings":[]},` +
		`{"name":"chain","promise":"every entry continues the one before it","rows":42,"found":12,"findings":[` +
		`{"ledger":"brand-eu","account":"acc_42","transaction":"00000000-0000-8000-8000-00000000dead","sequence":7,"message":"balance 1 and amount 1 do not make balance 3"},` +
		`{"ledger":"brand-eu","message":"nothing fits"}]}],` +
		`"ledgers":[{"ledger":"brand-eu","transactions":1000000,"declines":3,"holds":0,"assets":[` +
		`{"asset":"EUR/2","accounts":1000,"entries":2000000,"debits":"123456789","credits":"123456789"},` +
		`{"asset":"JPY/0","accounts":2,"entries":2,"debits":"7","credits":"7"}]},` +
		`{"ledger":"new","transactions":0,"declines":0,"holds":0,"assets":[]}]}`
	if string(b) != want {
		t.Errorf("JSON is\n%s\nwant\n%s", b, want)
	}
}

func TestReport_Text(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `The books on postgresql as of 2026-11-20 21:08:11.730 UTC

  ledger    transactions  declines  holds  asset  accounts    entries        debits       credits
  brand-eu     1,000,000         3      0  EUR       1,000  2,000,000  1,234,567.89  1,234,567.89
                                           JPY           2          2             7             7
  new                  0         0      0

  ✓ balanced  debits equal credits                     1,234,567  rows
  ✗ chain     every entry continues the one before it         42  rows

  ✗ chain: 12 found
      brand-eu/acc_42 #7 transaction 00000000-0000-8000-8000-00000000dead: balance 1 and amount 1 do not make balance 3
      brand-eu: nothing fits
      … and 10 more

✗ THE BOOKS ARE BROKEN: 1 of 2 checks fail, 12 findings (1.235s)
`
	if b.String() != want {
		t.Errorf("the text is\n%s\nwant\n%s", b.String(), want)
	}
	right := sample()
	right.Checks = slices.DeleteFunc(right.Checks, func(c Check) bool { return !c.OK() })
	if want := "✓ The books are right: all 1 checks hold (1.235s)"; right.Verdict() != want {
		t.Errorf("Verdict = %q, want %q", right.Verdict(), want)
	}
}

func sample() Report {
	return Report{
		At: time.Date(2026, 11, 20, 21, 8, 11, 730852000, time.UTC), Engine: "postgresql", Duration: 1234567890,
		Checks: []Check{
			{Name: "balanced", Promise: "debits equal credits", Rows: 1234567, Findings: []Finding{}},
			{Name: "chain", Promise: "every entry continues the one before it", Rows: 42, Found: 12, Findings: []Finding{
				{Ledger: "brand-eu", Account: "acc_42", Transaction: must("00000000-0000-8000-8000-00000000dead"), Sequence: 7, Message: "balance 1 and amount 1 do not make balance 3"},
				{Ledger: "brand-eu", Message: "nothing fits"},
			}},
		},
		Totals: []Totals{
			{Ledger: "brand-eu", Transactions: 1000000, Declines: 3, Assets: []AssetTotals{
				{Asset: money.Asset{Code: "EUR", Scale: 2}, Accounts: 1000, Entries: 2000000, Debits: "123456789", Credits: "123456789"},
				{Asset: money.Asset{Code: "JPY"}, Accounts: 2, Entries: 2, Debits: "7", Credits: "7"},
			}},
			{Ledger: "new", Assets: []AssetTotals{}},
		},
	}
}

// Books of 200,000 transactions with two entries each, on PostgreSQL.
func BenchmarkRun(b *testing.B) {
	d := dbtest.New(b, "postgresql")
	w := writer{b, newService(d.DB)}
	w.ledgers()
	w.transfers(10_000, 200_000)
	var rows int64
	for b.Loop() {
		r, err := Run(b.Context(), d.DB, Options{})
		if err != nil || !r.OK() {
			b.Fatal(r.Verdict(), err)
		}
		rows = r.Totals[0].Transactions + r.Totals[0].Assets[0].Entries + r.Totals[0].Assets[0].Accounts
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
