package search_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/search"
)

func credit(name id.Ledger, n int) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindCredit, Ledger: name, Key: id.Key(fmt.Sprint("credit/", n)), Account: accounts[n%3], Reference: fmt.Sprint("ref/", n),
		Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
	}
}

// relayed runs a relay with a projector until the test ends.
func (s *server) relayed(t *testing.T) {
	t.Helper()
	r := relay.New(relay.Options{
		Store: s.Store, Source: feed.New(s.d, feed.Options{Log: slog.New(slog.DiscardHandler)}), Tails: s.stream, Owner: "test",
		Runners: []relay.Runner{s.projector()},
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
}

func TestSearch_SeesOwnWrites(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		leaks := goleak.IgnoreCurrent()
		t.Cleanup(func() { // the pools, which outlive it, keep goroutines of their own
			goleak.VerifyNone(t, leaks, goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"),
				goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn/internal/bgreader.(*BGReader).bgRead"))
		})
		s := newServer(t, d.DB)
		name := s.open(t, "eu")[0]
		s.relayed(t)
		for n := range 30 {
			o := s.do(t, credit(name, n))
			a, err := s.Search(t.Context(), search.Query{Ledger: name}, search.Page{Limit: 1}, &search.Point{Ledger: name, Transaction: o.Transaction}, time.Minute)
			if err != nil || len(a.Records) != 1 || a.Records[0].Outcome.Transaction != o.Transaction {
				t.Fatalf("the newest is %s, want %s: %v", names(a.Records), o.Transaction, err)
			}
			again, err := s.Search(t.Context(), search.Query{Ledger: name, Reference: fmt.Sprint("ref/", n)}, search.Page{Limit: 5}, &a.Complete, time.Nanosecond)
			if err != nil || len(again.Records) != 1 || again.Next != (search.Page{}) {
				t.Fatalf("what a search saw, another does not: %s %v", names(again.Records), err)
			}
		}
	})
}

// What crosses homes is in the streams of both, and found in the ledger that it was sent to.
func TestSearch_FindsWhatCrossesHomesWhereItWasSent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		here, there := s.open(t, "eu")[0], s.open(t, "us")[0]
		s.relayed(t)
		leg := func(in id.Ledger, side ledger.Side) ledger.Leg {
			return ledger.Leg{Ledger: in, Side: side, Account: "counter", Amount: ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"}}
		}
		for _, name := range []id.Ledger{here, there} {
			s.do(t, ledger.Command{Kind: ledger.KindOpen, Ledger: name, Key: "open/counter", Account: "counter", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}})
		}
		across := s.do(t, ledger.Command{Kind: ledger.KindPost, Ledger: here, Key: "across", Legs: []ledger.Leg{
			leg(here, ledger.Debit), leg(here, ledger.Credit), leg(there, ledger.Debit), leg(there, ledger.Credit),
		}})
		newest := s.do(t, credit(there, 1))
		waiting, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.progress.Wait(waiting, "us", 8); err != nil { // seven accounts, what crosses, and the credit
			t.Fatal(err)
		}
		for name, last := range map[id.Ledger]ledger.Outcome{here: across, there: newest} {
			q := search.Query{Ledger: name, Account: "counter", Kinds: []ledger.Kind{ledger.KindPost}}
			a, err := s.Search(t.Context(), q, search.Page{Limit: 5}, &search.Point{Ledger: name, Transaction: last.Transaction}, time.Minute)
			if err != nil || len(a.Records) > 1 || (len(a.Records) == 1) != (name == here) {
				t.Errorf("in %s are %s: %v", name, names(a.Records), err)
			}
		}
	})
}

func TestSearch_SaysWhatIsNotThereYet(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		name := s.open(t, "eu")[0]
		o := s.do(t, credit(name, 1))
		ask := func(ctx context.Context, p search.Point, wait time.Duration) error {
			_, err := s.Search(ctx, search.Query{Ledger: name}, search.Page{Limit: 1}, &p, wait)
			return err
		}
		written := search.Point{Ledger: name, Transaction: o.Transaction}
		if err := ask(t.Context(), written, 20*time.Millisecond); !errors.Is(err, errs.ErrNotYetSearchable) {
			t.Errorf("not in the stream: %v", err)
		}
		if err := ask(t.Context(), search.Point{Home: "eu", Position: 1}, time.Nanosecond); !errors.Is(err, errs.ErrNotYetSearchable) {
			t.Errorf("not in the model: %v", err)
		}
		if err := ask(t.Context(), search.Point{Home: "eu"}, time.Minute); err != nil {
			t.Errorf("nothing to wait for: %v", err)
		}
		if err := ask(t.Context(), search.Point{Ledger: "nowhere", Transaction: o.Transaction}, time.Minute); !errors.Is(err, errs.ErrLedgerNotFound) {
			t.Errorf("a point in no ledger: %v", err)
		}
		left, leave := context.WithCancel(t.Context())
		leave()
		if err := ask(left, written, time.Minute); err == nil || errors.Is(err, errs.ErrNotYetSearchable) {
			t.Errorf("the caller went away: %v", err)
		}
		s.relayed(t)
		if err := ask(t.Context(), written, time.Minute); err != nil {
			t.Errorf("in the model at last: %v", err)
		}
	})
}

// The model is built anew, while more is written and everybody searches: answers stay the same, and nothing of the old one stays behind.
func TestRebuild_ChangesNoAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		name := s.open(t, "eu")[0]
		var last ledger.Outcome
		const many = 1500
		for n := 0; n < many; n += 500 {
			batch := ledger.Batch{}
			for i := range 500 {
				batch.Commands = append(batch.Commands, credit(name, n+i))
			}
			results, err := s.Execute(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			last = results[len(results)-1].Outcome
		}
		s.relayed(t)
		q := search.Query{Ledger: name, Account: "b", OldestFirst: true}
		answer := func() []ledger.Record {
			t.Helper()
			var all []ledger.Record
			for page := (search.Page{}); ; {
				page.Limit = 100
				a, err := s.Search(t.Context(), q, page, &search.Point{Ledger: name, Transaction: last.Transaction}, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if all, page = append(all, a.Records...), a.Next; page == (search.Page{}) {
					return all
				}
			}
		}
		before := answer()
		if len(before) != many/3+1 {
			t.Fatalf("%d of account b, want %d", len(before), many/3+1)
		}
		for rebuild := range int64(2) {
			served := make(chan error, 1)
			var steps []search.Step
			go func() {
				served <- search.Rebuild(t.Context(), s.Store, "eu", 2*time.Millisecond, func(step search.Step) { steps = append(steps, step) })
			}()
			for done := false; !done; {
				if after := answer(); !reflect.DeepEqual(after, before) {
					t.Fatalf("%d records during a rebuild, want %d", len(after), len(before))
				}
				select {
				case err := <-served:
					if done = true; err != nil {
						t.Fatal(err)
					}
				default:
				}
			}
			end := steps[len(steps)-1]
			if !end.Serving || end.Generation != rebuild+2 || end.Position != end.Head {
				t.Errorf("it ended with %+v", end)
			}
		}
		s.purged(t, 3)
		if after := answer(); !reflect.DeepEqual(after, before) {
			t.Errorf("%d records after it, want %d", len(after), len(before))
		}
	})
}

// purged waits until nothing is left of generations but one.
func (s *server) purged(t *testing.T, generation int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		all, err := s.Generations(t.Context(), "eu")
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the generations are still %+v: %v", all, err)
		}
		if len(all) == 1 {
			break
		}
		if err := s.stream.Wait(withIn(t, 10*time.Millisecond), "eu", event.Position(1<<60)); err == nil {
			t.Fatal("the stream can not be that long")
		}
	}
	for _, table := range []string{"search_state", "search_transaction", "search_account"} {
		var others int64
		if err := s.d.Reader().QueryRow(t.Context(), `SELECT count(*) FROM `+table+` WHERE generation <> $1`, generation).Scan(&others); err != nil || others > 0 {
			t.Errorf("%d rows in %s are of other generations: %v", others, table, err)
		}
	}
}

func withIn(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
