package feed

import (
	"container/heap"
	"container/list"
	"errors"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// sequencer puts the rows of a changefeed in order, which come within milliseconds and from several ranges at once.
//
// A change is let go when on each of its accounts the entry before its own has left. Which one has left last is known of accounts that were
// seen lately; of others it is asked. What is still not known is decided by resolved: up to there everything has come, and commit times
// are the order. A change has no say in the order of accounts at home elsewhere: most of their entries leave through another stream alone.
//
// It is not safe for concurrent use. Its memory is bounded: by the accounts it remembers, and by errCrowded.
type sequencer struct {
	resolved hlc
	capacity int // of changes that wait, and of changes remembered until resolved
	last     *memory
	held     map[key]*held
	on       map[ledger.Ref]*queue
	seen     map[key]hlc // came after resolved
	ready    []event.Change
}

type key struct {
	ledger id.Ledger
	id     id.Transaction
}

// span is what a change does on one account: a run of sequences.
type span struct{ first, last int64 }

// held is a change that waits.
type held struct {
	event.Change
	at      hlc
	spans   map[ledger.Ref]span
	missing int // accounts whose entry before has not left
	gone    bool
}

// errCrowded says that more changes wait than there is room for. To begin again from the last resolved time loses nothing.
var errCrowded = errors.New("too many changes wait for earlier ones")

func newSequencer(resolved hlc, accounts, capacity int) *sequencer {
	return &sequencer{
		resolved: resolved, capacity: capacity, last: newMemory(accounts), held: map[key]*held{}, on: map[ledger.Ref]*queue{}, seen: map[key]hlc{},
	}
}

// add takes a change that was committed at a time; abroad tells the ledgers of other homes. Repeats are dropped as far as they are known.
func (s *sequencer) add(c event.Change, at hlc, abroad func(id.Ledger) bool) error {
	k := key{c.Ledger, c.Transaction}
	if _, again := s.seen[k]; again || at.compare(s.resolved) <= 0 {
		return nil
	}
	if len(s.seen) < s.capacity { // what slips through is a repeat of what is in the stream already
		s.seen[k] = at
	}
	h := &held{Change: c, at: at, spans: spans(c, abroad)}
	for ref, span := range h.spans {
		if last, known := s.last.get(ref); span.first > 1 && (!known || last < span.first-1) {
			h.missing++
			s.queue(ref).add(h, span.first)
		}
	}
	if h.missing == 0 {
		s.release(h)
		return nil
	}
	if _, again := s.held[k]; again {
		h.gone = true
		return nil
	}
	s.held[k] = h
	if len(s.held) > s.capacity {
		return errCrowded
	}
	return nil
}

func spans(c event.Change, abroad func(id.Ledger) bool) map[ledger.Ref]span {
	all := make(map[ledger.Ref]span, len(c.Entries))
	for _, step := range c.Entries {
		if abroad(step.Ref.Ledger) {
			continue
		}
		if have, again := all[step.Ref]; again {
			all[step.Ref] = span{min(have.first, step.Sequence), max(have.last, step.Sequence)}
		} else {
			all[step.Ref] = span{step.Sequence, step.Sequence}
		}
	}
	return all
}

// release lets a change go, and all that waited for it alone.
func (s *sequencer) release(h *held) {
	for free := []*held{h}; len(free) > 0; {
		h, free = free[0], free[1:]
		if h.gone {
			continue
		}
		h.gone = true
		delete(s.held, key{h.Ledger, h.Transaction})
		s.ready = append(s.ready, h.Change)
		for ref, span := range h.spans {
			free = append(free, s.left(ref, span.last)...)
		}
	}
}

// left notes that everything on an account has left up to a sequence, and returns what has nothing to wait for any more.
func (s *sequencer) left(ref ledger.Ref, sequence int64) (free []*held) {
	if last, known := s.last.get(ref); known && last > sequence {
		sequence = last
	}
	s.last.set(ref, sequence)
	q := s.on[ref]
	if q == nil {
		return nil
	}
	for q.Len() > 0 && (q.waits[0].held.gone || q.waits[0].first <= sequence+1) {
		h := heap.Pop(q).(wait).held //nolint:forcetypeassert // only waits are pushed
		if h.gone {
			continue
		}
		if h.missing--; h.missing == 0 {
			free = append(free, h)
		}
	}
	if q.Len() == 0 {
		delete(s.on, ref)
	}
	return free
}

// learn is told that all there was on an account before a sequence has left.
func (s *sequencer) learn(ref ledger.Ref, before int64) {
	for _, h := range s.left(ref, before-1) {
		s.release(h)
	}
}

// resolve is told that everything up to a time has come: whatever of it still waits, goes, in the order of its commits.
func (s *sequencer) resolve(at hlc) {
	if at.compare(s.resolved) <= 0 {
		return
	}
	s.resolved = at
	var due []*held
	for _, h := range s.held {
		if h.at.compare(at) <= 0 {
			due = append(due, h)
		}
	}
	slices.SortFunc(due, func(a, b *held) int { return a.at.compare(b.at) })
	for begin := 0; begin < len(due); {
		byKey, together := map[key]*held{}, []event.Change{}
		end := begin
		for ; end < len(due) && due[end].at == due[begin].at; end++ { // of one transaction
			byKey[key{due[end].Ledger, due[end].Transaction}] = due[end]
			together = append(together, due[end].Change)
		}
		for _, c := range inOrder(together) {
			s.release(byKey[key{c.Ledger, c.Transaction}])
		}
		begin = end
	}
	for k, came := range s.seen {
		if came.compare(at) <= 0 {
			delete(s.seen, k)
		}
	}
}

// take returns what may be handed over, at most so many.
func (s *sequencer) take(most int) []event.Change {
	n := min(most, len(s.ready))
	taken := s.ready[:n:n]
	s.ready = s.ready[n:]
	if len(s.ready) == 0 {
		s.ready = nil
	}
	return taken
}

// question asks what was before a sequence on an account, and whether it has left.
type question struct {
	ref    ledger.Ref
	before int64
}

// How long the entry before is waited for until somebody is asked, where the account is known, and how often then.
const (
	askKnown = 50 * time.Millisecond
	askAgain = 500 * time.Millisecond
)

// questions returns what is worth asking now, at most so many.
func (s *sequencer) questions(now time.Time, most int) (asked []question) {
	for ref, q := range s.on {
		for q.Len() > 0 && q.waits[0].held.gone {
			heap.Pop(q)
		}
		if q.Len() == 0 {
			delete(s.on, ref)
			continue
		}
		if q.ask.IsZero() {
			q.ask = now
			if _, known := s.last.get(ref); known {
				q.ask = now.Add(askKnown)
			}
		}
		if q.ask.After(now) || len(asked) == most {
			continue
		}
		q.ask = now.Add(askAgain)
		asked = append(asked, question{ref, q.waits[0].first})
	}
	return asked
}

func (s *sequencer) queue(ref ledger.Ref) *queue {
	if s.on[ref] == nil {
		s.on[ref] = &queue{}
	}
	return s.on[ref]
}

// queue holds what waits on one account, by sequence.
type queue struct {
	waits []wait
	ask   time.Time // not before
}

type wait struct {
	held  *held
	first int64
}

func (q *queue) add(h *held, first int64) { heap.Push(q, wait{h, first}) }

func (q *queue) Len() int           { return len(q.waits) }
func (q *queue) Less(i, j int) bool { return q.waits[i].first < q.waits[j].first }
func (q *queue) Swap(i, j int)      { q.waits[i], q.waits[j] = q.waits[j], q.waits[i] }
func (q *queue) Push(v any)         { q.waits = append(q.waits, v.(wait)) } //nolint:forcetypeassert // only waits are pushed
func (q *queue) Pop() any {
	last := len(q.waits) - 1
	v := q.waits[last]
	q.waits = q.waits[:last]
	return v
}

// memory remembers the last sequence that left on the accounts that were seen lately.
type memory struct {
	size  int
	by    map[ledger.Ref]*list.Element
	order *list.List // newest first
}

type remembered struct {
	ref  ledger.Ref
	last int64
}

func newMemory(size int) *memory {
	return &memory{size: size, by: map[ledger.Ref]*list.Element{}, order: list.New()}
}

func (m *memory) get(ref ledger.Ref) (int64, bool) {
	e, known := m.by[ref]
	if !known {
		return 0, false
	}
	return e.Value.(*remembered).last, true //nolint:forcetypeassert // only these are kept
}

func (m *memory) set(ref ledger.Ref, last int64) {
	if e, known := m.by[ref]; known {
		e.Value.(*remembered).last = last //nolint:forcetypeassert // only these are kept
		m.order.MoveToFront(e)
		return
	}
	m.by[ref] = m.order.PushFront(&remembered{ref, last})
	if m.order.Len() > m.size {
		oldest := m.order.Back()
		m.order.Remove(oldest)
		delete(m.by, oldest.Value.(*remembered).ref) //nolint:forcetypeassert // only these are kept
	}
}
