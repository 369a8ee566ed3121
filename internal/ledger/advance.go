package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// situation gathers what a lifecycle is asked about.
func (p *plan) situation() (Situation, *refusal) {
	c, b := p.command, p.books
	s := Situation{Now: b.Now, Ledger: b.ledger(c.Ledger), Command: c}
	player, parent := c.Step.Player, c.Step.Parent
	if !c.Target.IsZero() {
		payment, found := b.payment(c.Target)
		if !found || payment.Ledger != c.Ledger {
			return s, refuse(errs.ReasonPaymentNotFound, "payment_id", c.Target.String())
		}
		s.Payment, player, parent = payment.clone(), payment.Player, payment.Parent
		if payment.Kind != c.Step.Payment {
			return s, refuse(errs.ReasonPaymentNotFound, "payment_id", c.Target.String(), "kind", string(payment.Kind))
		}
		if c.Amount != nil && c.Amount.Asset != payment.Asset.Code {
			return s, refuse(errs.ReasonAssetMismatch, "payment_asset", string(payment.Asset.Code), "asset", string(c.Amount.Asset))
		}
	} else {
		asset, known := s.Ledger.Asset(c.Amount.Asset)
		if !known {
			return s, refuse(errs.ReasonAssetUnknown, "asset", string(c.Amount.Asset))
		}
		s.Payment = Payment{
			Home: s.Ledger.Home, Ledger: c.Ledger, ID: c.ID(), Kind: c.Step.Payment, Player: player, Parent: parent, Asset: asset,
			PaymentData: PaymentData{Roles: maps.Clone(c.Roles), Actor: c.Step.Actor},
		}
	}
	s.Payment.Provider = cmp.Or(s.Payment.Provider, c.Step.Provider)
	s.Payment.ProviderReference = cmp.Or(c.Step.ProviderReference, s.Payment.ProviderReference)
	if player != "" {
		s.Player, _ = b.player(c.Ledger, player)
		s.Player.Home, s.Player.Ledger, s.Player.ID = s.Ledger.Home, c.Ledger, player
	}
	if !parent.IsZero() {
		taken, found := b.payment(parent)
		if !found || taken.Ledger != c.Ledger {
			return s, refuse(errs.ReasonPaymentNotFound, "payment_id", parent.String())
		}
		s.Parent = taken.clone()
		if s.Parent.Asset != s.Payment.Asset {
			return s, refuse(errs.ReasonAssetMismatch, "payment_asset", string(s.Parent.Asset.Code), "asset", string(s.Payment.Asset.Code))
		}
	}
	return s, nil
}

// advance asks the lifecycle what a step becomes, and plans it.
func (p *plan) advance() *refusal {
	s, refused := p.situation()
	if refused != nil {
		return refused
	}
	next := p.books.Lifecycle.Next(s)
	if r := next.Refused; r != nil {
		return &refusal{reason: r.Reason, detail: r.Detail}
	}
	after := s.Payment
	if !after.Exists() {
		after.Lead = after.Roles[next.Lead]
	}
	p.step = transition(after, s, next)
	after.State, after.Review = next.State, next.Review
	after.Version, after.Attempts = after.Version+1, after.Attempts+1
	if refused := sum(&after.Totals, next.Added); refused != nil {
		return refused
	}
	p.step.Totals = maps.Clone(after.Totals)
	if refused := p.postings(&after, next); refused != nil {
		return refused
	}
	p.payments = []Payment{after}
	if len(next.Parents) > 0 {
		parent := s.Parent
		if refused := sum(&parent.Totals, next.Parents); refused != nil {
			return refused
		}
		p.payments = append(p.payments, parent)
	}
	if next.Usage != nil {
		player := s.Player
		player.Usage = next.Usage
		p.player = &player
	}
	return nil
}

func transition(p Payment, s Situation, next Advance) *Transition {
	return &Transition{
		Payment: p.ID, Kind: p.Kind, Number: p.Attempts + 1, Version: p.Version + 1, Trigger: s.Command.Step.Trigger, From: p.State, To: next.State,
		Player: p.Player, Parent: p.Parent, Asset: p.Asset, Provider: p.Provider, ProviderReference: p.ProviderReference,
		Added: nonzero(next.Added), Parents: nonzero(next.Parents), Review: next.Review, Lead: p.Lead,
		Ends: next.Ends,
	}
}

func nonzero(amounts map[string]money.Amount) map[string]money.Amount {
	kept := maps.Clone(amounts)
	maps.DeleteFunc(kept, func(_ string, a money.Amount) bool { return a.IsZero() })
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// sum adds to totals; those that come to nothing are left out.
func sum[K ~string](totals *map[K]money.Amount, added map[K]money.Amount) *refusal {
	for name, more := range added {
		total, err := (*totals)[name].Add(more)
		if err != nil {
			return refuse(errs.ReasonBalanceOverflow, "total", string(name))
		}
		if *totals == nil {
			*totals = map[K]money.Amount{}
		}
		(*totals)[name] = total
		if total.IsZero() {
			delete(*totals, name)
		}
	}
	return nil
}

// postings turns what the lifecycle posts into lines. The account that leads the payment has one in every step, and the first step opens all
// accounts that later ones may need: so the events of a payment keep their order, and what stands behind a payment is always there.
func (p *plan) postings(after *Payment, next Advance) *refusal {
	asset, l := after.Asset.Code, p.command.Ledger
	held, balance := map[Role]money.Amount{}, money.Amount{}
	var err error
	for _, post := range next.Postings {
		account, known := after.Roles[post.Role]
		if !known || post.Amount.Sign() < 0 {
			return refuse(errs.ReasonUnbalanced, "role", string(post.Role), "amount", post.Amount.String())
		}
		if post.Amount.IsZero() {
			continue
		}
		signed := post.Amount
		if post.Side == Debit {
			signed = signed.Neg()
		}
		var err2 error
		balance, err = balance.Add(signed)
		held[post.Role], err2 = held[post.Role].Add(signed)
		if err = firstError(err, err2); err != nil {
			return refuse(errs.ReasonBalanceOverflow, "role", string(post.Role))
		}
		p.lines = append(p.lines, move{ref: Ref{l, account}, asset: asset, side: post.Side, post: post.Amount, opens: true, terms: termsOf(next, post.Role)})
	}
	if !balance.IsZero() {
		return refuse(errs.ReasonUnbalanced, "ledger", string(l), "asset", string(asset), "difference", balance.String())
	}
	if refused := sum(&after.Holdings, held); refused != nil {
		return refused
	}
	for _, role := range p.silent(after) {
		p.lines = append(p.lines, move{ref: Ref{l, after.Roles[role]}, asset: asset, release: true, opens: true, terms: termsOf(next, role)})
	}
	for i, m := range p.lines { // only the first step opens, and only what the chart says how to
		p.lines[i].opens = m.terms != nil
		if _, there := p.books.account(m.ref); m.terms != nil && !there {
			if p.step.Opened == nil {
				p.step.Opened = map[id.Account]Terms{}
			}
			opened := *m.terms
			opened.Asset = m.asset
			p.step.Opened[m.ref.Account] = opened
		}
	}
	return nil
}

func termsOf(next Advance, role Role) *Terms {
	if terms, known := next.Opens[role]; known {
		return &terms
	}
	return nil
}

// silent lists the roles that need a line though nothing moves there.
func (p *plan) silent(after *Payment) (roles []Role) {
	said := map[id.Account]bool{}
	for _, m := range p.lines {
		said[m.ref.Account] = true
	}
	for _, role := range slices.Sorted(maps.Keys(after.Roles)) {
		account := after.Roles[role]
		_, there := p.books.account(Ref{p.command.Ledger, account})
		if !said[account] && (account == after.Lead || !there) {
			said[account] = true
			roles = append(roles, role)
		}
	}
	return roles
}

// met is what a refused step says of its payment.
func (p *plan) met() *Transition {
	c := p.command
	t := &Transition{
		Payment: c.Target, Kind: c.Step.Payment, Trigger: c.Step.Trigger, Player: c.Step.Player, Parent: c.Step.Parent,
		Provider: c.Step.Provider, ProviderReference: c.Step.ProviderReference,
	}
	if c.Target.IsZero() {
		t.Payment = c.ID()
		return t
	}
	if payment, found := p.books.payment(c.Target); found && payment.Ledger == c.Ledger {
		t.Kind, t.Number, t.Version, t.From, t.To = payment.Kind, payment.Attempts+1, payment.Version, payment.State, payment.State
		t.Player, t.Parent, t.Asset, t.Lead = payment.Player, payment.Parent, payment.Asset, payment.Lead
		t.Totals = maps.Clone(payment.Totals)
	}
	return t
}

// profile changes what gates know of a player.
func (p *plan) profile() *refusal {
	c := p.command
	l := p.books.ledger(c.Ledger)
	player, _ := p.books.player(c.Ledger, c.Player.Player)
	player.Home, player.Ledger, player.ID = l.Home, c.Ledger, c.Player.Player
	if until := c.Player.ExcludedUntil; until != nil && p.books.Now.Before(player.ExcludedUntil) && until.Before(player.ExcludedUntil) {
		return refuse(errs.ReasonGateClosed, "gate", "self_exclusion", "excluded_until", player.ExcludedUntil.UTC().Format(time.RFC3339Nano))
	}
	for _, limit := range c.Player.Limits {
		if _, known := l.Asset(limit.Asset); !known {
			return refuse(errs.ReasonAssetUnknown, "asset", string(limit.Asset))
		}
	}
	player.Profile = c.Player.of(player.Profile)
	player.Version++
	p.player = &player
	return nil
}

// recorded puts the recorded time on the rows of payments, and says what became of the player. Both never run backwards.
func (p *plan) recorded(d *Decision, at time.Time) {
	for i := range d.Payments {
		d.Payments[i].ChangedAt = later(d.Payments[i].ChangedAt, at)
		if d.Payments[i].OpenedAt.IsZero() {
			d.Payments[i].OpenedAt = at
		}
	}
	if p.step != nil {
		p.step.Lasts = at.Sub(d.Payments[0].OpenedAt) // it is the first of them
	}
	if d.Player != nil {
		d.Player.ChangedAt = later(d.Player.ChangedAt, at)
	}
	if p.command.Kind == KindPlayer {
		d.Outcome.Player = d.Player
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// writePayment lays what a decision says of payments and players over the books. A refused step is a line of the payment's history as well.
func (b *Books) writePayment(d Decision) {
	for _, p := range d.Payments {
		_, known := b.payment(p.ID)
		b.paid.add(p.ID, !known)
		b.Payments[p.ID] = p
	}
	if d.Player != nil {
		before, _ := b.player(d.Player.Ledger, d.Player.ID)
		ref := PlayerRef(d.Player.Ledger, d.Player.ID)
		b.played.add(ref, before.ChangedAt.IsZero())
		b.Players[ref] = *d.Player
	}
	t := d.Outcome.Step
	if t == nil || t.Number == 0 {
		return
	}
	payment, _ := b.payment(t.Payment)
	if d.Outcome.Decided == Declined {
		payment.Attempts = t.Number
		b.paid.add(t.Payment, false)
		b.Payments[t.Payment] = payment
	}
	b.steps = append(b.steps, PaymentStep{
		Home: payment.Home, Ledger: payment.Ledger, Payment: t.Payment, Number: t.Number, Transaction: d.Outcome.Transaction, Trigger: t.Trigger,
		From: t.From, To: t.To, Decided: d.Outcome.Decided, Reason: d.Outcome.Reason, RecordedAt: d.Outcome.RecordedAt,
	})
}
