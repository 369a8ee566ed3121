package bench

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func naive(t *testing.T, d dbtest.Database, size int, b Books) *Naive {
	t.Helper()
	n, err := OpenNaive(t.Context(), d.AdminURL, size, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// number reads one.
func number(t *testing.T, n *Naive, sql string) (value int64) {
	t.Helper()
	if err := n.pool.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestNaive_KeepsItsBooks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := Names("bench", 20)
		n := naive(t, d, 6, b)
		const clients, each = 6, 15
		var all sync.WaitGroup
		var mu sync.Mutex
		var total Answer
		for client := range clients {
			commands := newStream(loadOf(Hot), b, 0, client)
			all.Go(func() {
				for range each {
					batch := commands.batch(1)
					for range 2 { // the second time is a replay
						a, err := n.Do(t.Context(), client, batch)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						total.Posted, total.Replayed, total.Entries = total.Posted+a.Posted, total.Replayed+a.Replayed, total.Entries+a.Entries
						total.Retries += a.Retries
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		if total.Posted != clients*each || total.Replayed != clients*each || total.Entries != 2*clients*each {
			t.Errorf("%+v, want %d posted, as many replayed, and two entries each", total, clients*each)
		}
		if d.Engine == cluster.PostgreSQL && total.Retries == 0 {
			t.Error("six writers on four accounts, and nothing had to be repeated")
		}
		for name, want := range map[string]int64{
			`SELECT count(*) FROM naive_transfer`:          clients * each,
			`SELECT count(*) FROM naive_entry`:             2 * clients * each,
			`SELECT sum(amount)::int8 FROM naive_entry`:    0,
			`SELECT sum(balance)::int8 FROM naive_account`: funds * 20,
			`SELECT count(*) FROM (SELECT 1 FROM naive_entry GROUP BY transfer_id HAVING sum(amount) <> 0 OR count(*) <> 2) AS t`: 0,
			`SELECT count(*) FROM naive_account a WHERE balance - 1000000000000 <>
				(SELECT COALESCE(sum(amount), 0) FROM naive_entry e WHERE e.account_id = a.id)`: 0,
			`SELECT count(*) FROM naive_account a WHERE sequence <> (SELECT count(*) FROM naive_entry e WHERE e.account_id = a.id)`: 0,
		} {
			if got := number(t, n, name); got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
	})
}

func TestNaive_DeclinesAndRefuses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := Names("bench", 4)
		n := naive(t, d, 2, b)
		s := newStream(loadOf(Uniform), b, 0, 0)
		poor := s.transfer(funds + 1)
		if a, err := n.Do(t.Context(), 0, []ledger.Command{poor}); err != nil || a.Declined[errs.ReasonInsufficientFunds] != 1 || a.Posted != 0 {
			t.Errorf("more than there is: %+v, %v", a, err)
		}
		paid := s.transfer(5)
		if _, err := n.Do(t.Context(), 0, []ledger.Command{paid}); err != nil {
			t.Fatal(err)
		}
		paid.Amount = amount(6)
		if _, err := n.Do(t.Context(), 0, []ledger.Command{paid}); !errors.Is(err, errs.ErrIdempotencyMismatch) {
			t.Errorf("another request under the same key: %v", err)
		}
		if got := number(t, n, `SELECT count(*) FROM naive_transfer`); got != 1 {
			t.Errorf("%d transfers", got)
		}
	})
}

func TestNaive_ABatchIsEachForItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := Names("bench", 200)
		n := naive(t, d, 4, b)
		batch := newStream(loadOf(Uniform), b, 0, 0).batch(30)
		if a, err := n.Do(t.Context(), 0, batch); err != nil || a.Posted != 30 || a.Entries != 60 {
			t.Errorf("%+v, %v", a, err)
		}
		if got := number(t, n, `SELECT count(*) FROM naive_transfer`); got != 30 {
			t.Errorf("%d transfers", got)
		}
	})
}

func TestNaive_AgeAddsTransfersOfThePast(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		b := Names("bench", 4)
		n := naive(t, d, 1, b)
		if err := n.Age(t.Context(), b, 2); err != nil {
			t.Fatal(err)
		}
		if got := number(t, n, `SELECT count(DISTINCT idempotency_key) FROM naive_transfer`); got != 2000 {
			t.Errorf("%d transfers", got)
		}
	})
}

func TestNaive_DropLeavesNoTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := naive(t, d, 1, Names("bench", 2))
		if err := n.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := number(t, n, `SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'naive%'`)
		if left != 0 {
			t.Errorf("%d tables are left", left)
		}
	})
}

func TestProber_MeasuresBothAndLeavesNoTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		p, err := OpenProber(t.Context(), d.AdminURL, Names("bench", 50))
		if err != nil {
			t.Fatal(err)
		}
		l, err := p.Measure(t.Context(), 1) // a nanosecond is one of each
		if err != nil || l.Commits <= 0 || l.Rows <= 0 {
			t.Errorf("%+v, %v", l, err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), d.AdminURL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		var left int
		err = conn.QueryRow(t.Context(), `SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'bench%'`).Scan(&left)
		if err != nil || left != 0 {
			t.Errorf("%d tables are left, %v", left, err)
		}
	})
}
