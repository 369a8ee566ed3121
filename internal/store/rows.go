package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Amounts travel as text in both directions: 38 digits fit no integer of the driver, and DECIMAL read through a big.Float or a
// float64 would be a way to lose a cent. The columns are listed once for inserts and once, cast, for reads.
const (
	accountColumns = `home, ledger_id, id, asset, scale, normal_side, posted_debits, posted_credits, pending_debits, pending_credits,
    sequence, min_available, max_balance, status, metadata, opened_at, changed_at`

	holdColumns = `home, ledger_id, id, from_account, to_account, asset, scale, amount, captured, status, expires_at`

	recordReading = `j.home, j.ledger_id, j.id, j.idempotency_key, j.kind, j.outcome, j.reason, j.detail, j.entries, j.request,
    j.request_hash, j.reference, j.correlation_id, j.trace_id, j.target, j.reverses, j.effective_at, j.recorded_at`
)

// accountColumnsOf and holdColumnsOf read those columns of a row.
func accountColumnsOf(row string) string {
	return columnsOf(row, accountColumns, "posted_debits", "posted_credits", "pending_debits", "pending_credits", "min_available", "max_balance")
}

func holdColumnsOf(row string) string { return columnsOf(row, holdColumns, "amount", "captured") }

func columnsOf(row, columns string, amounts ...string) string {
	names := strings.Split(columns, ",")
	for i, name := range names {
		name = strings.TrimSpace(name)
		names[i] = row + "." + name
		if slices.Contains(amounts, name) {
			names[i] += "::text"
		}
	}
	return strings.Join(names, ", ")
}

var (
	accountReading = accountColumnsOf("a")
	holdReading    = holdColumnsOf("h")
)

// digits scans a DECIMAL that was cast to text.
type digits money.Amount

// ScanText implements pgtype.TextScanner.
func (d *digits) ScanText(v pgtype.Text) error {
	if !v.Valid {
		return fmt.Errorf("an amount is never NULL")
	}
	a, err := money.Parse(v.String)
	*d = digits(a)
	return err
}

// bound scans a limit, where NULL is none.
type bound ledger.Limit

// ScanText implements pgtype.TextScanner.
func (l *bound) ScanText(v pgtype.Text) error {
	*l = bound{}
	if !v.Valid {
		return nil
	}
	a, err := money.Parse(v.String)
	*l = bound(ledger.AtLimit(a))
	return err
}

func into(a *money.Amount) *digits { return (*digits)(a) }

// repeated scans a text that is mostly the one of the row before: it is made anew only where it differs.
type repeated[T ~string] struct{ to *T }

func again[T ~string](to *T) *repeated[T] { return &repeated[T]{to} }

// ScanBytes implements pgtype.BytesScanner.
func (r *repeated[T]) ScanBytes(b []byte) error {
	if string(b) != string(*r.to) {
		*r.to = T(b)
	}
	return nil
}

// collect reads rows of plain values through a variable, and returns a copy of each as tidy left it; nil leaves it as it is.
func collect[T any](rows pgx.Rows, row *T, into []any, tidy func(*T)) ([]T, error) {
	var all []T
	_, err := pgx.ForEachRow(rows, into, func() error {
		if tidy != nil {
			tidy(row)
		}
		all = append(all, *row)
		return nil
	})
	return all, err
}

// only returns the one row that was looked for by its key or, where there is none, the error that says so.
func only[T any](found []T, err, none error) (row T, _ error) {
	switch {
	case err != nil:
		return row, err
	case len(found) == 0:
		return row, none
	}
	return found[0], nil
}

// notes scans metadata: a map of its own for each row, nil where there is nothing in it.
type notes ledger.Metadata

// ScanBytes implements pgtype.BytesScanner.
func (n *notes) ScanBytes(b []byte) error {
	*n = nil
	if string(b) == `{}` {
		return nil
	}
	return json.Unmarshal(b, (*ledger.Metadata)(n))
}

func eachAccount(rows pgx.Rows, fn func(ledger.Account) error) error {
	var a ledger.Account
	var side string
	into := []any{
		again(&a.Home), again(&a.Ref.Ledger), again(&a.Ref.Account), again(&a.Asset.Code), &a.Asset.Scale, again(&side),
		into(&a.PostedDebits), into(&a.PostedCredits), into(&a.PendingDebits), into(&a.PendingCredits), &a.Sequence, (*bound)(&a.Floor),
		(*bound)(&a.Ceiling), again(&a.Status), (*notes)(&a.Metadata), &a.OpenedAt, &a.ChangedAt,
	}
	_, err := pgx.ForEachRow(rows, into, func() error {
		if err := a.Normal.UnmarshalText([]byte(side)); err != nil {
			return fmt.Errorf("account %s: %w", a.Ref, err)
		}
		a.OpenedAt, a.ChangedAt = a.OpenedAt.UTC(), a.ChangedAt.UTC()
		return fn(a)
	})
	return err
}

func eachHold(rows pgx.Rows, fn func(ledger.Hold) error) error {
	var h ledger.Hold
	_, err := pgx.ForEachRow(rows, []any{
		&h.Home, &h.Ledger, (*[16]byte)(&h.ID), &h.From, &h.To, &h.Asset.Code, &h.Asset.Scale, into(&h.Amount), into(&h.Captured),
		&h.Status, &h.ExpiresAt,
	}, func() error {
		h.ExpiresAt = h.ExpiresAt.UTC()
		return fn(h)
	})
	return err
}

// eachRecord reads journal rows, and what stands in columns after them.
func eachRecord(rows pgx.Rows, fn func(ledger.Record) error, more ...any) error {
	var r ledger.Record
	var o ledger.Outcome
	var reason, reference, correlation, trace *string
	var detail, entries, hash []byte
	var target, reverses pgtype.UUID
	into := []any{
		&r.Home, &o.Ledger, (*[16]byte)(&o.Transaction), &o.Key, &o.Kind, &o.Decided, &reason, &detail, &entries, &r.Request, &hash,
		&reference, &correlation, &trace, &target, &reverses, &o.EffectiveAt, &o.RecordedAt,
	}
	_, err := pgx.ForEachRow(rows, append(into, more...), func() error {
		found, answer := r, o
		found.Request = append([]byte(nil), r.Request...)
		found.RequestHash = [32]byte(hash)
		found.Reference, found.Correlation, found.TraceID = value(reference), value(correlation), value(trace)
		found.Target, found.Reverses = target.Bytes, reverses.Bytes
		answer.Reason = errs.Reason(value(reason))
		answer.EffectiveAt, answer.RecordedAt = o.EffectiveAt.UTC(), o.RecordedAt.UTC()
		if err := readOutcome(&answer, entries, detail); err != nil {
			return fmt.Errorf("journal row %s: %w", o.Transaction, err)
		}
		if answer.Hold != nil { // its ledger is the row's
			answer.Hold.Home = r.Home
		}
		if answer.Player != nil {
			answer.Player.Home = r.Home
		}
		found.Outcome = answer
		return fn(found)
	})
	return err
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// entryJSON is an entry as the journal carries it, for the change stream and for replays. The ledger is left out where it is the
// journal row's own.
type entryJSON struct {
	Ledger         id.Ledger    `json:"ledger,omitempty"`
	Account        id.Account   `json:"account"`
	Sequence       int64        `json:"sequence"`
	Amount         money.Amount `json:"amount"`
	Balance        money.Amount `json:"balance"`
	PendingDebits  money.Amount `json:"pending_debits,omitzero"`
	PendingCredits money.Amount `json:"pending_credits,omitzero"`
}

// detailJSONForm is what else an outcome says.
type detailJSONForm struct {
	Facts   map[string]string `json:"facts,omitempty"`
	Hold    *holdJSON         `json:"hold,omitempty"`
	Account *accountJSON      `json:"account,omitempty"`

	Step   *ledger.Transition `json:"step,omitempty"`
	Player *ledger.Player     `json:"player,omitempty"`
}

type holdJSON struct {
	ledger.Hold
	Asset money.Asset `json:"asset"`
}

type accountJSON struct {
	Account  id.Account      `json:"account"`
	Home     id.Home         `json:"home"`
	Asset    money.Asset     `json:"asset"`
	Normal   ledger.Side     `json:"normal_side"`
	Floor    *money.Amount   `json:"min_available,omitempty"`
	Ceiling  *money.Amount   `json:"max_balance,omitempty"`
	Status   ledger.Status   `json:"status"`
	Metadata ledger.Metadata `json:"metadata,omitempty"`
	Totals   ledger.Balances `json:"totals"`
	Sequence int64           `json:"sequence"`
	OpenedAt time.Time       `json:"opened_at"`
}

// entriesJSON writes what json.Marshal would make of entryJSON, at a fifth of its cost: every command is stored this way. No character of an
// identifier needs to be escaped.
func entriesJSON(o *ledger.Outcome) string {
	b := make([]byte, 0, 2+192*len(o.Entries))
	b = append(b, '[')
	for i, e := range o.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if e.Ref.Ledger != o.Ledger {
			b = append(append(append(b, `"ledger":"`...), e.Ref.Ledger...), `",`...)
		}
		b = append(append(append(b, `"account":"`...), e.Ref.Account...), `","sequence":`...)
		b = strconv.AppendInt(b, e.Sequence, 10)
		b = e.Amount.Append(append(b, `,"amount":"`...))
		b = e.Balance.Append(append(b, `","balance":"`...))
		if !e.PendingDebits.IsZero() {
			b = e.PendingDebits.Append(append(b, `","pending_debits":"`...))
		}
		if !e.PendingCredits.IsZero() {
			b = e.PendingCredits.Append(append(b, `","pending_credits":"`...))
		}
		b = append(b, `"}`...)
	}
	return string(append(b, ']'))
}

func detailJSON(o *ledger.Outcome) *string {
	if o.Hold == nil && o.Account == nil && o.Step == nil && o.Player == nil && len(o.Detail) == 0 {
		return nil
	}
	form := detailJSONForm{Facts: o.Detail, Step: o.Step, Player: o.Player}
	if h := o.Hold; h != nil {
		form.Hold = &holdJSON{Hold: *h, Asset: h.Asset}
	}
	if a := o.Account; a != nil {
		form.Account = &accountJSON{
			Account: a.Ref.Account, Home: a.Home, Asset: a.Asset, Normal: a.Normal, Floor: amountOf(a.Floor), Ceiling: amountOf(a.Ceiling),
			Status: a.Status, Metadata: a.Metadata, Totals: a.Balances, Sequence: a.Sequence, OpenedAt: a.OpenedAt,
		}
	}
	s := mustJSON(form)
	return &s
}

func readOutcome(o *ledger.Outcome, entries, detail []byte) error {
	var lines []entryJSON
	if err := json.Unmarshal(entries, &lines); err != nil {
		return fmt.Errorf("read its entries: %w", err)
	}
	for _, l := range lines {
		ref := ledger.Ref{Ledger: l.Ledger, Account: l.Account}
		if ref.Ledger == "" {
			ref.Ledger = o.Ledger
		}
		o.Entries = append(o.Entries, ledger.Entry{
			Ref: ref, Sequence: l.Sequence, Amount: l.Amount, Balance: l.Balance, PendingDebits: l.PendingDebits, PendingCredits: l.PendingCredits,
		})
	}
	if len(detail) == 0 {
		return nil
	}
	var form detailJSONForm
	if err := json.Unmarshal(detail, &form); err != nil {
		return fmt.Errorf("read its detail: %w", err)
	}
	o.Detail, o.Step, o.Player = form.Facts, form.Step, form.Player
	if o.Player != nil {
		o.Player.Ledger = o.Ledger
	}
	if h := form.Hold; h != nil {
		h.Ledger, h.Hold.Asset = o.Ledger, h.Asset
		o.Hold = &h.Hold
	}
	if a := form.Account; a != nil {
		o.Account = &ledger.Account{
			Home: a.Home, Ref: ledger.Ref{Ledger: o.Ledger, Account: a.Account}, Asset: a.Asset, Normal: a.Normal, Floor: limitOf(a.Floor),
			Ceiling: limitOf(a.Ceiling), Status: a.Status, Metadata: a.Metadata, Balances: a.Totals, Sequence: a.Sequence,
			OpenedAt: a.OpenedAt, ChangedAt: o.RecordedAt,
		}
	}
	return nil
}

func amountOf(l ledger.Limit) *money.Amount {
	if !l.Set {
		return nil
	}
	return &l.Amount
}

func limitOf(a *money.Amount) ledger.Limit {
	if a == nil {
		return ledger.Limit{}
	}
	return ledger.AtLimit(*a)
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("values of texts and integers always marshal: %v", err))
	}
	return string(b)
}
