package commit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// BenchmarkTake takes a group for each of two lanes out of a full queue: 16 batches of 500, on accounts drawn from many or from few. On few,
// the first group has the accounts of all others, and the second look finds everybody in its way.
func BenchmarkTake(b *testing.B) {
	for _, accounts := range []int{10_000, 4} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			account := func() ledger.Ref {
				return ledger.Ref{Ledger: "brand", Account: id.Account(fmt.Sprintf("account/%d", random.IntN(accounts)))}
			}
			c := New(nil, Options{})
			c.o.Lanes = 0
			l := map[id.Ledger]ledger.Ledger{"brand": {ID: "brand", Home: "eu"}}
			var q *queue
			for i := range 16 {
				whole := &unit{call: &call{ctx: context.Background()}, ledgers: l}
				for j := range 500 {
					whole.batch.Commands = append(whole.batch.Commands, ledger.Command{Ledger: "brand", Key: id.Key(fmt.Sprint(i, "/", j))})
					whole.touched = append(whole.touched, []ledger.Ref{account(), account()})
				}
				whole.call.units = whole.split()
				for _, u := range whole.call.units {
					u.claim()
				}
				if err := c.enqueue(whole.call); err != nil {
					b.Fatal(err)
				}
				q = c.queueOf(whole.call.units[0].homes)
			}
			for b.Loop() {
				var taken []*unit
				for range 2 {
					taken = append(taken, c.take(q)...)
				}
				b.StopTimer()
				for _, u := range taken {
					for _, r := range u.resources {
						delete(c.busy, r)
					}
					c.push(u)
				}
				b.StartTimer()
			}
		})
	}
}
