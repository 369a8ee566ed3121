package db

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// State is what a database host said when it was last asked.
type State string

// The states. Only a host that answers is lent connections, while there is one.
const (
	Answers  State = "answers"
	ReadOnly State = "read_only" // a standby, or otherwise not what target_session_attrs asks for
	Refuses  State = "refuses"   // it hangs up, or nobody listens there
	Silent   State = "silent"    // not a word within the time that it has
)

// Host is what is known of a host that the URL names.
type Host struct {
	Address     string // with its port
	Region      string // as the database has it; empty: it has none, or was never reached
	State       State
	RoundTrip   time.Duration // smoothed; 0: never measured
	Connections int           // of the pools
}

// nearest sends connections to the hosts of our own region, and to the others while those do not answer. It is safe for concurrent use.
//
// Each connection is made by a configuration of its own (direct), which has the hosts in the order of the moment. A connection is known by its
// line, so that one to a host that has gone silent can be cut: whoever waits for an answer there learns it at once and asks elsewhere. watch
// (probe.go) asks the hosts how they are.
type nearest struct {
	region   string // ours
	regional bool   // the engine has regions; otherwise the order of the URL is the order of preference
	engine   Engine
	base     *pgx.ConnConfig
	log      *slog.Logger
	hosts    []*host
	nudged   chan struct{} // a connection could not be made: look at once

	stop    context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	addresses map[string]*host // by what was dialled
	uses      string           // where the connections were when it was last logged
}

// host is a host of the URL. What is not said to be the prober's is guarded by the lock of nearest.
type host struct {
	address string
	name    string
	port    uint16
	entries []*pgconn.FallbackConfig // one, or two where TLS is tried first and then not

	region    string
	state     State // empty: never asked
	streak    int   // how often in a row it has answered
	roundTrip time.Duration
	lines     map[*line]struct{}

	conn *pgx.Conn // the prober's
}

// line is a connection to a host.
type line struct {
	net.Conn
	near    *nearest
	host    *host
	pooled  atomic.Bool
	retired atomic.Bool // it works, and others are nearer
}

// Close forgets the line.
func (l *line) Close() error {
	l.near.mu.Lock()
	delete(l.host.lines, l)
	l.near.mu.Unlock()
	return l.Conn.Close()
}

// lineOf returns the line of a connection.
func lineOf(conn *pgconn.PgConn) *line {
	under := conn.Conn()
	if encrypted, is := under.(*tls.Conn); is {
		under = encrypted.NetConn()
	}
	l, _ := under.(*line)
	return l
}

// newNearest knows the hosts of a configuration, and nothing of them.
func newNearest(base *pgx.ConnConfig, region string, log *slog.Logger) *nearest {
	n := &nearest{region: region, base: base, log: log, nudged: make(chan struct{}, 1), addresses: map[string]*host{}}
	byAddress := map[string]*host{}
	for _, e := range append([]*pgconn.FallbackConfig{{Host: base.Host, Port: base.Port, TLSConfig: base.TLSConfig}}, base.Fallbacks...) {
		address := net.JoinHostPort(e.Host, fmt.Sprint(e.Port))
		h := byAddress[address]
		if h == nil {
			h = &host{address: address, name: e.Host, port: e.Port, lines: map[*line]struct{}{}}
			byAddress[address], n.hosts = h, append(n.hosts, h)
		}
		h.entries = append(h.entries, e)
	}
	return n
}

// snapshot returns what is known, in the order of the URL.
func (n *nearest) snapshot() []Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known()
}

// known is snapshot, under the lock.
func (n *nearest) known() []Host {
	hosts := make([]Host, len(n.hosts))
	for i, h := range n.hosts {
		hosts[i] = Host{Address: h.address, Region: h.region, State: h.state, RoundTrip: h.roundTrip}
		for l := range h.lines {
			if l.pooled.Load() {
				hosts[i].Connections++
			}
		}
	}
	return hosts
}

// order returns the places of hosts as a new connection should try them: those that answer before those that do not; where there are
// regions, our own first, then the one with the shortest round trip, and within a region the host with the fewest connections, or as turn, a
// permutation, has it. Without regions the given order stays.
func order(hosts []Host, own string, regional bool, turn []int) []int {
	far := map[string]time.Duration{} // the shortest round trip to a region
	for _, h := range hosts {
		if d, found := far[h.Region]; h.State == Answers && (!found || h.RoundTrip < d) {
			far[h.Region] = h.RoundTrip
		}
	}
	last := map[State]int{ReadOnly: 1, Refuses: 2, Silent: 3} // who does not answer costs the least time where it says so
	places := make([]int, len(hosts))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(i, j int) int {
		a, b := hosts[i], hosts[j]
		if c := cmp.Compare(last[a.State], last[b.State]); c != 0 || !regional {
			return c
		}
		away := func(h Host) int {
			if h.Region == own {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(away(a), away(b)), cmp.Compare(far[a.Region], far[b.Region]), cmp.Compare(a.Region, b.Region),
			cmp.Compare(a.Connections, b.Connections), cmp.Compare(turn[i], turn[j]))
	})
	return places
}

// Where says where the connections to hosts are, for a person: "own region", or the other regions that some of them are in. It is empty where
// there are no connections, or no regions.
func Where(hosts []Host, own string) string {
	total, elsewhere := 0, map[string]int{}
	for _, h := range hosts {
		if h.Region == "" {
			continue
		}
		total += h.Connections
		if h.Region != own && h.Connections > 0 {
			elsewhere[h.Region] += h.Connections
		}
	}
	switch {
	case total == 0:
		return ""
	case len(elsewhere) == 0:
		return "own region"
	}
	regions := slices.SortedFunc(maps.Keys(elsewhere), func(a, b string) int {
		return cmp.Or(cmp.Compare(elsewhere[b], elsewhere[a]), cmp.Compare(a, b))
	})
	return "fallback: " + strings.Join(regions, ", ")
}

// direct makes a configuration try the hosts in the order of the moment, and its connection known by its line.
func (n *nearest) direct(config *pgx.ConnConfig, pooled bool) {
	n.mu.Lock()
	places := order(n.known(), n.region, n.regional, rand.Perm(len(n.hosts)))
	n.mu.Unlock()
	config.Fallbacks = nil
	for i, place := range places {
		for j, e := range n.hosts[place].entries {
			if i == 0 && j == 0 {
				config.Host, config.Port, config.TLSConfig = e.Host, e.Port, e.TLSConfig
				continue
			}
			config.Fallbacks = append(config.Fallbacks, e)
		}
	}
	if len(n.hosts) > 1 && !n.regional && config.ValidateConnect == nil {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // a standby is of no use to a ledger
	}
	config.LookupFunc = n.lookup(config.LookupFunc)
	var made atomic.Bool
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return n.dial(ctx, network, address, made.Load())
	}
	config.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		made.Store(true)
		if l := lineOf(conn); l != nil {
			l.pooled.Store(pooled)
		}
		return nil
	}
}

// lookupTimeout bounds the question for an address: names of hosts that are not wanted are looked up as well.
const lookupTimeout = time.Second

// lookup remembers which host has which address.
func (n *nearest) lookup(ask pgconn.LookupFunc) pgconn.LookupFunc {
	return func(ctx context.Context, name string) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		found, err := ask(ctx, name)
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, h := range n.hosts {
			if h.name != name {
				continue
			}
			for _, ip := range found {
				_, address := pgconn.NetworkAddress(ip, h.port)
				n.addresses[address] = h
			}
		}
		return found, err
	}
}

// at returns the host of an address that was looked up, or of a socket of this machine.
func (n *nearest) at(address string) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.addresses[address]; h != nil {
		return h
	}
	for _, h := range n.hosts {
		if _, socket := pgconn.NetworkAddress(h.name, h.port); socket == address {
			return h
		}
	}
	return nil
}

var errSilent = errors.New("the host is silent")

// dial makes a line. The driver also dials to cancel what a broken connection of the same configuration was at; to a silent host that would
// keep the place in the pool for a quarter of a minute.
func (n *nearest) dial(ctx context.Context, network, address string, cancels bool) (net.Conn, error) {
	h := n.at(address)
	if h != nil && cancels && n.silent(h) {
		return nil, errSilent
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		n.nudge()
		return nil, err
	}
	if h == nil {
		return conn, nil
	}
	l := &line{Conn: conn, near: n, host: h}
	n.mu.Lock()
	defer n.mu.Unlock()
	h.lines[l] = struct{}{}
	return l, nil
}

func (n *nearest) silent(h *host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return h.state == Silent && n.answered()
}

// nudge asks for a look at the hosts, now.
func (n *nearest) nudge() {
	select {
	case n.nudged <- struct{}{}:
	default:
	}
}

// keeps tells whether a connection of a pool may be lent.
func (n *nearest) keeps(conn *pgx.Conn) bool {
	l := lineOf(conn.PgConn())
	if l == nil || len(n.hosts) == 1 {
		return true
	}
	if l.retired.Load() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.host.state == Answers || !n.answered()
}

// answered tells, under the lock, whether any host answers.
func (n *nearest) answered() bool {
	return slices.ContainsFunc(n.hosts, func(h *host) bool { return h.state == Answers })
}

// wanted returns, under the lock, the hosts that connections should go back to, or none where they may stay: ours, once they have answered
// twice in a row; without regions, the first one that answers.
func (n *nearest) wanted() []*host {
	var wanted []*host
	for _, h := range n.hosts {
		switch {
		case h.state != Answers:
		case n.regional && h.region == n.region && h.streak >= steady:
			wanted = append(wanted, h)
		case !n.regional && h.streak >= steady:
			return []*host{h}
		case !n.regional:
			return nil
		}
	}
	return wanted
}

// steady is how often in a row a host has to answer before connections come back to it from elsewhere.
const steady = 2

// retire marks connections of the pools that are not to be lent any more, and makes the pools look at those that nobody uses: all to hosts that
// do not answer while others do, and a third of those that should go back. A third at a time is jitter enough: no host meets all our
// connections at once. Those in use end when they are next to be lent.
func (n *nearest) retire(ctx context.Context, pools []*pgxpool.Pool) {
	ended := n.mark()
	for _, p := range pools {
		if !ended {
			return
		}
		for _, c := range p.AcquireAllIdle(ctx) { // asks keeps
			c.Release()
		}
	}
}

// mark tells whether there are connections that retire, also from earlier.
func (n *nearest) mark() (found bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answered, wanted := n.answered(), n.wanted()
	var strays []*line
	for _, h := range n.hosts {
		for l := range h.lines { // in no order
			switch {
			case !l.pooled.Load():
			case answered && h.state != Answers:
				l.retired.Store(true)
				found = true
			case len(wanted) > 0 && !slices.Contains(wanted, h):
				strays = append(strays, l)
			}
		}
	}
	for _, l := range strays[:(len(strays)+2)/3] {
		l.retired.Store(true)
	}
	return found || len(strays) > 0
}
