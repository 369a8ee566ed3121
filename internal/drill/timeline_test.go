package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// stage is a field on which nothing stands: it remembers what was done.
type stage struct {
	Field
	start time.Time
	mu    sync.Mutex
	did   []string
	fails map[Fault]error
	takes map[Fault]time.Duration
}

func (s *stage) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, fmt.Sprintf("%s %s", time.Since(s.start), what))
}

func (s *stage) Do(_ context.Context, step Step) (Undo, error) {
	time.Sleep(s.takes[step.Fault])
	if err := s.fails[step.Fault]; err != nil {
		return nil, err
	}
	s.note("do " + step.Name)
	return ended(func() { s.note("undo " + step.Name) }), nil
}

func played(ctx context.Context, s Story, fails map[Fault]error, takes map[Fault]time.Duration) (*timeline, *stage) {
	at := &stage{start: time.Now(), fails: fails, takes: takes}
	t := newTimeline(s, at, at.start, func(string, ...any) {})
	t.run(ctx)
	return t, at
}

const timed = `name: timed
title: T
why: W
load: {clients: 1, accounts: 2, duration: 30s}
timeline:
  - {at: 2s, do: kill, on: server/a, for: 5s}
  - {at: 4s, do: rolling_restart, on: server/*}
  - {at: 5s, do: sink_outage, for: 1s}
  - {at: 20s, do: pause, on: server/a}
`

func TestTimeline_DoesEachStepAtItsTimeWhateverTheOthersTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, at := played(t.Context(), parsed(t, timed), nil, map[Fault]time.Duration{FaultRollingRestart: 10 * time.Second})
		want := []string{"2s do kill", "5s do sink_outage", "6s undo sink_outage", "7s undo kill", "14s do rolling_restart", "20s do pause"}
		if !slices.Equal(at.did, want) {
			t.Errorf("got  %v\nwant %v", at.did, want)
		}
		steps := line.steps()
		if steps[0].At != 2 || *steps[0].Until != 7 || *steps[1].Until != 14 || steps[3].Until != nil {
			t.Errorf("the report says %+v", steps)
		}
		if v := line.verdict(); v.Status != evidence.Passed || v.Looked != 4 {
			t.Errorf("the verdict is %+v", v)
		}
	})
}

func TestTimeline_UndoesWhatItBrokeWhenItIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		line, at := played(ctx, parsed(t, timed), nil, nil)
		if want := []string{"2s do kill", "3s undo kill"}; !slices.Equal(at.did, want) {
			t.Errorf("got %v, want %v", at.did, want)
		}
		if v := line.verdict(); v.Status != evidence.Failed {
			t.Errorf("a drill three of whose faults did not happen is %s", v.Status)
		}
	})
}

func TestTimeline_SaysAloudWhatCouldNotBeDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, _ := played(t.Context(), parsed(t, timed), map[Fault]error{FaultSinkOutage: unsupported("nobody listens")}, nil)
		if v := line.verdict(); v.Status != evidence.Skipped || len(v.Detail) != 1 || !strings.Contains(v.Detail[0], "nobody listens") {
			t.Errorf("the verdict is %+v", v)
		}
		line, _ = played(t.Context(), parsed(t, timed), map[Fault]error{FaultKill: errors.New("it would not die")}, nil)
		if v := line.verdict(); v.Status != evidence.Failed || !strings.Contains(v.Detail[0], "it would not die") {
			t.Errorf("the verdict is %+v", v)
		}
	})
}

func TestWindow_EndsWithTheStepOrWhereTheNextOneBegins(t *testing.T) {
	acts := []*act{
		{Step: Step{Name: "a"}, asked: 2 * time.Second, ending: 6 * time.Second, undone: 7 * time.Second, ended: true},
		{Step: Step{Name: "b"}, asked: 5 * time.Second},
		{Step: Step{Name: "d"}, asked: 20 * time.Second, ending: 24 * time.Second, undone: 25 * time.Second, ended: true},
		{Step: Step{Name: "c"}, asked: 9 * time.Second},
	}
	for _, c := range []struct {
		i           int
		fromEnd     bool
		from, until time.Duration
	}{{0, false, 2 * time.Second, 5 * time.Second}, {0, true, 7 * time.Second, 9 * time.Second}, {2, false, 20 * time.Second, 24 * time.Second}, {2, true, 25 * time.Second, 30 * time.Second}, {3, false, 9 * time.Second, 20 * time.Second}} {
		w := window(acts, c.i, c.fromEnd, 30*time.Second)
		if w.From != c.from || w.Until != c.until {
			t.Errorf("step %d: %s to %s, want %s to %s", c.i, w.From, w.Until, c.from, c.until)
		}
	}
}

func TestJudge_HoldsAMeasureAgainstItsLimit(t *testing.T) {
	limit := 2 * time.Second
	for _, c := range []struct {
		measure sim.Recovery
		within  *time.Duration
		met     bool
		says    string
	}{
		{sim.Recovery{}, &limit, true, "nobody noticed"},
		{sim.Recovery{Noticed: true, Recovered: true, RTO: 1500 * time.Millisecond}, &limit, true, "after 1.50 s, and may take 2.00 s"},
		{sim.Recovery{Noticed: true, Recovered: true, RTO: 2500 * time.Millisecond}, &limit, false, "after 2.50 s"},
		{sim.Recovery{Noticed: true}, &limit, false, "not well again"},
		{sim.Recovery{Noticed: true}, nil, true, "not well again"},
	} {
		r := judge(c.measure, "us-east1", &act{Step: Step{Name: "kill"}}, false, c.within)
		if r.Met != c.met || !strings.Contains(r.Text, c.says) {
			t.Errorf("%+v: got %+v", c.measure, r)
		}
	}
}

func TestRecoveries_MeasureRegionsThatHaveNoLimitToo(t *testing.T) {
	s := parsed(t, strings.Replace(given, "{after: kill, within: 2s}", "{after: kill, regions: [us-east1], within: 2s}\n  - {after: kill, within: {postgresql: 3s}}", 1))
	h := &sim.History{Regions: []string{"us-east1", "europe-west1"}, Loaded: 10 * time.Second}
	for region := range h.Regions {
		h.Attempts = append(h.Attempts, sim.Attempt{Began: time.Second, Took: time.Millisecond, Region: uint8(region)})
	}
	acts := []*act{{Step: s.Steps[0], asked: time.Second, begun: time.Second, ending: 3 * time.Second, undone: 3 * time.Second, did: true, ended: true}}
	limits := func(engine string) []string {
		var all []string
		for _, r := range recoveries(s, engine, h, acts) {
			limit := "none"
			if r.LimitSeconds != nil {
				limit = fmt.Sprint(*r.LimitSeconds)
			}
			all = append(all, fmt.Sprintf("%s %s %s", r.Step, r.Region, limit))
		}
		return all
	}
	for engine, want := range map[string][]string{
		cluster.CockroachDB: {"kill us-east1 2", "kill europe-west1 none", "kill (its end) us-east1 none", "kill (its end) europe-west1 none"},
		cluster.PostgreSQL:  {"kill us-east1 2", "kill europe-west1 3", "kill (its end) us-east1 none", "kill (its end) europe-west1 none"},
	} {
		if got := limits(engine); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", engine, got, want)
		}
	}
}
