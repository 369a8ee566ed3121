package saga

import (
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Name names a flow.
type Name string

// The flows.
const (
	Withdrawal Name = "withdrawal" // money leaves through a provider
	Deposit    Name = "deposit"    // money comes through a provider, and a bonus with it
	Refund     Name = "refund"     // a captured deposit goes back, whole or in part
)

// Part is one of the payments that a saga makes.
type Part string

// The parts.
const (
	Main  Part = "main"
	Bonus Part = "bonus"
)

// Flow is a list of steps. Done in order they complete it; taken back in the opposite order they compensate it.
type Flow struct {
	Kind   ledger.PaymentKind // of Main
	Bonus  bool               // its request has a bonus
	Parent bool               // its request has a parent
	Steps  []Step
}

// Step is done, and perhaps taken back. What has to be taken back has as much time and as many attempts as what has to be done.
type Step struct {
	Name     string
	Do       Action
	Undo     Action // zero: nothing has to be taken back
	Approval bool   // before it, somebody else approves where the request asks for that
	// Must says that money has moved before, so that a refusal here is for a person to look at: it is no reason to take back.
	Must bool
	// Pivot says that what this step did stays, and so all before it: taking back what came later ends here.
	Pivot    bool
	Deadline time.Duration   // from coming to the step to being stuck
	Attempts int             // without an answer, to being stuck
	Retry    attempt.Backoff // between them, and between looks at what is pending
}

// Action is what a step does: a trigger of a payment, or an order to a provider.
type Action struct {
	Of    Part
	On    map[payment.State]payment.Trigger // what to do, by the state that the payment is met in
	Until []payment.State                   // it is done, whoever did it
	Late  []payment.State                   // of an Undo: it can not be done any more, because what it takes back has come to its end

	Order  provider.Operation // give this order
	From   []payment.State    // to give the order, Main has to be in one of these
	Cancel bool               // take back the order of the step
}

func (a Action) none() bool { return a.On == nil && a.Order == "" && !a.Cancel }

type (
	when   = map[payment.State]payment.Trigger
	states = []payment.State
)

// Times of steps. Books answer within seconds or not for now; a provider may take days; a person may be on holiday.
var (
	books   = Step{Deadline: 24 * time.Hour, Attempts: 60, Retry: attempt.Backoff{First: 500 * time.Millisecond, Last: 30 * time.Second}}
	people  = Step{Deadline: 14 * 24 * time.Hour, Attempts: 60, Retry: attempt.Backoff{First: time.Second, Last: time.Minute}}
	outside = Step{Deadline: 5 * 24 * time.Hour, Attempts: 40, Retry: attempt.Backoff{First: time.Second, Last: 15 * time.Minute}}
)

// within gives a step the times of another.
func within(times, s Step) Step {
	s.Deadline, s.Attempts, s.Retry = times.Deadline, times.Attempts, times.Retry
	return s
}

// Flows are all flows.
var Flows = map[Name]Flow{
	Withdrawal: {Kind: payment.Withdrawal, Steps: []Step{
		within(books, Step{
			Name: "request", Do: Action{Of: Main, On: when{payment.New: "request"}, Until: states{"requested", ledger.UnderReview}},
			Undo: Action{
				Of: Main, On: when{"requested": "cancel", "approved": "cancel", ledger.UnderReview: "cancel", "failed": "compensate"},
				Until: states{"cancelled", "rejected", "compensated"}, Late: states{"settled"},
			},
		}),
		within(people, Step{
			Name: "approve", Approval: true,
			Do: Action{Of: Main, On: when{"requested": "approve"}, Until: states{"approved", "submitted", "failed", "settled"}},
		}),
		within(books, Step{
			Name: "submit", Do: Action{Of: Main, On: when{"approved": "submit"}, Until: states{"submitted", "settled"}},
			Undo: Action{
				Of: Main, On: when{"submitted": "fail"}, Until: states{"requested", "approved", ledger.UnderReview, "failed", "cancelled", "rejected", "compensated"},
				Late: states{"settled"},
			},
		}),
		within(outside, Step{
			Name: "pay", Undo: Action{Cancel: true},
			Do: Action{Order: provider.OpPayout, From: states{"submitted"}, Until: states{"settled"}},
		}),
		within(books, Step{Name: "settle", Must: true, Do: Action{Of: Main, On: when{"submitted": "settle"}, Until: states{"settled"}}}),
	}},
	// Once the money is captured it is the player's. What is taken back later is the bonus; the deposit stands, and goes back by a refund.
	Deposit: {Kind: payment.Deposit, Bonus: true, Steps: []Step{
		within(books, Step{
			Name: "authorize", Do: Action{Of: Main, On: when{payment.New: "authorize"}, Until: states{"authorized", "captured", "settled"}},
			Undo: Action{Of: Main, On: when{"authorized": "void"}, Until: states{"voided", "expired"}, Late: states{"partially_captured", "captured", "settled"}},
		}),
		within(outside, Step{
			Name: "charge", Undo: Action{Cancel: true},
			Do: Action{Order: provider.OpCharge, From: states{"authorized"}, Until: states{"captured", "settled"}},
		}),
		within(books, Step{
			Name: "capture", Must: true, Pivot: true,
			Do: Action{Of: Main, On: when{"authorized": "capture", "partially_captured": "capture"}, Until: states{"captured", "settled"}},
		}),
		within(books, Step{Name: "settle", Must: true, Do: Action{Of: Main, On: when{"captured": "settle"}, Until: states{"settled"}}}),
		within(books, Step{
			Name: "grant", Do: Action{Of: Bonus, On: when{payment.New: "grant"}, Until: states{"granted", "wagering", "cleared", "converted"}},
			Undo: Action{
				Of: Bonus, On: when{"granted": "forfeit", "wagering": "forfeit", "cleared": "forfeit"}, Until: states{"forfeited", "expired"}, Late: states{"converted"},
			},
		}),
	}},
	Refund: {Kind: payment.Refund, Parent: true, Steps: []Step{
		within(books, Step{
			Name: "request", Do: Action{Of: Main, On: when{payment.New: "request"}, Until: states{"requested", ledger.UnderReview}},
			Undo: Action{
				Of: Main, On: when{"requested": "reject", "approved": "reject", ledger.UnderReview: "reject", "failed": "compensate"},
				Until: states{"rejected", "compensated"}, Late: states{"settled"},
			},
		}),
		within(people, Step{
			Name: "approve", Approval: true,
			Do: Action{Of: Main, On: when{"requested": "approve"}, Until: states{"approved", "submitted", "failed", "settled"}},
		}),
		within(books, Step{
			Name: "submit", Do: Action{Of: Main, On: when{"approved": "submit"}, Until: states{"submitted", "settled"}},
			Undo: Action{
				Of: Main, On: when{"submitted": "fail"}, Until: states{"requested", "approved", ledger.UnderReview, "failed", "rejected", "compensated"},
				Late: states{"settled"},
			},
		}),
		within(outside, Step{
			Name: "give_back", Undo: Action{Cancel: true},
			Do: Action{Order: provider.OpRefund, From: states{"submitted"}, Until: states{"settled"}},
		}),
		within(books, Step{Name: "settle", Must: true, Do: Action{Of: Main, On: when{"submitted": "settle"}, Until: states{"settled"}}}),
	}},
}

// at returns the place of a step in a flow, -1 where it has none.
func (f Flow) at(step string) int {
	return slices.IndexFunc(f.Steps, func(s Step) bool { return s.Name == step })
}

// takesBack tells whether anything is taken back from the i-th step on.
func (f Flow) takesBack(i int) bool {
	for ; i >= 0; i-- {
		if !f.Steps[i].Undo.none() {
			return true
		}
		if i > 0 && f.Steps[i-1].Pivot {
			return false
		}
	}
	return false
}
