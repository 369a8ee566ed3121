package sim

import (
	"fmt"
	"slices"
	"time"

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

	fresh bool // an answer said that it was the first
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
// It keeps all of it in memory: about 900 bytes a command with two entries (see BenchmarkRun), 24 bytes a further attempt and 120 bytes a read.
// Ten minutes of a thousand commands a second are some 550 MB.
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
}

func newHistory(w Workload, regions []Region, o Options) *History {
	h := &History{Run: fmt.Sprintf("sim-%x", o.Start.UnixNano()), Seed: w.Seed, Clients: o.Clients, Start: o.Start, Loaded: o.Duration}
	for _, r := range regions {
		h.regionOf(r.Name)
	}
	for _, r := range regions {
		for _, n := range r.Nodes {
			h.regionOf(n.Region)
		}
	}
	return h
}

// regionOf is the place of a region in Regions, where it is put when it is new. There are few of them.
func (h *History) regionOf(name string) uint8 {
	i := slices.Index(h.Regions, name)
	if i < 0 {
		i, h.Regions = len(h.Regions), append(h.Regions, name)
	}
	return uint8(i) //nolint:gosec // few
}

func (c *Call) String() string { return fmt.Sprintf("%s %s", c.Command.Kind, c.Command.Key) }
