package verify

import (
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// account is a row of the account table.
type account struct {
	id             id.Account
	postedDebits   digits
	postedCredits  digits
	pendingDebits  digits
	pendingCredits digits
	sequence       int64
	openedAt       time.Time
	changedAt      time.Time
	terms          terms
}

// entry is a row of the entry table, or the line of a journal row that says the same.
type entry struct {
	ledger         id.Ledger
	account        id.Account
	sequence       int64
	origin         id.Ledger
	transaction    id.Transaction
	line           int64
	kind           string
	amount         digits
	balance        digits
	pendingDebits  digits
	pendingCredits digits
	effectiveAt    time.Time
	recordedAt     time.Time
}

// words says all of an entry, the same way for both sides and for a person.
func (e *entry) words(b []byte) []byte {
	b = append(append(append(b, e.ledger...), '/'), e.account...)
	b = append(b, " #"...)
	b = appendInt(b, e.sequence)
	b = append(append(append(b, ' '), e.kind...), " amount "...)
	b = append(e.amount.Append(b), " balance "...)
	b = append(e.balance.Append(b), " pending "...)
	b = append(e.pendingDebits.Append(b), '/')
	b = append(e.pendingCredits.Append(b), " effective "...)
	b = append(appendTime(b, e.effectiveAt), " recorded "...)
	return appendTime(b, e.recordedAt)
}

// statement is an account and what its entries have said so far.
type statement struct {
	account
	debits, credits money.Amount
	entries         int64
	last            entry
	first           time.Time
	decided         id.Transaction // by its newest command on the account itself
	steps           money.Amount   // what steps of payments have moved
	step            id.Transaction // the newest of them
	broken          bool           // the sums left the range of an amount, which was reported
}

// add holds the next entry against the ones before it.
func (s *statement) add(r *run, b book, e *entry) {
	f := Finding{Ledger: b.ledger, Account: s.id, Transaction: e.transaction, Sequence: e.sequence}
	r.looked(&r.checks.sequences, &r.checks.chain)
	switch {
	case e.sequence == s.last.sequence+1:
		s.follows(r, f, e)
	case s.entries == 0:
		f.Message = fmt.Sprintf("its first entry has number %d", e.sequence)
		r.find(&r.checks.sequences, f)
	default:
		f.Message = fmt.Sprintf("entry %d follows entry %d", e.sequence, s.last.sequence)
		r.find(&r.checks.sequences, f)
	}
	if s.entries == 0 {
		s.first = e.recordedAt
	}
	if decides(e.kind) || e.sequence == 1 && e.kind == "step" {
		s.decided = e.transaction
	}
	s.sum(r, f, e)
	s.entries++
	s.last = *e
}

// follows judges an entry that has the one before it beside it; behind a gap there is nothing to judge it by.
func (s *statement) follows(r *run, f Finding, e *entry) {
	want, err := s.last.balance.Add(e.amount.Amount)
	if err != nil || e.balance != (digits{Amount: want}) || e.amount.odd != "" {
		f.Message = fmt.Sprintf("balance %s and amount %s do not make balance %s", s.last.balance, e.amount, e.balance)
		r.find(&r.checks.chain, f)
	}
	if s.entries > 0 && e.recordedAt.Before(s.last.recordedAt) {
		f.Message = fmt.Sprintf("recorded at %s, before the entry that it follows at %s", stamp(e.recordedAt), stamp(s.last.recordedAt))
		r.find(&r.checks.chain, f)
	}
	moved := e.pendingDebits != s.last.pendingDebits || e.pendingCredits != s.last.pendingCredits
	if moved && !setsAside(e.kind) {
		f.Message = fmt.Sprintf("a %s changes what is pending from %s/%s to %s/%s, which holds alone do", e.kind,
			s.last.pendingDebits, s.last.pendingCredits, e.pendingDebits, e.pendingCredits)
		r.find(&r.checks.chain, f)
	}
}

// setsAside tells whether commands of that kind change what is pending.
func setsAside(kind string) bool {
	switch kind {
	case "hold", "commit", "rollback", "expire":
		return true
	}
	return false
}

func (s *statement) sum(r *run, f Finding, e *entry) {
	if s.broken {
		return
	}
	var err error
	if e.amount.Sign() < 0 {
		s.debits, err = s.debits.Sub(e.amount.Amount)
	} else {
		s.credits, err = s.credits.Add(e.amount.Amount)
	}
	if e.kind == "step" && err == nil {
		s.step = e.transaction
		s.steps, err = s.steps.Add(e.amount.Amount)
	}
	if err != nil {
		s.broken = true
		f.Message = "its entries add up to more than 38 digits"
		r.find(&r.checks.balances, f)
	}
}

// end holds the account against all of its entries.
func (s *statement) end(r *run, b book) {
	f := Finding{Ledger: b.ledger, Account: s.id}
	r.looked(&r.checks.balances)
	s.totals(r, f)
	f.Sequence = s.last.sequence
	if s.sequence != s.last.sequence {
		f.Message = fmt.Sprintf("the account says that entry %d is its newest, which is entry %d", s.sequence, s.last.sequence)
		if s.entries == 0 {
			f.Message = fmt.Sprintf("the account says that entry %d is its newest, and there is none", s.sequence)
		}
		r.find(&r.checks.sequences, f)
	} else {
		s.times(r, f)
	}
	if s.terms.Status == "closed" {
		s.closed(r, f)
	}
}

func (s *statement) totals(r *run, f Finding) {
	for _, t := range [...]struct {
		name       string
		says, sums digits
	}{
		{"posted debits", s.postedDebits, digits{Amount: s.debits}},
		{"posted credits", s.postedCredits, digits{Amount: s.credits}},
		{"pending debits", s.pendingDebits, s.last.pendingDebits},
		{"pending credits", s.pendingCredits, s.last.pendingCredits},
	} {
		if t.says != t.sums && !s.broken {
			f.Message = fmt.Sprintf("%s are %s, its entries make them %s", t.name, t.says, t.sums)
			r.find(&r.checks.balances, f)
		}
	}
}

// times judges an account whose newest entry is there.
func (s *statement) times(r *run, f Finding) {
	if !s.changedAt.Equal(s.last.recordedAt) {
		f.Message = fmt.Sprintf("the account was changed at %s, its newest entry was recorded at %s", stamp(s.changedAt), stamp(s.last.recordedAt))
		r.find(&r.checks.chain, f)
	}
	if s.entries == s.sequence && !s.openedAt.Equal(s.first) {
		f.Sequence = 1
		f.Message = fmt.Sprintf("the account was opened at %s, its first entry was recorded at %s", stamp(s.openedAt), stamp(s.first))
		r.find(&r.checks.chain, f)
	}
}

func (s *statement) closed(r *run, f Finding) {
	r.looked(&r.checks.closed)
	if s.postedDebits != s.postedCredits {
		f.Message = fmt.Sprintf("closed with debits of %s and credits of %s", s.postedDebits, s.postedCredits)
		r.find(&r.checks.closed, f)
	}
	if !s.pendingDebits.IsZero() || !s.pendingCredits.IsZero() {
		f.Message = fmt.Sprintf("closed with pending debits of %s and pending credits of %s", s.pendingDebits, s.pendingCredits)
		r.find(&r.checks.closed, f)
	}
}
