package search

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// page is how many events become rows in one transaction, at most.
const page = 1000

// Projector writes the model of homes from their streams: it is a relay.Runner. A process has one, and runs it for each home whose lease it
// has.
type Projector struct {
	store    Store
	stream   Tails
	progress Tails
	metrics  *Metrics
	log      *slog.Logger
	// Look is how often it looks for what nobody told it of: a generation that somebody began, or a head that another wrote.
	Look time.Duration
	// Pace is the least time between two transactions that are not full: what comes meanwhile goes with the next, so that a busy stream
	// does not cost a transaction an append.
	Pace time.Duration
}

// NewProjector returns one that waits for the stream, and tells how far the model is, by these tails.
func NewProjector(store Store, stream, progress Tails, metrics *Metrics, log *slog.Logger) *Projector {
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Projector{store: store, stream: stream, progress: progress, metrics: metrics, log: log, Look: time.Second, Pace: 100 * time.Millisecond}
}

// Run works on the model of a home until the context ends, and returns nil then. It returns event.ErrFenced where the lease is lost, and other
// errors of the database; run again, it goes on where the tables say.
func (p *Projector) Run(ctx context.Context, lease event.Lease) error {
	defer p.metrics.forget(lease.Home)
	w := &work{Projector: p, lease: lease}
	for ctx.Err() == nil {
		if err := w.turn(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("write the search model of %s: %w", lease.Home, err)
		}
	}
	return nil
}

// work is a projector at work on one home. It is for one goroutine.
type work struct {
	*Projector
	lease  event.Lease
	all    Generations
	looked time.Time
}

// turn moves every generation on as far as it is its turn, and waits where nothing is left to do.
func (w *work) turn(ctx context.Context) error {
	began := time.Now()
	if err := w.look(ctx, began); err != nil {
		return err
	}
	full, err := w.advance(ctx, w.serving())
	if err != nil || full {
		return w.moved(err)
	}
	busy, err := w.rebuild(ctx)
	if err != nil {
		return w.moved(err)
	}
	if busy {
		return nil
	}
	if err := sleep(ctx, w.Pace-time.Since(began)); err != nil {
		return nil //nolint:nilerr // the loop sees that the context has ended
	}
	waiting, cancel := context.WithTimeout(ctx, w.Look)
	defer cancel()
	_ = w.stream.Wait(waiting, w.lease.Home, w.serving().Position) // the time to look again ends it as well
	return nil
}

// look finds out, now and then, which generations there are; there has to be one.
func (w *work) look(ctx context.Context, now time.Time) (err error) {
	if w.all != nil && now.Sub(w.looked) < w.Look {
		return nil
	}
	if w.all, err = w.store.Generations(ctx, w.lease.Home); err != nil {
		return err
	}
	if w.all.Serving().Number == 0 {
		if _, err := w.store.BeginGeneration(ctx, w.lease.Home); err != nil {
			return err
		}
		if w.all, err = w.store.Generations(ctx, w.lease.Home); err != nil {
			return err
		}
	}
	head, err := w.store.Head(ctx, w.lease.Home)
	if err != nil {
		return err
	}
	w.looked = now
	w.metrics.looked(w.lease.Home, head, w.all)
	w.progress.Tell(w.lease.Home, w.serving().Position)
	return nil
}

func (w *work) serving() *Generation {
	for i := range w.all {
		if w.all[i].Serving {
			return &w.all[i]
		}
	}
	return &Generation{} // look sees to it that there is one
}

// advance puts the next events into a generation, and tells whether they were as many as go at once.
func (w *work) advance(ctx context.Context, g *Generation) (full bool, err error) {
	events, err := w.store.Events(ctx, w.lease.Home, g.Position, page)
	if err != nil {
		return false, err
	}
	if len(events) == 0 {
		if g.Serving {
			w.metrics.caughtUp(w.lease.Home)
		}
		return false, nil
	}
	rows := make([]Row, 0, len(events))
	for _, e := range events {
		if e.Visits() { // it is found in the ledger that it was sent to, in the model of that home
			continue
		}
		row, err := RowOf(e)
		if err != nil {
			return false, err
		}
		rows = append(rows, row)
	}
	to := events[len(events)-1].Position
	if err := w.store.Project(ctx, w.lease, g.Number, g.Position, to, rows); err != nil {
		return false, err
	}
	g.Position = to
	if g.Serving {
		w.progress.Tell(w.lease.Home, to)
		w.metrics.projected(w.lease.Home, events, len(events) < page)
	}
	return len(events) == page, nil
}

// moved makes what was wrong about the generations be read again.
func (w *work) moved(err error) error {
	if err != nil {
		w.all = nil
	}
	if errors.Is(err, ErrMoved) {
		return nil
	}
	return err
}

// sleep waits, unless the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
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

// Heads are what the tails of progress look at.
type Heads struct{ Store Store }

// Head returns how far the generation is that serves a home.
func (h Heads) Head(ctx context.Context, home id.Home) (event.Position, error) {
	return Head(ctx, h.Store, home)
}
