package importer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// persist makes a call until it is answered, refused for good, or out of patience. A repeat carries the same keys, so that an attempt whose
// answer was lost has no second effect.
func (r *run) persist(ctx context.Context, call func(context.Context) error) error {
	started := time.Now()
	for attempt := 1; ; attempt++ {
		err := r.once(ctx, call)
		if err == nil || ctx.Err() != nil || !errs.Transient(err) {
			return err
		}
		if spent := time.Since(started); spent >= r.o.Patience {
			return fmt.Errorf("gave up after %d attempts in %s; run the same import again to go on: %w", attempt, spent.Round(time.Second), err)
		}
		if !r.pause(ctx, attempt, err) {
			return ctx.Err()
		}
		r.summary.Retries++
	}
}

func (r *run) once(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Attempt)
	defer cancel()
	return call(ctx)
}

// pause waits before the next attempt: about 0.1 s, 0.2 s … 5 s, drawn from the upper half so that importers that met do not meet again
// in step.
func (r *run) pause(ctx context.Context, attempt int, err error) bool {
	bound := min(100*time.Millisecond<<min(attempt-1, 6), 5*time.Second)
	wait := bound/2 + time.Duration(rand.Int64N(int64(bound/2)))
	if r.o.Retry != nil {
		r.o.Retry(err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
