package feed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/store"
)

// posted is a journal row as a webhook names it.
type posted struct {
	home        id.Home
	ledger      id.Ledger
	transaction id.Transaction
}

func (p posted) String() string {
	return fmt.Sprintf(`{"after":{"home":%q,"ledger_id":%q,"id":%q,"entries":[],"recorded_at":"2026-11-20T21:08:11.7Z"},"topic":"journal",`+
		`"key":[%[1]q,%[2]q,%[3]q],"updated":"1795208891731161302.0000000000"}`, p.home, p.ledger, p.transaction)
}

func bodyOf(rows []posted) []byte {
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = r.String()
	}
	return fmt.Appendf(nil, `{"payload":[%s],"length":%d}`, strings.Join(texts, ","), len(rows))
}

func journalOf(t testing.TB, d *db.DB) []posted {
	t.Helper()
	rows, _ := d.Reader().Query(t.Context(), `SELECT home, ledger_id, id FROM journal`)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p posted, err error) {
		return p, row.Scan(&p.home, &p.ledger, (*[16]byte)(&p.transaction))
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// own takes the lease of a home away from whoever has it.
func own(t testing.TB, s *store.Store, home id.Home, owner string) event.Tenure {
	t.Helper()
	if h, err := s.Holding(t.Context(), home); err != nil {
		t.Fatal(err)
	} else if h.Epoch > 0 {
		if err := s.Release(t.Context(), h.Lease); err != nil {
			t.Fatal(err)
		}
	}
	tenure, taken, err := s.Acquire(t.Context(), home, owner, time.Minute)
	if err != nil || !taken {
		t.Fatalf("take the lease of %s: %t %v", home, taken, err)
	}
	return tenure
}

// wantOrdered wants the stream of a home to have everything that touches it, once, and in order without a gap on each account there.
func wantOrdered(t testing.TB, d *db.DB, s *store.Store, home id.Home) {
	t.Helper()
	rows, _ := d.Reader().Query(t.Context(), sqlAllOf, home)
	want, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		t.Fatal(err)
	}
	last, seen, at := map[ledger.Ref]int64{}, map[id.Transaction]bool{}, event.Position(0)
	for {
		page, err := s.Events(t.Context(), home, at, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if at++; e.Position != at || seen[e.Record.Outcome.Transaction] {
				t.Fatalf("position %d: at %d, again %t", at, e.Position, seen[e.Record.Outcome.Transaction])
			}
			seen[e.Record.Outcome.Transaction] = true
			for _, line := range e.Record.Outcome.Entries {
				if line.Sequence != last[line.Ref]+1 && homeOf(line.Ref.Ledger) == home {
					t.Fatalf("position %d: entry %d of %s after %d", at, line.Sequence, line.Ref, last[line.Ref])
				}
				last[line.Ref] = line.Sequence
			}
		}
	}
	for _, transaction := range want {
		if !seen[transaction] {
			t.Errorf("the stream of %s has not %s", home, id.Transaction(transaction))
		}
	}
	if len(seen) != len(want) {
		t.Errorf("the stream of %s has %d events, and %d touch it", home, len(seen), len(want))
	}
}

func TestWebhook_ARowBringsAlongWhatIsBeforeIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		for i := range 200 { // more than one stride of entries on one account
			do(t, s, credit(brand, fmt.Sprint("c", i), account(i%2)))
		}
		newest := do(t, s, credit(brand, "newest", "a0"))
		own(t, s.Store, eu, "here")
		hook := feed.NewWebhook(d.DB, s.Store, feed.Options{Page: 50})
		for range 2 { // it comes again
			if err := hook.Take(t.Context(), bodyOf([]posted{{eu, brand, newest}})); err != nil {
				t.Fatal(err)
			}
		}
		at, err := s.PositionOf(t.Context(), eu, brand, newest)
		if err != nil || at < 202 {
			t.Errorf("it stands at %d (%v), want it behind all that came before it", at, err)
		}
		rows := journalOf(t, d.DB)
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		if err := hook.Take(t.Context(), bodyOf(slices.DeleteFunc(slices.Clone(rows), func(p posted) bool { return p.home != eu }))); err != nil {
			t.Fatal(err)
		}
		wantOrdered(t, d.DB, s.Store, eu)
	})
}

func TestWebhook_RefusesWhatIsNotHere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		hook := feed.NewWebhook(d.DB, s.Store, feed.Options{})
		known := do(t, s, credit(brand, "c", "a0"))
		if err := hook.Take(t.Context(), bodyOf([]posted{{eu, brand, known}})); errs.Of(err).Code != errs.Unavailable {
			t.Errorf("while no relay has the home: %v", err)
		}
		own(t, s.Store, eu, "here")
		if err := hook.Take(t.Context(), bodyOf([]posted{{eu, brand, known}, {eu, brand, id.Transaction{1}}})); errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("a row of another database: %v", err)
		}
		if head, err := s.Head(t.Context(), eu); head != 0 || err != nil {
			t.Errorf("it has appended %d, %v", head, err)
		}
	})
}

// The sink of a changefeed posts rows in any order, batches side by side, to any node, and each until it is taken. Nodes lose their database, and
// are killed in the middle; homes change hands.
func TestWebhook_AsTheOnlySourceLosesNothing(t *testing.T) {
	const seed = 20261122
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d.DB)
		openBooks(t, s)
		own(t, s.Store, eu, "first")
		own(t, s.Store, us, "first")
		proxy := dbtest.NewProxy(t, d.URL)
		through, err := db.Open(t.Context(), db.Options{URL: proxy.URL(), Writers: 2, Readers: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(through.Close)
		nodes := []*feed.Webhook{feed.NewWebhook(d.DB, s.Store, feed.Options{}), feed.NewWebhook(through, store.New(through), feed.Options{Page: 7})}
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		writers := write(ctx, t, s, seed, 4, 60)

		var sinks sync.WaitGroup
		queue := make(chan []posted)
		for worker := range 3 {
			r := rand.New(rand.NewPCG(seed, uint64(worker)))
			sinks.Go(func() {
				for rows := range queue {
					for ctx.Err() == nil {
						attempt := time.Duration(5+r.IntN(2000)) * time.Millisecond // some nodes are killed meanwhile
						trying, kill := context.WithTimeout(ctx, attempt)
						err := nodes[r.IntN(2)].Take(trying, bodyOf(rows))
						kill()
						if err == nil {
							break
						}
						if errs.Of(err).Code == errs.InvalidArgument {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		sent, r := map[posted]bool{}, rand.New(rand.NewPCG(seed, 99))
		for last, round := false, 0; !last; round++ {
			select {
			case <-done:
				last = true
			default:
			}
			var fresh []posted
			for _, p := range journalOf(t, d.DB) {
				if !sent[p] || r.IntN(20) == 0 { // some twice
					sent[p] = true
					fresh = append(fresh, p)
				}
			}
			r.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
			switch round % 4 {
			case 1:
				proxy.CutAll()
			case 2:
				own(t, s.Store, eu, fmt.Sprint("owner", round))
			}
			for len(fresh) > 0 {
				n := min(len(fresh), 1+r.IntN(20))
				select {
				case queue <- fresh[:n]:
				case <-ctx.Done():
					t.Fatal("the sinks have no end")
				}
				fresh = fresh[n:]
			}
		}
		close(queue)
		sinks.Wait()
		if ctx.Err() != nil {
			t.Fatal("the sinks have no end")
		}
		all := journalOf(t, d.DB)
		wantOrdered(t, d.DB, s.Store, eu)
		wantOrdered(t, d.DB, s.Store, us)
		t.Logf("%d rows", len(all))
	})
}
