package ledgertest

import (
	"cmp"
	"maps"
	"math/big"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// attempt is a command in front of the books.
type attempt struct {
	model *Model
	ledger.Command
	now time.Time
}

// decide declines for the first reason that holds, in the order of errs.Declines, and posts where none does.
func (m *Model) decide(c ledger.Command, now time.Time) ledger.Outcome {
	a := attempt{model: m, Command: c, now: now}
	for _, reason := range errs.Declines {
		if facts := a.declines(reason); facts != nil {
			return m.declined(c, now, reason, facts)
		}
	}
	return a.post()
}

func (m *Model) declined(c ledger.Command, now time.Time, reason errs.Reason, facts map[string]string) ledger.Outcome {
	o := answered(c, now)
	o.Decided, o.Reason, o.Detail = ledger.Declined, reason, facts
	return o
}

// answered is what every outcome says; times have microseconds, which is what engines keep.
func answered(c ledger.Command, recorded time.Time) ledger.Outcome {
	o := ledger.Outcome{
		Transaction: c.ID(), Ledger: c.Ledger, Key: c.Key, Kind: c.Kind, EffectiveAt: recorded, RecordedAt: recorded,
	}
	if !c.EffectiveAt.IsZero() {
		o.EffectiveAt = c.EffectiveAt.UTC().Truncate(time.Microsecond)
	}
	return o
}

// want is a line that a command would write.
type want struct {
	effect
	ref     ledger.Ref
	asset   money.Code
	side    ledger.Side // that a freeze may refuse; none for lines that release or change the account itself
	mayOpen bool
}

// wants lists the lines in the order in which they are judged and written: the customer's side of a movement first.
func (a attempt) wants() []want {
	switch a.Kind {
	case ledger.KindDebit, ledger.KindTransfer:
		return []want{a.posts(a.Account, ledger.Debit), a.posts(a.counter(), ledger.Credit)}
	case ledger.KindCredit:
		return []want{a.posts(a.Account, ledger.Credit), a.posts(a.counter(), ledger.Debit)}
	case ledger.KindHold:
		return []want{a.holds(a.Account, ledger.Debit), a.holds(a.counter(), ledger.Credit)}
	case ledger.KindPost:
		return a.legs()
	case ledger.KindCommit, ledger.KindRollback, ledger.KindExpire:
		return a.settles()
	case ledger.KindReverse:
		return a.undoes()
	case ledger.KindOpen:
		return []want{{effect: nothing, ref: a.ref(a.Account), asset: a.Terms.Asset, mayOpen: true}}
	default: // update, freeze, close
		return []want{{effect: nothing, ref: a.ref(a.Account), asset: a.model.books.accounts[a.ref(a.Account)].asset.Code}}
	}
}

// ref names an account of the command's ledger.
func (a attempt) ref(name id.Account) ledger.Ref { return ledger.Ref{Ledger: a.Ledger, Account: name} }

// counter is the other side: the account that the command names, or else the one that the ledger keeps for the reason.
func (a attempt) counter() id.Account {
	return cmp.Or(a.Counter, ledger.CounterOf(a.Reason, a.Amount.Asset))
}

func (a attempt) posts(name id.Account, side ledger.Side) want {
	w := want{effect: nothing, ref: a.ref(name), asset: a.Amount.Asset, side: side, mayOpen: name != a.Account && a.Counter == ""}
	if side == ledger.Debit {
		w.debit = number(a.Amount.Minor)
	} else {
		w.credit = number(a.Amount.Minor)
	}
	return w
}

func (a attempt) holds(name id.Account, side ledger.Side) want {
	w := a.posts(name, side)
	w.effect = effect{debit: nothing.debit, credit: nothing.credit, heldDebit: w.debit, heldCredit: w.credit}
	return w
}

func (a attempt) legs() []want {
	all := make([]want, 0, len(a.Legs))
	for _, leg := range a.Legs {
		w := want{effect: nothing, ref: ledger.Ref{Ledger: cmp.Or(leg.Ledger, a.Ledger), Account: leg.Account}, asset: leg.Amount.Asset, side: leg.Side}
		if leg.Side == ledger.Debit {
			w.debit = number(leg.Amount.Minor)
		} else {
			w.credit = number(leg.Amount.Minor)
		}
		all = append(all, w)
	}
	return all
}

// settlement says how much of a hold the command takes, and how much it releases.
func (a attempt) settlement(h ledger.Hold) (takes, releases *big.Int) {
	rest := minus(number(h.Amount), number(h.Captured))
	switch {
	case a.Kind != ledger.KindCommit:
		return new(big.Int), rest
	case a.Amount == nil:
		return rest, rest
	case a.KeepRest:
		return number(a.Amount.Minor), number(a.Amount.Minor)
	}
	return number(a.Amount.Minor), rest
}

func (a attempt) settles() []want {
	h := a.model.books.holds[a.Target]
	takes, releases := a.settlement(h)
	from := want{effect: nothing, ref: a.ref(h.From), asset: h.Asset.Code}
	to := want{effect: nothing, ref: a.ref(h.To), asset: h.Asset.Code}
	from.debit, from.heldDebit = takes, minus(new(big.Int), releases)
	to.credit, to.heldCredit = takes, minus(new(big.Int), releases)
	if a.Kind == ledger.KindCommit {
		from.side, to.side = ledger.Debit, ledger.Credit
		if a.Amount != nil {
			from.asset, to.asset = a.Amount.Asset, a.Amount.Asset
		}
	}
	return []want{from, to}
}

func (a attempt) undoes() []want {
	entries := a.model.books.journal[a.Target].Outcome.Entries
	all := make([]want, 0, len(entries))
	for _, e := range entries {
		w := want{effect: nothing, ref: e.Ref, asset: a.model.books.accounts[e.Ref].asset.Code}
		if e.Amount.Sign() > 0 {
			w.side, w.debit = ledger.Debit, number(e.Amount)
		} else {
			w.side, w.credit = ledger.Credit, number(e.Amount.Neg())
		}
		all = append(all, w)
	}
	return all
}

// post writes the lines and says what became of the command.
func (a attempt) post() ledger.Outcome {
	wants, at := a.wants(), a.now
	for _, w := range wants { // recorded times of one account never run backwards
		if there := a.model.books.accounts[w.ref].lines; len(there) > 0 && there[len(there)-1].recorded.After(at) {
			at = there[len(there)-1].recorded
		}
	}
	o := answered(a.Command, at)
	o.Decided = ledger.Posted
	for i, w := range wants {
		there, found := a.model.books.accounts[w.ref]
		if !found {
			there = a.opened(w)
		}
		a.change(&there)
		there.lines = append(there.lines, line{
			effect: w.effect, transaction: o.Transaction, origin: a.Ledger, number: i, kind: a.Kind, effective: o.EffectiveAt, recorded: at,
		})
		a.model.books.accounts[w.ref] = there
		o.Entries = append(o.Entries, there.entry(len(there.lines)))
	}
	switch a.Kind {
	case ledger.KindOpen, ledger.KindUpdate, ledger.KindFreeze, ledger.KindClose:
		there := a.model.books.accounts[a.ref(a.Account)]
		view := there.view(len(there.lines))
		o.Account = &view
	case ledger.KindHold, ledger.KindCommit, ledger.KindRollback, ledger.KindExpire:
		h := a.hold()
		a.model.books.holds[h.ID] = h
		o.Hold = &h
	default: // all is said by the entries
	}
	return o
}

// opened is an account as its first line finds it: with the terms of the command, or as a counter account, debit-normal and unlimited.
func (a attempt) opened(w want) account {
	l := a.model.ledgers[w.ref.Ledger]
	asset, _ := l.Asset(w.asset) // ASSET_UNKNOWN was ruled out
	there := account{home: l.Home, ref: w.ref, asset: asset, normal: ledger.Debit, status: ledger.Open}
	if a.Kind == ledger.KindOpen {
		there.normal, there.floor, there.ceiling, there.metadata = a.Terms.Normal, a.Terms.Floor, a.Terms.Ceiling, maps.Clone(a.Terms.Metadata)
	}
	return there
}

// change is what a command on an account does to its terms.
func (a attempt) change(there *account) {
	switch a.Kind {
	case ledger.KindUpdate:
		if a.Change.Floor != nil {
			there.floor = *a.Change.Floor
		}
		if a.Change.Ceiling != nil {
			there.ceiling = *a.Change.Ceiling
		}
		if a.Change.Metadata != nil {
			there.metadata = maps.Clone(a.Change.Metadata)
		}
	case ledger.KindFreeze:
		there.status = a.Status
	case ledger.KindClose:
		there.status = ledger.Closed
	default: // terms stay
	}
}

// hold is the hold as the command leaves it.
func (a attempt) hold() ledger.Hold {
	if a.Kind == ledger.KindHold {
		l := a.model.ledgers[a.Ledger]
		asset, _ := l.Asset(a.Amount.Asset)
		lasts := cmp.Or(a.ExpiresIn, ledger.DefaultHold)
		return ledger.Hold{
			ID: a.ID(), Home: l.Home, Ledger: a.Ledger, From: a.Account, To: a.counter(), Asset: asset, Amount: a.Amount.Minor,
			Status: ledger.Held, ExpiresAt: a.now.Add(lasts).Truncate(time.Microsecond),
		}
	}
	h := a.model.books.holds[a.Target]
	takes, releases := a.settlement(h)
	rest := minus(number(h.Amount), number(h.Captured))
	h.Captured = amount(plus(number(h.Captured), takes))
	switch {
	case a.Kind == ledger.KindRollback:
		h.Status = ledger.RolledBack
	case a.Kind == ledger.KindExpire:
		h.Status = ledger.Expired
	case releases.Cmp(rest) == 0:
		h.Status = ledger.Committed
	}
	return h
}
