package relay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Leases are the leases of all homes, on the clock of the database. Package store implements it.
type Leases interface {
	// Homes returns the homes that there are.
	Homes(ctx context.Context) ([]id.Home, error)
	// Holding returns who has the lease of a home, or had it last.
	Holding(ctx context.Context, home id.Home) (event.Holding, error)
	// Acquire takes a lease that is free or has ended; taken is false where somebody has it.
	Acquire(ctx context.Context, home id.Home, owner string, ttl time.Duration) (tenure event.Tenure, taken bool, err error)
	// Renew prolongs a lease, or says event.ErrFenced.
	Renew(ctx context.Context, lease event.Lease, ttl time.Duration) error
	// Release lets go of a lease.
	Release(ctx context.Context, lease event.Lease) error
}

// A lease is renewed three times before it would end, so that one lost connection costs nothing. An owner that dies is replaced when its
// lease has ended and somebody looked: TTL + LookEvery, and TTL/2 more where every other node is far from the home.
const (
	TTL        = 6 * time.Second
	RenewEvery = 2 * time.Second
	LookEvery  = time.Second
)

// patience bounds one question to the database, and retryRenewal is the pause after a renewal that failed.
const (
	patience     = TTL
	retryRenewal = 200 * time.Millisecond
)

// Manager keeps the leases of as many homes as it gets. A process has one.
type Manager struct {
	leases  Leases
	owner   string
	near    func(id.Home) bool
	metrics *Metrics
	log     *slog.Logger
}

// NewManager returns a manager for a process that others know as owner, and that is near to some homes: it leaves the others to nodes nearer
// to them for a while. near may be nil: near to all.
func NewManager(leases Leases, owner string, near func(id.Home) bool, metrics *Metrics, log *slog.Logger) *Manager {
	if near == nil {
		near = func(id.Home) bool { return true }
	}
	return &Manager{leases: leases, owner: owner, near: near, metrics: metrics, log: log}
}

// Run takes leases until the context ends. For each it calls work, whose context ends when the lease is lost or Run is to end; the lease is
// renewed until work returns, and then released. Work that returns event.ErrFenced has found out first that the lease is lost. Run
// returns when all work has. Homes do not wait for each other: the database of one may be away.
func (m *Manager) Run(ctx context.Context, work func(context.Context, event.Tenure) error) {
	var contending sync.WaitGroup
	defer contending.Wait()
	known := map[id.Home]bool{}
	for wait := time.Duration(0); sleep(ctx, wait) == nil; wait = jitter(LookEvery) {
		asking, cancel := context.WithTimeout(ctx, patience)
		homes, err := m.leases.Homes(asking)
		cancel()
		if err != nil {
			m.complain(ctx, "look for homes", err)
		}
		for _, home := range homes {
			if !known[home] {
				known[home] = true
				contending.Go(func() { m.contend(ctx, home, work) })
			}
		}
	}
}

// contend takes the lease of a home whenever it is free. A home that is far is left to others for a while.
func (m *Manager) contend(ctx context.Context, home id.Home, work func(context.Context, event.Tenure) error) {
	courtesy := TTL / 2
	if m.near(home) {
		courtesy = 0
	}
	var free time.Time // since when, by our own clock: a home that never had an owner has no other
	for wait := time.Duration(0); sleep(ctx, wait) == nil; {
		asking, cancel := context.WithTimeout(ctx, patience)
		h, err := m.leases.Holding(asking, home)
		cancel()
		switch {
		case err != nil:
			m.complain(ctx, "look at a lease", err, "home", home)
			wait = jitter(LookEvery)
		case h.Left > 0:
			free, wait = time.Time{}, min(h.Left, jitter(LookEvery))
		default:
			if free.IsZero() {
				free = time.Now()
			}
			if wait = min(courtesy-max(time.Since(free), -h.Left), jitter(LookEvery)); wait <= 0 {
				m.tryKeep(ctx, home, work)
				free, wait = time.Time{}, jitter(LookEvery)
			}
		}
	}
}

// tryKeep takes a lease that seems to be free, and does its work.
func (m *Manager) tryKeep(ctx context.Context, home id.Home, work func(context.Context, event.Tenure) error) {
	asked := time.Now()
	asking, cancel := context.WithTimeout(ctx, patience)
	tenure, taken, err := m.leases.Acquire(asking, home, m.owner, TTL)
	cancel()
	if err != nil {
		m.complain(ctx, "take a lease", err, "home", home)
	}
	if err != nil || !taken {
		return
	}
	m.metrics.taken(tenure)
	m.log.Info("lease taken", "home", home, "epoch", tenure.Epoch, "head", tenure.Head, "from", cmp.Or(tenure.From, "nobody"))
	cause := m.keep(ctx, tenure, asked, work)
	m.metrics.dropped(home)
	m.log.Info("lease given up", "home", home, "epoch", tenure.Epoch, "cause", cause)
}

// keep does the work of a lease that was asked for at a time, and says how it ended.
func (m *Manager) keep(ctx context.Context, tenure event.Tenure, asked time.Time, work func(context.Context, event.Tenure) error) string {
	working, stop := context.WithCancel(ctx)
	defer stop()
	renewing, finish := context.WithCancel(context.WithoutCancel(ctx)) // whoever tidies up after ctx still needs the lease
	renewed := make(chan error, 1)
	go func() {
		err := m.renew(renewing, tenure.Lease, asked)
		stop()
		renewed <- err
	}()
	err := work(working, tenure)
	finish()
	if lost := <-renewed; lost != nil || errors.Is(err, event.ErrFenced) {
		return "lost"
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // later it has ended by itself
	defer cancel()
	if err := m.leases.Release(ending, tenure.Lease); err != nil {
		m.complain(ending, "let go of a lease", err, "home", tenure.Home)
		return "left to end"
	}
	return "released"
}

// renew prolongs a lease until the context ends, and returns nil then, or event.ErrFenced as soon as the lease is lost: taken by somebody, or
// not renewed in time. The time runs from before the database was asked, so that it is over here before it is over there.
func (m *Manager) renew(ctx context.Context, lease event.Lease, asked time.Time) error {
	ends := asked.Add(TTL)
	for wait := RenewEvery; ; {
		if sleep(ctx, min(wait, time.Until(ends))) != nil {
			return nil
		}
		asked := time.Now()
		if !asked.Before(ends) {
			return event.ErrFenced
		}
		asking, cancel := context.WithTimeout(ctx, min(RenewEvery, ends.Sub(asked))) // a line may be dead where others are not
		err := m.leases.Renew(asking, lease, TTL)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, event.ErrFenced):
			return event.ErrFenced
		case err != nil:
			m.complain(ctx, "renew a lease", err, "home", lease.Home)
			wait = jitter(retryRenewal)
		default:
			ends, wait = asked.Add(TTL), RenewEvery
		}
	}
}

// complain is for errors that are met again soon, or go away.
func (m *Manager) complain(ctx context.Context, what string, err error, fields ...any) {
	if ctx.Err() == nil {
		m.log.Warn(what, append(fields, "error", err)...)
	}
}

// sleep waits, unless the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// jitter returns between nine tenths of a duration and all of it.
func jitter(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/10+1)) }
