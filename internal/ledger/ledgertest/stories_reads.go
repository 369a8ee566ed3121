package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var readStories = []named{
	{"statement-pages-both-ways", func(s *story) {
		s.busy("a", 9)
		all := s.statement("a")
		if len(all) != 10 {
			s.t.Fatalf("%d lines", len(all))
		}
		for i, l := range all {
			if l.Sequence != int64(i+1) || l.Ref != s.ref("a") {
				s.t.Fatalf("line %d is %s", i+1, show(l))
			}
		}
		for _, size := range []int{1, 3, 10, 11} {
			forward, err := readEntries(s.ctx, s.service, s.ref("a"), ledger.EntryPage{Limit: size})
			s.must(err, "page forward")
			backward, err := readEntries(s.ctx, s.service, s.ref("a"), ledger.EntryPage{Limit: size, Backward: true})
			s.must(err, "page backward")
			slices.Reverse(backward)
			s.isLines(fmt.Sprintf("forward by %d", size), forward, 1, 10)
			s.isLines(fmt.Sprintf("backward by %d", size), backward, 1, 10)
		}
		s.isLines("after 4", s.lines("a", ledger.EntryPage{After: 4, Limit: 3}), 5, 7)
		s.isLines("before 4", reversed(s.lines("a", ledger.EntryPage{Before: 4, Backward: true, Limit: 2})), 2, 3)
		s.isLines("after the last", s.lines("a", ledger.EntryPage{After: 10, Limit: 3}), 1, 0)
		s.isLines("before the first", s.lines("a", ledger.EntryPage{Before: 1, Backward: true, Limit: 3}), 1, 0)
	}},
	{"statement-by-time", func(s *story) {
		s.busy("a", 9)
		all := s.statement("a")
		from, until := all[3].RecordedAt, all[7].RecordedAt // the first is within, the second is not
		s.isLines("from and to", s.lines("a", ledger.EntryPage{From: from, To: until, Limit: 100}), 4, 7)
		s.isLines("from", s.lines("a", ledger.EntryPage{From: from, Limit: 100}), 4, 10)
		s.isLines("to", s.lines("a", ledger.EntryPage{To: until, Limit: 100}), 1, 7)
		s.isLines("from and to, a page", s.lines("a", ledger.EntryPage{From: from, To: until, After: 5, Limit: 1}), 6, 6)
		s.isLines("from and to, backward", reversed(s.lines("a", ledger.EntryPage{From: from, To: until, Backward: true, Limit: 100})), 4, 7)
		s.isLines("from and to, a page backward", s.lines("a", ledger.EntryPage{From: from, To: until, Before: 6, Backward: true, Limit: 1}), 5, 5)
		s.isLines("nothing", s.lines("a", ledger.EntryPage{From: until, To: until, Limit: 100}), 1, 0)
		s.isLines("later", s.lines("a", ledger.EntryPage{From: all[9].RecordedAt.Add(time.Microsecond), Limit: 100}), 1, 0)
		s.isLines("earlier", s.lines("a", ledger.EntryPage{To: all[0].RecordedAt, Limit: 100}), 1, 0)
	}},
	{"line-says-where-it-comes-from", func(s *story) {
		s.open("a", "b")
		o := s.posted(s.transfer("a", "b", 5))
		l := s.statement("b")[1]
		if l.Transaction != o.Transaction || l.Origin != s.ledger || l.Line != 1 || l.Kind != ledger.KindTransfer || l.Entry != o.Entries[1] ||
			!l.RecordedAt.Equal(o.RecordedAt) || !l.EffectiveAt.Equal(o.EffectiveAt) {
			s.t.Fatalf("line %s of %s", show(l), show(o))
		}
	}},
	{"balance-as-of-then", func(s *story) {
		opened := s.posted(s.openAs("a", ledger.Terms{}))
		credited := s.posted(s.credit("a", 100))
		held := s.posted(s.hold("a", 30))
		part := s.posted(s.commit(held, of(eur(10)), keepingRest))
		s.posted(s.freeze("a", ledger.Frozen))
		for _, row := range []struct {
			when                                  time.Time
			posted, outgoing, available, sequence int64
		}{
			{opened.RecordedAt.Add(-time.Microsecond), 0, 0, 0, 0},
			{opened.RecordedAt, 0, 0, 0, 1},
			{credited.RecordedAt.Add(-time.Microsecond), 0, 0, 0, 1},
			{credited.RecordedAt, 100, 0, 100, 2},
			{held.RecordedAt, 100, 30, 70, 3},
			{part.RecordedAt.Add(-time.Microsecond), 100, 30, 70, 3},
			{part.RecordedAt, 90, 20, 70, 4},
			{part.RecordedAt.Add(time.Hour), 90, 20, 70, 5},
		} {
			a, err := s.service.Account(s.ctx, s.ref("a"), row.when)
			s.must(err, "read the account as of then")
			s.shows(a, row.posted, 0, row.outgoing, row.available)
			if a.Sequence != row.sequence || a.Status != ledger.Frozen {
				s.t.Fatalf("as of %s: sequence %d, wanted %d, and the status of now, not %s", row.when, a.Sequence, row.sequence, a.Status)
			}
		}
	}},
	{"transaction-by-id-and-key", func(s *story) {
		s.customer("a", 10)
		yes, no := s.debit("a", 10, under("yes")), s.debit("a", 1, under("no"))
		for _, o := range []ledger.Outcome{s.posted(yes), s.declined(errs.ReasonInsufficientFunds, no)} {
			r, err := s.service.Transaction(s.ctx, s.ledger, id.TransactionOf(s.ledger, o.Key))
			s.must(err, "read by key")
			s.must(same("the record", stored(r.Outcome), stored(o)), string(o.Key))
		}
		if _, err := s.service.Transaction(s.ctx, s.ledger, id.TransactionOf(s.ledger, "never")); !errors.Is(err, errs.ErrTransactionNotFound) {
			s.t.Fatalf("a key that was never used: %v", err)
		}
		second := s.books("eu", "EUR/2")
		if _, err := s.service.Transaction(s.ctx, second, yes.ID()); !errors.Is(err, errs.ErrTransactionNotFound) {
			s.t.Fatalf("a transaction of another ledger: %v", err)
		}
	}},
	{"transactions-by-reference-newest-first", func(s *story) {
		s.customer("a", 10)
		want := []id.Key{
			s.declined(errs.ReasonInsufficientFunds, s.debit("a", 500, referring("po_1"))).Key, // what was declined too
			s.posted(s.debit("a", 5, referring("po_1"))).Key,
			s.posted(s.credit("a", 5, referring("po_1"))).Key,
		}
		s.posted(s.debit("a", 5, referring("po_11")))
		s.posted(s.debit("a", 5))
		slices.Reverse(want)
		for limit := range 5 {
			records, err := s.service.TransactionsByReference(s.ctx, s.ledger, "po_1", limit+1)
			s.must(err, "look for a reference")
			var got []id.Key
			for _, r := range records {
				got = append(got, r.Outcome.Key)
				if r.Reference != "po_1" {
					s.t.Fatalf("found %s", show(r))
				}
			}
			if !slices.Equal(got, want[:min(limit+1, len(want))]) {
				s.t.Fatalf("at most %d: %q of %q", limit+1, got, want)
			}
		}
		if none, err := s.service.TransactionsByReference(s.ctx, s.ledger, "po_2", 5); err != nil || len(none) > 0 {
			s.t.Fatalf("a reference that nothing carries: %d, %v", len(none), err)
		}
	}},
	{"trial-balance-adds-up-each-asset", func(s *story) {
		if lines := s.trial(); len(lines) > 0 {
			s.t.Fatalf("a ledger without accounts adds up to %s", show(lines))
		}
		s.open("a", "b")
		s.posted(s.openAs("dollars", ledger.Terms{Asset: "USD"}))
		s.posted(s.credit("a", 100))
		s.posted(s.transfer("a", "b", 40))
		s.posted(s.hold("b", 15, to("a")))
		s.posted(s.credit("dollars", 0, of(usd(7))))
		lines := s.trial()
		got := ""
		for _, l := range lines {
			got += fmt.Sprintf("%s: %d accounts, posted %s %s, pending %s %s; ", l.Asset, l.Accounts, l.PostedDebits, l.PostedCredits, l.PendingDebits, l.PendingCredits)
		}
		if want := "EUR/2: 3 accounts, posted 140 140, pending 15 15; USD/2: 2 accounts, posted 7 7, pending 0 0; "; got != want {
			s.t.Fatalf("%s\nwanted %s", got, want)
		}
	}},
	{"unknown-account-is-said-to-be", func(s *story) {
		if _, err := s.service.Account(s.ctx, s.ref("nobody"), noTime); !errors.Is(err, errs.ErrAccountNotFound) {
			s.t.Errorf("read: %v", err)
		}
		if _, err := s.service.Entries(s.ctx, s.ref("nobody"), ledger.EntryPage{Limit: 10}); !errors.Is(err, errs.ErrAccountNotFound) {
			s.t.Errorf("read the statement: %v", err)
		}
	}},
}

// busy opens an account and credits it n times, each a moment later than the one before.
func (s *story) busy(account id.Account, n int) {
	s.t.Helper()
	s.open(account)
	for range n {
		s.posted(s.credit(account, 1))
	}
}

func (s *story) trial() []ledger.TrialLine {
	s.t.Helper()
	lines, err := s.service.TrialBalance(s.ctx, s.ledger)
	s.must(err, "add up")
	return lines
}

// isLines holds lines against the sequences first to last; none where last is less.
func (s *story) isLines(what string, lines []ledger.StatementLine, first, last int64) {
	s.t.Helper()
	got, want := make([]int64, 0, len(lines)), make([]int64, 0, len(lines))
	for _, l := range lines {
		got = append(got, l.Sequence)
	}
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("%s: lines %d, wanted %d", what, got, want)
	}
}

func reversed(lines []ledger.StatementLine) []ledger.StatementLine {
	slices.Reverse(lines)
	return lines
}
