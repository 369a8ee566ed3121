package ledger

import (
	"maps"
	"strconv"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Books is the part of the ledger that a group of commands needs, loaded and locked, and what the commands executed so far have made
// of it. It is not safe for concurrent use.
type Books struct {
	Now      time.Time // the database's instant, the same for every command of the group
	Ledgers  map[id.Ledger]Ledger
	Accounts map[Ref]Account
	Holds    map[id.Transaction]Hold
	Journal  map[id.Transaction]Record         // earlier rows under the keys of the group, and the targets of its reversals
	Reversed map[id.Transaction]id.Transaction // a target, and the reversal that undid it
	Payments map[id.Transaction]Payment
	Players  map[Ref]Player // by PlayerRef; whoever was asked for and is not there has version 0 and no ChangedAt

	Lifecycle Lifecycle // of payments

	parent  *Books
	records []Record
	touched touched[Ref]
	held    touched[id.Transaction]
	paid    touched[id.Transaction]
	played  touched[Ref]
	steps   []PaymentStep
	termed  map[Ref]bool
}

// touched remembers which rows changed, in the order of their first change, and which of them are new.
type touched[K comparable] struct {
	order []K
	isNew map[K]bool
}

func (t *touched[K]) add(k K, isNew bool) {
	if _, again := t.isNew[k]; again {
		return
	}
	if t.isNew == nil {
		t.isNew = map[K]bool{}
	}
	t.isNew[k] = isNew
	t.order = append(t.order, k)
}

// Changes are the rows that a group writes: each account and each hold once, as it is after the last command.
type Changes struct {
	Records  []Record
	Opened   []Account
	Changed  []Account
	Termed   []Account // of Changed: limits, metadata or status changed too
	Made     []Hold
	Settled  []Hold
	Begun    []Payment
	Advanced []Payment // refused steps count too
	Steps    []PaymentStep
	Joined   []Player              // that had no row
	Players  []Player              // that had one
	HomeOf   map[id.Ledger]id.Home // of every entry in Records
	Recorded int                   // entries in Records
}

// Empty tells whether there is nothing to write: every command was answered before.
func (c Changes) Empty() bool { return len(c.Records) == 0 }

// NewBooks returns empty books at an instant.
func NewBooks(now time.Time) *Books {
	return &Books{
		Now: now, Ledgers: map[id.Ledger]Ledger{}, Accounts: map[Ref]Account{}, Holds: map[id.Transaction]Hold{},
		Journal: map[id.Transaction]Record{}, Reversed: map[id.Transaction]id.Transaction{},
		Payments: map[id.Transaction]Payment{}, Players: map[Ref]Player{}, termed: map[Ref]bool{},
	}
}

// fork returns books that see these and write over them, until adopted.
func (b *Books) fork() *Books {
	f := NewBooks(b.Now)
	f.parent, f.Lifecycle = b, b.Lifecycle
	return f
}

// adopt takes over all that a fork has changed.
func (b *Books) adopt(f *Books) {
	maps.Copy(b.Accounts, f.Accounts)
	maps.Copy(b.Holds, f.Holds)
	maps.Copy(b.Journal, f.Journal)
	maps.Copy(b.Reversed, f.Reversed)
	maps.Copy(b.Payments, f.Payments)
	maps.Copy(b.Players, f.Players)
	maps.Copy(b.termed, f.termed)
	b.records = append(b.records, f.records...)
	for _, k := range f.touched.order {
		b.touched.add(k, f.touched.isNew[k])
	}
	for _, k := range f.held.order {
		b.held.add(k, f.held.isNew[k])
	}
	for _, k := range f.paid.order {
		b.paid.add(k, f.paid.isNew[k])
	}
	for _, k := range f.played.order {
		b.played.add(k, f.played.isNew[k])
	}
	b.steps = append(b.steps, f.steps...)
}

// Execute answers a batch in order. A batch that is not atomic gives every command its own answer. An atomic one happens whole or not at
// all: where one command is declined, each other one that was not decided earlier is declined as BATCH_DECLINED, so that every key
// has its answer for ever; where one key carries another request, all of them get that error and nothing is written. A dry run
// answers the same and changes nothing.
func (b *Books) Execute(batch Batch) []Result {
	if !batch.Atomic && !batch.DryRun {
		return b.each(batch.Commands) // nothing of it is ever taken back
	}
	trial := b.fork()
	results := trial.each(batch.Commands)
	if batch.Atomic {
		culprit := firstRefused(results)
		if culprit >= 0 && results[culprit].Err != nil {
			return allFail(results, culprit)
		}
		if culprit >= 0 {
			trial = b.fork()
			results = trial.declineAll(batch.Commands, results, culprit)
		}
	}
	if batch.DryRun {
		for i := range results {
			results[i].Outcome.DryRun = true
		}
		return results
	}
	b.adopt(trial)
	return results
}

func (b *Books) each(commands []Command) []Result {
	results := make([]Result, len(commands))
	for i, c := range commands {
		results[i].Outcome, results[i].Err = b.execute(c)
	}
	return results
}

// execute answers one command: from the journal where its key is there already, and by Decide otherwise.
func (b *Books) execute(c Command) (Outcome, error) {
	request := c.Canonical()
	hash := Hash(request)
	earlier, found := b.record(c.ID())
	if !found {
		d := Decide(b, c)
		b.write(d, c, request, hash)
		return d.Outcome, nil
	}
	if earlier.RequestHash != hash {
		return Outcome{}, errs.ErrIdempotencyMismatch.With("field", Differs(earlier.Request, request)).With("idempotency_key", c.Key)
	}
	o := earlier.Outcome
	o.Replayed = true
	return o, nil
}

func firstRefused(results []Result) int {
	for i, r := range results {
		if r.Err != nil {
			return i
		}
	}
	for i, r := range results {
		if r.Outcome.Decided == Declined {
			return i
		}
	}
	return -1
}

func allFail(results []Result, culprit int) []Result {
	err := errs.Of(results[culprit].Err).With("index", culprit)
	failed := make([]Result, len(results))
	for i := range failed {
		failed[i].Err = err
	}
	return failed
}

// declineAll stores the culprit's own refusal and BATCH_DECLINED for the others; what was decided before stays as it is.
func (b *Books) declineAll(commands []Command, tried []Result, culprit int) []Result {
	results := make([]Result, len(commands))
	for i, c := range commands {
		if earlier, found := b.record(c.ID()); found {
			results[i].Outcome = earlier.Outcome
			results[i].Outcome.Replayed = true
			continue
		}
		d := Decision{Outcome: tried[i].Outcome}
		if i == culprit && c.Kind == KindStep { // the steps before it in the batch did not happen
			p := plan{books: b, command: c}
			d.Outcome.Step = p.met()
		}
		if i != culprit {
			p := plan{books: b, command: c}
			d = p.declined(refuse(errs.ReasonBatchDeclined, "index", strconv.Itoa(culprit), "reason", string(tried[culprit].Outcome.Reason)))
		}
		request := c.Canonical()
		b.write(d, c, request, Hash(request))
		results[i].Outcome = d.Outcome
	}
	return results
}

// write lays a decision over the books and remembers its rows.
func (b *Books) write(d Decision, c Command, request []byte, hash [32]byte) {
	record := Record{
		Home: b.ledger(c.Ledger).Home, Request: request, RequestHash: hash, Reference: c.Reference, Correlation: c.Correlation,
		TraceID: c.TraceID, Target: c.Target, Outcome: d.Outcome,
	}
	if c.Kind == KindReverse && d.Outcome.Decided == Posted {
		record.Reverses = c.Target
		b.Reversed[c.Target] = c.ID()
	}
	b.Journal[c.ID()] = record
	b.records = append(b.records, record)
	for _, a := range d.Accounts {
		_, known := b.account(a.Ref)
		b.touched.add(a.Ref, !known)
		b.Accounts[a.Ref] = a
	}
	if d.Outcome.Account != nil {
		b.termed[d.Outcome.Account.Ref] = true
	}
	if d.Hold != nil {
		_, known := b.hold(d.Hold.ID)
		b.held.add(d.Hold.ID, !known)
		b.Holds[d.Hold.ID] = *d.Hold
	}
	b.writePayment(d)
}

// Changes returns the rows that the executed commands want written.
func (b *Books) Changes() Changes {
	c := Changes{Records: b.records, HomeOf: map[id.Ledger]id.Home{}}
	for _, r := range b.records {
		c.Recorded += len(r.Outcome.Entries)
	}
	for _, ref := range b.touched.order {
		a := b.Accounts[ref]
		c.HomeOf[ref.Ledger] = a.Home
		if b.touched.isNew[ref] {
			c.Opened = append(c.Opened, a)
		} else {
			c.Changed = append(c.Changed, a)
			if b.termed[ref] {
				c.Termed = append(c.Termed, a)
			}
		}
	}
	for _, key := range b.held.order {
		if b.held.isNew[key] {
			c.Made = append(c.Made, b.Holds[key])
		} else {
			c.Settled = append(c.Settled, b.Holds[key])
		}
	}
	for _, key := range b.paid.order {
		if b.paid.isNew[key] {
			c.Begun = append(c.Begun, b.Payments[key])
		} else {
			c.Advanced = append(c.Advanced, b.Payments[key])
		}
	}
	for _, key := range b.played.order {
		if b.played.isNew[key] {
			c.Joined = append(c.Joined, b.Players[key])
		} else {
			c.Players = append(c.Players, b.Players[key])
		}
	}
	c.Steps = b.steps
	return c
}

func (b *Books) ledger(k id.Ledger) Ledger {
	for ; b != nil; b = b.parent {
		if l, found := b.Ledgers[k]; found {
			return l
		}
	}
	return Ledger{}
}

func (b *Books) account(k Ref) (Account, bool) {
	for ; b != nil; b = b.parent {
		if a, found := b.Accounts[k]; found {
			return a, true
		}
	}
	return Account{}, false
}

func (b *Books) hold(k id.Transaction) (Hold, bool) {
	for ; b != nil; b = b.parent {
		if h, found := b.Holds[k]; found {
			return h, true
		}
	}
	return Hold{}, false
}

func (b *Books) record(k id.Transaction) (Record, bool) {
	for ; b != nil; b = b.parent {
		if r, found := b.Journal[k]; found {
			return r, true
		}
	}
	return Record{}, false
}

func (b *Books) reversal(k id.Transaction) (id.Transaction, bool) {
	for ; b != nil; b = b.parent {
		if by, found := b.Reversed[k]; found {
			return by, true
		}
	}
	return id.Transaction{}, false
}

func (b *Books) payment(k id.Transaction) (Payment, bool) {
	for ; b != nil; b = b.parent {
		if p, found := b.Payments[k]; found {
			return p, true
		}
	}
	return Payment{}, false
}

func (b *Books) player(l id.Ledger, player id.Player) (Player, bool) {
	ref := PlayerRef(l, player)
	for ; b != nil; b = b.parent {
		if p, found := b.Players[ref]; found {
			return p, true
		}
	}
	return Player{}, false
}
