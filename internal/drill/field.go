package drill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/verify"
)

// Field is where a drill takes place: a deployment, the clients around it, and the hand that breaks it. Local is one that the drill starts
// itself, Target is one that runs already. Its methods are called by one drill, Do by several steps at the same time.
type Field interface {
	// Environment says what was found or started.
	Environment() evidence.Environment
	// Engine is the database, as stories spell it.
	Engine() string
	// Regions are the places of clients, each with the nodes as its clients reach them, through whatever breaks.
	Regions() []sim.Region
	// Ledgers are the books that the load writes to, and where each is at home. They are there, and belong to drills alone.
	Ledgers() map[id.Ledger]id.Home
	// Sources subscribe to the change stream, a source a node, as the clients of a region reach them.
	Sources(region string) []sim.Source
	// Do begins a step and returns how to undo it; undo is nil where nothing is left to undo. The error is an Unsupported where this field can
	// not do such a thing: then nothing was done.
	Do(ctx context.Context, s Step) (undo Undo, err error)
	// Heal ends all that is broken, and returns when every node answers again.
	Heal(ctx context.Context) error
	// Books reaches the ledger by a way that no fault of a drill stands in. It is asked after Heal.
	Books(ctx context.Context) (ledger.Service, error)
	// Heads returns the newest position of the stream of each home. The error is an Unsupported where the field has no database to ask.
	Heads(ctx context.Context) (map[id.Home]int64, error)
	// Verify proves the books on the database. The error is an Unsupported where the field has no database to ask.
	Verify(ctx context.Context) (verify.Report, error)
	// Sink is what consumes by a subscription, where the story asks for one; else nil.
	Sink() *sim.Witness
	// Payments are what is paid beside the load, where the story asks for it and the field can; else nil.
	Payments() *Payments
	// Close lets go of all, and stops what the field started. keep leaves logs behind and returns where.
	Close(keep bool) (logs string, err error)
}

// ledgerFor names the ledger of drills in a home.
func ledgerFor(home id.Home) id.Ledger { return id.Ledger("drill-" + string(home)) }

// Undo ends what a step has broken, and says what came of it, if there is something to say.
type Undo func(ctx context.Context) (said string, err error)

// quietly is an Undo that has nothing to say.
func quietly(undo func(context.Context) error) Undo {
	return func(ctx context.Context) (string, error) { return "", undo(ctx) }
}

// Unsupported is the reason why a field can not do what a story asks for. A drill says it aloud and goes on.
type Unsupported struct{ Reason string }

func (u *Unsupported) Error() string { return u.Reason }

func unsupported(format string, args ...any) error {
	return &Unsupported{fmt.Sprintf(format, args...)}
}

// unsupportedReason returns the reason, if that is what the error is.
func unsupportedReason(err error) (string, bool) {
	var u *Unsupported
	if errors.As(err, &u) {
		return u.Reason, true
	}
	return "", false
}

// StreamOf is the change stream of a node as a witness subscribes to it.
func StreamOf(node *rpc.EventClient) sim.Source {
	return func(ctx context.Context, home id.Home, after int64) iter.Seq2[sim.Word, error] {
		return func(yield func(sim.Word, error) bool) {
			from := rpc.Subscriber{Home: home, After: event.Position(after), Heartbeat: time.Second}
			for word, err := range node.Subscribe(ctx, from) {
				heard := sim.Word{Position: int64(word.Position)}
				if word.Event != nil {
					heard = sim.Word{Position: int64(word.Event.Position), Body: word.Event.Body}
				}
				if !yield(heard, err) {
					return
				}
			}
		}
	}
}
