package ledger

import (
	"cmp"
	"math/big"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Decision is what Decide found: the outcome, and the rows as they are after it. A decline changes no row.
type Decision struct {
	Outcome  Outcome
	Accounts []Account // changed or opened
	Hold     *Hold
	Payments []Payment // the one that a step is of, and the one that it takes back; a refused step is counted on the first
	Player   *Player
}

// Decide says what a command becomes in the light of the books. It is pure: it reads the books, changes nothing, and gives the same
// answer to the same arguments. The command has been validated and its accounts, holds and targets are loaded.
//
// The books look for reasons to decline in the order of errs.Declines; within one reason, line by line. Limits are judged on the net
// effect of the whole transaction.
func Decide(b *Books, c Command) Decision {
	p := plan{books: b, command: c}
	if refusal := p.moves(); refusal != nil {
		return p.declined(refusal)
	}
	return p.posted()
}

// move is one line of a transaction before it is applied: what it adds to the four totals of one account.
type move struct {
	ref     Ref
	asset   money.Code
	side    Side         // of posted or held money; zero for lines that only change the account
	post    money.Amount // adds to the posted total of side
	pend    money.Amount // adds to the pending total of side; negative releases
	opens   bool         // the account may be opened by this line
	terms   *Terms       // and so; nil: as a counter account
	release bool         // only releases held money: allowed on a frozen account
}

type plan struct {
	books   *Books
	command Command
	lines   []move
	hold    *Hold
	account *Account // of commands on an account: as it will be

	step     *Transition
	payments []Payment // as they will be
	player   *Player   // as it will be
}

// refusal is a reason to decline and its facts.
type refusal struct {
	reason errs.Reason
	detail map[string]string
}

func refuse(reason errs.Reason, facts ...string) *refusal {
	r := &refusal{reason: reason, detail: make(map[string]string, len(facts)/2)}
	for i := 0; i+1 < len(facts); i += 2 {
		r.detail[facts[i]] = facts[i+1]
	}
	return r
}

// refuseAt is a refusal that is about one account.
func refuseAt(ref Ref, reason errs.Reason, facts ...string) *refusal {
	r := refuse(reason, facts...)
	r.detail["ledger"], r.detail["account_id"] = string(ref.Ledger), string(ref.Account)
	return r
}

// moves turns the command into lines, or says why it can not be.
func (p *plan) moves() *refusal {
	c := p.command
	switch c.Kind {
	case KindDebit, KindTransfer:
		p.pair(c.Account, c.counter(), *c.Amount, c.Counter == "")
	case KindCredit:
		p.pair(c.counter(), c.Account, *c.Amount, c.Counter == "")
	case KindPost:
		return p.post()
	case KindHold:
		p.setAside()
	case KindCommit, KindRollback, KindExpire:
		return p.settle()
	case KindReverse:
		return p.reverse()
	case KindStep:
		return p.advance()
	case KindPlayer:
		return p.profile()
	default:
		return p.lifecycle()
	}
	return nil
}

// pair debits one account and credits another; the customer's side comes first, so that its refusals do and its entry does.
func (p *plan) pair(debit, credit id.Account, m Money, opensCounter bool) {
	ledger := p.command.Ledger
	out := move{ref: Ref{ledger, debit}, asset: m.Asset, side: Debit, post: m.Minor, opens: opensCounter && debit != p.command.Account}
	in := move{ref: Ref{ledger, credit}, asset: m.Asset, side: Credit, post: m.Minor, opens: opensCounter && credit != p.command.Account}
	if p.command.Kind == KindCredit {
		p.lines = []move{in, out}
		return
	}
	p.lines = []move{out, in}
}

func (p *plan) post() *refusal {
	type book struct {
		ledger id.Ledger
		asset  money.Code
	}
	sums := map[book]*big.Int{} // legs that balance may add up to more than an Amount holds on the way
	for _, leg := range p.command.Legs {
		at := book{cmp.Or(leg.Ledger, p.command.Ledger), leg.Amount.Asset}
		signed := leg.Amount.Minor
		if leg.Side == Debit {
			signed = signed.Neg()
		}
		if sums[at] == nil {
			sums[at] = new(big.Int)
		}
		sums[at].Add(sums[at], signed.Big())
		p.lines = append(p.lines, move{ref: Ref{at.ledger, leg.Account}, asset: at.asset, side: leg.Side, post: leg.Amount.Minor})
	}
	for _, line := range p.lines { // in the order of the request, so that the answer is always the same one
		if sum := sums[book{line.ref.Ledger, line.asset}]; sum.Sign() != 0 {
			return refuse(errs.ReasonUnbalanced, "ledger", string(line.ref.Ledger), "asset", string(line.asset), "difference", sum.String())
		}
	}
	return nil
}

func (p *plan) setAside() {
	c := p.command
	from, to := Ref{c.Ledger, c.Account}, Ref{c.Ledger, c.counter()}
	p.lines = []move{
		{ref: from, asset: c.Amount.Asset, side: Debit, pend: c.Amount.Minor},
		{ref: to, asset: c.Amount.Asset, side: Credit, pend: c.Amount.Minor, opens: c.Counter == ""},
	}
	lasts := c.ExpiresIn
	if lasts == 0 {
		lasts = DefaultHold
	}
	ledger := p.books.ledger(c.Ledger)
	asset, _ := ledger.Asset(c.Amount.Asset)
	p.hold = &Hold{
		ID: c.ID(), Home: ledger.Home, Ledger: c.Ledger, From: from.Account, To: to.Account, Asset: asset,
		Amount: c.Amount.Minor, Status: Held, ExpiresAt: micros(p.books.Now.Add(lasts)),
	}
}

// settle commits, rolls back or expires a hold.
func (p *plan) settle() *refusal {
	c := p.command
	hold, found := p.books.hold(c.Target)
	if !found || hold.Ledger != c.Ledger {
		return refuse(errs.ReasonHoldNotFound, "hold_id", c.Target.String())
	}
	if hold.Status == Expired {
		return refuse(errs.ReasonHoldExpired, "expired_at", hold.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	if hold.Status != Held {
		return refuse(errs.ReasonHoldExhausted, "status", string(hold.Status), "captured", hold.Captured.String())
	}
	if c.Kind == KindCommit && !p.books.Now.Before(hold.ExpiresAt) {
		return refuse(errs.ReasonHoldExpired, "expired_at", hold.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	captured, released := money.Amount{}, hold.Remaining()
	asset := hold.Asset.Code
	if c.Kind == KindCommit {
		captured = released
		if c.Amount != nil {
			captured, asset = c.Amount.Minor, c.Amount.Asset
		}
		if hold.Remaining().Less(captured) {
			return refuse(errs.ReasonHoldExceeded, "remaining", hold.Remaining().String(), "required", captured.String())
		}
		if c.KeepRest {
			released = captured
		}
	}
	only := c.Kind != KindCommit
	p.lines = []move{
		{ref: Ref{hold.Ledger, hold.From}, asset: asset, side: Debit, post: captured, pend: released.Neg(), release: only},
		{ref: Ref{hold.Ledger, hold.To}, asset: asset, side: Credit, post: captured, pend: released.Neg(), release: only},
	}
	p.hold = settled(hold, c.Kind, captured, released)
	return nil
}

func settled(h Hold, kind Kind, captured, released money.Amount) *Hold {
	rest := h.Remaining()
	h.Captured, _ = h.Captured.Add(captured) // captured <= remaining, so the sum stays within the amount
	switch {
	case kind == KindRollback:
		h.Status = RolledBack
	case kind == KindExpire:
		h.Status = Expired
	case released == rest:
		h.Status = Committed
	}
	return &h
}

func (p *plan) reverse() *refusal {
	target := p.command.Target
	original, found := p.books.record(target)
	if !found || original.Outcome.Ledger != p.command.Ledger {
		return refuse(errs.ReasonTransactionNotFound, "transaction_id", target.String())
	}
	if o := original.Outcome; o.Decided != Posted || !o.Kind.Reversible() {
		return refuse(errs.ReasonNotReversible, "kind", string(o.Kind), "outcome", string(o.Decided))
	}
	if by, done := p.books.reversal(target); done {
		return refuse(errs.ReasonAlreadyReversed, "reversed_by", by.String())
	}
	for _, e := range original.Outcome.Entries {
		side := Debit // the opposite of the entry's
		if e.Side() == Debit {
			side = Credit
		}
		account, _ := p.books.account(e.Ref)
		p.lines = append(p.lines, move{ref: e.Ref, asset: account.Asset.Code, side: side, post: e.Amount.Abs()})
	}
	return nil
}

// lifecycle plans a command on an account itself.
func (p *plan) lifecycle() *refusal {
	c := p.command
	ref := Ref{c.Ledger, c.Account}
	before, found := p.books.account(ref)
	if c.Kind == KindOpen {
		return p.open(ref, found)
	}
	if !found {
		return refuseAt(ref, errs.ReasonAccountNotFound)
	}
	if before.Status == Closed {
		return refuseAt(ref, errs.ReasonAccountClosed)
	}
	after := before
	switch c.Kind {
	case KindUpdate:
		after = c.Change.of(before)
	case KindFreeze:
		after.Status = c.Status
	default: // close
		if !before.PendingDebits.IsZero() || !before.PendingCredits.IsZero() {
			return refuseAt(ref, errs.ReasonHoldsOpen, "incoming", before.Incoming().String(), "outgoing", before.Outgoing().String())
		}
		if !before.Posted().IsZero() {
			return refuseAt(ref, errs.ReasonBalanceNotZero, "posted", before.Posted().String())
		}
		after.Status = Closed
	}
	p.account = &after
	p.lines = []move{{ref: ref, asset: after.Asset.Code, release: true}}
	return nil
}

func (p *plan) open(ref Ref, found bool) *refusal {
	if found {
		return refuseAt(ref, errs.ReasonAccountExists)
	}
	terms, ledger := p.command.Terms, p.books.ledger(ref.Ledger)
	asset, known := ledger.Asset(terms.Asset)
	if !known {
		return refuse(errs.ReasonAssetUnknown, "asset", string(terms.Asset))
	}
	p.account = &Account{
		Home: ledger.Home, Ref: ref, Asset: asset, Normal: terms.Normal, Floor: terms.Floor, Ceiling: terms.Ceiling,
		Status: Open, Metadata: terms.Metadata,
	}
	p.lines = []move{{ref: ref, asset: asset.Code, release: true}}
	return nil
}
