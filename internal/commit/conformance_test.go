package commit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

func TestServer_Conforms(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		ledgertest.Conformance(t, func(t *testing.T) ledgertest.Subject {
			return ledgertest.Subject{Service: newServer(t, d, commit.Options{}, db.Options{}), Engine: d.Engine}
		})
	})
}

// Each run has ledgers of its own in the one database; -rapid.checks=1000 looks deeper.
func TestServer_AgreesWithModelOnRandomStreams(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d, commit.Options{}, db.Options{})
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			runs++
			world, model := ledgertest.NewWorld(fmt.Sprintf("world%d", runs)), ledgertest.NewModel(time.Now)
			if err := world.Create(context.Background(), s, model); err != nil {
				t.Fatal(err)
			}
			ledgertest.CheckAgainstModel(t, world, ledgertest.Subject{Service: s, Engine: d.Engine}, model, world.Steps(25).Draw(t, "steps"))
		})
	})
}
