package sim

import (
	"context"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Node is a server as the clients of a region reach it.
type Node struct {
	Region string // in which it stands
	ledger.Service
}

// Region is a place where clients are.
type Region struct {
	Name  string
	Nodes []Node // those of its own region first, then the others by their distance
	// Ledgers are those at home there: its clients use them nine times of ten, as customers do. None: they use all alike.
	Ledgers []id.Ledger
}

// Ring makes a region around each node: clients of a name have the node of that name first, and then the others in turn.
func Ring(names []string, nodes []ledger.Service) []Region {
	regions := make([]Region, len(nodes))
	for i := range nodes {
		regions[i].Name = names[i]
		for n := range nodes {
			at := (i + n) % len(nodes)
			regions[i].Nodes = append(regions[i].Nodes, Node{names[at], nodes[at]})
		}
	}
	return regions
}

// Options of a run. Where nothing else is said, zero is none.
type Options struct {
	Clients  int           // in all, at most 65,535; client i is in region i modulo their number
	Start    time.Time     // that the history counts from; zero: when Run begins
	Duration time.Duration // how long new operations are made up; those under way are seen to their answer
	Attempt  time.Duration // the longest that a client waits for one answer before it goes to the next node; default 5 s
	Patience time.Duration // the longest that a client keeps asking; then the command stays unknown; default 60 s
	Think    time.Duration // mean pause of a client between two operations, drawn from an exponential distribution; zero: a closed loop
	Return   time.Duration // how long a client that was driven away waits before it looks at its own region again; doubles up to 16 times that; default 1 s
	Storm    int           // how many more times each command is sent under its key: the odd ones at the same time, the even ones right after
	Reads    float64       // share of the operations that read a balance, from 0 to 1; half of them what the client has just written
}

func (o Options) complete() Options {
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	if o.Attempt == 0 {
		o.Attempt = 5 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Return == 0 {
		o.Return = time.Second
	}
	return o
}

// Run lets clients work until the time is over and every command has its answer, or its client has lost patience. It returns early when the
// context ends; what was under way is unknown then. Each region has at least one node.
//
// A node that fails is left for the next one, with the same key; the client stays where it got an answer, and looks from time to time, beside
// its work, whether its own region is back.
func Run(ctx context.Context, w Workload, regions []Region, o Options) *History {
	o = o.complete()
	h := newHistory(w, regions, o)
	parts := make([]*client, o.Clients)
	var clients sync.WaitGroup
	for i := range o.Clients {
		parts[i] = newClient(h, w, regions, o, i)
		clients.Go(func() { parts[i].work(ctx) })
	}
	clients.Wait()
	h.Elapsed = time.Since(o.Start)
	h.merge(parts)
	return h
}
