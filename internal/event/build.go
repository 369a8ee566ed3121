package event

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// view is an event with its request read, for one subscriber.
type view struct {
	Event
	kind     Type
	command  ledger.Command
	counters []bool
	account  ledger.Ref // that it is about; empty where there is none
	see      Options
}

func (e Event) view(o Options) (view, error) {
	v := view{Event: e, kind: e.Type(), see: o}
	var err error
	if v.command, err = e.command(); err != nil {
		return view{}, err
	}
	v.counters = e.counters()
	v.account, _ = e.accountOf(e.ordering(v.counters), v.about)
	return v, nil
}

// about tells in which ledgers the account may be that the event is about: in its own, or where that is in another home, in those of this one.
func (v view) about(l id.Ledger) bool {
	if !v.Visits() {
		return v.owns(l)
	}
	home, known := v.see.homeOf(v.Event, l)
	return known && home == v.Home
}

// data builds the data of the event's type.
func (v view) data() (any, error) {
	o := v.Record.Outcome
	switch dataOf[Type(v.kind.form())].(type) {
	case walletData:
		if v.command.Amount == nil {
			return nil, v.broken("an amount")
		}
		return walletData{
			journal: v.journal(), Account: v.command.Account, Amount: digitsOf(v.command.Amount.Minor), Currency: v.command.Amount.Asset,
			RequestReason: v.command.Reason, lines: v.lines(),
		}, nil
	case postedData:
		amount, currency := v.pair()
		return postedData{
			journal: v.journal(), Account: v.account.Account, Amount: amount, Currency: currency, RequestReason: v.command.Reason, lines: v.lines(),
		}, nil
	case reversedData:
		amount, _ := v.pair()
		return reversedData{
			journal: v.journal(), Account: v.account.Account, Amount: amount, Target: uuidOf(v.Record.Target), Reverses: uuidOf(v.Record.Reverses),
			RequestReason: v.command.Reason, lines: v.lines(),
		}, nil
	case holdData:
		if o.Hold == nil || len(o.Entries) == 0 {
			return nil, v.broken("a hold")
		}
		return holdData{
			journal: v.journal(), Account: o.Hold.From, Amount: digitsOf(v.held()), Currency: o.Hold.Asset.Code, Target: uuidOf(v.Record.Target),
			RequestReason: v.command.Reason, Hold: stateOfHold(*o.Hold), lines: v.lines(),
		}, nil
	case accountData:
		if o.Account == nil {
			return nil, v.broken("an account")
		}
		return accountData{journal: v.journal(), ID: o.Account.Ref.Account, Account: stateOfAccount(*o.Account), lines: v.lines()}, nil
	case declinedData:
		return v.declined(), nil
	case paymentData:
		if o.Step == nil || v.command.Step == nil {
			return nil, v.broken("a step")
		}
		return v.payment(), nil
	case playerData:
		if o.Player == nil {
			return nil, v.broken("a player")
		}
		return playerData{journal: v.journal(), Player: o.Player.ID, Version: o.Player.Version, KYC: o.Player.KYC, AML: o.Player.AML, Standing: o.Player.Status, ExcludedUntil: untilOf(o.Player.ExcludedUntil)}, nil
	case testData:
		return testData{common: v.common(), Message: "A test of this subscription. Nothing happened in any ledger."}, nil
	}
	return nil, v.broken("a known kind")
}

// broken says what a journal row of its type always has, and this one has not.
func (v view) broken(lack string) error {
	o := v.Record.Outcome
	return fmt.Errorf("transaction %s of ledger %s, a %s %s, has not %s", v.ID(), o.Ledger, o.Decided, o.Kind, lack)
}

func (v view) common() common {
	return common{EventID: uuid(v.ID()), EventType: v.kind, OccurredAt: instantOf(v.occurredAt()), SchemaVersion: SchemaVersion, Home: v.Home}
}

func (e Event) occurredAt() time.Time {
	if e.Record.Outcome.RecordedAt.IsZero() { // a test
		return e.AppendedAt.UTC()
	}
	return e.Record.Outcome.RecordedAt.UTC()
}

func (v view) journal() journal {
	o := v.Record.Outcome
	j := journal{
		common: v.common(), Ledger: o.Ledger, Kind: o.Kind, Status: o.Decided, Key: o.Key, EffectiveAt: instantOf(o.EffectiveAt),
		Reference: v.Record.Reference, Correlation: v.Record.Correlation, Metadata: v.command.Metadata,
	}
	if !v.see.sees(v.Event, o.Ledger) { // what a client notes freely stays in the home that it was sent to
		j.Metadata = nil
	}
	return j
}

func (v view) lines() lines {
	o := v.Record.Outcome
	l := lines{Entries: make([]entryData, 0, len(o.Entries))}
	for i, e := range o.Entries {
		if !v.see.sees(v.Event, e.Ref.Ledger) {
			l.Elsewhere++
			continue
		}
		l.Entries = append(l.Entries, entryData{
			ID: o.EntryID(i), Ledger: e.Ref.Ledger, Account: e.Ref.Account, Sequence: e.Sequence, Side: side(e.Side().String()),
			Amount: digitsOf(e.Amount.Abs()), Currency: v.currency(i), Balance: digitsOf(e.Balance), PendingDebits: digitsOf(e.PendingDebits),
			PendingCredits: digitsOf(e.PendingCredits), Counter: v.counters[i],
		})
	}
	return l
}

// currency is the asset of the i-th entry. The journal row of a reversal does not tell it.
func (v view) currency(i int) money.Code {
	o := v.Record.Outcome
	switch {
	case o.Hold != nil:
		return o.Hold.Asset.Code
	case o.Account != nil:
		return o.Account.Asset.Code
	case o.Step != nil:
		return o.Step.Asset.Code
	case v.command.Amount != nil:
		return v.command.Amount.Asset
	case len(v.command.Legs) == len(o.Entries):
		return v.command.Legs[i].Amount.Asset
	}
	return ""
}

// pair is the amount of a movement between two accounts, where it is one and the subscriber may look there.
func (v view) pair() (digits, money.Code) {
	entries := v.Record.Outcome.Entries
	if len(entries) != 2 || entries[0].Amount.IsZero() || entries[0].Amount != entries[1].Amount.Neg() ||
		!v.see.sees(v.Event, entries[0].Ref.Ledger) {
		return "", ""
	}
	return digitsOf(entries[0].Amount.Abs()), v.currency(0)
}

// held is the amount that the event set aside, moved, or gave back.
func (v view) held() money.Amount {
	o := v.Record.Outcome
	switch o.Kind {
	case ledger.KindHold:
		return o.Hold.Amount
	case ledger.KindCommit:
		return o.Entries[0].Amount.Abs()
	default:
		rest, _ := o.Hold.Amount.Sub(o.Hold.Captured) // 0 <= captured <= amount
		return rest
	}
}

func (v view) declined() declinedData {
	o := v.Record.Outcome
	d := declinedData{
		journal: v.journal(), Reason: o.Reason, Detail: o.Detail, Account: v.account.Account, Target: uuidOf(v.Record.Target),
		RequestReason: v.command.Reason,
	}
	if l, about := o.Detail["ledger"]; about && !v.see.sees(v.Event, id.Ledger(l)) {
		d.Detail, d.DetailRedacted = nil, true
	}
	if v.command.Amount != nil {
		d.Amount, d.Currency = digitsOf(v.command.Amount.Minor), v.command.Amount.Asset
	}
	return d
}

func (v view) payment() paymentData {
	o, asked := v.Record.Outcome, v.command.Step
	s := o.Step
	d := paymentData{
		journal: v.journal(), ID: uuidOf(s.Payment), Payment: s.Kind, Player: s.Player, Parent: uuidOf(s.Parent), Trigger: s.Trigger, From: s.From, To: s.To,
		Number: s.Number, Version: s.Version, Account: v.account.Account, Provider: s.Provider, ProviderReference: s.ProviderReference,
		Evidence: asked.Evidence, Actor: asked.Actor, Reason: o.Reason, Detail: o.Detail, lines: v.lines(),
	}
	if v.command.Amount != nil {
		d.Amount, d.Currency = digitsOf(v.command.Amount.Minor), v.command.Amount.Asset
	}
	for name, total := range s.Totals {
		if d.Totals == nil {
			d.Totals = map[string]digits{}
		}
		d.Totals[name] = digitsOf(total)
	}
	if r := s.Review; r != nil {
		d.Review = &reviewState{Gate: r.Gate, Cause: r.Cause, Paused: r.Paused, Next: r.Next}
	}
	return d
}

func untilOf(t time.Time) instant {
	if t.IsZero() {
		return ""
	}
	return instantOf(t)
}

func stateOfHold(h ledger.Hold) holdState {
	return holdState{
		ID: uuidOf(h.ID), From: h.From, To: h.To, Asset: asset(h.Asset.String()), Amount: digitsOf(h.Amount), Captured: digitsOf(h.Captured),
		Remaining: digitsOf(h.Remaining()), Status: h.Status, ExpiresAt: instantOf(h.ExpiresAt),
	}
}

func stateOfAccount(a ledger.Account) accountState {
	s := accountState{
		ID: a.Ref.Account, Asset: asset(a.Asset.String()), Normal: side(a.Normal.String()), Status: a.Status, Metadata: a.Metadata,
		Sequence: a.Sequence, OpenedAt: instantOf(a.OpenedAt),
	}
	if a.Floor.Set {
		s.Floor = digitsOf(a.Floor.Amount)
	}
	if a.Ceiling.Set {
		s.Ceiling = digitsOf(a.Ceiling.Amount)
	}
	return s
}

// sequence is the newest line that the event wrote on the account that it is about, or 0.
func (v view) sequence() int64 {
	var newest int64
	for _, e := range slices.Backward(v.Record.Outcome.Entries) {
		if e.Ref == v.account {
			newest = cmp.Or(newest, e.Sequence)
		}
	}
	return newest
}
