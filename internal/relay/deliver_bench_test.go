package relay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// BenchmarkDeliver takes a subscription through a backlog, from the tables to a sink that is for nothing, and back into the tables.
func BenchmarkDeliver(b *testing.B) {
	const backlog = 10_000
	for _, shape := range []sink.Shape{{Batch: 1, Parallel: 8}, {Batch: 500, Parallel: 2}} {
		b.Run(fmt.Sprintf("batch %d", shape.Batch), func(b *testing.B) {
			h := newHouse(b, dbtest.New(b, "postgresql"))
			var names []id.Account
			for n := range 100 {
				names = append(names, id.Account(fmt.Sprintf("user:%d", n)))
			}
			h.open(names...)
			var all []ledger.Command
			for n := range backlog - len(names) {
				all = append(all, credit(names[n%len(names)]))
			}
			h.execute(all...)
			for b.Loop() {
				name := fmt.Sprintf("s%d", houses.Add(1))
				h.subscribe(name, event.Filter{})
				writes := &crash{DeliveryStore: h.Store}
				d := relay.NewDeliverers(relay.DeliverOptions{
					Store: writes, Stream: h.Store, HomeOf: h.homeOf, Sinks: relay.Sinks{"file": func(event.SinkSpec, []event.Secret) (sink.Sink, error) {
						return dropping{shape, func(sink.Message) error { return nil }}, nil
					}},
				})
				ctx, stop := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				started := time.Now()
				go func() { ended <- d.Run(ctx, h.lease) }()
				h.settled(b, name)
				b.ReportMetric(backlog/time.Since(started).Seconds(), "events/s")
				b.ReportMetric(float64(writes.writes.Load()), "checkpoints")
				stop()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
				if err := h.operators.Delete(context.WithoutCancel(b.Context()), name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
