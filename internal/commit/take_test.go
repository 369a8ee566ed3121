package commit

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// player plays arrivals, groups and departures on the queues of a committer without lanes, and holds each group that is taken against what
// the package promises.
type player struct {
	t        *testing.T
	c        *Committer
	script   []byte
	alive    []*unit // that wait and whose callers are there
	cancel   map[*call]func()
	inFlight [][]*unit
}

func (p *player) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return int(b) % n
}

// FuzzTake plays what the bytes say.
func FuzzTake(f *testing.F) {
	for seed := range uint64(20) {
		script := make([]byte, 400)
		r := rand.NewChaCha8([32]byte{byte(seed)})
		_, _ = r.Read(script)
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := &player{t: t, c: New(nil, Options{}), script: script[:min(len(script), 2000)], cancel: map[*call]func(){}}
		p.c.o.Lanes = 0
		p.c.o.MaxGroup, p.c.o.MaxQueue = 1+p.next(6), 1+p.next(40)
		for len(p.script) > 0 {
			switch p.next(8) {
			default:
				p.arrive()
			case 4, 5:
				p.take()
			case 6:
				p.release()
			case 7:
				p.leave()
			}
		}
		for len(p.alive) > 0 || len(p.inFlight) > 0 { // everything comes through in the end
			waited := len(p.alive)
			for len(p.inFlight) > 0 {
				p.release()
			}
			for _, q := range p.c.queues {
				p.takeOf(q)
			}
			if len(p.inFlight) == 0 && len(p.alive) >= max(1, waited) {
				t.Fatalf("%d units wait for ever", len(p.alive))
			}
		}
		if p.c.waiting != 0 || len(p.c.busy) != 0 {
			t.Errorf("at the end %d commands wait and %d resources are busy", p.c.waiting, len(p.c.busy))
		}
	})
}

// arrive lets a call come: of up to three units with up to three commands each, on accounts of eu (0 to 3), of us (4 to 7) or of both.
func (p *player) arrive() {
	ctx, cancel := context.WithCancel(context.Background())
	k := &call{ctx: ctx, priority: ledger.Priority(p.next(int(ledger.Priorities))), done: make(chan struct{})}
	for range 1 + p.next(3) {
		k.units = append(k.units, p.unit(k))
	}
	before := p.c.waiting
	if p.c.enqueue(k) != nil {
		if p.c.waiting+k.commands() <= p.c.o.MaxQueue || p.c.waiting != before {
			p.t.Fatalf("refused, and only %d commands waited; now %d", before, p.c.waiting)
		}
		cancel()
		return
	}
	p.cancel[k] = cancel
	p.alive = append(p.alive, k.units...)
	p.count()
}

func (p *player) unit(k *call) *unit {
	u := &unit{call: k, batch: ledger.Batch{Commands: make([]ledger.Command, 1+p.next(3))}}
	homes := map[id.Home]bool{}
	for range 1 + p.next(3) {
		n := p.next(8)
		homes[[]id.Home{"eu", "us"}[n/4]] = true
		u.resources = append(u.resources, resource(n))
	}
	u.homes = slices.Sorted(maps.Keys(homes))
	return u
}

// leave ends the context of a call of which units wait; sometimes the committer has not heard of it before the next group is taken.
func (p *player) leave() {
	if len(p.alive) == 0 {
		return
	}
	k := p.alive[p.next(len(p.alive))].call
	p.alive = slices.DeleteFunc(p.alive, func(u *unit) bool { return u.call == k })
	p.cancel[k]()
	if p.next(2) == 0 {
		p.take()
	}
	p.c.leave(k)
	p.count()
}

// release ends the oldest group; now and then one of its units comes back.
func (p *player) release() {
	if len(p.inFlight) == 0 {
		return
	}
	group := p.inFlight[0]
	p.inFlight = p.inFlight[1:]
	for _, u := range group {
		for _, r := range u.resources {
			delete(p.c.busy, r)
		}
	}
	if p.next(4) == 1 {
		if u := group[p.next(len(group))]; u.place != gone {
			p.c.push(u)
			p.alive = append(p.alive, u)
		}
	}
	p.count()
}

func (p *player) count() {
	commands := 0
	for _, u := range p.alive {
		commands += len(u.batch.Commands)
	}
	if p.c.waiting != commands {
		p.t.Fatalf("%d commands wait, and the committer counts %d", commands, p.c.waiting)
	}
}

func before(a, b *unit) int {
	return cmp.Or(cmp.Compare(a.call.priority, b.call.priority), cmp.Compare(a.arrival, b.arrival))
}

func meet(a, b *unit) bool {
	return slices.ContainsFunc(a.resources, func(r resource) bool { return slices.Contains(b.resources, r) })
}

// take takes a group of one of the queues, and checks it.
func (p *player) take() {
	names := slices.Sorted(maps.Keys(p.c.queues))
	if len(names) == 0 {
		return
	}
	p.takeOf(p.c.queues[names[p.next(len(names))]])
}

func (p *player) takeOf(q *queue) {
	busy := maps.Clone(p.c.busy)
	group := p.c.take(q)

	size := 0
	for i, u := range group {
		size += len(u.batch.Commands)
		switch {
		case !slices.Contains(p.alive, u):
			p.t.Fatal("a unit was taken that does not wait, or whose caller went away")
		case !slices.Equal(u.homes, q.homes):
			p.t.Fatal("a unit was taken out of another queue")
		case slices.ContainsFunc(u.resources, func(r resource) bool { _, found := busy[r]; return found }):
			p.t.Fatal("a unit was taken that meets a group in flight")
		case i > 0 && before(group[i-1], u) >= 0:
			p.t.Fatal("the group is not in order")
		}
	}
	if size > p.c.o.MaxGroup && len(group) > 1 {
		p.t.Fatalf("a group of %d commands, of at most %d", size, p.c.o.MaxGroup)
	}
	stay := slices.DeleteFunc(slices.Clone(p.alive), func(u *unit) bool { return slices.Contains(group, u) })
	for _, u := range group {
		if i := slices.IndexFunc(stay, func(v *unit) bool { return before(v, u) < 0 && meet(v, u) }); i >= 0 {
			p.t.Fatalf("arrival %d overtook arrival %d on a resource that they share", u.arrival, stay[i].arrival)
		}
	}
	p.progress(q, busy, group)
	p.alive = stay
	if len(group) > 0 {
		p.inFlight = append(p.inFlight, group)
	}
}

// progress holds that the first unit that nothing stands in the way of is taken.
func (p *player) progress(q *queue, busy map[resource]struct{}, group []*unit) {
	for _, u := range slices.SortedFunc(slices.Values(p.alive), before) {
		if !slices.Equal(u.homes, q.homes) || slices.ContainsFunc(u.resources, func(r resource) bool { _, found := busy[r]; return found }) {
			continue
		}
		if slices.ContainsFunc(p.alive, func(v *unit) bool { return before(v, u) < 0 && meet(v, u) }) {
			continue
		}
		if len(group) == 0 {
			p.t.Fatalf("nothing stands in the way of arrival %d, and it was not taken", u.arrival)
		}
		return
	}
}
