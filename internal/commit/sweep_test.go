package commit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// ExpiredHolds implements commit.Expiries.
func (m *memory) ExpiredHolds(_ context.Context, limit int) ([]ledger.Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looked++
	var expired []ledger.Hold
	for _, key := range keys("hold", 2000) {
		h, found := m.holds[id.TransactionOf(brand, key)]
		if found && h.Status == ledger.Held && !time.Now().Before(h.ExpiresAt) && len(expired) < limit {
			expired = append(expired, ledger.Hold{Ledger: h.Ledger, ID: h.ID})
		}
	}
	return expired, m.blind
}

func (m *memory) looks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looked
}

func (m *memory) goBlind(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blind = why
}

// hold makes holds that last an hour.
func (n *node) hold(count int) {
	for _, k := range keys("hold", count) {
		c := move(ledger.KindHold, k, "a", "b", 1)
		c.ExpiresIn = time.Hour
		n.store.given(c)
	}
}

func (n *node) statuses() map[ledger.HoldStatus]int {
	synctest.Wait()
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	found := map[ledger.HoldStatus]int{}
	for _, h := range n.store.holds {
		found[h.Status]++
	}
	return found
}

// sweeping runs a sweep beside the test until what it returns is called.
func (n *node) sweeping() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	go n.Sweep(ctx, n.store, time.Minute)
	return cancel
}

func TestSweep_ReleasesWhatIsOverAndNothingElse(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.hold(3)
		stop := n.sweeping()
		pass(59 * time.Minute)
		if got := n.statuses(); got[ledger.Held] != 3 {
			t.Errorf("a minute before their time: %v", got)
		}
		pass(3 * time.Minute)
		if got := n.statuses(); got[ledger.Expired] != 3 {
			t.Errorf("two minutes after their time: %v", got)
		}
		stop()
		synctest.Wait()
		looked := n.store.looks()
		pass(time.Hour)
		if n.store.looks() != looked {
			t.Error("a sweep that was stopped still looks")
		}
		defer n.sweeping()() // and starts again
		pass(2 * time.Minute)
		if n.store.looks() == looked {
			t.Error("a sweep that was started again does not look")
		}
	})
}

func TestSweep_ABacklogIsReleasedWithoutPauses(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.hold(1200)
		pass(2 * time.Hour)
		defer n.sweeping()()
		if got := n.statuses(); got[ledger.Expired] != 1200 {
			t.Errorf("at once: %v", got)
		}
		pass(10 * time.Minute)
		if n.store.looks() > 30 {
			t.Errorf("looked %d times in ten minutes, once nothing was left", n.store.looks())
		}
	})
}

func TestSweep_AHoldThatCanNotBeReleasedKeepsNoOther(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.hold(5)
		pass(2 * time.Hour)
		n.store.onCommit = func(c ledger.Changes) ending {
			if c.Records[0].Target == id.TransactionOf(brand, "hold0") {
				return ending{lost: true, err: internal}
			}
			return ending{}
		}
		stop := n.sweeping()
		if got := n.statuses(); got[ledger.Expired] != 4 {
			t.Errorf("%v, want the four behind the broken one released", got)
		}
		stop()
		synctest.Wait()
		n.store.onCommit = nil
		defer n.sweeping()()
		if got := n.statuses(); got[ledger.Expired] != 5 {
			t.Errorf("once it is mended: %v", got)
		}
	})
}

func TestSweep_ComesBackAfterAFailureAndEndsWithTheNode(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		n.hold(700)
		pass(2 * time.Hour)
		n.store.goBlind(errors.New("no database"))
		defer n.sweeping()()
		pass(2 * time.Minute)
		if looked := n.store.looks(); looked < 1 || looked > 5 {
			t.Errorf("looked %d times in two minutes without a database", looked)
		}
		if err := n.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.store.goBlind(nil)
		pass(2 * time.Minute)
		if looked := n.store.looks(); looked > 10 {
			t.Errorf("looked %d times on a node that drains", looked)
		}
	})
}

func TestSweep_SeveralNodesReleaseEachHoldOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		const nodes, holds = 3, 20
		var servers []server
		for range nodes {
			servers = append(servers, newServer(t, d, commit.Options{}, db.Options{Writers: 3, Readers: 3}))
		}
		s := servers[0]
		openBooks(t, s)
		for _, k := range keys("lasting", 2) {
			do(t, s, move(ledger.KindHold, k, "a", "b", 1))
		}
		for _, k := range keys("hold", holds) {
			c := move(ledger.KindHold, k, "a", "b", 1)
			c.ExpiresIn = time.Millisecond
			do(t, s, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var sweeps sync.WaitGroup
		for _, s := range servers {
			sweeps.Go(func() { s.Sweep(ctx, s.Store, 5*time.Millisecond) })
		}
		for ends := time.Now().Add(20 * time.Second); ; {
			expired, err := s.ExpiredHolds(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(expired) == 0 || time.Now().After(ends) {
				break
			}
		}
		cancel()
		sweeps.Wait()

		outcomes := 0.0
		for _, s := range servers {
			if err := s.Drain(t.Context()); err != nil { // the last group may not have counted itself yet
				t.Fatal(err)
			}
			outcomes += metricOf(t, s.metrics, "meridian_outcomes_total", "expire")
		}
		if outcomes != holds {
			t.Errorf("%v holds were released first by somebody, want each of %d once", outcomes, holds)
		}
		a, err := s.Account(t.Context(), ledger.Ref{Ledger: brand, Account: "a"}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(a.Outgoing()) != "2" || a.Sequence != 1+2+2*holds {
			t.Errorf("%s still held after %d entries, want the two that last", a.Outgoing(), a.Sequence)
		}
		wantBooks(t, s, "b", 2+2*holds, 0)
	})
}
