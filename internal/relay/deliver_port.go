package relay

import (
	"context"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Open makes the sink of a subscription ready. It reads and checks the settings and dials nobody; the error is shown to operators, so it
// holds no secret.
type Open func(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error)

// Sinks are the kinds that a node can deliver to.
type Sinks map[string]Open

// DeliveryStore is what deliverers need of the tables. Every error is an *errs.Error, or one of those named. Methods with a lease fail with
// event.ErrFenced, and write nothing, where somebody else has it by now.
type DeliveryStore interface {
	// Subscribed returns the subscriptions that name a home and are not deleted.
	Subscribed(ctx context.Context, home id.Home) ([]event.Subscription, error)
	// Subscription returns a subscription, deleted or not, or errs.ErrSubscriptionNotFound.
	Subscription(ctx context.Context, subscription string) (event.Subscription, error)
	// Secrets returns the active secrets of a subscription, newest first.
	Secrets(ctx context.Context, subscription string) ([]event.Secret, error)
	// Outstanding returns where a subscription stands in a home, and what is due.
	Outstanding(ctx context.Context, home id.Home, subscription string) (event.Outstanding, error)
	// EventsAt returns the events at the positions, by position.
	EventsAt(ctx context.Context, home id.Home, positions []event.Position) ([]event.Event, error)
	// WriteCheckpoint writes a checkpoint, or fails with event.ErrRevised where the subscription has another revision.
	WriteCheckpoint(ctx context.Context, c event.Checkpoint) error
	// SetHealth makes an active subscription failing for a cause, or a failing one active. It leaves others, and the revision, as they are.
	SetHealth(ctx context.Context, lease event.Lease, subscription string, state event.State, cause string) error
	// RunningReplays returns the replays of a home that are running, oldest first.
	RunningReplays(ctx context.Context, home id.Home) ([]event.Replay, error)
	// AdvanceReplay writes down how far a running replay is. It returns false where the replay runs no more.
	AdvanceReplay(ctx context.Context, lease event.Lease, replay string, position event.Position, done bool) (bool, error)
	// TallyDeliveries counts what stands in the deliveries of a home.
	TallyDeliveries(ctx context.Context, home id.Home) ([]event.Tally, error)
}

// SubscriptionStore is what operators need of the tables. Every error is an *errs.Error.
type SubscriptionStore interface {
	// CreateSubscription writes a subscription with its secrets and starts. Where the id is taken it writes nothing, and existed is true.
	CreateSubscription(ctx context.Context, n event.NewSubscription) (existed bool, err error)
	// Standing returns a subscription that is not deleted, or errs.ErrSubscriptionNotFound.
	Standing(ctx context.Context, subscription string) (event.Standing, error)
	// Subscription returns a subscription, deleted or not, or errs.ErrSubscriptionNotFound.
	Subscription(ctx context.Context, subscription string) (event.Subscription, error)
	// Standings lists subscriptions that are not deleted.
	Standings(ctx context.Context, after string, limit int) ([]event.Standing, error)
	// Secrets returns the active secrets of a subscription, newest first.
	Secrets(ctx context.Context, subscription string) ([]event.Secret, error)
	// ReviseSubscription replaces the revision before s.Revision by s, and secrets with it. It is errs.ErrContended where another one is
	// stored. What was counted as delivered begins anew where recount is true: the filter is another.
	ReviseSubscription(ctx context.Context, s event.Subscription, recount bool, add []event.Secret, remove []string) error

	Deliveries(ctx context.Context, page event.DeliveryPage) ([]event.Delivery, error)
	Delivery(ctx context.Context, subscription string, home id.Home, position event.Position) (event.Delivery, error)
	EventsAt(ctx context.Context, home id.Home, positions []event.Position) ([]event.Event, error)
	// RetryDeliveries makes dead deliveries due, the oldest first and not more than most with those that are, and changes the revision.
	RetryDeliveries(ctx context.Context, s event.Selection, most int) (int64, error)
	DiscardDeliveries(ctx context.Context, s event.Selection, reason string) (int64, error)

	// CreateReplay writes a replay; where the id is taken in that home it returns what stands there.
	CreateReplay(ctx context.Context, r event.Replay) (event.Replay, error)
	Replays(ctx context.Context, subscription string, limit int) ([]event.Replay, error)
	CancelReplay(ctx context.Context, home id.Home, replay string) (event.Replay, error)
}
