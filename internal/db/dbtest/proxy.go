package dbtest

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/fault"
)

// Proxy stands between a server of ours and the database, counts round trips, and breaks the line where a test wants it broken. It speaks in
// the clear on both sides. It is safe for concurrent use.
type Proxy struct {
	url  string
	link *fault.Link
}

// Moment is where on its way a commit is lost.
type Moment = fault.Moment

// The two moments. To the client they look the same.
const (
	BeforeServer = fault.BeforeServer
	AfterServer  = fault.AfterServer
)

// Fault is what befalls transactions that insert into journal, at their COMMIT: both sides of the connection are cut.
type Fault = fault.CommitFault

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
	_, target := pgconn.NetworkAddress(config.Host, config.Port)
	link, err := fault.Listen(target)
	if err != nil {
		return nil, err
	}
	u.Host = link.Addr()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return &Proxy{url: u.String(), link: link}, nil
}

// URL is that of the database, by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// Inject begins a fault, in place of an earlier one.
func (p *Proxy) Inject(f Fault) { p.link.InjectCommits(f) }

// CutAll cuts the connections that there are.
func (p *Proxy) CutAll() { p.link.ResetAll() }

// Away cuts all connections and refuses new ones until Heal.
func (p *Proxy) Away() { p.link.Set(fault.Shape{Refuse: true}) }

// Stall keeps the connections that there are open and lets no byte pass until Heal, as happens where a node dies without a word. New
// connections work.
func (p *Proxy) Stall() { p.link.Freeze() }

// Silence is Stall for new connections as well: they are accepted, and nobody says a word.
func (p *Proxy) Silence() {
	mute := fault.Condition{Drop: true}
	p.link.Set(fault.Shape{Forward: mute, Backward: mute})
}

// Heal ends Inject, Away, Stall and Silence.
func (p *Proxy) Heal() {
	p.link.InjectCommits(fault.CommitFault{})
	p.link.Set(fault.Shape{})
	p.link.Thaw()
}

// Cuts returns how many commits the faults have cut.
func (p *Proxy) Cuts() int { return int(p.link.Stats().CommitsCut) }

// RoundTrips returns how often clients have sent something and waited until the database was ready for more, over all connections; making
// a connection does not count.
func (p *Proxy) RoundTrips() int { return int(p.link.Stats().RoundTrips) }

// Close cuts all connections and returns when nothing of the proxy is left. It may be called again.
func (p *Proxy) Close() { _ = p.link.Close() }
