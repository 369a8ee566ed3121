package ledger

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// declined is the answer to a refused command.
func (p *plan) declined(r *refusal) Decision {
	o := p.outcome(p.books.Now)
	o.Decided, o.Reason, o.Detail = Declined, r.reason, r.detail
	d := Decision{Outcome: o}
	if p.command.Kind == KindStep {
		d.Outcome.Step = p.met()
	}
	return d
}

// posted applies the lines to copies of the accounts and judges the result; any refusal on the way declines the whole.
func (p *plan) posted() Decision {
	before, refused := p.load()
	if refused != nil {
		return p.declined(refused)
	}
	for _, check := range []func(move, Account) *refusal{checkAsset, checkClosed, checkFrozen} {
		for _, m := range p.lines {
			if refused := check(m, before[m.ref]); refused != nil {
				return p.declined(refused)
			}
		}
	}
	after, entries, refused := p.apply(before)
	if refused != nil {
		return p.declined(refused)
	}
	if refused := p.judge(before, after); refused != nil {
		return p.declined(refused)
	}
	return p.decision(before, after, entries)
}

// load finds the accounts of the lines, and opens the ones that a line may open.
func (p *plan) load() (map[Ref]Account, *refusal) {
	found := make(map[Ref]Account, len(p.lines))
	for _, m := range p.lines {
		a, ok := p.books.account(m.ref)
		if p.account != nil {
			a, ok = *p.account, true
		}
		if !ok && m.opens {
			ledger := p.books.ledger(m.ref.Ledger)
			asset, known := ledger.Asset(m.asset)
			if !known {
				return nil, refuse(errs.ReasonAssetUnknown, "asset", string(m.asset))
			}
			a, ok = Account{Home: ledger.Home, Ref: m.ref, Asset: asset, Normal: Debit, Status: Open}, true
			if m.terms != nil {
				a.Normal, a.Floor, a.Ceiling = m.terms.Normal, m.terms.Floor, m.terms.Ceiling
			}
		}
		if !ok {
			return nil, refuseAt(m.ref, errs.ReasonAccountNotFound)
		}
		found[m.ref] = a
	}
	return found, nil
}

func checkAsset(m move, a Account) *refusal {
	if m.asset != a.Asset.Code {
		return refuseAt(m.ref, errs.ReasonAssetMismatch, "account_asset", string(a.Asset.Code), "asset", string(m.asset))
	}
	return nil
}

func checkClosed(m move, a Account) *refusal {
	if a.Status == Closed && !m.release {
		return refuseAt(m.ref, errs.ReasonAccountClosed)
	}
	return nil
}

func checkFrozen(m move, a Account) *refusal {
	if !m.release && a.Status.Refuses(m.side) {
		return refuseAt(m.ref, errs.ReasonAccountFrozen, "status", string(a.Status))
	}
	return nil
}

// apply walks the lines in order and writes one entry for each. Totals only grow, but what is available is judged when all lines are
// there: a line may bring back into range what one before it took out.
func (p *plan) apply(before map[Ref]Account) (map[Ref]Account, []Entry, *refusal) {
	after := make(map[Ref]Account, len(before))
	entries := make([]Entry, 0, len(p.lines))
	var full map[Ref]bool // accounts with a total that would need more than 38 digits
	for _, m := range p.lines {
		a, seen := after[m.ref]
		if !seen {
			a = before[m.ref]
		}
		if a.add(m) != nil {
			if full == nil {
				full = map[Ref]bool{}
			}
			full[m.ref] = true
		}
		a.Sequence++
		after[m.ref] = a
		entries = append(entries, a.entry(m))
	}
	for _, m := range p.lines {
		if full[m.ref] || !before[m.ref].inRange() || !after[m.ref].inRange() {
			return nil, nil, refuseAt(m.ref, errs.ReasonBalanceOverflow)
		}
	}
	return after, entries, nil
}

func (a *Account) add(m move) error {
	posted, pending := &a.PostedCredits, &a.PendingCredits
	if m.side == Debit {
		posted, pending = &a.PostedDebits, &a.PendingDebits
	}
	var err, err2 error
	*posted, err = posted.Add(m.post)
	*pending, err2 = pending.Add(m.pend)
	return firstError(err, err2)
}

func (a Account) entry(m move) Entry {
	amount := m.post
	if m.side == Debit {
		amount = amount.Neg()
	}
	balance, _ := a.PostedCredits.Sub(a.PostedDebits) // both non-negative: always in range
	return Entry{
		Ref: a.Ref, Sequence: a.Sequence, Amount: amount, Balance: balance,
		PendingDebits: a.PendingDebits, PendingCredits: a.PendingCredits,
	}
}

// inRange tells whether everything that is derived from the totals can be written down too.
func (a Account) inRange() bool {
	_, err := a.Available()
	_, err2 := a.Occupied()
	return err == nil && err2 == nil
}

// judge holds the net effect against floors and ceilings: a movement may not leave less available than the floor, nor more than the
// ceiling, but what was outside a limit before may come closer to it. So a command on the account itself, which moves nothing, may set a
// limit that the balance is outside of.
func (p *plan) judge(before, after map[Ref]Account) *refusal {
	for _, bound := range []func(was, is Account) *refusal{withinFloor, withinCeiling} {
		for _, m := range p.lines {
			if refused := bound(before[m.ref], after[m.ref]); refused != nil {
				return refused
			}
		}
	}
	return nil
}

func withinFloor(was, is Account) *refusal {
	old, _ := was.Available() // in range: apply has looked
	now, _ := is.Available()
	if !is.Floor.Set || !now.Less(is.Floor.Amount) || !now.Less(old) {
		return nil
	}
	required, _ := old.Sub(now) // at most what one of the totals has grown by
	return refuseAt(is.Ref, errs.ReasonInsufficientFunds, "available", old.String(), "required", required.String(),
		"min_available", is.Floor.Amount.String())
}

func withinCeiling(was, is Account) *refusal {
	old, _ := was.Occupied() // in range: apply has looked
	now, _ := is.Occupied()
	if !is.Ceiling.Set || !is.Ceiling.Amount.Less(now) || !old.Less(now) {
		return nil
	}
	return refuseAt(is.Ref, errs.ReasonCeilingExceeded, "balance", old.String(), "after", now.String(),
		"max_balance", is.Ceiling.Amount.String())
}

// decision puts the recorded time on everything: the instant of the books, moved on where an account has seen a later one, so that
// recorded times of one account never run backwards whatever the clocks do.
func (p *plan) decision(before, after map[Ref]Account, entries []Entry) Decision {
	at := p.books.Now
	for _, a := range before {
		if a.ChangedAt.After(at) {
			at = a.ChangedAt
		}
	}
	d := Decision{Outcome: p.outcome(at), Hold: p.hold, Payments: p.payments, Player: p.player}
	d.Outcome.Decided, d.Outcome.Entries, d.Outcome.Hold, d.Outcome.Step = Posted, entries, p.hold, p.step
	p.recorded(&d, at)
	for _, e := range entries {
		a, pending := after[e.Ref]
		if !pending {
			continue // a second line of the same account
		}
		if a.Sequence == e.Sequence {
			a.ChangedAt = at
			if a.OpenedAt.IsZero() {
				a.OpenedAt = at
			}
			d.Accounts = append(d.Accounts, a)
			delete(after, e.Ref)
		}
	}
	if p.account != nil {
		d.Outcome.Account = &d.Accounts[0]
	}
	return d
}

func (p *plan) outcome(at time.Time) Outcome {
	c := p.command
	effective := micros(c.EffectiveAt)
	if effective.IsZero() {
		effective = at
	}
	return Outcome{
		Transaction: c.ID(), Ledger: c.Ledger, Key: c.Key, Kind: c.Kind, EffectiveAt: effective, RecordedAt: at,
	}
}
