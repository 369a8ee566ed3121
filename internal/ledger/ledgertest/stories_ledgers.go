package ledgertest

import (
	"errors"
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

var ledgerStories = []named{
	{"repeat-returns-the-first", func(s *story) {
		l := s.newLedger("eu", "USD/2", "EUR/2")
		l.Metadata = ledger.Metadata{"brand": "blue"}
		first, err := s.service.CreateLedger(s.ctx, l)
		s.must(err, "create")
		s.tick()
		l.Assets = []money.Asset{l.Assets[1], l.Assets[0]} // in whatever order
		again, err := s.service.CreateLedger(s.ctx, l)
		s.must(err, "create again")
		read, err := s.service.Ledger(s.ctx, l.ID)
		s.must(err, "read")
		for _, got := range []ledger.Ledger{again, read} {
			if !got.CreatedAt.Equal(first.CreatedAt) || got.Home != "eu" || got.Metadata["brand"] != "blue" || !slices.Equal(got.Assets, first.Assets) {
				s.t.Fatalf("%+v, wanted %+v", got, first)
			}
		}
	}},
	{"another-one-of-that-name-is-refused", func(s *story) {
		l := s.newLedger("eu", "EUR/2")
		_, err := s.service.CreateLedger(s.ctx, l)
		s.must(err, "create")
		for field, change := range map[string]func(*ledger.Ledger){
			"home":     func(l *ledger.Ledger) { l.Home = "us" },
			"assets":   func(l *ledger.Ledger) { l.Assets = []money.Asset{{Code: "EUR", Scale: 3}} },
			"metadata": func(l *ledger.Ledger) { l.Metadata = ledger.Metadata{"brand": "red"} },
		} {
			other := l
			change(&other)
			_, err := s.service.CreateLedger(s.ctx, other)
			if !errors.Is(err, errs.ErrLedgerExists) || errs.Of(err).Fields["field"] != field {
				s.t.Errorf("another %s: %v", field, err)
			}
		}
	}},
	{"incomplete-is-refused", func(s *story) {
		for field, change := range map[string]func(*ledger.Ledger){
			"ledger":   func(l *ledger.Ledger) { l.ID = "" },
			"home":     func(l *ledger.Ledger) { l.Home = "" },
			"assets":   func(l *ledger.Ledger) { l.Assets = nil },
			"metadata": func(l *ledger.Ledger) { l.Metadata = ledger.Metadata{"": "no key"} },
		} {
			l := s.newLedger("eu", "EUR/2")
			change(&l)
			_, err := s.service.CreateLedger(s.ctx, l)
			if errs.Of(err).Reason != errs.ReasonInvalidArgument {
				s.t.Errorf("without %s: %v", field, err)
			}
		}
		l := s.newLedger("eu", "EUR/2", "EUR/3")
		if _, err := s.service.CreateLedger(s.ctx, l); errs.Of(err).Reason != errs.ReasonInvalidArgument {
			s.t.Errorf("with an asset twice: %v", err)
		}
	}},
	{"unknown-is-said-to-be", func(s *story) {
		nowhere := s.newLedger("eu").ID
		ref := ledger.Ref{Ledger: nowhere, Account: "a"}
		_, err := s.service.Ledger(s.ctx, nowhere)
		s.isUnknownLedger("read it", err)
		_, err = s.service.Account(s.ctx, ref, noTime)
		s.isUnknownLedger("read an account", err)
		_, err = s.service.Accounts(s.ctx, nowhere, "", 10)
		s.isUnknownLedger("list accounts", err)
		_, err = s.service.Entries(s.ctx, ref, ledger.EntryPage{Limit: 10})
		s.isUnknownLedger("read a statement", err)
		_, err = s.service.Transaction(s.ctx, nowhere, id.TransactionOf(nowhere, "k"))
		s.isUnknownLedger("read a transaction", err)
		_, err = s.service.TransactionsByReference(s.ctx, nowhere, "po_1", 10)
		s.isUnknownLedger("look for a reference", err)
		_, err = s.service.TrialBalance(s.ctx, nowhere)
		s.isUnknownLedger("add it up", err)
		s.refused(errs.ErrLedgerNotFound, s.credit("a", 5, in(nowhere)))
		s.open("a")
		s.refused(errs.ErrLedgerNotFound, s.post(debited("a", eur(5)), at(nowhere, credited("a", eur(5)))))
		s.has("a", 0, 0, 0, 0)
	}},
	{"list-pages-by-id", func(s *story) {
		var want []id.Ledger
		for range 5 {
			l, err := s.service.CreateLedger(s.ctx, s.newLedger("eu", "EUR/2"))
			s.must(err, "create")
			want = append(want, l.ID)
		}
		slices.Sort(want)
		var got []id.Ledger
		for len(got) < len(want) {
			after := s.ledger // whose number is lower than theirs
			if len(got) > 0 {
				after = got[len(got)-1]
			}
			page, err := s.service.Ledgers(s.ctx, after, 2)
			s.must(err, "list ledgers")
			if len(page) == 0 || len(page) > 2 {
				s.t.Fatalf("a page of 2 after %s has %d ledgers", after, len(page))
			}
			for _, l := range page {
				got = append(got, l.ID)
			}
		}
		if !slices.Equal(got[:len(want)], want) {
			s.t.Fatalf("listed %q, wanted %q", got, want)
		}
	}},
	{"same-name-in-two-ledgers-is-two-accounts", func(s *story) {
		second := s.books("us", "EUR/2")
		s.open("a")
		s.posted(s.openAs("a", ledger.Terms{}, in(second)))
		s.posted(s.credit("a", 5))
		s.posted(s.credit("a", 7, in(second)))
		s.hasIn(s.ledger, "a", 5)
		s.hasIn(second, "a", 7)
	}},
}

func (s *story) isUnknownLedger(doing string, err error) {
	s.t.Helper()
	if !errors.Is(err, errs.ErrLedgerNotFound) {
		s.t.Errorf("%s: %v, wanted %v", doing, err, errs.ErrLedgerNotFound)
	}
}
