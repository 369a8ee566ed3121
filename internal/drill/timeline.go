package drill

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/drill/evidence"
)

// timeline does the steps of a story when their time comes, and remembers when that was.
type timeline struct {
	field Field
	start time.Time // of the load
	say   func(format string, args ...any)

	acts []*act // in the order of the story
}

// undoPatience covers database nodes that start on a busy machine.
const undoPatience = 3 * time.Minute

// act is a step as it was done.
type act struct {
	Step
	asked   time.Duration // when it was begun
	begun   time.Duration // when it had been done
	ending  time.Duration // when its end was begun
	undone  time.Duration // when it had been undone
	skipped string
	failed  error
	did     bool
	ended   bool // undone
}

func newTimeline(s Story, field Field, start time.Time, say func(string, ...any)) *timeline {
	t := &timeline{field: field, start: start, say: say}
	for _, step := range s.Steps {
		t.acts = append(t.acts, &act{Step: step})
	}
	return t
}

func (t *timeline) now() time.Duration { return time.Since(t.start) }

// run does each step at its time, and returns when all are done and those with an end undone. What takes long does not delay the others.
func (t *timeline) run(ctx context.Context) {
	var steps sync.WaitGroup
	for _, a := range t.acts {
		steps.Go(func() { t.do(ctx, a) })
	}
	steps.Wait()
}

// do takes one step from its beginning to its end.
func (t *timeline) do(ctx context.Context, a *act) {
	if !t.wait(ctx, a.At) {
		return
	}
	a.asked = t.now()
	t.say("%s", a.Text)
	undo, err := t.field.Do(ctx, a.Step)
	if reason, is := unsupportedReason(err); is {
		a.skipped = reason
		t.say("SKIPPED: %s: %s", a.Text, reason)
		return
	}
	if err != nil {
		a.failed = err
		t.say("failed: %s: %v", a.Text, err)
		return
	}
	a.begun, a.did = t.now(), true
	if a.For == 0 || undo == nil {
		return
	}
	t.wait(ctx, a.asked+a.For) // also where the drill is broken off: what was broken is mended
	a.ending = t.now()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	said, err := undo(ending)
	if said != "" {
		t.say("%s", said)
	}
	if err != nil {
		a.failed = fmt.Errorf("undo: %w", err)
		t.say("could not undo: %s: %v", a.Text, err)
		return
	}
	a.undone, a.ended = t.now(), true
	t.say("over: %s", a.Text)
}

func (t *timeline) wait(ctx context.Context, until time.Duration) bool {
	rest(ctx, until-t.now())
	return ctx.Err() == nil
}

// target is what a step was aimed at, in a word.
func (a *act) target() string {
	switch {
	case len(a.On) > 0:
		return listed(a.On)
	case len(a.From) > 0:
		return listed(a.From) + " - " + listed(a.To)
	}
	return "all"
}

func listed(all []Place) string { return strings.Join(places(all), ", ") }

// steps are the acts as a report shows them.
func (t *timeline) steps() []evidence.Step {
	all := make([]evidence.Step, 0, len(t.acts))
	for _, a := range t.acts {
		s := evidence.Step{At: a.asked.Seconds(), Kind: string(a.Fault), Target: a.target(), Text: a.Text, Skipped: a.skipped}
		if !a.did && a.skipped == "" && a.failed == nil {
			s.Skipped = "the drill ended before"
		}
		if a.failed != nil {
			s.Skipped = "it failed: " + a.failed.Error()
		}
		switch {
		case a.ended:
			until := a.undone.Seconds()
			s.Until = &until
		case a.did && a.begun-a.asked > 100*time.Millisecond:
			until := a.begun.Seconds()
			s.Until = &until
		}
		all = append(all, s)
	}
	return all
}

// done are the acts that took place, in the order of the story.
func (t *timeline) done() []*act {
	var all []*act
	for _, a := range t.acts {
		if a.did {
			all = append(all, a)
		}
	}
	return all
}

// verdict tells whether what the story asks for was done: a drill whose faults did not happen proves nothing.
func (t *timeline) verdict() evidence.Verdict {
	v := evidence.Verdict{Name: "every fault of the story happened", Checker: "faults", Status: evidence.Passed, Detail: []string{}}
	for _, s := range t.steps() {
		v.Looked++
		if s.Skipped != "" {
			v.Status = evidence.Skipped
			v.Detail = append(v.Detail, s.Text+": "+s.Skipped)
		}
	}
	for _, a := range t.acts {
		if a.failed != nil || !a.did && a.skipped == "" {
			v.Status = evidence.Failed
		}
	}
	return v
}
