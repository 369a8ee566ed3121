package relay

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// replayer runs the replays of a session, one at a time, beside what is new. It shares the calls that the sink takes at once, and nothing else.
type replayer struct {
	id    string // of the one that runs, or ran last
	done  chan struct{}
	stop  func()
	ended bool
}

// replay starts the replay that is wanted, and stops one that no longer is.
func (s *session) replay(ctx context.Context) {
	r, wanted := &s.replayer, s.order().replay
	if r.done != nil {
		select {
		case <-r.done:
			r.done = nil
		default:
			if wanted == nil || wanted.ID != r.id {
				r.stop()
			}
			return
		}
	}
	if wanted == nil || wanted.ID == r.id && r.ended {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	*r = replayer{id: wanted.ID, done: done, stop: stop}
	go func() {
		defer close(done)
		defer stop()
		r.ended = s.again(ctx, wanted.ID) // read after done is closed
	}()
}

func (r *replayer) wait() {
	if r.done != nil {
		r.stop()
		<-r.done
	}
}

// again delivers a range again. It returns true where the replay is over, and false where it may be started again.
func (s *session) again(ctx context.Context, name string) bool {
	running, err := s.Store.RunningReplays(ctx, s.lease.Home) // how far it is now: what was asked for may be a second old
	if err != nil {
		_ = sleep(ctx, s.Limits.Poll) // whatever ended it, the caller looks again
		return false
	}
	var r *event.Replay
	for n := range running {
		if running[n].ID == name {
			r = &running[n]
		}
	}
	if r == nil {
		return true
	}
	a := &rerun{session: s, Replay: *r, saved: r.Position, limiter: rate.NewLimiter(rate.Limit(r.PerSecond), min(s.shape.Batch, r.PerSecond))}
	return a.run(ctx)
}

// rerun is a replay at work.
type rerun struct {
	*session
	event.Replay
	saved   event.Position
	savedAt time.Time
	limiter *rate.Limiter
}

const saveReplayEvery = 500 * time.Millisecond

// run reads and sends until the range is through, the replay is cancelled or the context ends. How far it is is written down as it goes: who
// goes on after a crash repeats half a second.
func (a *rerun) run(ctx context.Context) (over bool) {
	for failures := 0; ctx.Err() == nil; {
		if a.Position >= a.Last || time.Since(a.savedAt) >= saveReplayEvery {
			runs, err := a.Store.AdvanceReplay(ctx, a.lease, a.ID, a.Position, a.Position >= a.Last)
			switch {
			case err == nil && (!runs || a.Position >= a.Last):
				return true
			case err == nil:
				a.savedAt = time.Now()
			default:
				failures++
				_ = sleep(ctx, rereading.Wait(failures, 0)) // the loop looks at the context
				continue
			}
		}
		most := min(a.Limits.Page, a.PerSecond, int(a.Last-a.Position))
		events, err := a.Stream.Events(ctx, a.lease.Home, a.Position, most)
		if err != nil || len(events) == 0 {
			failures++
			_ = sleep(ctx, rereading.Wait(failures, 0)) // the loop looks at the context
			continue
		}
		failures = 0
		if a.page(ctx, events) != nil {
			break
		}
	}
	a.leave(ctx)
	return false
}

// leave writes down how far it is, when the session ends.
func (a *rerun) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Limits.Grace)
	defer cancel()
	if _, err := a.Store.AdvanceReplay(ctx, a.lease, a.ID, a.Position, false); err != nil {
		a.Log.Warn("write down how far a replay is", "home", a.lease.Home, "subscription", a.name, "replay", a.ID, "error", err)
	}
}

// page sends what is wanted of some events, at the rate of the replay.
func (a *rerun) page(ctx context.Context, events []event.Event) error {
	var batch []sink.Message
	for n, e := range events {
		if a.matcher.Matches(e) {
			m, unfit := a.message(parcel{position: e.Position, event: &e}, a.ID)
			if unfit != nil {
				a.Metrics.replayed(a.lease.Home, a.name, unfit.Cause)
			} else {
				batch = append(batch, m)
			}
		}
		if len(batch) < a.limiter.Burst() && n < len(events)-1 {
			continue
		}
		if len(batch) > 0 {
			if err := a.limiter.WaitN(ctx, len(batch)); err != nil {
				return err
			}
		}
		if err := a.resend(ctx, batch); err != nil {
			return err
		}
		a.Position, batch = e.Position, nil
	}
	return nil
}

// resend delivers messages in order, however long it takes. One that is refused for good, or too often, is left out: it was delivered once, or
// stands among the dead.
func (a *rerun) resend(ctx context.Context, batch []sink.Message) error {
	for attempts := 0; len(batch) > 0; {
		safe, failure := a.send(ctx, batch)
		for range safe {
			a.Metrics.replayed(a.lease.Home, a.name, "")
		}
		batch = batch[safe:]
		if safe > 0 {
			attempts = 0
		}
		if failure == nil || ctx.Err() != nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		attempts++
		if failure.Verdict == sink.Poison || failure.Verdict == sink.Retry && attempts >= a.Limits.Attempts {
			a.Metrics.replayed(a.lease.Home, a.name, failure.Cause)
			batch, attempts = batch[1:], 0
			continue
		}
		if err := sleep(ctx, a.Limits.Probe.Wait(attempts, failure.After)); err != nil {
			return err
		}
		if len(batch) > 0 {
			batch[0].Attempts++
		}
	}
	return nil
}
