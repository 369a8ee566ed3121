package saga

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/worker"
)

// WorkerOptions say what workers work with. Store and Books are needed; the zero value of all else is sane.
type WorkerOptions struct {
	Store   Store
	Books   Books
	Desks   map[provider.Name]provider.Desk // of this node; every node is to have the same
	Now     func() time.Time
	Metrics *Metrics
	Log     *slog.Logger
	Limits  Limits
}

// Limits bound what workers do. The zero value of each is its default.
type Limits struct {
	Poll     time.Duration // how often to look for sagas that nobody told of; 500 ms
	Page     int           // sagas taken at once; 200
	Parallel int           // sagas worked on at once; 32
	Call     time.Duration // the longest that a question to a provider or the books may take; 10 s
	Tally    time.Duration // how often to count for metrics; 15 s
}

func (l Limits) orDefaults() Limits {
	return Limits{
		Poll: cmp.Or(l.Poll, 500*time.Millisecond), Page: cmp.Or(l.Page, 200), Parallel: cmp.Or(l.Parallel, 32), Call: cmp.Or(l.Call, 10*time.Second),
		Tally: cmp.Or(l.Tally, 15*time.Second),
	}
}

// Workers take sagas of homes from step to step, many at once. A process has one, and runs it for each home whose lease it has; it is a
// relay.Runner.
type Workers struct {
	WorkerOptions
	worker.Wakes
}

// NewWorkers returns workers that Run starts.
func NewWorkers(o WorkerOptions) *Workers {
	o.Limits = o.Limits.orDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Workers{WorkerOptions: o}
}

// Run works on the sagas of a home until the context ends, and returns nil then. It returns event.ErrFenced where the lease is lost, and other errors
// of the database; run again, it goes on where the tables say.
func (w *Workers) Run(ctx context.Context, lease event.Lease) error {
	defer w.Metrics.forget(lease.Home)
	return worker.Loop{
		Poll: w.Limits.Poll, Tally: w.Limits.Tally,
		Count: func(ctx context.Context) error { return w.tally(ctx, lease.Home) },
		Turn: func(ctx context.Context) (worker.Turned, error) {
			taken, err := w.turn(ctx, lease)
			return worker.Turned{More: taken > 0}, err
		},
	}.Run(ctx, "sagas", lease.Home, &w.Wakes)
}

func (w *Workers) tally(ctx context.Context, home id.Home) error {
	tallies, err := w.Store.TallySagas(ctx, home)
	if err != nil {
		return err
	}
	w.Metrics.tallied(home, tallies, w.Now())
	return nil
}

// turn takes the sagas that are due as far as they go, and returns how many there were.
func (w *Workers) turn(ctx context.Context, lease event.Lease) (int, error) {
	due, err := w.Store.DueSagas(ctx, lease.Home, w.Now().UTC(), w.Limits.Page)
	if err != nil {
		return 0, err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(w.Limits.Parallel)
	for _, s := range due {
		group.Go(func() error {
			if working.Err() != nil {
				return nil
			}
			one := sitting{Workers: w, lease: lease}
			if err := one.work(working, s); !errors.Is(err, errs.ErrContended) {
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return len(due), err
	}
	return len(due), context.Cause(ctx)
}

// sitting is a worker on one saga.
type sitting struct {
	*Workers
	lease event.Lease
}

// most bounds the steps of one sitting, so that a saga which goes round and round lets others have a turn.
const most = 64

// work takes a saga from step to step until it has to wait, or has ended.
func (w *sitting) work(ctx context.Context, s Saga) error {
	for range most {
		held, err := w.gate(ctx, &s)
		if held || err != nil {
			return err
		}
		a, err := w.act(ctx, &s)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // it was given up, and nobody knows
			return context.Cause(ctx)
		}
		flow := Flows[s.Flow]
		step := flow.Steps[flow.at(s.Step)]
		next, line := decide(s, a, w.Now(), func(attempts int) time.Duration { return step.Retry.Wait(attempts, 0) })
		w.Metrics.acted(s, string(a.kind))
		if err := w.write(ctx, &next, line); err != nil {
			return err
		}
		if next.State == Stuck {
			w.Log.Warn("a saga is stuck", "home", next.Home, "saga", next.ID, "flow", next.Flow, "step", next.Step, "cause", next.Cause, "detail", next.Detail)
		}
		if s = next; s.State.Ended() || s.State == Stuck || s.State == Review || s.DueAt.After(w.Now()) {
			return nil
		}
	}
	return nil
}

// gate stops a saga in front of a step that somebody else has to approve. It is asked before every action: whoever takes over may begin right there.
func (w *sitting) gate(ctx context.Context, s *Saga) (held bool, err error) {
	flow := Flows[s.Flow]
	if s.Progress.Back || !s.Request.FourEyes || s.Progress.ApprovedBy != "" || !flow.Steps[flow.at(s.Step)].Approval {
		return false, nil
	}
	now := micros(w.Now())
	s.State, s.Awaits, s.Cause, s.Detail, s.ChangedAt = Review, "somebody other than "+s.Request.Actor, causeApproval, "the request asks for approval by somebody else", now
	s.Progress.Proposal = &Proposal{Choice: Proceed, Actor: s.Request.Actor, At: now}
	return true, w.write(ctx, s, &Line{Step: s.Step, Event: "review", Cause: s.Cause, Detail: s.Detail, At: now})
}

// write writes a change of a saga that was not written since it was read, and makes s what is stored then.
func (w *sitting) write(ctx context.Context, s *Saga, line *Line) error {
	s.Version++
	if line != nil {
		s.Progress.Lines++
		line.Number, line.Actor = s.Progress.Lines, w.lease.Owner
	}
	return w.Store.AdvanceSaga(ctx, w.lease, *s, line)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
