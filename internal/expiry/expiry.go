// Package expiry sends the trigger expire to payments whose time is over: to an authorization that nobody captured, say.
//
// It promises that one that is due is expired within a poll and a lease, once, whatever process dies: the command has a key of the payment and of the
// steps that it has had, and a repeat has no second effect. Which of expire and a capture at the same moment wins is decided by the books, as with any
// two triggers. What the books refuse for now, as where an account is frozen, is tried again. It relies on ledger.Service for
// the books, and on the lease of a home's relay for who works.
package expiry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/worker"
)

// Books are what a timer needs of the ledger.
type Books interface {
	// Execute is that of ledger.Service.
	Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error)
}

// Store is what a timer needs of the tables.
type Store interface {
	// ExpiringPayments returns payments of a home and a kind that are in a state which expire leads out of, and were opened at or before a time: the
	// longest open first, strictly after the place of the page. Every error is an *errs.Error.
	ExpiringPayments(ctx context.Context, home id.Home, kind ledger.PaymentKind, opened time.Time, page ledger.PaymentPage) ([]ledger.Payment, error)
}

// Options say what a timer works with. Store, Books and After are needed; the zero value of all else is sane.
type Options struct {
	Store   Store
	Books   Books
	After   map[ledger.PaymentKind]time.Duration // from the first step of a payment, as payment.Chart says; kinds that are not there live on
	Now     func() time.Time
	Metrics *Metrics
	Log     *slog.Logger
	Limits  Limits
}

// Limits bound what a timer does. The zero value of each is its default.
type Limits struct {
	Poll     time.Duration // how often to look; 10 s
	Page     int           // payments read at once; 200
	Parallel int           // payments expired at once; 16
	Call     time.Duration // the longest that the books may take; 10 s
}

func (l Limits) orDefaults() Limits {
	return Limits{
		Poll: cmp.Or(l.Poll, 10*time.Second), Page: cmp.Or(l.Page, 200), Parallel: cmp.Or(l.Parallel, 16), Call: cmp.Or(l.Call, 10*time.Second),
	}
}

// Timer expires the payments of homes. A process has one, and runs it for each home whose lease it has; it is a relay.Runner.
type Timer struct{ Options }

// NewTimer returns a timer that Run starts.
func NewTimer(o Options) *Timer {
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
	return &Timer{Options: o}
}

// Run expires the payments of a home until the context ends, and returns nil then, or an error of the database; run again, it goes on.
func (t *Timer) Run(ctx context.Context, lease event.Lease) error {
	defer t.Metrics.forget(lease.Home)
	return worker.Loop{
		Poll: t.Limits.Poll, Probe: attempt.Backoff{First: time.Second, Last: time.Minute},
		Turn: func(ctx context.Context) (worker.Turned, error) { return t.turn(ctx, lease.Home) },
		Down: func(cause string) { t.Log.Warn("payments can not be expired now", "home", lease.Home, "cause", cause) },
	}.Run(ctx, "expiring payments", lease.Home, &worker.Wakes{}) // nobody tells of it: time passes by itself
}

// turn takes all that is due, page by page, so that what can not be expired keeps nothing else back.
func (t *Timer) turn(ctx context.Context, home id.Home) (worker.Turned, error) {
	for _, kind := range slices.Sorted(maps.Keys(t.After)) {
		overdue := 0
		page := ledger.PaymentPage{Limit: t.Limits.Page}
		for due := t.Now().Add(-t.After[kind]).UTC(); ; {
			found, err := t.Store.ExpiringPayments(ctx, home, kind, due, page)
			if err != nil {
				return worker.Turned{}, err
			}
			left, down := t.expireAll(ctx, found)
			if overdue += left; down != "" {
				return worker.Turned{Down: down}, nil
			}
			if len(found) < page.Limit {
				break
			}
			page.At, page.ID = found[len(found)-1].OpenedAt, found[len(found)-1].ID
		}
		t.Metrics.overdue.WithLabelValues(string(home), string(kind)).Set(float64(overdue))
	}
	return worker.Turned{}, nil
}

// expireAll expires payments, many at once, and returns how many are left, and why nothing goes through.
func (t *Timer) expireAll(ctx context.Context, due []ledger.Payment) (left int, down string) {
	var mu sync.Mutex
	var calls errgroup.Group
	calls.SetLimit(t.Limits.Parallel) // each call is bounded
	for _, p := range due {
		calls.Go(func() error {
			mu.Lock()
			stop := down != "" || ctx.Err() != nil
			mu.Unlock()
			if stop {
				return nil
			}
			o, cause := t.expire(ctx, p)
			t.Metrics.expiries.WithLabelValues(string(p.Kind), string(o)).Inc()
			mu.Lock()
			defer mu.Unlock()
			switch o {
			case refused:
				left++
				t.Log.Debug("a payment can not be expired yet", "home", p.Home, "ledger", p.Ledger, "payment", p.ID, "cause", cause)
			case unknown:
				down = cause
			case expired, elsewhere:
			}
			return nil
		})
	}
	_ = calls.Wait() // none returns an error
	return left, down
}

// outcome is what became of an attempt.
type outcome string

const (
	expired   outcome = "expired"   // now, or at an earlier attempt
	elsewhere outcome = "elsewhere" // somebody else was faster: there is nothing to expire any more
	refused   outcome = "refused"   // the books refuse it as they are
	unknown   outcome = "unknown"   // the books did not answer
)

// expire asks first whether the books would: each decline is written down.
func (t *Timer) expire(ctx context.Context, p ledger.Payment) (o outcome, cause string) {
	for _, dryRun := range []bool{true, false} {
		would, err := t.execute(ctx, p, dryRun)
		switch {
		case errs.Transient(err):
			return unknown, string(errs.Of(err).Reason)
		case err != nil:
			return refused, err.Error()
		case would.Decided == ledger.Declined && would.Reason == errs.ReasonTransitionRefused:
			return elsewhere, ""
		case would.Decided == ledger.Declined:
			return refused, string(would.Reason)
		}
	}
	return expired, ""
}

// execute makes the command of a payment. Its key has how many steps the payment has had, accepted and refused: what no answer came to is asked for
// again under the same one, and after a decline there is another.
func (t *Timer) execute(ctx context.Context, p ledger.Payment, dryRun bool) (ledger.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Limits.Call)
	defer cancel()
	c := ledger.Command{
		Kind: ledger.KindStep, Ledger: p.Ledger, Key: id.Key(fmt.Sprintf("expire/%s/%d", p.ID, p.Attempts)), Target: p.ID,
		Step: &ledger.Step{Payment: p.Kind, Trigger: payment.Expire, Actor: "timer"},
	}
	results, err := t.Books.Execute(ctx, ledger.Batch{Commands: []ledger.Command{c}, DryRun: dryRun})
	if err != nil {
		return ledger.Outcome{}, err
	}
	return results[0].Outcome, results[0].Err
}
