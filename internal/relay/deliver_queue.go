package relay

import (
	"container/heap"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// outcome is what became of an item in the end.
type outcome uint8

const (
	pending outcome = iota
	delivered
	dead
)

// item is an event on its way to one subscription. A row is one that stands in the table of deliveries, or will with the next checkpoint; it
// keeps its place there and not in memory, and does not hold the position back.
type item struct {
	position    event.Position
	ledger      id.Ledger
	transaction id.Transaction
	appendedAt  time.Time // zero where it was not read in this session
	accounts    []ledger.Ref
	links       []*link
	event       *event.Event // nil where it has to be read again
	size        int

	outcome   outcome
	row       bool
	stored    bool // the table may have the row already
	passed    bool // the position of the subscription is at or past it
	sending   bool
	attempts  int
	dueAt     time.Time
	cause     string
	detail    string
	createdAt time.Time

	blockers int // accounts on which another one is before it
}

// link is the place of an item in the order of one account.
type link struct {
	ref        ledger.Ref
	item       *item
	prev, next *link
}

// queue holds what is read and not settled, in order on every account. It is a plain value: the loop of a session owns it.
type queue struct {
	maxRows int
	tails   map[ledger.Ref]*link
	ready   readyHeap // nothing before them, and not being sent
	open    []*item   // not passed, by position
	read    event.Position
	rows    map[*item]struct{}
	waiting int // neither row nor sent
	bytes   int // of the events in memory
	starved bool
	dirty   map[*item]struct{} // passed, and changed since the last checkpoint
}

func newQueue(from event.Position, maxRows int) *queue {
	return &queue{maxRows: maxRows, tails: map[ledger.Ref]*link{}, rows: map[*item]struct{}{}, read: from, dirty: map[*item]struct{}{}}
}

// position returns up to where everything is settled or a row.
func (q *queue) position() event.Position {
	if len(q.open) > 0 {
		return q.open[0].position - 1
	}
	return q.read
}

// restore puts back what is due in the table. It is called before anything is added, in the order of positions.
func (q *queue) restore(d event.Delivery) {
	i := &item{
		position: d.Position, ledger: d.Ledger, transaction: d.Transaction, row: true, stored: true, passed: true, attempts: d.Attempts,
		dueAt: d.DueAt, cause: d.Cause, detail: d.Detail, createdAt: d.CreatedAt, accounts: d.Accounts,
	}
	q.rows[i] = struct{}{}
	q.chain(i)
}

// add takes an event that was read; accounts are those whose order it keeps, each once.
func (q *queue) add(e event.Event, accounts []ledger.Ref, size int, now time.Time) {
	q.read = e.Position
	i := &item{
		position: e.Position, ledger: e.Record.Outcome.Ledger, transaction: e.Record.Outcome.Transaction, event: &e, size: size,
		dueAt: now, createdAt: now, appendedAt: e.AppendedAt, accounts: accounts,
	}
	q.waiting++
	q.bytes += size
	q.open = append(q.open, i)
	q.chain(i)
	if q.behindRow(i) {
		q.park(i)
	}
}

// skip passes an event that nobody wants.
func (q *queue) skip(p event.Position) { q.read = p }

func (q *queue) chain(i *item) {
	for _, ref := range i.accounts {
		l := &link{ref: ref, item: i, prev: q.tails[ref]}
		if l.prev != nil {
			l.prev.next = l
			i.blockers++
		}
		q.tails[ref] = l
		i.links = append(i.links, l)
	}
	if i.blockers == 0 {
		heap.Push(&q.ready, i)
	}
}

func (q *queue) behindRow(i *item) bool {
	return slices.ContainsFunc(i.links, func(l *link) bool { return l.prev != nil && l.prev.item.row })
}

// overdue tells whether an item would be a row, had there been room.
func (q *queue) overdue(i *item) bool {
	return i.outcome == pending && !i.row && (i.attempts > 0 || q.behindRow(i))
}

// park makes an item a row, and what waits behind it, as far as there is room. Those that find none hold the position back.
func (q *queue) park(first *item) {
	for todo := []*item{first}; len(todo) > 0; {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		switch {
		case i.row || i.sending:
			continue
		case len(q.rows) >= q.maxRows:
			q.starved = true
			continue
		}
		i.row = true
		q.rows[i] = struct{}{}
		q.waiting--
		q.forget(i)
		for _, l := range i.links {
			if l.next != nil {
				todo = append(todo, l.next.item)
			}
		}
	}
}

func (q *queue) forget(i *item) {
	i.event = nil
	q.bytes -= i.size
	i.size = 0
}

// settle ends an item; nothing is before it on any account.
func (q *queue) settle(i *item, as outcome) {
	i.outcome, i.sending = as, false
	delete(q.rows, i)
	q.forget(i)
	for _, l := range i.links {
		if l.next == nil {
			delete(q.tails, l.ref)
			continue
		}
		l.next.prev = nil
		if l.next.item.blockers--; l.next.item.blockers == 0 && !l.next.item.sending {
			heap.Push(&q.ready, l.next.item)
		}
	}
	i.links = nil
	if i.passed {
		q.dirty[i] = struct{}{}
	}
	if q.starved && len(q.rows) < q.maxRows {
		q.feed()
	}
}

// feed makes rows of those that found no room before.
func (q *queue) feed() {
	q.starved = false
	for _, i := range q.open {
		if q.overdue(i) {
			q.park(i)
		}
		if q.starved {
			return
		}
	}
}

// back returns an item that was not attempted, or is to be attempted again at a time.
func (q *queue) back(i *item, dueAt time.Time) {
	i.sending, i.dueAt = false, dueAt
	if !i.row {
		q.waiting++
	}
	if i.blockers == 0 {
		heap.Push(&q.ready, i)
	}
	if q.overdue(i) {
		q.park(i)
	}
}

// retried is back for one that failed: it becomes a row, or stays one.
func (q *queue) retried(i *item, dueAt time.Time) {
	q.back(i, dueAt)
	if i.passed {
		q.dirty[i] = struct{}{}
	}
}

// pass moves the position on over all that is settled or a row, and tells fn of each.
func (q *queue) pass(fn func(*item)) {
	n := 0
	for n < len(q.open) && (q.open[n].row || q.open[n].outcome != pending) {
		i := q.open[n]
		i.passed = true
		if i.row && i.outcome == pending || i.outcome == dead {
			q.dirty[i] = struct{}{}
		}
		fn(i)
		n++
	}
	clear(q.open[:n])
	q.open = q.open[n:]
	if len(q.open) == 0 {
		q.open = nil
	}
}

// readyHeap orders by the time at which an item is due, and then by position.
type readyHeap []*item

func (h readyHeap) Len() int { return len(h) }

func (h readyHeap) Less(a, b int) bool { return before(h[a], h[b]) }

func before(a, b *item) bool {
	if c := a.dueAt.Compare(b.dueAt); c != 0 {
		return c < 0
	}
	return a.position < b.position
}

func (h readyHeap) Swap(a, b int) { h[a], h[b] = h[b], h[a] }

// Push implements heap.Interface.
func (h *readyHeap) Push(x any) {
	*h = append(*h, x.(*item)) //nolint:forcetypeassert // only items are pushed
}

// Pop implements heap.Interface.
func (h *readyHeap) Pop() any {
	last := len(*h) - 1
	i := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return i
}
