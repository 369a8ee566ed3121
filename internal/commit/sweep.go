package commit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Expiries lists holds whose time is over and that still hold money.
type Expiries interface {
	ExpiredHolds(ctx context.Context, limit int) ([]ledger.Hold, error)
}

const sweepBatch = 500

// Sweep releases expired holds until the context ends, looking about once an interval. Every node may run it: the command that expires a
// hold has the same key everywhere, so that it happens once.
func (c *Committer) Sweep(ctx context.Context, holds Expiries, interval time.Duration) {
	for {
		full, err := c.sweep(ctx, holds)
		if err != nil && ctx.Err() == nil {
			c.o.Log.Warn("expired holds could not be released; will try again", "error", err)
		}
		wait := interval/2 + time.Duration(rand.Int64N(int64(interval))) // jitter, so that nodes take turns
		if full && err == nil {
			wait = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (c *Committer) sweep(ctx context.Context, holds Expiries) (full bool, err error) {
	expired, err := holds.ExpiredHolds(ctx, sweepBatch)
	if err != nil || len(expired) == 0 {
		return false, err
	}
	var failed error
	for _, h := range expired { // one by one: a batch of many would lock all their accounts at once
		_, err := c.Execute(ctx, ledger.Batch{Commands: []ledger.Command{ledger.ExpireCommand(h)}})
		if ctx.Err() != nil || errors.Is(err, errs.ErrDraining) {
			return false, err
		}
		if err != nil { // one that can not be released must not keep the others
			failed = fmt.Errorf("hold %s of %s: %w", h.ID, h.Ledger, err)
		}
	}
	return len(expired) >= sweepBatch, failed
}
