package commit

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// lane takes one group to its end, and then starts whatever waited for its accounts.
func (c *Committer) lane(homes string, group []*unit) {
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
		u.claim()
		c.push(u)
	}
	c.queues[homes].lanes--
	c.inFlight--
	c.o.Metrics.inFlight.Set(float64(c.inFlight))
	for homes := range c.queues { // a group of several homes may have kept units of other queues waiting
		c.dispatch(homes)
	}
	c.idle.Broadcast()
}

// settle executes a group until it is answered, and returns the units whose targets came to be meanwhile and that have to wait again with
// the accounts behind them. Where the database refuses the group as broken, each unit is tried alone, so that one of them can not
// take its neighbours along.
func (c *Committer) settle(group []*unit) (again []*unit) {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.Patience)
	defer cancel()
	again, err := c.persist(ctx, group)
	if errors.Is(err, errs.ErrInternal) && len(group) > 1 {
		c.o.Log.Error("a group failed; its commands are tried one by one", "error", err, "units", len(group))
		again = nil
		for _, u := range group {
			again = append(again, c.settle([]*unit{u})...)
		}
		return again
	}
	if err != nil {
		c.o.Log.Warn("a group was given up", "error", err, "units", len(group))
		for _, u := range group {
			u.fail(err)
		}
		return nil
	}
	return again
}

func (u *unit) fail(err error) {
	if u.uncertain && !errors.Is(err, errs.ErrInternal) {
		err = errs.ErrOutcomeUnknown.Because(err)
	}
	u.err = err
	close(u.done)
}

// persist attempts a group until it is committed, refused or out of patience. An attempt whose commit got no answer is followed by one
// that finds the rows, if they are there: the locks make it wait for a first attempt that is still on its way, and the unique keys
// make a second effect impossible.
func (c *Committer) persist(ctx context.Context, group []*unit) ([]*unit, error) {
	for attempt := 1; ; attempt++ {
		again, err := c.attempt(ctx, group)
		if err == nil {
			return again, nil
		}
		if errors.Is(err, errs.ErrOutcomeUnknown) {
			for _, u := range group {
				u.uncertain = true
			}
		}
		if !retryable(err) {
			return nil, err
		}
		c.o.Metrics.retries.WithLabelValues(errs.Of(err).Fields["cause"]).Inc()
		if !pause(ctx, attempt) {
			return nil, err
		}
	}
}

func retryable(err error) bool {
	return errors.Is(err, errs.ErrContended) || errors.Is(err, errs.ErrOutcomeUnknown) || errors.Is(err, errs.ErrUnavailable) ||
		errors.Is(err, errs.ErrDeadlineExceeded) // of the attempt: the group's own patience ends in pause
}

// pause waits before the next attempt: up to 2 ms, 4 ms … 256 ms, drawn uniformly so that nodes that met once do not meet again in step.
func pause(ctx context.Context, attempt int) bool {
	bound := time.Millisecond << min(attempt, 8)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(bound)))) //nolint:gosec // jitter needs no secret
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
	var gather ledger.Gather
	for _, u := range group {
		u.needs(&gather)
	}
	tx, books, err := c.store.Begin(ctx, gather.Needs())
	if err != nil {
		return nil, err
	}
	loaded := c.o.Now()
	answered, again, err := c.decide(ctx, books, group)
	if err != nil {
		tx.Rollback(ctx)
		return nil, err
	}
	decided := c.o.Now()
	if changes := books.Changes(); changes.Empty() {
		tx.Rollback(ctx)
	} else if err := tx.Commit(ctx, changes); err != nil {
		return nil, err
	}
	c.o.Metrics.staged(started, loaded, decided, c.o.Now())
	for _, u := range answered {
		c.o.Metrics.answered(u)
		close(u.done)
	}
	return again, nil
}

// decide executes the units one after another. One whose target is there now but was not when the unit was looked at goes back with the
// accounts behind the target.
func (c *Committer) decide(ctx context.Context, books *ledger.Books, group []*unit) (answered, again []*unit, err error) {
	for _, u := range group {
		if missing := books.Missing(u.batch.Commands); len(missing) > 0 {
			u.touched[0] = append(u.touched[0], missing...)
			for _, ref := range missing {
				if err := u.learn(ctx, c.store, u.batch.Commands[0], []ledger.Ref{ref}); err != nil {
					return nil, nil, err
				}
			}
			again = append(again, u)
			continue
		}
		u.results = books.Execute(u.batch)
		if u.uncertain {
			c.resolve(u)
		}
		answered = append(answered, u)
	}
	return answered, again, nil
}

// resolve gives an answer that was found after an unknown commit as what it is to the caller: the first one.
func (c *Committer) resolve(u *unit) {
	for i := range u.results {
		if u.results[i].Outcome.Replayed {
			u.results[i].Outcome.Replayed = false
			c.o.Metrics.resolved.Inc()
		}
	}
}
