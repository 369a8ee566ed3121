package saga

import (
	"cmp"
	"time"
)

// kind is what an answer comes to.
type kind string

const (
	done    kind = "done"    // the step is done, or taken back
	again   kind = "again"   // something has changed: look once more
	refused kind = "refused" // it has not happened and will not
	waiting kind = "waiting" // somebody has to decide
	pending kind = "pending" // the provider has not decided
	unknown kind = "unknown" // nobody knows, or nothing could be done for now
	late    kind = "late"    // of taking back: what was to be taken back has come to its end
	broken  kind = "broken"  // it contradicts what was believed
)

// answer is what came of acting on a step.
type answer struct {
	kind   kind
	cause  string
	detail string
	awaits string
	// soon says that there is no reason to wait before the next attempt.
	soon bool
}

// Who has to act on what stands still.
const awaitsOperator = "operator"

// decide says what a saga is after an answer to the step that it is at, and the line to write; none where only the time of the next look changes.
// wait is how long to wait after so many attempts.
func decide(s Saga, a answer, now time.Time, wait func(attempts int) time.Duration) (Saga, *Line) {
	now = micros(now)
	flow := Flows[s.Flow]
	i := flow.at(s.Step)
	step := flow.Steps[i]
	line := &Line{Step: s.Step, Back: s.Progress.Back, Event: string(a.kind), Cause: a.cause, Detail: a.detail, At: now}
	before := s
	s.ChangedAt = now
	switch a.kind {
	case done:
		s = s.move(flow, i, now)
	case late:
		if s.Progress.Turned {
			return s.stand("contradiction", "it went on once because it was too late to take back, and was refused then: "+a.detail, line)
		}
		s.Progress.Back, s.Progress.Turned, s.State = false, true, Running
		s = s.move(flow, i, now)
	case refused:
		if s.Progress.Back || step.Must || s.Progress.Turned {
			return s.stand(a.cause, a.detail, line)
		}
		s.Progress.Back, s.State, s.Cause, s.Detail = true, Compensating, a.cause, a.detail
		s = s.move(flow, i, now)
	case broken:
		s, line = s.stand(a.cause, a.detail, line)
		s.Awaits = cmp.Or(a.awaits, awaitsOperator)
	case waiting, pending, unknown, again:
		if a.kind == unknown || a.kind == again {
			s.Attempts++
		}
		if s.Attempts > step.Attempts || now.Sub(s.Since) > step.Deadline {
			line.Event = string(unknown)
			return s.stand(cmp.Or(a.cause, string(a.kind)), "no answer in time: "+a.detail, line)
		}
		s.DueAt = now
		if !a.soon {
			s.DueAt = micros(now.Add(wait(max(1, s.Attempts, looks(s, now)))))
		}
		if !s.Progress.Back {
			s.State, s.Cause, s.Detail = Running, a.cause, a.detail
		}
		if s.Awaits = a.awaits; a.kind == waiting {
			s.State = Waiting
		}
		if before.State == s.State && before.Cause == s.Cause && before.Detail == s.Detail && a.kind != unknown {
			return s, nil
		}
	}
	return s, line
}

// looks grows with the time that a step takes, so that what takes days is not looked at every second.
func looks(s Saga, now time.Time) int {
	n := 0
	for d := now.Sub(s.Since); d > time.Second; d /= 2 {
		n++
	}
	return n
}

// stand stops a saga until a person says how to go on.
func (s Saga) stand(cause, detail string, line *Line) (Saga, *Line) {
	s.State, s.Cause, s.Detail, s.Awaits = Stuck, cause, detail, awaitsOperator
	line.Event, line.Cause, line.Detail = "stuck", cause, detail
	return s, line
}

// move takes a saga from the i-th step to the one behind or before it, or to its end.
func (s Saga) move(flow Flow, i int, now time.Time) Saga {
	s.Attempts, s.Since, s.DueAt, s.Awaits = 0, now, now, ""
	if !s.Progress.Back {
		s.State, s.Cause, s.Detail = Running, "", ""
		if i+1 == len(flow.Steps) {
			s.State = Completed
			return s
		}
		s.Step = flow.Steps[i+1].Name
		return s
	}
	s.State = Compensating
	if i == 0 || flow.Steps[i-1].Pivot {
		s.State = Compensated
		return s
	}
	s.Step = flow.Steps[i-1].Name
	if flow.Steps[i-1].Undo.none() { // one write less
		return s.move(flow, i-1, now)
	}
	return s
}

// back turns a saga that stands at a step around: what is in doubt there is taken back first.
func (s Saga) back(now time.Time) Saga {
	s.Progress.Back, s.State, s.Attempts, s.Since, s.DueAt, s.Awaits = true, Compensating, 0, now, now, ""
	return s
}
