// Package commit answers commands in groups: many concurrent commands, few serializable transactions.
//
// It promises that a command is answered once it is durable, that commands on one account are executed in the order in which they came,
// that a decline does not touch its neighbours, and that an unknown commit is looked up before anything is said. There is no timer: an
// idle node commits a single command at once, and a busy one commits what has gathered while the group before it was on its way.
//
// Groups in flight on a node hold disjoint sets of accounts, so a node never waits for itself; other nodes are met by retry. Groups are
// formed per set of homes, so that a far region never slows a near one. It relies on a Store for two round trips a group (package
// store has the statements), and on ledger.Books for the decisions. See lane.go for the life of a group.
package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	// Behind returns the accounts behind the target of a command, or none where the target is not there.
	Behind(ctx context.Context, c ledger.Command) ([]ledger.Ref, error)
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
}

// Committer executes commands in groups. It is safe for concurrent use. Drain ends it.
type Committer struct {
	store Store
	o     Options

	mu       sync.Mutex
	queues   map[string]*queue // by set of homes
	busy     map[resource]struct{}
	waiting  int // commands
	inFlight int // groups
	draining bool
	idle     *sync.Cond
}

// resource is what two groups in flight may not share: an account, or a key.
type resource struct {
	ref ledger.Ref
	key id.Transaction
}

// queue holds the units of one set of homes, by priority and age.
type queue struct {
	waiting [ledger.Priorities][]*unit
	lanes   int // in use
}

// unit is a batch on its way through a queue.
type unit struct {
	ctx       context.Context //nolint:containedctx // the deadline of a waiting caller is part of what waits
	batch     ledger.Batch
	touched   [][]ledger.Ref // accounts of each command
	ledgers   map[id.Ledger]ledger.Ledger
	resources []resource
	homes     string
	priority  ledger.Priority
	queued    time.Time
	uncertain bool // an attempt ended without word from the server
	results   []ledger.Result
	err       error
	done      chan struct{}
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
	c := &Committer{store: store, o: o, queues: map[string]*queue{}, busy: map[resource]struct{}{}}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// Execute implements the method of ledger.Service.
func (c *Committer) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	u, err := c.unit(ctx, batch)
	if err != nil {
		return nil, err
	}
	if batch.DryRun {
		return c.preview(ctx, u)
	}
	if err := c.enqueue(u); err != nil {
		return nil, err
	}
	select {
	case <-u.done:
		return u.results, u.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, errs.ErrCanceled
		}
		return nil, errs.ErrDeadlineExceeded
	}
}

// unit looks up what has to be known before a batch can wait: its ledgers, and the accounts behind its targets.
func (c *Committer) unit(ctx context.Context, batch ledger.Batch) (*unit, error) {
	if n := len(batch.Commands); n == 0 || n > ledger.MaxBatch {
		return nil, errs.Invalid("commands", fmt.Sprintf("a batch has 1 to %d commands", ledger.MaxBatch))
	}
	u := &unit{
		ctx: ctx, batch: batch, touched: make([][]ledger.Ref, len(batch.Commands)), ledgers: make(map[id.Ledger]ledger.Ledger, 1),
		priority: ledger.Other, done: make(chan struct{}),
	}
	now := c.o.Now()
	local := map[id.Transaction][]ledger.Ref{} // accounts of earlier commands of the batch, which later ones may aim at
	for i, command := range batch.Commands {
		if err := command.Validate(now); err != nil {
			return nil, at(err, i, len(batch.Commands))
		}
		touched, err := c.touched(ctx, command, local)
		if err != nil {
			return nil, at(err, i, len(batch.Commands))
		}
		u.touched[i], u.priority = touched, min(u.priority, command.Kind.Priority())
		if len(batch.Commands) > 1 {
			local[command.ID()] = touched
		}
		if err := u.learn(ctx, c.store, command, touched); err != nil {
			return nil, at(err, i, len(batch.Commands))
		}
	}
	u.claim()
	return u, nil
}

func (c *Committer) touched(ctx context.Context, command ledger.Command, local map[id.Transaction][]ledger.Ref) ([]ledger.Ref, error) {
	if command.Target.IsZero() {
		return command.Touches(nil), nil
	}
	behind, known := local[command.Target]
	if !known {
		var err error
		if behind, err = c.store.Behind(ctx, command); err != nil {
			return nil, err
		}
	}
	return command.Touches(behind), nil
}

func (u *unit) learn(ctx context.Context, store Store, command ledger.Command, touched []ledger.Ref) error {
	names := []id.Ledger{command.Ledger}
	for _, ref := range touched {
		names = append(names, ref.Ledger)
	}
	for _, name := range names {
		if _, known := u.ledgers[name]; known {
			continue
		}
		l, err := store.Ledger(ctx, name)
		if err != nil {
			return err
		}
		u.ledgers[name] = l
	}
	return nil
}

// claim names the resources and the homes of the unit.
func (u *unit) claim() {
	u.resources = u.resources[:0]
	for i, command := range u.batch.Commands {
		u.resources = append(u.resources, resource{key: command.ID()})
		if !command.Target.IsZero() {
			u.resources = append(u.resources, resource{key: command.Target})
		}
		for _, ref := range u.touched[i] {
			u.resources = append(u.resources, resource{ref: ref})
		}
	}
	homes := make([]string, 0, 1)
	for _, l := range u.ledgers {
		homes = append(homes, string(l.Home))
	}
	slices.Sort(homes)
	u.homes = strings.Join(slices.Compact(homes), ",")
}

func (u *unit) needs(g *ledger.Gather) {
	for i, command := range u.batch.Commands {
		g.Add(command, u.touched[i], func(k id.Ledger) ledger.Ledger { return u.ledgers[k] })
	}
}

// preview decides on a snapshot and writes nothing.
func (c *Committer) preview(ctx context.Context, u *unit) ([]ledger.Result, error) {
	var g ledger.Gather
	u.needs(&g)
	books, err := c.store.Peek(ctx, g.Needs())
	if err != nil {
		return nil, err
	}
	return books.Execute(u.batch), nil
}

// enqueue lets a unit wait, or refuses it at once where too many wait already.
func (c *Committer) enqueue(u *unit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return errs.ErrDraining
	}
	if c.waiting+len(u.batch.Commands) > c.o.MaxQueue {
		c.o.Metrics.overloaded.Inc()
		return errs.ErrOverloaded.With("waiting", c.waiting)
	}
	u.queued = c.o.Now()
	c.push(u)
	c.dispatch(u.homes)
	return nil
}

func (c *Committer) push(u *unit) {
	q, found := c.queues[u.homes]
	if !found {
		q = &queue{}
		c.queues[u.homes] = q
	}
	q.waiting[u.priority] = append(q.waiting[u.priority], u)
	c.waiting += len(u.batch.Commands)
	c.o.Metrics.waiting.Set(float64(c.waiting))
}

// dispatch starts groups of one queue while it has free lanes and units whose accounts are free.
func (c *Committer) dispatch(homes string) {
	q := c.queues[homes]
	for q.lanes < c.o.Lanes {
		group := c.take(q)
		if len(group) == 0 {
			return
		}
		q.lanes++
		c.inFlight++
		c.o.Metrics.inFlight.Set(float64(c.inFlight))
		go c.lane(homes, group)
	}
}

// take collects the next group: the most urgent and oldest units that meet no account or key in flight, nor one of a unit that stays
// behind, so that the order on each account is kept. A caller whose context has ended is told so and takes no part.
func (c *Committer) take(q *queue) []*unit {
	var group []*unit
	size := 0
	var passed map[resource]struct{}
	for p := range q.waiting {
		kept := q.waiting[p][:0]
		for i, u := range q.waiting[p] {
			if size >= c.o.MaxGroup || (size > 0 && size+len(u.batch.Commands) > c.o.MaxGroup) {
				kept = append(kept, q.waiting[p][i:]...)
				break
			}
			if u.ctx.Err() != nil {
				c.waiting -= len(u.batch.Commands)
				continue
			}
			if c.blocked(u, passed) {
				if passed == nil {
					passed = map[resource]struct{}{}
				}
				for _, r := range u.resources {
					passed[r] = struct{}{}
				}
				kept = append(kept, u)
				continue
			}
			group, size = append(group, u), size+len(u.batch.Commands)
		}
		clear(q.waiting[p][len(kept):])
		q.waiting[p] = kept
	}
	for _, u := range group {
		for _, r := range u.resources {
			c.busy[r] = struct{}{}
		}
	}
	c.waiting -= size
	c.o.Metrics.waiting.Set(float64(c.waiting))
	return group
}

func (c *Committer) blocked(u *unit, passed map[resource]struct{}) bool {
	for _, r := range u.resources {
		if _, busy := c.busy[r]; busy {
			return true
		}
		if _, before := passed[r]; before {
			return true
		}
	}
	return false
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

// at says which command of a batch an error is about.
func at(err error, i, n int) error {
	if n == 1 {
		return err
	}
	e := errs.Of(err).With("index", i)
	if field, found := e.Fields["field"]; found {
		e = e.With("field", fmt.Sprintf("commands[%d].%s", i, field))
	}
	return e
}
