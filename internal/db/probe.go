package db

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A host is asked about every second, on a connection that is kept for it, and answers within the first bound; otherwise it has the second
// one to take a new connection and answer there. So a host that dies without a word is known as silent 1.7 s later on average and 2.4 s at
// worst, while one that stops for a moment is not. Both bounds grow with the round trip.
const (
	probeEvery     = time.Second
	answerTimeout  = 500 * time.Millisecond
	connectTimeout = 700 * time.Millisecond
	firstConnect   = 2 * time.Second // to a host whose round trip nobody knows yet
	probeGap       = 100 * time.Millisecond
)

// finding is what a probe has found.
type finding struct {
	state     State
	region    string
	roundTrip time.Duration
	engine    Engine
	version   string
	err       error // why it does not answer
}

// survey asks all hosts at the same time for the first time. The errors are those of the hosts, where none answers.
func (n *nearest) survey(ctx context.Context) (Engine, string, error) {
	found := n.ask(ctx, n.hosts)
	all := make([]error, len(found))
	for i, f := range found {
		if f.err == nil {
			n.engine, n.regional = f.engine, f.engine.regional
			n.mu.Lock()
			defer n.mu.Unlock()
			n.learn(n.hosts, found)
			return f.engine, f.version, nil
		}
		all[i] = f.err
	}
	return Engine{}, "", errors.Join(all...)
}

// watch asks again and again until close. Hosts that serve do not wait for those that do not.
func (n *nearest) watch(pools []*pgxpool.Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.running.Go(func() {
		every(ctx, n.nudged, func() { n.round(ctx, pools) })
	})
	n.running.Go(func() {
		every(ctx, nil, func() { n.revisit(ctx) })
	})
}

// every calls look about every second, and when it is nudged, until the context ends.
func every(ctx context.Context, nudged <-chan struct{}, look func()) {
	for {
		timer := time.NewTimer(probeEvery*8/10 + rand.N(probeEvery*4/10))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-nudged:
			timer.Reset(probeGap) // many connections may fail at once
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		case <-timer.C:
		}
		timer.Stop()
		look()
	}
}

// close ends watch.
func (n *nearest) close() {
	if n.stop != nil {
		n.stop()
	}
	n.running.Wait()
	n.hangUp()
}

func (n *nearest) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	for _, h := range n.hosts {
		if h.conn != nil {
			_ = h.conn.Close(ctx) // it was good enough for a probe
			h.conn = nil
		}
	}
}

// those returns the hosts that answer, or those that do not.
func (n *nearest) those(answer bool) []*host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.hosts), func(h *host) bool { return (h.state == Answers) != answer })
}

// revisit looks whether hosts have come back.
func (n *nearest) revisit(ctx context.Context) {
	hosts := n.those(false)
	found := n.ask(ctx, hosts)
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() == nil {
		n.learn(hosts, found)
	}
}

// round asks the hosts that answered, and acts when all have answered or had their time: a host counts as silent only beside one that is
// not, or else it may be us.
func (n *nearest) round(ctx context.Context, pools []*pgxpool.Pool) {
	hosts := n.those(true)
	found := n.ask(ctx, hosts)
	if ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	n.learn(hosts, found)
	var dead []*line
	if n.answered() {
		for _, h := range n.hosts {
			if h.state == Silent {
				dead = slices.AppendSeq(dead, maps.Keys(h.lines))
			}
		}
	}
	where := Where(n.known(), n.region)
	moved := where != "" && where != n.uses
	if moved {
		n.uses = where
	}
	n.mu.Unlock()
	if moved {
		n.log.Info("where the connections to the database are", "database", where)
	}
	for _, l := range dead {
		_ = l.Conn.Close() // whoever waits there asks elsewhere; who closes it as well makes it forgotten
	}
	n.retire(ctx, pools)
}

// ask asks hosts at the same time. No host is asked twice at a time: survey is over when watch begins, and learn alone moves a host between its two
// loops.
func (n *nearest) ask(ctx context.Context, hosts []*host) []finding {
	found := make([]finding, len(hosts))
	var asking sync.WaitGroup
	for i, h := range hosts {
		asking.Go(func() { found[i] = n.probe(ctx, h) })
	}
	asking.Wait()
	return found
}

// learn notes what was found, under the lock, and logs what is new.
func (n *nearest) learn(hosts []*host, found []finding) {
	for i, f := range found {
		h := hosts[i]
		switch {
		case f.state == h.state:
		case f.state == Answers && h.state != "":
			n.log.Info("a database host answers again", "host", h.address, "database_region", f.region)
		case f.state != Answers:
			n.log.Warn("a database host does not serve", "host", h.address, "database_region", h.region, "state", f.state, "error", f.err)
		}
		h.state = f.state
		if f.state != Answers {
			h.streak = 0
			continue
		}
		h.streak++
		h.region = f.region
		if h.roundTrip == 0 {
			h.roundTrip = f.roundTrip
		}
		h.roundTrip = (3*h.roundTrip + f.roundTrip) / 4
	}
}

// probe asks a host how it is. It is called once at a time for each.
func (n *nearest) probe(ctx context.Context, h *host) finding {
	n.mu.Lock()
	trip := h.roundTrip
	n.mu.Unlock()
	if h.conn != nil {
		f := n.hear(ctx, h, answerTimeout+2*trip)
		if f.err == nil || ctx.Err() != nil {
			return f
		}
		_ = h.conn.PgConn().Conn().Close() // no farewell: it may be silent
		h.conn = nil
	}
	bound := connectTimeout + 8*trip // eight at most with TLS and a password
	switch {
	case len(n.hosts) == 1:
		bound = n.base.ConnectTimeout // all or nothing
	case trip == 0:
		bound = firstConnect
	}
	connecting, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, n.only(h))
	if err != nil {
		return finding{state: stateOf(err), err: err}
	}
	h.conn = conn
	f := n.hear(ctx, h, bound)
	if f.err != nil {
		_ = conn.PgConn().Conn().Close()
		h.conn = nil
	}
	return f
}

// only is a configuration for probes of one host.
func (n *nearest) only(h *host) *pgx.ConnConfig {
	config := n.base.Copy()
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = h.entries[0].Host, h.entries[0].Port, h.entries[0].TLSConfig, h.entries[1:]
	config.Tracer, config.ValidateConnect, config.DialFunc = nil, nil, dialer.DialContext
	config.RuntimeParams["application_name"] = "meridian probe"
	return config
}

// hear asks on the connection of the probes.
func (n *nearest) hear(ctx context.Context, h *host, bound time.Duration) (f finding) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if f.engine = n.engine; f.engine.Name == "" {
		if f.engine, f.version, f.err = Detect(ctx, h.conn); f.err != nil {
			f.state = stateOf(f.err)
			return f
		}
	}
	asked := time.Now()
	answers, err := h.conn.PgConn().Exec(ctx, f.engine.sqlStanding).ReadAll()
	if err == nil && (len(answers) == 0 || len(answers[0].Rows) == 0 || len(answers[0].Rows[0]) == 0) {
		err = io.ErrUnexpectedEOF // whatever that is, it serves nobody
	}
	if err != nil {
		f.state, f.err = stateOf(err), err
		return f
	}
	f.roundTrip = time.Since(asked)
	f.state, f.region = f.engine.standing(string(answers[0].Rows[0][0]))
	if fits := n.base.ValidateConnect; fits != nil { // whoever wrote the URL knows what it is for: reading from standbys, perhaps
		if f.state = Answers; fits(ctx, h.conn.PgConn()) != nil {
			f.state = ReadOnly
		}
	}
	return f
}

// stateOf tells a host that says no from one that says nothing. From the first, connections that it serves come back by themselves.
func stateOf(err error) State {
	if errors.As(err, new(*pgconn.PgError)) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return Refuses
	}
	return Silent
}
