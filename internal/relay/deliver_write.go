package relay

import (
	"context"
	"errors"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

// writing is a checkpoint on its way, and what became of it.
type writing struct {
	items []*item
	found *event.Subscription // another revision that stands there by now
	err   error
}

// settled ends an item and counts it.
func (s *session) settled(i *item, as outcome) {
	i.dueAt = time.Now() // of a dead one: when it died
	s.queue.settle(i, as)
	if i.passed {
		s.count(i)
	}
	s.unsaved++
}

// count adds what was delivered to the sum. Each item comes here once: when it is both delivered and passed.
func (s *session) count(i *item) {
	if i.outcome == delivered && i.position > s.progress.Since {
		s.progress.Delivered++
		s.digest = s.digest.Add(event.Weigh(s.name, i.position, i.transaction))
	}
}

// pass moves the position on as far as it goes.
func (s *session) pass(now time.Time) {
	s.queue.pass(s.count)
	if at := s.queue.position(); at > s.progress.Position {
		s.progress.Position = at
		s.unsaved++
	}
	if s.unsaved == 0 && len(s.queue.dirty) == 0 {
		return
	}
	within := s.Limits.Checkpoint
	if s.progress.Delivered == s.savedDelivered && len(s.queue.dirty) == 0 {
		within *= idle // it only went past what nobody wants: a write would save nobody a repeat
	}
	s.writeAt = earliest(now.Add(within), s.writeAt)
}

// idle is how many times rarer a position is written that has nothing delivered behind it; soon is how many settled items are worth a
// checkpoint before its time.
const (
	idle = 10
	soon = 2000
)

// save starts a checkpoint where one is due.
func (s *session) save(ctx context.Context, now time.Time) time.Time {
	if s.writing || s.writeAt.IsZero() {
		return time.Time{}
	}
	if s.writeAt.After(now) && (s.unsaved < soon || s.failures > 0) {
		return s.writeAt
	}
	c, items := s.checkpoint()
	s.writing = true
	go func() { s.written <- s.write(ctx, c, items) }()
	return time.Time{}
}

// checkpoint is the state of things now, and which items it holds.
func (s *session) checkpoint() (event.Checkpoint, []*item) {
	c := event.Checkpoint{Lease: s.lease, Revision: s.subscription.Revision, Progress: s.progress}
	c.Progress.Digest = s.digest.String()
	items := make([]*item, 0, len(s.queue.dirty))
	for i := range s.queue.dirty {
		items = append(items, i)
		if i.outcome != delivered {
			i.stored = true
			c.Put = append(c.Put, s.delivery(i))
		} else if i.stored {
			c.Drop = append(c.Drop, i.position)
		}
	}
	clear(s.queue.dirty)
	s.unsaved, s.writeAt, s.savedDelivered = 0, time.Time{}, s.progress.Delivered
	return c, items
}

func (s *session) delivery(i *item) event.Delivery {
	state := event.Due
	if i.outcome == dead {
		state = event.Dead
	}
	return event.Delivery{
		Home: s.lease.Home, Subscription: s.name, Position: i.position, Ledger: i.ledger, Transaction: i.transaction, Accounts: i.accounts,
		State: state, Attempts: i.attempts, DueAt: i.dueAt, Cause: i.cause, Detail: i.detail, CreatedAt: i.createdAt,
	}
}

const writeWithin = 10 * time.Second

// write writes a checkpoint. Where the subscription has another revision that wants the same events, the checkpoint is as right as before,
// and written by that one: a pause must not cost repeats.
func (s *session) write(ctx context.Context, c event.Checkpoint, items []*item) writing {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	w := writing{items: items, err: s.Store.WriteCheckpoint(ctx, c)}
	if !errors.Is(w.err, event.ErrRevised) {
		return w
	}
	now, err := s.Store.Subscription(ctx, s.name)
	if err != nil {
		return writing{items: items, err: err}
	}
	w.found = &now
	if s.subscription.WantsAs(now) {
		c.Revision = now.Revision
		w.err = s.Store.WriteCheckpoint(ctx, c)
	}
	return w
}

// saved takes in what became of a checkpoint. One that failed, or whose answer was lost, is written again with what came after it: all that
// it says is absolute.
func (s *session) saved(w writing, now time.Time) {
	s.writing = false
	if w.found != nil {
		s.found(*w.found)
	}
	if w.err == nil {
		s.failures = 0
		return
	}
	for _, i := range w.items {
		s.queue.dirty[i] = struct{}{}
	}
	s.unsaved += max(1, len(w.items))
	switch {
	case errors.Is(w.err, event.ErrFenced):
		s.fatal = event.ErrFenced
	case errors.Is(w.err, event.ErrRevised):
		s.revised = true
	default:
		s.failures++
		s.writeAt = now.Add(rereading.Wait(s.failures, 0))
		if s.failures == 1 {
			s.Log.Warn("write a checkpoint", "home", s.lease.Home, "subscription", s.name, "error", w.err)
		}
	}
}

// saveLast writes what is left when a session ends. What can not be written is delivered again.
func (s *session) saveLast(ctx context.Context) {
	if s.writing {
		s.saved(<-s.written, time.Now())
	}
	for s.fatal == nil && !s.revised && s.unsaved > 0 && ctx.Err() == nil {
		c, items := s.checkpoint()
		s.saved(s.write(ctx, c, items), time.Now())
		if s.failures > 0 {
			_ = sleep(ctx, rereading.Wait(s.failures, 0)) // the loop looks at the context
		}
	}
}
