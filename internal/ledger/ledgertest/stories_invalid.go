package ledgertest

import (
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// malformed are commands that no state of the books accepts, by the field that is named. Package ledger has the whole table; here is what
// tells that an implementation looks, and names the field.
var malformed = []struct {
	name, field string
	tell        func(*story) ledger.Command
}{
	{"zero-amount", "amount.minor_units", func(s *story) ledger.Command { return s.debit("a", 0) }},
	{"negative-amount", "amount.minor_units", func(s *story) ledger.Command { return s.transfer("a", "b", -5) }},
	{"negative-part", "amount.minor_units", func(s *story) ledger.Command { return s.commit(s.posted(s.hold("a", 5)), of(eur(-5))) }},
	{"no-asset", "amount.currency", func(s *story) ledger.Command { return s.debit("a", 0, of(&ledger.Money{Minor: money.FromInt64(5)})) }},
	{"no-amount", "amount", func(s *story) ledger.Command { return s.debit("a", 0, of(nil)) }},
	{"no-account", "account_id", func(s *story) ledger.Command { return s.debit("", 5) }},
	{"to-itself", "to_account_id", func(s *story) ledger.Command { return s.transfer("a", "a", 5) }},
	{"to-itself-by-default", "counter_account_id", func(s *story) ledger.Command { return s.debit("counter:general:EUR", 5) }},
	{"rest-of-all", "keep_rest", func(s *story) ledger.Command { return s.commit(s.posted(s.hold("a", 5)), keepingRest) }},
	{"no-target", "transaction_id", func(s *story) ledger.Command { return s.reverse(ledger.Outcome{}) }},
	{"one-line", "entries", func(s *story) ledger.Command { return s.post(debited("a", eur(5))) }},
	{"zero-line", "entries[1].amount.minor_units", func(s *story) ledger.Command { return s.post(debited("a", eur(5)), credited("b", eur(0))) }},
	{"too-many-lines", "entries", func(s *story) ledger.Command {
		c := s.post()
		for range ledger.MaxLegs/2 + 1 {
			c.Legs = append(c.Legs, debited("a", eur(5)), credited("b", eur(5)))
		}
		return c
	}},
	{"hold-without-end", "expires_in", func(s *story) ledger.Command { return s.hold("a", 5, lasting(ledger.MaxHold+time.Hour)) }},
	{"far-future", "effective_at", func(s *story) ledger.Command {
		return s.debit("a", 5, func(c *ledger.Command) { c.EffectiveAt = time.Date(2525, 1, 1, 0, 0, 0, 0, time.UTC) })
	}},
	{"control-character", "reference_id", func(s *story) ledger.Command { return s.debit("a", 5, referring("a\nb")) }},
	{"long-text", "reference_id", func(s *story) ledger.Command { return s.debit("a", 5, referring(strings.Repeat("x", 256))) }},
	{"metadata-without-key", "metadata", func(s *story) ledger.Command {
		return s.debit("a", 5, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"": "v"} })
	}},
	{"freeze-as-closed", "status", func(s *story) ledger.Command { return s.freeze("a", ledger.Closed) }},
	{"reserved-key", "idempotency_key", func(s *story) ledger.Command { return s.debit("a", 5, under(ledger.ReservedKeys+id.Key("x"))) }},
}

func invalidStories() []named {
	stories := make([]named, 0, len(malformed))
	for _, m := range malformed {
		stories = append(stories, named{m.name, func(s *story) {
			s.open("a", "b")
			c := m.tell(s)
			unchanged := s.still()
			if _, err := s.result(c); errs.Of(err).Reason != errs.ReasonInvalidArgument || errs.Of(err).Fields["field"] != m.field {
				s.t.Fatalf("%v, wanted %s to be invalid", err, m.field)
			}
			unchanged()
			if m.name != "reserved-key" {
				s.posted(s.credit("a", 5, under(c.Key))) // the key was not used up
			}
		}})
	}
	return stories
}
