package ledgertest

import (
	"maps"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var noTime time.Time

var accountStories = []named{
	{"open-answers-with-the-account", func(s *story) {
		terms := ledger.Terms{
			Asset: "USD", Normal: ledger.Debit, Floor: atLimit(-5), Ceiling: atLimit(100), Metadata: ledger.Metadata{"tier": "gold"},
		}
		o := s.posted(s.openAs("cash", terms))
		a := s.account("cash")
		s.must(same("the account of the outcome", show(cleanAccount(*o.Account)), show(cleanAccount(a))), "open")
		if a.Home != "eu" || a.Asset.String() != "USD/2" || a.Normal != ledger.Debit || a.Floor != atLimit(-5) || a.Ceiling != atLimit(100) ||
			a.Status != ledger.Open || a.Metadata["tier"] != "gold" || !a.OpenedAt.Equal(o.RecordedAt) || !a.ChangedAt.Equal(o.RecordedAt) {
			s.t.Fatalf("opened %s", show(a))
		}
		if len(o.Entries) != 1 || o.Entries[0].Sequence != 1 || !o.Entries[0].Amount.IsZero() || a.Sequence != 1 {
			s.t.Fatalf("the first line of a statement is the opening, not %s", show(o.Entries))
		}
	}},
	{"update-changes-what-it-names-and-nothing-else", func(s *story) {
		s.posted(s.openAs("a", ledger.Terms{Floor: atLimit(0), Ceiling: atLimit(100), Metadata: ledger.Metadata{"tier": "gold"}}))
		is := func(floor, ceiling ledger.Limit, metadata ledger.Metadata, change ledger.Change) {
			s.t.Helper()
			o := s.posted(s.update("a", change))
			a := s.account("a")
			if a.Floor != floor || a.Ceiling != ceiling || !maps.Equal(a.Metadata, metadata) || o.Account.Floor != floor || o.Account.Ceiling != ceiling {
				s.t.Fatalf("updated by %s: %s", show(change), show(a))
			}
		}
		gold := ledger.Metadata{"tier": "gold"}
		is(atLimit(-5), atLimit(100), gold, ledger.Change{Floor: limitAt(-5)})
		is(atLimit(-5), ledger.Limit{}, gold, ledger.Change{Ceiling: &ledger.Limit{}})
		is(atLimit(-5), ledger.Limit{}, ledger.Metadata{"since": "2025"}, ledger.Change{Metadata: ledger.Metadata{"since": "2025"}})
		is(ledger.Limit{}, atLimit(7), nil, ledger.Change{Floor: &ledger.Limit{}, Ceiling: limitAt(7), Metadata: ledger.Metadata{}})
		s.posted(s.debit("a", 5)) // a floor that was taken away holds nobody back
	}},
	{"update-sets-limits-that-the-balance-is-outside-of", func(s *story) {
		s.posted(s.openAs("a", ledger.Terms{Floor: atLimit(0), Ceiling: atLimit(100), Metadata: ledger.Metadata{"tier": "gold", "since": "2025"}}))
		s.posted(s.credit("a", 50))
		o := s.posted(s.update("a", ledger.Change{Ceiling: limitAt(40), Metadata: ledger.Metadata{"tier": "silver"}}))
		a := s.account("a")
		if a.Floor != atLimit(0) || a.Ceiling != atLimit(40) || len(a.Metadata) != 1 || a.Metadata["tier"] != "silver" || a.Asset.Code != "EUR" ||
			a.Sequence != 3 || o.Account.Ceiling != atLimit(40) {
			s.t.Fatalf("updated %s", show(a))
		}
		s.has("a", 50, 0, 0, 50)
	}},
	{"freeze-debits-stops-what-leaves", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		s.posted(s.freeze("a", ledger.DebitsFrozen))
		s.declined(errs.ReasonAccountFrozen, s.debit("a", 5), "status", "debits_frozen", "account_id", "a")
		s.declined(errs.ReasonAccountFrozen, s.transfer("a", "b", 5))
		s.declined(errs.ReasonAccountFrozen, s.hold("a", 5))
		s.posted(s.credit("a", 5))
		s.posted(s.transfer("b", "a", 5))
		s.posted(s.hold("b", 5, to("a")))
		s.posted(s.freeze("a", ledger.Open))
		s.posted(s.debit("a", 10))
	}},
	{"freeze-credits-stops-what-comes", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		s.posted(s.freeze("a", ledger.CreditsFrozen))
		s.declined(errs.ReasonAccountFrozen, s.credit("a", 5), "status", "credits_frozen")
		s.declined(errs.ReasonAccountFrozen, s.transfer("b", "a", 5))
		s.declined(errs.ReasonAccountFrozen, s.hold("b", 5, to("a")))
		s.posted(s.debit("a", 5))
		s.posted(s.hold("a", 5))
	}},
	{"freeze-stops-both-and-settling", func(s *story) {
		s.customer("a", 100)
		commits, releases, paid := s.posted(s.hold("a", 10)), s.posted(s.hold("a", 20)), s.posted(s.debit("a", 5))
		s.posted(s.freeze("a", ledger.Frozen))
		s.declined(errs.ReasonAccountFrozen, s.debit("a", 5), "status", "frozen")
		s.declined(errs.ReasonAccountFrozen, s.credit("a", 5))
		s.declined(errs.ReasonAccountFrozen, s.commit(commits))
		s.declined(errs.ReasonAccountFrozen, s.reverse(paid))
		s.posted(s.rollback(releases)) // letting go of held money stays possible
		s.posted(s.update("a", ledger.Change{Floor: limitAt(0)}))
		s.posted(s.freeze("a", ledger.Open))
		s.posted(s.commit(commits))
		s.has("a", 85, 0, 0, 85)
	}},
	{"close-ends-an-empty-account", func(s *story) {
		s.open("a", "b")
		s.posted(s.credit("a", 5))
		s.posted(s.transfer("a", "b", 5))
		o := s.posted(s.closing("a"))
		if o.Account.Status != ledger.Closed || s.account("a").Status != ledger.Closed || len(s.statement("a")) != 4 {
			s.t.Fatalf("closed: %s", show(o.Account))
		}
		s.declined(errs.ReasonAccountClosed, s.transfer("b", "a", 5), "account_id", "a")
		s.declined(errs.ReasonAccountClosed, s.freeze("a", ledger.Open))
		s.declined(errs.ReasonAccountClosed, s.update("a", ledger.Change{Floor: limitAt(0)}))
		s.declined(errs.ReasonAccountClosed, s.closing("a"))
		s.declined(errs.ReasonAccountExists, s.openAs("a", ledger.Terms{}))
	}},
	{"close-waits-for-holds-and-balance", func(s *story) {
		s.open("a", "b")
		s.posted(s.credit("a", 5))
		h := s.posted(s.hold("a", 5, to("b")))
		s.declined(errs.ReasonHoldsOpen, s.closing("a"), "outgoing", "5", "incoming", "0")
		s.declined(errs.ReasonHoldsOpen, s.closing("b"), "outgoing", "0", "incoming", "5")
		s.posted(s.rollback(h))
		s.declined(errs.ReasonBalanceNotZero, s.closing("a"), "posted", "5")
		s.posted(s.debit("a", 9))
		s.declined(errs.ReasonBalanceNotZero, s.closing("a"), "posted", "-4")
		s.posted(s.closing("b"))
	}},
	{"close-of-a-frozen-account", func(s *story) {
		s.open("a")
		s.posted(s.freeze("a", ledger.Frozen))
		s.posted(s.closing("a"))
	}},
	{"counter-account-opens-by-itself", func(s *story) {
		s.customer("a", 0)
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 5, because("payout")))
		if _, err := s.service.Account(s.ctx, s.ref("counter:payout:EUR"), noTime); errs.Of(err).Reason != errs.ReasonAccountNotFound {
			s.t.Fatalf("a declined command opened an account: %v", err)
		}
		s.posted(s.credit("a", 9))
		s.posted(s.debit("a", 5, because("payout")))
		s.posted(s.hold("a", 2, because("bet")))
		general, payout, bet := s.account("counter:general:EUR"), s.account("counter:payout:EUR"), s.account("counter:bet:EUR")
		s.shows(general, 9, 0, 0, 9)
		s.shows(payout, -5, 0, 0, -5)
		s.shows(bet, 0, 0, 2, -2)
		for _, a := range []ledger.Account{general, payout, bet} {
			if a.Normal != ledger.Debit || a.Floor.Set || a.Ceiling.Set || a.Status != ledger.Open || a.Sequence != 1 || a.OpenedAt.IsZero() {
				s.t.Fatalf("opened by itself: %s", show(a))
			}
		}
	}},
	{"counter-account-with-terms-of-its-own", func(s *story) {
		s.posted(s.openAs("counter:bonus:EUR", ledger.Terms{Floor: atLimit(-10)}))
		s.open("a")
		s.posted(s.credit("a", 10, because("bonus")))
		s.declined(errs.ReasonInsufficientFunds, s.credit("a", 1, because("bonus")), "account_id", "counter:bonus:EUR")
	}},
	{"list-pages-by-id", func(s *story) {
		want := []id.Account{"B", "a", "a-b", "a.b", "a:b", "aB", "ab", "z~1", "10", "9"} // as bytes sort, whatever the engine's locale is
		s.open(want...)
		slices.Sort(want)
		for _, size := range []int{1, 3, len(want), 100} {
			accounts, err := readAccounts(s.ctx, s.service, s.ledger, size)
			s.must(err, "list accounts")
			var got []id.Account
			for _, a := range accounts {
				got = append(got, a.Ref.Account)
			}
			if !slices.Equal(got, want) {
				s.t.Fatalf("pages of %d: %q, wanted %q", size, got, want)
			}
		}
	}},
}
