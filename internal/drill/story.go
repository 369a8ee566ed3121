// Package drill runs game days: a load of many clients on a ledger in several regions, faults on a timeline, and the proof afterwards that no
// money was lost, doubled or wrong, with how long each region was without service.
//
// It promises that a story means the same on every field it runs on, that what a story asks for and the field can not do is said aloud and
// never passes for done, and that a verdict comes from what clients were told and from the books, not from the program under test. It relies
// on package sim for the load and the checkers, on a Field for the faults (local.go, target.go), and on package evidence for the report. What is
// paid beside the load goes through the simulated provider (deposit.go, payments.go, psp.go), and has checkers of its own (paid_judge.go).
//
// A story is a YAML file; chaos/README.md is the reference of its format. Look next at faults.go for what can be done to a deployment, at
// run.go for the life of a drill, and at recovery.go for how a time to recovery is judged.
package drill

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Story is a drill as it is written down. It comes from Parse or Load; treat it as a value that nobody changes. It is safe for concurrent use.
type Story struct {
	Name     string
	Title    string
	Why      string   // what happens in the world that this stands for
	Engines  []string // on which it makes sense; at least one
	Quick    []string // engines on which it is part of the quick set
	Topology string   // that a local field is laid out by
	// Databases is the number of database nodes in each region, and Zones spreads them over the zones of the topology; PostgreSQL has one
	// server whatever they say.
	Databases int
	Servers   int      // server nodes in each region
	Flags     []string // more flags of each server
	Sink      bool     // a webhook subscription of all homes to a receiver of the drill
	SmallDisk int      // MiB; the data of each database node stand on a disk of this size; 0: on the disk that is there
	FakeClock bool     // the database's clock can be moved
	// RelayAlone takes the work on the change stream from the servers that clients use and gives it to one that they do not, so that it can be
	// stopped for long while money moves.
	RelayAlone bool
	Paying     Paying
	Load       Load
	Steps      []Step // in the order of their times
	Recovery   []Recovery
	RPO        int // acknowledged commands that may be lost: 0, but where everything is restored from a backup
	Text       string
}

// Load is what clients do meanwhile.
type Load struct {
	Clients  int                      // in each region
	Accounts int                      // in each ledger
	Hot      int                      // of them, that take a third of the movements
	Duration time.Duration            // how long new commands are made up
	Think    map[string]time.Duration // of a client between two operations, by engine
	Attempt  time.Duration            // the longest wait for one answer
	Patience time.Duration            // the longest that a command is tried
	Slow     time.Duration            // from which an answer counts as slow
	Reads    float64                  // share of operations that read, 0 to 1
	Storm    int                      // times that each command is sent again at once, whatever was answered
}

// Step is a fault, or its end, on the timeline.
type Step struct {
	Name   string // for sentences, and for Recovery
	At     time.Duration
	For    time.Duration // then it is undone; 0: it stays, or there is nothing to undo
	Fault  Fault
	On     []Place // members, for faults of members
	From   []Place // ends of links, for faults of links
	To     []Place
	Params Params
	Text   string // what is done, as a person says it
}

// Params are what faults take beside places; which of them stands with each fault.
type Params struct {
	OneWay bool
	Delay  time.Duration
	Jitter time.Duration
	Loss   float64 // 0 to 1
	Rate   int64   // bytes/s
	Share  float64 // of commits, 0 to 1
	By     time.Duration
	Copies int // of each callback
}

// Recovery is a limit for the time until 99 % of requests succeed again.
type Recovery struct {
	Step    string // name of the step
	Regions []string
	FromEnd bool                     // counted from when the step was undone, not from when it began
	Within  map[string]time.Duration // by engine
}

// bounds of a story, so that a typing error does not start a thousand processes.
const (
	maxClients  = 512
	maxAccounts = 100_000
	maxDuration = 12 * time.Hour
	maxMembers  = 9
)

// Parse reads a story. file is what errors call it, as in region_loss.yaml:7:3. All that is wrong comes back at once, a line each.
func Parse(file string, data []byte) (Story, error) {
	tree, root, err := yamltree.Parse(file, data, yamltree.Kind{Noun: "drill", Fields: "name, title, why, topology, load and timeline"})
	if err != nil {
		return Story{}, err
	}
	s := reader{tree}.story(root)
	if err := tree.Err(); err != nil {
		return Story{}, err
	}
	s.Text = string(data)
	return s, nil
}

// LoadStory reads the story called name, from the file <name>.yaml at the root of fsys. The name inside the file must agree.
func LoadStory(fsys fs.FS, name string) (Story, error) {
	file := name + ".yaml"
	f, err := fsys.Open(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		names, _ := Names(fsys) // without it the sentence is shorter
		return Story{}, fmt.Errorf("there is no drill %q; there are: %s", name, strings.Join(names, ", "))
	}
	if err != nil {
		return Story{}, fmt.Errorf("read drill %q: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, yamltree.MaxBytes+1))
	if err != nil {
		return Story{}, fmt.Errorf("read drill %q: %w", name, err)
	}
	s, err := Parse(file, data)
	if err == nil && s.Name != name {
		err = fmt.Errorf("%s: the file says name: %s; give the file and the drill the same name", file, s.Name)
	}
	return s, err
}

// Names lists the stories at the root of fsys, in alphabetical order.
func Names(fsys fs.FS) ([]string, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list drills: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	slices.Sort(files)
	return files, nil
}

// Runs tells whether the story makes sense on an engine.
func (s Story) Runs(engine string) bool { return slices.Contains(s.Engines, engine) }
