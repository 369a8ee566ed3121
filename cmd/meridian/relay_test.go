package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/store"
)

// traffic keeps clients moving money over a server until stop. It counts what was posted.
type traffic struct {
	posted atomic.Int64
	stop   func()
}

func moving(t *testing.T, s *server, clients int) *traffic {
	t.Helper()
	m, svc := &traffic{}, s.client()
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				from, to := fmt.Sprint("acc_", (c+n)%4), fmt.Sprint("acc_", (c+n+1)%4)
				command, err := transferOf("brand-eu", []string{from, to, "1", "EUR"}, fmt.Sprintf("move/%d/%d", c, n))
				if err != nil {
					t.Error(err)
					return
				}
				o, err := ledger.Do(context.WithoutCancel(ctx), svc, command)
				if err != nil || o.Decided != ledger.Posted {
					t.Errorf("%s: %s %s %v", command.Key, o.Decided, o.Reason, err)
					return
				}
				m.posted.Add(1)
			}
		})
	}
	m.stop = sync.OnceFunc(func() { end(); running.Wait() })
	t.Cleanup(m.stop)
	return m
}

// wantStreamed wants the stream of a home to become its journal: once, without a gap, in order on each account.
func wantStreamed(t *testing.T, d dbtest.Database) int {
	t.Helper()
	books := store.New(d.DB)
	var journal int
	if err := d.DB.Reader().QueryRow(t.Context(), `SELECT count(*) FROM journal WHERE home = 'eu'`).Scan(&journal); err != nil {
		t.Fatal(err)
	}
	seen, sequences := map[id.Transaction]bool{}, map[ledger.Ref]int64{}
	for began := time.Now(); len(seen) < journal; {
		page, err := books.Events(t.Context(), "eu", event.Position(len(seen)), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if o := e.Record.Outcome; seen[o.Transaction] || e.Position != event.Position(len(seen)+1) {
				t.Fatalf("%s stands at position %d, after %d others; twice: %t", o.Transaction, e.Position, len(seen), seen[o.Transaction])
			}
			seen[e.Record.Outcome.Transaction] = true
			for _, line := range e.Record.Outcome.Entries {
				if sequences[line.Ref]++; line.Sequence != sequences[line.Ref] {
					t.Fatalf("position %d has entry %d of %s, want %d", e.Position, line.Sequence, line.Ref, sequences[line.Ref])
				}
			}
		}
		if time.Since(began) > patience {
			t.Fatalf("%d of %d events are in the stream", len(seen), journal)
		}
		if len(page) == 0 {
			time.Sleep(20 * time.Millisecond) // another process writes it
		}
	}
	return journal
}

// owner waits until another process than before has the lease, and returns it.
func owner(t *testing.T, d dbtest.Database, before string, within time.Duration) (string, time.Duration) {
	t.Helper()
	books := store.New(d.DB)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		h, err := books.Holding(t.Context(), "eu")
		if err == nil && h.Owner != "" && h.Owner != before && h.Left > 0 {
			return h.Owner, time.Since(began)
		}
		if time.Since(began) > within {
			t.Fatalf("after %s the lease is %+v: %v", within, h, err)
		}
	}
}

// held is the server among several that has the lease.
func held(t *testing.T, name string, servers ...*server) (has, other *server) {
	t.Helper()
	for i, s := range servers {
		if strings.Contains(name, fmt.Sprintf("/%d/", s.cmd.Process.Pid)) {
			return s, servers[1-i]
		}
	}
	t.Fatalf("%s is none of the servers", name)
	return nil, nil
}

func TestServe_AKilledRelayIsReplacedAndNoEventIsLost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		a, b := serving(t, d.URL), serving(t, d.URL)
		a.furnish(t, fourAccounts...)
		first, _ := owner(t, d, "", 10*time.Second)
		works, stands := held(t, first, a, b)
		load := moving(t, stands, 8)
		for load.posted.Load() < 100 {
			time.Sleep(10 * time.Millisecond)
		}
		if err := works.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, took := owner(t, d, first, 10*time.Second)
		for n := load.posted.Load(); load.posted.Load() < n+100; {
			time.Sleep(10 * time.Millisecond)
		}
		load.stop()
		events := wantStreamed(t, d)
		t.Logf("another took over after %s; %d events", took, events)
	})
}

func TestServe_APausedRelayFindsThatItIsReplaced(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		a, b := serving(t, d.URL), serving(t, d.URL)
		a.furnish(t, fourAccounts...)
		first, _ := owner(t, d, "", 10*time.Second)
		paused, stands := held(t, first, a, b)
		load := moving(t, stands, 8)
		for load.posted.Load() < 100 {
			time.Sleep(10 * time.Millisecond)
		}
		if err := paused.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		second, took := owner(t, d, first, 10*time.Second)
		for n := load.posted.Load(); load.posted.Load() < n+100; {
			time.Sleep(10 * time.Millisecond)
		}
		if err := paused.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if line := paused.logged(t, "lease given up"); line["cause"] != "lost" {
			t.Errorf("it gives the lease up as %v", line["cause"])
		}
		load.stop()
		events := wantStreamed(t, d)
		if h, err := store.New(d.DB).Holding(t.Context(), "eu"); err != nil || h.Owner != second || h.Epoch != 2 {
			t.Errorf("the lease is %+v, want the second owner's still: %v", h, err)
		}
		t.Logf("another took over after %s; %d events", took, events)
	})
}

func TestServe_ADrainingRelayIsReplacedAtOnce(t *testing.T) {
	d := postgres(t)
	a, b := serving(t, d.URL, "--drain-delay", "5s"), serving(t, d.URL, "--drain-delay", "5s")
	idle := serving(t, d.URL, "--relay=false")
	idle.furnish(t, fourAccounts...)
	first, _ := owner(t, d, "", 10*time.Second)
	leaves, _ := held(t, first, a, b)
	leaves.terminate(t)
	if _, took := owner(t, d, first, 10*time.Second); took > 3*time.Second {
		t.Errorf("another took over after %s, want while the first still drains", took)
	}
	if line := leaves.logged(t, "lease given up"); line["cause"] != "released" {
		t.Errorf("it gives the lease up as %v", line["cause"])
	}
	wantStreamed(t, d)
	if code := leaves.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(idle.log.String(), "lease taken") {
		t.Error("a node without --relay took a lease")
	}
}
