package provider

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/worker"
)

// Verdict is what became of an attempt to apply an envelope.
type Verdict string

// The verdicts.
const (
	Done    Verdict = "applied" // it has its effect, now or since an earlier attempt
	NotYet  Verdict = "not_yet" // something that comes before it is missing; it may still come
	Refused Verdict = "refused" // it will never go through as it is
	Retry   Verdict = "retry"   // it may go through later, and nothing of its payment before it does
	Down    Verdict = "down"    // nothing would go through now
)

// Answer is a verdict with its reasons. Cause is one word of 1 to 32 of a-z 0-9 _, for metrics; Detail is for a person. Neither holds a secret.
type Answer struct {
	Verdict Verdict
	Cause   string
	Detail  string
}

// Apply gives an envelope its effect. It is called again for the same envelope whenever nobody wrote down what became of it, and has to be
// harmless then: Envelope.Key is the same. Envelopes of one payment are never applied at the same time.
//
// Where it answers NotYet or Retry it must have left nothing under that key: a command that the books declined is declined for ever. To find out
// whether something comes too early, ask with a dry run first.
type Apply func(ctx context.Context, e Envelope) Answer

// WorkerOptions say what workers work with. Store and Apply are needed; the zero value of all else is sane.
type WorkerOptions struct {
	Store   Store
	Apply   Apply
	Config  Config // what words mean that nobody understood when they came, and how patient to be
	Now     func() time.Time
	Metrics *Metrics
	Log     *slog.Logger
	Limits  WorkerLimits
}

// WorkerLimits bound what workers do. The zero value of each is its default.
type WorkerLimits struct {
	Poll     time.Duration   // how often to look for callbacks that nobody told of; 500 ms
	Page     int             // callbacks taken at once; 500
	Parallel int             // payments worked on at once; 64
	Attempts int             // that may fail before a callback is dead; 12
	Retry    attempt.Backoff // between them; 1 s to 1 h
	Early    attempt.Backoff // between looks for what has to come first; 250 ms to 1 min
	Probe    attempt.Backoff // between attempts while nothing goes through; 1 s to 1 min
	Call     time.Duration   // the longest that an attempt may take; 10 s
	Grace    time.Duration   // to write down what was applied when a worker ends; 2 s
	Tally    time.Duration   // how often to count for metrics; 15 s
}

func (l WorkerLimits) orDefaults() WorkerLimits {
	return WorkerLimits{
		Poll: cmp.Or(l.Poll, 500*time.Millisecond), Page: cmp.Or(l.Page, 500), Parallel: cmp.Or(l.Parallel, 64), Attempts: cmp.Or(l.Attempts, 12),
		Retry: cmp.Or(l.Retry, attempt.Backoff{First: time.Second, Last: time.Hour}),
		Early: cmp.Or(l.Early, attempt.Backoff{First: 250 * time.Millisecond, Last: time.Minute}),
		Probe: cmp.Or(l.Probe, attempt.Backoff{First: time.Second, Last: time.Minute}),
		Call:  cmp.Or(l.Call, 10*time.Second), Grace: cmp.Or(l.Grace, 2*time.Second), Tally: cmp.Or(l.Tally, 15*time.Second),
	}
}

// Workers apply the callbacks of homes: in order on each payment, and many payments at once. A process has one, and runs it for each home whose
// lease it has; it is a relay.Runner.
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

// Run applies the callbacks of a home until the context ends, and returns nil then. It returns event.ErrFenced where the lease is lost, and other
// errors of the database; run again, it goes on where the tables say.
func (w *Workers) Run(ctx context.Context, lease event.Lease) error {
	defer w.Metrics.forget(lease.Home)
	return worker.Loop{
		Poll: w.Limits.Poll, Tally: w.Limits.Tally, Probe: w.Limits.Probe,
		Count: func(ctx context.Context) error { return w.tally(ctx, lease.Home) },
		Turn:  func(ctx context.Context) (worker.Turned, error) { return w.turn(ctx, lease) },
		Down:  func(cause string) { w.Log.Warn("callbacks can not be applied now", "home", lease.Home, "cause", cause) },
	}.Run(ctx, "callbacks", lease.Home, &w.Wakes)
}

func (w *Workers) tally(ctx context.Context, home id.Home) error {
	tallies, err := w.Store.TallyCallbacks(ctx, home)
	if err != nil {
		return err
	}
	w.Metrics.tallied(home, tallies, w.Now())
	return nil
}

// turn takes what is due, applies it and writes down what became of it.
func (w *Workers) turn(ctx context.Context, lease event.Lease) (worker.Turned, error) {
	open, err := w.Store.OpenCallbacks(ctx, lease.Home, w.Now().UTC(), w.Limits.Page)
	if err != nil || len(open) == 0 {
		return worker.Turned{}, err
	}
	calling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		mu      sync.Mutex
		settled []Callback
		down    string
		slots   = make(chan struct{}, w.Limits.Parallel)
		parts   sync.WaitGroup
	)
	for payment := range byOrder(open) {
		select {
		case slots <- struct{}{}:
		case <-calling.Done():
		}
		if calling.Err() != nil {
			break
		}
		parts.Go(func() {
			defer func() { <-slots }()
			s := sitting{Workers: w, now: w.Now().UTC(), callbacks: payment, changed: make([]bool, len(payment))}
			s.work(calling)
			mu.Lock()
			defer mu.Unlock()
			if s.down != "" && down == "" {
				down = s.down
				stop(nil)
			}
			settled = append(settled, s.result()...)
		})
	}
	parts.Wait()
	if len(settled) > 0 {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Limits.Grace)
		if ctx.Err() == nil {
			cancel()
			writing, cancel = context.WithTimeout(ctx, w.Limits.Call)
		}
		defer cancel()
		if err := w.Store.SettleCallbacks(writing, lease, settled); err != nil {
			return worker.Turned{}, err
		}
	}
	return worker.Turned{More: len(settled) > 0, Down: down}, nil
}

// byOrder yields the callbacks of one payment after the other; those of one stand together.
func byOrder(all []Callback) func(yield func([]Callback) bool) {
	return func(yield func([]Callback) bool) {
		for first, n := 0, 1; n <= len(all); n++ {
			if n < len(all) && all[n].Order() == all[first].Order() {
				continue
			}
			if !yield(all[first:n:n]) {
				return
			}
			first = n
		}
	}
}
