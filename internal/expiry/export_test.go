package expiry

import (
	"context"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/worker"
)

// Turn is what tests, which stand outside because the store imports this package, see of it.
func (t *Timer) Turn(ctx context.Context, home id.Home) (worker.Turned, error) {
	return t.turn(ctx, home)
}
