package ledgertest

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var holdStories = []named{
	{"sets-money-aside", func(s *story) {
		s.customer("a", 100)
		s.open("shop")
		o := s.posted(s.hold("a", 30, to("shop")))
		s.moved(o, "a 0", "shop 0")
		s.isHold(o, ledger.Held, 0)
		h := o.Hold
		lasts := h.ExpiresAt.Sub(o.RecordedAt)
		if h.ID != o.Transaction || h.From != "a" || h.To != "shop" || h.Asset.Code != "EUR" || lasts.Round(time.Hour) != ledger.DefaultHold {
			s.t.Fatalf("hold %s", show(h))
		}
		s.has("a", 100, 0, 30, 70)
		s.has("shop", 0, 30, 0, 0)
		if e := o.Entries[0]; e.Balance.String() != "100" || e.PendingDebits.String() != "30" || !e.PendingCredits.IsZero() {
			s.t.Fatalf("entry %s", show(e))
		}
	}},
	{"commit-takes-all", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, because("bet")))
		o := s.posted(s.commit(h))
		s.moved(o, "a -30", "counter:bet:EUR 30")
		s.isHold(o, ledger.Committed, 30)
		s.has("a", 70, 0, 0, 70)
		s.declined(errs.ReasonHoldExhausted, s.commit(h), "status", "committed", "captured", "30")
		s.declined(errs.ReasonHoldExhausted, s.rollback(h))
	}},
	{"commit-of-a-part-releases-the-rest", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		o := s.posted(s.commit(h, of(eur(20))))
		s.moved(o, "a -20", "counter:general:EUR 20")
		s.isHold(o, ledger.Committed, 20)
		s.has("a", 80, 0, 0, 80)
		s.declined(errs.ReasonHoldExhausted, s.commit(h), "status", "committed", "captured", "20")
	}},
	{"commit-of-parts-until-it-is-used-up", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		s.isHold(s.posted(s.commit(h, of(eur(10)), keepingRest)), ledger.Held, 10)
		s.has("a", 90, 0, 20, 70)
		s.declined(errs.ReasonHoldExceeded, s.commit(h, of(eur(21)), keepingRest), "remaining", "20", "required", "21")
		s.isHold(s.posted(s.commit(h, of(eur(15)), keepingRest)), ledger.Held, 25)
		s.has("a", 75, 0, 5, 70)
		s.isHold(s.posted(s.commit(h, of(eur(5)), keepingRest)), ledger.Committed, 30) // nothing is left to keep
		s.has("a", 70, 0, 0, 70)
		s.declined(errs.ReasonHoldExhausted, s.commit(h, of(eur(1))), "captured", "30")
	}},
	{"final-commit-after-a-part-takes-what-is-left", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		s.posted(s.commit(h, of(eur(10)), keepingRest))
		o := s.posted(s.commit(h))
		s.moved(o, "a -20", "counter:general:EUR 20")
		s.isHold(o, ledger.Committed, 30)
	}},
	{"rollback-releases", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		o := s.posted(s.rollback(h))
		s.moved(o, "a 0", "counter:general:EUR 0")
		s.isHold(o, ledger.RolledBack, 0)
		s.has("a", 100, 0, 0, 100)
		s.declined(errs.ReasonHoldExhausted, s.commit(h), "status", "rolled_back", "captured", "0")
		s.declined(errs.ReasonHoldExhausted, s.rollback(h))
	}},
	{"rollback-after-a-part-releases-the-rest", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30))
		s.posted(s.commit(h, of(eur(10)), keepingRest))
		s.isHold(s.posted(s.rollback(h)), ledger.RolledBack, 10)
		s.has("a", 90, 0, 0, 90)
	}},
	{"holds-never-promise-the-same-money-twice", func(s *story) {
		s.customer("a", 100)
		first := s.posted(s.hold("a", 60))
		s.declined(errs.ReasonInsufficientFunds, s.hold("a", 60))
		s.posted(s.rollback(first))
		second := s.posted(s.hold("a", 60))
		s.posted(s.hold("a", 40))
		s.posted(s.commit(second))
		s.has("a", 40, 0, 40, 0)
	}},
	{"money-for-a-hold-is-there-when-it-is-committed", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 100))
		s.declined(errs.ReasonInsufficientFunds, s.debit("a", 1))
		s.posted(s.update("a", ledger.Change{Floor: limitAt(500)})) // a limit that comes later does not break a promise
		s.posted(s.commit(h))
		s.has("a", 0, 0, 0, 0)
	}},
	{"unknown-hold", func(s *story) {
		s.open("a")
		paid := s.posted(s.credit("a", 5))
		s.declined(errs.ReasonHoldNotFound, s.commit(paid), "hold_id", paid.Transaction.String())
		s.declined(errs.ReasonHoldNotFound, s.rollback(ledger.Outcome{Transaction: s.credit("a", 5).ID()}))
		second := s.books("eu", "EUR/2")
		h := s.posted(s.hold("a", 5))
		s.declined(errs.ReasonHoldNotFound, s.commit(h, in(second)))
	}},
	{"declined-hold-is-none", func(s *story) {
		s.customer("a", 10)
		h := s.declined(errs.ReasonInsufficientFunds, s.hold("a", 11))
		s.declined(errs.ReasonHoldNotFound, s.commit(h))
	}},
	{"expiry-ends-what-can-be-committed", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, lasting(50*time.Millisecond)))
		s.expired(h)
		at := h.Hold.ExpiresAt.UTC().Format(time.RFC3339Nano)
		s.declined(errs.ReasonHoldExpired, s.commit(h), "expired_at", at)
	}},
	{"expiry-releases-what-is-held", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, lasting(time.Minute)))
		part := s.posted(s.commit(h, of(eur(10)), keepingRest))
		s.isHold(part, ledger.Held, 10)
		if !part.Hold.ExpiresAt.Equal(h.Hold.ExpiresAt) {
			s.t.Fatalf("a commit moved the expiry from %s to %s", h.Hold.ExpiresAt, part.Hold.ExpiresAt)
		}
		late := s.posted(s.hold("a", 30, lasting(50*time.Millisecond)))
		s.expired(late)
		s.release(late)
		s.has("a", 90, 0, 20, 70)
		s.declined(errs.ReasonHoldExpired, s.commit(late))
		s.declined(errs.ReasonHoldExpired, s.rollback(late))
	}},
	{"rollback-of-a-hold-whose-time-is-over", func(s *story) {
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, lasting(50*time.Millisecond)))
		s.expired(h)
		s.tick()
		o, err := ledger.Do(s.ctx, s.service, s.rollback(h)) // it races with the service's own expiry, and both release
		s.must(err, "roll back")
		if o.Decided == ledger.Declined {
			s.isDecline(o, errs.ReasonHoldExpired)
		}
		s.has("a", 100, 0, 0, 100)
	}},
	{"ends-before-its-time-for-who-asks-in-time", func(s *story) {
		if s.advance == nil {
			s.t.Skip("needs a clock that can be set to the last instant")
		}
		s.customer("a", 100)
		h := s.posted(s.hold("a", 30, lasting(time.Minute)))
		s.advance(time.Minute - 2*time.Second) // and a second passes before the command
		s.posted(s.commit(h, of(eur(10)), keepingRest))
		s.declined(errs.ReasonHoldExpired, s.commit(h))
	}},
}

// isHold holds the hold of an outcome, which is of 30 in all stories, against its state.
func (s *story) isHold(o ledger.Outcome, status ledger.HoldStatus, captured int64) {
	s.t.Helper()
	h := o.Hold
	if h == nil || h.Status != status || h.Amount != eur(30).Minor || h.Captured != eur(captured).Minor {
		s.t.Fatalf("%s %s: hold %s, wanted it %s with %d of 30 captured", o.Kind, o.Key, show(h), status, captured)
	}
}

// release has an expired hold released: by a sweep, by the command that sweeps issue, or else by waiting until the service does it.
func (s *story) release(hold ledger.Outcome) {
	s.t.Helper()
	before := len(s.statement(hold.Hold.From))
	if s.sweep != nil {
		s.must(s.sweep(s.ctx), "sweep")
	} else if o, err := ledger.Do(s.ctx, s.service, expiry(hold)); err == nil {
		s.isHold(o, ledger.Expired, 0)
	}
	s.until("an expired hold is released", func() bool { return len(s.statement(hold.Hold.From)) > before })
}

// expiry is the command that nodes issue. Not every form of an outcome repeats the ledger inside of the hold.
func expiry(hold ledger.Outcome) ledger.Command {
	return ledger.ExpireCommand(ledger.Hold{ID: hold.Transaction, Ledger: hold.Ledger})
}
