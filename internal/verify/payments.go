package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// What is said of payments.
const (
	stepMatter     = "step"
	versionMatter  = "version"
	attemptsMatter = "attempts"
	stateMatter    = "state"
	birthMatter    = "origin"
	totalMatter    = "total " // and its name
	heldMatter     = "held"
)

// transition is what a journal row says that its step did.
type transition struct {
	Payment id.Transaction          `json:"payment"`
	Kind    string                  `json:"kind"`
	Number  int64                   `json:"number"`
	Version int64                   `json:"version"`
	Trigger string                  `json:"trigger"`
	From    string                  `json:"from"`
	To      string                  `json:"to"`
	Player  string                  `json:"player"`
	Parent  id.Transaction          `json:"parent"`
	Asset   money.Asset             `json:"asset"`
	Added   map[string]money.Amount `json:"added"`
	Parents map[string]money.Amount `json:"parents"`
}

// stepWords says a line of history, the same way for both sides and for a person.
func stepWords(transaction id.Transaction, trigger, from, to, outcome, reason string, at time.Time) []byte {
	return fmt.Appendf(nil, "%s from %q to %q %s %s at %s as %s", trigger, from, to, outcome, reason, stamp(at), transaction)
}

func birthWords(kind, player string, parent id.Transaction, asset money.Asset, at time.Time) []byte {
	return fmt.Appendf(nil, "a %s of player %q in %s, parent %s, begun at %s", kind, player, asset, parent, stamp(at))
}

// tellStep says what the row says of its payment: that this is a line of its history and, where it was accepted, what it added.
func (p *journalPass) tellStep(f Finding) {
	j := &p.row
	var detail struct {
		Step *transition `json:"step"`
	}
	if err := json.Unmarshal(j.detail, &detail); err != nil || detail.Step == nil {
		f.Message = "the row of a step does not say what it did"
		p.find(&p.checks.payments, f)
		return
	}
	s := detail.Step
	p.looked(&p.checks.payments)
	if s.Number == 0 {
		if j.posted() {
			f.Message = "an accepted step has no number"
			p.find(&p.checks.payments, f)
		}
		return // of no payment that is there
	}
	of := func(payment id.Transaction, matter string) subject {
		return subject{ledger: p.book.ledger, transaction: payment, matter: matter}
	}
	at := place{ledger: p.book.ledger}
	line := of(s.Payment, stepMatter)
	line.line = s.Number
	p.steps.say(told, line, at, stepWords(j.id, s.Trigger, s.From, s.To, j.outcome, j.reason, j.recordedAt), one)
	p.steps.say(told, of(s.Payment, attemptsMatter), at, nil, one)
	if !j.posted() {
		return
	}
	p.steps.say(told, of(s.Payment, versionMatter), at, nil, one)
	if s.Version == 1 {
		p.steps.say(told, of(s.Payment, birthMatter), at, birthWords(s.Kind, s.Player, s.Parent, s.Asset, j.recordedAt), one)
		if s.Payment != j.id {
			f.Message = "the first step of a payment has another id"
			p.find(&p.checks.payments, f)
		}
	}
	for name, added := range s.Added {
		p.steps.say(told, of(s.Payment, totalMatter+name), at, nil, added)
	}
	for name, added := range s.Parents {
		p.steps.say(told, of(s.Parent, totalMatter+name), at, nil, added)
	}
	for _, l := range p.lines {
		held := of(s.Payment, heldMatter)
		held.account = l.Account
		p.steps.say(told, held, at, nil, l.Amount)
	}
}

// paymentData is what a row says in JSON.
type paymentData struct {
	Roles    map[string]id.Account   `json:"roles"`
	Totals   map[string]money.Amount `json:"totals"`
	Holdings map[string]money.Amount `json:"holdings"`
}

const sqlPayments = `
SELECT id, kind, state, version, attempts, player, parent, asset, scale, data, opened_at
FROM payment WHERE home = $1 AND ledger_id = $2 AND id >= $3
ORDER BY id LIMIT $4 OFFSET $5`

// payments reads the payments of one book, in the order of their ids.
func (r *run) payments(ctx context.Context, b book) error {
	var key id.Transaction
	var kind, state, player string
	var version, attempts int64
	var parent pgtype.UUID
	var asset money.Asset
	var data []byte
	var openedAt time.Time
	began := false
	from := func() []any { return []any{b.home, b.ledger, [16]byte(key)} }
	into := []any{(*[16]byte)(&key), &kind, &state, &version, &attempts, &player, &parent, &asset.Code, &asset.Scale, &data, &openedAt}
	return r.paged(ctx, "payments", sqlPayments, &began, from, into, func() error {
		f := Finding{Ledger: b.ledger, Transaction: key, Message: "the payment"}
		r.housed(b, f)
		r.denominated(b, asset, f)
		r.looked(&r.checks.payments)
		at := place{ledger: b.ledger}
		keep := func(matter string, words []byte, weight money.Amount) {
			r.steps.say(kept, subject{ledger: b.ledger, transaction: key, matter: matter}, at, words, weight)
		}
		keep(versionMatter, nil, money.FromInt64(version))
		keep(attemptsMatter, nil, money.FromInt64(attempts))
		keep(stateMatter, []byte(state), one)
		keep(birthMatter, birthWords(kind, player, parent.Bytes, asset, openedAt), one)
		var sums paymentData
		if err := json.Unmarshal(data, &sums); err != nil {
			f.Message = fmt.Sprintf("the data of the payment can not be read: %v", err)
			r.find(&r.checks.payments, f)
			return nil
		}
		for name, total := range sums.Totals {
			keep(totalMatter+name, nil, total)
		}
		for _, role := range slices.Sorted(maps.Keys(sums.Holdings)) {
			account, held := sums.Roles[role], sums.Holdings[role]
			r.steps.say(kept, subject{ledger: b.ledger, transaction: key, account: account, matter: heldMatter}, at, nil, held)
			r.holdings.say(told, subject{ledger: b.ledger, account: account}, at, nil, held)
		}
		r.judgeWaiting(f, kind, state, sums)
		return nil
	})
}

const sqlHistory = `
SELECT payment_id, number, transaction_id, trigger_name, from_state, to_state, outcome, reason, recorded_at
FROM payment_step WHERE home = $1 AND ledger_id = $2 AND (payment_id, number) >= ($3, $4)
ORDER BY payment_id, number LIMIT $5 OFFSET $6`

// history reads the histories of the payments of one book, each from its first line to its newest: one leads to the next, without a gap, and
// refused ones lead nowhere.
func (r *run) history(ctx context.Context, b book) error {
	var key, transaction, of id.Transaction
	var number, last int64
	var trigger, fromState, toState, outcome, reason, at string
	var recordedAt time.Time
	began := false
	from := func() []any { return []any{b.home, b.ledger, [16]byte(key), number} }
	into := []any{
		(*[16]byte)(&key), &number, (*[16]byte)(&transaction), &trigger, &fromState, &toState, &outcome, &reason, &recordedAt,
	}
	ended := func() {
		if last > 0 {
			r.steps.say(told, subject{ledger: b.ledger, transaction: of, matter: stateMatter}, place{ledger: b.ledger}, []byte(at), one)
		}
	}
	err := r.paged(ctx, "history", sqlHistory, &began, from, into, func() error {
		f := Finding{Ledger: b.ledger, Transaction: key, Message: "the line of the payment's history"}
		r.housed(b, f)
		r.looked(&r.checks.payments)
		if key != of {
			ended()
			of, last, at = key, 0, ""
		}
		if number != last+1 || fromState != at {
			f.Message = fmt.Sprintf("line %d of the payment's history leads from %q, after line %d that led to %q", number, fromState, last, at)
			r.find(&r.checks.payments, f)
		}
		if outcome != "posted" && toState != fromState {
			f.Message = fmt.Sprintf("line %d of the payment's history was refused, and leads from %q to %q", number, fromState, toState)
			r.find(&r.checks.payments, f)
		}
		line := subject{ledger: b.ledger, transaction: key, line: number, matter: stepMatter}
		r.steps.say(kept, line, place{ledger: b.ledger}, stepWords(transaction, trigger, fromState, toState, outcome, reason, recordedAt), one)
		last, at = number, toState
		return nil
	})
	ended()
	return err
}

// strayPayment words a payment that is not what the journal says.
func strayPayment(m mismatch) Finding {
	f := Finding{Ledger: m.ledger, Account: m.account, Transaction: m.transaction}
	switch {
	case m.matter == stepMatter && m.kept == "":
		f.Message = fmt.Sprintf("line %d of the payment's history is missing: %s", m.line, m.told)
	case m.matter == stepMatter && m.told == "":
		f.Message = fmt.Sprintf("line %d of the payment's history is not in the journal: %s", m.line, m.kept)
	case m.matter == stepMatter, m.matter == stateMatter, m.matter == birthMatter:
		f.Message = fmt.Sprintf("the payment's %s is %s, and its steps say %s", m.matter, cmp.Or(m.kept, "nothing"), cmp.Or(m.told, "nothing"))
	case m.matter == heldMatter:
		f.Message = fmt.Sprintf("the payment holds %s on the account, and its entries add up to %s", m.sums[kept], m.sums[told])
	default:
		f.Message = fmt.Sprintf("the payment's %s is %s, and its steps add up to %s", m.matter, m.sums[kept], m.sums[told])
	}
	return f
}
