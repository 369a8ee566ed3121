package event

import (
	"errors"
	"slices"

	"github.com/meridian-ledger/meridian/internal/id"
)

// ErrRevised says that a subscription was changed since its deliverer read it: what the deliverer did may have been right by the old
// revision only.
var ErrRevised = errors.New("the subscription has another revision")

// WantsAs tells whether both want the same events: what was counted for one counts for the other.
func (s Subscription) WantsAs(o Subscription) bool {
	return slices.Equal(s.Filter.Ledgers, o.Filter.Ledgers) && slices.Equal(s.Filter.AccountPrefixes, o.Filter.AccountPrefixes) &&
		slices.Equal(s.Filter.Types, o.Filter.Types) && slices.Equal(s.Sees(), o.Sees())
}

// Checkpoint is what a deliverer writes down in one transaction, all of it or nothing. Everything in it is absolute, so that writing it
// twice is writing it once.
type Checkpoint struct {
	Lease    Lease
	Revision int64    // of the subscription that was delivered by
	Progress Progress // as it is now
	Put      []Delivery
	Drop     []Position // deliveries that went through
}

// Outstanding is what a deliverer finds when it takes over: how far the subscription is, and what is due, by position.
type Outstanding struct {
	Progress Progress
	Due      []Delivery
}

// Tally counts deliveries of one subscription and cause.
type Tally struct {
	Home         id.Home
	Subscription string
	State        DeliveryState
	Cause        string
	Age          string // hour, day, older
	Count        int64
}
