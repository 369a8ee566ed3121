package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
)

// seat is where a server stands, one process after another. Clients know the seat and not the process.
type seat struct {
	name      string
	now       atomic.Pointer[server]
	transport http.RoundTripper
	stopped   bool // by SIGSTOP
}

// RoundTrip sends a request to the process of the moment.
func (s *seat) RoundTrip(r *http.Request) (*http.Response, error) {
	u, err := url.Parse(s.now.Load().URL)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = u.Scheme, u.Host
	return s.transport.RoundTrip(r)
}

func (s *seat) http() *http.Client       { return &http.Client{Transport: s} }
func (s *seat) events() *rpc.EventClient { return rpc.NewEventClient(s.http(), "http://"+s.name) }

// alive tells whether a process is there and not stopped.
func (s *seat) alive() bool {
	select {
	case <-s.now.Load().ended:
		return false
	default:
		return !s.stopped
	}
}

// owns tells whether the owner of a lease is the process.
func (s *seat) owns(owner string) bool {
	return strings.Contains(owner, fmt.Sprintf("/%d/", s.now.Load().cmd.Process.Pid))
}

func (s *seat) signal(sig syscall.Signal) { _ = s.now.Load().cmd.Process.Signal(sig) } // one that is gone needs none

// loss is an owner that was stopped or killed while it had the lease of a home.
type loss struct {
	home  id.Home
	owner string
	how   string
	at    time.Time
}

// holding is a lease as it was first seen.
type holding struct {
	home  id.Home
	owner string
	at    time.Time
}

// leases watches who has which home, past the faults.
type leases struct {
	mu   sync.Mutex
	seen []holding
}

func (l *leases) watch(ctx context.Context, books *store.Store, homes []id.Home) {
	const every = 50 * time.Millisecond
	for tick := time.NewTicker(every); ctx.Err() == nil; {
		for _, home := range homes {
			if h, err := books.Holding(ctx, home); err == nil && h.Owner != "" && h.Left > 0 && h.Owner != l.owner(home) {
				l.mu.Lock()
				l.seen = append(l.seen, holding{home, h.Owner, time.Now()})
				l.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (l *leases) owner(home id.Home) (name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.seen {
		if h.home == home {
			name = h.owner
		}
	}
	return name
}

// takeover is how long a home was without an owner after a loss, or false where nobody else has it.
func (l *leases) takeover(of loss) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.seen {
		if h.home == of.home && h.owner != of.owner && h.at.After(of.at) {
			return h.at.Sub(of.at), true
		}
	}
	return 0, false
}
