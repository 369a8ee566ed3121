package feed_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestSource_HandsOverWhatWasThereAndWhatComes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		k := newTaker(t, d.DB, eu)
		feedFrom(t, d.DB, k, "", feed.Options{})
		k.untilAll()
		for i := range 5 {
			k.untilTaken(do(t, s, credit(brand, fmt.Sprint("new", i), account(i))))
		}
		declined := do(t, s, ledger.Command{Kind: ledger.KindTransfer, Ledger: brand, Key: "broke", Account: "a7", Counter: "a6", Amount: eur(1)})
		k.untilTaken(declined)
		do(t, s, credit(other, "elsewhere", "a0"))
		k.untilAll()
	})
}

// What crosses homes leaves through the stream of each, and nothing else does: as it comes, and where all is compared.
func TestSource_AHomeHearsOfAllThatTouchesItsAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		for _, l := range []ledger.Ledger{{ID: "third", Home: "apac"}, {ID: "sister", Home: eu}} {
			l.Assets = []money.Asset{{Code: "EUR", Scale: 2}}
			if _, err := s.CreateLedger(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		do(t, s, open("sister", "a0"))
		takers := []*taker{newTaker(t, d.DB, eu), newTaker(t, d.DB, us), newTaker(t, d.DB, "apac")}
		for _, k := range takers {
			feedFrom(t, d.DB, k, "", feed.Options{})
			k.untilAll()
		}
		alone := []id.Transaction{do(t, s, credit(brand, "alone", "a0")), do(t, s, ledger.Command{
			Kind: ledger.KindPost, Ledger: brand, Key: "sisters", Legs: []ledger.Leg{
				{Side: ledger.Debit, Account: "clearing", Amount: *eur(1)}, {Ledger: "sister", Side: ledger.Credit, Account: "a0", Amount: *eur(1)},
			},
		})}
		away := ledger.Command{Kind: ledger.KindPost, Ledger: brand, Key: "away", Legs: []ledger.Leg{ // no entry in the home of its journal row
			{Ledger: other, Side: ledger.Debit, Account: "clearing", Amount: *eur(1)}, {Ledger: other, Side: ledger.Credit, Account: "a1", Amount: *eur(1)},
		}}
		post := across(brand, "post", "a1", "a2")
		crossed := []id.Transaction{do(t, s, post), do(t, s, away), do(t, s, reversal(post, "undo")), do(t, s, across(other, "back", "a3", "a4"))}
		last := []id.Transaction{do(t, s, credit(brand, "last", "a1")), do(t, s, credit(other, "last", "a1"))}
		takers[0].untilTaken(last[0])
		takers[1].untilTaken(last[1])
		again := newTaker(t, d.DB, us)
		if _, err := connect(t, d.AdminURL).Exec(t.Context(), `DELETE FROM stream WHERE home = 'us'`); err != nil {
			t.Fatal(err)
		}
		feedFrom(t, d.DB, again, "", feed.Options{Page: 3})
		for _, k := range append(takers, again) {
			k.untilAll()
			k.mu.Lock()
			for _, c := range crossed {
				if (k.seen[c] > 0) != (k.home != "apac") {
					t.Errorf("%s came to %s %d times", c, k.home, k.seen[c])
				}
			}
			for _, c := range alone {
				if (k.seen[c] > 0) != (k.home == eu) {
					t.Errorf("%s of eu came to %s %d times", c, k.home, k.seen[c])
				}
			}
			k.mu.Unlock()
		}
	})
}

func TestSource_AnHourOfNothingHasItsHeartbeats(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		k := newTaker(t, d.DB, eu)
		feedFrom(t, d.DB, k, "", feed.Options{})
		k.until("heartbeats", func() bool { return k.batches >= 6 })
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.silence > time.Second {
			t.Errorf("nothing was handed over for %s, want a heartbeat each second", k.silence)
		}
		if k.at.IsZero() || time.Since(k.at) > 30*time.Second {
			t.Errorf("everything was handed over up to %s, want until now or so", k.at)
		}
	})
}

func TestSource_EndsWithItsContextOrItsConsumerAndLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		openBooks(t, newServer(t, d.DB))
		before := goleak.IgnoreCurrent()
		k := newTaker(t, d.DB, eu)
		f := feedFrom(t, d.DB, k, "", feed.Options{})
		k.untilAll()
		if err := f.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped by its context it says %v", err)
		}
		full := errors.New("full")
		k.refuse = full
		if err := feed.New(d.DB, feed.Options{}).Run(t.Context(), eu, k.cursor(), k.take); !errors.Is(err, full) {
			t.Errorf("refused by its consumer it says %v, want that", err)
		}
		if err := feed.New(d.DB, feed.Options{}).Run(t.Context(), eu, "", k.take); !errors.Is(err, full) {
			t.Errorf("refused by its consumer in a rescan it says %v, want that", err)
		}
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
	})
}

// write executes random commands from several sides until each has done so many, or the context ends. What is in doubt is repeated.
func write(ctx context.Context, t *testing.T, s server, seed uint64, writers, each int) *sync.WaitGroup {
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			var c ledger.Command
			for i := 0; i < each && ctx.Err() == nil; i++ {
				key := fmt.Sprintf("w%d/%d/%d", seed, w, i)
				if i > 0 && r.IntN(6) == 0 {
					c = reversal(c, key)
				} else {
					c = anyCommand(r, key)
				}
				for {
					_, err := s.Execute(ctx, ledger.Batch{Commands: []ledger.Command{c}})
					if err == nil || ctx.Err() != nil {
						break
					}
					if !errors.Is(err, errs.ErrUnavailable) && !errors.Is(err, errs.ErrContended) && !errors.Is(err, errs.ErrOutcomeUnknown) {
						t.Errorf("%s: %v", c.Key, err)
						return
					}
				}
			}
		})
	}
	return &all
}

func TestSource_NothingIsLostWhileLinesBreak(t *testing.T) {
	const seed = 20261121
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		proxy := dbtest.NewProxy(t, d.URL)
		through, err := db.Open(t.Context(), db.Options{URL: proxy.URL(), Writers: 1, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(through.Close)
		takers := []*taker{newTaker(t, d.DB, eu), newTaker(t, d.DB, us)}
		for _, k := range takers {
			feedFrom(t, through, k, "", feed.Options{Page: 7, Silence: 5 * time.Second})
		}
		writing, stop := context.WithCancel(t.Context())
		defer stop()
		writers := write(writing, t, s, seed, 8, 100)
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		breaks, r := 0, rand.New(rand.NewPCG(seed, 1))
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()
		for broken := true; broken; {
			select {
			case <-done:
				broken = false
			case <-every.C:
				breaks++
				switch r.IntN(3) {
				case 0:
					proxy.CutAll()
				case 1:
					proxy.Away()
				case 2:
					proxy.Heal()
				}
			}
		}
		proxy.Heal()
		for _, k := range takers {
			k.untilAll()
		}
		t.Logf("%d breaks, %d and %d changes", breaks, len(takers[0].first), len(takers[1].first))
	})
}

func TestSource_GoesOnFromWhereverItStopped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		k := newTaker(t, d.DB, eu)
		f := feedFrom(t, d.DB, k, "", feed.Options{Page: 3})
		for round := range 6 {
			write(t.Context(), t, s, uint64(round), 4, 10).Wait()
			if round%2 == 0 {
				k.until("a cursor", func() bool { return len(k.cursors) > round })
			}
			if err := f.stop(); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			write(t.Context(), t, s, uint64(100+round), 4, 5).Wait()
			f = feedFrom(t, d.DB, k, k.cursor(), feed.Options{Page: 3})
		}
		k.untilAll()
		if err := f.stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		admin := connect(t, d.AdminURL)                                // who rewinds the stream: from the newest cursor to the oldest, so that what is left of it is always as k knew it
		for _, cursor := range slices.Backward(sample(k.cursors, 4)) { // as if everything had ended when it had just been stored
			again := k.rewound(admin, cursor)
			g := feedFrom(t, d.DB, again, cursor, feed.Options{Page: 5})
			again.untilAll()
			if err := g.stop(); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
	})
}

func sample(cursors []event.Cursor, n int) (some []event.Cursor) {
	for i := range n {
		some = append(some, cursors[i*(len(cursors)-1)/n])
	}
	return some
}
