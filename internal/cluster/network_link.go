package cluster

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/fault"
)

// wires are the links of a network, each with its ends and with what it does.
type wires struct {
	mu  sync.Mutex
	all []*wire
}

// wire is one link.
type wire struct {
	from, to Endpoint
	link     *fault.Link
	base     fault.Shape    // what distance makes of it
	added    []*fault.Shape // what drills add, until they take it away again
}

// anybody is the from of links that nobody in particular dials: a CockroachDB node its own services, and a node whose gossip was turned away
// by another towards this one. They have no distance, and a partition of the node cuts them, so that no gossip leaks around it.
var anybody = Endpoint{Name: "anybody"}

// add opens a link to where nobody listens yet.
func (w *wires) add(from, to Endpoint) error {
	link, err := fault.Listen("127.0.0.1:1")
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, &wire{from: from, to: to, link: link})
	return nil
}

// point sends the links to a member to where it listens.
func (w *wires) point(member, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.all {
		if wire.to.Name == member {
			wire.link.SetTarget(address)
		}
	}
}

// find returns one, or nil.
func (w *wires) find(from, to string) *fault.Link {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.all {
		if wire.from.Name == from && wire.to.Name == to {
			return wire.link
		}
	}
	return nil
}

// measure makes distances: half of a round trip each way.
func (w *wires) measure(rtt func(a, b string) time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.all {
		if wire.from == anybody {
			continue
		}
		half := fault.Condition{Delay: distance(rtt, wire.from.Region, wire.to.Region) / 2}
		wire.base = fault.Shape{Forward: half, Backward: half}
		wire.apply()
	}
}

func (w *wires) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []error
	for _, wire := range w.all {
		all = append(all, wire.link.Close())
	}
	return errors.Join(all...)
}

// disturb adds a shape to some; end takes it away.
func (w *wires) disturb(shapeOf func(*wire) (fault.Shape, bool)) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	touched := map[*wire]*fault.Shape{}
	for _, wire := range w.all {
		if s, ok := shapeOf(wire); ok {
			touched[wire] = &s
			wire.added = append(wire.added, &s)
			wire.apply()
		}
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for wire, s := range touched {
			wire.added = slices.DeleteFunc(wire.added, func(other *fault.Shape) bool { return other == s })
			wire.apply()
		}
	}
}

// apply makes the link do what distance and drills want of it.
func (w *wire) apply() {
	s := w.base
	for _, more := range w.added {
		s.Forward, s.Backward = both(s.Forward, more.Forward), both(s.Backward, more.Backward)
		s.Refuse = s.Refuse || more.Refuse
	}
	w.link.Set(s)
}

// both is one condition behind another.
func both(a, b fault.Condition) fault.Condition {
	rate := min(a.Rate, b.Rate)
	if rate == 0 {
		rate = max(a.Rate, b.Rate)
	}
	return fault.Condition{
		Delay: a.Delay + b.Delay, Jitter: a.Jitter + b.Jitter, Rate: rate, Loss: 1 - (1-a.Loss)*(1-b.Loss), Drop: a.Drop || b.Drop,
	}
}

// Link returns the link that from dials to reach to, or nil. from is the name of a member or clients/<region>. What a drill sets on it by
// itself is overwritten by Disturb, Partition and Heal.
func (n *Network) Link(from, to string) *fault.Link { return n.wires.find(from, to) }

// Links returns those whose ends are picked. Two database nodes have two links between them, one for each that dials.
func (n *Network) Links(pick func(from, to Endpoint) bool) []*fault.Link {
	n.wires.mu.Lock()
	defer n.wires.mu.Unlock()
	var picked []*fault.Link
	for _, wire := range n.wires.all {
		if wire.from != anybody && pick(wire.from, wire.to) {
			picked = append(picked, wire.link)
		}
	}
	return picked
}

// Disturb adds a shape to what distance and earlier disturbances make of the links: delays and losses add up, and the smallest rate holds.
// end takes this one away and leaves the others; it may be called again.
func (n *Network) Disturb(links []*fault.Link, s fault.Shape) (end func()) {
	return n.wires.disturb(func(w *wire) (fault.Shape, bool) { return s, slices.Contains(links, w.link) })
}

// Partition drops whatever the endpoints that from picks send to those that to picks, and unless oneWay what these send back. Both links
// between two database nodes are cut, since each carries bytes both ways. end takes it away; it may be called again.
func (n *Network) Partition(from, to func(Endpoint) bool, oneWay bool) (end func()) {
	drop := fault.Condition{Drop: true}
	return n.wires.disturb(func(w *wire) (s fault.Shape, cut bool) {
		dialer, target := w.from, w.to
		if dialer == anybody { // it may be somebody of the other side
			s.Forward.Drop = to(target) || !oneWay && from(target)
			s.Backward.Drop = from(target) || !oneWay && to(target)
			return s, s.Forward.Drop || s.Backward.Drop
		}
		if from(dialer) && to(target) {
			s.Forward = drop
			if !oneWay {
				s.Backward = drop
			}
		}
		if to(dialer) && from(target) {
			s.Backward = drop
			if !oneWay {
				s.Forward = drop
			}
		}
		return s, s != fault.Shape{}
	})
}

// Heal takes away whatever Disturb and Partition have added to these links; without any, to all links. Distance stays.
func (n *Network) Heal(links ...*fault.Link) {
	n.wires.mu.Lock()
	defer n.wires.mu.Unlock()
	for _, wire := range n.wires.all {
		if len(links) == 0 || slices.Contains(links, wire.link) {
			wire.added = nil
			wire.apply()
		}
	}
}
