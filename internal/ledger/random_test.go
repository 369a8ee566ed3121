package ledger_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

// agreesWithModel plays random streams on Books and on the model, which share a clock.
func agreesWithModel(tb testing.TB, how mode) func(*rapid.T) {
	return func(t *rapid.T) {
		clock := ledgertest.NewClock()
		world := ledgertest.NewWorld("world")
		world.Timed = true
		books, model := newMemory(tb, clock.Now, how), ledgertest.NewModel(clock.Now)
		if err := world.Create(context.Background(), books, model); err != nil {
			t.Fatal(err)
		}
		subject := ledgertest.Subject{Service: books, Engine: "books", Advance: clock.Advance}
		ledgertest.CheckAgainstModel(t, world, subject, model, world.Steps(60).Draw(t, "steps"))
	}
}

func TestBooks_AgreeWithModelOnRandomStreams(t *testing.T) {
	for _, how := range []mode{loadsAll, loadsNeeded, groups} {
		t.Run(string(how), func(t *testing.T) { rapid.Check(t, agreesWithModel(t, how)) }) // -rapid.checks says how often
	}
}

func FuzzBooks_AgreeWithModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreesWithModel(f, loadsNeeded))) }
