package event

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Service is what operators do with subscriptions, deliveries and replays. Every method is safe for concurrent use, and every error is an
// *errs.Error. A change is written down; whoever delivers takes it up within two seconds. What names a subscription that is not there, or
// that was deleted, is errs.ErrSubscriptionNotFound.
type Service interface {
	// Create writes a subscription down and starts it. The same again (secrets included, the start aside) returns the subscription as it is
	// now; one that differs is errs.ErrSubscriptionExists with the first field that does. An id that was deleted stays taken. A sink in
	// another region than a home is errs.ErrResidencyRefused, unless a grant is among the grants. made is set where the sink signs and no
	// secret was given: it is shown this once.
	Create(ctx context.Context, n NewSubscription) (created Standing, made *Secret, err error)
	// Get returns a subscription with how far it is.
	Get(ctx context.Context, id string) (Standing, error)
	// List returns subscriptions by id, strictly after the given one, at most limit of them. Deleted ones are left out.
	List(ctx context.Context, after string, limit int) ([]Standing, error)
	// Update changes what is set. With another revision than the given one it is errs.ErrContended.
	Update(ctx context.Context, a Amendment) (Standing, error)
	// Pause stops deliveries until Resume; what is in flight ends. Pausing again keeps the first reason.
	Pause(ctx context.Context, id, reason string) (Standing, error)
	// Resume goes on with a paused or failing subscription, at once.
	Resume(ctx context.Context, id string) (Standing, error)
	// Delete ends a subscription and forgets its secrets. What it delivered stays written down for the proof. Deleting again is no error.
	Delete(ctx context.Context, id string) error
	// Test sends one made-up event through the sink of a subscription, at once, in whatever state that is.
	Test(ctx context.Context, id string) (TestResult, error)

	// Deliveries lists what met an obstacle, by home and position.
	Deliveries(ctx context.Context, page DeliveryPage) ([]Delivery, error)
	// Delivery returns one with its event, or errs.ErrDeliveryNotFound. What went through is not there any more.
	Delivery(ctx context.Context, subscription string, home id.Home, position Position) (Delivery, Event, error)
	// RetryDeliveries makes dead deliveries due at once, as if never attempted, and returns how many.
	RetryDeliveries(ctx context.Context, s Selection) (int64, error)
	// DiscardDeliveries gives dead deliveries up for ever, with a reason that stays in their detail, and returns how many.
	DiscardDeliveries(ctx context.Context, s Selection, reason string) (int64, error)

	// StartReplay delivers a range again. The same again returns the replay as it is; one that differs is errs.ErrReplayExists.
	StartReplay(ctx context.Context, n NewReplay) (Replay, error)
	// Replays lists the replays of a subscription, newest first, at most limit of them.
	Replays(ctx context.Context, subscription string, limit int) ([]Replay, error)
	// CancelReplay stops a replay; one that is over stays as it is. It is errs.ErrReplayNotFound where there is none.
	CancelReplay(ctx context.Context, home id.Home, replay string) (Replay, error)
}

// Start is where a new subscription begins to read. The zero value is: with what comes after the call.
type Start struct {
	Beginning bool      // of each home
	Since     time.Time // what was appended at this time or later
}

// NewSubscription is what Create takes.
type NewSubscription struct {
	ID       string // 1 to 64 characters, as id.ParseLedger reads them
	Homes    []id.Home
	Filter   Filter
	Sink     SinkSpec
	Grants   []Grant
	Secrets  []Secret // at most MaxSecrets
	Metadata ledger.Metadata
	Start    Start
}

// Amendment is what Update takes; what is nil or empty stays.
type Amendment struct {
	ID            string
	Revision      int64 // that the change is meant for; 0 is any
	Filter        *Filter
	Sink          *SinkSpec
	AddGrants     []Grant // to those that are there: a grant is kept for ever
	AddSecrets    []Secret
	RemoveSecrets []string // ids; one that is not there is no error
	Metadata      *ledger.Metadata
}

// MaxSecrets of one subscription are active at once.
const MaxSecrets = 8

// Standing is a subscription and how far it is.
type Standing struct {
	Subscription
	SecretIDs []string       // newest first
	Places    []HomeStanding // by home
}

// HomeStanding is how far a subscription is in one home.
type HomeStanding struct {
	Progress
	Head      Position
	Due       int64
	Dead      int64
	Discarded int64
	Oldest    time.Time // when the oldest event was appended that is neither delivered nor given up; zero where there is none
}

// TestResult is what a sink said to a made-up event.
type TestResult struct {
	Delivered bool
	Cause     string // one word, as of a Delivery; empty where it was delivered
	Detail    string
	Took      time.Duration
}

// DeliveryPage selects deliveries of a subscription, strictly after a place.
type DeliveryPage struct {
	Subscription  string
	Home          id.Home       // empty is all homes
	State         DeliveryState // empty is all states
	AfterHome     id.Home
	AfterPosition Position
	Limit         int // 1 to 1000
}

// MaxSelection bounds the positions of a Selection.
const MaxSelection = 1000

// Selection names dead deliveries of a subscription in one home: those at the positions, or else those of a cause, or else all.
type Selection struct {
	Subscription string
	Home         id.Home
	Positions    []Position // at most MaxSelection
	Cause        string
}

// NewReplay is what StartReplay takes: a range by position, both included, or by the time of appending, From <= t < To.
type NewReplay struct {
	ID           string // 1 to 64 characters, as id.ParseLedger reads them
	Subscription string
	Home         id.Home
	First, Last  Position
	From, To     time.Time
	PerSecond    int // 1 to 10,000; 0 is 100
	Reason       string
}

// States of a replay.
const (
	ReplayRunning   = "running"
	ReplayDone      = "done"
	ReplayCancelled = "cancelled"
)
