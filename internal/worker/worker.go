// Package worker takes turns at what is due in a home: callbacks of providers, sagas, payments whose time is over.
//
// It promises that a turn follows the one before at once while there is more to do, after a wake or a poll where there is not, and after longer and
// longer pauses while nothing goes through. What a turn does, and that it may be done again, is up to those who take it. It relies on the lease
// of a home's relay, which a turn has to check with what it writes, for there being one loop a home.
package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Wakes tell loops that their homes have more to do. The zero value is ready, and safe for concurrent use.
type Wakes struct {
	mu    sync.Mutex
	homes map[id.Home]chan struct{}
}

// Wake tells that a home has more to do. It never waits.
func (w *Wakes) Wake(home id.Home) {
	select {
	case w.of(home) <- struct{}{}:
	default: // it has one already
	}
}

func (w *Wakes) of(home id.Home) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.homes == nil {
		w.homes = map[id.Home]chan struct{}{}
	}
	c := w.homes[home]
	if c == nil {
		c = make(chan struct{}, 1)
		w.homes[home] = c
	}
	return c
}

// Loop is how one kind of work is done in a home. It is for one goroutine.
type Loop struct {
	Poll  time.Duration               // how often to look for what nobody told of
	Tally time.Duration               // how often to count
	Probe attempt.Backoff             // between turns while nothing goes through
	Count func(context.Context) error // counts what there is, for metrics; nil: nobody counts
	Turn  func(context.Context) (Turned, error)
	Down  func(cause string) // hears when nothing goes through, once until something does; nil where turns never say so
}

// Turned is what came of a turn.
type Turned struct {
	More bool   // there may be more to do at once
	Down string // why nothing goes through now
}

// Run takes turns in a home until the context ends, and returns nil then, or with the first error. what names the work in errors, as in callbacks.
func (l Loop) Run(ctx context.Context, what string, home id.Home, wakes *Wakes) error {
	wake, downs, tallied := wakes.of(home), 0, time.Time{}
	for ctx.Err() == nil {
		if l.Count != nil && time.Since(tallied) >= l.Tally {
			if err := l.Count(ctx); err != nil {
				return unlessEnded(ctx, fmt.Errorf("count the %s of %s: %w", what, home, err))
			}
			tallied = time.Now()
		}
		t, err := l.Turn(ctx)
		if err != nil {
			return unlessEnded(ctx, fmt.Errorf("work on the %s of %s: %w", what, home, err))
		}
		switch {
		case t.Down != "":
			if downs++; downs == 1 {
				l.Down(t.Down)
			}
			pause(ctx, l.Probe.Wait(downs, 0), nil)
			continue
		case !t.More:
			pause(ctx, l.Poll, wake)
		}
		downs = 0
	}
	return nil
}

func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// pause waits, unless somebody wakes it or the context ends first.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}
