package ledgertest

import (
	"cmp"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// mismatches are pairs of requests under one key, by the first field in which they differ.
var mismatches = []struct {
	field string
	name  string // of the story, where it is not the field's
	tell  func(*story) (first, second ledger.Command)
}{
	{"kind", "", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5), s.credit("a", 6) }},
	{"account", "", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5), s.debit("b", 6) }},
	{"counter", "", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5, to("b")), s.debit("a", 6) }},
	{"amount", "", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5), s.debit("a", 6, because("fee")) }},
	{"amount", "amount-of-another-asset", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5), s.debit("a", 0, of(usd(5))) }},
	{"amount", "amount-instead-of-all", func(s *story) (_, _ ledger.Command) {
		h := s.posted(s.hold("a", 5))
		return s.commit(h), s.commit(h, of(eur(5)), keepingRest)
	}},
	{"legs", "", func(s *story) (_, _ ledger.Command) {
		return s.post(debited("a", eur(5)), credited("b", eur(5))), s.post(credited("b", eur(5)), debited("a", eur(5)))
	}},
	{"target", "", func(s *story) (_, _ ledger.Command) {
		return s.rollback(s.posted(s.hold("a", 5))), s.rollback(s.posted(s.hold("a", 5)))
	}},
	{"keep_rest", "", func(s *story) (_, _ ledger.Command) {
		h := s.posted(s.hold("a", 5))
		return s.commit(h, of(eur(3)), keepingRest), s.commit(h, of(eur(3)))
	}},
	{"expires_in", "", func(s *story) (_, _ ledger.Command) { return s.hold("a", 5, lasting(time.Hour)), s.hold("a", 5) }},
	{"reason", "", func(s *story) (_, _ ledger.Command) {
		return s.debit("a", 5, because("fee")), s.debit("a", 5, because("bet"), referring("po_1"))
	}},
	{"reference", "", func(s *story) (_, _ ledger.Command) { return s.debit("a", 5, referring("po_1")), s.debit("a", 5) }},
	{"correlation", "", func(s *story) (_, _ ledger.Command) {
		return s.debit("a", 5), s.debit("a", 5, func(c *ledger.Command) { c.Correlation = "order 7" })
	}},
	{"metadata", "", func(s *story) (_, _ ledger.Command) {
		return s.debit("a", 5), s.debit("a", 5, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"shop": "7"} })
	}},
	{"effective_at", "", func(s *story) (_, _ ledger.Command) {
		return s.debit("a", 5), s.debit("a", 5, func(c *ledger.Command) { c.EffectiveAt = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) })
	}},
	{"terms", "", func(s *story) (_, _ ledger.Command) {
		return s.openAs("c", ledger.Terms{}), s.openAs("c", ledger.Terms{Floor: atLimit(0)})
	}},
	{"change", "", func(s *story) (_, _ ledger.Command) {
		return s.update("a", ledger.Change{Floor: limitAt(0)}), s.update("a", ledger.Change{Floor: limitAt(0), Ceiling: &ledger.Limit{}})
	}},
	{"status", "", func(s *story) (_, _ ledger.Command) {
		return s.freeze("a", ledger.Frozen), s.freeze("a", ledger.DebitsFrozen)
	}},
}

func mismatchStories() []named {
	stories := make([]named, 0, len(mismatches))
	for _, m := range mismatches {
		stories = append(stories, named{cmp.Or(m.name, strings.ReplaceAll(m.field, "_", "-")), func(s *story) {
			s.open("a", "b")
			c, other := m.tell(s)
			first := s.posted(c)
			other.Key = c.Key
			unchanged := s.still()
			if f := s.refused(errs.ErrIdempotencyMismatch, other); f["field"] != m.field {
				s.t.Fatalf("the first field that differs is %s, not %q", m.field, f["field"])
			}
			unchanged()
			s.sameAnswer(first, s.posted(c))
		}})
	}
	return stories
}
