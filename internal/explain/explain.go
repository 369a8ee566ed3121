// Package explain tells the story of one piece of money: of a payment, a transaction, a hold, or of what a provider sent.
//
// It promises that a story comes from stored rows alone, in the order of their times; that it has what was refused and what is awaited as well as
// what happened, each with its reason for a person; that the same rows make the same story; and that nothing secret is in it: of bodies that
// providers sent it says that they are kept. It relies on a Store for the rows, each read of which is bounded, and on the tables of package payment
// for what a state waits for. Read gather.go for what belongs to a story, tell.go for how it is told, and text.go for what a person reads.
package explain

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
)

// Bounds on what one question reads. A story that meets one says so.
const (
	maxLedgers  = 1000 // that are asked where none is named
	maxMatches  = 50   // of one text
	maxRecords  = 500  // journal rows of a story
	maxEvidence = 200  // callbacks, and results of comparisons
	maxSiblings = 200  // newest payments of the player, among which are those that take this one back
	maxText     = 255
)

// How a text was found to name something.
type How string

// The ways.
const (
	ByID                How = "id"
	ByKey               How = "idempotency key"
	ByReference         How = "reference"
	ByProviderReference How = "provider reference"
	ByTrace             How = "trace id"
	ByTarget            How = "target"
	ByCallback          How = "callback of a provider"
)

// Found is a journal row that a text leads to.
type Found struct {
	Ledger      id.Ledger
	Transaction id.Transaction
	How         How
}

// Key is where a journal row stands.
type Key struct {
	Home        id.Home
	Ledger      id.Ledger
	Transaction id.Transaction
}

// Compared is what a comparison said, and what was proposed about it.
type Compared struct {
	Run         recon.Run
	At          time.Time
	Result      recon.Result // without its dates and its evidence
	Resolutions []recon.Resolution
}

// Placed is where a transaction stands in the stream of a home.
type Placed struct {
	Home        id.Home
	Position    event.Position
	Transaction id.Transaction
	At          time.Time
}

// Subscribed is a subscription to a home, and how far it is there.
type Subscribed struct {
	Home     id.Home
	ID       string
	State    event.State
	Filter   event.Filter
	Since    event.Position
	Position event.Position
}

// Streamed is what the change stream has of transactions.
type Streamed struct {
	Placed        []Placed
	Subscriptions []Subscribed
	Deliveries    []event.Delivery // that met an obstacle
}

// Store is what stories need of the tables. All of it reads, and reads strongly, but for what is found by a trace id: the search model has that, which
// is moments behind. Every error is an *errs.Error. It is safe for concurrent use.
type Store interface {
	Ledger(ctx context.Context, key id.Ledger) (ledger.Ledger, error)
	Ledgers(ctx context.Context, after id.Ledger, limit int) ([]ledger.Ledger, error)

	// Find looks in ledgers for rows of the journal that carry a text as their reference or trace id, and for payments whose provider calls them so: at
	// most limit of each.
	Find(ctx context.Context, ledgers []ledger.Ledger, text string, limit int) ([]Found, error)
	// Records returns the journal rows that are there.
	Records(ctx context.Context, keys []Key) ([]ledger.Record, error)
	// Acted returns up to limit rows of one home that act on rows of it: commits, rollbacks, expiries and reversals, refused ones among them.
	Acted(ctx context.Context, on []Key, limit int) ([]ledger.Record, error)
	// Hold returns a hold as it is now, if there is one.
	Hold(ctx context.Context, key Key) (h ledger.Hold, found bool, err error)

	// Payment returns a payment as it is now, or errs.ErrPaymentNotFound.
	Payment(ctx context.Context, key id.Ledger, payment id.Transaction) (ledger.Payment, error)
	// PaymentSteps returns up to limit lines of the history of a payment after a number.
	PaymentSteps(ctx context.Context, key id.Ledger, payment id.Transaction, after int64, limit int) ([]ledger.PaymentStep, error)
	// Player returns what gates know of a player, or errs.ErrPlayerNotFound.
	Player(ctx context.Context, key id.Ledger, player id.Player) (ledger.Player, error)
	// Children returns those of the newest payments of the same player that take a payment back.
	Children(ctx context.Context, p ledger.Payment, limit int) ([]ledger.Payment, error)

	// CallbacksOf returns up to limit callbacks, without bodies, by ledger and what they keep their order on.
	CallbacksOf(ctx context.Context, ledgers []ledger.Ledger, orders []string, limit int) ([]provider.Callback, error)
	// CallbacksAt returns callbacks, without bodies, by ledger, provider and the provider's id of the event.
	CallbacksAt(ctx context.Context, ledgers []ledger.Ledger, names []provider.Name, events []string) ([]provider.Callback, error)

	// Compared returns results that count about transactions, and about lines under references that no transaction was found for: up to limit.
	Compared(ctx context.Context, l ledger.Ledger, transactions []id.Transaction, references []string, limit int) ([]Compared, error)
	// Streamed returns what the change stream has of transactions of a ledger.
	Streamed(ctx context.Context, l id.Ledger, transactions []id.Transaction) (Streamed, error)
}

// Query is a question.
type Query struct {
	Text   string    // an id, an idempotency key, a reference, a trace id, or PROVIDER/EVENT and PROVIDER/REFERENCE
	Ledger id.Ledger // empty: all
}

// Answer is a story or, where the text leads to several, a line for each.
type Answer struct {
	Asked   string  `json:"asked"`
	Story   *Story  `json:"story,omitempty"`
	Matches []Match `json:"matches,omitempty"`
}

// Match is one of several things that a text leads to. To have its story told, ask for its id in its ledger.
type Match struct {
	Ledger id.Ledger `json:"ledger"`
	ID     string    `json:"id"`
	How    How       `json:"found_by"`
	What   string    `json:"what"`
	At     time.Time `json:"at"`
}

// Outcome is what became of what an event tells.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	Awaited  Outcome = "awaited"
	Noted    Outcome = "noted" // a fact that nobody decided
)

// Source is which rows tell of an event.
type Source string

// The sources.
const (
	FromRequest        Source = "request"
	FromLedger         Source = "ledger"
	FromPayment        Source = "payment"
	FromProvider       Source = "provider"
	FromStream         Source = "stream"
	FromDelivery       Source = "delivery"
	FromReconciliation Source = "reconciliation"
)

// Story is everything that is stored about one piece of money.
type Story struct {
	Subject string    `json:"subject"` // payment, hold, transaction or callbacks
	ID      string    `json:"id"`
	Found   []How     `json:"found_by"` // what the text turned out to be
	Home    id.Home   `json:"home"`
	Ledger  id.Ledger `json:"ledger"`
	Title   string    `json:"title"`
	Facts   []Fact    `json:"facts,omitempty"`

	State    string   `json:"state"`
	Terminal bool     `json:"terminal"`
	Standing string   `json:"standing"` // the state in a sentence
	Awaits   []string `json:"awaits,omitempty"`
	Next     string   `json:"next"`  // who acts next: player, compliance, operator, provider, client, service or nobody
	Money    []Stands `json:"money"` // where it stands
	Compared string   `json:"reconciliation"`

	Events []Event  `json:"events"` // by time
	Open   []string `json:"open,omitempty"`
}

// Fact is something about the subject as it is now.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Stands says what a story left on an account.
type Stands struct {
	Account string `json:"account"`        // with its ledger, where that is another one
	Role    string `json:"role,omitempty"` // in a payment
	Minor   string `json:"minor_units"`    // credits less debits; of a hold, what is set aside
	Asset   string `json:"currency"`
	Text    string `json:"text"`
}

// Event is one thing that happened, was refused or is awaited.
type Event struct {
	At      time.Time `json:"at"`
	Source  Source    `json:"source"`
	Outcome Outcome   `json:"outcome"`
	What    string    `json:"what"`
	Reason  string    `json:"reason,omitempty"`  // one word
	Meaning string    `json:"meaning,omitempty"` // the reason for a person
	Details []Fact    `json:"details,omitempty"`
}
