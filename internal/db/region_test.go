package db_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

// several is a URL with the hosts of several.
func several(t *testing.T, urls ...string) string {
	t.Helper()
	first, err := url.Parse(urls[0])
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{first.Host}
	for _, raw := range urls[1:] {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, u.Host)
	}
	first.Host = strings.Join(hosts, ",")
	return first.String()
}

// settled waits until the hosts are as they should be.
func settled(t *testing.T, d *db.DB, what string, right func([]db.Host) bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		hosts := d.Hosts()
		if right(hosts) {
			return time.Since(began)
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: still %+v", what, hosts)
		}
	}
}

// allAt says that one host has all connections of the pools.
func allAt(place, total int) func([]db.Host) bool {
	return func(hosts []db.Host) bool {
		for i, h := range hosts {
			if h.Connections != map[bool]int{true: total}[i == place] {
				return false
			}
		}
		return hosts[place].State == db.Answers
	}
}

func writes(t *testing.T, d *db.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := d.Write(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT 1`)
			return err
		})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("nobody takes a transaction: %v", err)
		}
	}
}

// twoLines are two ways to one database.
func twoLines(t *testing.T) (a, b *dbtest.Proxy, d *db.DB) {
	t.Helper()
	base := dbtest.New(t, "postgresql")
	a, b = dbtest.NewProxy(t, base.URL), dbtest.NewProxy(t, base.URL)
	d, err := db.Open(t.Context(), db.Options{URL: several(t, a.URL(), b.URL()), Writers: 2, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	settled(t, d, "at first the first host has them all", allAt(0, 4))
	return a, b, d
}

func TestHosts_ConnectionsMoveToTheNextAndReturn(t *testing.T) {
	a, _, d := twoLines(t)
	a.Away()
	writes(t, d)
	settled(t, d, "the second host has them all", allAt(1, 4))
	if s := d.Hosts()[0].State; s != db.Refuses {
		t.Errorf("the first host is %s, want %s", s, db.Refuses)
	}
	a.Heal()
	t.Logf("back after %s", settled(t, d, "the first host has them again", allAt(0, 4)))
	writes(t, d)
}

func TestHosts_AnOpenTransactionIsNotMovedBack(t *testing.T) {
	a, _, d := twoLines(t)
	a.Away()
	writes(t, d)
	settled(t, d, "the second host has them all", allAt(1, 4))
	conn, err := d.Reader().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	a.Heal()
	settled(t, d, "all but one have moved", func(h []db.Host) bool { return h[0].Connections == 3 && h[1].Connections == 1 })
	if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
		t.Errorf("the transaction was cut: %v", err)
	}
	conn.Release()
	settled(t, d, "all have moved", allAt(0, 4))
}

func TestHosts_WhoWaitsAtASilentHostIsToldSoon(t *testing.T) {
	a, _, d := twoLines(t)
	conn, err := d.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	listening := make(chan error, 1)
	heard := make(chan struct{}, 1)
	go func() {
		listening <- d.Listen(t.Context(), "stream", func() { heard <- struct{}{} })
	}()
	<-heard
	a.Silence()
	began := time.Now()
	if _, err := conn.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Fatal("a silent host has answered")
	}
	told := time.Since(began)
	writes(t, d)
	served := time.Since(began)
	t.Logf("told after %s, served after %s", told, served)
	if served > 8*time.Second { // 1.5 s mostly; the machine may be busy
		t.Errorf("it took %s until another host served, want less than three seconds on an idle machine", served)
	}
	select {
	case err := <-listening:
		if err == nil {
			t.Error("Listen ended without a reason")
		}
	case <-time.After(time.Minute):
		t.Error("who listens at a silent host is not told")
	}
	a.Heal()
	settled(t, d, "the first host has them again", func(h []db.Host) bool { return h[0].Connections >= 3 && h[1].Connections == 0 })
}

// Where nobody answers it may be us: nothing is cut.
func TestHosts_SilenceOfAllCutsNothing(t *testing.T) {
	a, b, d := twoLines(t)
	conn, err := d.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	a.Silence()
	b.Silence()
	answer := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), `SELECT 1`)
		answer <- err
	}()
	settled(t, d, "both are silent", func(h []db.Host) bool { return h[0].State == db.Silent && h[1].State == db.Silent })
	select {
	case err := <-answer:
		t.Fatalf("the statement ended: %v", err)
	default:
	}
	a.Heal()
	if err := <-answer; err != nil {
		t.Errorf("the statement got %v, want its answer when the host speaks again", err)
	}
}

func TestOpen_TakesTheHostThatAnswers(t *testing.T) {
	base := dbtest.New(t, "postgresql")
	silent, good := dbtest.NewProxy(t, base.URL), dbtest.NewProxy(t, base.URL)
	silent.Silence()
	began := time.Now()
	d, err := db.Open(t.Context(), db.Options{URL: several(t, silent.URL(), good.URL()), Writers: 1, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	writes(t, d)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Open took %s beside a silent host", took)
	}
	if s := d.Hosts()[0].State; s != db.Silent {
		t.Errorf("the first host is %s, want %s", s, db.Silent)
	}
}

func TestOpen_NamesAnOnlyHost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		writes(t, d.DB)
		hosts := d.DB.Hosts()
		if len(hosts) != 1 || hosts[0].State != db.Answers || hosts[0].Connections == 0 || strings.Contains(fmt.Sprint(hosts), "@") {
			t.Errorf("hosts: %+v", hosts)
		}
	})
}
