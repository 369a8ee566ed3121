// Package saga runs what takes several steps, each of which may fail on its own: a withdrawal through a provider, a deposit with a bonus, a refund.
//
// It promises that a saga which was started ends completed or compensated, or waits for somebody who is named, whatever process dies at whatever
// point; that no step has its effect twice; and that another node goes on within ten seconds. Every effect on the books is a command of
// the ledger under a key derived from saga and step, and every order to a provider has such a key too: so what nobody wrote down is found out by
// doing it again, or, where it is the provider who knows, by asking first. It relies on ledger.Service for the books, on provider.Desk for orders, and
// on the lease of a home's relay for who works, which every write checks.
//
// Read flow.go for the flows, which are tables; decide.go for what becomes of a saga after an answer, which is pure; act.go for how a step is done
// or taken back; worker.go for who does it, and operate.go for what people can do.
package saga

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// State is where a saga stands.
type State string

// The states. The first three are open: a worker takes them when they are due. Stuck and Review wait for a person alone.
const (
	Running      State = "running"
	Compensating State = "compensating" // taking back what was done, step by step, under the same rules
	Waiting      State = "waiting"      // somebody has to decide about the payment; looked at again and again
	Stuck        State = "stuck"        // it can not go on by itself: retry, compensate, or hand over
	Review       State = "review"       // somebody proposed how to go on, and somebody else has to approve
	Completed    State = "completed"
	Compensated  State = "compensated" // nothing of it is left, or what cannot be taken back was never meant to be: Flow says so
)

// Ended tells whether nothing happens any more by itself.
func (s State) Ended() bool { return s == Completed || s == Compensated }

// Request is what a saga is to do. It never changes.
type Request struct {
	Player   id.Player      `json:"player"`
	Amount   ledger.Money   `json:"amount"`
	Provider provider.Name  `json:"provider"`
	Parent   id.Transaction `json:"parent,omitzero"`     // of a refund: the deposit
	Bonus    *ledger.Money  `json:"bonus,omitempty"`     // of a deposit with bonus
	FourEyes bool           `json:"four_eyes,omitempty"` // somebody other than Actor approves before money leaves
	Actor    string         `json:"actor"`               // who asked for it
}

// Choice is how a saga is to go on, as a person says.
type Choice string

// The choices.
const (
	Proceed    Choice = "proceed"    // past the approval that the request asked for
	Retry      Choice = "retry"      // the same step again
	Compensate Choice = "compensate" // take back what was done
	SayDone    Choice = "done"       // the provider has done what was ordered, as was found out elsewhere; always four eyes
	SayFailed  Choice = "failed"     // the provider has not, and never will; always four eyes
)

// Choices lists what can be proposed.
var Choices = []Choice{Retry, Compensate, SayDone, SayFailed}

// Proposal is a choice that waits for somebody else.
type Proposal struct {
	Choice Choice    `json:"choice"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Progress is what a saga has come to, besides its state.
type Progress struct {
	Back       bool                    `json:"back,omitempty"`        // it takes back
	Turned     bool                    `json:"turned,omitempty"`      // it took back and found that it was too late: it goes on, once
	Spent      map[string]int          `json:"spent,omitempty"`       // keys of a step that have a final answer which does not end it
	Ordered    map[string]time.Time    `json:"ordered,omitempty"`     // steps whose order may have been given, and when last
	Payments   map[Part]id.Transaction `json:"payments,omitempty"`    // that the saga made
	Reference  string                  `json:"reference,omitempty"`   // the provider's
	ApprovedBy string                  `json:"approved_by,omitempty"` // of the approval that the request asked for
	Said       provider.OrderState     `json:"said,omitempty"`        // what two people say of the order, in place of the provider
	Proposal   *Proposal               `json:"proposal,omitempty"`    // in Review
	Lines      int64                   `json:"lines"`                 // of the history
}

// Saga is one run of a flow.
type Saga struct {
	Home      id.Home
	Ledger    id.Ledger
	ID        id.Transaction
	Key       id.Key // under which it was started
	Flow      Name
	Request   Request
	State     State
	Step      string // that it is at
	Version   int64  // grows with every change
	Attempts  int    // at this step, without an answer
	Progress  Progress
	Cause     string // why it stands or goes back, one word; empty where nothing is wrong
	Detail    string // the same for a person
	Awaits    string // who has to act; empty: nobody
	DueAt     time.Time
	Since     time.Time // when it came to this step
	OpenedAt  time.Time
	ChangedAt time.Time
}

// Line is one of the history of a saga. Lines are never changed.
type Line struct {
	Number   int64
	Step     string
	Back     bool
	Event    string // started, ordered, done, refused, waiting, pending, unknown, late, stuck, turned, ended, and what people chose
	Cause    string
	Detail   string
	Actor    string // who did it: a person, or the owner of the lease
	Proposer string // of what Actor approved
	At       time.Time
}

// IDOf derives the id of a saga from the key that it is started under.
func IDOf(l id.Ledger, key id.Key) id.Transaction { return id.TransactionOf(l, "saga/"+key) }

// commandKey is the idempotency key of what a step does to the books. A key whose answer was final and did not end the step is spent, and the next
// has another number.
func (s Saga) commandKey(step string, back bool) id.Key {
	way := way(step, back)
	return id.Key("saga/" + s.ID.String() + "/" + way + "/" + strconv.Itoa(s.Progress.Spent[way]))
}

// orderKey is the key of what a step orders of a provider: one for ever.
func (s Saga) orderKey(step string) string { return "saga-" + s.ID.String() + "-" + step }

func way(step string, back bool) string {
	if back {
		return step + "/undo"
	}
	return step
}

// maxKey leaves room for the prefix under which the key of a saga becomes its id.
const maxKey = 200

// maxText bounds what people write.
const maxText = 255

// opening is the saga that a request begins as.
func opening(l ledger.Ledger, name Name, key id.Key, q Request, now time.Time) (Saga, error) {
	flow, known := Flows[name]
	if !known {
		return Saga{}, errs.Invalid("flow", fmt.Sprintf("there is no flow %q", name))
	}
	if _, err := id.ParseKey(string(key)); err != nil || len(key) > maxKey {
		return Saga{}, errs.Invalid("key", "a key is 1 to 200 printable ASCII characters without spaces")
	}
	if _, err := id.ParsePlayer(string(q.Player)); err != nil {
		return Saga{}, errs.Invalid("player", "name the player")
	}
	if _, err := provider.ParseName(string(q.Provider)); err != nil {
		return Saga{}, err
	}
	if err := actor(q.Actor); err != nil {
		return Saga{}, err
	}
	amounts := []ledger.Money{q.Amount}
	if q.Bonus != nil {
		amounts = append(amounts, *q.Bonus)
	}
	for _, m := range amounts {
		if m.Minor.Sign() <= 0 {
			return Saga{}, errs.Invalid("amount", "an amount is more than zero")
		}
		if !slices.ContainsFunc(l.Assets, func(a money.Asset) bool { return a.Code == m.Asset }) {
			return Saga{}, errs.Invalid("asset", "the ledger has no asset "+string(m.Asset))
		}
	}
	switch {
	case flow.Bonus != (q.Bonus != nil):
		return Saga{}, errs.Invalid("bonus", "a deposit with bonus has one, and nothing else does")
	case flow.Parent == q.Parent.IsZero():
		return Saga{}, errs.Invalid("parent", "a refund names the deposit that it takes back, and nothing else does")
	case q.FourEyes && !slices.ContainsFunc(flow.Steps, func(s Step) bool { return s.Approval }):
		return Saga{}, errs.Invalid("four_eyes", "no step of this flow asks for approval")
	}
	now = micros(now)
	return Saga{
		Home: l.Home, Ledger: l.ID, ID: IDOf(l.ID, key), Key: key, Flow: name, Request: q, State: Running, Step: flow.Steps[0].Name, Version: 1,
		Progress: Progress{Lines: 1}, DueAt: now, Since: now, OpenedAt: now, ChangedAt: now,
	}, nil
}

func actor(name string) error {
	if name == "" || len(name) > maxText || attempt.Brief(name) != name {
		return errs.Invalid("actor", "say who you are, in 1 to 255 bytes of text")
	}
	return nil
}

// micros cuts a time to what engines keep.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
