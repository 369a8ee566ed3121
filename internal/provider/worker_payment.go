package provider

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
)

// sitting is a worker on the open callbacks of one payment, in their order. It is for one goroutine.
//
// A callback that is to be tried again keeps those behind it back: they may build on what it does. One that came too early keeps nobody back,
// because what it waits for is among those behind it, or not there yet; and whenever something was applied, those that came too early are
// looked at again.
type sitting struct {
	*Workers
	now       time.Time
	callbacks []Callback
	changed   []bool
	down      string
}

func (s *sitting) work(ctx context.Context) {
	for again, progress := true, false; again; progress = true {
		again = false
		for i := range s.callbacks {
			c := &s.callbacks[i]
			if ctx.Err() != nil || s.down != "" {
				return
			}
			switch {
			case c.State != Received && c.State != Waiting:
				continue
			case !c.DueAt.After(s.now):
			case early(*c):
				if !progress {
					continue // nothing is new
				}
			case c.State == Waiting:
				s.hold(i)
				return
			}
			verdict := s.attempt(ctx, c, progress)
			s.changed[i] = s.changed[i] || verdict != Down
			again = again || verdict == Done
			if verdict == Retry && c.State == Waiting {
				s.hold(i)
				return
			}
		}
	}
}

// early tells whether a callback waits for what has to come before it.
func early(c Callback) bool { return c.State == Waiting && c.Cause == CauseEarly }

// hold keeps those behind one back until it is due, so that nobody reads them before.
func (s *sitting) hold(at int) {
	for i := at + 1; i < len(s.callbacks); i++ {
		if c := &s.callbacks[i]; (c.State == Received || c.State == Waiting) && c.DueAt.Before(s.callbacks[at].DueAt) {
			c.DueAt = s.callbacks[at].DueAt
			s.changed[i] = true
		}
	}
}

// attempt applies one, and decides what becomes of it.
func (s *sitting) attempt(ctx context.Context, c *Callback, again bool) Verdict {
	a := s.ask(ctx, c)
	if ctx.Err() != nil && a.Verdict != Done { // it was given up, and nobody knows
		s.down = "canceled"
		return Down
	}
	if a.Verdict != Done && a.Verdict != NotYet {
		a.Cause = attempt.Word(a.Cause)
	}
	a.Detail = attempt.Brief(a.Detail)
	switch a.Verdict {
	case Down:
		s.down = a.Cause
		s.Metrics.attempted(*c, string(Down), a.Cause)
		return Down
	case Done:
		c.State, c.Cause, c.Detail = Applied, a.Cause, a.Detail
		s.Metrics.delay.WithLabelValues(string(c.Home), string(c.Provider)).Observe(max(0, s.now.Sub(c.ReceivedAt).Seconds()))
	case NotYet:
		if !again {
			s.Metrics.attempted(*c, string(NotYet), "")
		}
		return s.tooEarly(c, a)
	case Retry:
		if c.Attempts++; c.Attempts < s.Limits.Attempts {
			c.State, c.Cause, c.Detail = Waiting, a.Cause, a.Detail
			c.DueAt = s.now.Add(s.Limits.Retry.Wait(c.Attempts, 0)).Truncate(time.Microsecond)
			break
		}
		s.bury(c, a)
	default:
		c.Attempts++
		s.bury(c, a)
	}
	c.ChangedAt = s.now
	s.Metrics.attempted(*c, string(c.State), c.Cause)
	return a.Verdict
}

// ask calls Apply, unless what the provider said means nothing to it.
func (s *sitting) ask(ctx context.Context, c *Callback) Answer {
	account := s.Config.Accounts[c.Provider]
	if c.Trigger == Unknown && account != nil { // it may have been written down since
		c.Trigger = account.TriggerOf(c.Type)
	}
	switch {
	case c.Trigger == Ignored:
		return Answer{Verdict: Done}
	case c.Trigger == Unknown && c.Type == "":
		return Answer{Refused, CauseUnreadable, "the event has no type"}
	case c.Trigger == Unknown:
		return Answer{Refused, CauseUnknownType, "the configuration has no trigger for this type"}
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Call)
	defer cancel()
	return s.Apply(ctx, c.Envelope)
}

// tooEarly lets a callback wait, the longer the older it is, until its time is over.
func (s *sitting) tooEarly(c *Callback, a Answer) Verdict {
	patience := defaultPatience
	if account := s.Config.Accounts[c.Provider]; account != nil {
		patience = account.Patience
	}
	ends := c.OpenedAt.Add(patience)
	c.ChangedAt = s.now
	if !s.now.Before(ends) {
		s.bury(c, Answer{Refused, CauseEarly, a.Detail})
		s.Metrics.attempted(*c, string(Dead), CauseEarly)
		return Refused
	}
	wait := min(max(s.now.Sub(c.OpenedAt)/4, s.Limits.Early.First), s.Limits.Early.Last)
	wait -= rand.N(wait/4 + 1) // so that those who came together do not come back together
	c.State, c.Cause, c.Detail = Waiting, CauseEarly, a.Detail
	if c.DueAt = s.now.Add(wait).Truncate(time.Microsecond); c.DueAt.After(ends) {
		c.DueAt = ends
	}
	return NotYet
}

// bury gives a callback up; those behind it go on.
func (s *sitting) bury(c *Callback, a Answer) {
	c.State, c.Cause, c.Detail = Dead, attempt.Word(a.Cause), a.Detail
	s.Log.Warn("a callback is dead", "home", c.Home, "provider", c.Provider, "event", c.ID, "trigger", c.Trigger, "cause", c.Cause, "attempts", c.Attempts)
}

// result is what has to be written down.
func (s *sitting) result() []Callback {
	var all []Callback
	for i, c := range s.callbacks {
		if s.changed[i] {
			all = append(all, c)
		}
	}
	return all
}
