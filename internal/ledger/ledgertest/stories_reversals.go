package ledgertest

import (
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var reversalStories = []named{
	{"undoes-every-kind-that-moves", func(s *story) {
		s.open("a", "b")
		h := s.posted(s.hold("a", 5, to("b")))
		for _, o := range []ledger.Outcome{
			s.posted(s.debit("a", 5)), s.posted(s.credit("a", 7)), s.posted(s.transfer("a", "b", 9)), s.posted(s.commit(h, of(eur(3)))),
			s.posted(s.post(debited("a", eur(3)), credited("b", eur(1)), credited("b", eur(2)))),
		} {
			var opposite []string
			for _, e := range o.Entries {
				e.Amount = e.Amount.Neg()
				opposite = append(opposite, signed([]ledger.Entry{e})...)
			}
			s.moved(s.posted(s.reverse(o)), opposite...)
		}
		for _, account := range []ledger.Account{s.account("a"), s.account("b"), s.account("counter:general:EUR")} {
			s.shows(account, 0, 0, 0, 0)
		}
	}},
	{"happens-once", func(s *story) {
		s.open("a")
		paid := s.posted(s.credit("a", 5))
		r := s.posted(s.reverse(paid))
		s.declined(errs.ReasonAlreadyReversed, s.reverse(paid), "reversed_by", r.Transaction.String())
		s.has("a", 0, 0, 0, 0)
		record, err := s.service.Transaction(s.ctx, s.ledger, r.Transaction)
		s.must(err, "read the reversal")
		if record.Reverses != paid.Transaction || record.Target != paid.Transaction {
			s.t.Fatalf("the reversal of %s says that it reverses %s", paid.Transaction, record.Reverses)
		}
	}},
	{"declined-attempt-leaves-it-open", func(s *story) {
		s.open("a")
		paid := s.posted(s.credit("a", 5))
		s.posted(s.freeze("a", ledger.DebitsFrozen))
		no := s.reverse(paid)
		o := s.declined(errs.ReasonAccountFrozen, no)
		record, err := s.service.Transaction(s.ctx, s.ledger, o.Transaction)
		s.must(err, "read the declined reversal")
		if !record.Reverses.IsZero() || record.Target != paid.Transaction {
			s.t.Fatalf("a declined reversal reverses nothing, and this one %s", show(record.Reverses))
		}
		s.posted(s.freeze("a", ledger.Open))
		s.posted(s.reverse(paid))
		s.declined(errs.ReasonAccountFrozen, no) // the first answer, for ever
	}},
	{"refuses-what-moved-nothing", func(s *story) {
		opened := s.posted(s.openAs("a", ledger.Terms{Floor: atLimit(0)}))
		paid := s.posted(s.credit("a", 5))
		held := s.posted(s.hold("a", 5))
		for _, o := range []ledger.Outcome{opened, held, s.posted(s.rollback(held)), s.posted(s.reverse(paid)), s.posted(s.freeze("a", ledger.Open))} {
			s.declined(errs.ReasonNotReversible, s.reverse(o), "kind", string(o.Kind), "outcome", "posted")
		}
		no := s.declined(errs.ReasonInsufficientFunds, s.debit("a", 5))
		s.declined(errs.ReasonNotReversible, s.reverse(no), "kind", "debit", "outcome", "declined")
	}},
	{"refuses-what-is-not-there", func(s *story) {
		second := s.books("eu", "EUR/2")
		s.open("a")
		paid := s.posted(s.credit("a", 5))
		s.declined(errs.ReasonTransactionNotFound, s.reverse(paid, in(second)), "transaction_id", paid.Transaction.String())
		s.declined(errs.ReasonTransactionNotFound, s.reverse(ledger.Outcome{Transaction: s.debit("a", 5).ID()}))
	}},
	{"stops-at-a-closed-account", func(s *story) {
		s.open("a", "b")
		paid := s.posted(s.transfer("b", "a", 5))
		s.posted(s.transfer("a", "b", 5))
		s.posted(s.closing("a"))
		s.declined(errs.ReasonAccountClosed, s.reverse(paid), "account_id", "a")
	}},
}
