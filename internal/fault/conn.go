package fault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// segment is how much is read at once, and so what is delayed or lost together.
	segment = 16 << 10
	// maxQueued bounds the bytes of one direction that are on their way, by at most one segment more. At 100 ms one way it still lets 10 MB a
	// second pass.
	maxQueued = 1 << 20
	// retransmission is TCP's smallest timeout on Linux; it doubles for each loss of the same segment.
	retransmission    = 200 * time.Millisecond
	maxRetransmission = 7
	// dialPatience is about how long a kernel tries to connect. It matters where a target is stopped and its queue of connections is full.
	dialPatience = 2 * time.Minute
)

// socket is a TCP connection or a Unix one.
type socket interface {
	net.Conn
	CloseWrite() error
}

// conn is one connection through a link: two sockets, and a pipe for each direction with a goroutine at both of its ends.
type conn struct {
	link   *Link
	serial int64
	target string
	watch  watch
	over   chan struct{} // closed by end
	halves atomic.Int32  // directions whose end has been delivered
	joined atomic.Bool   // the handshake is over

	forward, backward pipe

	mu             sync.Mutex
	client, server socket // server is nil until it was dialed
	ended          bool
}

func newConn(l *Link, client net.Conn, serial int64, target string) *conn {
	c := &conn{link: l, serial: serial, target: target, over: make(chan struct{})}
	c.client, _ = client.(socket) // a *net.TCPConn, from a TCP listener
	c.watch = watch{link: l, statements: map[string]role{}}
	c.forward = newPipe(c, false, &l.forward)
	c.backward = newPipe(c, true, &l.backward)
	return c
}

// serve moves bytes until both sides have hung up, one of them was reset, or the link ends it.
func (c *conn) serve() {
	defer c.end(false)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.forward.read(c.client) })
	server, ok := c.join()
	if !ok {
		c.end(true)
		return
	}
	running.Go(func() { c.backward.read(server) })
	running.Go(func() { c.forward.write(server) })
	c.backward.write(c.client)
}

// join makes the connection to the target, as a handshake would: one way there, one way back.
func (c *conn) join() (socket, bool) {
	begun := time.Now()
	if _, ok := c.await(false, func(w Condition) time.Time { return begun.Add(w.Delay) }); !ok {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	defer cancel()
	go func() { // the end of the connection ends the dial
		select {
		case <-c.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	network := "tcp"
	if strings.HasPrefix(c.target, "/") {
		network = "unix"
	}
	dialed, err := new(net.Dialer).DialContext(ctx, network, c.target)
	if err == nil && !c.adopt(dialed) {
		_ = dialed.Close()
		return nil, false
	}
	answered := time.Now()
	if _, ok := c.await(true, func(w Condition) time.Time { return answered.Add(w.Delay) }); !ok {
		return nil, false
	}
	if err != nil {
		if c.end(true) {
			c.link.reset.Add(1)
		}
		return nil, false
	}
	c.forward.free = time.Now() // what the client has sent meanwhile begins its way now
	c.joined.Store(true)
	server, ok := dialed.(socket)
	return server, ok
}

// adopt makes a dialed connection part of c, unless c is over.
func (c *conn) adopt(dialed net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.server, _ = dialed.(socket) // *net.TCPConn or *net.UnixConn
	return true
}

// end closes both sides, once; with reset they hear of it by an RST, and what they have not read is lost. It says whether it was the first.
func (c *conn) end(reset bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.ended = true
	close(c.over)
	for _, s := range []socket{c.client, c.server} {
		if s == nil {
			continue
		}
		if tcp, ok := s.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = s.Close()
	}
	return true
}

// interrupt makes writes that block return, and look at the state again.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range []socket{c.client, c.server} {
		if s != nil {
			_ = s.SetWriteDeadline(time.Unix(1, 0))
		}
	}
}

// await returns when the direction is open and the time has come that due makes of its condition, which it returns; false: the connection
// is over. A change of the condition counts at once.
func (c *conn) await(back bool, due func(Condition) time.Time) (Condition, bool) {
	for {
		now := c.link.state.Load()
		condition := now.of(back)
		var come <-chan time.Time
		if !condition.Drop && c.serial > now.frozen {
			wait := time.Until(due(condition))
			if wait <= 0 {
				return condition, !c.isOver()
			}
			timer := time.NewTimer(wait)
			defer timer.Stop() // a second turn of the loop is rare
			come = timer.C
		}
		select {
		case <-come:
		case <-now.changed:
		case <-c.over:
			return condition, false
		}
	}
}

func (c *conn) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// dropping says whether either direction is a black hole now.
func (c *conn) dropping() bool {
	s := c.link.state.Load().shape
	return s.Forward.Drop || s.Backward.Drop
}

// pipe is one direction of a connection: bytes on their way, in order, each with the time it left.
type pipe struct {
	c     *conn
	back  bool
	moved *atomic.Int64 // bytes
	free  time.Time     // when the line has sent what came before; of the writer

	more, room chan struct{} // signals to the writer and to the reader, never blocking

	mu     sync.Mutex
	queue  []item
	queued int // bytes in it
}

// item is a piece of the stream, or its end.
type item struct {
	data         []byte
	end          ending
	at           time.Time
	jitter, luck float64 // drawn once, from 0 to 1, so that a change of the condition does not draw again
}

// ending says how a stream ends.
type ending uint8

const (
	goesOn ending = iota
	hungUp        // the rest of the connection may live on
	wasReset
	commitCut
)

func newPipe(c *conn, back bool, moved *atomic.Int64) pipe {
	return pipe{c: c, back: back, moved: moved, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// put takes a piece or an end on its way. It waits while too much is on its way already; false: the connection is over.
func (p *pipe) put(data []byte, end ending) bool {
	if len(data) == 0 && end == goesOn {
		return true
	}
	i := item{data: data, end: end, at: time.Now(), jitter: rand.Float64(), luck: rand.Float64()}
	for {
		p.mu.Lock()
		if fits := end != goesOn || p.queued < maxQueued; fits {
			p.queue = append(p.queue, i)
			p.queued += len(data)
			p.mu.Unlock()
			signal(p.more)
			return true
		}
		p.mu.Unlock()
		select {
		case <-p.room:
		case <-p.c.over:
			return false
		}
	}
}

// take returns what is next; false: the connection is over.
func (p *pipe) take() (item, bool) {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			i := p.queue[0]
			p.queue[0] = item{} // its bytes are not kept by the array
			p.queue = p.queue[1:]
			p.queued -= len(i.data)
			p.mu.Unlock()
			signal(p.room)
			return i, true
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-p.c.over:
			return item{}, false
		}
	}
}

// read takes what the source says on its way, until it ends.
func (p *pipe) read(from socket) {
	buffer := make([]byte, segment)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			data, cut := p.c.watch.read(p.back, buffer[:n])
			if !p.put(data, goesOn) {
				return
			}
			if cut {
				p.put(nil, commitCut)
				return
			}
		}
		if err == nil {
			continue
		}
		if !p.c.joined.Load() && p.c.dropping() {
			p.c.end(false) // a client that gave up on a handshake: the target never hears of it
			return
		}
		p.put(p.c.watch.rest(p.back), goesOn)
		if errors.Is(err, syscall.ECONNRESET) {
			p.put(nil, wasReset)
		} else {
			p.put(nil, hungUp)
		}
		return
	}
}

// write delivers, until the connection is over.
func (p *pipe) write(to socket) {
	for {
		i, ok := p.take()
		if !ok {
			return
		}
		if i.end != goesOn {
			if _, ok := p.c.await(p.back, func(c Condition) time.Time { return p.arrival(i, c) }); !ok {
				return
			}
			p.deliverEnd(i.end, to)
			continue
		}
		if err := p.deliver(i, to); err != nil {
			p.c.other(p).put(nil, wasReset) // who receives no more answers with a reset
			<-p.c.over
			return
		}
	}
}

// deliver writes a piece when its time has come.
func (p *pipe) deliver(i item, to socket) error {
	for len(i.data) > 0 {
		condition, ok := p.c.await(p.back, func(c Condition) time.Time { return p.arrival(i, c) })
		if !ok {
			return nil // take says so again
		}
		p.free = p.departure(i, condition)
		n, err := to.Write(i.data[:condition.piece(len(i.data))])
		p.moved.Add(int64(n))
		i.data = i.data[n:]
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // see interrupt
			_ = to.SetWriteDeadline(time.Time{})
		case err != nil:
			return err
		}
	}
	return nil
}

func (p *pipe) deliverEnd(end ending, to socket) {
	switch end {
	case hungUp:
		_ = to.CloseWrite()
		if p.c.halves.Add(1) == 2 {
			p.c.end(false)
		}
	case wasReset:
		p.c.end(true)
	case commitCut:
		p.c.link.cutCommit(p.c)
	case goesOn:
	}
}

// other returns the other direction.
func (c *conn) other(p *pipe) *pipe {
	if p.back {
		return &c.forward
	}
	return &c.backward
}

// departure is when the line has sent the next piece of i.
func (p *pipe) departure(i item, c Condition) time.Time {
	begins := i.at
	if p.free.After(begins) {
		begins = p.free
	}
	if c.Rate > 0 {
		begins = begins.Add(time.Duration(float64(c.piece(len(i.data))) / float64(c.Rate) * float64(time.Second)))
	}
	return begins
}

// arrival is when the next piece of i is there.
func (p *pipe) arrival(i item, c Condition) time.Time {
	late := c.Delay + time.Duration(i.jitter*float64(c.Jitter)) + c.retransmissions(i.luck)
	return p.departure(i, c).Add(late)
}

// piece is how much of n bytes goes at once: on a narrow line not all, so that it trickles.
func (c Condition) piece(n int) int {
	if c.Rate <= 0 {
		return n
	}
	const packet, aSecond = 1460, 50
	return min(n, max(packet, int(c.Rate/aSecond)))
}

// retransmissions is how long a segment is held up by its losses. luck is uniform, so it is below Loss^n with the likelihood of n losses.
func (c Condition) retransmissions(luck float64) (wait time.Duration) {
	timeout, likelihood := retransmission, c.Loss
	for range maxRetransmission {
		if luck >= likelihood {
			break
		}
		wait, timeout, likelihood = wait+timeout, 2*timeout, likelihood*c.Loss
	}
	return wait
}
