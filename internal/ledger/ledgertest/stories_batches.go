package ledgertest

import (
	"errors"
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// batch executes commands together.
func (s *story) batch(b ledger.Batch, commands ...ledger.Command) []ledger.Result {
	s.t.Helper()
	b.Commands = commands
	s.tick()
	results, err := s.service.Execute(s.ctx, b)
	s.must(err, "execute a batch")
	if len(results) != len(commands) {
		s.t.Fatalf("%d answers to %d commands", len(results), len(commands))
	}
	return results
}

// became holds results against words: posted, the reason of a decline or of an error, with "again" behind it where it is a replay.
func (s *story) became(results []ledger.Result, want ...string) {
	s.t.Helper()
	got := make([]string, 0, len(results))
	for i, r := range results {
		word := string(r.Outcome.Decided)
		switch {
		case r.Err != nil:
			word = string(errs.Of(r.Err).Reason)
		case r.Outcome.Decided == ledger.Declined:
			word = string(r.Outcome.Reason)
		}
		if r.Outcome.Replayed {
			word += " again"
		}
		if r.Err == nil && r.Outcome.Key == "" {
			s.t.Fatalf("answer %d says nothing: %s", i, show(r))
		}
		got = append(got, word)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("became %q, wanted %q", got, want)
	}
}

var (
	eachForItself = ledger.Batch{}
	allOrNothing  = ledger.Batch{Atomic: true}
	dryRun        = ledger.Batch{DryRun: true}
)

var batchStories = []named{
	{"each-for-itself-answers-in-order", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		again, stolen := s.transfer("a", "b", 1), s.transfer("a", "b", 2)
		s.posted(again)
		stolen.Key = again.Key
		s.became(s.batch(eachForItself, s.transfer("a", "b", 60), s.transfer("a", "b", 60), again, stolen, s.transfer("a", "b", 39)),
			"posted", "INSUFFICIENT_FUNDS", "posted again", "IDEMPOTENCY_MISMATCH", "posted")
		s.has("b", 100, 0, 0, 100)
	}},
	{"later-commands-see-earlier-ones", func(s *story) {
		open, fund, hold := s.openAs("a", ledger.Terms{Floor: atLimit(0)}), s.credit("a", 100), s.hold("a", 60)
		commit := s.command(ledger.Command{Kind: ledger.KindCommit, Target: hold.ID()}, nil)
		undo := s.command(ledger.Command{Kind: ledger.KindReverse, Target: commit.ID()}, nil)
		for _, b := range []ledger.Batch{dryRun, allOrNothing} {
			s.became(s.batch(b, open, fund, hold, commit, undo), "posted", "posted", "posted", "posted", "posted")
		}
		s.has("a", 100, 0, 0, 100)
	}},
	{"all-or-nothing-declines-together", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		unchanged := s.still()
		batch := []ledger.Command{s.transfer("a", "b", 60), s.transfer("a", "b", 41), s.openAs("c", ledger.Terms{}), s.credit("b", 5)}
		results := s.batch(allOrNothing, batch...)
		s.became(results, "BATCH_DECLINED", "INSUFFICIENT_FUNDS", "BATCH_DECLINED", "BATCH_DECLINED")
		s.isDecline(results[1].Outcome, errs.ReasonInsufficientFunds, "available", "40") // in the light of the commands before it
		s.isDecline(results[3].Outcome, errs.ReasonBatchDeclined, "index", "1", "reason", "INSUFFICIENT_FUNDS")
		unchanged()
		for i, again := range s.batch(allOrNothing, batch...) {
			s.sameAnswer(results[i].Outcome, again.Outcome)
		}
		s.sameAnswer(results[3].Outcome, s.declined(errs.ReasonBatchDeclined, batch[3])) // alone as well
		unchanged()
	}},
	{"all-or-nothing-posts-together-and-replays", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		batch := []ledger.Command{s.transfer("a", "b", 60), s.transfer("b", "a", 10), s.transfer("a", "b", 50)}
		results := s.batch(allOrNothing, batch...)
		s.became(results, "posted", "posted", "posted")
		s.has("a", 0, 0, 0, 0)
		for i, again := range s.batch(allOrNothing, batch...) {
			s.sameAnswer(results[i].Outcome, again.Outcome)
		}
		s.has("a", 0, 0, 0, 0)
	}},
	{"all-or-nothing-keeps-what-was-answered-before", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		before, no := s.transfer("a", "b", 10), s.transfer("a", "b", 500)
		s.posted(before)
		s.became(s.batch(allOrNothing, before, s.transfer("a", "b", 500), s.credit("a", 1)), "posted again", "INSUFFICIENT_FUNDS", "BATCH_DECLINED")
		s.declined(errs.ReasonInsufficientFunds, no)
		s.became(s.batch(allOrNothing, s.credit("a", 1), no), "BATCH_DECLINED", "INSUFFICIENT_FUNDS again")
		s.became(s.batch(allOrNothing, before, s.credit("a", 1)), "posted again", "posted")
		s.has("a", 91, 0, 0, 91)
	}},
	{"all-or-nothing-with-a-mismatch-writes-nothing", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		used := s.transfer("a", "b", 10)
		s.posted(used)
		stolen, fresh := s.transfer("a", "b", 11, under(used.Key)), s.transfer("a", "b", 500)
		unchanged := s.still()
		results := s.batch(allOrNothing, fresh, used, stolen)
		s.became(results, "IDEMPOTENCY_MISMATCH", "IDEMPOTENCY_MISMATCH", "IDEMPOTENCY_MISMATCH")
		if e := errs.Of(results[0].Err); e.Fields["index"] != "2" || e.Fields["field"] != "amount" {
			s.t.Fatalf("the error does not say which command and field: %v", e)
		}
		unchanged()
		fresh.Amount = eur(1)
		s.posted(fresh) // its key was not used up
	}},
	{"key-twice-in-a-batch", func(s *story) {
		s.customer("a", 100)
		c, no := s.debit("a", 10), s.debit("a", 500)
		other := s.debit("a", 11, under(c.Key))
		s.became(s.batch(eachForItself, c, c, other, no, no), "posted", "posted again", "IDEMPOTENCY_MISMATCH", "INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS again")
		d := s.debit("a", 5)
		s.became(s.batch(allOrNothing, d, d), "posted", "posted again")
		s.has("a", 85, 0, 0, 85)
		e, f := s.debit("a", 500), s.debit("a", 1)
		s.became(s.batch(allOrNothing, f, e, e, f), "BATCH_DECLINED", "INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS again", "BATCH_DECLINED again")
	}},
	{"dry-run-changes-nothing", func(s *story) {
		s.customer("a", 100)
		s.open("b")
		yes, no := s.transfer("a", "b", 60), s.transfer("a", "b", 101)
		unchanged := s.still()
		for _, b := range []ledger.Batch{dryRun, {DryRun: true, Atomic: true}} {
			results := s.batch(b, yes)
			s.became(results, "posted")
			s.moved(results[0].Outcome, "a -60", "b 60")
			if o := results[0].Outcome; !o.DryRun || o.Entries[0].Balance.String() != "40" || o.Entries[0].Sequence != 3 {
				s.t.Fatalf("a dry run says what would be, and that it is one: %s", show(o))
			}
		}
		s.became(s.batch(dryRun, no, yes, s.transfer("a", "b", 41), s.debit("a", 1, because("new"))), "INSUFFICIENT_FUNDS", "posted", "INSUFFICIENT_FUNDS", "posted")
		s.became(s.batch(ledger.Batch{DryRun: true, Atomic: true}, yes, no), "BATCH_DECLINED", "INSUFFICIENT_FUNDS")
		unchanged()
		if _, err := s.service.Transaction(s.ctx, s.ledger, yes.ID()); !errors.Is(err, errs.ErrTransactionNotFound) {
			s.t.Fatalf("a dry run was recorded: %v", err)
		}
		if o := s.posted(yes); o.Replayed || o.DryRun {
			s.t.Fatalf("the key of a dry run is fresh: %s", show(o))
		}
		s.became(s.batch(dryRun, yes), "posted again")
	}},
	{"commands-of-several-ledgers", func(s *story) {
		second := s.books("us", "EUR/2")
		s.became(s.batch(allOrNothing, s.openAs("a", ledger.Terms{}), s.openAs("a", ledger.Terms{}, in(second)), s.credit("a", 5), s.credit("a", 7, in(second))),
			"posted", "posted", "posted", "posted")
		s.became(s.batch(allOrNothing, s.credit("a", 5), s.credit("b", 5, in(second))), "BATCH_DECLINED", "ACCOUNT_NOT_FOUND")
		s.hasIn(s.ledger, "a", 5)
		s.hasIn(second, "a", 7)
	}},
	{"size-is-bounded", func(s *story) {
		s.open("a")
		var commands []ledger.Command
		for range ledger.MaxBatch + 1 {
			commands = append(commands, s.credit("a", 1))
		}
		for _, some := range [][]ledger.Command{commands, nil} {
			if _, err := s.service.Execute(s.ctx, ledger.Batch{Commands: some}); errs.Of(err).Reason != errs.ReasonInvalidArgument {
				s.t.Fatalf("%d commands: %v", len(some), err)
			}
		}
		s.batch(allOrNothing, commands[:200]...)
		s.has("a", 200, 0, 0, 200)
	}},
	{"malformed-command-refuses-the-batch", func(s *story) {
		s.open("a")
		good, bad, lost := s.credit("a", 5), s.credit("a", 0), s.credit("a", 5, in("nowhere-"+s.ledger))
		for i, second := range []ledger.Command{bad, lost} {
			for _, b := range []ledger.Batch{eachForItself, allOrNothing, dryRun} {
				b.Commands = []ledger.Command{good, second}
				_, err := s.service.Execute(s.ctx, b)
				want := []errs.Reason{errs.ReasonInvalidArgument, errs.ReasonLedgerNotFound}[i]
				if e := errs.Of(err); e.Reason != want || i == 0 && e.Fields["field"] != "commands[1].amount.minor_units" {
					s.t.Fatalf("%+v: %v", b, err)
				}
			}
		}
		s.has("a", 0, 0, 0, 0)
		s.posted(good)
	}},
}
