package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/worker"
)

// script is a loop whose turns are written down, and which ends with the last.
func script(t *testing.T, wakes *worker.Wakes, turns ...worker.Turned) (at []time.Duration, counts int, downs []string) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	began := time.Now()
	err := worker.Loop{
		Poll: time.Second, Tally: 2 * time.Second, Probe: attempt.Backoff{First: time.Minute, Last: time.Minute},
		Count: func(context.Context) error { counts++; return nil },
		Turn: func(context.Context) (worker.Turned, error) {
			at = append(at, time.Since(began))
			if len(at) == len(turns) {
				end()
			}
			return turns[len(at)-1], nil
		},
		Down: func(cause string) { downs = append(downs, cause) },
	}.Run(ctx, "sagas", "eu", wakes)
	if err != nil {
		t.Fatalf("a loop that ends with its context: %v", err)
	}
	return at, counts, downs
}

func TestLoop_GoesOnAtOnceWhileThereIsMoreAndPollsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, counts, _ := script(t, &worker.Wakes{}, worker.Turned{More: true}, worker.Turned{More: true}, worker.Turned{}, worker.Turned{}, worker.Turned{})
		if want := []time.Duration{0, 0, 0, time.Second, 2 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("turns at %v, want %v", at, want)
		}
		if counts != 2 {
			t.Errorf("counted %d times in two seconds, want at the beginning and the end", counts)
		}
	})
}

func TestLoop_ATurnFollowsAWakeAlsoOneThatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wakes worker.Wakes
		wakes.Wake("eu")
		wakes.Wake("eu") // one token is enough, and nobody waits
		wakes.Wake("us")
		if at, _, _ := script(t, &wakes, worker.Turned{}, worker.Turned{}, worker.Turned{}); !slices.Equal(at, []time.Duration{0, 0, time.Second}) {
			t.Errorf("turns at %v, want one more at once and then a poll", at)
		}
	})
}

func TestLoop_WhileNothingGoesThroughItProbesAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wakes worker.Wakes
		wakes.Wake("eu") // does not make it hurry
		down := worker.Turned{More: true, Down: "unavailable"}
		at, _, downs := script(t, &wakes, down, down, worker.Turned{More: true}, down)
		if at[1] == 0 || at[2] == at[1] || at[3] != at[2] {
			t.Errorf("turns at %v: want pauses while it is down, and none after", at)
		}
		if len(downs) != 2 {
			t.Errorf("heard %v, want once for each time that it went down", downs)
		}
	})
}

func TestLoop_EndsWithAnErrorUnlessItsContextHasEnded(t *testing.T) {
	boom := errors.New("boom")
	for name, fails := range map[string]func(l *worker.Loop, fail func() error){
		"count the": func(l *worker.Loop, fail func() error) { l.Count = func(context.Context) error { return fail() } },
		"work on the": func(l *worker.Loop, fail func() error) {
			l.Turn = func(context.Context) (worker.Turned, error) { return worker.Turned{}, fail() }
		},
	} {
		l := worker.Loop{Count: func(context.Context) error { return nil }}
		fails(&l, func() error { return boom })
		if err := l.Run(t.Context(), "sagas", "eu", &worker.Wakes{}); !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), name+" sagas of eu") {
			t.Errorf("%s: %v", name, err)
		}
		ctx, end := context.WithCancel(t.Context())
		fails(&l, func() error { end(); return boom })
		if err := l.Run(ctx, "sagas", "eu", &worker.Wakes{}); err != nil {
			t.Errorf("%s, ended: %v", name, err)
		}
	}
}
