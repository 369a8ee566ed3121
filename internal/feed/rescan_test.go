package feed_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
)

func metric(t *testing.T, registry *prometheus.Registry, name string) []*dto.Metric {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func behind(t *testing.T, registry *prometheus.Registry) (seconds float64) {
	t.Helper()
	for _, m := range metric(t, registry, "meridian_feed_behind_seconds") {
		seconds = max(seconds, m.GetGauge().GetValue())
	}
	return seconds
}

func wantRescan(t *testing.T, registry *prometheus.Registry, cause string) {
	t.Helper()
	for _, m := range metric(t, registry, "meridian_feed_rescans_total") {
		if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == cause }) {
			return
		}
	}
	t.Errorf("no rescan is counted for %s", cause)
}

func TestSource_ACursorThatIsLostLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		k := newTaker(t, d.DB, eu)
		f := feedFrom(t, d.DB, k, "", feed.Options{})
		k.until("a cursor", func() bool { return len(k.cursors) > 0 }) // or else the first comparison may find all, and its cursor be the only one
		write(t.Context(), t, s, 1, 4, 10).Wait()
		k.untilAll()
		k.until("a cursor of all", func() bool { return k.cursors[len(k.cursors)-1] != k.cursors[0] })
		if err := f.stop(); err == nil {
			t.Fatal("it stopped and says nothing")
		}
		admin := connect(t, d.AdminURL)
		middle := k.cursors[len(k.cursors)/2]
		for cause, cursor := range map[string]event.Cursor{"unreadable": "from here on", "other_cluster": elsewhere(middle), "history": ancient(middle)} {
			if d.Engine == "postgresql" && cause == "history" { // its history is the journal
				continue
			}
			again := k.rewound(admin, middle)
			had := len(again.first)
			registry := prometheus.NewRegistry()
			writing := write(t.Context(), t, s, uint64(len(cause)), 4, 10)
			g := feedFrom(t, d.DB, again, cursor, feed.Options{Page: 7, Metrics: feed.NewMetrics(registry)})
			writing.Wait()
			again.untilAll()
			if err := g.stop(); err == nil {
				t.Fatal("it stopped and says nothing")
			}
			wantRescan(t, registry, cause)
			for _, c := range again.first[:had] {
				if again.seen[c.Transaction] > 1 {
					t.Errorf("after a rescan for %s: %s came again, and it was in the stream", cause, c.Transaction)
				}
			}
			var rows, different int
			err := d.DB.Reader().QueryRow(t.Context(), `SELECT count(*), count(DISTINCT transaction_id) FROM stream WHERE home = 'eu'`).Scan(&rows, &different)
			if err != nil || rows != different || rows != len(again.first) {
				t.Errorf("the stream has %d rows of %d transactions, want %d: %v", rows, different, len(again.first), err)
			}
		}
	})
}

// elsewhere is the cursor as another cluster would have made it.
func elsewhere(c event.Cursor) event.Cursor {
	parts := strings.Split(string(c), ":")
	parts[1] = "1" + parts[1]
	return event.Cursor(strings.Join(parts, ":"))
}

// ancient is a cursor of CockroachDB from before anybody remembers.
func ancient(c event.Cursor) event.Cursor {
	parts := strings.Split(string(c), ":")
	parts[3] = "1595208887164643022.0000000000"
	return event.Cursor(strings.Join(parts, ":"))
}

const sqlBulkEntries = `
INSERT INTO entry (home, ledger_id, account_id, sequence, origin_ledger_id, transaction_id, line, kind, amount, balance, pending_debits,
    pending_credits, effective_at, recorded_at)
SELECT home, ledger_id, $1, substr(idempotency_key, 6)::int8, ledger_id, id, 0, kind, 0, 0, 0, 0, effective_at, recorded_at
FROM journal WHERE home = 'eu' AND idempotency_key LIKE 'bulk/%'`

func TestSource_ManyRowsOfOneTransactionStayInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		openBooks(t, newServer(t, d.DB))
		k := newTaker(t, d.DB, eu)
		feedFrom(t, d.DB, k, "", feed.Options{Page: 64})
		k.untilAll()
		err := d.DB.Write(t.Context(), func(tx pgx.Tx) error { // more of one recorded time than there are on a page
			if _, err := tx.Exec(t.Context(), sqlBulk, "bulk", 1, 3000, 150); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), sqlBulkEntries, "bulk")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		k.untilAll()
	})
}

func TestChangefeed_SaysWhatTheClusterHasToBeTold(t *testing.T) {
	d := dbtest.New(t, "cockroachdb")
	admin := connect(t, d.AdminURL)
	set := func(value string) {
		if _, err := admin.Exec(t.Context(), `SET CLUSTER SETTING kv.rangefeed.enabled = `+value); err != nil {
			t.Fatal(err)
		}
	}
	set("false")
	defer set("true")
	err := feed.New(d.DB, feed.Options{}).Run(t.Context(), eu, "", newTaker(t, d.DB, eu).take)
	if !errors.Is(err, feed.ErrRangefeedsOff) {
		t.Errorf("without rangefeeds it says %v, want %v", err, feed.ErrRangefeedsOff)
	}
}
