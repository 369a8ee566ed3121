package ledgertest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Subject is an implementation under test. One of them serves the whole suite: every story has ledgers of its own.
type Subject struct {
	Service    ledger.Service
	Engine     string                      // named in the output
	Advance    func(time.Duration)         // moves the clock; nil where time is real
	Sweep      func(context.Context) error // releases holds whose time is over; nil where clients may, or where it happens by itself
	Exceptions map[string]string           // story ("holds/expiry", or a whole chapter: "holds") to the reason why it does not hold here
}

// chapter is a group of stories.
type chapter struct {
	name    string
	stories []named
}

type named struct {
	name string
	tell func(*story)
}

// Conformance holds an implementation to the contract of ledger.Service. It fails where an exception names no story, so that exceptions
// do not outlive their reason.
func Conformance(t *testing.T, open func(t *testing.T) Subject) {
	subject := open(t)
	chapters := []chapter{
		{"ledgers", ledgerStories},
		{"accounts", accountStories},
		{"money", moneyStories},
		{"limits", limitStories},
		{"holds", holdStories},
		{"reversals", reversalStories},
		{"batches", batchStories},
		{"idempotency", idempotencyStories},
		{"mismatch", mismatchStories()},
		{"declines", declineStories()},
		{"invalid", invalidStories()},
		{"reads", readStories},
		{"concurrency", concurrencyStories},
	}
	unused := map[string]bool{}
	for name := range subject.Exceptions {
		unused[name] = true
	}
	run := rand.Text()[:8] // one database may have seen the suite before
	for _, c := range chapters {
		t.Run(c.name, func(t *testing.T) {
			if reason, excepted := subject.Exceptions[c.name]; excepted {
				delete(unused, c.name)
				t.Skipf("%s: %s", subject.Engine, reason)
			}
			for _, s := range c.stories {
				t.Run(s.name, func(t *testing.T) {
					if reason, excepted := subject.Exceptions[c.name+"/"+s.name]; excepted {
						delete(unused, c.name+"/"+s.name)
						t.Skipf("%s: %s", subject.Engine, reason)
					}
					begin(t, subject, "t-"+strings.ToLower(run)+"-"+c.name+"-"+s.name).tells(s.tell)
				})
			}
		})
	}
	for name := range unused {
		t.Errorf("%s makes an exception of %q, which is no story", subject.Engine, name)
	}
}

// tells runs a story and audits its books afterwards.
func (s *story) tells(tell func(*story)) {
	s.ledger = s.books("eu", "EUR/2", "USD/2")
	tell(s)
	if s.t.Failed() || s.beyond {
		return
	}
	if err := Audit(context.Background(), s.service, s.ledgers...); err != nil {
		s.t.Errorf("the story is told, and its books are broken: %v", err)
	}
}
