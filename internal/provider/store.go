package provider

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Store is what intake and workers need of the tables. Every error is an *errs.Error, or one of those named.
type Store interface {
	// PutCallbacks stores callbacks of one home, each of another event, unless the event is stored already. When it returns, what it stored is
	// durable. before has the meaning of what stood there under the id of each, and nil where nothing did.
	PutCallbacks(ctx context.Context, home id.Home, callbacks []Callback) (before [][]byte, err error)
	// OpenCallbacks returns callbacks of a home that are due at a time, the longest due first, together with all others that are open in the same order:
	// about most in all. They come by Order, and within one by the time of the event.
	OpenCallbacks(ctx context.Context, home id.Home, now time.Time, most int) ([]Callback, error)
	// SettleCallbacks writes down what became of open callbacks, or fails with event.ErrFenced where somebody else has the lease.
	SettleCallbacks(ctx context.Context, lease event.Lease, settled []Callback) error
	// TallyCallbacks counts the open and the dead callbacks of a home.
	TallyCallbacks(ctx context.Context, home id.Home) ([]Tally, error)
}

// Tally counts callbacks that are alike.
type Tally struct {
	Provider Name
	State    State
	Cause    string // of dead ones
	Count    int64
	Oldest   time.Time // when the first of the open ones was received
}
