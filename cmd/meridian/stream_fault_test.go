package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// act is a step of a plan.
type act struct {
	at   time.Duration
	what string // stop, continue, kill, start, cut, away, doom, spare, pause or resume
	home id.Home
	name string // of a subscription
	n    uint64 // draws all else
}

func (a act) String() string {
	return strings.TrimSpace(fmt.Sprintf("%5.1fs %s %s%s %d", a.at.Seconds(), a.what, a.home, a.name, a.n%10))
}

// round is how long it takes to lose a paused owner, and then a killed one: each with the time that a lease needs to end.
const round = 20 * time.Second

// newPlan draws rounds of faults: in each, the owner of a home is paused for longer than a lease lasts, and later one is killed; connections
// are cut, commits are cut, the database is away, and subscriptions are paused, at any time.
func newPlan(seed uint64, rounds int, homes []id.Home, subscriptions []string) []act {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(low, high float64) time.Duration {
		return time.Duration((low + random.Float64()*(high-low)) * float64(time.Second))
	}
	var plan []act
	for r := range rounds {
		add := func(at time.Duration, what, subscription string) {
			plan = append(plan, act{
				at: time.Duration(r)*round + at, what: what, home: homes[random.IntN(len(homes))], name: subscription, n: random.Uint64(),
			})
		}
		stop, kill := between(0.5, 1.5), between(10.5, 11.5)
		add(stop, "stop", "")
		add(stop+between(7.2, 8.8), "continue", "")
		add(kill, "kill", "")
		add(kill+between(0.1, 2), "start", "")
		for range 3 {
			add(between(0, 19), "cut", "")
		}
		add(between(2, 18), "away", "")
		for range 2 {
			doom := between(0, 18)
			add(doom, "doom", "")
			add(doom+between(0.5, 2), "spare", "")
		}
		for _, s := range subscriptions {
			if pause := between(0, 16.5); random.IntN(3) > 0 {
				add(pause, "pause", s)
				add(pause+between(0.3, 3), "resume", s)
			}
		}
	}
	slices.SortStableFunc(plan, func(a, b act) int { return int(a.at - b.at) })
	return plan
}

// faults is a plan at work.
type faults struct {
	proxy  *dbtest.Proxy
	homes  []id.Home
	seats  []*seat
	leases *leases
	losses []loss
	start  func() *server
}

// run follows a plan, and then ends all that is still wrong.
func (f *faults) run(t *testing.T, plan []act, lasts time.Duration) {
	t.Helper()
	began := time.Now()
	for _, a := range plan {
		time.Sleep(time.Until(began.Add(a.at)))
		t.Logf("%5.1fs %s", time.Since(began).Seconds(), f.do(t, a))
	}
	time.Sleep(time.Until(began.Add(lasts)))
	f.proxy.Heal()
}

// do returns what was done, for the log.
func (f *faults) do(t *testing.T, a act) string {
	t.Helper()
	switch a.what {
	case "stop":
		s := f.victim(a)
		f.lose(s, "stopped")
		s.signal(syscall.SIGSTOP)
		s.stopped = true
		return "stopped " + s.name + f.had(s)
	case "continue":
		for _, s := range f.seats {
			if s.stopped {
				s.signal(syscall.SIGCONT)
				s.stopped = false
			}
		}
		return "continued, later than its lease lasted"
	case "kill":
		s := f.victim(a)
		f.lose(s, "killed")
		said := "killed " + s.name + f.had(s)
		s.signal(syscall.SIGKILL)
		<-s.now.Load().ended
		return said
	case "start":
		for _, s := range f.seats {
			if !s.alive() && !s.stopped {
				s.now.Store(f.start())
			}
		}
		return "started another"
	case "cut":
		f.proxy.CutAll()
		return "cut all connections to the database"
	case "away":
		f.proxy.Away()
		gone := time.Duration(100+a.n%500) * time.Millisecond
		time.Sleep(gone)
		f.proxy.Heal()
		return fmt.Sprintf("the database was away for %s", gone)
	case "doom":
		moment := []dbtest.Moment{dbtest.BeforeServer, dbtest.AfterServer}[a.n%2]
		f.proxy.Inject(dbtest.Fault{At: moment, Probability: 0.1, Seed: a.n})
		return "one commit of ten is cut " + moment.String()
	case "spare":
		f.proxy.Heal()
		return "commits pass"
	case "pause", "resume":
		return f.operate(t, a)
	}
	t.Fatalf("no such act: %s", a)
	return ""
}

// victim is the owner of the act's home, or else any that runs.
func (f *faults) victim(a act) *seat {
	owner := f.leases.owner(a.home)
	for _, s := range f.seats {
		if s.alive() && s.owns(owner) {
			return s
		}
	}
	for i := range f.seats {
		if s := f.seats[(int(a.n%16)+i)%len(f.seats)]; s.alive() {
			return s
		}
	}
	return f.seats[0]
}

// lose notes the homes that are without an owner from now on.
func (f *faults) lose(s *seat, how string) {
	for _, home := range f.homes {
		if owner := f.leases.owner(home); s.owns(owner) {
			f.losses = append(f.losses, loss{home, owner, how, time.Now()})
		}
	}
}

func (f *faults) had(s *seat) string {
	said := ""
	for _, home := range f.homes {
		if s.owns(f.leases.owner(home)) {
			said += ", which worked on " + string(home)
		}
	}
	return said
}

// operate pauses or resumes a subscription at any node that answers.
func (f *faults) operate(t *testing.T, a act) string {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for _, s := range f.seats {
			if !s.alive() {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if a.what == "pause" {
				_, err = s.events().Pause(ctx, a.name, "a drill")
			} else {
				_, err = s.events().Resume(ctx, a.name)
			}
			cancel()
			if err == nil {
				return a.what + "d subscription " + a.name + " at " + s.name
			}
			if !errs.Transient(err) {
				t.Fatalf("%s: %v", a, err)
			}
		}
	}
	t.Fatalf("%s: %v", a, err)
	return ""
}
