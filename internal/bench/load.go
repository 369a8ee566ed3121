package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Load says what to ask and how hard.
type Load struct {
	Scenario Scenario
	Clients  int           // callers at once; each waits for its answer before it calls again
	Accounts int           // that take part
	Batch    int           // commands a call; 1 is a call of its own kind, more are a PostBatch
	Rate     float64       // commands a second over all clients, whatever the answers take (open loop); 0: as fast as answers come (closed)
	WarmUp   time.Duration // before the measured window
	Duration time.Duration // of the measured window
	Seed     uint64
}

// Validate says what is wrong with a load.
func (l Load) Validate() error {
	switch {
	case l.Clients < 1 || l.Clients > 10_000:
		return fmt.Errorf("%d clients: want 1 to 10,000", l.Clients)
	case l.Accounts < 2 || l.Accounts > 1_000_000:
		return fmt.Errorf("%d accounts: want 2 to 1,000,000", l.Accounts)
	case l.Batch < 1 || l.Batch > ledger.MaxBatch:
		return fmt.Errorf("batches of %d: want 1 to %d", l.Batch, ledger.MaxBatch)
	case l.Rate < 0 || l.Rate > 10_000_000:
		return fmt.Errorf("a rate of %g: want 0 (as fast as answers come) to 10,000,000 commands a second", l.Rate)
	case l.Duration <= 0 || l.WarmUp < 0:
		return fmt.Errorf("%s after %s of warm-up: want more than nothing", l.Duration, l.WarmUp)
	}
	return nil
}

// Target executes commands: a ledger.Service, or the program it is compared with. It is safe for concurrent use.
type Target interface {
	// Do executes the commands on behalf of a client, counted from 0. The error is set where there is no answer.
	Do(ctx context.Context, client int, commands []ledger.Command) (Answer, error)
}

// Answer counts how the commands of a call ended.
type Answer struct {
	Posted   int
	Replayed int
	Declined map[errs.Reason]int
	Entries  int // lines that were written
	Retries  int // attempts that the target repeated by itself
}

func (a *Answer) add(other Answer) {
	a.Posted += other.Posted
	a.Replayed += other.Replayed
	a.Entries += other.Entries
	a.Retries += other.Retries
	for reason, n := range other.Declined {
		a.decline(reason, n)
	}
}

func (a *Answer) decline(reason errs.Reason, n int) {
	if a.Declined == nil {
		a.Declined = map[errs.Reason]int{}
	}
	a.Declined[reason] += n
}

// Through spreads clients over services, which are server nodes mostly.
func Through(services ...ledger.Service) Target { return through(services) }

type through []ledger.Service

// Do implements Target.
func (t through) Do(ctx context.Context, client int, commands []ledger.Command) (Answer, error) {
	results, err := t[client%len(t)].Execute(ctx, ledger.Batch{Commands: commands})
	if err != nil {
		return Answer{}, err
	}
	return tallied(results)
}

// tallied counts results; one without an outcome is the error of all.
func tallied(results []ledger.Result) (Answer, error) {
	var a Answer
	for _, r := range results {
		switch o := r.Outcome; {
		case r.Err != nil:
			return Answer{}, r.Err
		case o.Replayed:
			a.Replayed++
		case o.Decided == ledger.Declined:
			a.decline(o.Reason, 1)
		default:
			a.Posted++
			a.Entries += len(o.Entries)
		}
	}
	return a, nil
}

// grace is how long after the window a call may take that began in it. What has no answer by then is cancelled.
const grace = 2 * time.Second

// runner is one slice of load.
type runner struct {
	load   Load
	target Target
	record *recorder
	start  time.Time
	end    time.Time
	due    atomic.Int64 // calls that were given to a client (open loop)
}

// Run puts a load on a target for its warm-up and its window, and measures the latter. The number of the slice makes its commands differ
// from those of other slices with the same seed. It returns when every client has come to its end; where ctx ends first, with its error.
func Run(ctx context.Context, target Target, l Load, b Books, slice int, m *Meter) (Slice, error) {
	start := time.Now()
	from := start.Add(l.WarmUp)
	r := &runner{load: l, target: target, start: start, end: from.Add(l.Duration)}
	r.record = newRecorder(from, r.end, l.Rate > 0)
	calls, cancel := context.WithCancel(ctx) // and no deadline: that would be one more header and timer a call
	defer cancel()
	defer time.AfterFunc(time.Until(r.end.Add(grace)), cancel).Stop()
	var clients sync.WaitGroup
	for i := range l.Clients {
		commands := newStream(l, b, slice, i)
		clients.Go(func() {
			if l.Rate > 0 {
				r.open(calls, i, commands)
			} else {
				r.closed(calls, i, commands)
			}
		})
	}
	used := m.watch(ctx, from, r.end)
	clients.Wait()
	if err := ctx.Err(); err != nil {
		return Slice{}, fmt.Errorf("put a load on: %w", err)
	}
	s := r.record.slice()
	if err := used(&s); err != nil {
		return Slice{}, err
	}
	return s, nil
}

// closed calls as fast as answers come.
func (r *runner) closed(ctx context.Context, client int, s *stream) {
	for time.Now().Before(r.end) && ctx.Err() == nil {
		commands := s.batch(r.load.Batch)
		began := time.Now()
		answer, err := r.target.Do(ctx, client, commands)
		r.record.add(began, began, time.Now(), len(commands), answer, err)
		if err != nil {
			pause(ctx)
		}
	}
}

// open calls at its times, or as soon after as a client is free; what it waits until then is part of its latency. A call that gets no turn
// before time is up counts as unanswered, with the time it has waited.
func (r *runner) open(ctx context.Context, client int, s *stream) {
	interval := float64(time.Second) * float64(r.load.Batch) / r.load.Rate
	for {
		intended := r.start.Add(time.Duration(float64(r.due.Add(1)-1) * interval))
		if !intended.Before(r.end) {
			return
		}
		if !sleepUntil(ctx, intended) {
			now := time.Now()
			r.record.add(intended, now, now, r.load.Batch, Answer{}, errs.ErrDeadlineExceeded)
			continue
		}
		commands := s.batch(r.load.Batch)
		began := time.Now()
		answer, err := r.target.Do(ctx, client, commands)
		if ctx.Err() != nil && err != nil {
			err = errs.ErrDeadlineExceeded.Because(err)
		}
		r.record.add(intended, began, time.Now(), len(commands), answer, err)
	}
}

// sleepUntil tells whether the context lived until then.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// pause keeps a client whose call failed from failing in a busy loop.
func pause(ctx context.Context) {
	sleepUntil(ctx, time.Now().Add(time.Millisecond+time.Duration(rand.Int64N(int64(10*time.Millisecond)))))
}
