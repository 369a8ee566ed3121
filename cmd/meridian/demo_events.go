package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/drill"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// listen has a witness consume the stream of every home while the demo runs; hangUp ends that.
func (d *demo) listen(ctx context.Context) (hangUp func()) {
	homeOf, nodes := map[id.Ledger]id.Home{}, make([]sim.Source, len(d.local.nodes))
	for i := range nodes {
		nodes[i] = drill.StreamOf(d.local.events((i + 1) % len(nodes))) // the one that will be killed first
	}
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	for _, home := range d.local.topology.HomeNames() {
		homeOf[ledgerOf(home)] = home
	}
	d.witness = sim.NewWitness("the stream", homeOf, nil)
	for _, home := range homeOf {
		listening.Go(func() { d.witness.Listen(ctx, home, nodes, 0) })
	}
	return func() { cancel(); listening.Wait() }
}

// takeover is the longest that a home is without a relay after its owner was killed, and time to catch up on a busy machine.
const takeover = 30 * time.Second

// proveStream waits until every answered command was heard of, and holds what was heard against what left.
func (d *demo) proveStream(ctx context.Context, stream event.Stream) (sim.Verdict, error) {
	waiting, cancel := context.WithTimeout(ctx, takeover)
	defer cancel()
	if err := d.witness.AwaitCalls(waiting, d.history); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("answered commands were not heard of in the stream after %s", takeover))
	}
	all, err := stream.Heads(ctx)
	if err != nil {
		return sim.Verdict{}, err
	}
	heads := map[id.Home]int64{}
	for _, h := range all {
		heads[h.Home] = int64(h.Position)
	}
	if err := d.witness.AwaitHeads(waiting, heads); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("the stream did not come through within %s", takeover))
	}
	return d.witness.Verdict(d.history, heads), ctx.Err()
}
