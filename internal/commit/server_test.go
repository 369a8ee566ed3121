package commit_test

import (
	"context"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "12"); err != nil { // unless the command line says more: each is some hundred commands on a database
		panic(err)
	}
	dbtest.Main(m)
}

// server is the ledger as a server has it: a store, a committer, and pools of its own, which reach the database through a proxy.
type server struct {
	*store.Store
	*commit.Committer
	proxy   *dbtest.Proxy
	past    *store.Store // past the proxy
	metrics *prometheus.Registry
}

var _ ledger.Service = server{}

// newServer opens the database; it is drained and closed when the test ends.
func newServer(t *testing.T, d dbtest.Database, o commit.Options, pools db.Options) server {
	t.Helper()
	s := server{proxy: dbtest.NewProxy(t, d.URL), past: store.New(d.DB), metrics: prometheus.NewRegistry()}
	pools.URL = s.proxy.URL()
	opened, err := db.Open(t.Context(), pools)
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(opened.Close)
	o.Metrics = commit.NewMetrics(s.metrics)
	s.Store = store.New(opened)
	s.Committer = commit.New(s.Store, o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openBooks makes both ledgers with accounts a to f and x, and clearing accounts for what goes across.
func openBooks(t *testing.T, s ledger.Service, names ...id.Account) {
	t.Helper()
	if len(names) == 0 {
		names = []id.Account{"a", "b", "c", "d", "e", "f"}
	}
	for _, l := range twoLedgers {
		if _, err := s.CreateLedger(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		var batch ledger.Batch
		for _, name := range append(slices.Clone(names), "x", "clearing") {
			batch.Commands = append(batch.Commands, open(l.ID, name))
		}
		if _, err := s.Execute(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

func do(t testing.TB, s ledger.Service, c ledger.Command) ledger.Outcome {
	t.Helper()
	o, err := ledger.Do(t.Context(), s, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	return o
}

// wantBooks holds that an account has so much in so many entries besides its opening, and that the books are sound.
func wantBooks(t *testing.T, s server, account id.Account, entries int, posted int64) {
	t.Helper()
	s.Store = s.past
	a, err := s.Account(t.Context(), ledger.Ref{Ledger: brand, Account: account}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Sequence != int64(entries)+1 || a.Posted() != money.FromInt64(posted) {
		t.Errorf("account %s has %s after %d entries, want %d after %d", account, a.Posted(), a.Sequence-1, posted, entries)
	}
	if err := ledgertest.Audit(t.Context(), s, brand, other); err != nil {
		t.Errorf("the books: %v", err)
	}
}

func mustInt(t testing.TB, a money.Amount) int64 {
	t.Helper()
	n, ok := a.Int64()
	if !ok {
		t.Fatalf("%s is too much", a)
	}
	return n
}
