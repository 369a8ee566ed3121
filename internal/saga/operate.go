package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Service starts sagas and decides about those that stand still. Package rpc has it on the other side of the wire as well. It is safe for concurrent
// use; errors are *errs.Error: ErrNotFound, ErrState where the saga is not where this can be done, and errs.ErrContended where somebody changed it at
// the same moment, so that one has to look again.
type Service interface {
	// Start starts a saga. The same request under the same key is the saga that is there already, wherever it stands; another request is
	// errs.ErrIdempotencyMismatch.
	Start(ctx context.Context, name id.Ledger, flow Name, key id.Key, q Request) (s Saga, there bool, err error)
	// Standing lists the sagas of a ledger that wait for somebody, the oldest first.
	Standing(ctx context.Context, name id.Ledger, page Page) ([]Saga, error)
	// All lists the sagas of a ledger by id.
	All(ctx context.Context, name id.Ledger, page Page) ([]Saga, error)
	// Explain tells everything of a saga.
	Explain(ctx context.Context, name id.Ledger, key id.Transaction) (Explanation, error)
	// Retry lets a stuck saga try its step again, with as much time and as many attempts as the first time.
	Retry(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error)
	// Compensate lets a saga take back what it did.
	Compensate(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error)
	// Handover proposes how a stuck saga is to go on; somebody other than actor has to approve it. What the provider did in place of the provider's
	// own word, SayDone and SayFailed, can be said in no other way.
	Handover(ctx context.Context, name id.Ledger, key id.Transaction, actor string, c Choice, reason string) (Saga, error)
	// Approve lets a saga go on as somebody else proposed. Whoever proposed it is refused with ErrFourEyes.
	Approve(ctx context.Context, name id.Ledger, key id.Transaction, actor string) (Saga, error)
	// Reject refuses what somebody else proposed: the saga is stuck again, or takes back what it did where the request itself was not approved.
	Reject(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error)
}

// Operators is the Service of a node. It needs no lease: what it writes down, workers take up.
type Operators struct {
	Store  OperatorStore
	Ledger func(context.Context, id.Ledger) (ledger.Ledger, error)
	Now    func() time.Time // nil: time.Now
	Wake   func(id.Home)    // hears of what is to do; may be nil
}

var _ Service = (*Operators)(nil)

// Explanation is all that there is to say of a saga.
type Explanation struct {
	Saga
	Steps   []Explained // of its flow, in order
	History []Line
	Next    string // what happens next, and who has to act, in a sentence
	Can     []Choice
}

// Explained is how a step of a saga stands.
type Explained struct {
	Name     string
	Standing string    // done, taken back, here, skipped or ahead
	Since    time.Time // when the saga came here, of the step that it is at
	Deadline time.Time // of the step that it is at
}

// MaxPage bounds a list.
const MaxPage = 1000

const maxLines = 10_000

func (o *Operators) now() time.Time {
	if o.Now != nil {
		return micros(o.Now())
	}
	return micros(time.Now())
}

// Start implements Service.
func (o *Operators) Start(ctx context.Context, name id.Ledger, flow Name, key id.Key, q Request) (s Saga, there bool, err error) {
	l, err := o.Ledger(ctx, name)
	if err != nil {
		return Saga{}, false, err
	}
	s, err = opening(l, flow, key, q, o.now())
	if err != nil {
		return Saga{}, false, err
	}
	stands, there, err := o.Store.StartSaga(ctx, s, Line{Number: 1, Step: s.Step, Event: "started", Actor: q.Actor, At: s.OpenedAt})
	if err != nil {
		return Saga{}, false, err
	}
	if there && (stands.Flow != flow || !sameRequest(stands.Request, q)) {
		return Saga{}, false, errs.ErrIdempotencyMismatch.With("saga", stands.ID)
	}
	o.wake(l.Home)
	return stands, there, nil
}

func sameRequest(a, b Request) bool {
	x, _ := json.Marshal(a) //nolint:errchkjson // texts and amounts always can be written
	y, _ := json.Marshal(b) //nolint:errchkjson // as above
	return string(x) == string(y)
}

func (o *Operators) wake(home id.Home) {
	if o.Wake != nil {
		o.Wake(home)
	}
}

// Standing implements Service.
func (o *Operators) Standing(ctx context.Context, name id.Ledger, page Page) ([]Saga, error) {
	return o.list(ctx, name, page, o.Store.StandingSagas)
}

// All implements Service.
func (o *Operators) All(ctx context.Context, name id.Ledger, page Page) ([]Saga, error) {
	return o.list(ctx, name, page, o.Store.AllSagas)
}

func (o *Operators) list(
	ctx context.Context, name id.Ledger, page Page, read func(context.Context, id.Home, id.Ledger, Page) ([]Saga, error),
) ([]Saga, error) {
	if page.Limit < 1 || page.Limit > MaxPage {
		return nil, errs.Invalid("limit", fmt.Sprintf("a page has 1 to %d sagas", MaxPage))
	}
	l, err := o.Ledger(ctx, name)
	if err != nil {
		return nil, err
	}
	return read(ctx, l.Home, name, page)
}

// Explain implements Service.
func (o *Operators) Explain(ctx context.Context, name id.Ledger, key id.Transaction) (Explanation, error) {
	s, err := o.find(ctx, name, key)
	if err != nil {
		return Explanation{}, err
	}
	lines, err := o.Store.SagaLines(ctx, s.Home, name, key, 0, maxLines)
	if err != nil {
		return Explanation{}, err
	}
	return explain(s, lines), nil
}

func explain(s Saga, lines []Line) Explanation {
	e := Explanation{Saga: s, History: lines, Next: next(s), Can: can(s)}
	flow := Flows[s.Flow]
	here := flow.at(s.Step)
	for i, step := range flow.Steps {
		one := Explained{Name: step.Name}
		switch undone := func(l Line) bool { return l.Step == step.Name && l.Back && l.Event == string(done) }; {
		case s.State == Completed:
			one.Standing = "done"
		case i == here && !s.State.Ended():
			one.Standing, one.Since, one.Deadline = "here", s.Since, s.Since.Add(step.Deadline)
		case slices.ContainsFunc(lines, undone):
			one.Standing = "taken back"
		case !slices.ContainsFunc(lines, func(l Line) bool { return l.Step == step.Name && !l.Back && l.Event == string(done) }):
			one.Standing = "ahead"
			if s.Progress.Back {
				one.Standing = "skipped"
			}
		default:
			one.Standing = "done"
		}
		e.Steps = append(e.Steps, one)
	}
	return e
}

// next says what happens next.
func next(s Saga) string {
	why := ""
	if s.Cause != "" {
		why = " (" + s.Cause + ")"
	}
	switch s.State {
	case Completed:
		return "nothing: it is completed"
	case Compensated:
		return "nothing: it was taken back" + why
	case Stuck:
		return "it is stuck at " + s.Step + why + " and waits for " + s.Awaits + ": retry, compensate, or hand over to somebody else"
	case Review:
		return fmt.Sprintf("it waits for somebody other than %s to approve or reject: %s", s.Progress.Proposal.Actor, s.Progress.Proposal.Choice)
	case Waiting:
		return "the payment waits for " + s.Awaits + why + "; it is looked at again at " + s.DueAt.Format(time.RFC3339)
	case Running, Compensating:
	}
	verb := "does"
	if s.Progress.Back {
		verb = "takes back"
	}
	who := "a worker"
	if s.Awaits != "" {
		who += ", which waits for the " + s.Awaits + why + ","
	}
	return fmt.Sprintf("%s %s %s at %s, attempt %d", who, verb, s.Step, s.DueAt.Format(time.RFC3339), s.Attempts+1)
}

// can lists what a person can choose for a saga as it stands.
func can(s Saga) []Choice {
	flow := Flows[s.Flow]
	var choices []Choice
	if s.State == Stuck {
		choices = append(choices, Retry)
	}
	switch at := flow.at(s.Step); {
	case s.State == Completed && flow.Steps[at].Undo.none(), s.State != Completed && !flow.takesBack(at):
	case s.State == Stuck && !s.Progress.Back, s.State == Running, s.State == Waiting, s.State == Completed:
		choices = append(choices, Compensate)
	}
	if _, given := s.Progress.Ordered[s.Step]; given && s.State == Stuck {
		choices = append(choices, SayDone, SayFailed)
	}
	return choices
}

// Retry implements Service.
func (o *Operators) Retry(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error) {
	return o.choose(ctx, name, key, Proposal{Choice: Retry, Actor: actor, Reason: reason})
}

// Compensate implements Service.
func (o *Operators) Compensate(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error) {
	return o.choose(ctx, name, key, Proposal{Choice: Compensate, Actor: actor, Reason: reason})
}

func (o *Operators) choose(ctx context.Context, name id.Ledger, key id.Transaction, p Proposal) (Saga, error) {
	return o.change(ctx, name, key, p.Actor, p.Reason, func(s *Saga, line *Line) error {
		if !slices.Contains(can(*s), p.Choice) {
			return ErrState.With("state", s.State).With("step", s.Step)
		}
		line.Event = string(p.Choice)
		s.follow(p.Choice, line.At)
		return nil
	})
}

// follow does what was chosen.
func (s *Saga) follow(c Choice, now time.Time) {
	s.Progress.Proposal, s.Awaits, s.Attempts, s.Since, s.DueAt = nil, "", 0, now, now
	switch c {
	case Compensate:
		s.Cause, s.Detail = "operator", "somebody decided to take it back"
		*s = s.back(now)
		return
	case SayDone:
		s.Progress.Said = provider.OrderDone
	case SayFailed:
		s.Progress.Said = provider.OrderDeclined
	case Retry, Proceed:
	}
	if s.State = Running; s.Progress.Back {
		s.State = Compensating
		return
	}
	s.Cause, s.Detail = "", ""
}

// Handover implements Service.
func (o *Operators) Handover(ctx context.Context, name id.Ledger, key id.Transaction, actor string, c Choice, reason string) (Saga, error) {
	return o.change(ctx, name, key, actor, reason, func(s *Saga, line *Line) error {
		switch {
		case !slices.Contains(Choices, c):
			return errs.Invalid("choice", "propose retry, compensate, done or failed")
		case reason == "":
			return errs.Invalid("reason", "say why, so that somebody else can judge it")
		case s.State != Stuck || !slices.Contains(can(*s), c):
			return ErrState.With("state", s.State).With("step", s.Step)
		}
		s.State, s.Awaits = Review, "somebody other than "+actor
		s.Progress.Proposal = &Proposal{Choice: c, Actor: actor, Reason: reason, At: line.At}
		line.Event, line.Detail = "review", "proposed: "+string(c)+": "+reason
		return nil
	})
}

// Approve implements Service.
func (o *Operators) Approve(ctx context.Context, name id.Ledger, key id.Transaction, actor string) (Saga, error) {
	return o.judge(ctx, name, key, actor, "", func(s *Saga, p Proposal, line *Line) {
		line.Event = "approved"
		if p.Choice == Proceed {
			s.Progress.ApprovedBy = actor
		}
		s.follow(p.Choice, line.At)
	})
}

// Reject implements Service.
func (o *Operators) Reject(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (Saga, error) {
	return o.judge(ctx, name, key, actor, reason, func(s *Saga, p Proposal, line *Line) {
		line.Event = "rejected"
		if p.Choice == Proceed {
			s.follow(Compensate, line.At)
			s.Cause, s.Detail = "rejected", "somebody else did not approve it"
			return
		}
		s.Progress.Proposal, s.State, s.Awaits = nil, Stuck, awaitsOperator
	})
}

func (o *Operators) judge(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string, judge func(*Saga, Proposal, *Line)) (Saga, error) {
	return o.change(ctx, name, key, actor, reason, func(s *Saga, line *Line) error {
		if s.State != Review {
			return ErrState.With("state", s.State).With("step", s.Step)
		}
		p := *s.Progress.Proposal
		if !id.OtherActor(p.Actor, actor) {
			return ErrFourEyes.With("actor", actor)
		}
		line.Proposer = p.Actor
		if line.Detail == "" {
			line.Detail = string(p.Choice)
		}
		judge(s, p, line)
		return nil
	})
}

func (o *Operators) find(ctx context.Context, name id.Ledger, key id.Transaction) (Saga, error) {
	l, err := o.Ledger(ctx, name)
	if err != nil {
		return Saga{}, err
	}
	return o.Store.Saga(ctx, l.Home, name, key)
}

// change reads a saga, changes it, and writes it with a line.
func (o *Operators) change(ctx context.Context, name id.Ledger, key id.Transaction, who, reason string, change func(*Saga, *Line) error) (Saga, error) {
	if err := actor(who); err != nil {
		return Saga{}, err
	}
	if len(reason) > maxText || attempt.Brief(reason) != reason {
		return Saga{}, errs.Invalid("reason", "say why in at most 255 bytes of text")
	}
	s, err := o.find(ctx, name, key)
	if err != nil {
		return Saga{}, err
	}
	now := o.now()
	line := Line{Step: s.Step, Back: s.Progress.Back, Detail: reason, Actor: who, At: now}
	if err := change(&s, &line); err != nil {
		return Saga{}, err
	}
	s.Version++
	s.Progress.Lines++
	s.ChangedAt, line.Number = now, s.Progress.Lines
	if err := o.Store.ChangeSaga(ctx, s, line); err != nil {
		return Saga{}, err
	}
	o.wake(s.Home)
	return s, nil
}
