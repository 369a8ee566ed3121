package ledgertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// open opens accounts with the usual terms.
func (s *story) open(accounts ...id.Account) {
	s.t.Helper()
	for _, a := range accounts {
		s.posted(s.openAs(a, ledger.Terms{}))
	}
}

// customer opens an account that can not be overdrawn, and gives it money.
func (s *story) customer(account id.Account, n int64) {
	s.t.Helper()
	s.posted(s.openAs(account, ledger.Terms{Floor: atLimit(0)}))
	if n > 0 {
		s.posted(s.credit(account, n))
	}
}

func (s *story) ref(account id.Account) ledger.Ref {
	return ledger.Ref{Ledger: s.ledger, Account: account}
}

// account reads an account as it is now.
func (s *story) account(account id.Account) ledger.Account { return s.accountIn(s.ledger, account) }

func (s *story) accountIn(l id.Ledger, account id.Account) ledger.Account {
	s.t.Helper()
	a, err := s.service.Account(s.ctx, ledger.Ref{Ledger: l, Account: account}, time.Time{})
	s.must(err, fmt.Sprintf("read account %s", account))
	return a
}

// has holds what an account shows against: posted, incoming, outgoing and available minor units.
func (s *story) has(account id.Account, posted, incoming, outgoing, available int64) {
	s.t.Helper()
	s.shows(s.account(account), posted, incoming, outgoing, available)
}

func (s *story) hasIn(l id.Ledger, account id.Account, posted int64) {
	s.t.Helper()
	s.shows(s.accountIn(l, account), posted, 0, 0, posted)
}

func (s *story) shows(a ledger.Account, posted, incoming, outgoing, available int64) {
	s.t.Helper()
	free, err := a.Available()
	s.must(err, "what is available")
	got := fmt.Sprintf("posted %s, incoming %s, outgoing %s, available %s", a.Posted(), a.Incoming(), a.Outgoing(), free)
	want := fmt.Sprintf("posted %d, incoming %d, outgoing %d, available %d", posted, incoming, outgoing, available)
	if got != want {
		s.t.Fatalf("%s has %s; wanted %s", a.Ref, got, want)
	}
}

// statement reads all lines of an account, oldest first.
func (s *story) statement(account id.Account) []ledger.StatementLine {
	s.t.Helper()
	return s.lines(account, ledger.EntryPage{Limit: 1000})
}

func (s *story) lines(account id.Account, page ledger.EntryPage) []ledger.StatementLine {
	s.t.Helper()
	lines, err := s.service.Entries(s.ctx, s.ref(account), page)
	s.must(err, fmt.Sprintf("read the statement of %s", account))
	return lines
}

// still remembers everything that can be read, and returns a check that it is all the same later.
func (s *story) still() (unchanged func()) {
	s.t.Helper()
	before := s.snapshot()
	return func() {
		s.t.Helper()
		for name, now := range s.snapshot() {
			if now != before[name] {
				s.t.Fatalf("%s changed\n   from %s\n   to   %s", name, before[name], now)
			}
		}
	}
}

func (s *story) snapshot() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, l := range s.ledgers {
		accounts, err := readAccounts(s.ctx, s.service, l, 100)
		s.must(err, "list accounts")
		var refs []ledger.Ref
		for _, a := range accounts {
			refs = append(refs, a.Ref)
			all["account "+a.Ref.String()] = show(cleanAccount(a))
		}
		all["accounts of "+string(l)] = show(refs)
	}
	return all
}

// sameAnswer holds a repeated answer against the first one.
func (s *story) sameAnswer(first, again ledger.Outcome) {
	s.t.Helper()
	if !again.Replayed {
		s.t.Fatalf("%s %s: the answer was given before and does not say so", again.Kind, again.Key)
	}
	s.must(same(fmt.Sprintf("the repeated answer to %s %s", again.Kind, again.Key), stored(again), stored(first)), "replay")
}

// signed returns the signed amounts of entries, in order.
func signed(entries []ledger.Entry) []string {
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, string(e.Ref.Account)+" "+e.Amount.String())
	}
	return all
}

// moved holds the entries of an outcome against lines of account and signed amount.
func (s *story) moved(o ledger.Outcome, want ...string) {
	s.t.Helper()
	if got := signed(o.Entries); !slices.Equal(got, want) {
		s.t.Fatalf("%s %s moved %q, wanted %q", o.Kind, o.Key, got, want)
	}
}

// until waits for something to become true by itself, looking every few milliseconds, and fails after ten seconds.
func (s *story) until(what string, happened func() bool) {
	s.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !happened() {
		select {
		case <-deadline:
			s.t.Fatalf("waited ten seconds for this: %s", what)
		case <-ticker.C:
		}
	}
}

// expired lets the time of a hold pass: at once where the clock can be moved, and else by asking, in dry runs, whether it has.
func (s *story) expired(hold ledger.Outcome) {
	s.t.Helper()
	if s.advance != nil {
		s.advance(hold.Hold.ExpiresAt.Sub(hold.RecordedAt))
		return
	}
	s.until("the time of a hold is over", func() bool {
		s.t.Helper()
		results, err := s.service.Execute(s.ctx, ledger.Batch{Commands: []ledger.Command{s.commit(hold)}, DryRun: true})
		s.must(err, "ask whether a hold has expired")
		return results[0].Outcome.Decided == ledger.Declined
	})
}
