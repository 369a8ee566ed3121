package commit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// history is what clients were told.
type history struct {
	mu         sync.Mutex
	told       map[id.Transaction][]ledger.Outcome
	mismatches int
	gaveUp     int // commands whose callers went away without an answer
	errors     map[errs.Reason]int
}

// client sends commands to the servers and writes down the answers.
type client struct {
	t       *testing.T
	name    string
	random  *rand.Rand
	servers []server
	history *history
	serial  int
	holds   []id.Key
	moves   []id.Key
}

var hot, cold = []id.Account{"hot0", "hot1", "hot2", "hot3"}, []id.Account{"cold0", "cold1", "cold2", "cold3", "cold4", "cold5", "cold6", "cold7"}

func pickOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (c *client) key() id.Key {
	c.serial++
	return id.Key(fmt.Sprintf("%s/%d", c.name, c.serial))
}

// command draws what to ask for next.
func (c *client) command() ledger.Command {
	r, key, n := c.random, c.key(), int64(1+c.random.IntN(9))
	aimAt := func(kind ledger.Kind, targets *[]id.Key) (ledger.Command, bool) {
		if len(*targets) == 0 {
			return ledger.Command{}, false
		}
		i := r.IntN(len(*targets))
		target := (*targets)[i]
		if r.IntN(4) > 0 { // else somebody aims at it again, and is declined
			*targets = slices.Delete(*targets, i, i+1)
		}
		return aim(kind, key, target), true
	}
	switch p := r.IntN(20); {
	case p < 2:
		c.holds = append(c.holds, key)
		return move(ledger.KindHold, key, pickOf(r, hot), "", n)
	case p < 4:
		if cmd, ok := aimAt(pickOf(r, []ledger.Kind{ledger.KindCommit, ledger.KindRollback}), &c.holds); ok {
			return cmd
		}
	case p < 5:
		if cmd, ok := aimAt(ledger.KindReverse, &c.moves); ok {
			return cmd
		}
	case p < 7:
		return across(key, pickOf(r, hot), n)
	case p < 9:
		return move(pickOf(r, []ledger.Kind{ledger.KindDebit, ledger.KindCredit}), key, pickOf(r, hot), "", n)
	case p < 10:
		return transfer(key, pickOf(r, hot), "nobody", n)
	}
	from := pickOf(r, hot)
	to := pickOf(r, slices.Concat(hot, cold))
	if from == to {
		to = "x"
	}
	c.moves = append(c.moves, key)
	return transfer(key, from, to, n)
}

func (c *client) batch() ledger.Batch {
	b := ledger.Batch{Commands: []ledger.Command{c.command()}}
	if c.random.IntN(6) == 0 {
		b.Atomic = c.random.IntN(2) == 0
		for range c.random.IntN(8) {
			b.Commands = append(b.Commands, c.command())
		}
	}
	return b
}

// run sends until the context ends; what is on its way then is seen through.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		b := c.batch()
		switch c.random.IntN(10) {
		case 0: // to two nodes at once
			c.each(b, b)
		case 1: // another request under the same keys, to two nodes at once
			clash := ledger.Batch{Commands: slices.Clone(b.Commands)}
			for i := range clash.Commands {
				clash.Commands[i].Reference = "another"
			}
			c.each(b, clash)
		case 2: // in a hurry, and sometimes not heard of again
			hurry, cancel := context.WithTimeout(context.Background(), time.Duration(c.random.IntN(8000))*time.Microsecond)
			answered := c.send(hurry, pickOf(c.random, c.servers), b)
			cancel()
			if !answered && c.random.IntN(2) == 0 {
				c.history.note(func(h *history) { h.gaveUp += len(b.Commands) })
				continue
			}
			c.each(b)
		default:
			c.each(b)
		}
	}
}

// each sees batches through, side by side.
func (c *client) each(batches ...ledger.Batch) {
	var all sync.WaitGroup
	for _, b := range batches {
		at := c.random.IntN(len(c.servers))
		all.Go(func() { c.insist(b, at) })
	}
	all.Wait()
}

// insist sends the same keys to one node after the other until there is an answer.
func (c *client) insist(b ledger.Batch, at int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for ; ctx.Err() == nil; at++ {
		if c.send(ctx, c.servers[at%len(c.servers)], b) {
			return
		}
		time.Sleep(time.Millisecond) // a client's pause; nothing waits for it
	}
	c.t.Errorf("no answer to %s within 20 s", b.Commands[0].Key)
}

var retryable = []errs.Reason{
	errs.ReasonUnavailable, errs.ReasonOutcomeUnknown, errs.ReasonContended, errs.ReasonCanceled, errs.ReasonDeadlineExceeded, errs.ReasonOverloaded,
}

// send tells whether there was an answer, and notes it.
func (c *client) send(ctx context.Context, s server, b ledger.Batch) bool {
	results, err := s.Execute(ctx, b)
	c.history.note(func(h *history) {
		if err != nil {
			h.errors[errs.Of(err).Reason]++
			return
		}
		for i, r := range results {
			switch {
			case errors.Is(r.Err, errs.ErrIdempotencyMismatch):
				h.mismatches++
				if field := errs.Of(r.Err).Fields["field"]; !b.Atomic && field != "reference" {
					c.t.Errorf("%s: the requests differ in %q, want reference", b.Commands[i].Key, field)
				}
			case r.Err != nil:
				c.t.Errorf("%s: %v", b.Commands[i].Key, r.Err)
			default:
				h.told[r.Outcome.Transaction] = append(h.told[r.Outcome.Transaction], r.Outcome)
			}
		}
	})
	if err != nil && !slices.Contains(retryable, errs.Of(err).Reason) {
		c.t.Errorf("%s: %v", b.Commands[0].Key, err)
		return true
	}
	return err == nil
}

func (h *history) note(fn func(*history)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn(h)
}
