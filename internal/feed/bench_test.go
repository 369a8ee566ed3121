package feed_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// manyAccounts opens accounts c0, c1 … of brand, which may go below zero.
func manyAccounts(b *testing.B, s server, n int) {
	b.Helper()
	openBooks(b, s)
	for from := 0; from < n; from += 500 {
		var batch ledger.Batch
		for i := range 500 {
			batch.Commands = append(batch.Commands, open(brand, many(from+i)))
		}
		if _, err := s.Execute(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

func many(i int) id.Account { return id.Account(fmt.Sprint("c", i)) }

// between moves one unit between two of many accounts.
func between(key string, n int) ledger.Command {
	i := rand.IntN(n)
	return ledger.Command{
		Kind: ledger.KindTransfer, Ledger: brand, Key: id.Key(key), Account: many(i),
		Counter: many((i + 1 + rand.IntN(n-1)) % n), Amount: eur(1),
	}
}

// BenchmarkHandOver says how long after its answer a transfer is handed over, at 500 a second.
func BenchmarkHandOver(b *testing.B) {
	const rate, accounts = 500, 2000
	for _, engine := range []string{"postgresql", "cockroachdb"} {
		b.Run(engine, func(b *testing.B) {
			d := dbtest.New(b, engine)
			quick(b, d)
			s := newServer(b, d.DB)
			manyAccounts(b, s, accounts)
			k := newTaker(b, d.DB, eu)
			taken := map[id.Transaction]time.Time{}
			k.on = func(c event.Change) { taken[c.Transaction] = time.Now() }
			feedFrom(b, d.DB, k, "", feed.Options{})
			k.untilAll()
			ids, answered := make([]id.Transaction, b.N), make([]time.Time, b.N)
			tick := time.NewTicker(time.Second / rate)
			defer tick.Stop()
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range b.N {
				<-tick.C
				all.Go(func() {
					ids[i] = do(b, s, between(fmt.Sprint("bench", i), accounts))
					answered[i] = time.Now()
				})
			}
			all.Wait()
			b.StopTimer()
			k.untilTaken(ids...)
			k.mu.Lock()
			defer k.mu.Unlock()
			delays := make([]time.Duration, 0, b.N)
			for i, t := range ids {
				delays = append(delays, max(0, taken[t].Sub(answered[i])))
			}
			slices.Sort(delays)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(delays[len(delays)/2]), "p50-ms")
			b.ReportMetric(ms(delays[len(delays)*99/100]), "p99-ms")
			b.ReportMetric(ms(delays[len(delays)-1]), "max-ms")
		})
	}
}

// quick tells CockroachDB to ask more often whether the table has changed: before it has asked, a changefeed hands out no row. Newer versions
// need not ask where the table is schema_locked.
func quick(b *testing.B, d dbtest.Database) {
	b.Helper()
	if d.Engine != "cockroachdb" {
		return
	}
	if _, err := connect(b, d.AdminURL).Exec(b.Context(), `SET CLUSTER SETTING changefeed.experimental_poll_interval = '50ms'`); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGroupCommit says what the column, the index and the trigger of the feed cost the writers of a PostgreSQL. A server that syncs, by
// MERIDIAN_TEST_POSTGRES_URL, says more than one that does not.
func BenchmarkGroupCommit(b *testing.B) {
	const accounts, writers = 2000, 128
	for _, c := range []struct {
		name string
		drop []string
	}{
		{"books alone", []string{
			`DROP TRIGGER journal_notify ON journal`, `DROP INDEX journal_feed`, `ALTER TABLE journal DROP COLUMN written_in`,
		}},
		{"without trigger", []string{`DROP TRIGGER journal_notify ON journal`}},
		{"as it is", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := dbtest.New(b, "postgresql")
			admin := connect(b, d.AdminURL)
			for _, sql := range c.drop {
				if _, err := admin.Exec(b.Context(), sql); err != nil {
					b.Fatal(err)
				}
			}
			s := newServer(b, d.DB)
			manyAccounts(b, s, accounts)
			b.ResetTimer()
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := w; i < b.N; i += writers {
						do(b, s, between(fmt.Sprint("load", i), accounts))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}
