package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// leaseTable is the leases of homes in memory, on the clock of the bubble.
type leaseTable struct {
	mu    sync.Mutex
	homes []id.Home
	rows  map[id.Home]*leaseRow
	away  map[string]bool // owners whose database does not answer
	takes time.Duration   // a write takes, as those of a database do
}

type leaseRow struct {
	event.Lease
	ends time.Time
}

func newLeaseTable(homes ...id.Home) *leaseTable {
	return &leaseTable{homes: homes, rows: map[id.Home]*leaseRow{}, away: map[string]bool{}}
}

func (l *leaseTable) Homes(context.Context) ([]id.Home, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.homes), nil
}

func (l *leaseTable) Holding(_ context.Context, home id.Home) (event.Holding, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rows[home]
	if r == nil {
		return event.Holding{Lease: event.Lease{Home: home}}, nil
	}
	return event.Holding{Lease: r.Lease, Left: time.Until(r.ends)}, nil
}

func (l *leaseTable) Acquire(_ context.Context, home id.Home, owner string, ttl time.Duration) (event.Tenure, bool, error) {
	time.Sleep(l.takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rows[home]
	if r == nil {
		r = &leaseRow{Lease: event.Lease{Home: home}}
		l.rows[home] = r
	}
	if l.away[owner] {
		return event.Tenure{}, false, errs.ErrUnavailable
	}
	if time.Now().Before(r.ends) {
		return event.Tenure{}, false, nil
	}
	from := r.Owner
	r.Lease, r.ends = event.Lease{Home: home, Owner: owner, Epoch: r.Epoch + 1}, time.Now().Add(ttl)
	return event.Tenure{Lease: r.Lease, From: from}, true, nil
}

func (l *leaseTable) Renew(_ context.Context, lease event.Lease, ttl time.Duration) error {
	time.Sleep(l.takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r := l.rows[lease.Home]; {
	case l.away[lease.Owner]:
		return errs.ErrUnavailable
	case r.Epoch != lease.Epoch:
		return event.ErrFenced
	default:
		r.ends = time.Now().Add(ttl)
		return nil
	}
}

func (l *leaseTable) Release(_ context.Context, lease event.Lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.rows[lease.Home]; r.Epoch == lease.Epoch {
		r.ends, r.Owner = time.Now(), ""
	}
	return nil
}

func (l *leaseTable) setAway(owner string, away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away[owner] = away
}

// tenant is a manager whose work is to be there.
type tenant struct {
	stop   context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	at     map[id.Home]int64 // epochs
	change time.Time
	linger time.Duration // how long its work takes to stop
}

func rent(t *testing.T, l Leases, name string, near func(id.Home) bool) *tenant {
	ctx, stop := context.WithCancel(t.Context())
	n := &tenant{stop: stop, ended: make(chan struct{}), at: map[id.Home]int64{}}
	m := NewManager(l, name, near, NewMetrics(nil), slog.New(slog.DiscardHandler))
	go func() {
		defer close(n.ended)
		m.Run(ctx, func(ctx context.Context, t event.Tenure) error {
			n.set(t.Home, t.Epoch)
			<-ctx.Done()
			time.Sleep(n.linger)
			n.set(t.Home, 0)
			return ctx.Err()
		})
	}()
	return n
}

func (n *tenant) set(home id.Home, epoch int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.change = time.Now()
	if n.at[home] = epoch; epoch == 0 {
		delete(n.at, home)
	}
}

func (n *tenant) homes() map[id.Home]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := map[id.Home]int64{}
	for home, epoch := range n.at {
		at[home] = epoch
	}
	return at
}

func (n *tenant) end() { n.stop(); <-n.ended }

func TestManager_TakesEveryHomeAndLetsGoAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newLeaseTable("eu", "us")
		a := rent(t, table, "a", nil)
		synctest.Wait()
		if at := a.homes(); at["eu"] != 1 || at["us"] != 1 {
			t.Fatalf("it works on %v, want both homes at once", at)
		}
		b := rent(t, table, "b", nil)
		table.mu.Lock()
		table.homes = append(table.homes, "apac")
		table.mu.Unlock()
		time.Sleep(time.Minute)
		if at := b.homes(); at["eu"] != 0 || at["us"] != 0 || a.homes()["apac"]+at["apac"] != 1 {
			t.Fatalf("the second works on %v, the first on %v; want the new home to have one", at, a.homes())
		}
		a.linger = 10 * time.Second // longer than the lease: it is renewed while the work tidies up
		left := time.Now()
		go a.stop()
		time.Sleep(9 * time.Second)
		if at := b.homes(); at["eu"] != 0 {
			t.Fatalf("the second works on %v while the first tidies up", at)
		}
		<-a.ended
		if took := time.Since(left); took != 10*time.Second {
			t.Errorf("the first ended after %s", took)
		}
		time.Sleep(LookEvery)
		if at := b.homes(); at["eu"] != 2 || at["us"] != 2 || len(at) != 3 {
			t.Errorf("a second later the other works on %v, want all", at)
		}
		b.end()
	})
}

func TestManager_AnOwnerWithoutItsDatabaseStopsBeforeAnotherBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newLeaseTable("eu")
		table.takes = 2 * time.Millisecond // by which the owner stops before its lease ends
		a := rent(t, table, "a", nil)
		time.Sleep(table.takes)
		synctest.Wait()
		b := rent(t, table, "b", nil)
		time.Sleep(time.Minute)
		table.setAway("a", true)
		away := time.Now()
		for len(a.homes()) > 0 {
			if len(b.homes()) > 0 {
				t.Fatal("both work on the home")
			}
			time.Sleep(time.Millisecond)
		}
		if took := a.change.Sub(away); took > TTL {
			t.Errorf("it went on for %s", took)
		}
		time.Sleep(time.Until(away.Add(TTL + 100*time.Millisecond)))
		if at := b.homes(); at["eu"] != 2 {
			t.Errorf("after %s the other works on %v", time.Since(away), at)
		}
		table.setAway("a", false)
		time.Sleep(time.Minute)
		if len(a.homes()) != 0 || b.homes()["eu"] != 2 {
			t.Error("the first took it back")
		}
		a.end()
		b.end()
	})
}

func TestManager_LeavesHomesOfOtherRegionsToTheirNodesForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newLeaseTable("eu", "us")
		in := func(mine id.Home) func(id.Home) bool { return func(home id.Home) bool { return home == mine } }
		us := rent(t, table, "us", in("us"))
		synctest.Wait()
		if at := us.homes(); at["us"] != 1 || at["eu"] != 0 {
			t.Fatalf("it works on %v, want its own at once", at)
		}
		eu := rent(t, table, "eu", in("eu"))
		time.Sleep(time.Minute)
		if at := eu.homes(); at["eu"] != 1 || len(us.homes()) != 1 {
			t.Fatalf("eu works on %v, us on %v", at, us.homes())
		}
		eu.end()
		left := time.Now()
		for us.homes()["eu"] == 0 && time.Since(left) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(left); took < TTL/2 || took > TTL/2+LookEvery {
			t.Errorf("the far node took over after %s, want %s and a look", took, TTL/2)
		}
		us.end()
	})
}

// frozenLeases stop time for one owner, as SIGSTOP would: whatever it asks is answered when it is thawed.
type frozenLeases struct {
	Leases
	mu   sync.Mutex
	thaw chan struct{}
}

func (f *frozenLeases) Renew(ctx context.Context, lease event.Lease, ttl time.Duration) error {
	f.mu.Lock()
	thaw := f.thaw
	f.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
	return f.Leases.Renew(ctx, lease, ttl)
}

func TestManager_AnOwnerThatWasPausedNoticesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newLeaseTable("eu")
		frozen := &frozenLeases{Leases: table}
		a := rent(t, frozen, "a", nil)
		synctest.Wait()
		b := rent(t, table, "b", nil)
		time.Sleep(time.Minute)
		frozen.mu.Lock()
		frozen.thaw = make(chan struct{})
		frozen.mu.Unlock()
		time.Sleep(TTL + LookEvery)
		if b.homes()["eu"] != 2 {
			t.Fatal("nobody took over")
		}
		close(frozen.thaw)
		synctest.Wait()
		if at := a.homes(); len(at) != 0 {
			t.Errorf("it still works on %v", at)
		}
		a.end()
		b.end()
	})
}

func TestManager_BelievesWorkThatFoundTheLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newLeaseTable("eu")
		ctx, stop := context.WithCancel(t.Context())
		m := NewManager(table, "a", nil, NewMetrics(nil), slog.New(slog.DiscardHandler))
		epochs := make(chan int64)
		go func() {
			defer close(epochs)
			m.Run(ctx, func(ctx context.Context, t event.Tenure) error {
				epochs <- t.Epoch
				if t.Epoch == 1 {
					return errors.Join(errors.New("append"), event.ErrFenced)
				}
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		<-epochs
		began := time.Now()
		if again := <-epochs; again != 2 || time.Since(began) < TTL {
			t.Errorf("epoch %d after %s: what is lost is not released, so that it has to end first", again, time.Since(began))
		}
		stop()
		<-epochs
	})
}
