package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// connected is an opponent on tables of its own, without a past.
func connected(t *testing.T, d dbtest.Database, s Strategy, size int, b Books) *program {
	t.Helper()
	if err := PrepareOpponents(t.Context(), d.AdminURL, b, 0, s); err != nil {
		t.Fatal(err)
	}
	p, err := NewOpponent(s, d.AdminURL, size, b).connect(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.pool.Close)
	return p
}

// eachStrategy runs a test with every program on every engine.
func eachStrategy(t *testing.T, test func(*testing.T, dbtest.Database, Strategy)) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, s := range strategies {
			t.Run(s.Name, func(t *testing.T) { test(t, d, s) })
		}
	})
}

// number reads one.
func number(t *testing.T, d dbtest.Database, sql string) (value int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// wantConserved looks at the books of opponents: of that many accounts, that many transfers.
func wantConserved(t *testing.T, d dbtest.Database, accounts, transfers int64) {
	t.Helper()
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM opponent_transfer`:                    transfers,
		`SELECT count(*) FROM opponent_entry`:                       2 * transfers,
		`SELECT COALESCE(sum(amount), 0)::int8 FROM opponent_entry`: 0,
		`SELECT sum(balance)::int8 FROM opponent_account`:           funds * accounts,
		`SELECT count(*) FROM (SELECT 1 FROM opponent_entry GROUP BY ledger_id, transfer_id HAVING sum(amount) <> 0 OR count(*) <> 2) AS t`: 0,
		`SELECT count(*) FROM opponent_account a WHERE balance - 1000000000000 <> (SELECT COALESCE(sum(amount), 0)
			FROM opponent_entry e WHERE e.ledger_id = a.ledger_id AND e.account_id = a.id)`: 0,
		`SELECT count(*) FROM opponent_account a WHERE sequence <> (SELECT count(*)
			FROM opponent_entry e WHERE e.ledger_id = a.ledger_id AND e.account_id = a.id)`: 0,
	} {
		if got := number(t, d, sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

func TestOpponent_KeepsItsBooks(t *testing.T) {
	eachStrategy(t, func(t *testing.T, d dbtest.Database, s Strategy) {
		b := Names("bench", 20)
		p := connected(t, d, s, 4, b)
		const clients, each = 4, 8
		var all sync.WaitGroup
		var mu sync.Mutex
		var total Answer
		for client := range clients {
			commands := newStream(loadOf(Hot), b, 0, client)
			all.Go(func() {
				for range each {
					batch := commands.batch(1)
					for range 2 { // the second time is a replay
						a, err := p.Do(t.Context(), client, batch)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						total.add(a)
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
			t.Error("four writers on four accounts, and nothing had to be repeated")
		}
		wantConserved(t, d, 20, clients*each)
	})
}

// A slice ends while calls are still on their way: what they leave is whole transfers or nothing, and no connection.
func TestOpponent_ASliceThatEndsConservesMoney(t *testing.T) {
	eachStrategy(t, func(t *testing.T, d dbtest.Database, s Strategy) {
		b := Names("bench", 20)
		if err := PrepareOpponents(t.Context(), d.AdminURL, b, 0, s); err != nil {
			t.Fatal(err)
		}
		s.hot = 0
		o := NewOpponent(s, d.AdminURL, 8, b)
		load := Load{Scenario: Hot, Clients: 16, Accounts: 20, Batch: 500, Duration: 300 * time.Millisecond, Seed: seed}
		started := time.Now()
		got, err := o.Run(t.Context(), load, b, 0)
		if err != nil || len(got.Errors) > 0 || got.Commands != got.Calls || got.Commands != got.Posted {
			t.Errorf("%+v, %v; want calls of one transfer each, and no errors", got, err)
		}
		if took := time.Since(started); took > load.Duration+grace+5*time.Second {
			t.Errorf("it took %s", took)
		}
		transfers := number(t, d, `SELECT count(*) FROM opponent_transfer`)
		if transfers < got.Posted || transfers > got.Posted+int64(load.Clients) {
			t.Errorf("%d transfers are there, of %d that were counted and at most one more a client", transfers, got.Posted)
		}
		wantConserved(t, d, 20, transfers)
	})
}

func TestOpponent_DeclinesAndRefuses(t *testing.T) {
	eachStrategy(t, func(t *testing.T, d dbtest.Database, strategy Strategy) {
		b := Names("bench", 4)
		p := connected(t, d, strategy, 2, b)
		s := newStream(loadOf(Uniform), b, 0, 0)
		poor := s.transfer(funds + 1)
		if a, err := p.Do(t.Context(), 0, []ledger.Command{poor}); err != nil || a.Declined[errs.ReasonInsufficientFunds] != 1 || a.Posted != 0 {
			t.Errorf("more than there is: %+v, %v", a, err)
		}
		paid := s.transfer(5)
		if _, err := p.Do(t.Context(), 0, []ledger.Command{paid}); err != nil {
			t.Fatal(err)
		}
		paid.Amount = amount(6)
		if _, err := p.Do(t.Context(), 0, []ledger.Command{paid}); !errors.Is(err, errs.ErrIdempotencyMismatch) {
			t.Errorf("another request under the same key: %v", err)
		}
		wantConserved(t, d, 4, 1)
	})
}

func TestOpponent_ACallOfSeveralIsOneTransferAfterAnother(t *testing.T) {
	eachStrategy(t, func(t *testing.T, d dbtest.Database, s Strategy) {
		b := Names("bench", 200)
		p := connected(t, d, s, 1, b)
		batch := newStream(loadOf(Uniform), b, 0, 0).batch(30)
		if a, err := p.Do(t.Context(), 0, batch); err != nil || a.Posted != 30 || a.Entries != 60 {
			t.Errorf("%+v, %v", a, err)
		}
		wantConserved(t, d, 200, 30)
	})
}

func TestPrepareOpponents_EachHasAPastOfItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		if err := PrepareOpponents(t.Context(), d.AdminURL, Names("bench", 4), 2, strategies...); err != nil {
			t.Fatal(err)
		}
		for sql, want := range map[string]int64{
			`SELECT count(DISTINCT idempotency_key) FROM opponent_transfer WHERE ledger_id = 'bench.naive'`: 2000,
			`SELECT count(DISTINCT idempotency_key) FROM opponent_transfer WHERE ledger_id = 'bench.tuned'`: 2000,
			`SELECT count(*) FROM opponent_account`:                                                         8,
		} {
			if got := number(t, d, sql); got != want {
				t.Errorf("%s: %d, want %d", sql, got, want)
			}
		}
	})
}

func TestDropOpponents_LeavesNoTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		if err := PrepareOpponents(t.Context(), d.AdminURL, Names("bench", 2), 0, Naive); err != nil {
			t.Fatal(err)
		}
		if err := DropOpponents(t.Context(), d.AdminURL); err != nil {
			t.Fatal(err)
		}
		if left := number(t, d, `SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'opponent%'`); left != 0 {
			t.Errorf("%d tables are left", left)
		}
	})
}

func TestFit_KeepsTheBestPool(t *testing.T) {
	d := dbtest.New(t, cluster.PostgreSQL)
	b := Names("bench", 40)
	if err := PrepareOpponents(t.Context(), d.AdminURL, b, 0, Tuned); err != nil {
		t.Fatal(err)
	}
	o := NewOpponent(Tuned, d.AdminURL, 0, b)
	load := Load{Scenario: Uniform, Clients: 4, Accounts: 40, Batch: 1, Duration: 200 * time.Millisecond, Seed: seed}
	if err := o.Fit(t.Context(), load, b, 1, 2, 4); err != nil {
		t.Fatal(err)
	}
	best := o.Tried[0]
	for _, p := range o.Tried {
		if p.PerSecond > best.PerSecond {
			best = p
		}
	}
	if len(o.Tried) != 3 || o.Connections != best.Connections || best.PerSecond == 0 {
		t.Errorf("%+v left %d connections", o.Tried, o.Connections)
	}
}

func TestOpponent_SaysWhichPoolItCouldNotOpen(t *testing.T) {
	for _, strategy := range strategies {
		o := NewOpponent(strategy, "postgresql://meridian:hunter2@127.0.0.1:1/ledger", 90, Names("bench", 2))
		_, err := o.connect(t.Context(), 256)
		if err == nil || !strings.Contains(err.Error(), "--"+strategy.Name+"-pool") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", strategy.Name, err)
		}
	}
}

func TestParseStrategies_NamesWhatItKnows(t *testing.T) {
	for names, want := range map[string]string{"naive": "naive", "tuned": "tuned", "tuned,naive,tuned": "naive,tuned", "": ""} {
		got, err := ParseStrategies(strings.FieldsFunc(names, func(r rune) bool { return r == ',' }))
		if joined := strings.Join(each(got, func(s Strategy) string { return s.Name }), ","); err != nil || joined != want {
			t.Errorf("%q: %s, %v; want %s", names, joined, err, want)
		}
	}
	if _, err := ParseStrategies([]string{"naive", "clever"}); err == nil || err.Error() != `"clever" is none of naive and tuned` {
		t.Errorf("%v", err)
	}
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
