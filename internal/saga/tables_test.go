package saga_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
)

// node is a ledger on tables, with sagas.
type node struct {
	*store.Store
	*commit.Committer
}

func onTables(t *testing.T, d dbtest.Database) *world {
	t.Helper()
	n := node{Store: store.New(d.DB)}
	n.Committer = commit.New(n.Store, commit.Options{MaxGroup: 16, Patience: 2 * time.Minute, Attempt: time.Minute, Lifecycle: payment.Default().Lifecycle()})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := n.CreateLedger(t.Context(), brand); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: simulate.NewClock(noon), tables: n.Store, books: n, desk: &simulate.Orders{}}
	owners := 0
	w.lease = func() event.Lease {
		t.Helper()
		owners++
		for range 1000 { // the lease before ends after a millisecond
			tenure, taken, err := n.Acquire(t.Context(), "eu", fmt.Sprint("worker", owners), time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if taken {
				return tenure.Lease
			}
		}
		t.Fatal("nobody lets go of the lease")
		return event.Lease{}
	}
	w.open()
	return w
}

// A sample of all points of all tales, on the tables of each engine, under leases of the relay; and then the proof of the books.
func TestSagas_OnTheTablesEndTheSameWhereverTheProcessDies(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := onTables(t, d)
		points := 0
		for i, tl := range tales() {
			for n := 1 + i%5; n < 40; n += 5 {
				player := id.Player(fmt.Sprintf("p%d-%d", i, n))
				w.desk = &simulate.Orders{}
				s := tl.begin(w, player)
				dead := &death{at: n, after: n%2 == 1}
				s = w.run(s.ID, dead)
				s = tl.end(w, s)
				tl.judge(w, s, player)
				points++
				if t.Failed() {
					t.Fatalf("%s: it died at call %d", tl.name, n)
				}
				if !dead.killed {
					break
				}
			}
		}
		report, err := verify.Run(t.Context(), d.DB, verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range report.Checks {
			if c.Found > 0 {
				t.Errorf("%s: %d findings: %+v", c.Name, c.Found, c.Findings[0])
			}
		}
		t.Logf("%d deaths", points)
	})
}

func TestStore_KeepsSagasAndTheirHistory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := onTables(t, d)
		s := w.start(saga.Withdrawal, "p", w.player("p"), true)
		got, err := w.tables.Saga(t.Context(), "eu", brand.ID, s.ID)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", s) {
			t.Errorf("got  %+v\nwant %+v\n%v", got, s, err)
		}
		if _, err := w.tables.Saga(t.Context(), "eu", brand.ID, id.Transaction{1}); !errors.Is(err, saga.ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
		s = w.run(s.ID, &death{})
		if standing, err := w.ops.Standing(t.Context(), brand.ID, saga.Page{Limit: 10}); err != nil || len(standing) != 1 || standing[0].State != saga.Review {
			t.Errorf("%+v, %v", standing, err)
		}
		if next, err := w.ops.Standing(t.Context(), brand.ID, saga.Page{OpenedAt: s.OpenedAt, ID: s.ID, Limit: 10}); err != nil || len(next) != 0 {
			t.Errorf("behind the last: %+v, %v", next, err)
		}
		if all, err := w.ops.All(t.Context(), brand.ID, saga.Page{Limit: 10}); err != nil || len(all) != 1 || all[0].ID != s.ID {
			t.Errorf("%+v, %v", all, err)
		}
		if next, err := w.ops.All(t.Context(), brand.ID, saga.Page{ID: s.ID, Limit: 10}); err != nil || len(next) != 0 {
			t.Errorf("behind the last: %+v, %v", next, err)
		}
		if _, err := w.ops.Approve(t.Context(), brand.ID, s.ID, "ALICE"); !errors.Is(err, saga.ErrFourEyes) {
			t.Errorf("she approves herself: %v", err)
		}
		own := s
		own.Version++
		line := saga.Line{Number: s.Progress.Lines + 1, Step: s.Step, Event: "approved", Actor: "alice", Proposer: "alice", At: noon}
		if err := w.tables.ChangeSaga(t.Context(), own, line); !errors.Is(err, saga.ErrFourEyes) {
			t.Errorf("past the code, the table takes it: %v", err)
		}
		own.Version += 7
		line.Actor = "bob"
		if err := w.tables.ChangeSaga(t.Context(), own, line); errs.Of(err).Reason != errs.ReasonContended {
			t.Errorf("a version that is not there: %v", err)
		}
		lease := w.lease()
		w.lease()
		own.Version = s.Version + 1
		if err := w.tables.AdvanceSaga(t.Context(), lease, own, &line); !errors.Is(err, event.ErrFenced) {
			t.Errorf("under a lease that somebody else has: %v", err)
		}
		tallies, err := w.tables.TallySagas(t.Context(), "eu")
		if err != nil || len(tallies) != 1 || tallies[0].Count != 1 || tallies[0].State != saga.Review {
			t.Errorf("%+v, %v", tallies, err)
		}
	})
}
