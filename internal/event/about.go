package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// ID is that of the transaction: the same in every delivery, and what consumers deduplicate by.
func (e Event) ID() string { return e.Record.Outcome.Transaction.String() }

// Type returns what happened.
func (e Event) Type() Type {
	if e.Test {
		return Test
	}
	return typeOf(e.Record.Outcome)
}

// Source names the stream of one ledger: /meridian/homes/<home>/ledgers/<ledger>. The home is that of the stream, the ledger the one that the
// command was sent to. A test has no ledger.
func (e Event) Source() string {
	source := "/meridian/homes/" + string(e.Home)
	if e.Record.Outcome.Ledger != "" {
		source += "/ledgers/" + string(e.Record.Outcome.Ledger)
	}
	return source
}

// Subject is the account that the event is about, or the transaction where there is none.
func (e Event) Subject() string {
	if account, ok := e.Account(); ok {
		return string(account.Account)
	}
	return e.ID()
}

// Key orders and partitions: the account that the event is about, with its ledger, or the transaction where there is none.
func (e Event) Key() string {
	if account, ok := e.Account(); ok {
		return account.String()
	}
	return e.ID()
}

// Account returns the account that the event is about: the first of Accounts in the event's own ledger. An account of another ledger is
// never it, because that may be one of another home. In the stream of a home where its own ledger is not, there is none that can be told
// without knowing where ledgers are: Render tells the first that is at home there.
func (e Event) Account() (ledger.Ref, bool) { return e.accountOf(e.Accounts(), e.owns) }

// owns tells whether the ledger is the event's own, in the stream of its own home.
func (e Event) owns(l id.Ledger) bool { return l == e.Record.Outcome.Ledger && !e.Visits() }

// Visits tells that the event is in the stream of another home than that of its journal row, because it has entries there.
func (e Event) Visits() bool { return !e.Test && e.Record.Home != e.Home }

func (e Event) accountOf(ordering []ledger.Ref, in func(id.Ledger) bool) (ledger.Ref, bool) {
	for _, ref := range ordering {
		if in(ref.Ledger) {
			return ref, true
		}
	}
	return ledger.Ref{}, false
}

// Accounts returns the accounts whose order the event keeps, each once: those that it has entries on, save default counter accounts, which
// everybody touches and whose order is not promised. Where nothing but such accounts has entries, these are it. A declined command has no
// entries: it keeps the order of the account that it names, of all that a post names, or else of the account that it was declined for.
func (e Event) Accounts() []ledger.Ref { return e.ordering(e.counters()) }

func (e Event) ordering(counters []bool) []ledger.Ref {
	entries := e.Record.Outcome.Entries
	if len(entries) == 0 {
		return e.refused()
	}
	refs := make([]ledger.Ref, 0, len(entries))
	all := !slices.Contains(counters, false)
	for i, entry := range entries {
		if all || !counters[i] {
			refs = append(refs, entry.Ref)
		}
	}
	return distinct(refs)
}

// refused returns the accounts that a declined command is about: those that it names, of two the first, or else the one that it was declined
// for.
func (e Event) refused() []ledger.Ref {
	c, _ := e.command() // what can not be read names nothing; Render says so
	if step := e.Record.Outcome.Step; step != nil && step.Lead != "" {
		return []ledger.Ref{{Ledger: c.Ledger, Account: step.Lead}}
	}
	var refs []ledger.Ref
	if c.Account != "" {
		refs = append(refs, ledger.Ref{Ledger: c.Ledger, Account: c.Account})
	}
	for _, leg := range c.Legs {
		refs = append(refs, ledger.Ref{Ledger: cmp.Or(leg.Ledger, c.Ledger), Account: leg.Account})
	}
	facts := e.Record.Outcome.Detail
	if len(refs) == 0 && facts["ledger"] != "" && facts["account_id"] != "" {
		refs = append(refs, ledger.Ref{Ledger: id.Ledger(facts["ledger"]), Account: id.Account(facts["account_id"])})
	}
	return distinct(refs)
}

// counters tells for each entry whether it is on a default counter account: one that the command did not name. A debit, a credit and a hold
// leave it out or name it; what acts on an earlier transaction names no account, and there the name of the account tells, save that a hold
// was named what it takes from. All others name every account.
func (e Event) counters() []bool {
	o := e.Record.Outcome
	counters := make([]bool, len(o.Entries))
	switch o.Kind {
	case ledger.KindDebit, ledger.KindCredit, ledger.KindHold:
		if len(counters) == 2 { // the first is that of Account
			counters[1] = !e.namesCounter()
		}
	case ledger.KindCommit, ledger.KindRollback, ledger.KindExpire, ledger.KindReverse:
		for i, entry := range o.Entries {
			counters[i] = isCounterName(entry.Ref.Account) && (o.Hold == nil || entry.Ref.Account != o.Hold.From)
		}
	case ledger.KindStep: // the accounts of the house are everybody's; what leads the payment is in each of its events
		for i, entry := range o.Entries {
			counters[i] = o.Step != nil && entry.Ref.Account != o.Step.Lead
		}
	default:
	}
	return counters
}

// namesCounter reads the request only where the word is in it.
func (e Event) namesCounter() bool {
	if !bytes.Contains(e.Record.Request, []byte(`"counter"`)) {
		return false
	}
	c, _ := e.command() // what can not be read names nothing; Render says so
	return c.Counter != ""
}

// isCounterName tells whether ledger.CounterOf gives that name to some account.
func isCounterName(a id.Account) bool {
	rest, ok := strings.CutPrefix(string(a), "counter:")
	colon := strings.LastIndexByte(rest, ':')
	if !ok || colon < 1 {
		return false
	}
	_, err := money.ParseCode(rest[colon+1:])
	return err == nil
}

// distinct drops repeats, and keeps the order of what is left.
func distinct(refs []ledger.Ref) []ledger.Ref {
	const few = 16
	if len(refs) <= few { // a map would cost more
		kept := refs[:0]
		for _, ref := range refs {
			if !slices.Contains(kept, ref) {
				kept = append(kept, ref)
			}
		}
		return kept
	}
	seen := make(map[ledger.Ref]bool, len(refs))
	return slices.DeleteFunc(refs, func(ref ledger.Ref) bool {
		again := seen[ref]
		seen[ref] = true
		return again
	})
}

// command reads the request.
func (e Event) command() (ledger.Command, error) {
	var c ledger.Command
	if len(e.Record.Request) == 0 && e.Test {
		return c, nil
	}
	if err := json.Unmarshal(e.Record.Request, &c); err != nil {
		return ledger.Command{}, fmt.Errorf("read the request of transaction %s: %w", e.ID(), err)
	}
	return c, nil
}
