package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const brand = id.Ledger("brand")

// stand is a store with a ledger and accounts a to d, behind a proxy.
type stand struct {
	*store.Store
	t     testing.TB
	proxy *dbtest.Proxy
	admin *pgx.Conn
	home  ledger.Ledger
}

func newStand(t *testing.T, d dbtest.Database) *stand {
	t.Helper()
	s := &stand{t: t, proxy: dbtest.NewProxy(t, d.URL), Store: store.New(d.DB)}
	var err error
	if s.admin, err = pgx.Connect(t.Context(), d.AdminURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Close(context.WithoutCancel(t.Context())) })
	s.home, err = s.CreateLedger(t.Context(), ledger.Ledger{ID: brand, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []id.Account{"a", "b", "c", "d"} {
		s.posted(s.Store, ledger.Command{
			Kind: ledger.KindOpen, Key: "open/" + id.Key(name), Account: name, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
		})
	}
	return s
}

// through opens the database by way of the proxy.
func (s *stand) through(o db.Options) *store.Store {
	s.t.Helper()
	return store.New(s.open(o))
}

func (s *stand) open(o db.Options) *db.DB {
	s.t.Helper()
	o.URL = s.proxy.URL()
	d, err := db.Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(d.Close)
	return d
}

func (s *stand) needs(c ledger.Command, behind ...ledger.Ref) ledger.Needs {
	var g ledger.Gather
	g.Add(c, c.Touches(behind), func(id.Ledger) ledger.Ledger { return s.home })
	return g.Needs()
}

// posted executes one command as a group.
func (s *stand) posted(on *store.Store, c ledger.Command) ledger.Outcome {
	s.t.Helper()
	c.Ledger = brand
	g, books, err := on.Begin(s.t.Context(), s.needs(c))
	if err != nil {
		s.t.Fatalf("begin %s: %v", c.Key, err)
	}
	o := books.Execute(ledger.Batch{Commands: []ledger.Command{c}})[0].Outcome
	if err := g.Commit(s.t.Context(), books.Changes()); err != nil || o.Decided != ledger.Posted {
		s.t.Fatalf("%s: %s %s %v", c.Key, o.Decided, o.Reason, err)
	}
	return o
}

func transfer(key id.Key, from, to id.Account) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindTransfer, Ledger: brand, Key: key, Account: from, Counter: to, Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
	}
}

func (s *stand) count(table string) (n int) {
	s.t.Helper()
	if err := s.admin.QueryRow(s.t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// A row that was locked can not go, unless somebody goes past the locks. Then nothing at all may be committed.
func TestGroup_WritesNothingWhereALockedRowIsGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		hold := transfer("hold", "a", "b")
		hold.Kind = ledger.KindHold
		s.posted(s.Store, hold)
		for _, c := range []struct {
			gone   string
			change func(*ledger.Changes)
		}{
			{"an account", func(c *ledger.Changes) { c.Changed[0].Ref.Account = "nobody" }},
			{"an account with new terms", func(c *ledger.Changes) { c.Termed = append(c.Termed, ledger.Account{Home: "eu", Status: ledger.Open}) }},
			{"a hold", func(c *ledger.Changes) {
				c.Settled = append(c.Settled, ledger.Hold{Home: "eu", Ledger: brand, Status: ledger.Expired})
			}},
		} {
			entries, journal := s.count("entry"), s.count("journal")
			k := transfer("k", "a", "b")
			g, books, err := s.Begin(t.Context(), s.needs(k))
			if err != nil {
				t.Fatal(err)
			}
			books.Execute(ledger.Batch{Commands: []ledger.Command{k}})
			changes := books.Changes()
			c.change(&changes)
			if err := g.Commit(t.Context(), changes); !errors.Is(err, errs.ErrInternal) {
				t.Errorf("%s is gone, and commit says %v", c.gone, err)
			}
			if s.count("entry") != entries || s.count("journal") != journal {
				t.Errorf("%s is gone, and rows were committed", c.gone)
			}
		}
		s.posted(s.Store, transfer("k", "a", "b")) // the connections are whole
	})
}

func TestGroup_LetsGoOfADatabaseThatAnswersNoMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		through := s.through(db.Options{Writers: 2})
		defer s.proxy.Heal() // closing a connection says so on the line
		k := transfer("k", "a", "b")
		g, books, err := through.Begin(t.Context(), s.needs(k))
		if err != nil {
			t.Fatal(err)
		}
		books.Execute(ledger.Batch{Commands: []ledger.Command{k}})
		s.proxy.Stall()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		started := time.Now()
		if err := g.Commit(ctx, books.Changes()); !errors.Is(err, errs.ErrOutcomeUnknown) {
			t.Errorf("a commit on a stalled line: %v", err)
		}
		fresh, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if g, _, err = through.Begin(fresh, s.needs(transfer("l", "c", "d"))); err != nil { // the other connection is stalled as well
			t.Fatalf("begin again, where new connections work: %v", err)
		}
		s.proxy.Stall()
		g.Rollback(ctx) // whose time is over already
		if waited := time.Since(started); waited > 8*time.Second {
			t.Errorf("ending two groups on a stalled line took %s", waited)
		}
		s.proxy.Heal()
		if g, _, err = through.Begin(t.Context(), s.needs(k)); err != nil {
			t.Fatalf("the one connection of the pool was not given back: %v", err)
		}
		g.Rollback(t.Context())
	})
}

func TestBehind_LooksUpManyTargetsInOneRoundTrip(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		through := s.through(db.Options{Readers: 1})
		var commands []ledger.Command
		for i := range 6 {
			hold, move := transfer(id.Key(fmt.Sprintf("hold%d", i)), "a", "b"), transfer(id.Key(fmt.Sprintf("move%d", i)), "c", "d")
			hold.Kind = ledger.KindHold
			commands = append(commands,
				ledger.Command{Kind: ledger.KindCommit, Ledger: brand, Target: s.posted(s.Store, hold).Transaction},
				ledger.Command{Kind: ledger.KindReverse, Ledger: brand, Target: s.posted(s.Store, move).Transaction},
				ledger.Command{Kind: ledger.KindRollback, Ledger: brand, Target: id.TransactionOf(brand, "nothing")},
			)
		}
		var behind map[id.Transaction][]ledger.Ref
		for warm := range 2 { // the first prepares, and learns the ledger
			before := s.proxy.RoundTrips()
			var err error
			if behind, err = through.Behind(t.Context(), commands); err != nil {
				t.Fatal(err)
			}
			if trips := s.proxy.RoundTrips() - before; warm == 1 && trips != 1 {
				t.Errorf("%d round trips", trips)
			}
		}
		if len(behind) != 12 {
			t.Errorf("%d targets are there, want 12", len(behind))
		}
		for _, c := range commands {
			want := map[ledger.Kind]string{ledger.KindCommit: "[brand/a brand/b]", ledger.KindReverse: "[brand/c brand/d]", ledger.KindRollback: "[]"}[c.Kind]
			if got := fmt.Sprint(behind[c.Target]); got != want {
				t.Errorf("behind the target of a %s: %s, want %s", c.Kind, got, want)
			}
		}
	})
}
