// Package fault puts a TCP link between two programs and makes it misbehave: slow, lossy, narrow, silent, refused, in one direction or both.
//
// It promises: what two programs say through a link with the zero Shape arrives unchanged and in order; a condition takes effect at once, on
// live connections too; and no condition ever loses, repeats or reorders a byte that arrives later, because TCP does not either. Bytes that
// are dropped or lost are held back until the line is whole again, as a sender's retransmissions would do; only a reset ends a stream
// early. Whatever waits is bounded: beyond maxQueued bytes a direction stops reading, so that the sender feels it.
//
// It knows enough of the PostgreSQL protocol to count round trips and to lose a COMMIT on its way, see CommitFault. Other protocols pass
// through unread.
//
// It relies on nothing but loopback sockets. Look next at conn.go, which moves the bytes, and at postgres.go, which reads them.
package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Condition is what a direction of a link does to bytes. The zero value lets them pass.
type Condition struct {
	// Delay is added one way. Bytes sent after one another arrive after one another, each as late as the first: a delay costs no bandwidth.
	// A new connection pays it both ways before its first byte leaves, as a handshake does.
	Delay time.Duration
	// Jitter is added to the delay, uniformly from 0 up to this; order is kept.
	Jitter time.Duration
	// Rate is a bound in bytes a second; 0: none.
	Rate int64
	// Loss is how likely a segment (what one read takes, 16 KiB at most) is lost, from 0 to 1. TCP makes a delay of that: 200 ms, doubled for
	// each retransmission that is lost again, 7 at most. What comes behind waits as well.
	Loss float64
	// Drop is a black hole: no byte passes and nobody is told, not even of the end of the other side. What was sent meanwhile arrives when the
	// line is whole again. A new connection is accepted, because the kernel does that for every listener, and then hears nothing, which to a
	// client is a server that hangs instead of a dial that times out; the target hears nothing of it either.
	Drop bool
}

// Shape is what a link does. Forward is from who dials to the target.
type Shape struct {
	Forward, Backward Condition
	// Refuse resets live connections, and new ones as soon as they were accepted: the port stays ours, nobody else can take it meanwhile.
	Refuse bool
}

// Moment is where on its way a commit is lost.
type Moment uint8

// The two moments. To the client they look the same.
const (
	// BeforeServer: the client has sent COMMIT, and nothing of it reaches the database.
	BeforeServer Moment = iota + 1
	// AfterServer: the database has committed and said so, and nothing of that reaches the client.
	AfterServer
)

// String returns the moment as a name for a subtest.
func (m Moment) String() string {
	if m == BeforeServer {
		return "before the server"
	}
	return "after the server"
}

// CommitFault is what befalls transactions that insert into journal, at their COMMIT: both sides of the connection are cut.
type CommitFault struct {
	At          Moment  // 0: none
	Times       int     // at most so many; 0: until another fault takes its place
	Probability float64 // of each; 0: every one
	Seed        uint64  // of the probability
	Away        bool    // with the first cut the target goes away, as with Shape.Refuse
}

// Stats are counts since Listen.
type Stats struct {
	Forward, Backward int64 // bytes delivered
	Connections       int64 // accepted and not refused
	Live              int64 // of them, those that are there now
	Reset             int64 // reset by us: Refuse, ResetAll and targets that could not be reached
	CommitsCut        int64
	// RoundTrips is how often clients have sent something and waited until a PostgreSQL server was ready for more; making a connection does
	// not count.
	RoundTrips int64
}

// Link is a listener in front of a target. It is safe for concurrent use.
type Link struct {
	listener net.Listener
	running  sync.WaitGroup
	state    atomic.Pointer[state]

	forward, backward, made, reset, trips atomic.Int64

	mu     sync.Mutex // guards what follows, and taking the place of state
	target string
	conns  map[*conn]struct{}
	serial int64
	closed bool
	fault  CommitFault
	left   int // of fault.Times
	random *rand.Rand
	cuts   int64
}

// state is what connections go by. It is never changed, only replaced as a whole.
type state struct {
	shape   Shape
	frozen  int64         // connections up to this serial are held, see Freeze
	changed chan struct{} // closed when another one takes its place
}

// of returns the condition of a direction.
func (s *state) of(back bool) Condition {
	if back {
		return s.shape.Backward
	}
	return s.shape.Forward
}

// Listen opens a link on a free port of 127.0.0.1 in front of target, which is host:port, or the path of a Unix socket. Nobody needs to
// listen there yet: a client is reset as long as nobody does. Close it.
func Listen(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a link to %s: %w", target, err)
	}
	l := &Link{listener: listener, target: target, conns: map[*conn]struct{}{}}
	l.state.Store(&state{changed: make(chan struct{})})
	l.running.Go(l.accept)
	return l, nil
}

// Addr returns host:port to dial.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// SetTarget sends new connections elsewhere, as a changed DNS record does. Live ones stay where they are: ResetAll moves them too.
func (l *Link) SetTarget(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// Set changes the shape, in place of the one before.
func (l *Link) Set(s Shape) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(func(next *state) { next.shape = s })
	if s.Refuse {
		l.resetAll()
	}
}

// Shape returns what was set last.
func (l *Link) Shape() Shape { return l.state.Load().shape }

// Freeze holds every byte of the connections that there are now until Thaw, as a firewall does that has forgotten them. New ones work.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(func(next *state) { next.frozen = l.serial })
}

// Thaw ends Freeze.
func (l *Link) Thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(func(next *state) { next.frozen = 0 })
}

// ResetAll resets live connections on both sides. What is on its way is lost.
func (l *Link) ResetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resetAll()
}

// InjectCommits begins a fault, in place of an earlier one; the zero CommitFault ends it. It acts on connections that speak PostgreSQL in
// the clear.
func (l *Link) InjectCommits(f CommitFault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.left, l.random = f, f.Times, rand.New(rand.NewPCG(f.Seed, f.Seed))
}

// Stats returns what has happened since Listen.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Forward: l.forward.Load(), Backward: l.backward.Load(),
		Connections: l.made.Load(), Live: int64(len(l.conns)), Reset: l.reset.Load(),
		CommitsCut: l.cuts, RoundTrips: l.trips.Load(),
	}
}

// Close hangs up on everybody and returns when nothing of the link is left. It may be called again.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	err := l.listener.Close()
	for c := range l.conns {
		c.end(false)
	}
	l.mu.Unlock()
	l.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close a link: %w", err)
	}
	return nil
}

// replace puts a changed state in the place of the one there is. A write that blocks is interrupted, so that it sees the change.
func (l *Link) replace(change func(next *state)) {
	old := l.state.Load()
	next := *old
	next.changed = make(chan struct{})
	change(&next)
	l.state.Store(&next)
	close(old.changed)
	for c := range l.conns {
		c.interrupt()
	}
}

func (l *Link) resetAll() {
	for c := range l.conns {
		if c.end(true) {
			l.reset.Add(1)
		}
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(10 * time.Millisecond) // no file descriptor, most likely: somebody has to return one first
		default:
			l.welcome(client)
		}
	}
}

func (l *Link) welcome(client net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial++
	c := newConn(l, client, l.serial, l.target)
	if l.closed || l.state.Load().shape.Refuse {
		c.end(true)
		l.reset.Add(1)
		return
	}
	l.made.Add(1)
	l.conns[c] = struct{}{}
	l.running.Go(func() {
		c.serve()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	})
}

// doomed decides what becomes of a commit; zero: nothing.
func (l *Link) doomed() Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.fault
	if f.At == 0 || f.Times > 0 && l.left == 0 || f.Probability > 0 && l.random.Float64() >= f.Probability {
		return 0
	}
	l.left--
	return f.At
}

// spared takes back a decision: the database itself refused the commit.
func (l *Link) spared() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left++
}

// cutCommit cuts the line of a commit.
func (l *Link) cutCommit(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts++
	c.end(false)
	if l.fault.Away {
		l.replace(func(next *state) { next.shape.Refuse = true })
		l.resetAll()
	}
}
