package ledger

import (
	"cmp"
	"context"
	"slices"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Needs is what has to be loaded and locked to execute commands: one part a ledger, sorted by home and ledger, and the names within
// sorted too, so that all nodes lock rows in one order.
type Needs []Part

// Part is what is needed of one ledger.
type Part struct {
	Ledger   Ledger
	Keys     []id.Transaction // journal rows: earlier answers, and the targets of reversals
	Targets  []id.Transaction // whose reversals to look for
	Accounts []id.Account     // to lock
	Holds    []id.Transaction // to lock
	Payments []id.Transaction // to lock
	Players  []id.Player      // to lock
}

// Group is an open transaction that holds the locks of a group of commands. One of its methods ends it. It is for one goroutine.
type Group interface {
	// Commit writes and commits. Errors: errs.ErrContended (begin again), errs.ErrOutcomeUnknown (begin again and look), errs.ErrUnavailable
	// (nothing was committed), errs.ErrInternal.
	Commit(ctx context.Context, c Changes) error
	// Rollback lets go.
	Rollback(ctx context.Context)
}

// Touches returns the accounts that a command names, and the ones behind its target, which the caller has looked up. Players and parents of
// payments are among them, as PlayerRef and PaymentRef.
func (c Command) Touches(target []Ref) []Ref {
	refs := slices.Clone(target)
	if c.Account != "" {
		refs = append(refs, Ref{c.Ledger, c.Account})
	}
	switch c.Kind {
	case KindDebit, KindCredit, KindTransfer, KindHold:
		refs = append(refs, Ref{c.Ledger, c.counter()})
	case KindStep:
		refs = refs[:len(target)] // what its roles make of Account is what counts
	default: // all are named
	}
	for _, leg := range c.Legs {
		refs = append(refs, Ref{cmp.Or(leg.Ledger, c.Ledger), leg.Account})
	}
	for _, account := range c.Roles {
		refs = append(refs, Ref{c.Ledger, account})
	}
	if c.Step != nil {
		refs = append(refs, related(c.Ledger, c.Step.Player, c.Step.Parent)...)
	}
	if c.Player != nil {
		refs = append(refs, PlayerRef(c.Ledger, c.Player.Player))
	}
	return refs
}

// Behind returns the accounts of a hold.
func (h Hold) Behind() []Ref { return []Ref{{h.Ledger, h.From}, {h.Ledger, h.To}} }

// Behind returns the accounts of a transaction.
func (o Outcome) Behind() []Ref {
	refs := make([]Ref, 0, len(o.Entries))
	for _, e := range o.Entries {
		refs = append(refs, e.Ref)
	}
	return refs
}

// Missing returns the accounts behind the targets of commands that these books have not loaded: a target came to be after the commands
// were looked at, and they have to be loaded again with what is returned.
func (b *Books) Missing(commands []Command) []Ref {
	var missing []Ref
	for _, c := range commands {
		if c.Target.IsZero() {
			continue
		}
		var behind []Ref
		if hold, found := b.hold(c.Target); found {
			behind = hold.Behind()
		} else if record, found := b.record(c.Target); found && c.Kind == KindReverse {
			behind = record.Outcome.Behind()
		} else if payment, found := b.payment(c.Target); found && c.Kind == KindStep {
			behind = payment.Behind()
		}
		for _, ref := range behind {
			if !b.loaded(ref) {
				missing = append(missing, ref)
			}
		}
	}
	return missing
}

// loaded tells whether the books have what a ref names. Players are there as soon as they were asked for.
func (b *Books) loaded(ref Ref) bool {
	if player, is := ref.Player(); is {
		_, found := b.player(ref.Ledger, player)
		return found
	}
	if payment, is := ref.Payment(); is {
		_, found := b.payment(payment)
		return found
	}
	_, found := b.account(ref)
	return found
}

// Gather collects needs.
type Gather struct {
	ledgers map[id.Ledger]*Part
}

// Add takes in what a command needs; touched are its accounts, and ledgers gives the ledger of each of them and of the command.
func (g *Gather) Add(c Command, touched []Ref, ledgers func(id.Ledger) Ledger) {
	home := g.of(c.Ledger, ledgers)
	home.Keys = append(home.Keys, c.ID())
	switch c.Kind {
	case KindReverse:
		home.Keys = append(home.Keys, c.Target)
		home.Targets = append(home.Targets, c.Target)
	case KindCommit, KindRollback, KindExpire:
		home.Holds = append(home.Holds, c.Target)
	case KindStep:
		if !c.Target.IsZero() {
			home.Payments = append(home.Payments, c.Target)
		}
	default: // aim at nothing
	}
	for _, ref := range touched {
		part := g.of(ref.Ledger, ledgers)
		if player, is := ref.Player(); is {
			part.Players = append(part.Players, player)
		} else if payment, is := ref.Payment(); is {
			part.Payments = append(part.Payments, payment)
		} else {
			part.Accounts = append(part.Accounts, ref.Account)
		}
	}
}

func (g *Gather) of(k id.Ledger, ledgers func(id.Ledger) Ledger) *Part {
	if g.ledgers == nil {
		g.ledgers = map[id.Ledger]*Part{}
	}
	part, found := g.ledgers[k]
	if !found {
		part = &Part{Ledger: ledgers(k)}
		g.ledgers[k] = part
	}
	return part
}

// Needs returns what was collected, each row once and in locking order.
func (g *Gather) Needs() Needs {
	needs := make(Needs, 0, len(g.ledgers))
	for _, part := range g.ledgers {
		part.Keys, part.Targets, part.Holds, part.Payments = unique(part.Keys), unique(part.Targets), unique(part.Holds), unique(part.Payments)
		slices.Sort(part.Accounts)
		slices.Sort(part.Players)
		part.Accounts, part.Players = slices.Compact(part.Accounts), slices.Compact(part.Players)
		needs = append(needs, *part)
	}
	slices.SortFunc(needs, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Ledger.Home, b.Ledger.Home), cmp.Compare(a.Ledger.ID, b.Ledger.ID))
	})
	return needs
}

func unique(keys []id.Transaction) []id.Transaction {
	slices.SortFunc(keys, func(a, b id.Transaction) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}
