package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/store"
)

// The pool asks a connection that lay idle for more than a second whether it is alive. An idle node's first command does without: it costs
// a round trip, and whoever begins a group or looks up a target begins again by itself.
func TestBegin_AsksNoIdleConnectionWhetherItIsAlive(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		pools := s.open(db.Options{Writers: 2, Readers: 2})
		through := store.New(pools)
		hold := transfer("hold", "a", "b")
		hold.Kind = ledger.KindHold
		aim := []ledger.Command{{Kind: ledger.KindCommit, Ledger: brand, Target: s.posted(s.Store, hold).Transaction}}
		look := func() {
			if behind, err := through.Behind(t.Context(), aim); err != nil || len(behind) != 1 {
				t.Errorf("look up a target: %v %v", behind, err)
			}
		}
		writer, err := pools.Writer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reader, err := pools.Reader().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []id.Key{"w1", "w2"} { // both connections of each pool prepare: the other one, and the one that is lent here
			s.posted(through, transfer(k, "a", "b"))
			look()
			reader.Release() // so that it is the next to be lent; a second release does nothing
			writer.Release()
		}
		time.Sleep(1200 * time.Millisecond) // the idleness itself
		before := s.proxy.RoundTrips()
		s.posted(through, transfer("k", "a", "b"))
		look()
		if trips := s.proxy.RoundTrips() - before; trips != 3 {
			t.Errorf("%d round trips, want two for the group and one for the look-up", trips)
		}
		for range 3 { // also where connections were at work a moment ago
			s.proxy.CutAll() // as a failover does
			s.posted(through, transfer(id.Key(time.Now().String()), "a", "b"))
			look()
		}
	})
}

func TestBegin_ANodeThatDiedWithoutAWordIsWaitedForOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		through := s.through(db.Options{Writers: 4})
		s.posted(through, transfer("warm", "a", "b"))
		s.proxy.Stall()      // all four
		defer s.proxy.Heal() // closing a connection says so on the line
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, err := through.Begin(ctx, s.needs(transfer("k", "a", "b"))); !errors.Is(err, errs.ErrDeadlineExceeded) {
			t.Fatalf("begin on a stalled line: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		g, _, err := through.Begin(ctx, s.needs(transfer("k", "a", "b")))
		if err != nil {
			t.Fatalf("begin again, where new connections work: %v", err)
		}
		g.Rollback(t.Context())
	})
}
