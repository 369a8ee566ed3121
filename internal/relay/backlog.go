package relay

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
)

// backlogBound is how many changes wait for the writer at most, give or take a batch: then the feed waits.
const backlogBound = 4 * batchBound

// backlog is what the feed has handed over and the writer has not taken. Whatever gathers while an append is on its way leaves in the next.
type backlog struct {
	mu      sync.Mutex
	changes []event.Change
	marks   []mark // in the order of their ends; the last one ends with the changes
	taken   int    // changes that left, which ends are counted from
	closed  bool
	more    chan struct{} // has a token where something was put, or it was closed
	room    chan struct{} // has a token where something was taken
}

// mark is what a batch said besides its changes, which ended there.
type mark struct {
	end    int
	cursor event.Cursor
	at     time.Time
}

func newBacklog() *backlog {
	return &backlog{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put adds a batch, once there is room, unless the context ends first. It is for one caller at a time.
func (l *backlog) put(ctx context.Context, b feed.Batch) error {
	for !l.tryPut(b) {
		select {
		case <-l.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

func (l *backlog) tryPut(b feed.Batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.changes) >= backlogBound {
		return false
	}
	l.changes = append(l.changes, b.Changes...)
	next := mark{end: l.taken + len(l.changes), cursor: b.Cursor, at: b.At}
	if n := len(l.marks); n > 0 && l.marks[n-1].end == next.end { // heartbeats must not pile up while the database is away
		last := l.marks[n-1]
		next.cursor = cmp.Or(next.cursor, last.cursor)
		if next.at.IsZero() {
			next.at = last.at
		}
		l.marks = l.marks[:n-1]
	}
	l.marks = append(l.marks, next)
	signal(l.more)
	return true
}

// close says that nothing comes any more. What is there can still be taken.
func (l *backlog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	signal(l.more)
}

// take waits until there is something, and returns the first changes, at most limit, with the cursor and the time that hold once they and all
// before them are safe. ok is false where it is closed and empty.
func (l *backlog) take(ctx context.Context, limit int) (b feed.Batch, ok bool, err error) {
	for {
		b, ok, closed := l.tryTake(limit)
		if ok || closed {
			return b, ok, nil
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return feed.Batch{}, false, context.Cause(ctx)
		}
	}
}

func (l *backlog) tryTake(limit int) (b feed.Batch, ok, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.marks) == 0 {
		return b, false, l.closed
	}
	n := min(limit, len(l.changes))
	b.Changes, l.changes = l.changes[:n:n], l.changes[n:]
	l.taken += n
	for len(l.marks) > 0 && l.marks[0].end <= l.taken {
		m := l.marks[0]
		l.marks = l.marks[1:]
		b.Cursor = cmp.Or(m.cursor, b.Cursor)
		if !m.at.IsZero() {
			b.At = m.at
		}
	}
	signal(l.room)
	return b, true, l.closed
}

func (l *backlog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.changes)
}
