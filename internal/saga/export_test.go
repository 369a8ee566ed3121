package saga

import (
	"context"

	"github.com/meridian-ledger/meridian/internal/event"
)

// What tests, which stand outside because the store imports this package, see of it.
var ExplainLines = explain

func (w *Workers) Turn(ctx context.Context, lease event.Lease) (int, error) {
	return w.turn(ctx, lease)
}

func (s Saga) OrderKey(step string) string { return s.orderKey(step) }
