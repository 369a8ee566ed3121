// Package simulate is a payment provider that misbehaves as providers do: its callbacks come late, twice, out of order, never, or against each other,
// or ten thousand at once; what is not answered 200 it sends again, for hours.
//
// It promises that a Profile and its seed make the same script every time (script.go), that a script can be played in real time or on a clock that
// jumps, so that hours take no time (play.go), and that whoever asks for the status of a payment hears the truth, whatever the callbacks say
// (status.go). It relies on package provider for signatures, so that a test of one is a test of the other; schemes whose answers are
// published are held against those there.
package simulate

import (
	"fmt"
	"net/http"
	"time"

	"github.com/meridian-ledger/meridian/internal/provider"
)

// Profile says how many payments there are and how their provider misbehaves. Shares are of events, from 0 to 1.
type Profile struct {
	Seed       uint64
	Payments   int
	Callbacks  int           // bounds the first postings, with duplicates; 0: what the payments make
	Spread     time.Duration // in which the payments begin
	Step       time.Duration // between two events of a payment; default 1 s
	Delay      time.Duration // most from an event to its first posting
	Duplicate  float64       // are posted twice or three times
	Reorder    float64       // are posted after those that follow
	Lose       float64       // are never posted
	Contradict float64       // are followed by one that says something else, under the same id or another one
	Flood      bool          // all postings at one moment, in any order
	Batch      int           // most events in one request, where the form allows several; default 1
	RetryFor   time.Duration // how long to post again what is not answered 2xx; 0: never
	RetryFirst time.Duration // the first pause before that, which doubles; default 5 s
	RetryLast  time.Duration // the longest pause; default 1 h
}

func (p Profile) orDefaults() Profile {
	for _, d := range []struct {
		of        *time.Duration
		otherwise time.Duration
	}{{&p.Step, time.Second}, {&p.RetryFirst, 5 * time.Second}, {&p.RetryLast, time.Hour}} {
		if *d.of == 0 {
			*d.of = d.otherwise
		}
	}
	if p.Batch == 0 {
		p.Batch = 1
	}
	return p
}

// Validate says which field makes no sense.
func (p Profile) Validate() error {
	for name, share := range map[string]float64{"duplicate": p.Duplicate, "reorder": p.Reorder, "lose": p.Lose, "contradict": p.Contradict} {
		if share < 0 || share > 1 {
			return fmt.Errorf("%s: a share is 0 to 1, not %g", name, share)
		}
	}
	for name, d := range map[string]time.Duration{
		"spread": p.Spread, "step": p.Step, "delay": p.Delay, "retry-for": p.RetryFor, "retry-first": p.RetryFirst, "retry-last": p.RetryLast,
	} {
		if d < 0 {
			return fmt.Errorf("%s: a time is not less than 0", name)
		}
	}
	if p.Payments < 1 || p.Callbacks < 0 || p.Batch < 0 {
		return fmt.Errorf("there is at least one payment, and no count is less than 0")
	}
	return nil
}

// Event is something that happened to a payment, or that the provider says has.
type Event struct {
	ID        string
	Type      string // payment.authorized, payment.captured, payment.settled, payment.declined or payment.refunded
	Payment   string // the merchant's id
	Reference string // the provider's id
	Amount    int64  // in minor units
	Currency  string
	At        time.Duration // since the start
}

// Why a posting is there.
const (
	First         = "first"
	Duplicate     = "duplicate"
	Contradiction = "contradiction"
)

// Posting is one request that the provider means to make: the events in it, and when.
type Posting struct {
	At     time.Duration
	Events []Event
	Why    string // of its first event
}

// Script is what a provider will do.
type Script struct {
	Events   []Event // the truth, by payment and time
	Postings []Posting
	Lost     []Event // true, and never posted
}

// Form is how a body is written and signed.
type Form struct {
	Name string
	// Many tells whether one body can hold several events.
	Many bool
	// Render writes a body, with its signature where that belongs into the headers or the body. at is the time that is signed.
	Render func(events []Event, start, at time.Time) (Request, error)
}

// Request is a posting made ready.
type Request struct {
	Header http.Header
	Body   []byte
}

// Forms by name need a secret: as Stripe and Standard Webhooks sign, as Adyen does, and none, for addresses and certificates.
func Forms(secret []byte) map[string]Form {
	return map[string]Form{
		"stripe": {Name: "stripe", Render: func(events []Event, start, at time.Time) (Request, error) {
			r, err := plain(events[0], start)
			provider.SignStripe(r.Header, "Stripe-Signature", secret, r.Body, at)
			return r, err
		}},
		"standard-webhooks": {Name: "standard-webhooks", Render: func(events []Event, start, at time.Time) (Request, error) {
			r, err := plain(events[0], start)
			provider.SignStandardWebhooks(r.Header, "webhook", secret, r.Body, events[0].ID, at)
			return r, err
		}},
		"adyen": {Name: "adyen", Many: true, Render: func(events []Event, start, _ time.Time) (Request, error) {
			r, err := notification(events, start)
			if err == nil {
				r.Body, err = provider.SignAdyen(secret, r.Body)
			}
			return r, err
		}},
		"none": {Name: "none", Render: func(events []Event, start, _ time.Time) (Request, error) { return plain(events[0], start) }},
	}
}
