package relay

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// distinctFailures is how many different messages have to fail, and none to go through, before it is the sink that fails and not they.
const distinctFailures = 3

// health says whether a sink is worth calling. While it is down, or failing, it gets one message at growing intervals, each time another one
// where there is one. A failure counts against a message unless the sink is down, or fails whatever it is given: a sink that is away for hours
// makes no dead letters, and a message that nobody takes does not keep a sink failing.
type health struct {
	pace    attempt.Backoff
	patient time.Duration // after which trouble is called failing

	since   time.Time                   // of the first failure after which nothing went through; zero where all is well
	failed  map[event.Position]struct{} // refused since then, up to distinctFailures
	down    bool
	failing bool
	rounds  int
	probeAt time.Time
	cause   string // of the last failure, for a person
}

// probing tells whether one message at a time is what the sink gets.
func (h *health) probing() bool { return h.down || h.failing }

// may tells how many messages may go out in one call now, of those that fit, and else when to ask again.
func (h *health) may(now time.Time, calls, fit int) (most int, again time.Time) {
	switch {
	case !h.probing():
		return fit, time.Time{}
	case calls > 0:
		return 0, time.Time{}
	case h.probeAt.After(now):
		return 0, h.probeAt
	}
	return 1, time.Time{}
}

// succeeded tells whether the sink is back from failing.
func (h *health) succeeded() (back bool) {
	back = h.failing
	*h = health{pace: h.pace, patient: h.patient}
	return back
}

// refused takes in a failure, and tells whether it counts against the message.
func (h *health) refused(now time.Time, p event.Position, e *sink.Error) (counts bool) {
	if h.since.IsZero() {
		h.since, h.failed = now, map[event.Position]struct{}{}
	}
	h.cause = e.Cause + ": " + e.Detail
	wasProbing := h.probing()
	h.down = e.Verdict == sink.Down
	if e.Verdict == sink.Retry && len(h.failed) < distinctFailures {
		h.failed[p] = struct{}{}
	}
	itself := len(h.failed) == distinctFailures // it is the sink, and no message
	h.failing = h.failing || now.Sub(h.since) >= h.patient && (h.down || itself)
	if !h.probing() {
		h.rounds = 0
	} else if !wasProbing || !now.Before(h.probeAt) { // other calls that were in flight tell nothing new
		h.rounds++
		h.probeAt = now.Add(h.pace.Wait(h.rounds, e.After))
	}
	return !h.down && (!h.failing || !itself)
}

// fail makes it failing at once, as a deliverer finds it that takes over, or that can not open the sink.
func (h *health) fail(now time.Time, cause string) {
	h.failing, h.since, h.cause = true, now, cause
	h.failed = map[event.Position]struct{}{}
}
