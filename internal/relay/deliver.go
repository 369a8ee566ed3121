package relay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// DeliverOptions say what deliverers work with. Store, Stream and Sinks are needed; the zero value of all else is sane.
type DeliverOptions struct {
	Store    DeliveryStore
	Stream   event.Stream
	Sinks    Sinks
	HomeOf   func(id.Ledger) (id.Home, bool)        // as event.Options has it
	RegionOf func(id.Home) (region string, ok bool) // likewise
	Metrics  *DeliveryMetrics
	Log      *slog.Logger
	Limits   DeliverLimits
}

// DeliverLimits bound what deliverers do. The zero value of each is its default.
type DeliverLimits struct {
	Poll        time.Duration   // how often to look for changes and for events that nobody told of; 1 s
	Checkpoint  time.Duration   // the longest that what was delivered is not written down; 200 ms
	Page        int             // events read at once; 256
	Window      int             // events in memory that are not settled, in one subscription and home; 1024, or two batches for each call
	WindowBytes int             // of these events; 32 MiB
	Ahead       int             // settled events past one that is not; 65,536
	MaxDue      int             // rows that wait or are tried again, in one subscription and home; 10,000
	Attempts    int             // at a message before it is dead; 12
	Retry       attempt.Backoff // between them; 1 s to 1 h
	Probe       attempt.Backoff // between looks at a sink that is down; 1 s to 1 min
	Patience    time.Duration   // with a sink until it is called failing; 5 min
	Call        time.Duration   // the longest that a call may take; 1 min
	Grace       time.Duration   // for calls in flight when a deliverer ends; 2 s
}

func (l DeliverLimits) orDefaults() DeliverLimits {
	return DeliverLimits{
		Poll: cmp.Or(l.Poll, time.Second), Checkpoint: cmp.Or(l.Checkpoint, 200*time.Millisecond), Page: cmp.Or(l.Page, 256), Window: cmp.Or(l.Window, 1024),
		WindowBytes: cmp.Or(l.WindowBytes, 32<<20), Ahead: cmp.Or(l.Ahead, 1<<16), MaxDue: cmp.Or(l.MaxDue, MaxDue), Attempts: cmp.Or(l.Attempts, 12),
		Retry: cmp.Or(l.Retry, attempt.Backoff{First: time.Second, Last: time.Hour}), Probe: cmp.Or(l.Probe, attempt.Backoff{First: time.Second, Last: time.Minute}),
		Patience: cmp.Or(l.Patience, 5*time.Minute), Call: cmp.Or(l.Call, time.Minute), Grace: cmp.Or(l.Grace, 2*time.Second),
	}
}

// MaxDue is how many deliveries of one subscription and home may be due at once, unless the options say otherwise.
const MaxDue = 10_000

// Deliverers deliver the events of homes to all subscriptions that want them: each subscription at its own pace, in order on every account, at
// least once. A process has one, and runs it for each home whose lease it has.
type Deliverers struct {
	DeliverOptions

	mu    sync.Mutex
	wakes map[id.Home]map[chan struct{}]struct{}
}

// NewDeliverers returns deliverers that Run starts.
func NewDeliverers(o DeliverOptions) *Deliverers {
	o.Limits = o.Limits.orDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewDeliveryMetrics(nil)
	}
	return &Deliverers{DeliverOptions: o, wakes: map[id.Home]map[chan struct{}]struct{}{}}
}

// Wake tells that the stream of a home has grown. It never waits.
func (d *Deliverers) Wake(home id.Home) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for wake := range d.wakes[home] {
		signal(wake)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has one already
	}
}

func (d *Deliverers) listen(home id.Home) (wake chan struct{}, stop func()) {
	wake = make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wakes[home] == nil {
		d.wakes[home] = map[chan struct{}]struct{}{}
	}
	d.wakes[home][wake] = struct{}{}
	return wake, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.wakes[home], wake)
	}
}

// Run delivers the events of a home under its lease, until the context ends or the lease is lost. What is in flight at the end is waited for,
// as long as Limits.Grace says, and written down. It returns event.ErrFenced where another has the lease, and else nil.
func (d *Deliverers) Run(ctx context.Context, lease event.Lease) error {
	ctx, fenced := context.WithCancelCause(ctx)
	defer fenced(nil)
	h := &household{Deliverers: d, lease: lease, all: map[string]*deliverer{}, lost: func() { fenced(event.ErrFenced) }}
	defer d.Metrics.forgetHome(lease.Home)
	defer h.done.Wait()
	for wait := time.Duration(0); sleep(ctx, wait) == nil; wait = d.Limits.Poll {
		if err := h.look(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("look for subscriptions", "home", lease.Home, "error", err)
		}
	}
	if errors.Is(context.Cause(ctx), event.ErrFenced) {
		return event.ErrFenced
	}
	return nil
}
