package feed_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
)

// sqlBulk writes rows of one account, so many of each recorded time, from a sequence on.
const sqlBulk = `
INSERT INTO journal (home, ledger_id, id, idempotency_key, kind, outcome, entries, request, request_hash, effective_at, recorded_at)
SELECT 'eu', 'brand', gen_random_uuid(), 'bulk/' || n::text, 'credit', 'posted',
    ('[{"account": "' || $1::text || '", "sequence": ' || n::text || '}]')::jsonb, '{}', '\x00',
    now(), date_trunc('second', now()) + ((n / $4::int8)::int8::text || ' milliseconds')::interval
FROM generate_series($2::int8, $3::int8) AS g (n)`

func TestSnapshot_WhoCommitsLateIsNotPassedBy(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	s := newServer(t, d.DB)
	openBooks(t, s)
	k := newTaker(t, d.DB, eu)
	var mu sync.Mutex
	var order []string
	k.on = func(c event.Change) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range c.Entries {
			order = append(order, fmt.Sprint(e.Ref.Account, e.Sequence))
		}
	}
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	feedFrom(t, d.DB, k, "", feed.Options{Metrics: feed.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(&log, nil))})
	k.untilAll()

	late := connect(t, d.URL)
	tx, err := late.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), sqlBulk, "late", 1, 3, 1); err != nil {
		t.Fatal(err)
	}
	var began time.Time
	if err := d.DB.Reader().QueryRow(t.Context(), `SELECT now()`).Scan(&began); err != nil {
		t.Fatal(err)
	}
	after := []id.Transaction{do(t, s, credit(brand, "one", "a1")), do(t, s, credit(brand, "two", "a2"))}
	looked := k.looks()
	k.until("looks while it is open", func() bool { return k.batches >= looked+5 }) // two seconds and more
	k.mu.Lock()
	if k.seen[after[0]]+k.seen[after[1]] > 0 {
		t.Error("what was committed after an open transaction began was handed over before that ended")
	}
	if k.at.After(began) {
		t.Errorf("everything is said to be handed over up to %s, and a transaction of %s is open", k.at, began)
	}
	k.mu.Unlock()
	if late := behind(t, registry); late < 1 {
		t.Errorf("the feed is said to be behind by %g s, want more than 1", late)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.untilAll()
	mu.Lock()
	defer mu.Unlock()
	text := strings.Join(order, " ")
	if !strings.Contains(text, "late1 late2 late3 a13") && !strings.Contains(text, "late1 late2 late3") || strings.Index(text, "late3") > strings.LastIndex(text, "a1") {
		t.Errorf("the order is %s, want the late one before what came after it began", text)
	}
	k.until("the time goes on", func() bool { return k.at.After(began) })
	if !strings.Contains(log.String(), "the oldest transaction of the server delays the feed") {
		t.Errorf("nobody was told: %s", log.String())
	}
}

func TestSnapshot_ATransactionThatWritesNothingHoldsNobodyUpForLong(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	s := newServer(t, d.DB)
	openBooks(t, s)
	k := newTaker(t, d.DB, eu)
	feedFrom(t, d.DB, k, "", feed.Options{})
	k.untilAll()
	tx, err := connect(t, d.URL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	one := do(t, s, credit(brand, "one", "a1"))
	looked := k.looks()
	k.until("a look while it is open", func() bool { return k.batches > looked })
	began := time.Now()
	if err := tx.Rollback(t.Context()); err != nil { // no notice tells of it
		t.Fatal(err)
	}
	k.untilTaken(one)
	if took := time.Since(began); took > 450*time.Millisecond {
		t.Errorf("it came after %s, want it soon after the other ended", took)
	}
}

func TestSnapshot_ReadsByItsIndexWhateverTheStatistics(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	admin, plain := connect(t, d.AdminURL), connect(t, d.URL)
	for name, value := range feed.SnapshotParams {
		if _, err := plain.Exec(t.Context(), `SELECT set_config($1, $2, false)`, name, value); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(analyze string) string {
		t.Helper()
		sql := strings.NewReplacer("$1", "'eu'", "$2", "'700'", "$3", "'2026-01-01'", "$4", "'999999999'", "$5", "1000").Replace(feed.SQLPage)
		rows, _ := plain.Query(t.Context(), `EXPLAIN (COSTS OFF`+analyze+`) `+sql)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	want := func(plan string) {
		t.Helper()
		if !strings.Contains(plan, "Index Scan using journal_feed") || strings.Contains(plan, "Sort") ||
			!strings.Contains(plan, "Index Cond: ((ROW(written_in, recorded_at) > ") || !strings.Contains(plan, "(written_in < ") {
			t.Errorf("the plan is\n%s\nwant a bounded scan of journal_feed alone", plan)
		}
	}
	want(plan(""))
	if _, err := admin.Exec(t.Context(), sqlBulk, "bulk", 1, 20_000, 10); err != nil {
		t.Fatal(err)
	}
	want(plan(", ANALYZE, TIMING OFF, SUMMARY OFF"))
	if _, err := admin.Exec(t.Context(), `ANALYZE journal`); err != nil {
		t.Fatal(err)
	}
	want(plan(", ANALYZE, TIMING OFF, SUMMARY OFF"))
}

func TestSnapshot_ReadsInADatabaseThatWasRestoredElsewhere(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	s := newServer(t, d.DB)
	openBooks(t, s)
	write(t.Context(), t, s, 1, 4, 10).Wait()
	admin := connect(t, d.AdminURL)
	if _, err := admin.Exec(t.Context(), `UPDATE journal SET written_in = '900000000'`); err != nil { // numbers that will not come for long
		t.Fatal(err)
	}
	k := newTaker(t, d.DB, eu)
	registry := prometheus.NewRegistry()
	feedFrom(t, d.DB, k, "pg1:1:900000000:0", feed.Options{Metrics: feed.NewMetrics(registry)})
	k.untilAll()
	k.untilTaken(do(t, s, credit(brand, "new", "a1")))
	wantRescan(t, registry, "other_cluster")
}
