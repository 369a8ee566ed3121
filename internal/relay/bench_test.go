package relay_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// How long after the answer to a command its event can be read, at 500 transfers a second, on the node that writes the stream and on another:
//
//	go test -run '^$' -bench Stream -benchtime 5000x ./internal/relay
func BenchmarkStream_AnswerToVisible(b *testing.B) {
	for _, engine := range []string{cluster.PostgreSQL, cluster.CockroachDB} {
		for _, far := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/far=%t", engine, far), func(b *testing.B) { answerToVisible(b, dbtest.New(b, engine), far) })
		}
	}
}

const perSecond = 500

func answerToVisible(b *testing.B, d dbtest.Database, far bool) {
	books, reader := newBench(b, d.DB), start(b, d.DB, "writer")
	head := event.Position(books.moved.Load())
	if err := reader.tails.Wait(b.Context(), "eu", head-1); err != nil {
		b.Fatal(err)
	}
	if far {
		other, err := db.Open(b.Context(), db.Options{URL: d.URL})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(other.Close)
		reader = start(b, other, "far")
	}
	answered := make([]time.Time, b.N)
	var calls sync.WaitGroup
	defer calls.Wait()
	b.ResetTimer()
	began := time.Now()
	calls.Go(func() {
		for n := range b.N {
			time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / perSecond)))
			calls.Go(func() {
				books.do(b, ledger.Command{
					Kind: ledger.KindTransfer, Key: id.Key(fmt.Sprint(n)), Account: "a", Counter: "b", Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
				})
				answered[n] = time.Now()
			})
		}
	})
	seen := make(map[string]time.Time, b.N)
	for last := head + event.Position(b.N); head < last; {
		if err := reader.tails.Wait(b.Context(), "eu", head); err != nil {
			b.Fatal(err)
		}
		page, err := books.Events(b.Context(), "eu", head, 1000)
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		for _, e := range page {
			seen[string(e.Record.Outcome.Key)] = now
		}
		head += event.Position(len(page))
	}
	calls.Wait()
	b.StopTimer()
	delays := make([]time.Duration, b.N)
	for n, at := range answered {
		delays[n] = max(0, seen[fmt.Sprint(n)].Sub(at))
	}
	slices.Sort(delays)
	for name, share := range map[string]int{"p50": 50, "p99": 99} {
		b.ReportMetric(float64(delays[(b.N-1)*share/100].Microseconds())/1000, name+"-ms")
	}
}
