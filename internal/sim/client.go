package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// client is one customer's program. Its commands come from the player; all else that is drawn comes from a source of its own, so that pauses
// and reads do not change which commands there are.
type client struct {
	n       int
	o       Options
	player  *player
	random  *rand.Rand
	nodes   []Node
	regions []uint8 // of the nodes, by their place in History.Regions
	region  uint8
	at      int // the node it talks to

	calls     []*Call
	known     map[id.Transaction]*Call
	reads     []Read
	replays   int
	different []string
	written   []ledger.Ref // accounts of the newest answer
	names     map[ledger.Ref]ledger.Ref

	away away

	mu       sync.Mutex // of attempts: probes and storms make them beside the client's work
	attempts []Attempt
}

// away is how a client that was driven from its own region finds back to it.
type away struct {
	pause   time.Duration
	due     time.Time
	looking bool
	back    chan bool
	probes  sync.WaitGroup
}

func newClient(h *History, w Workload, regions []Region, o Options, n int) *client {
	own := regions[n%len(regions)]
	c := &client{
		n: n, o: o, player: w.player(h.Run, n), random: rand.New(rand.NewPCG(^w.Seed, uint64(n))), //nolint:gosec // n is small and positive
		nodes: own.Nodes, region: h.regionOf(own.Name), known: map[id.Transaction]*Call{}, names: map[ledger.Ref]ledger.Ref{},
		away: away{pause: o.Return, back: make(chan bool, 1)},
	}
	c.player.own = own.Ledgers
	for _, node := range own.Nodes {
		c.regions = append(c.regions, h.regionOf(node.Region))
	}
	return c
}

func (c *client) work(ctx context.Context) {
	ctx, done := context.WithCancel(ctx)
	defer c.away.probes.Wait()
	defer done()
	until := c.o.Start.Add(c.o.Duration)
	for {
		if c.o.Think > 0 {
			c.sleep(ctx, min(time.Duration(c.random.ExpFloat64()*float64(c.o.Think)), 5*c.o.Think))
		}
		if !time.Now().Before(until) || ctx.Err() != nil {
			return
		}
		c.lookHome(ctx)
		if c.random.Float64() < c.o.Reads {
			c.read(ctx)
		} else {
			c.command(ctx)
		}
	}
}

func (c *client) now() time.Duration { return time.Since(c.o.Start) }

func (c *client) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reply is what one try of a command brought.
type reply struct {
	began, ended time.Duration
	outcome      ledger.Outcome
	err          error
}

// command sends the next command until it is answered, with its storm.
func (c *client) command(ctx context.Context) {
	command := c.player.next()
	call, again := c.known[command.ID()]
	what, storm := Again, 0
	if !again {
		call = &Call{Client: c.n, Command: command, Began: c.now()}
		c.calls, c.known[command.ID()] = append(c.calls, call), call
		what, storm = Command, c.o.Storm
	}
	copies := make([]reply, storm)
	var beside sync.WaitGroup
	from := c.at
	for i := 0; i < storm; i += 2 {
		beside.Go(func() { copies[i] = c.once(ctx, command, from+1+i) })
	}
	var r reply
	failed, err := c.ask(ctx, what, func(ctx context.Context, node ledger.Service) error {
		r.began = c.now()
		r.outcome, r.err = ledger.Do(ctx, node, command)
		r.ended = c.now()
		return r.err
	})
	if !again {
		call.Failed = failed
	}
	for i := 1; i < storm; i += 2 {
		copies[i] = c.once(ctx, command, c.at+i)
	}
	beside.Wait()
	for _, r := range append(copies, r) {
		c.hear(ctx, call, r)
	}
	if call.State == Unknown {
		call.Ended = c.now()
		if err != nil { // a repeat's own trouble is no news of a command that was answered
			call.Trouble = err.Error()
		}
	} else if !again {
		c.player.answered(command, call.Outcome)
	}
}

// once sends a command to a node, and leaves it at that.
func (c *client) once(ctx context.Context, command ledger.Command, at int) (r reply) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Attempt)
	defer cancel()
	_ = c.try(ctx, at%len(c.nodes), Again, func(ctx context.Context, node ledger.Service) error {
		r.began = c.now()
		r.outcome, r.err = ledger.Do(ctx, node, command)
		r.ended = c.now()
		return r.err
	})
	return r
}

// hear takes what a try brought. All answers to one command have to be the same, and only one of them can be the first.
func (c *client) hear(ctx context.Context, call *Call, r reply) {
	switch o := r.outcome; {
	case r.err != nil && (errs.Transient(r.err) || ctx.Err() != nil):
	case r.err != nil:
		c.differ("%s was refused: %v", call, r.err)
	case call.State == Unknown:
		c.intern(call, &o)
		call.State, call.Outcome, call.Ended, call.fresh = Acknowledged, o, r.ended, !o.Replayed
		if o.Transaction != call.Command.ID() {
			c.differ("%s was answered with another transaction", call)
		}
		c.written = c.written[:0]
		for _, e := range o.Entries {
			if strings.HasPrefix(string(e.Ref.Account), players) {
				c.written = append(c.written, e.Ref)
			}
		}
	default:
		c.replays++
		if differ := difference(call.Outcome, o); differ != "" {
			c.differ("%s: a repeat got another answer: %s", call, differ)
		} else if !o.Replayed && (call.fresh || r.began >= call.Ended) {
			c.differ("%s was answered, and a repeat was executed as if it were new", call)
		}
		call.Ended, call.fresh = min(call.Ended, r.ended), call.fresh || !o.Replayed
	}
}

func (c *client) differ(format string, args ...any) {
	c.different = append(c.different, fmt.Sprintf(format, args...))
}

// intern lets an answer share the texts of its command and of earlier answers: they come over the wire anew each time.
func (c *client) intern(call *Call, o *ledger.Outcome) {
	if o.Key == call.Command.Key {
		o.Key = call.Command.Key
	}
	if o.Ledger == call.Command.Ledger {
		o.Ledger = call.Command.Ledger
	}
	o.Kind = call.Command.Kind
	for i := range o.Entries {
		ref := o.Entries[i].Ref
		if _, had := c.names[ref]; !had {
			c.names[ref] = ref
		}
		o.Entries[i].Ref = c.names[ref]
	}
}

// read looks at a balance: one time of an account that the client has just written, the other time of any.
func (c *client) read(ctx context.Context) {
	w := c.player.w
	ref := ledger.Ref{Ledger: w.Ledgers[c.random.IntN(len(w.Ledgers))], Account: w.account(c.random.IntN(w.Accounts))}
	if w.Hot > 0 && c.random.IntN(3) == 0 {
		ref.Account = w.account(c.random.IntN(w.Hot))
	}
	if len(c.written) > 0 && c.random.IntN(2) == 0 {
		ref = c.written[c.random.IntN(len(c.written))]
	}
	var r Read
	_, err := c.ask(ctx, Reading, func(ctx context.Context, node ledger.Service) error {
		began := c.now()
		a, err := node.Account(ctx, ref, time.Time{})
		r = Read{
			Client: int32(c.n), Node: c.regions[c.at], Ref: ref, Began: began, Ended: c.now(), Sequence: a.Sequence, Balance: a.Balances, //nolint:gosec // few
		}
		return err
	})
	switch {
	case err == nil:
		c.reads = append(c.reads, r)
	case ctx.Err() == nil && !errs.Transient(err):
		c.differ("a read of %s was refused: %v", ref, err)
	}
}

// ask goes from node to node until one answers, refuses for good, or patience ends. After a round of failures it takes a breath, a longer one
// each time.
func (c *client) ask(ctx context.Context, what What, do func(context.Context, ledger.Service) error) (failed int, err error) {
	const longest = 500 * time.Millisecond
	patience, end := context.WithTimeout(ctx, c.o.Patience)
	defer end()
	for breath := 10 * time.Millisecond; ; {
		attempt, cancel := context.WithTimeout(patience, c.o.Attempt)
		err = c.try(attempt, c.at, what, do)
		cancel()
		if err == nil || !errs.Transient(err) {
			if c.at == 0 {
				c.away.pause = c.o.Return
			}
			return failed, err
		}
		if failed++; patience.Err() != nil {
			return failed, err
		}
		c.moveOn()
		if failed%len(c.nodes) == 0 {
			c.sleep(patience, time.Duration((0.5+c.random.Float64()/2)*float64(breath)))
			breath = min(2*breath, longest)
		}
	}
}

// try calls a node and records it. A call that was broken off because the whole run ends is not one.
func (c *client) try(ctx context.Context, at int, what What, do func(context.Context, ledger.Service) error) error {
	began := c.now()
	err := do(ctx, c.nodes[at].Service)
	took := c.now() - began
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	a := Attempt{Began: began, Took: took, Client: uint16(c.n), Region: c.region, Node: c.regions[at], What: what} //nolint:gosec // see Options.Clients
	if err != nil {
		a.Code = 1 + uint8(errs.Of(err).Code)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts = append(c.attempts, a)
	return err
}

// moveOn takes the next node.
func (c *client) moveOn() {
	if c.at == 0 && time.Now().After(c.away.due) {
		c.wait()
	}
	c.at = (c.at + 1) % len(c.nodes)
}

// wait says when to look at home again, later each time.
func (c *client) wait() {
	c.away.due = time.Now().Add(time.Duration((0.5 + c.random.Float64()/2) * float64(c.away.pause)))
	c.away.pause = min(2*c.away.pause, 16*c.o.Return)
}

// lookHome asks the client's first node, beside its work, and returns to it when it has answered.
func (c *client) lookHome(ctx context.Context) {
	select {
	case back := <-c.away.back:
		c.away.looking = false
		if back {
			c.at = 0
		} else {
			c.wait()
		}
	default:
	}
	if c.at == 0 || c.away.looking || len(c.nodes) == 1 || time.Now().Before(c.away.due) {
		return
	}
	c.away.looking = true
	w := c.player.w
	ref := ledger.Ref{Ledger: w.Ledgers[c.random.IntN(len(w.Ledgers))], Account: w.account(c.random.IntN(w.Accounts))}
	c.away.probes.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, c.o.Attempt)
		defer cancel()
		c.away.back <- c.try(ctx, 0, Probe, func(ctx context.Context, node ledger.Service) error {
			_, err := node.Account(ctx, ref, time.Time{})
			return err
		}) == nil
	})
}

// merge takes in what the clients have.
func (h *History) merge(clients []*client) {
	for _, c := range clients {
		h.Calls = append(h.Calls, c.calls...)
		h.Reads = append(h.Reads, c.reads...)
		h.Attempts = append(h.Attempts, c.attempts...)
		h.Different = append(h.Different, c.different...)
		h.Replays += c.replays
	}
	slices.SortStableFunc(h.Reads, func(a, b Read) int { return int(a.Ended - b.Ended) })
	slices.SortStableFunc(h.Attempts, func(a, b Attempt) int { return int(a.Began - b.Began) })
}
