package ledgertest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var concurrencyStories = []named{
	{"one-key-happens-once", func(s *story) {
		s.open("a")
		c := s.credit("a", 5)
		all := s.together(slices.Repeat([]ledger.Command{c}, 16)...)
		first := 0
		for _, o := range all {
			if !o.Replayed {
				first++
			}
			o.Replayed = true
			s.sameAnswer(all[0], o)
		}
		if first != 1 {
			s.t.Fatalf("%d of the answers call themselves the first", first)
		}
		s.has("a", 5, 0, 0, 5)
	}},
	{"one-key-with-two-requests-has-one-winner", func(s *story) {
		s.open("a")
		commands := s.made(16, func(i int) ledger.Command { return s.credit("a", int64(1+i%2), under("both")) })
		var mu sync.Mutex
		won := map[string]int{}
		s.atOnce(16, func(i int) {
			o, err := ledger.Do(s.ctx, s.service, commands[i])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				won[string(errs.Of(err).Reason)]++
				return
			}
			won[o.Entries[0].Amount.String()]++
		})
		if len(won) != 2 || won[string(errs.ReasonIdempotencyMismatch)] != 8 {
			s.t.Fatalf("outcomes %v", won)
		}
	}},
	{"holds-share-what-there-is", func(s *story) {
		s.customer("a", 100)
		count := map[ledger.Decided]int{}
		commands := s.made(10, func(int) ledger.Command { return s.hold("a", 30) })
		for _, o := range s.together(commands...) {
			count[o.Decided]++
		}
		if count[ledger.Posted] != 3 || count[ledger.Declined] != 7 {
			s.t.Fatalf("%v holds of 30 on 100", count)
		}
		s.has("a", 100, 0, 90, 10)
	}},
	{"opposite-transfers-do-not-block-each-other", func(s *story) {
		accounts := []id.Account{"a", "b", "c", "d"}
		s.open(accounts...)
		commands := s.made(64, func(i int) ledger.Command { return s.transfer(accounts[i%4], accounts[(i+1+i/4%3)%4], int64(1+i)) })
		for _, o := range s.together(commands...) {
			if o.Decided != ledger.Posted {
				s.t.Fatalf("%s", show(o))
			}
		}
		var sum int64
		for _, a := range accounts {
			n, _ := s.account(a).Posted().Int64()
			sum += n
		}
		if sum != 0 {
			s.t.Fatalf("the accounts add up to %d", sum)
		}
	}},
	{"hold-is-settled-once", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		commands := s.made(8, func(i int) ledger.Command {
			if i%2 == 0 {
				return s.commit(h)
			}
			return s.rollback(h)
		})
		settled := 0
		for _, o := range s.together(commands...) {
			if o.Decided == ledger.Posted {
				settled++
				continue
			}
			s.isDecline(o, errs.ReasonHoldExhausted)
		}
		if settled != 1 {
			s.t.Fatalf("settled %d times", settled)
		}
	}},
	{"transaction-is-reversed-once", func(s *story) {
		s.open("a")
		paid := s.posted(s.credit("a", 5))
		commands := s.made(8, func(int) ledger.Command { return s.reverse(paid) })
		undone := 0
		for _, o := range s.together(commands...) {
			if o.Decided == ledger.Posted {
				undone++
				continue
			}
			s.isDecline(o, errs.ReasonAlreadyReversed)
		}
		if undone != 1 {
			s.t.Fatalf("reversed %d times", undone)
		}
		s.has("a", 0, 0, 0, 0)
	}},
	{"account-opens-once", func(s *story) {
		commands := s.made(8, func(int) ledger.Command { return s.openAs("a", ledger.Terms{}) })
		opened := 0
		for _, o := range s.together(commands...) {
			if o.Decided == ledger.Posted {
				opened++
				continue
			}
			s.isDecline(o, errs.ReasonAccountExists)
		}
		if opened != 1 {
			s.t.Fatalf("opened %d times", opened)
		}
	}},
	{"counter-account-opens-once", func(s *story) {
		s.open("a")
		commands := s.made(8, func(int) ledger.Command { return s.credit("a", 1, because("rush")) })
		for _, o := range s.together(commands...) {
			if o.Decided != ledger.Posted {
				s.t.Fatalf("%s", show(o))
			}
		}
		s.has("counter:rush:EUR", 8, 0, 0, 8)
	}},
}

// made makes commands one after another: keys are counted, and not for concurrent use.
func (s *story) made(n int, command func(i int) ledger.Command) []ledger.Command {
	all := make([]ledger.Command, n)
	for i := range all {
		all[i] = command(i)
	}
	return all
}

// together executes commands at once and returns their outcomes.
func (s *story) together(commands ...ledger.Command) []ledger.Outcome {
	s.t.Helper()
	n := len(commands)
	outcomes, failures := make([]ledger.Outcome, n), make([]error, n)
	s.atOnce(n, func(i int) { outcomes[i], failures[i] = ledger.Do(s.ctx, s.service, commands[i]) })
	for i, err := range failures {
		s.must(err, fmt.Sprintf("command %d of %d", i+1, n))
	}
	return outcomes
}

// atOnce runs n goroutines that begin together.
func (s *story) atOnce(n int, do func(i int)) {
	var begin, done sync.WaitGroup
	begin.Add(1)
	for i := range n {
		done.Go(func() {
			begin.Wait()
			do(i)
		})
	}
	begin.Done()
	done.Wait()
}
