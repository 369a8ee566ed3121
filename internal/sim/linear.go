package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Linearizable looks for an order of all that happened on an account that agrees with the clock and with every answer: each command and each
// read at one instant between its beginning and its end. The state of an account is the sequence and the balance of its newest entry. A command
// that Settle learned the end of took effect before Settle had the answer, and one that Settle made happen, while it asked; one whose end nobody
// knows may have happened at any time or never. Declines are not looked at.
//
// It looks at some accounts, half of them the busiest ones. An account that is not decided in time is noted, and does not count.
//
// The search holds a set of all operations for each step, so a long history is cut into pieces, at entries: what comes before and after is known
// by the sequences, and the clock is held against that. Only a command whose end nobody knows could so be used in two pieces.
func (h *History) Linearizable(w Workload, o Judging) (v Verdict, picture []byte) {
	o = o.complete()
	f := find("linearizable", "what happened on each account has an order that explains all answers")
	accounts := h.operations()
	refs := slices.SortedFunc(maps.Keys(accounts), func(a, b ledger.Ref) int {
		return cmp.Or(cmp.Compare(len(accounts[b]), len(accounts[a])), compareRefs(a, b))
	})
	if half := o.Accounts / 2; len(refs) > o.Accounts {
		others := refs[half:]
		rand.New(rand.NewPCG(h.Seed, 1)).Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		refs = refs[:o.Accounts]
	}
	for _, ref := range refs {
		began := w.before[ref]
		result, why, page := decide(ref, standing{began.Sequence, balance(began.Balances)}, accounts[ref], o.Patience, picture == nil)
		switch result {
		case porcupine.Ok:
			f.Looked++
		case porcupine.Illegal:
			f.Looked++
			f.problem("%s: %s", ref, why)
			if picture == nil {
				picture = page
			}
		default:
			f.note("%s, with %d operations, was not decided within %s", ref, len(accounts[ref]), o.Patience)
		}
	}
	return f.verdict(), picture
}

// standing is an account after an entry.
type standing struct {
	sequence int64
	balance  money.Amount
}

// operation is what happened, or may have happened, on one account.
type operation struct {
	client      int
	from, until time.Duration
	call        *Call          // or nil: a read
	entries     []ledger.Entry // that it left, in order
	saw         standing       // of a read
	maybe       []money.Amount // of a command whose end nobody knows: the amount of each entry that it would have made
}

// last is the newest sequence that the operation knows of, or 0.
func (o operation) last() int64 {
	if n := len(o.entries); n > 0 {
		return o.entries[n-1].Sequence
	}
	return o.saw.sequence
}

// operations deals the history out to accounts.
func (h *History) operations() map[ledger.Ref][]operation {
	all := map[ledger.Ref][]operation{}
	calls := make(map[id.Transaction]*Call, len(h.Calls))
	for _, c := range h.Calls {
		calls[c.Command.ID()] = c
	}
	for _, c := range h.Calls {
		from, until := c.span()
		if !c.decided() {
			for ref, amounts := range effect(c.Command, calls) {
				all[ref] = append(all[ref], operation{client: c.Client, from: from, until: until, call: c, maybe: amounts})
			}
			continue
		}
		of := map[ledger.Ref][]ledger.Entry{}
		for _, e := range c.Outcome.Entries {
			of[e.Ref] = append(of[e.Ref], e)
		}
		for ref, entries := range of {
			slices.SortFunc(entries, func(a, b ledger.Entry) int { return cmp.Compare(a.Sequence, b.Sequence) })
			all[ref] = append(all[ref], operation{client: c.Client, from: from, until: until, call: c, entries: entries})
		}
	}
	for _, r := range h.Reads {
		all[r.Ref] = append(all[r.Ref], operation{
			client: int(r.Client), from: r.Began, until: r.Ended, saw: standing{r.Sequence, balance(r.Balance)},
		})
	}
	return all
}

// effect is what a command would do to the posted money of accounts, each amount an entry. Players act on holds and transactions of which they
// have the answer, so that it is in the history.
func effect(c ledger.Command, calls map[id.Transaction]*Call) map[ledger.Ref][]money.Amount {
	all := map[ledger.Ref][]money.Amount{}
	move := func(from, to id.Account, amount money.Amount) {
		all[ledger.Ref{Ledger: c.Ledger, Account: from}] = []money.Amount{amount.Neg()}
		all[ledger.Ref{Ledger: c.Ledger, Account: to}] = []money.Amount{amount}
	}
	counter := c.Counter
	if counter == "" {
		counter = ledger.CounterOf(c.Reason, asset)
	}
	target := calls[c.Target]
	switch c.Kind {
	case ledger.KindTransfer, ledger.KindDebit:
		move(c.Account, counter, c.Amount.Minor)
	case ledger.KindCredit:
		move(counter, c.Account, c.Amount.Minor)
	case ledger.KindHold:
		move(c.Account, counter, money.Amount{})
	case ledger.KindPost:
		for _, leg := range c.Legs {
			ref, amount := ledger.Ref{Ledger: cmp.Or(leg.Ledger, c.Ledger), Account: leg.Account}, leg.Amount.Minor
			if leg.Side == ledger.Debit {
				amount = amount.Neg()
			}
			all[ref] = append(all[ref], amount)
		}
	case ledger.KindCommit, ledger.KindRollback:
		if target == nil || target.Outcome.Hold == nil {
			break
		}
		hold, amount := target.Outcome.Hold, money.Amount{}
		if c.Kind == ledger.KindCommit {
			amount = hold.Amount
		}
		if c.Amount != nil {
			amount = c.Amount.Minor
		}
		move(hold.From, hold.To, amount)
	case ledger.KindReverse:
		if target == nil {
			break
		}
		for _, e := range target.Outcome.Entries {
			all[e.Ref] = append(all[e.Ref], e.Amount.Neg())
		}
	default: // players ask for nothing else
	}
	return all
}

// decide searches an order, piece by piece.
func decide(ref ledger.Ref, began standing, all []operation, patience time.Duration, draw bool) (result porcupine.CheckResult, why string, page []byte) {
	const piece = 1000
	var maybe, known []operation
	for _, o := range all {
		if o.maybe != nil {
			maybe = append(maybe, o)
		} else {
			known = append(known, o)
		}
	}
	// Reads come after the entry that they saw.
	slices.SortStableFunc(known, func(a, b operation) int {
		return cmp.Or(cmp.Compare(a.last(), b.last()), -cmp.Compare(len(a.entries), len(b.entries)), cmp.Compare(a.from, b.from))
	})
	deadline := time.Now().Add(patience)
	latest := operation{from: -1} // of the pieces so far, the one that began last
	for len(known) > 0 {
		n := min(piece, len(known))
		for n < len(known) && known[n].last() == known[n-1].last() { // a cut is between entries
			n++
		}
		part := known[:n:n]
		known = known[n:]
		for _, o := range part {
			if o.until < latest.from {
				return porcupine.Illegal, fmt.Sprintf("%s ended before %s began, and comes after it", o, latest), nil
			}
		}
		left := time.Until(deadline)
		if left <= 0 {
			return porcupine.Unknown, "", nil
		}
		if result, page = search(ref, began, append(part, maybe...), left, draw); result != porcupine.Ok {
			return result, fmt.Sprintf("no order explains what happened from entry %d to entry %d", began.sequence, part[n-1].last()), page
		}
		for _, o := range part {
			if o.from > latest.from {
				latest = o
			}
			if k := len(o.entries); k > 0 {
				began = standing{o.entries[k-1].Sequence, o.entries[k-1].Balance}
			} else {
				began = o.saw
			}
		}
	}
	return porcupine.Ok, "", nil
}

// search gives one piece to porcupine.
func search(ref ledger.Ref, began standing, part []operation, patience time.Duration, draw bool) (porcupine.CheckResult, []byte) {
	account := porcupine.NondeterministicModel{
		Init: func() []any { return []any{began} },
		Step: func(state, input, _ any) []any {
			s, _ := state.(standing)
			o, _ := input.(operation)
			return o.step(s)
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
	model := account.ToModel()
	history := make([]porcupine.Operation, len(part))
	for i, o := range part {
		history[i] = porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.from), Return: int64(o.until)}
	}
	result := porcupine.CheckOperationsTimeout(model, history, patience)
	if result != porcupine.Illegal || !draw {
		return result, nil
	}
	_, info := porcupine.CheckOperationsVerbose(model, history, patience)
	info.AddAnnotations([]porcupine.Annotation{{Tag: "account", Description: ref.String(), Start: int64(part[0].from), End: int64(part[0].until)}})
	var page bytes.Buffer
	if err := porcupine.Visualize(model, info, &page); err != nil {
		return result, nil // the verdict stands without a picture
	}
	return result, page.Bytes()
}

// step is what an account can be after the operation: nothing where it can not be.
func (o operation) step(s standing) []any {
	switch {
	case o.maybe != nil:
		after := s
		for _, amount := range o.maybe {
			after = standing{after.sequence + 1, plus(after.balance, amount)}
		}
		return []any{s, after}
	case o.call == nil:
		if s == o.saw {
			return []any{s}
		}
		return nil
	}
	for _, e := range o.entries {
		if e.Sequence != s.sequence+1 || e.Balance != plus(s.balance, e.Amount) {
			return nil
		}
		s = standing{e.Sequence, e.Balance}
	}
	return []any{s}
}

func (s standing) String() string { return fmt.Sprintf("entry %d, %s", s.sequence, s.balance) }

func (o operation) String() string {
	switch {
	case o.maybe != nil:
		return fmt.Sprintf("%s of %v, perhaps", o.call, o.maybe)
	case o.call == nil:
		return fmt.Sprintf("a read of %s", o.saw)
	default:
		last := o.entries[len(o.entries)-1]
		return fmt.Sprintf("%s of %s to %s", o.call, last.Amount, standing{last.Sequence, last.Balance})
	}
}
