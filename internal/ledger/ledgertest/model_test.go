package ledgertest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

func TestModel_Conforms(t *testing.T) {
	ledgertest.Conformance(t, func(*testing.T) ledgertest.Subject {
		clock := ledgertest.NewClock()
		return ledgertest.Subject{Service: ledgertest.NewModel(clock.Now), Engine: "model", Advance: clock.Advance}
	})
}

// realTime is a clock as of a database: it has microseconds, and is later from one transaction to the next.
func realTime() func() time.Time {
	var mu sync.Mutex
	var last time.Time
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now().UTC().Truncate(time.Microsecond)
		if !now.After(last) {
			now = last.Add(time.Microsecond)
		}
		last = now
		return now
	}
}

// The paths of the suite for implementations whose clock can not be moved.
func TestModel_ConformsInRealTime(t *testing.T) {
	ledgertest.Conformance(t, func(*testing.T) ledgertest.Subject {
		model := ledgertest.NewModel(realTime())
		return ledgertest.Subject{Service: model, Engine: "model", Sweep: model.Sweep}
	})
}

// Two clocks, as between a database and the model.
func TestCheckAgainstModel_ComparesOnlyTheOrderOfTimesOfTwoClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world := ledgertest.NewWorld("world")
		one, other := ledgertest.NewModel(realTime()), ledgertest.NewModel(ledgertest.NewClock().Now)
		if err := world.Create(context.Background(), one, other); err != nil {
			t.Fatal(err)
		}
		subject := ledgertest.Subject{Service: one, Engine: "model"}
		ledgertest.CheckAgainstModel(t, world, subject, other, world.Steps(10).Draw(t, "steps"))
	})
}
