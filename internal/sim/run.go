package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Options of a run.
type Options struct {
	Clients  int
	Duration time.Duration // how long new commands are made up; those under way are seen to their answer
	Attempt  time.Duration // the longest that a client waits for one answer before it goes to the next node; default 5 s
	Patience time.Duration // the longest that a client keeps asking; default 60 s
}

// History is what the clients were told.
type History struct {
	Run      string // part of every key: two runs on the same books do not meet
	Seed     uint64
	Elapsed  time.Duration
	Commands map[id.Transaction]ledger.Command
	Answers  map[id.Transaction]ledger.Outcome // the first answer under each key
	Replays  int                               // repeats that got the answer again
	Declines map[errs.Reason]int
	Kinds    map[ledger.Kind]int
	Failed   int                     // calls without an answer
	Moved    int                     // commands that got their answer at another node than the first one asked
	Worst    time.Duration           // the longest that a command with a failed call took to its answer
	Latency  *hdrhistogram.Histogram // of commands, from the first call to the answer, in microseconds
	Lost     []string                // commands without an answer, and answers that differ: must be empty
}

func newHistory(run string, seed uint64) *History {
	return &History{
		Run: run, Seed: seed, Commands: map[id.Transaction]ledger.Command{}, Answers: map[id.Transaction]ledger.Outcome{},
		Declines: map[errs.Reason]int{}, Kinds: map[ledger.Kind]int{}, Latency: hdrhistogram.New(1, int64(2*time.Minute/time.Microsecond), 3),
	}
}

// Run lets clients work on nodes, client i at node i modulo their number, until the time is over and every command has its answer.
func Run(ctx context.Context, w Workload, nodes []ledger.Service, o Options) *History {
	if o.Attempt == 0 {
		o.Attempt = 5 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	run := fmt.Sprintf("sim-%x", time.Now().UnixNano())
	whole := newHistory(run, w.Seed)
	started := time.Now()
	parts := make([]*History, o.Clients)
	var clients sync.WaitGroup
	for i := range o.Clients {
		clients.Go(func() {
			c := client{player: w.player(run, i), nodes: nodes, at: i % len(nodes), o: o, history: newHistory(run, w.Seed)}
			c.work(ctx, started.Add(o.Duration))
			parts[i] = c.history
		})
	}
	clients.Wait()
	for _, part := range parts {
		whole.merge(part)
	}
	whole.Elapsed = time.Since(started)
	return whole
}

// client is one customer's program.
type client struct {
	player  *player
	nodes   []ledger.Service
	at      int // the node it talks to
	o       Options
	history *History
}

func (c *client) work(ctx context.Context, until time.Time) {
	for time.Now().Before(until) && ctx.Err() == nil {
		command := c.player.next()
		started := time.Now()
		o, failures, err := c.ask(ctx, command)
		took := time.Since(started)
		if err != nil {
			c.history.Lost = append(c.history.Lost, fmt.Sprintf("%s %s has no answer: %v", command.Kind, command.Key, err))
			continue
		}
		c.player.answered(command, o)
		c.history.record(command, o, took, failures)
	}
}

// ask takes a command from node to node, always under the same key, until one answers.
func (c *client) ask(ctx context.Context, command ledger.Command) (ledger.Outcome, int, error) {
	deadline := time.Now().Add(c.o.Patience)
	for failures := 0; ; failures++ {
		attempt, cancel := context.WithTimeout(ctx, c.o.Attempt)
		o, err := ledger.Do(attempt, c.nodes[c.at], command)
		cancel()
		if err == nil || !errs.Transient(err) || time.Now().After(deadline) || ctx.Err() != nil {
			return o, failures, err
		}
		c.at = (c.at + 1) % len(c.nodes)
		if failures >= len(c.nodes) { // all of them failed: no need to hurry
			time.Sleep(time.Duration(1+c.player.random.IntN(20)) * time.Millisecond)
		}
	}
}

func (h *History) record(c ledger.Command, o ledger.Outcome, took time.Duration, failures int) {
	_ = h.Latency.RecordValue(took.Microseconds()) // beyond two minutes: the client's patience ended before
	h.Failed += failures
	if failures > 0 {
		h.Moved++
		h.Worst = max(h.Worst, took)
	}
	if first, again := h.Answers[o.Transaction]; again {
		h.Replays++
		if differ := difference(first, o); differ != "" {
			h.Lost = append(h.Lost, fmt.Sprintf("%s %s: a repeat got another answer: %s", c.Kind, c.Key, differ))
		}
		return
	}
	h.Answers[o.Transaction], h.Commands[o.Transaction] = o, c
	h.Kinds[o.Kind]++
	if o.Decided == ledger.Declined {
		h.Declines[o.Reason]++
	}
}

func (h *History) merge(p *History) {
	for k, o := range p.Answers {
		h.Answers[k], h.Commands[k] = o, p.Commands[k]
	}
	for k, n := range p.Declines {
		h.Declines[k] += n
	}
	for k, n := range p.Kinds {
		h.Kinds[k] += n
	}
	h.Replays, h.Failed, h.Moved, h.Worst = h.Replays+p.Replays, h.Failed+p.Failed, h.Moved+p.Moved, max(h.Worst, p.Worst)
	h.Latency.Merge(p.Latency)
	h.Lost = append(h.Lost, p.Lost...)
}

// Posted returns how many commands moved money or changed an account.
func (h *History) Posted() int {
	declined := 0
	for _, n := range h.Declines {
		declined += n
	}
	return len(h.Answers) - declined
}
