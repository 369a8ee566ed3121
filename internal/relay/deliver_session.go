package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// session is a deliverer at work by one revision of its subscription. One goroutine, its loop, owns all that is not a channel; whatever waits
// (reading, calling the sink, writing) has a goroutine of its own and reports to the loop.
type session struct {
	*deliverer
	subscription event.Subscription
	sink         sink.Sink
	shape        sink.Shape
	slots        chan struct{} // one for each call that may be in flight, replays included
	see          event.Options
	matcher      event.Matcher

	queue  *queue
	health health
	calls  int
	ending bool

	progress       event.Progress // as the next checkpoint will say
	digest         event.Digest
	writing        bool
	unsaved        int       // settled since the last checkpoint
	savedDelivered int64     // what the last checkpoint said
	writeAt        time.Time // when the next checkpoint is due; zero where there is nothing to write
	failures       int       // of checkpoints in a row
	revised        bool      // nothing can be written any more
	fatal          error     // neither, and the lease is lost

	reading  bool
	more     bool // the stream may have more
	pollAt   time.Time
	readAt   time.Time // not before
	misread  int       // failures to read in a row
	reports  reporting
	replayer replayer

	results  chan result
	pages    chan page
	written  chan writing
	reported chan error
}

// page is an answer of the stream.
type page struct {
	events []event.Event
	err    error
}

func (d *deliverer) session(ctx context.Context, subscription event.Subscription) error {
	s, err := d.begin(ctx, subscription)
	if err != nil {
		return err
	}
	defer func() {
		if err := s.sink.Close(); err != nil {
			d.Log.Warn("close a sink", "subscription", d.name, "error", err)
		}
	}()
	return s.run(ctx)
}

// begin opens the sink and finds out where the subscription stands.
func (d *deliverer) begin(ctx context.Context, subscription event.Subscription) (*session, error) {
	secrets, err := d.Store.Secrets(ctx, d.name)
	if err != nil {
		return nil, fmt.Errorf("read the secrets: %w", err)
	}
	to, err := d.Sinks.open(subscription.Sink, secrets)
	if err != nil {
		d.Metrics.health(d.lease.Home, d.name, event.Failing)
		if told := d.Store.SetHealth(ctx, d.lease, d.name, event.Failing, d.cause("settings: "+err.Error())); told != nil {
			return nil, told
		}
		return nil, fmt.Errorf("open the sink: %w", err)
	}
	outstanding, err := d.Store.Outstanding(ctx, d.lease.Home, d.name)
	if err != nil {
		_ = to.Close() // the first error is the story
		return nil, fmt.Errorf("read where the subscription stands: %w", err)
	}
	digest, err := event.ParseDigest(outstanding.Progress.Digest)
	if err != nil {
		_ = to.Close() // the first error is the story
		return nil, fmt.Errorf("read where the subscription stands: %w", err)
	}
	shape := to.Shape()
	shape.Batch, shape.Parallel = max(shape.Batch, 1), max(shape.Parallel, 1)
	see := event.Options{Homes: subscription.Sees(), HomeOf: d.HomeOf, RegionOf: d.RegionOf}
	s := &session{
		deliverer: d, subscription: subscription, sink: to, shape: shape, slots: make(chan struct{}, shape.Parallel), see: see,
		matcher: subscription.Filter.Compile(see), progress: outstanding.Progress, digest: digest, savedDelivered: outstanding.Progress.Delivered,
		queue:  newQueue(outstanding.Progress.Position, d.Limits.MaxDue),
		health: health{pace: d.Limits.Probe, patient: d.Limits.Patience}, more: true,
		results: make(chan result, shape.Parallel), pages: make(chan page, 1), written: make(chan writing, 1), reported: make(chan error, 1),
	}
	for _, due := range outstanding.Due {
		s.queue.restore(due)
	}
	s.reports.said = event.Active
	if cause, failing := s.saidHere(subscription); failing {
		s.reports.said = event.Failing
		s.health.fail(time.Now(), cause)
	}
	return s, nil
}

// run delivers until the context ends, or the subscription is to be delivered to in another way.
func (s *session) run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx)) // calls in flight may end by themselves
	defer stop()
	wake, deaf := s.listen(s.lease.Home)
	defer deaf()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && s.fatal == nil && !s.revised && s.current() {
		timer.Reset(time.Until(s.step(working, time.Now())))
		select {
		case <-ctx.Done():
		case <-s.news:
		case <-wake:
			s.more = true
		case <-timer.C:
		case r := <-s.results:
			s.settle(r, time.Now())
		case p := <-s.pages:
			s.take(p, time.Now())
		case w := <-s.written:
			s.saved(w, time.Now())
		case err := <-s.reported:
			s.told(err)
		}
	}
	return s.end(ctx, stop)
}

// current tells whether the session delivers what is wanted now.
func (s *session) current() bool {
	o := s.order()
	return o.subscription.Revision == s.subscription.Revision && works(o.subscription)
}

// step starts whatever can be started, and returns when to look again if nothing happens.
func (s *session) step(ctx context.Context, now time.Time) time.Time {
	if !now.Before(s.pollAt) {
		s.more, s.pollAt = true, now.Add(s.Limits.Poll)
		s.gauge(now)
		s.recall()
	}
	s.replay(ctx)
	again := earliest(s.pollAt, s.read(ctx, now))
	again = earliest(again, s.dispatch(ctx, now))
	again = earliest(again, s.save(ctx, now))
	s.report(ctx, now)
	return again
}

// earliest leaves out a zero time.
func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// read asks for the next page where there is room for one.
func (s *session) read(ctx context.Context, now time.Time) time.Time {
	switch q := s.queue; {
	case s.reading || !s.more || q.waiting+s.calls*s.shape.Batch >= s.window() || q.bytes >= s.Limits.WindowBytes,
		len(q.open) >= s.Limits.Ahead || len(q.dirty) >= s.Limits.Ahead:
		return time.Time{}
	case s.readAt.After(now):
		return s.readAt
	}
	s.reading = true
	after := s.queue.read
	go func() {
		ctx, cancel := context.WithTimeout(ctx, readWithin)
		defer cancel()
		events, err := s.Stream.Events(ctx, s.lease.Home, after, s.Limits.Page)
		s.pages <- page{events, err}
	}()
	return time.Time{}
}

const readWithin = 30 * time.Second

func (s *session) window() int { return max(s.Limits.Window, 2*s.shape.Batch*s.shape.Parallel) }

// take puts a page into the queue.
func (s *session) take(p page, now time.Time) {
	s.reading = false
	if p.err != nil {
		s.misread++
		s.readAt = now.Add(rereading.Wait(s.misread, 0))
		if s.misread == 1 {
			s.Log.Warn("read the stream", "home", s.lease.Home, "subscription", s.name, "error", p.err)
		}
		return
	}
	s.misread, s.more = 0, len(p.events) == s.Limits.Page
	for _, e := range p.events {
		if s.matcher.Matches(e) {
			s.queue.add(e, e.Accounts(), weight(e), now)
		} else {
			s.queue.skip(e.Position)
		}
	}
	s.pass(now)
}

var rereading = attempt.Backoff{First: 100 * time.Millisecond, Last: 5 * time.Second}

// weight estimates the memory that an event takes.
func weight(e event.Event) int {
	const fixed, entry = 1024, 160
	return fixed + len(e.Record.Request) + entry*len(e.Record.Outcome.Entries)
}

// dispatch calls the sink as often as may be.
func (s *session) dispatch(ctx context.Context, now time.Time) time.Time {
	for s.calls < s.shape.Parallel {
		most, again := s.health.may(now, s.calls, s.shape.Batch)
		if most == 0 {
			return again
		}
		at, linger := now, s.shape.Linger
		if s.health.probing() && len(s.queue.ready) > 0 { // any message will do, also one that is to be tried later
			linger = 0
			if due := s.queue.ready[0].dueAt; due.After(at) {
				at = due
			}
		}
		batch, again := s.queue.take(at, most, linger)
		if len(batch) == 0 {
			return again
		}
		s.call(ctx, batch)
	}
	return time.Time{}
}

// end waits for what is in flight, and writes down what became of it.
func (s *session) end(ctx context.Context, stop func()) error {
	s.ending = true
	s.await(s.Limits.Grace)
	stop()
	s.await(s.Limits.Grace)
	if s.calls > 0 {
		s.Log.Error("a sink does not let go of a call", "home", s.lease.Home, "subscription", s.name, "calls", s.calls)
	}
	s.replayer.wait()
	if s.reading {
		<-s.pages // the context that ended ends it
	}
	if s.reports.telling {
		<-s.reported
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*s.Limits.Grace)
	defer cancel()
	s.saveLast(ctx)
	return s.fatal
}

// await takes results until no call is in flight, or the time is over.
func (s *session) await(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for s.calls > 0 {
		select {
		case r := <-s.results:
			s.settle(r, time.Now())
		case <-timer.C:
			return
		}
	}
}
