package relay

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
)

// reporting is what others were told of the sink.
type reporting struct {
	said    event.State
	saying  event.State
	telling bool
	tryAt   time.Time
}

func (s *session) told(err error) {
	s.reports.telling = false
	switch {
	case err == nil:
		s.reports.said = s.reports.saying
	case errors.Is(err, event.ErrFenced):
		s.fatal = event.ErrFenced
	}
}

// cause is why a sink is failing, for a person. It names the home: each has a deliverer of its own, and none overrules another.
func (d *deliverer) cause(text string) string {
	return attempt.Brief(string(d.lease.Home) + ": " + text)
}

// saidHere tells whether a subscription is failing by the word of this home.
func (d *deliverer) saidHere(s event.Subscription) (cause string, failing bool) {
	cause, here := strings.CutPrefix(s.Cause, string(d.lease.Home)+": ")
	return cause, here && s.State == event.Failing
}

// recall takes in what is written down by now, which others may have changed; report says it again then.
func (s *session) recall() {
	if s.reports.telling {
		return
	}
	there := s.order().subscription
	if _, failing := s.saidHere(there); failing {
		s.reports.said = event.Failing
	} else if there.State == event.Active {
		s.reports.said = event.Active
	}
}

// report persists that the sink is failing, or is back, so that operators see it.
func (s *session) report(ctx context.Context, now time.Time) {
	r, state, cause := &s.reports, event.Active, ""
	if s.health.failing {
		state, cause = event.Failing, s.cause(s.health.cause)
	}
	if r.telling || now.Before(r.tryAt) || state == r.said {
		return
	}
	s.Metrics.health(s.lease.Home, s.name, state)
	r.telling, r.saying, r.tryAt = true, state, now.Add(s.Limits.Poll)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, writeWithin)
		defer cancel()
		s.reported <- s.Store.SetHealth(ctx, s.lease, s.name, state, cause)
	}()
}
