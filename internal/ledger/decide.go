package ledger

import (
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
	release bool         // only releases held money: allowed on a frozen account
}

type plan struct {
	books   *Books
	command Command
	lines   []move
	hold    *Hold
	account *Account // of commands on an account: as it will be
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

// moves turns the command into lines, or says why it can not be.
func (p *plan) moves() *refusal {
	c := p.command
	switch c.Kind {
	case KindDebit, KindTransfer:
		p.pair(c.Account, p.counter(), *c.Amount, c.Counter == "")
	case KindCredit:
		p.pair(p.counter(), c.Account, *c.Amount, c.Counter == "")
	case KindPost:
		return p.post()
	case KindHold:
		p.setAside()
	case KindCommit, KindRollback, KindExpire:
		return p.settle()
	case KindReverse:
		return p.reverse()
	default:
		return p.lifecycle()
	}
	return nil
}

func (p *plan) counter() id.Account {
	if c := p.command; c.Counter == "" {
		return CounterOf(c.Reason, c.Amount.Asset)
	}
	return p.command.Counter
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
	sums := map[book]money.Amount{}
	for _, leg := range p.command.Legs {
		ledger := leg.Ledger
		if ledger == "" {
			ledger = p.command.Ledger
		}
		signed := leg.Amount.Minor
		if leg.Side == Debit {
			signed = signed.Neg()
		}
		at := book{ledger, leg.Amount.Asset}
		sum, err := sums[at].Add(signed)
		if err != nil {
			return refuse(errs.ReasonUnbalanced, "ledger", string(ledger), "asset", string(at.asset), "difference", "out of range")
		}
		sums[at] = sum
		p.lines = append(p.lines, move{ref: Ref{ledger, leg.Account}, asset: leg.Amount.Asset, side: leg.Side, post: leg.Amount.Minor})
	}
	for _, leg := range p.lines { // in the order of the request, so that the answer is always the same one
		if sum := sums[book{leg.ref.Ledger, leg.asset}]; !sum.IsZero() {
			return refuse(errs.ReasonUnbalanced, "ledger", string(leg.ref.Ledger), "asset", string(leg.asset), "difference", sum.String())
		}
	}
	return nil
}

func (p *plan) setAside() {
	c := p.command
	from, to := Ref{c.Ledger, c.Account}, Ref{c.Ledger, p.counter()}
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
		Amount: c.Amount.Minor, Status: Held, ExpiresAt: p.books.Now.Add(lasts),
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
		return refuse(errs.ReasonAccountNotFound, "account_id", string(c.Account))
	}
	if before.Status == Closed {
		return refuse(errs.ReasonAccountClosed, "account_id", string(c.Account))
	}
	after := before
	switch c.Kind {
	case KindUpdate:
		after.Floor, after.Ceiling, after.Metadata = c.Terms.Floor, c.Terms.Ceiling, c.Terms.Metadata
	case KindFreeze:
		after.Status = c.Status
	case KindClose:
		if !before.PendingDebits.IsZero() || !before.PendingCredits.IsZero() {
			return refuse(errs.ReasonHoldsOpen, "incoming", before.Incoming().String(), "outgoing", before.Outgoing().String())
		}
		if !before.Posted().IsZero() {
			return refuse(errs.ReasonBalanceNotZero, "posted", before.Posted().String())
		}
		after.Status = Closed
	}
	p.account = &after
	p.lines = []move{{ref: ref, asset: after.Asset.Code, release: true}}
	return nil
}

func (p *plan) open(ref Ref, found bool) *refusal {
	if found {
		return refuse(errs.ReasonAccountExists, "account_id", string(ref.Account))
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
