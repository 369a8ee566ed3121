package commit

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// call is a batch on its way, and its caller waits for it. Where every command is for itself it goes into the queues as one unit a command,
// so that lanes fill with commands on disjoint accounts: whole batches of hundreds on ten thousand accounts always meet, and were
// executed one by one. All have the priority of the most urgent one and stand behind one another, so that the order on each account
// is that of the batch.
//
// An atomic batch is one unit. So is one with a target that is not there yet: nobody knows which accounts it is going to touch, so nobody
// could keep what comes behind it from overtaking it there.
type call struct {
	ctx      context.Context //nolint:containedctx // the deadline of a waiting caller is part of what waits
	units    []*unit
	priority ledger.Priority
	queued   time.Time

	open   atomic.Int64 // units without an answer
	broken atomic.Pointer[error]
	done   chan struct{}
}

// call makes a batch ready to wait.
func (c *Committer) call(ctx context.Context, batch ledger.Batch) (*call, error) {
	k := &call{ctx: ctx, priority: ledger.Other, done: make(chan struct{})}
	whole, known, err := c.unit(ctx, k, batch)
	if err != nil {
		return nil, err
	}
	k.units = []*unit{whole}
	if known && !batch.Atomic && !batch.DryRun && len(batch.Commands) > 1 {
		k.units = whole.split()
	}
	for _, u := range k.units {
		u.claim()
	}
	k.open.Store(int64(len(k.units)))
	return k, nil
}

// split makes a unit of each command.
func (u *unit) split() []*unit {
	n := len(u.batch.Commands)
	all, units := make([]unit, n), make([]*unit, n)
	for i := range all {
		all[i] = unit{
			call: u.call, batch: ledger.Batch{Commands: u.batch.Commands[i : i+1 : i+1]}, touched: u.touched[i : i+1 : i+1], ledgers: u.ledgers,
		}
		units[i] = &all[i]
	}
	return units
}

func (k *call) commands() (n int) {
	for _, u := range k.units {
		n += len(u.batch.Commands)
	}
	return n
}

// ended counts a unit that has its answer, or the error that came instead. The last one wakes the caller.
func (k *call) ended(err error) {
	if err != nil {
		k.broken.CompareAndSwap(nil, &err)
	}
	if k.open.Add(-1) == 0 {
		close(k.done)
	}
}

// failure is the error of the first unit that got none of the answers of the books. What comes behind it in the batch may have built on it
// — a debit on the credit before it — and a decline would be its answer for ever: so whatever has not begun is not begun any more.
func (k *call) failure() error {
	if err := k.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// answer puts the answers into the order of the commands. Where there is none at all, the error is that of the call.
func (k *call) answer() ([]ledger.Result, error) {
	if len(k.units) == 1 {
		return k.units[0].results, k.units[0].err
	}
	results := make([]ledger.Result, len(k.units))
	var told error
	failed := 0
	for i, u := range k.units {
		if u.err == nil {
			results[i] = u.results[0]
			continue
		}
		results[i].Err = u.err
		failed++
		if told == nil || errors.Is(u.err, errs.ErrOutcomeUnknown) { // of the whole, the least that is known of any
			told = u.err
		}
	}
	if failed == len(k.units) {
		return nil, told
	}
	return results, nil
}

// abandon fails the units of a broken call that still wait.
func (c *Committer) abandon(k *call, err error) {
	for _, u := range k.units {
		if u.place == waits {
			c.drop(u)
			u.fail(err)
		}
	}
}

// unbroken fails the units whose calls are broken, and returns the others.
func unbroken(group []*unit) []*unit {
	whole := make([]*unit, 0, len(group))
	for _, u := range group {
		if err := u.call.failure(); err != nil {
			u.fail(err)
			continue
		}
		whole = append(whole, u)
	}
	return whole
}
