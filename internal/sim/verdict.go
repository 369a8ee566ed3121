package sim

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Status is how a check ended.
type Status string

// A check that had nothing to look at is skipped; one that could not read the books has failed.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Verdict is what a check found.
type Verdict struct {
	Checker  string // one word, such as lost_write
	Name     string // the sentence that is true where it passed
	Status   Status
	Looked   int      // how many things it looked at
	Found    int      // how many problems
	Problems []string // the first 50 of them
	Notes    []string // what was left out, or why all of it was
	Took     time.Duration
}

// Judging says how much is looked at, and how hard. Zero is the default.
type Judging struct {
	Workers  int           // calls to the books at the same time; default 8
	Repeats  int           // answered commands that are sent once more; default 1000; less than 0: none
	Accounts int           // that Linearizable looks at, half of them the busiest; default 50
	Patience time.Duration // of Linearizable, with each of them; default 5 s
}

func (o Judging) complete() Judging {
	o.Workers, o.Repeats, o.Accounts = cmp.Or(o.Workers, 8), cmp.Or(o.Repeats, 1000), cmp.Or(o.Accounts, 50)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	return o
}

// Judge runs all checks on a settled history and the books. Picture is an HTML page that shows the first account whose history has no order that
// explains it, or nil. Since Open, the ledgers of the workload must have been moved by this history alone, and nobody may move them now.
//
// It reads each answered command and each line that it wrote once: with the default of 8 workers that is as fast as the service answers reads,
// a minute for some hundred thousand commands over the wire.
func (h *History) Judge(ctx context.Context, w Workload, books ledger.Service, o Judging) (verdicts []Verdict, picture []byte) {
	linearizable, picture := h.Linearizable(w, o)
	return []Verdict{
		h.Unsettled(), h.LostWrite(ctx, books, o), h.DoubleEffect(ctx, w, books, o), h.StaleRead(w), linearizable,
		h.WrongAnswer(ctx, books, o), // last: a repeat of a command that was lost would make it happen
	}, picture
}

// Unsettled tells whether every command has an answer in the end.
func (h *History) Unsettled() Verdict {
	f := find("unsettled", "every command has an answer in the end")
	f.Looked = len(h.Calls)
	for _, c := range h.Calls {
		if !c.decided() {
			f.problem("%s has no answer: %s", c, c.Trouble)
		}
	}
	return f.verdict()
}

// finding is a verdict that is being found. Its methods are safe for concurrent use.
type finding struct {
	mu sync.Mutex
	Verdict
	began time.Time
}

func find(checker, name string) *finding {
	return &finding{Verdict: Verdict{Checker: checker, Name: name}, began: time.Now()}
}

func (f *finding) problem(format string, args ...any) {
	const enough = 50
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Found++; f.Found <= enough {
		f.Problems = append(f.Problems, fmt.Sprintf(format, args...))
	}
}

func (f *finding) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// unreadable notes that the books could not be read, where they could not.
func (f *finding) unreadable(err error) {
	if err != nil {
		f.problem("the books could not be read: %v", err)
	}
}

func (f *finding) verdict() Verdict {
	f.Took = time.Since(f.began)
	switch {
	case f.Found > 0:
		f.Status = Failed
	case f.Looked == 0:
		f.Status = Skipped
		if len(f.Notes) == 0 {
			f.note("there was nothing to look at")
		}
	default:
		f.Status = Passed
	}
	return f.Verdict
}

// each does something n times, by some workers, and returns the first error, which ends it.
func each(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := patiently(ctx, func() error { return do(ctx, i) }); err != nil {
					cancel(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// patiently does something again where that may help: the faults are over, and what they left behind passes.
func patiently(ctx context.Context, do func() error) error {
	const tries, pause = 50, 200 * time.Millisecond
	for n := 1; ; n++ {
		err := do()
		if err == nil || !errs.Transient(err) || n == tries {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
