package ledgertest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var idempotencyStories = []named{
	{"each-kind-answers-the-same-again", func(s *story) {
		s.customer("a", 1000)
		s.open("b")
		held := [4]ledger.Outcome{}
		for i := range held {
			held[i] = s.posted(s.hold("a", 30, lasting(time.Hour)))
		}
		paid := s.posted(s.transfer("a", "b", 5))
		done := map[ledger.Kind]bool{ledger.KindExpire: true} // has a story of its own
		for _, c := range []ledger.Command{
			s.openAs("c", ledger.Terms{Floor: atLimit(-5), Metadata: ledger.Metadata{"tier": "gold"}}),
			s.update("c", ledger.Change{Ceiling: limitAt(100), Metadata: ledger.Metadata{"tier": "lead"}}),
			s.debit("a", 5, because("fee")), s.credit("a", 5), s.transfer("a", "b", 5), s.post(debited("a", eur(5)), credited("b", eur(5))),
			s.hold("a", 5, lasting(time.Hour)), s.commit(held[0]), s.commit(held[1], of(eur(5)), keepingRest), s.rollback(held[2]), s.reverse(paid),
			s.freeze("c", ledger.Frozen), s.closing("c"),
		} {
			first := s.posted(c)
			if first.Replayed {
				s.t.Fatalf("the first answer to %s calls itself a replay", c.Kind)
			}
			unchanged := s.still()
			c.TraceID = "another-trace" // is no part of a request
			s.sameAnswer(first, s.posted(c))
			s.sameAnswer(first, s.posted(c))
			unchanged()
			r, err := s.service.Transaction(s.ctx, s.ledger, c.ID())
			s.must(err, "read the transaction")
			s.must(same("the stored outcome", stored(r.Outcome), stored(first)), string(c.Kind))
			done[c.Kind] = true
		}
		for _, kind := range ledger.Kinds {
			if !done[kind] {
				s.t.Errorf("%s has no replay", kind)
			}
		}
	}},
	{"expiry-happens-once", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, lasting(50*time.Millisecond)))
		s.expired(h)
		s.release(h)
		unchanged := s.still()
		if s.sweep != nil {
			s.must(s.sweep(s.ctx), "sweep again")
		} else if o, err := ledger.Do(s.ctx, s.service, expiry(h)); err == nil && !o.Replayed {
			s.t.Fatalf("a hold expired twice: %s", show(o))
		}
		unchanged()
	}},
	{"decline-stays-when-the-books-would-now-post", func(s *story) {
		s.customer("a", 0)
		c := s.debit("a", 5)
		first := s.declined(errs.ReasonInsufficientFunds, c, "available", "0")
		s.posted(s.credit("a", 100))
		s.sameAnswer(first, s.declined(errs.ReasonInsufficientFunds, c, "available", "0"))
		c.Key = "another"
		s.posted(c)
	}},
	{"answer-stays-when-the-books-would-now-decline", func(s *story) {
		s.customer("a", 5)
		c := s.debit("a", 5)
		first := s.posted(c)
		s.posted(s.closing("a"))
		s.sameAnswer(first, s.posted(c))
	}},
	{"key-belongs-to-its-ledger", func(s *story) {
		second := s.books("us", "EUR/2")
		s.posted(s.openAs("a", ledger.Terms{}, under("k")))
		s.posted(s.openAs("a", ledger.Terms{Floor: atLimit(0)}, under("k"), in(second)))
	}},
	{"keys-are-case-sensitive-printable-ascii", func(s *story) {
		s.open("a")
		for _, key := range []id.Key{"k", "K", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`, id.Key(strings.Repeat("x", 255))} {
			s.posted(s.credit("a", 1, under(key)))
			s.refused(errs.ErrIdempotencyMismatch, s.credit("a", 2, under(key)))
		}
		s.has("a", 4, 0, 0, 4)
	}},
	{"effective-time-is-an-instant", func(s *story) {
		s.open("a")
		c := s.credit("a", 5, func(c *ledger.Command) { c.EffectiveAt = time.Date(2025, 1, 1, 12, 0, 0, 123456789, time.UTC) })
		first := s.posted(c)
		c.EffectiveAt = time.Date(2025, 1, 1, 14, 0, 0, 123456111, time.FixedZone("", 7200)) // the same to the microsecond
		s.sameAnswer(first, s.posted(c))
	}},
	{"caller-who-has-gone-leaves-nothing-behind", func(s *story) {
		s.open("a")
		gone, leave := context.WithCancel(s.ctx)
		leave()
		c := s.credit("a", 5)
		if _, err := ledger.Do(gone, s.service, c); !errors.Is(err, errs.ErrCanceled) {
			s.t.Fatalf("a caller who has gone is told %v", err)
		}
		if o := s.posted(c); o.Replayed {
			s.t.Fatal("the command of a caller who had gone before was executed")
		}
	}},
}
