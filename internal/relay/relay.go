// Package relay writes the order of the change stream down, and delivers it.
//
// It promises that the stream of a home has every change of its journal once, at positions without a gap, and in order on each account; that
// one process works on a home at a time, and that another takes over within ten seconds when it dies; and that every subscription gets
// every event it wants at least once, in order on each account. It relies on package feed to find out what was committed, and on the
// lease's epoch, which every transaction checks, to make a process that has lost its home without knowing it harmless. It knows the tables
// through the interfaces that it declares. Look first at lease.go (who works), then writer.go (the order), tail.go (who hears of it) and
// deliver.go (subscriptions).
package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Runner is work on the stream of a home that the owner of its lease does.
type Runner interface {
	// Run works until the context ends. It checks the lease in each of its transactions, and returns event.ErrFenced when that is lost. Other
	// errors make it start again after a pause; nil says that there is nothing more to do.
	Run(ctx context.Context, lease event.Lease) error
}

// Store is what relays need of the tables.
type Store interface {
	Leases
	Appender
}

// Options say what a relay works with.
type Options struct {
	Store  Store
	Source feed.Source
	Tails  *Tails
	Owner  string             // names the process in the lease: another name each time it starts
	Near   func(id.Home) bool // homes that this node takes at once; nil: all
	// Runners work beside the writer. Grown tells them of a new head; it must not wait, and may be nil.
	Runners []Runner
	Grown   func(id.Home)
	Metrics *Metrics
	Log     *slog.Logger
}

// Relay does the work of every home whose lease it gets: it appends to the stream and keeps runners going. A process has one.
type Relay struct {
	Options
	manager *Manager
}

// New returns a relay that Run starts.
func New(o Options) *Relay {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Grown == nil {
		o.Grown = func(id.Home) {}
	}
	return &Relay{Options: o, manager: NewManager(o.Store, o.Owner, o.Near, o.Metrics, o.Log)}
}

// Run works until the context ends. When it returns, everything has stopped and every lease is released, so that another node goes on at once.
func (r *Relay) Run(ctx context.Context) { r.manager.Run(ctx, r.work) }

// work is what the owner of a home does, until the context ends or one part finds the lease lost.
func (r *Relay) work(ctx context.Context, t event.Tenure) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.Tails.writes(t.Home, +1)
	defer r.Tails.writes(t.Home, -1)
	tell := func(head event.Position) {
		r.Tails.Tell(t.Home, head)
		r.Grown(t.Home)
	}
	tell(t.Head)
	w := &writer{source: r.Source, to: r.Store, lease: t.Lease, cursor: t.Cursor, tell: tell, metrics: r.Metrics, log: r.Log}
	var parts sync.WaitGroup
	parts.Go(func() { stop(w.run(ctx)) })
	for _, runner := range r.Runners {
		parts.Go(func() {
			if err := r.keep(ctx, runner, t.Lease); errors.Is(err, event.ErrFenced) {
				stop(err)
			}
		})
	}
	parts.Wait()
	return context.Cause(ctx)
}

// keep runs a runner again and again, until the context ends, it has nothing to do, or the lease is lost.
func (r *Relay) keep(ctx context.Context, runner Runner, lease event.Lease) error {
	for failures := 1; ; failures++ {
		err := runner.Run(ctx, lease)
		if err == nil || ctx.Err() != nil || errors.Is(err, event.ErrFenced) {
			return err
		}
		r.Log.Warn("a part of the relay failed and starts again", "home", lease.Home, "failures", failures, "error", err)
		if err := sleep(ctx, recovery.Wait(failures, 0)); err != nil {
			return err
		}
	}
}
