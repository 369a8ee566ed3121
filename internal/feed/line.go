package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// beat is how often a consumer hears something; half of what is promised.
const beat = 500 * time.Millisecond

// line is the way to the consumer of one home, over all connections that a feed makes.
type line struct {
	home    id.Home
	hand    func(context.Context, Batch) error
	cursor  event.Cursor // the last that was handed over
	at      time.Time    // the time that the last batch spoke of
	last    time.Time    // when the consumer heard something last
	metrics *Metrics
	log     *slog.Logger
}

func newLine(home id.Home, from event.Cursor, hand func(context.Context, Batch) error, o Options) *line {
	return &line{home: home, hand: hand, cursor: from, metrics: o.Metrics, log: o.Log.With("home", home)}
}

// refused is an error of the consumer.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// give hands over a batch.
func (l *line) give(ctx context.Context, b Batch) error {
	if b.At.IsZero() {
		b.At = l.at
	}
	if err := l.hand(ctx, b); err != nil {
		return refused{err}
	}
	l.last, l.at = time.Now(), b.At
	if b.Cursor != "" {
		l.cursor = b.Cursor
	}
	l.metrics.changes.WithLabelValues(string(l.home)).Add(float64(len(b.Changes)))
	return nil
}

// beat hands over an empty batch where the consumer has heard nothing for a while.
func (l *line) beat(ctx context.Context, b Batch) error {
	if time.Since(l.last) < beat {
		return nil
	}
	return l.give(ctx, b)
}

// keep runs sessions with the database, one after the other, until something happens that no new connection mends.
func (l *line) keep(ctx context.Context, session func(context.Context) error) error {
	for failures := 1; ; failures++ {
		began := time.Now()
		err := session(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err):
			return plain(err)
		}
		if time.Since(began) > lastPause {
			failures = 1
		}
		pause := rand.N(min(lastPause, firstPause<<min(failures, 10)))
		l.metrics.reconnects.WithLabelValues(string(l.home)).Inc()
		l.log.Warn("the feed lost its connection and begins again", "in", pause, "err", err)
		if err := l.rest(ctx, pause); err != nil {
			return plain(err)
		}
	}
}

// The pauses between sessions grow from one to the other, with jitter.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// rest waits, with heartbeats: the consumer has duties of its own.
func (l *line) rest(ctx context.Context, pause time.Duration) error {
	over := time.NewTimer(pause)
	defer over.Stop()
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-pulse.C:
			if err := l.beat(ctx, Batch{}); err != nil {
				return err
			}
		}
	}
}

// plain is the error of a consumer as it was.
func plain(err error) error {
	var no refused
	if errors.As(err, &no) {
		return no.error
	}
	return err
}

// passing tells what may be over when the feed tries again.
func passing(err error) bool {
	if errors.As(err, new(refused)) {
		return false
	}
	err = db.Classify(err)
	return errors.Is(err, errs.ErrUnavailable) || errors.Is(err, errs.ErrContended) || errors.Is(err, errs.ErrDeadlineExceeded) ||
		errors.Is(err, errs.ErrCanceled)
}
