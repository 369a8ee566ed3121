// Package provider takes the callbacks of payment providers in, and sees to it that each has its effect once.
//
// It promises that what a provider sent, and what was verified (verify.go), is stored once by the provider's own id before the provider
// hears 200, in a form that is the same for all (normalise.go); that nothing else happens in that request (intake.go, writer.go); and that
// workers apply what was stored in order on each payment, again and again where that may help, until it is applied or a dead letter with a
// cause that somebody can replay or discard (worker.go, operate.go). It relies on a Store for the tables, on the lease of a home's relay for
// who works, and on a function that applies one envelope, which must be harmless when called again for the same one. Package simulate is a
// provider that misbehaves.
package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Name names an account at a provider, as the configuration and the address of its callbacks have it: 1 to 32 of a-z 0-9 -.
type Name string

// ParseName reads a Name.
func ParseName(s string) (Name, error) {
	if _, err := id.ParseHome(s); err != nil { // of the same form
		return "", errs.Invalid("provider", "a provider is 1 to 32 of a-z 0-9 -, starting with a letter")
	}
	return Name(s), nil
}

// Triggers that no lifecycle has.
const (
	Unknown = "unknown" // nobody has said yet what the provider's word means
	Ignored = "ignored" // the configuration says that the provider's word means nothing here
)

// MaxID bounds the id of an event, in bytes, so that Key fits an idempotency key.
const MaxID = 180

// Envelope is one event of a provider, in the form that is the same for all.
type Envelope struct {
	Home       id.Home
	Ledger     id.Ledger
	Provider   Name
	ID         string // the provider's own, unique for it; or sha256:… of the body where it has none
	Type       string // the provider's word
	Trigger    string // what the configuration made of it: a trigger of the lifecycle, Unknown or Ignored
	Payment    string // our id of the payment, as the provider repeats it; may be empty
	Reference  string // the provider's id of the payment; may be empty
	Amount     money.Amount
	HasAmount  bool
	Currency   money.Code // empty where the provider names none
	OccurredAt time.Time  // as the provider says; zero where it does not
	ReceivedAt time.Time
	Raw        Raw
	Cause      string // why it can not be applied as it stands, one word; empty where nothing speaks against it
	Detail     string // the same for a person
}

// Key is the idempotency key of the command that an envelope becomes.
func (e Envelope) Key() id.Key { return id.Key("provider/" + string(e.Provider) + "/" + e.ID) }

// Order names what an envelope keeps its order on: the payment, by whichever id is known.
func (e Envelope) Order() string {
	switch {
	case e.Payment != "":
		return string(e.Ledger) + "/" + e.Payment
	case e.Reference != "":
		return string(e.Ledger) + "/" + string(e.Provider) + "/" + e.Reference
	}
	return string(e.Ledger) + "/" + string(e.Provider) + "//" + e.ID
}

// Meaning is a hash of what an envelope says, whatever the form of the body was: a repeat under the same id has the same.
func (e Envelope) Meaning() []byte {
	amount := ""
	if e.HasAmount {
		amount = e.Amount.String()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{e.Type, e.Payment, e.Reference, amount, string(e.Currency)}, "\x00")))
	return sum[:16]
}

// contradiction parts the id of an event from the hash of what else was said under it.
const contradiction = "~"

// contradicted is the callback that keeps what a provider said under an id that has another meaning already: a dead letter of its own.
func contradicted(c Callback) Callback {
	c.ID += contradiction + hex.EncodeToString(c.Meaning()[:8])
	c.State, c.Cause, c.Detail = Dead, CauseContradicts, "the provider sent this under the id of an event that says something else"
	return c
}

// State is where a callback stands.
type State string

// The states. Received and Waiting are open: a worker will take them.
const (
	Received  State = "received"  // stored, and not attempted yet
	Waiting   State = "waiting"   // attempted, and to be attempted again
	Applied   State = "applied"   // it had its effect, or the configuration ignores it
	Dead      State = "dead"      // given up; an operator replays or discards it
	Discarded State = "discarded" // an operator gave it up, with a reason
)

// Callback is an envelope and what became of it.
type Callback struct {
	Envelope
	State     State
	Attempts  int // that failed, since it was received or replayed
	DueAt     time.Time
	OpenedAt  time.Time // when it was received, or replayed last: its patience counts from here
	ChangedAt time.Time
}

// Opening is the callback that an envelope begins as: open, or settled at once where it can not be applied or is ignored.
func (e Envelope) Opening() Callback {
	c := Callback{Envelope: e, State: Received, DueAt: e.ReceivedAt, OpenedAt: e.ReceivedAt, ChangedAt: e.ReceivedAt}
	switch {
	case e.Cause != "":
		c.State = Dead
	case e.Trigger == Ignored:
		c.State = Applied
	}
	return c
}

// Causes of dead letters that are known before anything was attempted, and of those that ran out of time.
const (
	CauseUnreadable  = "unreadable"          // the body is not of the form that the configuration names
	CauseNoID        = "no_event_id"         // the id of the event is missing, too long, or no text
	CauseUnknownType = "unknown_type"        // the configuration has no trigger for the provider's word
	CauseBadAmount   = "bad_amount"          // there is an amount or a currency that can not be read
	CauseContradicts = "contradicts"         // another meaning came before under the same id
	CauseEarly       = "predecessor_missing" // what has to come before did not come in time
)
