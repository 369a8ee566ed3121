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
