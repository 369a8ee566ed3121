package relay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
)

// Appender writes the order of a stream down. Package store implements it.
type Appender interface {
	// Append writes those of the changes at the end of the stream that are not in it yet, and the cursor unless that is empty; it returns the
	// head and how many are new. It may be repeated after every error but event.ErrFenced, which says that the lease is lost.
	Append(ctx context.Context, lease event.Lease, changes []event.Change, cursor event.Cursor) (head event.Position, appended int, err error)
}

const (
	batchBound = 1000        // changes of one append
	cursorRest = time.Second // between two appends of a cursor alone: it only saves a later owner from reading again
)

// recovery paces what is tried again after a failure.
var recovery = attempt.Backoff{First: 50 * time.Millisecond, Last: 5 * time.Second}

// writer appends to the stream of one home what the feed hands over, for as long as a lease lasts.
type writer struct {
	source  feed.Source
	to      Appender
	lease   event.Lease
	cursor  event.Cursor
	written time.Time // when the cursor was
	tell    func(event.Position)
	metrics *Metrics
	log     *slog.Logger
}

// run keeps the feed going until the context ends, or until the lease is lost: that is event.ErrFenced. A feed that breaks starts again from
// what is written.
func (w *writer) run(ctx context.Context) error {
	for failures := 0; ; {
		started := time.Now()
		err := w.session(ctx)
		switch {
		case errors.Is(err, event.ErrFenced):
			return event.ErrFenced
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(started) > recovery.Last: // it had recovered
			failures = 0
		}
		failures++
		w.metrics.restarted(w.lease.Home, err)
		w.log.Warn("the feed ended and starts again", "home", w.lease.Home, "failures", failures, "error", err)
		if err := sleep(ctx, recovery.Wait(failures, 0)); err != nil {
			return err
		}
	}
}

// session runs the feed once, and appends all that it handed over, also what it handed over before it broke: the next one begins with a stream
// that has it.
func (w *writer) session(ctx context.Context) error {
	feeding, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	waiting := newBacklog()
	ended := make(chan error, 1)
	go func() {
		defer waiting.close()
		ended <- w.source.Run(feeding, w.lease.Home, w.cursor, waiting.put)
	}()
	err := w.drain(ctx, waiting)
	stop(err)
	if why := <-ended; err == nil {
		err = why
	}
	return err
}

// drain appends until the backlog is closed and empty.
func (w *writer) drain(ctx context.Context, waiting *backlog) error {
	for pending := event.Cursor(""); ; {
		b, ok, err := waiting.take(ctx, batchBound)
		if err != nil || !ok {
			return err
		}
		if b.Cursor != "" {
			pending = b.Cursor
		}
		if len(b.Changes) > 0 || pending != "" && pending != w.cursor && time.Since(w.written) >= cursorRest {
			if err := w.append(ctx, b.Changes, pending); err != nil {
				return err
			}
			if pending != "" {
				w.cursor, w.written, pending = pending, time.Now(), ""
			}
		}
		w.metrics.waiting.WithLabelValues(string(w.lease.Home)).Set(float64(waiting.waiting()))
		if !b.At.IsZero() {
			w.metrics.lag.reached(w.lease.Home, b.At)
		}
	}
}

// append repeats an append until it is written. Whether the last attempt was, when its answer got lost, makes no difference to the next.
func (w *writer) append(ctx context.Context, changes []event.Change, cursor event.Cursor) error {
	for failures := 1; ; failures++ {
		head, appended, err := w.to.Append(ctx, w.lease, changes, cursor)
		switch {
		case err == nil:
			w.metrics.wrote(w.lease.Home, changes, appended)
			if appended > 0 {
				w.tell(head)
			}
			return nil
		case errors.Is(err, event.ErrFenced), ctx.Err() != nil:
			return err
		}
		w.log.Warn("an append failed and is repeated", "home", w.lease.Home, "changes", len(changes), "failures", failures, "error", err)
		if err := sleep(ctx, recovery.Wait(failures, 0)); err != nil {
			return err
		}
	}
}
