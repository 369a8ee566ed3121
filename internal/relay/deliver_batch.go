package relay

import (
	"container/heap"
	"slices"
	"time"
)

// take returns up to most items that may go out in one call now, by position, and marks them as being sent: those that nothing is before,
// and those that only others of the same call are before. Where linger says that a call may still fill, it returns none and when to ask again;
// so it does where nothing is due yet. A zero time means: when something happens.
func (q *queue) take(now time.Time, most int, linger time.Duration) (batch []*item, again time.Time) {
	if len(q.ready) == 0 {
		return nil, time.Time{}
	}
	if first := q.ready[0]; first.dueAt.After(now) {
		return nil, first.dueAt
	} else if full := first.dueAt.Add(linger); linger > 0 && q.waiting < most && full.After(now) && !first.row {
		return nil, full
	}
	t := taking{now: now, released: map[*item]int{}}
	for len(batch) < most {
		i := t.next(&q.ready)
		if i == nil {
			break
		}
		batch = append(batch, i)
		i.sending = true
		if !i.row {
			q.waiting--
		}
		if most > 1 {
			t.release(i)
		}
	}
	slices.SortFunc(batch, func(a, b *item) int { return int(a.position - b.position) })
	return batch, time.Time{}
}

// taking is one call being filled: the followers that its members release, for this call alone.
type taking struct {
	now       time.Time
	released  map[*item]int
	followers readyHeap
}

func (t *taking) next(ready *readyHeap) *item {
	due := func(h readyHeap) bool { return len(h) > 0 && !h[0].dueAt.After(t.now) }
	switch own, all := due(t.followers), due(*ready); {
	case own && (!all || before(t.followers[0], (*ready)[0])):
		return heap.Pop(&t.followers).(*item) //nolint:forcetypeassert // only items are in it
	case all:
		return heap.Pop(ready).(*item) //nolint:forcetypeassert // only items are in it
	}
	return nil
}

func (t *taking) release(i *item) {
	for _, l := range i.links {
		if l.next == nil {
			continue
		}
		follower := l.next.item
		if t.released[follower]++; t.released[follower] == follower.blockers {
			heap.Push(&t.followers, follower)
		}
	}
}
