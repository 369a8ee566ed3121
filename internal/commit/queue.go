package commit

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// queue holds the units of one set of homes, by priority and age.
type queue struct {
	homes   []id.Home
	rivals  []*queue // with a home in common, and so maybe an account
	waiting [ledger.Priorities][]*unit
	lanes   int // in use
}

// empty tells whether nobody waits with this priority or a lesser one.
func (q *queue) empty(p int) bool {
	for _, w := range q.waiting[p:] {
		if len(w) > 0 {
			return false
		}
	}
	return true
}

// queueOf returns the queue of a set of homes.
func (c *Committer) queueOf(homes []id.Home) *queue {
	var name strings.Builder
	for _, home := range homes {
		name.WriteString(string(home) + ",")
	}
	if q, found := c.queues[name.String()]; found {
		return q
	}
	q := &queue{homes: slices.Clone(homes)}
	for _, other := range c.queues {
		if slices.ContainsFunc(q.homes, func(home id.Home) bool { return slices.Contains(other.homes, home) }) {
			q.rivals, other.rivals = append(q.rivals, other), append(other.rivals, q)
		}
	}
	c.queues[name.String()] = q
	return q
}

// enqueue lets the units of a call wait, or refuses all of them at once where too many commands wait already.
func (c *Committer) enqueue(k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return errs.ErrDraining
	}
	if c.waiting+k.commands() > c.o.MaxQueue {
		c.o.Metrics.overloaded.Inc()
		return errs.ErrOverloaded.With("waiting", c.waiting)
	}
	k.queued = c.o.Now()
	var joined []*queue
	for _, u := range k.units {
		c.arrivals++
		u.arrival = c.arrivals
		q := c.push(u)
		// One that meets a group in flight waits for its end, and sets nobody else free: not to look at the whole queue for each of them is what
		// keeps a queue that waits for one account from costing its square.
		if !c.blocked(u, nil) && !slices.Contains(joined, q) {
			joined = append(joined, q)
		}
	}
	for _, q := range joined { // not before all are there: the first would go alone
		c.dispatch(q)
	}
	return nil
}

// push puts a unit into its place. One that comes back from a lane has kept the place of its arrival.
func (c *Committer) push(u *unit) *queue {
	q := c.queueOf(u.homes)
	w := q.waiting[u.call.priority]
	i := len(w)
	if i > 0 && w[i-1].arrival > u.arrival {
		i, _ = slices.BinarySearchFunc(w, u.arrival, func(v *unit, arrival int64) int { return cmp.Compare(v.arrival, arrival) })
	}
	q.waiting[u.call.priority] = slices.Insert(w, i, u)
	u.place = waits
	c.wait(len(u.batch.Commands))
	return q
}

func (c *Committer) wait(commands int) {
	c.waiting += commands
	c.o.Metrics.waiting.Set(float64(c.waiting))
}

// leave takes the units out whose caller has gone away, but for those in flight. What is left of them in the queue goes with the next group,
// or when such remains are as many as commands may wait.
func (c *Committer) leave(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range k.units {
		c.drop(u)
	}
	if c.inFlight == 0 { // nobody else will look at what waited for these
		c.dispatchAll()
	}
	c.idle.Broadcast()
}

// drop keeps a unit from being taken, now or when it comes back from a lane.
func (c *Committer) drop(u *unit) {
	if u.place == waits {
		c.wait(-len(u.batch.Commands))
		c.left++
		u.batch, u.touched, u.resources = ledger.Batch{}, nil, nil
	}
	u.place = gone
	if c.left > c.o.MaxQueue {
		c.sweepOut()
	}
}

func (c *Committer) sweepOut() {
	for _, q := range c.queues {
		for p := range q.waiting {
			q.waiting[p] = slices.DeleteFunc(q.waiting[p], func(u *unit) bool { return u.place == gone })
		}
	}
	c.left = 0
}

func (c *Committer) dispatchAll() {
	for _, q := range c.queues {
		c.dispatch(q)
	}
}

// dispatch starts groups of one queue while it has free lanes and units whose accounts are free.
func (c *Committer) dispatch(q *queue) {
	for q.lanes < c.o.Lanes {
		group := c.take(q)
		if len(group) == 0 {
			return
		}
		q.lanes++
		c.inFlight++
		c.o.Metrics.inFlight.Set(float64(c.inFlight))
		go c.lane(q, group)
	}
}

// take collects the next group: the most urgent and oldest units that meet no account or key in flight, nor one of a unit that comes before
// them and stays behind, in this queue or in another, so that the order on each account is kept. A caller whose context has ended is
// told so and takes no part.
func (c *Committer) take(q *queue) []*unit {
	var group []*unit
	size := 0
	ahead := rivals{of: q, next: make([]int, len(q.rivals))}
	for p := 0; !q.empty(p); p++ {
		clear(ahead.next)
		kept := q.waiting[p][:0]
		full := false
		for i, u := range q.waiting[p] {
			if u.place == gone || u.call.ctx.Err() != nil {
				continue
			}
			if full = size >= c.o.MaxGroup || size > 0 && size+len(u.batch.Commands) > c.o.MaxGroup; full {
				kept = append(kept, q.waiting[p][i:]...)
				break
			}
			ahead.pass(p, u.arrival)
			if c.blocked(u, ahead.passed) {
				ahead.add(u)
				kept = append(kept, u)
				continue
			}
			group, size = append(group, u), size+len(u.batch.Commands)
		}
		clear(q.waiting[p][len(kept):])
		q.waiting[p] = kept
		if full { // whoever comes now would overtake the one that did not fit
			break
		}
		if !q.empty(p + 1) {
			ahead.pass(p, c.arrivals+1)
		}
	}
	for _, u := range group {
		u.place = inFlight
		for _, r := range u.resources {
			c.busy[r] = struct{}{}
		}
	}
	c.wait(-size)
	return group
}

// blocked tells whether a unit meets a group in flight, or what else it must not pass.
func (c *Committer) blocked(u *unit, passed map[resource]struct{}) bool {
	for _, r := range u.resources {
		if _, busy := c.busy[r]; busy {
			return true
		}
		if _, before := passed[r]; before {
			return true
		}
	}
	return false
}

// rivals collects what the units touch that come before the ones that a group is taken of.
type rivals struct {
	of     *queue
	next   []int // of each rival queue, in the priority at hand
	passed map[resource]struct{}
}

// pass takes in the units of other queues that have this priority and came before an arrival.
func (r *rivals) pass(p int, arrival int64) {
	for i, q := range r.of.rivals {
		w := q.waiting[p]
		for ; r.next[i] < len(w) && w[r.next[i]].arrival < arrival; r.next[i]++ {
			if u := w[r.next[i]]; u.place == waits && u.call.ctx.Err() == nil {
				r.add(u)
			}
		}
	}
}

func (r *rivals) add(u *unit) {
	if r.passed == nil {
		r.passed = map[resource]struct{}{}
	}
	for _, resource := range u.resources {
		r.passed[resource] = struct{}{}
	}
}
