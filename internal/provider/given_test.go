package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
)

const (
	home    = id.Home("eu")
	books   = id.Ledger("brand-eu")
	secret  = "whsec_of_the_tests_of_acme"
	example = `providers:
  acme:
    ledger: brand-eu
    verify:
      - scheme: stripe
        secrets: [{env: ACME_SECRET}]
    fields: {event_id: id, type: type, payment: data.payment, reference: data.reference, amount: data.amount, currency: data.currency, occurred_at: created}
    triggers:
      payment.authorized: authorized
      payment.captured: captured
      payment.settled: settled
      payment.declined: declined
      payment.refunded: refunded
      payment.viewed: ignore
    patience: 1h
`
)

// reveal has a secret for every name.
func reveal(s provider.Source) ([]byte, error) {
	if strings.Contains(s.File+s.Env, "absent") {
		return nil, errors.New("there is none")
	}
	return []byte(secret), nil
}

func acme() provider.Config { return must(provider.Parse("providers.yaml", []byte(example), reveal)) }

// memory is the tables, in memory.
type memory struct {
	mu      sync.Mutex
	rows    map[string]provider.Callback
	fail    func() error // before anything is done; may be nil
	lose    func() error // after it; may be nil
	puts    int
	fenced  bool
	settled chan struct{} // has a token after something was settled
}

func newMemory() *memory {
	return &memory{rows: map[string]provider.Callback{}, settled: make(chan struct{}, 1)}
}

func key(c provider.Callback) string { return string(c.Provider) + "/" + c.ID }

func (m *memory) PutCallbacks(_ context.Context, _ id.Home, all []provider.Callback) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return nil, err
		}
	}
	before := make([][]byte, len(all))
	for i, c := range all {
		if stands, there := m.rows[key(c)]; there {
			before[i] = stands.Meaning()
			continue
		}
		m.rows[key(c)] = c
	}
	if m.lose != nil {
		if err := m.lose(); err != nil {
			return nil, err
		}
	}
	return before, nil
}

func isOpen(c provider.Callback) bool {
	return c.State == provider.Received || c.State == provider.Waiting
}

func (m *memory) OpenCallbacks(_ context.Context, _ id.Home, now time.Time, most int) ([]provider.Callback, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := map[string]bool{}
	for _, c := range m.rows {
		if isOpen(c) && !c.DueAt.After(now) && len(wanted) < most {
			wanted[c.Order()] = true
		}
	}
	var found []provider.Callback
	for _, c := range m.rows {
		if isOpen(c) && wanted[c.Order()] {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b provider.Callback) int {
		when := func(c provider.Callback) time.Time {
			if c.OccurredAt.IsZero() {
				return c.ReceivedAt
			}
			return c.OccurredAt
		}
		if c := strings.Compare(a.Order(), b.Order()); c != 0 {
			return c
		}
		if c := when(a).Compare(when(b)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found, nil
}

func (m *memory) SettleCallbacks(_ context.Context, _ event.Lease, settled []provider.Callback) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fenced {
		return event.ErrFenced
	}
	for _, c := range settled {
		m.rows[key(c)] = c
	}
	select {
	case m.settled <- struct{}{}:
	default:
	}
	return nil
}

func (m *memory) TallyCallbacks(context.Context, id.Home) ([]provider.Tally, error) { return nil, nil }

func (m *memory) get(id string) provider.Callback {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows["acme/"+id]
}

func (m *memory) set(c provider.Callback) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[key(c)] = c
}

func (m *memory) count(states ...provider.State) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.rows {
		if len(states) == 0 || slices.Contains(states, c.State) {
			n++
		}
	}
	return n
}

// body is a callback of acme.
func body(event, kind, payment string, amount int, created time.Time) []byte {
	text, err := json.Marshal(map[string]any{
		"id": event, "type": kind, "created": created.Unix(),
		"data": map[string]any{"payment": payment, "reference": "ref-" + payment, "amount": amount, "currency": "eur"},
	})
	if err != nil {
		panic(err)
	}
	return text
}

// received is a stored callback of acme.
func received(event, trigger, payment string, at time.Time) provider.Callback {
	e := provider.Envelope{
		Home: home, Ledger: books, Provider: "acme", ID: event, Type: "payment." + trigger, Trigger: trigger, Payment: payment, OccurredAt: at, ReceivedAt: at,
		Raw: provider.Raw{Mode: provider.RawNone},
	}
	return e.Opening()
}

// recorder is an Apply that answers as a script says and remembers who was applied.
type recorder struct {
	mu      sync.Mutex
	answers map[string][]provider.Answer // of an event, one after the other; then Done
	calls   []string
	busy    map[string]bool
	broken  []string
	rule    func(e provider.Envelope, done map[string]bool) provider.Answer // where answers has none
	done    map[string]bool
}

func newRecorder() *recorder {
	return &recorder{answers: map[string][]provider.Answer{}, busy: map[string]bool{}, done: map[string]bool{}}
}

func (r *recorder) apply(_ context.Context, e provider.Envelope) provider.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[e.Order()] {
		r.broken = append(r.broken, fmt.Sprintf("%s is applied while another one of its payment is", e.ID))
	}
	r.busy[e.Order()] = true
	r.mu.Unlock()
	r.mu.Lock()
	r.busy[e.Order()] = false
	r.calls = append(r.calls, e.ID)
	a := provider.Answer{Verdict: provider.Done}
	if left := r.answers[e.ID]; len(left) > 0 {
		a, r.answers[e.ID] = left[0], left[1:]
	} else if r.rule != nil {
		a = r.rule(e, r.done)
	}
	if a.Verdict == provider.Done {
		r.done[e.Payment+"/"+e.Trigger] = true
	}
	return a
}

func (r *recorder) called() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// lifecycle wants each event after the one before it, and no two that exclude each other.
func lifecycle(e provider.Envelope, done map[string]bool) provider.Answer {
	has := func(trigger string) bool { return done[e.Payment+"/"+trigger] }
	needs := map[string]string{"captured": "authorized", "settled": "captured", "refunded": "settled"}[e.Trigger]
	switch {
	case e.Trigger == "declined" && has("authorized"), e.Trigger == "authorized" && has("declined"), needs != "" && has("declined"):
		return provider.Answer{Verdict: provider.Refused, Cause: "transition", Detail: "the payment is in another state"}
	case needs != "" && !has(needs):
		return provider.Answer{Verdict: provider.NotYet, Detail: "it is not " + needs}
	}
	return provider.Answer{Verdict: provider.Done}
}
