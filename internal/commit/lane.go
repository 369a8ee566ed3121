package commit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// lane takes one group to its end, and then starts whatever waited for its accounts.
func (c *Committer) lane(q *queue, group []*unit) {
	c.o.Metrics.grouped(group, c.o.Now())
	again := c.settle(group)

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range group {
		for _, r := range u.resources {
			delete(c.busy, r)
		}
	}
	for _, u := range again {
		if u.place != gone {
			u.claim()
			c.push(u)
		}
	}
	var looked *call
	for _, u := range group {
		if err := u.call.failure(); err != nil && u.call != looked { // units of one call mostly stand together
			c.abandon(u.call, err)
		}
		looked = u.call
	}
	q.lanes--
	c.inFlight--
	c.o.Metrics.inFlight.Set(float64(c.inFlight))
	c.dispatchAll() // units of other queues may have waited for the same accounts
	c.idle.Broadcast()
}

// settle executes a group until it is answered, and returns the units whose targets came to be meanwhile and that have to wait again with
// the accounts behind them.
func (c *Committer) settle(group []*unit) (again []*unit) {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.Patience)
	defer cancel()
	for _, u := range c.part(ctx, group) {
		if err := u.touch(ctx, c.store, u.missing); err != nil {
			u.fail(err)
			continue
		}
		again = append(again, u)
	}
	return again
}

// part executes a group. Where it turns out to be broken, its halves are tried one after the other, and so on, so that the one command
// that breaks it takes no neighbour along.
func (c *Committer) part(ctx context.Context, group []*unit) (again []*unit) {
	if group = unbroken(group); len(group) == 0 {
		return nil
	}
	again, err := c.persist(ctx, group)
	switch {
	case err == nil:
		return again
	case errors.Is(err, errs.ErrInternal) && len(group) > 1:
		c.o.Log.Warn("a group is broken; its halves are tried", "error", err, "units", len(group))
		half := len(group) / 2
		return append(c.part(ctx, group[:half]), c.part(ctx, group[half:])...)
	case errors.Is(err, errs.ErrInternal):
		first := group[0].batch.Commands[0]
		c.o.Log.Error("a batch is broken", "error", err, "ledger", first.Ledger, "idempotency_key", first.Key, "commands", len(group[0].batch.Commands))
	default:
		c.o.Log.Warn("a group was given up", "error", err, "units", len(group))
	}
	for _, u := range group {
		u.fail(err)
	}
	return nil
}

// persist attempts a group until it is committed, refused or out of patience. An attempt whose commit got no answer is followed by one
// that finds the rows, if they are there: the locks make it wait for a first attempt that is still on its way, and the unique keys
// make a second effect impossible.
func (c *Committer) persist(ctx context.Context, group []*unit) ([]*unit, error) {
	for attempt := 1; ; attempt++ {
		again, err := c.attempt(ctx, group)
		if errors.Is(err, errs.ErrDeadlineExceeded) { // of the attempt; that of a caller ends nothing here
			err = errs.ErrUnavailable.With("cause", "timeout").Because(err)
		}
		if err == nil || !retryable(err) {
			return again, err
		}
		c.o.Metrics.retries.WithLabelValues(errs.Of(err).Fields["cause"]).Inc()
		if !pause(ctx, attempt) {
			return nil, err
		}
	}
}

func retryable(err error) bool {
	return errors.Is(err, errs.ErrContended) || errors.Is(err, errs.ErrOutcomeUnknown) || errors.Is(err, errs.ErrUnavailable)
}

// pause waits before the next attempt: up to 2 ms, 4 ms … 256 ms, drawn uniformly so that nodes that met once do not meet again in step.
func pause(ctx context.Context, attempt int) bool {
	bound := time.Millisecond << min(attempt, 8)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(bound))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// attempt is one transaction: load, decide, write. The answers are given once it is committed.
func (c *Committer) attempt(ctx context.Context, group []*unit) ([]*unit, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Attempt)
	defer cancel()
	started := c.o.Now()
	tx, books, err := c.store.Begin(ctx, needs(group...))
	if err != nil {
		return nil, err
	}
	books.Lifecycle = c.o.Lifecycle
	loaded := c.o.Now()
	answered, again, err := decide(books, group)
	if err != nil {
		tx.Rollback(ctx)
		return nil, err
	}
	decided := c.o.Now()
	if changes := books.Changes(); changes.Empty() {
		tx.Rollback(ctx)
	} else if err := tx.Commit(ctx, changes); err != nil {
		for _, u := range answered {
			if errors.Is(err, errs.ErrOutcomeUnknown) {
				u.doubt()
			}
		}
		return nil, err
	}
	c.o.Metrics.staged(started, loaded, decided, c.o.Now())
	for _, u := range answered {
		c.o.Metrics.resolved.Add(float64(u.settleDoubt()))
		c.o.Metrics.answered(u)
		c.targets.made(u)
		u.call.ended(nil)
	}
	return again, nil
}

// decide executes the units one after another. One whose target is there now but was not when the unit was looked at goes back with the
// accounts behind the target. A belief that breaks stops these units alone, not the node.
func decide(books *ledger.Books, group []*unit) (answered, again []*unit, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = errs.ErrInternal.Because(fmt.Errorf("panic: %v\n%s", broken, debug.Stack()))
		}
	}()
	for _, u := range group {
		missing, err := u.lacks(books)
		if err != nil {
			return nil, nil, err
		}
		if len(missing) > 0 {
			u.missing = missing
			again = append(again, u)
			continue
		}
		u.results = books.Execute(u.batch)
		answered = append(answered, u)
	}
	return answered, again, nil
}
