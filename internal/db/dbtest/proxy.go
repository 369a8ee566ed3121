package dbtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy stands between a server of ours and the database, counts round trips, and breaks the line where a test wants it broken. It knows
// the framing of the PostgreSQL protocol, and of its meaning only which COMMIT ends a transaction that has inserted into journal. It
// speaks in the clear on both sides. It is safe for concurrent use.
type Proxy struct {
	url           string
	network, addr string // of the database
	listener      net.Listener
	running       sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]struct{}
	closed bool
	away   bool
	mute   bool // links begin stalled
	fault  Fault
	left   int // of fault.Times
	random *rand.Rand
	cuts   int
	trips  int
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

// Fault is what befalls transactions that insert into journal, at their COMMIT: both sides of the connection are cut.
type Fault struct {
	At          Moment
	Times       int     // at most so many; 0: until Heal
	Probability float64 // of each; 0: every one
	Seed        uint64  // of the probability
	Away        bool    // with the first cut the database goes away: see Away
}

// NewProxy starts a proxy in front of the database of a URL; it ends with the test.
func NewProxy(t testing.TB, rawURL string) *Proxy {
	t.Helper()
	p, err := newProxy(rawURL)
	if err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

func newProxy(rawURL string) (*Proxy, error) {
	config, err := pgconn.ParseConfig(rawURL)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the database: %w", err)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the database: %w", err)
	}
	p := &Proxy{links: map[*link]struct{}{}}
	p.network, p.addr = pgconn.NetworkAddress(config.Host, config.Port)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	u.Host = p.listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	p.url = u.String()
	p.running.Go(p.accept)
	return p, nil
}

// URL is that of the database, by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// Inject begins a fault, in place of an earlier one.
func (p *Proxy) Inject(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.left, p.random = f, f.Times, rand.New(rand.NewPCG(f.Seed, f.Seed))
}

// CutAll cuts the connections that there are.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
}

// Away cuts all connections and refuses new ones until Heal.
func (p *Proxy) Away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goAway()
}

// Stall keeps the connections that there are open and lets no byte pass until Heal, as happens where a node dies without a word. New
// connections work.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall()
}

func (p *Proxy) stall() {
	for l := range p.links {
		if l.stalled == nil {
			l.stalled = make(chan struct{})
		}
	}
}

// Silence is Stall for new connections as well: they are accepted, and nobody says a word.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
	p.stall()
}

// Links returns how many connections there are.
func (p *Proxy) Links() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Heal ends Inject, Away, Stall and Silence.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.away, p.mute = Fault{}, false, false
	p.flow()
}

// Cuts returns how many commits the faults have cut.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// RoundTrips returns how often clients have sent something and waited until the database was ready for more, over all connections; making
// a connection does not count.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

// Close cuts all connections and returns when nothing of the proxy is left. It may be called again.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close()
	p.flow()
	p.cutAll()
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) goAway() {
	p.away = true
	p.cutAll()
}

func (p *Proxy) cutAll() {
	for l := range p.links {
		l.cut()
	}
}

func (p *Proxy) flow() {
	for l := range p.links {
		if l.stalled != nil {
			close(l.stalled)
			l.stalled = nil
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.running.Go(func() { p.serve(client) })
		}
	}
}

// serve connects a client with the database until one of them, or the proxy, hangs up.
func (p *Proxy) serve(client net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := new(net.Dialer).DialContext(ctx, p.network, p.addr)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server, ended: make(chan struct{}), statements: map[string]role{}}
	if !p.enter(l) {
		l.cut()
		return
	}
	defer p.leave(l)
	var answers sync.WaitGroup
	answers.Go(func() {
		l.fromServer()
		l.cut()
	})
	l.fromClient()
	l.cut()
	answers.Wait()
}

func (p *Proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.away {
		return false
	}
	p.links[l] = struct{}{}
	if p.mute {
		l.stalled = make(chan struct{})
	}
	return true
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// doomed decides what becomes of a commit; zero: nothing.
func (p *Proxy) doomed() Moment {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.fault
	if f.At == 0 || f.Times > 0 && p.left == 0 || f.Probability > 0 && p.random.Float64() >= f.Probability {
		return 0
	}
	p.left--
	return f.At
}

// spared takes back a decision: the database itself refused the commit.
func (p *Proxy) spared() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left++
}

// cutCommit cuts the line of a commit.
func (p *Proxy) cutCommit(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts++
	l.cut()
	if p.fault.Away {
		p.goAway()
	}
}

func (p *Proxy) tripped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
}

// gate returns what a link has to wait for before bytes may pass; nil: nothing.
func (p *Proxy) gate(l *link) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.stalled
}
