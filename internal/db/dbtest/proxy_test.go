package dbtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

// behindProxy gives each engine a table called journal, a proxy, and what connects through it.
func behindProxy(t *testing.T, test func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, rows func() int)) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		direct := connection(t, d.URL, pgx.QueryExecModeExec)
		for _, sql := range []string{`CREATE TABLE journal (id INT8 PRIMARY KEY)`, `CREATE TABLE other (id INT8 PRIMARY KEY)`} {
			if _, err := direct.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		p := dbtest.NewProxy(t, d.URL)
		test(t, p, func(mode pgx.QueryExecMode) *pgx.Conn { return connection(t, p.URL(), mode) }, func() (n int) {
			if err := direct.QueryRow(t.Context(), `SELECT count(*) FROM journal`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		})
	})
}

func connection(t *testing.T, url string, mode pgx.QueryExecMode) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = mode
	c, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

// insert is a transaction of one round trip, once its statements are prepared.
func insert(t *testing.T, c *pgx.Conn, table string, id int, end string) error {
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN`)
	batch.Queue(`INSERT INTO `+table+` (id) VALUES ($1)`, id)
	batch.Queue(end)
	return c.SendBatch(t.Context(), batch).Close()
}

func TestProxy_CutsTheCommitOfAJournalRowBeforeTheServerOrAfterIt(t *testing.T) {
	modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, rows func() int) {
		id, stored := 0, 0
		for _, mode := range modes {
			for _, at := range []dbtest.Moment{dbtest.BeforeServer, dbtest.AfterServer} {
				t.Run(mode.String()+" "+at.String(), func(t *testing.T) {
					c, cuts := connect(mode), p.Cuts()
					p.Inject(dbtest.Fault{At: at, Times: 1})
					id += 10
					for _, untouched := range []struct{ table, end string }{{"journal", "ROLLBACK"}, {"other", "COMMIT"}} {
						if err := insert(t, c, untouched.table, id, untouched.end); err != nil {
							t.Fatalf("insert into %s, then %s: %v", untouched.table, untouched.end, err)
						}
					}
					if err := insert(t, c, "journal", id, "COMMIT"); err == nil || p.Cuts() != cuts+1 {
						t.Fatalf("the commit says %v after %d cuts, want a lost connection and one", err, p.Cuts()-cuts)
					}
					if at == dbtest.AfterServer {
						stored++
					}
					if got := rows(); got != stored {
						t.Errorf("%d rows, want %d", got, stored)
					}
					if err := insert(t, connect(mode), "journal", id+1, "COMMIT"); err != nil { // the fault was for one
						t.Error(err)
					}
					stored++
				})
			}
		}
	})
}

func TestProxy_ACommitThatTheDatabaseRefusesIsNoCut(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, rows func() int) {
		c := connect(pgx.QueryExecModeCacheStatement)
		if err := insert(t, c, "journal", 1, "COMMIT"); err != nil {
			t.Fatal(err)
		}
		p.Inject(dbtest.Fault{At: dbtest.AfterServer, Times: 1})
		if err := insert(t, c, "journal", 1, "COMMIT"); err == nil || c.IsClosed() || p.Cuts() != 0 {
			t.Fatalf("a second row 1: %v after %d cuts, want a refusal on a line that holds", err, p.Cuts())
		}
		if _, err := c.Exec(t.Context(), `ROLLBACK`); err != nil {
			t.Fatal(err)
		}
		if err := insert(t, c, "journal", 2, "COMMIT"); err == nil || p.Cuts() != 1 {
			t.Fatalf("row 2: %v after %d cuts, want the fault to have waited for it", err, p.Cuts())
		}
		if got := rows(); got != 2 {
			t.Errorf("%d rows, want 2", got)
		}
	})
}

func TestProxy_CutsBySeededChance(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, _ func() int) {
		id := 0
		sequence := func() (text string) {
			p.Inject(dbtest.Fault{At: dbtest.BeforeServer, Probability: 0.5, Seed: 7})
			defer p.Heal()
			for range 16 {
				id++
				c := connect(pgx.QueryExecModeSimpleProtocol)
				if insert(t, c, "journal", id, "COMMIT") != nil {
					text += "x"
				} else {
					text += "."
				}
			}
			return text
		}
		first, again := sequence(), sequence()
		if first != again || first == "................" || first == "xxxxxxxxxxxxxxxx" {
			t.Errorf("one seed cuts %s and then %s, want the same mixture twice", first, again)
		}
	})
}

func TestProxy_TheDatabaseGoesAwayAndComesBack(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, _ func() int) {
		refused := func() bool {
			_, err := pgx.Connect(t.Context(), p.URL())
			return err != nil
		}
		a, b := connect(pgx.QueryExecModeExec), connect(pgx.QueryExecModeExec)
		p.CutAll()
		if a.Ping(t.Context()) == nil || b.Ping(t.Context()) == nil || refused() {
			t.Error("CutAll is to cut what there is and to refuse nothing")
		}
		a = connect(pgx.QueryExecModeExec)
		p.Away()
		if a.Ping(t.Context()) == nil || !refused() {
			t.Error("Away is to cut what there is and to refuse what comes")
		}
		p.Heal()
		a, b = connect(pgx.QueryExecModeExec), connect(pgx.QueryExecModeExec)
		p.Inject(dbtest.Fault{At: dbtest.AfterServer, Times: 1, Away: true})
		if insert(t, a, "journal", 1, "COMMIT") == nil || b.Ping(t.Context()) == nil || !refused() {
			t.Error("a fault with Away is to take the database away with the commit")
		}
		p.Heal()
		if refused() {
			t.Error("after Heal the database is to be back")
		}
	})
}

func TestProxy_AStalledLineKeepsItsBytes(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, _ func() int) {
		a, b := connect(pgx.QueryExecModeExec), connect(pgx.QueryExecModeExec)
		p.Stall()
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := a.Ping(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a ping on a stalled line: %v, want silence", err)
		}
		if err := connect(pgx.QueryExecModeExec).Ping(t.Context()); err != nil {
			t.Errorf("a new connection: %v, want one that works", err)
		}
		answered := make(chan error, 1)
		go func() { answered <- b.Ping(t.Context()) }()
		p.Heal()
		if err := <-answered; err != nil {
			t.Errorf("a ping on a line that flows again: %v", err)
		}
	})
}

func TestProxy_CountsRoundTrips(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, _ func() int) {
		c := connect(pgx.QueryExecModeCacheStatement)
		if got := p.RoundTrips(); got != 0 {
			t.Errorf("connecting counts %d round trips, want none", got)
		}
		for i, want := range []int{2, 1} { // the first prepares
			before := p.RoundTrips()
			if err := insert(t, c, "journal", i, "COMMIT"); err != nil {
				t.Fatal(err)
			}
			if got := p.RoundTrips() - before; got != want {
				t.Errorf("batch %d takes %d round trips, want %d", i, got, want)
			}
		}
	})
}

func TestProxy_LeavesNothingBehind(t *testing.T) {
	behindProxy(t, func(t *testing.T, p *dbtest.Proxy, connect func(pgx.QueryExecMode) *pgx.Conn, _ func() int) {
		before := goleak.IgnoreCurrent()
		stalled := dbtest.NewProxy(t, p.URL())
		c := connection(t, stalled.URL(), pgx.QueryExecModeExec)
		stalled.Stall()
		p.CutAll()
		stalled.Close()
		if err := c.Ping(t.Context()); err == nil {
			t.Error("a closed proxy still answers")
		}
		goleak.VerifyNone(t, before)
	})
}
