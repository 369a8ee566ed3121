// Package commit answers commands in groups: many concurrent commands, few serializable transactions.
//
// It promises that a command is answered once it is durable, that commands on one account are executed in the order in which they came,
// that a decline does not touch its neighbours, and that an unknown commit is looked up before anything is said. There is no timer: an
// idle node commits a single command at once, and a busy one commits what has gathered while the group before it was on its way.
//
// Groups in flight on a node hold disjoint sets of accounts, so a node never waits for itself; other nodes are met by retry. Groups are
// formed per set of homes, so that a far region never slows a near one. It relies on a Store for two round trips a group (package
// store has the statements), and on ledger.Books for the decisions. See call.go for batches, unit.go for what waits, queue.go for who is
// next, lane.go for the life of a group.
package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Store is what groups need of the database. Errors are those of ledger.Group.
type Store interface {
	// Ledger returns one set of books, or errs.ErrLedgerNotFound.
	Ledger(ctx context.Context, ledger id.Ledger) (ledger.Ledger, error)
	// Behind returns the accounts behind the targets of commands, by target. Targets that are not there are left out.
	Behind(ctx context.Context, commands []ledger.Command) (map[id.Transaction][]ledger.Ref, error)
	// Begin loads and locks in one round trip.
	Begin(ctx context.Context, needs ledger.Needs) (ledger.Group, *ledger.Books, error)
	// Peek loads one snapshot without locks.
	Peek(ctx context.Context, needs ledger.Needs) (*ledger.Books, error)
}

// Options bound the work. The zero value is sane.
type Options struct {
	Lanes    int           // groups in flight for one set of homes; default 2
	MaxGroup int           // commands in a group; default 512
	MaxQueue int           // commands waiting on this node; default 8192
	Patience time.Duration // how long a group is tried while the database is away or contended; default 15 s
	Attempt  time.Duration // the longest that one attempt at a group may take; default 10 s
	Metrics  *Metrics      // nil: counted and thrown away
	Log      *slog.Logger  // nil: silent
	Now      func() time.Time

	Lifecycle ledger.Lifecycle // of payments; the zero value refuses them
}

// Committer executes commands in groups. It is safe for concurrent use. Drain ends it.
type Committer struct {
	store   Store
	o       Options
	targets targets

	mu       sync.Mutex
	queues   map[string]*queue // by set of homes
	busy     map[resource]struct{}
	arrivals int64 // units that ever came
	waiting  int   // commands
	left     int   // units whose callers went away, and that still stand in a queue
	inFlight int   // groups
	draining bool
	idle     *sync.Cond
}

// New returns a committer that is ready.
func New(store Store, o Options) *Committer {
	o.Lanes, o.MaxGroup, o.MaxQueue = cmp.Or(o.Lanes, 2), cmp.Or(o.MaxGroup, 512), cmp.Or(o.MaxQueue, 8192)
	o.Patience, o.Attempt = cmp.Or(o.Patience, 15*time.Second), cmp.Or(o.Attempt, 10*time.Second)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Committer{store: store, o: o, targets: newTargets(), queues: map[string]*queue{}, busy: map[resource]struct{}{}}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// Execute implements the method of ledger.Service.
func (c *Committer) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	k, err := c.call(ctx, batch)
	if err != nil {
		return nil, err
	}
	if batch.DryRun {
		return c.preview(ctx, k.units[0])
	}
	if err := c.enqueue(k); err != nil {
		return nil, err
	}
	select {
	case <-k.done:
		return k.answer()
	case <-ctx.Done():
		c.leave(k)
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, errs.ErrCanceled
		}
		return nil, errs.ErrDeadlineExceeded
	}
}

// preview decides on a snapshot and writes nothing.
func (c *Committer) preview(ctx context.Context, u *unit) ([]ledger.Result, error) {
	for {
		books, err := c.store.Peek(ctx, needs(u))
		if err != nil {
			return nil, err
		}
		books.Lifecycle = c.o.Lifecycle
		missing, err := u.lacks(books)
		if err != nil {
			return nil, err
		}
		if len(missing) == 0 {
			return books.Execute(u.batch), nil
		}
		if err := u.touch(ctx, c.store, missing); err != nil { // each time round, a target more is known
			return nil, err
		}
	}
}

// Drain refuses new commands and waits until every accepted one is answered, or the context ends.
func (c *Committer) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.idle.Broadcast()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	for c.inFlight > 0 || c.waiting > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("drain: %d commands wait, %d groups are in flight: %w", c.waiting, c.inFlight, ctx.Err())
		}
		c.idle.Wait()
	}
	return nil
}

// Draining tells whether Drain was called.
func (c *Committer) Draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}
