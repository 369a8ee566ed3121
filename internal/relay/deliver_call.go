package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// open makes a sink, or says that there is no such kind here.
func (s Sinks) open(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error) {
	open := s[spec.Kind]
	if open == nil {
		return nil, fmt.Errorf("this server delivers to no %s", spec.Kind)
	}
	return open(spec, secrets)
}

// parcel is what a call needs to know of an item, so that it reads none that the loop may change.
type parcel struct {
	position event.Position
	event    *event.Event
	attempts int
}

// result is what became of a call.
type result struct {
	items   []*item
	safe    int
	failure *sink.Error // of the item at safe
	unread  error       // the events could not be read: nothing was attempted
	took    time.Duration
}

func (s *session) call(ctx context.Context, batch []*item) {
	parcels := make([]parcel, len(batch))
	for n, i := range batch {
		parcels[n] = parcel{i.position, i.event, i.attempts}
	}
	s.calls++
	go func() {
		r := s.deliver(ctx, parcels)
		r.items = batch
		s.results <- r
	}()
}

// deliver makes the messages and hands them to the sink.
func (s *session) deliver(ctx context.Context, parcels []parcel) result {
	if err := s.reread(ctx, parcels); err != nil {
		return result{unread: err}
	}
	messages := make([]sink.Message, 0, len(parcels))
	var unfit *sink.Error
	for _, p := range parcels {
		m, err := s.message(p, "")
		if err != nil {
			unfit = err
			break
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return result{failure: unfit}
	}
	started := time.Now()
	safe, failure := s.send(ctx, messages)
	if failure == nil && safe == len(messages) {
		failure = unfit
	}
	return result{safe: safe, failure: failure, took: time.Since(started)}
}

// reread gets the events of those that have none in memory.
func (s *session) reread(ctx context.Context, parcels []parcel) error {
	var missing []event.Position
	for _, p := range parcels {
		if p.event == nil {
			missing = append(missing, p.position)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	events, err := s.Store.EventsAt(ctx, s.lease.Home, missing)
	if err != nil {
		return err
	}
	byPosition := make(map[event.Position]*event.Event, len(events))
	for n := range events {
		byPosition[events[n].Position] = &events[n]
	}
	for n := range parcels {
		if parcels[n].event == nil {
			parcels[n].event = byPosition[parcels[n].position]
		}
	}
	return nil
}

func (s *session) message(p parcel, replay string) (sink.Message, *sink.Error) {
	if p.event == nil {
		return sink.Message{}, &sink.Error{Verdict: sink.Poison, Cause: "unreadable", Detail: "the stream has no event at this position"}
	}
	rendered, err := event.Render(*p.event, s.see)
	if err != nil {
		return sink.Message{}, &sink.Error{Verdict: sink.Poison, Cause: "unreadable", Detail: "the journal row can not be read", Err: err}
	}
	return sink.Message{
		Event: *p.event, Key: rendered.Headers["partitionkey"], Body: rendered.Body, Data: rendered.Data, Headers: rendered.Headers, Replay: replay,
		Attempts: p.attempts,
	}, nil
}

// send calls the sink, as soon as fewer calls than it takes are in flight, and brings its answer into order.
func (s *session) send(ctx context.Context, messages []sink.Message) (int, *sink.Error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, given(ctx.Err())
	}
	defer func() { <-s.slots }()
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Call)
	defer cancel()
	return answered(ctx, s.sink, messages)
}

// answered calls a sink: it returns no failure where all are safe, and one where not.
func answered(ctx context.Context, to sink.Sink, messages []sink.Message) (int, *sink.Error) {
	safe, err := to.Deliver(ctx, messages)
	safe = min(max(safe, 0), len(messages))
	switch {
	case safe == len(messages):
		return safe, nil
	case err == nil:
		return safe, &sink.Error{Verdict: sink.Retry, Cause: "incomplete", Detail: "the sink took only a part of the messages, and did not say why"}
	}
	return safe, given(err)
}

// given is an error as a sink is to give it.
func given(err error) *sink.Error {
	var e *sink.Error
	switch {
	case errors.As(err, &e):
		clean := *e
		clean.Cause, clean.Detail = attempt.Word(e.Cause), attempt.Brief(e.Detail)
		return &clean
	case errors.Is(err, context.DeadlineExceeded):
		return &sink.Error{Verdict: sink.Retry, Cause: "timeout", Detail: "the sink did not answer in time", Err: err}
	case errors.Is(err, context.Canceled):
		return &sink.Error{Verdict: sink.Retry, Cause: "canceled", Detail: "the call was given up", Err: err}
	}
	return &sink.Error{Verdict: sink.Retry, Cause: attempt.Other, Detail: "the sink failed in a way that it has no word for", Err: err}
}

// settle takes in what became of a call. Those behind a failure go back before it does, so that it can take along what has to wait for it.
func (s *session) settle(r result, now time.Time) {
	s.calls--
	if r.unread != nil {
		s.Log.Warn("read events that are due", "home", s.lease.Home, "subscription", s.name, "error", r.unread)
		for _, i := range r.items {
			s.queue.back(i, now.Add(rereading.Wait(1, 0)))
		}
		return
	}
	for _, i := range r.items[:r.safe] {
		s.settled(i, delivered)
		s.Metrics.attempted(s.lease.Home, s.name, i.attempts, "delivered", "")
	}
	if r.safe > 0 && s.health.succeeded() {
		s.Log.Info("a sink is back", "home", s.lease.Home, "subscription", s.name)
	}
	if r.took > 0 {
		s.Metrics.called(s.subscription.Sink.Kind, r.took)
	}
	if r.safe < len(r.items) {
		for _, i := range r.items[r.safe+1:] {
			s.queue.back(i, i.dueAt)
		}
		if first := r.items[r.safe]; r.failure == nil {
			s.queue.back(first, first.dueAt)
		} else {
			s.refused(first, r.failure, now)
		}
	}
	s.pass(now)
}

// refused takes in a failure of one message.
func (s *session) refused(i *item, e *sink.Error, now time.Time) {
	if s.ending && errors.Is(e.Err, context.Canceled) { // we gave up, not the sink
		s.queue.back(i, now)
		return
	}
	if e.Verdict == sink.Poison {
		s.health.succeeded() // it answers
		s.bury(i, e)
		return
	}
	if !s.health.refused(now, i.position, e) {
		s.queue.back(i, now)
		s.Metrics.attempted(s.lease.Home, s.name, 0, string(sink.Down), e.Cause)
		return
	}
	i.attempts++
	if i.attempts >= s.Limits.Attempts {
		s.bury(i, e)
		return
	}
	s.Metrics.attempted(s.lease.Home, s.name, i.attempts-1, string(sink.Retry), e.Cause)
	i.cause, i.detail = e.Cause, e.Detail
	s.queue.retried(i, now.Add(s.Limits.Retry.Wait(i.attempts, e.After)))
}

// bury gives a message up; those behind it go on.
func (s *session) bury(i *item, e *sink.Error) {
	if e.Verdict == sink.Poison {
		i.attempts++
	}
	i.cause, i.detail = e.Cause, e.Detail
	s.Metrics.attempted(s.lease.Home, s.name, i.attempts-1, string(event.Dead), e.Cause)
	s.Log.Warn("a delivery is dead", "home", s.lease.Home, "subscription", s.name, "position", i.position,
		"transaction", i.transaction, "cause", e.Cause, "attempts", i.attempts, "error", e.Err)
	s.settled(i, dead)
}
