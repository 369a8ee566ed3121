package ledgertest

import (
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

var greatest = money.MustParse(strings.Repeat("9", money.MaxDigits))

func huge() *ledger.Money { return &ledger.Money{Minor: greatest, Asset: "EUR"} }

var moneyStories = []named{
	{"debit-takes-from-the-account", func(s *story) {
		s.open("a", "shop")
		s.moved(s.posted(s.debit("a", 5)), "a -5", "counter:general:EUR 5")
		s.moved(s.posted(s.debit("a", 7, to("shop"))), "a -7", "shop 7")
		s.has("a", -12, 0, 0, -12)
		s.has("shop", 7, 0, 0, 7)
	}},
	{"credit-gives-to-the-account", func(s *story) {
		s.open("a", "shop")
		s.moved(s.posted(s.credit("a", 5)), "a 5", "counter:general:EUR -5") // the customer's line is the first
		s.moved(s.posted(s.credit("a", 7, to("shop"))), "a 7", "shop -7")
		s.has("a", 12, 0, 0, 12)
		s.has("shop", -7, 0, 0, -7)
	}},
	{"transfer-moves", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		o := s.posted(s.transfer("a", "b", 30))
		s.moved(o, "a -30", "b 30")
		s.has("a", 70, 0, 0, 70)
		s.has("b", 30, 0, 0, 30)
		first, second := o.Entries[0], o.Entries[1]
		if first.Sequence != 3 || first.Balance.String() != "70" || second.Sequence != 2 || second.Balance.String() != "30" {
			s.t.Fatalf("entries %s", show(o.Entries))
		}
	}},
	{"normal-side-gives-the-sign", func(s *story) {
		s.posted(s.openAs("cash", ledger.Terms{Normal: ledger.Debit}))
		s.open("a")
		o := s.posted(s.credit("a", 10, to("cash")))
		s.moved(o, "a 10", "cash -10")
		s.has("a", 10, 0, 0, 10)
		s.has("cash", 10, 0, 0, 10)
		if o.Entries[1].Balance.String() != "-10" {
			s.t.Fatalf("the balance of an entry is credits less debits, not %s", o.Entries[1].Balance)
		}
	}},
	{"post-has-any-number-of-lines", func(s *story) {
		s.open("a", "b", "fee")
		s.posted(s.openAs("dollars", ledger.Terms{Asset: "USD"}))
		s.posted(s.openAs("bank", ledger.Terms{Asset: "USD", Normal: ledger.Debit}))
		o := s.posted(s.post(
			debited("a", eur(100)), credited("b", eur(97)), credited("fee", eur(3)), credited("dollars", usd(5)), debited("bank", usd(5)),
			credited("a", eur(1)), debited("a", eur(1)),
		))
		s.moved(o, "a -100", "b 97", "fee 3", "dollars 5", "bank -5", "a 1", "a -1")
		s.has("a", -100, 0, 0, -100)
		s.has("dollars", 5, 0, 0, 5)
		s.has("bank", 5, 0, 0, 5)
		if got := s.account("a").Sequence; got != 4 {
			s.t.Fatalf("every line is an entry of its own: sequence %d", got)
		}
	}},
	{"post-over-two-ledgers-of-one-home", func(s *story) { s.clearing("eu") }},
	{"post-over-two-homes", func(s *story) { s.clearing("us") }},
	{"post-balances-each-ledger-and-asset", func(s *story) {
		second := s.books("us", "EUR/2")
		s.open("a")
		s.posted(s.openAs("dollars", ledger.Terms{Asset: "USD"}))
		s.posted(s.openAs("b", ledger.Terms{}, in(second)))
		s.declined(errs.ReasonUnbalanced, s.post(debited("a", eur(5)), at(second, credited("b", eur(5)))), "asset", "EUR", "difference", "-5")
		s.declined(errs.ReasonUnbalanced, s.post(debited("a", eur(5)), credited("dollars", usd(5))), "asset", "EUR", "difference", "-5")
		s.has("a", 0, 0, 0, 0)
	}},
	{"post-adds-up-beyond-any-amount", func(s *story) {
		s.beyond = true
		s.open("a", "b", "c", "d")
		s.posted(s.post(credited("a", huge()), credited("b", huge()), debited("c", huge()), debited("d", huge())))
		if got := s.account("d").Posted(); got != greatest.Neg() {
			s.t.Fatalf("d has %s", got)
		}
		s.declined(errs.ReasonUnbalanced, s.post(debited("a", huge()), debited("b", eur(1))), "difference", "-1"+strings.Repeat("0", money.MaxDigits))
		s.posted(s.post(debited("a", huge()), debited("b", huge()), credited("c", huge()), credited("d", huge())))
	}},
	{"amounts-have-38-digits", func(s *story) {
		s.beyond = true
		s.open("a", "b")
		s.posted(s.credit("a", 0, of(huge())))
		s.posted(s.transfer("a", "b", 0, of(huge())))
		if got := s.account("b").Posted(); got != greatest {
			s.t.Fatalf("b has %s", got)
		}
		s.declined(errs.ReasonBalanceOverflow, s.credit("b", 1), "account_id", "b")
	}},
	{"past-effective-time-is-kept", func(s *story) {
		s.open("a")
		past := time.Date(1993, 1, 1, 13, 30, 0, 123456789, time.FixedZone("", 5400))
		kept := time.Date(1993, 1, 1, 12, 0, 0, 123456000, time.UTC)
		now := s.posted(s.credit("a", 1))
		back := s.posted(s.credit("a", 2, func(c *ledger.Command) { c.EffectiveAt = past }))
		if !back.EffectiveAt.Equal(kept) || back.RecordedAt.Before(now.RecordedAt) || !now.EffectiveAt.Equal(now.RecordedAt) {
			s.t.Fatalf("effective %s, recorded %s, after %s", back.EffectiveAt, back.RecordedAt, now.RecordedAt)
		}
		lines := s.statement("a") // in the order of recording
		if last := lines[len(lines)-1]; !last.EffectiveAt.Equal(kept) || last.Amount.String() != "2" || !last.RecordedAt.Equal(back.RecordedAt) {
			s.t.Fatalf("the newest line is %s", show(last))
		}
	}},
	{"record-keeps-what-the-client-said", func(s *story) {
		s.open("a")
		c := s.credit("a", 5, referring("po_1 ü"), func(c *ledger.Command) {
			c.Correlation, c.Metadata, c.Reason = "order 7", ledger.Metadata{"shop": "<b>\"é\"</b>", "empty": ""}, "payout"
		})
		s.posted(c)
		r, err := s.service.Transaction(s.ctx, s.ledger, c.ID())
		s.must(err, "read the transaction")
		if r.Reference != c.Reference || r.Correlation != c.Correlation || !r.Target.IsZero() || !r.Reverses.IsZero() {
			s.t.Fatalf("recorded %s", show(r))
		}
		if field := ledger.Differs(r.Request, c.Canonical()); len(r.Request) > 0 && field != "" {
			s.t.Fatalf("the stored request differs in %s: %s", field, r.Request)
		}
	}},
}

// clearing settles between two ledgers through a clearing account in each.
func (s *story) clearing(home id.Home) {
	s.t.Helper()
	second := s.books(home, "EUR/2")
	s.customer("a", 100)
	s.open("clearing")
	s.posted(s.openAs("clearing", ledger.Terms{}, in(second)))
	s.posted(s.openAs("b", ledger.Terms{Ceiling: atLimit(50)}, in(second)))

	pay := s.post(debited("a", eur(30)), credited("clearing", eur(30)), at(second, debited("clearing", eur(30))), at(second, credited("b", eur(30))))
	o := s.posted(pay)
	s.moved(o, "a -30", "clearing 30", "clearing -30", "b 30")
	s.hasIn(s.ledger, "a", 70)
	s.hasIn(s.ledger, "clearing", 30)
	s.hasIn(second, "clearing", -30)
	s.hasIn(second, "b", 30)
	lines, err := s.service.Entries(s.ctx, ledger.Ref{Ledger: second, Account: "b"}, ledger.EntryPage{Backward: true, Limit: 1})
	s.must(err, "read the statement in the other ledger")
	if l := lines[0]; l.Origin != s.ledger || l.Transaction != pay.ID() || l.Line != 3 || l.Kind != ledger.KindPost {
		s.t.Fatalf("the line in the other ledger is %s", show(l))
	}
	again := pay
	again.Key = "again"
	s.declined(errs.ReasonCeilingExceeded, again, "ledger", string(second), "account_id", "b", "balance", "30", "after", "60", "max_balance", "50")
	s.moved(s.posted(s.reverse(o)), "a 30", "clearing -30", "clearing 30", "b -30")
	s.hasIn(s.ledger, "a", 100)
	s.hasIn(second, "b", 0)
}
