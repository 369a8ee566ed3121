package event

import (
	"encoding/json"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// State is what a subscription is doing.
type State string

// The states. A failing one is probed until its sink answers again; a paused one waits for an operator; a deleted one is kept for the proof.
const (
	Active  State = "active"
	Paused  State = "paused"
	Failing State = "failing"
	Deleted State = "deleted"
)

// Filter says which events are wanted. Empty fields want everything; an event has to match each that is set.
type Filter struct {
	Ledgers         []id.Ledger `json:"ledgers,omitempty"`
	AccountPrefixes []string    `json:"account_prefixes,omitempty"` // of any account that the event touches
	Types           []Type      `json:"types,omitempty"`            // whole, or a prefix that ends in a dot and a star: wallet.*
}

// Grant allows events of a home to leave for a sink in another region. It is kept with the subscription for ever.
type Grant struct {
	Home   id.Home `json:"home"`
	Region string  `json:"region"`
	Reason string  `json:"reason"`
}

// SinkSpec is where events go: one of the kinds, with its settings as the package of the sink reads them. Settings hold no secret.
type SinkSpec struct {
	Kind     string          `json:"kind"`             // webhook, kafka, nats, file
	Region   string          `json:"region,omitempty"` // where the sink runs, for the residency rule
	Settings json.RawMessage `json:"settings"`
}

// Subscription is who wants events.
type Subscription struct {
	ID        string
	Revision  int64 // grows with each change; the relay takes up a change when it sees one
	State     State
	Cause     string // why it is paused or failing
	Homes     []id.Home
	Filter    Filter
	Sink      SinkSpec
	Grants    []Grant
	Metadata  ledger.Metadata
	CreatedAt time.Time
	ChangedAt time.Time
}

// Secret signs deliveries, or opens the sink: it is stored apart, never logged, never returned. Several are active during a rotation.
type Secret struct {
	ID        string
	Value     []byte
	CreatedAt time.Time
}

// String hides the value from every log and format.
func (s Secret) String() string { return "secret " + s.ID }

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// Progress is how far a subscription is in one home. Every wanted event of the positions since < p <= Position is delivered and counted, or
// stands in a Delivery.
type Progress struct {
	Home         id.Home
	Subscription string
	Since        Position
	Position     Position
	Delivered    int64
	Digest       string // decimal sum modulo 10^38 of Weigh over the delivered events
	ChangedAt    time.Time
}

// DeliveryState is what became of an event that was not delivered at the first attempt.
type DeliveryState string

// The states of deliveries. One that succeeds in the end leaves no row: it counts as delivered.
const (
	Due       DeliveryState = "due"       // attempted and to be attempted again, or waiting behind such a one on the same account
	Dead      DeliveryState = "dead"      // gave up; an operator retries or discards it
	Discarded DeliveryState = "discarded" // an operator gave it up, with a reason
)

// Delivery is an event on its way to one subscription that met an obstacle.
type Delivery struct {
	Home         id.Home
	Subscription string
	Position     Position
	Ledger       id.Ledger
	Transaction  id.Transaction
	Accounts     []ledger.Ref // whose order waits for it
	State        DeliveryState
	Attempts     int
	DueAt        time.Time
	Cause        string // one word of a closed set, for metrics: see relay
	Detail       string // what a person needs to know; no secret, no payload
	CreatedAt    time.Time
	ChangedAt    time.Time
}

// Replay reads a range again for one subscription, beside what is new.
type Replay struct {
	Home         id.Home
	ID           string
	Subscription string
	First, Last  Position
	Position     Position // the last that was delivered again
	PerSecond    int
	State        string // running, done, cancelled
	Reason       string
	CreatedAt    time.Time
	ChangedAt    time.Time
}
