package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// State is what is known of a command.
type State uint8

// A command is Unknown until somebody was told what it became. Settle makes one of the last two of it.
const (
	Unknown      State = iota
	Acknowledged       // its client got the answer
	Happened           // its client got none; Settle heard that it had happened
	Late               // its client got none; Settle heard that it had not happened, and made it happen
)

// Call is a command as its client lived it: all tries under one key. Times count from the start of the history.
type Call struct {
	Client  int
	State   State
	Command ledger.Command
	Outcome ledger.Outcome // unless Unknown
	Began   time.Duration  // the first try
	Ended   time.Duration  // the first answer; without one, when the client gave up
	Failed  int            // tries without an answer
	Trouble string         // of an unanswered one: the last failure

	// Of Happened and Late: when Settle asked, and had the answer.
	Asked, Settled time.Duration
}

// decided tells whether it is known what the command became.
func (c *Call) decided() bool { return c.State != Unknown }

// span is when the command took effect: at some instant between the two. Of an unknown one nobody knows the end.
func (c *Call) span() (from, until time.Duration) {
	switch c.State {
	case Acknowledged:
		return c.Began, c.Ended
	case Happened:
		return c.Began, c.Settled
	case Late:
		return c.Asked, c.Settled
	default:
		return c.Began, forever
	}
}

const forever = time.Duration(1<<63 - 1)

// Read is a balance that a client saw.
type Read struct {
	Client       int32
	Node         uint8 // that answered: its region, by its place in History.Regions
	Ref          ledger.Ref
	Began, Ended time.Duration
	Sequence     int64
	Balance      ledger.Balances
}

// Attempt is one call of a client to one node.
type Attempt struct {
	Began, Took time.Duration
	Client      uint16
	Region      uint8 // of the client, by its place in History.Regions
	Node        uint8 // the region that was asked, by the same
	Code        uint8 // Answered, or 1 + the errs.Code of the failure
	What        What
}

// Answered is the code of an attempt that got an answer.
const Answered = 0

// OK tells whether there was an answer.
func (a Attempt) OK() bool { return a.Code == Answered }

// What says for what a client called.
type What uint8

// Nobody waits for a probe: it goes to the client's own region while the client works elsewhere, and is left out of all measures.
const (
	Command What = iota
	Reading
	Again // a command that was answered before, or one of a storm
	Probe
)

// History is what the clients did and were told. Reading it is safe for concurrent use; Settle is not.
//
// It keeps all of it in memory: see BenchmarkRun for what that is.
type History struct {
	Run       string // part of every key: two runs on the same books do not meet
	Seed      uint64
	Clients   int
	Start     time.Time
	Loaded    time.Duration // how long new operations were made up
	Elapsed   time.Duration // until the last answer
	Regions   []string      // those of the clients, then those in which other nodes stand
	Calls     []*Call       // by client, and of each client in its order
	Reads     []Read        // by their end
	Attempts  []Attempt     // by their beginning
	Replays   int           // repeats that got the answer again
	Different []string      // repeats that did not, and commands that were refused: must be empty

	calls map[id.Transaction]*Call
}

// Totals are the numbers of a run.
type Totals struct {
	Clients, Requests, FailedRequests, SlowRequests   int // requests: all calls to nodes but probes
	Commands, Acknowledged, Declined, Posted, Unknown int // acknowledged: posted and declined; unknown: those without an answer, settled or not
	Settled, Replays, Moved, Reads                    int // moved: answered by another node than the first one asked
	Kinds                                             map[ledger.Kind]int
	Declines                                          map[errs.Reason]int
	Worst                                             time.Duration           // the longest that a command with a failed call took to its answer
	Latency                                           *hdrhistogram.Histogram // of acknowledged commands, from the first call to the answer, in microseconds
}

// Series are the attempts of the clients of a region, in buckets by when they began. Percentiles are of answered ones; -1 where there is none.
type Series struct {
	Region        string
	OK, Failed    []int
	P50, P99, Max []float64 // milliseconds
}

// Span is a part of the timeline.
type Span struct {
	Name        string
	From, Until time.Duration
}

// Phase sums up a part of the timeline for the clients of a region: the attempts that began in it.
type Phase struct {
	Span
	Region                 string
	Requests, Failed, Slow int
	PerSecond              float64       // answered
	P50, P99, P999, Max    time.Duration // of answered ones; 0 where there is none
}

// Recovery is how a region's clients got over something that happened.
type Recovery struct {
	Noticed   bool          // somebody in the region noticed: a call failed, or hung
	Detect    time.Duration // from the event to the end of the first failed attempt; 0 where none failed
	RTO       time.Duration // from the event to the end of the last window that was not good; 0 where all were
	Recovered bool          // the last window was good
}

func (c *Call) String() string { return fmt.Sprintf("%s %s", c.Command.Kind, c.Command.Key) }

// Totals adds up. An answered attempt is slow where it took longer than slow.
func (h *History) Totals(slow time.Duration) Totals { return Totals{} }

// Series counts attempts in buckets, for the clients of each region.
func (h *History) Series(bucket time.Duration) []Series { return nil }

// Phases sums up parts of the timeline, region by region.
func (h *History) Phases(slow time.Duration, spans ...Span) []Phase { return nil }

// Recovery measures how the clients of a region got over what happened at from, up to until.
func (h *History) Recovery(region string, from, until time.Duration) Recovery { return Recovery{} }

// Settle asks for the commands whose end nobody knows, under their keys, until each has an answer or the context ends.
func (h *History) Settle(ctx context.Context, svc ledger.Service) {}
