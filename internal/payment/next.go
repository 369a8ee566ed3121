package payment

import (
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Lifecycle returns how payments advance by the tables of this package and a chart.
func (c *Chart) Lifecycle() ledger.Lifecycle { return ledger.Lifecycle{Roles: c.roles, Next: c.next} }

func refused(reason errs.Reason, facts ...string) ledger.Advance {
	r := &ledger.Refusal{Reason: reason, Detail: make(map[string]string, len(facts)/2)}
	for i := 0; i+1 < len(facts); i += 2 {
		r.Detail[facts[i]] = facts[i+1]
	}
	return ledger.Advance{Refused: r}
}

// next chooses the rule for a step and says what comes of it.
func (c *Chart) next(s ledger.Situation) ledger.Advance {
	table, known := TableOf(s.Payment.Kind)
	if !known {
		return notInTable(s, Unknown)
	}
	if table.Parent != "" && (s.Parent.Kind != table.Parent || !s.Parent.Exists() || s.Parent.Player != s.Payment.Player) {
		return refused(errs.ReasonPaymentNotFound, "payment_id", s.Payment.Parent.String(), "wanted", string(table.Parent))
	}
	state, trigger := s.Payment.State, s.Command.Step.Trigger
	var fitting []Rule
	for _, r := range table.Rules {
		if r.On == trigger && slices.Contains(r.From, state) {
			fitting = append(fitting, r)
		}
	}
	if len(fitting) == 0 {
		return notInTable(s, table.why(state, trigger))
	}
	if fitting[0].OtherActor && !id.OtherActor(s.Payment.Actor, s.Command.Step.Actor) {
		return notInTable(s, SameActor)
	}
	for _, r := range fitting {
		if amount, fits := r.takes(s); fits {
			return c.follow(table, r, s, amount)
		}
	}
	left := rest(fitting[0].Takes.Rest, fitting[0].totals(s))
	given := "nothing"
	if s.Command.Amount != nil {
		given = s.Command.Amount.Minor.String()
	}
	return refused(errs.ReasonAmountRefused, "left", left.String(), "required", given, "state", string(state), "trigger", string(trigger))
}

// Causes of a refused transition.
const (
	Unknown   = "unknown"    // the kind has no such trigger
	Duplicate = "duplicate"  // it has happened: the payment stands where the trigger leads
	Backward  = "backward"   // the payment has been past it
	Early     = "early"      // something has to happen before
	Elsewhere = "elsewhere"  // the payment went another way
	SameActor = "same_actor" // somebody else than who made it has to do it, and both be named
)

// why says in what way a state lets a trigger not through.
func (t Table) why(state State, trigger Trigger) string {
	known, cause := false, Elsewhere
	for _, r := range t.Rules {
		if r.On != trigger {
			continue
		}
		known = true
		switch {
		case slices.Contains(r.leads(), state):
			return Duplicate
		case slices.ContainsFunc(r.leads(), func(s State) bool { return t.reaches(s, state) }):
			cause = Backward
		case cause != Backward && slices.ContainsFunc(r.From, func(s State) bool { return t.reaches(state, s) }):
			cause = Early
		}
	}
	if !known {
		return Unknown
	}
	return cause
}

func notInTable(s ledger.Situation, cause string) ledger.Advance {
	return refused(errs.ReasonTransitionRefused, "cause", cause, "state", string(s.Payment.State), "trigger", string(s.Command.Step.Trigger),
		"payment_kind", string(s.Payment.Kind))
}

func (r Rule) totals(s ledger.Situation) map[string]money.Amount {
	if r.Takes.Of == Parents {
		return s.Parent.Totals
	}
	return s.Payment.Totals
}

// rest is what is left of a total. Totals of a payment are bounded by amounts that were added before, so that the difference always fits.
func rest(r Rest, totals map[string]money.Amount) money.Amount {
	left := totals[r.Of]
	for _, name := range r.Less {
		left, _ = left.Sub(totals[name])
	}
	return left
}

// takes tells which amount the rule takes, and whether the step gives one that fits.
func (r Rule) takes(s ledger.Situation) (amount money.Amount, fits bool) {
	left := rest(r.Takes.Rest, r.totals(s))
	given := s.Command.Amount != nil
	if given {
		amount = s.Command.Amount.Minor
	} else {
		amount = left
	}
	switch r.Takes.How {
	case Nothing:
		return money.Amount{}, !given
	case Any:
		return amount, given
	case All:
		return amount, amount == left && amount.Sign() > 0
	case Part:
		return amount, given && amount.Less(left)
	case UpTo:
		return amount, given && !left.Less(amount)
	case Enough:
		return amount, given && !amount.Less(left)
	}
	return money.Amount{}, false
}

// follow asks the gates of a rule and then says what comes of it.
func (c *Chart) follow(t Table, r Rule, s ledger.Situation, amount money.Amount) ledger.Advance {
	after, err := c.effects(r.Sets, s.Payment.Totals, amount, t.Kind)
	if err != nil {
		return tooMuch(s)
	}
	usage, err := usageOf(t, s, after)
	if err != nil {
		return tooMuch(s)
	}
	for _, g := range Gates {
		if !slices.Contains(r.Gates, g) {
			continue
		}
		if cause, next := closed(g, s, usage); cause != "" {
			return refused(errs.ReasonGateClosed, "gate", string(g), "cause", cause, "next", next, "state", string(s.Payment.State), "trigger", string(r.On))
		}
	}
	next := ledger.Advance{State: r.To, Usage: usage}
	posts := r.Posts
	for _, g := range Gates {
		if !slices.Contains(r.Pauses, g) {
			continue
		}
		if cause, who := closed(g, s, usage); cause != "" {
			next.State, posts = ledger.UnderReview, r.PausePosts
			next.Review = &ledger.Review{Gate: string(g), Cause: cause, Next: who}
			break
		}
	}
	if next.Review != nil && r.PausePosts != r.Posts { // what the rule would have captured waits
		if after, err = c.effects(paused(r.Sets), s.Payment.Totals, amount, t.Kind); err != nil {
			return tooMuch(s)
		}
	}
	next.Ends = t.Terminal(next.State)
	next.Added = difference(after, s.Payment.Totals)
	if next.Parents, err = c.parents(r, s, amount); err != nil {
		return tooMuch(s)
	}
	if next.Postings, err = c.post(t.Kind, posts, r.Over, s, amount); err != nil {
		return tooMuch(s)
	}
	if !s.Payment.Exists() {
		next.Lead, next.Opens = c.kinds[t.Kind].lead, c.opens(t.Kind)
	}
	if next.Review != nil {
		next.Review.Paused = setsAside(s.Payment, next.Postings)
	}
	return next
}

// paused keeps of effects the first: what somebody asked for, and nothing of what would have come of it.
func paused(sets []Effect) []Effect { return sets[:min(1, len(sets))] }

// setsAside tells whether money waits on the pending account of the payment.
func setsAside(p ledger.Payment, posts []ledger.Posting) bool {
	held := p.Holdings[Pending]
	for _, post := range posts {
		if post.Role == Pending && post.Side == ledger.Credit {
			held, _ = held.Add(post.Amount)
		}
	}
	return held.Sign() > 0
}

func tooMuch(s ledger.Situation) ledger.Advance {
	return refused(errs.ReasonBalanceOverflow, "state", string(s.Payment.State), "trigger", string(s.Command.Step.Trigger))
}

// effects returns totals as they are after a rule.
func (c *Chart) effects(sets []Effect, totals map[string]money.Amount, amount money.Amount, k Kind) (map[string]money.Amount, error) {
	after := make(map[string]money.Amount, len(totals)+len(sets))
	for name, total := range totals {
		after[name] = total
	}
	for _, e := range sets {
		by := amount
		var err error
		switch {
		case e.Op == Clear:
			after[e.Total] = money.Amount{}
			continue
		case e.Op == Set:
			after[e.Total] = by
			continue
		case e.Op == Sub:
			by = by.Neg()
		case e.Value != "":
			if by, err = times(by, c.kinds[k].parameters[e.Value]); err != nil {
				return nil, err
			}
		}
		if after[e.Total], err = after[e.Total].Add(by); err != nil {
			return nil, err
		}
	}
	return after, nil
}

func difference(after, before map[string]money.Amount) map[string]money.Amount {
	added := map[string]money.Amount{}
	for name, total := range after {
		more, _ := total.Sub(before[name]) // both are zero or positive
		if !more.IsZero() {
			added[name] = more
		}
	}
	return added
}

func (c *Chart) parents(r Rule, s ledger.Situation, amount money.Amount) (map[string]money.Amount, error) {
	if len(r.Parent) == 0 {
		return nil, nil
	}
	after, err := c.effects(r.Parent, s.Parent.Totals, amount, s.Parent.Kind)
	if err != nil {
		return nil, err
	}
	return difference(after, s.Parent.Totals), nil
}

// usageOf is the player's usage after the step, or nil where it does not change.
func usageOf(t Table, s ledger.Situation, after map[string]money.Amount) ([]ledger.Usage, error) {
	if s.Payment.Player == "" {
		return nil, nil
	}
	var usage []ledger.Usage
	for _, measure := range []ledger.Measure{ledger.MeasureStake, ledger.MeasureLoss, ledger.MeasureDeposit, ledger.MeasureWithdrawal} {
		what, counts := t.Uses[measure]
		if !counts {
			continue
		}
		delta, err := rest(what, after).Sub(rest(what, s.Payment.Totals))
		if err != nil {
			return nil, err
		}
		if delta.IsZero() {
			continue
		}
		if usage == nil {
			usage = s.Player.Usage
		}
		if usage, err = use(usage, measure, s.Payment.Asset.Code, delta, s.Now); err != nil {
			return nil, err
		}
	}
	return usage, nil
}
