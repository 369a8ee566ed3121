package sim

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Status is how a check ended.
type Status string

// A check that could look at nothing is skipped; one that could not read the books has failed.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Verdict is what a check found.
type Verdict struct {
	Checker  string // one word: lost_write
	Name     string // the sentence that holds where it passed
	Status   Status
	Looked   int      // how many things it looked at
	Found    int      // how many problems
	Problems []string // the first 50 of them, as sentences; of a skipped one, why; of a passed one, what it left out
	Took     time.Duration
}

// Judging says how much is looked at. Zero is the default.
type Judging struct {
	Workers  int           // calls at the same time; default 8
	Repeats  int           // commands that are sent once more; default 1000; less than 0: none
	Accounts int           // that are held against every order of events; default 50, the busiest half of them and others
	Patience time.Duration // for each of them; default 5 s
}

// Judge holds a settled history against itself and against the books. Picture is an HTML page of the first account whose history has no
// order that explains it, or nil. Since Open, the accounts of the workload must have been moved by this history alone.
func (h *History) Judge(ctx context.Context, w Workload, books ledger.Service, o Judging) (verdicts []Verdict, picture []byte) {
	return nil, nil
}

// LostWrite holds the journal against every answer.
func (h *History) LostWrite(ctx context.Context, books ledger.Service, o Judging) Verdict {
	return Verdict{}
}

// DoubleEffect holds the statement and the balances of every account against the entries of the answers: no line more, no line less.
func (h *History) DoubleEffect(ctx context.Context, w Workload, books ledger.Service, o Judging) Verdict {
	return Verdict{}
}

// WrongAnswer tells whether repeats got the answer that the first one got: during the load, and now, by repeating some commands.
func (h *History) WrongAnswer(ctx context.Context, books ledger.Service, o Judging) Verdict {
	return Verdict{}
}

// Unsettled tells whether every command has an answer in the end.
func (h *History) Unsettled() Verdict { return Verdict{} }

// StaleRead tells whether reads saw what was acknowledged before they began, and never went back.
func (h *History) StaleRead() Verdict { return Verdict{} }

// Linearizable looks for an order of all that happened on an account that agrees with the clock and with every answer.
func (h *History) Linearizable(w Workload, o Judging) (v Verdict, picture []byte) {
	return Verdict{}, nil
}
