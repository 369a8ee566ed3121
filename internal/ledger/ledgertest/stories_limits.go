package ledgertest

import (
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var limitStories = []named{
	{"floor-is-what-must-stay-available", func(s *story) {
		s.customer("a", 100)
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 101),
			"account_id", "a", "available", "100", "required", "101", "min_available", "0")
		s.posted(s.debit("a", 100))
		s.has("a", 0, 0, 0, 0)
	}},
	{"floor-below-zero-is-an-overdraft", func(s *story) {
		s.posted(s.openAs("a", ledger.Terms{Floor: atLimit(-50)}))
		s.posted(s.debit("a", 50))
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 1), "available", "-50", "required", "1", "min_available", "-50")
	}},
	{"floor-counts-held-money-as-gone", func(s *story) {
		s.customer("a", 100)
		s.posted(s.hold("a", 60))
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 41), "available", "40")
		s.declined(errs.ReasonInsufficientFunds, s.hold("a", 41), "available", "40")
		s.posted(s.hold("a", 40))
		s.has("a", 100, 0, 100, 0)
	}},
	{"floor-does-not-count-money-on-its-way", func(s *story) {
		s.open("bank")
		s.customer("a", 0)
		s.posted(s.hold("bank", 60, to("a")))
		s.has("a", 0, 60, 0, 0)
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 1), "available", "0")
	}},
	{"floor-of-a-debit-normal-account", func(s *story) {
		s.posted(s.openAs("cash", ledger.Terms{Normal: ledger.Debit, Floor: atLimit(0)}))
		s.open("a")
		s.declined(errs.ReasonInsufficientFunds, s.transfer("a", "cash", 1), "account_id", "cash", "available", "0") // a credit empties it
		s.posted(s.transfer("cash", "a", 10))
		s.declined(errs.ReasonInsufficientFunds, s.hold("a", 11, to("cash")), "account_id", "cash", "available", "10", "required", "11")
		s.posted(s.hold("a", 10, to("cash")))
		s.has("cash", 10, 0, 10, 0)
	}},
	{"ceiling-is-the-most-there-may-be", func(s *story) {
		s.posted(s.openAs("a", ledger.Terms{Ceiling: atLimit(100)}))
		s.declined(errs.ReasonCeilingExceeded, s.credit("a", 101), "account_id", "a", "balance", "0", "after", "101", "max_balance", "100")
		s.posted(s.credit("a", 100))
		s.posted(s.debit("a", 1))
	}},
	{"ceiling-counts-money-on-its-way", func(s *story) {
		s.open("bank")
		s.posted(s.openAs("a", ledger.Terms{Ceiling: atLimit(100)}))
		h := s.posted(s.hold("bank", 60, to("a")))
		s.declined(errs.ReasonCeilingExceeded, s.credit("a", 41), "balance", "60", "after", "101")
		s.declined(errs.ReasonCeilingExceeded, s.hold("bank", 41, to("a")))
		s.posted(s.credit("a", 40))
		s.posted(s.commit(h)) // what was counted before does not count again
		s.has("a", 100, 0, 0, 100)
	}},
	{"ceiling-of-a-debit-normal-account", func(s *story) {
		s.posted(s.openAs("till", ledger.Terms{Normal: ledger.Debit, Ceiling: atLimit(10)}))
		s.declined(errs.ReasonCeilingExceeded, s.debit("till", 11), "account_id", "till")
		s.posted(s.debit("till", 10))
		s.has("till", 10, 0, 0, 10)
	}},
	{"net-effect-is-what-counts", func(s *story) {
		s.customer("a", 10)
		s.posted(s.openAs("b", ledger.Terms{Ceiling: atLimit(10)}))
		s.posted(s.post(debited("a", eur(100)), credited("b", eur(100)), credited("a", eur(95)), debited("b", eur(95))))
		s.has("a", 5, 0, 0, 5)
		s.has("b", 5, 0, 0, 5)
		s.declined(errs.ReasonInsufficientFunds, s.post(credited("a", eur(4)), debited("a", eur(10)), credited("b", eur(6))),
			"account_id", "a", "available", "5", "required", "6")
	}},
	{"outside-a-limit-may-come-closer", func(s *story) {
		s.open("a", "b")
		s.posted(s.transfer("a", "b", 100)) // a has -100, b has 100
		s.posted(s.update("a", ledger.Change{Floor: limitAt(0)}))
		s.posted(s.update("b", ledger.Change{Ceiling: limitAt(0)}))
		s.declined(errs.ReasonInsufficientFunds, s.transfer("a", "b", 1), "account_id", "a", "available", "-100")
		s.posted(s.transfer("b", "a", 30))
		s.posted(s.post(debited("a", eur(5)), credited("a", eur(5)))) // no net effect, no complaint
		s.has("a", -70, 0, 0, -70)
		s.declined(errs.ReasonCeilingExceeded, s.credit("b", 1), "balance", "70", "after", "71")
	}},
	{"reversal-keeps-to-limits", func(s *story) {
		s.customer("a", 0)
		paid := s.posted(s.credit("a", 100))
		s.posted(s.debit("a", 60))
		s.declined(errs.ReasonInsufficientFunds, s.reverse(paid), "available", "40", "required", "100")
		s.posted(s.credit("a", 60))
		s.posted(s.reverse(paid)) // a declined attempt was none
		s.has("a", 0, 0, 0, 0)
	}},
	{"amount-at-the-edge-of-numbers", func(s *story) {
		s.open("a", "b")
		s.posted(s.hold("a", 0, of(huge()), to("b")))
		s.declined(errs.ReasonBalanceOverflow, s.debit("a", 1), "account_id", "a") // -1 less what is held needs 39 digits
		s.declined(errs.ReasonBalanceOverflow, s.credit("b", 1), "account_id", "b")
		s.declined(errs.ReasonBalanceOverflow, s.hold("a", 1), "account_id", "a")
		s.posted(s.credit("a", 1))
	}},
}
