// Package sink is what relays need of the places where events go.
package sink

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

// Sink takes events of one subscription. It is safe for as many concurrent calls of Deliver as its Shape says.
type Sink interface {
	// Deliver hands over messages, in order, and returns how many of the first ones are safe where they belong; where these are not all,
	// err says what became of the next one. Repeats are harmless: messages have ids.
	Deliver(ctx context.Context, messages []Message) (safe int, err error)
	// Shape says how it likes to be called.
	Shape() Shape
	// Close lets go of connections; it does not wait for long.
	Close() error
}

// Message is an event made ready: the CloudEvents form for one subscription.
type Message struct {
	event.Event
	Key      string            // orders and partitions: the account that the event is about, or else the transaction
	Body     []byte            // CloudEvents 1.0 JSON
	Data     []byte            // the data alone, for the binary mode
	Headers  map[string]string // CloudEvents attributes of the binary mode, lower case and without prefix
	Replay   string            // id of the replay that sends it again, or empty
	Attempts int               // made before this one
}

// Shape bounds the calls.
type Shape struct {
	Batch    int           // most messages in one call; at least 1
	Parallel int           // most calls at once; messages that share an account are never in two of them; at least 1
	Linger   time.Duration // how long to wait for a batch to fill; 0 takes what is there
}

// Verdict is what an error of Deliver means for the message.
type Verdict string

// The verdicts.
const (
	Retry  Verdict = "retry"  // the message may go through later: others may go through now
	Poison Verdict = "poison" // the message will never go through as it is
	Down   Verdict = "down"   // the whole sink is away or refuses everything: nothing else is worth an attempt now
)

// Error says why a message is not safe. Text of it is shown to operators: it holds no secret and no body, and is bounded in length.
type Error struct {
	Verdict Verdict
	Cause   string        // one word for metrics: timeout, refused, tls, dns, status_4xx, status_5xx, redirect, too_large, forbidden_address, unavailable …
	Detail  string        // for a person
	After   time.Duration // not before; as Retry-After said, or 0
	Err     error         // underneath, for logs
}

func (e *Error) Error() string { return e.Cause + ": " + e.Detail }

func (e *Error) Unwrap() error { return e.Err }
