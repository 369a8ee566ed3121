package simulate

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Post makes one request and returns the status of the answer, or an error where there was none.
type Post func(ctx context.Context, r Request) (status int, err error)

// Clock is a time that jumps: from one thing that happens to the next. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now returns where it stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Forward moves it to a time, unless it is past that.
func (c *Clock) Forward(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
}

// Options say how a script is played. Post and Form are needed.
type Options struct {
	Profile  Profile
	Form     Form
	Post     Post
	Parallel int    // requests at once; default 64
	Clock    *Clock // nil: real time
}

// Report is what came of playing a script.
type Report struct {
	Requests  int           `json:"requests"`  // made, with those made again
	Taken     int           `json:"taken"`     // answered 2xx
	Refused   int           `json:"refused"`   // answered otherwise, or not at all
	GivenUp   int           `json:"given_up"`  // not taken when the time for retries was over
	Statuses  map[int]int   `json:"statuses"`  // 0: no answer
	Simulated time.Duration `json:"simulated"` // from the first to the last request, on the clock of the script
	Took      time.Duration `json:"took"`      // in real time
	Median    time.Duration `json:"median"`    // of answers
	P99       time.Duration `json:"p99"`
}

// Rate is how many requests were taken in a second of real time.
func (r Report) Rate() float64 { return float64(r.Taken) / max(r.Took.Seconds(), 1e-9) }

// due is a posting on its way.
type due struct {
	posting  Posting
	at       time.Time
	order    int // of those at the same time
	first    time.Time
	attempts int
}

type queue []*due

func (q queue) Len() int { return len(q) }
func (q queue) Less(a, b int) bool {
	return cmp.Or(q[a].at.Compare(q[b].at), cmp.Compare(q[a].order, q[b].order)) < 0
}
func (q queue) Swap(a, b int) { q[a], q[b] = q[b], q[a] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*due)) } //nolint:forcetypeassert // only these are pushed
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

type answered struct {
	of     *due
	status int
	err    error // it could not be written
	took   time.Duration
}

// player plays one script. It is for one goroutine.
type player struct {
	Options
	start   time.Time
	waiting queue
	orders  int
	flying  int
	results chan answered
	report  Report
	took    []time.Duration
}

// Play posts what a script says, and again what is not taken, until nothing is left or the context ends.
func Play(ctx context.Context, s Script, o Options) (Report, error) {
	o.Profile = o.Profile.orDefaults()
	if o.Parallel == 0 {
		o.Parallel = 64
	}
	p := &player{Options: o, results: make(chan answered, o.Parallel), report: Report{Statuses: map[int]int{}}}
	p.start = p.now()
	for _, posting := range s.Postings {
		at := p.start.Add(posting.At)
		p.push(&due{posting: posting, at: at, first: at})
	}
	began := time.Now()
	err := p.play(ctx)
	p.report.Took, p.report.Simulated = time.Since(began), p.now().Sub(p.start)
	slices.Sort(p.took)
	if n := len(p.took); n > 0 {
		p.report.Median, p.report.P99 = p.took[n/2], p.took[n*99/100]
	}
	return p.report, err
}

func (p *player) now() time.Time {
	if p.Clock != nil {
		return p.Clock.Now()
	}
	return time.Now()
}

func (p *player) push(d *due) {
	p.orders++
	d.order = p.orders
	heap.Push(&p.waiting, d)
}

func (p *player) play(ctx context.Context) error {
	var failed error
	for len(p.waiting) > 0 || p.flying > 0 {
		if failed == nil {
			failed = context.Cause(ctx)
		}
		if failed != nil {
			p.waiting = nil
		}
		for p.flying < p.Parallel && len(p.waiting) > 0 && !p.waiting[0].at.After(p.now()) {
			p.fly(ctx, heap.Pop(&p.waiting).(*due)) //nolint:forcetypeassert // only these are pushed
		}
		failed = errors.Join(failed, p.wait(ctx))
	}
	return failed
}

// wait returns when something has happened: an answer, or the time of the next posting.
func (p *player) wait(ctx context.Context) error {
	var next <-chan time.Time
	if len(p.waiting) > 0 && p.flying < p.Parallel {
		switch {
		case p.Clock == nil:
			timer := time.NewTimer(time.Until(p.waiting[0].at))
			defer timer.Stop()
			next = timer.C
		case p.flying == 0: // a clock that jumps waits for what is under way
			p.Clock.Forward(p.waiting[0].at)
			return nil
		}
	}
	if p.flying == 0 && next == nil {
		return nil
	}
	select {
	case a := <-p.results:
		return p.land(a)
	case <-next:
	case <-ctx.Done():
		if p.flying > 0 { // it ends with the context
			return p.land(<-p.results)
		}
	}
	return nil
}

func (p *player) fly(ctx context.Context, d *due) {
	p.flying++
	at := p.now()
	go func() {
		r, err := p.Form.Render(d.posting.Events, p.start, at)
		if err != nil {
			p.results <- answered{of: d, err: err}
			return
		}
		began := time.Now()
		status, err := p.Post(ctx, r)
		if err != nil {
			status = 0
		}
		p.results <- answered{of: d, status: status, took: time.Since(began)}
	}()
}

// land takes an answer in. What is not taken is posted again, later each time.
func (p *player) land(a answered) error {
	p.flying--
	if a.err != nil {
		return fmt.Errorf("write a callback: %w", a.err)
	}
	p.report.Requests++
	p.report.Statuses[a.status]++
	if a.status/100 == 2 {
		p.report.Taken++
		p.took = append(p.took, a.took)
		return nil
	}
	p.report.Refused++
	d := a.of
	pause := p.Profile.RetryFirst << min(d.attempts, 20)
	if pause > p.Profile.RetryLast || pause <= 0 {
		pause = p.Profile.RetryLast
	}
	d.attempts++
	if d.at = p.now().Add(pause); d.at.Sub(d.first) > p.Profile.RetryFor {
		p.report.GivenUp++
		return nil
	}
	p.push(d)
	return nil
}
