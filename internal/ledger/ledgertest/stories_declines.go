package ledgertest

import (
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// decline is a command for which a reason holds together with a later one, that it hides. Mended, the command is declined for the later
// one, which proves that both held.
type decline struct {
	reason, hides errs.Reason
	facts         []string
	tell          func(*story) (ledger.Command, mended)
}

// mended makes the command without the first reason, or is nil.
type mended func() ledger.Command

func alone(c ledger.Command) (ledger.Command, mended) { return c, nil }

func and(c, better ledger.Command) (ledger.Command, mended) {
	return c, func() ledger.Command { return better }
}

func xxx(n int64) edit { return of(&ledger.Money{Minor: money.FromInt64(n), Asset: "XXX"}) }

var declines = []decline{
	{errs.ReasonTransactionNotFound, "", nil, func(s *story) (ledger.Command, mended) {
		return alone(s.reverse(ledger.Outcome{Transaction: s.debit("a", 5).ID()}))
	}},
	{errs.ReasonNotReversible, errs.ReasonAccountFrozen, []string{"kind", "hold"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		held, paid := s.posted(s.hold("a", 5)), s.posted(s.credit("a", 5))
		s.posted(s.freeze("a", ledger.Frozen))
		return and(s.reverse(held), s.reverse(paid))
	}},
	{errs.ReasonAlreadyReversed, errs.ReasonAccountFrozen, nil, func(s *story) (ledger.Command, mended) {
		s.open("a")
		undone, paid := s.posted(s.credit("a", 5)), s.posted(s.credit("a", 5))
		s.posted(s.reverse(undone))
		s.posted(s.freeze("a", ledger.Frozen))
		return and(s.reverse(undone), s.reverse(paid))
	}},
	{errs.ReasonHoldNotFound, "", nil, func(s *story) (ledger.Command, mended) {
		return alone(s.commit(ledger.Outcome{Transaction: s.hold("a", 5).ID()}))
	}},
	{errs.ReasonHoldExhausted, errs.ReasonHoldExpired, []string{"status", "committed"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		used := s.posted(s.hold("a", 5, lasting(5*time.Second)))
		s.posted(s.commit(used, of(eur(3))))
		unused := s.posted(s.hold("a", 5, lasting(10*time.Millisecond)))
		s.expired(unused)
		if s.advance != nil {
			s.advance(5 * time.Second) // where time is real, only the second hold is sure to be over
		}
		return and(s.commit(used), s.commit(unused))
	}},
	{errs.ReasonHoldExpired, errs.ReasonHoldExceeded, nil, func(s *story) (ledger.Command, mended) {
		s.open("a")
		over := s.posted(s.hold("a", 5, lasting(10*time.Millisecond)))
		s.expired(over)
		return and(s.commit(over, of(eur(6))), s.commit(s.posted(s.hold("a", 5)), of(eur(6))))
	}},
	{errs.ReasonHoldExceeded, errs.ReasonAssetMismatch, []string{"remaining", "5", "required", "6"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		held := s.posted(s.hold("a", 5))
		return and(s.commit(held, of(usd(6))), s.commit(held, of(usd(5))))
	}},
	{errs.ReasonUnbalanced, errs.ReasonAccountNotFound, []string{"asset", "EUR", "difference", "-1"}, func(s *story) (ledger.Command, mended) {
		return and(s.post(debited("a", eur(6)), credited("b", eur(5))), s.post(debited("a", eur(5)), credited("b", eur(5))))
	}},
	{errs.ReasonAccountNotFound, errs.ReasonAssetUnknown, []string{"account_id", "nobody"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		return and(s.debit("nobody", 0, xxx(5)), s.debit("a", 0, xxx(5)))
	}},
	{errs.ReasonAccountNotFound, errs.ReasonAssetMismatch, []string{"account_id", "nobody"}, func(s *story) (ledger.Command, mended) {
		s.open("a", "b")
		return and(s.transfer("a", "nobody", 0, of(usd(5))), s.transfer("a", "b", 0, of(usd(5))))
	}},
	{errs.ReasonAccountExists, errs.ReasonAssetUnknown, []string{"account_id", "a"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		return and(s.openAs("a", ledger.Terms{Asset: "XXX"}), s.openAs("b", ledger.Terms{Asset: "XXX"}))
	}},
	{errs.ReasonAssetUnknown, errs.ReasonAssetMismatch, []string{"asset", "XXX"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		return and(s.credit("a", 0, xxx(5)), s.credit("a", 0, of(usd(5))))
	}},
	{
		errs.ReasonAssetMismatch, errs.ReasonAccountClosed,
		[]string{"account_id", "dollars", "account_asset", "USD", "asset", "EUR"},
		func(s *story) (ledger.Command, mended) {
			s.open("a", "b")
			s.posted(s.openAs("dollars", ledger.Terms{Asset: "USD"}))
			s.posted(s.closing("a"))
			return and(s.transfer("a", "dollars", 5), s.transfer("a", "b", 5))
		},
	},
	{errs.ReasonAccountClosed, errs.ReasonAccountFrozen, []string{"account_id", "b"}, func(s *story) (ledger.Command, mended) {
		s.open("a", "b", "c")
		s.posted(s.freeze("a", ledger.DebitsFrozen))
		s.posted(s.closing("b"))
		return and(s.transfer("a", "b", 5), s.transfer("a", "c", 5))
	}},
	{errs.ReasonAccountFrozen, errs.ReasonBalanceOverflow, []string{"account_id", "a"}, func(s *story) (ledger.Command, mended) {
		s.open("a", "b", "full")
		s.posted(s.credit("full", 0, of(huge())))
		s.posted(s.freeze("a", ledger.Frozen))
		return and(s.transfer("a", "full", 5), s.transfer("b", "full", 5))
	}},
	{errs.ReasonAccountFrozen, errs.ReasonInsufficientFunds, []string{"status", "debits_frozen"}, func(s *story) (ledger.Command, mended) {
		s.customer("a", 0)
		s.posted(s.freeze("a", ledger.DebitsFrozen))
		return s.debit("a", 5), func() ledger.Command {
			s.posted(s.freeze("a", ledger.Open))
			return s.debit("a", 5)
		}
	}},
	{errs.ReasonHoldsOpen, errs.ReasonBalanceNotZero, []string{"outgoing", "5"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		s.posted(s.credit("a", 7))
		held := s.posted(s.hold("a", 5))
		return s.closing("a"), func() ledger.Command {
			s.posted(s.rollback(held))
			return s.closing("a")
		}
	}},
	{errs.ReasonBalanceNotZero, "", []string{"posted", "7"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		s.posted(s.credit("a", 7))
		return alone(s.closing("a"))
	}},
	{errs.ReasonBalanceOverflow, errs.ReasonInsufficientFunds, []string{"account_id", "full"}, func(s *story) (ledger.Command, mended) {
		s.open("full", "b", "c")
		s.customer("poor", 0)
		s.posted(s.hold("b", 0, of(huge()), to("full"))) // full where balance and holds meet, which is judged before the limits too
		return and(s.transfer("poor", "full", 5), s.transfer("poor", "c", 5))
	}},
	{
		errs.ReasonInsufficientFunds, errs.ReasonCeilingExceeded,
		[]string{"account_id", "poor", "available", "0", "required", "5", "min_available", "0"},
		func(s *story) (ledger.Command, mended) {
			s.customer("poor", 0)
			s.open("rich")
			s.posted(s.openAs("small", ledger.Terms{Ceiling: atLimit(3)}))
			return and(s.post(credited("small", eur(5)), debited("poor", eur(5))), s.post(credited("small", eur(5)), debited("rich", eur(5))))
		},
	},
	{
		errs.ReasonCeilingExceeded, "",
		[]string{"account_id", "small", "balance", "0", "after", "5", "max_balance", "3"},
		func(s *story) (ledger.Command, mended) {
			s.posted(s.openAs("small", ledger.Terms{Ceiling: atLimit(3)}))
			return alone(s.credit("small", 5))
		},
	},
	{errs.ReasonBatchDeclined, "", []string{"index", "1", "reason", "ACCOUNT_NOT_FOUND"}, func(s *story) (ledger.Command, mended) {
		s.open("a")
		fine := s.credit("a", 5)
		s.became(s.batch(allOrNothing, fine, s.credit("nobody", 5)), "BATCH_DECLINED", "ACCOUNT_NOT_FOUND")
		return alone(fine)
	}},
}

func declineStories() []named {
	stories := []named{{"every-reason-is-told-in-its-order", func(s *story) {
		for _, reason := range errs.Declines {
			if !slices.ContainsFunc(declines, func(d decline) bool { return d.reason == reason }) {
				s.t.Errorf("no story is declined for %s", reason)
			}
		}
		for _, d := range declines {
			if d.hides != "" && slices.Index(errs.Declines, d.reason) >= slices.Index(errs.Declines, d.hides) {
				s.t.Errorf("%s does not come before %s", d.reason, d.hides)
			}
		}
	}}}
	for _, d := range declines {
		name := word(d.reason)
		if d.hides != "" {
			name += "-before-" + word(d.hides)
		}
		stories = append(stories, named{name, d.told})
	}
	return stories
}

func word(r errs.Reason) string { return strings.ReplaceAll(strings.ToLower(string(r)), "_", "-") }

// told declines the command for the reason, again for ever, without any change, and mended for the one that was hidden.
func (d decline) told(s *story) {
	command, mended := d.tell(s)
	unchanged := s.still()
	first := s.declined(d.reason, command, d.facts...)
	s.sameAnswer(first, s.declined(d.reason, command, d.facts...))
	unchanged()
	if mended != nil {
		s.declined(d.hides, mended())
	}
}
