// Package evidence holds what a drill leaves behind: one Report, and the forms in which people and programs read it.
//
// The JSON is the format: whatever else is made (a page for an auditor, JUnit for a build server, text for a terminal, a comparison of two
// runs) is made from it alone, so that a report that was kept can be shown again years later. The same report gives the same bytes in every
// form. The package knows nothing of how drills are run and imports nothing of ours; internal/drill fills in reports, and cmd/meridian writes
// them to files.
package evidence

import "time"

// Format is the version of the JSON that this package writes, and the only one that it reads.
const Format = 1

// Report is a drill as it went. Times called At, From and Until are seconds since the load started, before which they are negative.
// A Report is a plain value: nothing here keeps or changes one.
type Report struct {
	Format      int         `json:"format"`      // Format
	Drill       string      `json:"drill"`       // name of the story, say "region_loss"
	Title       string      `json:"title"`       // of the story, for people
	Why         string      `json:"why"`         // what the drill is to prove, for people
	Started     time.Time   `json:"started"`     // when the drill began, environment included
	Seconds     float64     `json:"seconds"`     // that the whole drill took
	Seed        uint64      `json:"seed"`        // of the load and of whatever else was random
	Command     string      `json:"command"`     // the exact command that repeats the drill
	Story       string      `json:"story"`       // the YAML as it ran
	Passed      bool        `json:"passed"`      // no verdict failed and every limit was met
	Environment Environment `json:"environment"` // where it ran
	Steps       []Step      `json:"steps"`       // what was done, in the order of time
	Bucket      float64     `json:"bucket"`      // seconds of one column of the series; the first begins with the load
	Series      []Series    `json:"series"`      // one a region of clients
	Phases      []Phase     `json:"phases"`      // before, during and after the faults, in each region
	Recovery    []Recovery  `json:"recovery"`    // how soon each region was well again after each step
	Totals      Totals      `json:"totals"`      // over all regions, from start to end
	Verdicts    []Verdict   `json:"verdicts"`    // of every checker, those that were skipped too
	Log         []Line      `json:"log"`         // what the drill said while it ran
}

// Environment says where a drill ran. What is empty or zero is not known.
type Environment struct {
	Meridian      string   `json:"meridian"`       // version
	Go            string   `json:"go"`             // version
	OS            string   `json:"os"`             // system and architecture, say "linux/amd64"
	CPU           string   `json:"cpu"`            // model
	CPUs          int      `json:"cpus"`           // that the drill could use
	MemoryBytes   int64    `json:"memory_bytes"`   // of the machine
	Engine        string   `json:"engine"`         // "CockroachDB" or "PostgreSQL"
	EngineVersion string   `json:"engine_version"` // as the engine says it
	Topology      string   `json:"topology"`       // name of the topology
	Regions       []Region `json:"regions"`
	RTTs          []RTT    `json:"rtts"` // between regions, as the links were set up
}

// Region is a region of the environment.
type Region struct {
	Name      string   `json:"name"`
	Zones     []string `json:"zones"`
	Databases int      `json:"databases"` // nodes
	Servers   int      `json:"servers"`   // processes
	Homes     []string `json:"homes"`     // whose rows live there
}

// RTT is the round trip between two regions.
type RTT struct {
	Between      [2]string `json:"between"` // names of regions
	Milliseconds float64   `json:"milliseconds"`
}

// Step is something that was done to the system, or was to be done and could not be.
type Step struct {
	At      float64  `json:"at"`              // seconds since the load started
	Until   *float64 `json:"until,omitempty"` // when what it did was undone, in seconds; nil: it stayed, or was over at once
	Kind    string   `json:"kind"`            // "kill"
	Target  string   `json:"target"`          // "region/europe-west1"
	Text    string   `json:"text"`            // for people
	Skipped string   `json:"skipped"`         // why it was not done; "" if it was
}

// Series is what the clients of a region saw over time. All lists are equally long, and element i covers the seconds from i*Bucket to
// (i+1)*Bucket. A call counts in the bucket in which it ended.
type Series struct {
	Region string    `json:"region"`
	OK     []int     `json:"ok"`     // calls that were answered
	Failed []int     `json:"failed"` // calls that were not
	P50    []float64 `json:"p50"`    // milliseconds; -1: no call ended
	P99    []float64 `json:"p99"`    // milliseconds; -1: no call ended
	Max    []float64 `json:"max"`    // milliseconds; -1: no call ended
}

// Names of phases.
const (
	Before = "before" // the first fault
	During = "during" // faults, and until all is well again
	After  = "after"  // all is well again
)

// Phase is a stretch of time as the clients of a region saw it.
type Phase struct {
	Name      string  `json:"name"` // Before, During or After
	Region    string  `json:"region"`
	From      float64 `json:"from"`       // seconds since the load started
	Until     float64 `json:"until"`      // seconds since the load started
	Requests  int     `json:"requests"`   // calls that ended, well or not
	Failed    int     `json:"failed"`     // calls without an answer
	Slow      int     `json:"slow"`       // calls answered later than the story calls slow
	PerSecond float64 `json:"per_second"` // calls that were answered
	P50       float64 `json:"p50"`        // milliseconds, as are those below; -1: no call ended
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`
	Max       float64 `json:"max"`
}

// Recovery is what a step meant for the clients of a region.
type Recovery struct {
	Region        string   `json:"region"`
	Step          string   `json:"step"`           // which step, for people
	DetectSeconds *float64 `json:"detect_seconds"` // from the step to the first call that was hurt; nil: nobody in that region noticed
	RTOSeconds    *float64 `json:"rto_seconds"`    // from the step until all is well again; nil: nobody noticed or, with DetectSeconds, it never got well
	LimitSeconds  *float64 `json:"limit_seconds"`  // that RTOSeconds may be at most; nil: none was set
	Met           bool     `json:"met"`            // the limit; true without one
	Text          string   `json:"text"`           // for people
}

// Totals counts over all clients.
type Totals struct {
	Clients        int `json:"clients"`
	Requests       int `json:"requests"`        // calls, repeats of the same command included
	FailedRequests int `json:"failed_requests"` // calls without an answer
	SlowRequests   int `json:"slow_requests"`   // calls answered later than the story calls slow
	Commands       int `json:"commands"`        // each counted once, however often it was sent
	Acknowledged   int `json:"acknowledged"`    // commands answered: done
	Declined       int `json:"declined"`        // commands answered: refused by a rule of the books
	Unknown        int `json:"unknown"`         // commands without an answer in the end
	Replays        int `json:"replays"`         // repeats that got the first answer again
	Moved          int `json:"moved"`           // commands answered by another server than the first one asked
	LostWrites     int `json:"lost_writes"`     // acknowledged commands that are not in the books: the RPO, which must be 0
	RestoredLoss   int `json:"restored_loss"`   // acknowledged commands younger than the backup that was restored: gone, as they must be
	DoubleEffects  int `json:"double_effects"`  // commands with more than one effect: must be 0
	Reads          int `json:"reads"`           // calls that only read
	Events         int `json:"events"`          // heard on the stream, each counted once
	EventRepeats   int `json:"event_repeats"`   // events heard again
}

// Status is how a verdict came out.
type Status string

// The statuses.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Verdict is what one checker found.
type Verdict struct {
	Name    string   `json:"name"`    // what is promised: "no acknowledged command is missing"
	Checker string   `json:"checker"` // "lost_write"
	Status  Status   `json:"status"`
	Looked  int      `json:"looked"`  // how many things it looked at
	Detail  []string `json:"detail"`  // the first 50 problems, or why it was skipped
	Seconds float64  `json:"seconds"` // that the check took
}

// Line is a line of the log.
type Line struct {
	At   float64 `json:"at"` // seconds since the load started
	Text string  `json:"text"`
}
