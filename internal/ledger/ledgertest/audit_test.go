package ledgertest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// damaged is a service that tells lies.
type damaged struct {
	ledger.Service
	account func(*ledger.Account)
	entry   func(*ledger.StatementLine)
	record  func(*ledger.Record)
	trial   func(*ledger.TrialLine)
	drops   int64 // a sequence that statements do not show
}

func (d damaged) Accounts(ctx context.Context, l id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	all, err := d.Service.Accounts(ctx, l, after, limit)
	for i := range all {
		if d.account != nil && all[i].Ref.Account == "a" {
			d.account(&all[i])
		}
	}
	return all, err
}

func (d damaged) Entries(ctx context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	all, err := d.Service.Entries(ctx, ref, page)
	var kept []ledger.StatementLine
	for _, l := range all {
		if d.entry != nil && ref.Account == "a" {
			d.entry(&l)
		}
		if l.Sequence != d.drops || ref.Account != "a" {
			kept = append(kept, l)
		}
	}
	return kept, err
}

func (d damaged) Transaction(ctx context.Context, l id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	r, err := d.Service.Transaction(ctx, l, transaction)
	r.Outcome.Entries = append([]ledger.Entry(nil), r.Outcome.Entries...)
	if r.Outcome.Hold != nil {
		h := *r.Outcome.Hold
		r.Outcome.Hold = &h
	}
	if d.record != nil {
		d.record(&r)
	}
	return r, err
}

func (d damaged) TrialBalance(ctx context.Context, l id.Ledger) ([]ledger.TrialLine, error) {
	all, err := d.Service.TrialBalance(ctx, l)
	for i := range all {
		if d.trial != nil {
			d.trial(&all[i])
		}
	}
	return all, err
}

// soundBooks have an account "a" with a line of each sort: opened, credited 100, held 30, committed 10 of it.
func soundBooks(t *testing.T) *ledgertest.Model {
	t.Helper()
	ctx, m := context.Background(), ledgertest.NewModel(ledgertest.NewClock().Now)
	if _, err := m.CreateLedger(ctx, ledger.Ledger{ID: "l", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	eur := func(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }
	for _, c := range []ledger.Command{
		{Kind: ledger.KindOpen, Key: "1", Account: "a", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}},
		{Kind: ledger.KindCredit, Key: "2", Account: "a", Amount: eur(100)},
		{Kind: ledger.KindHold, Key: "3", Account: "a", Amount: eur(30)},
		{Kind: ledger.KindCommit, Key: "4", Target: id.TransactionOf("l", "3"), Amount: eur(10), KeepRest: true},
	} {
		c.Ledger = "l"
		if o, err := ledger.Do(ctx, m, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%s: %s %v", c.Kind, o.Reason, err)
		}
	}
	return m
}

func TestAudit_AcceptsSoundBooks(t *testing.T) {
	if err := ledgertest.Audit(context.Background(), soundBooks(t), "l"); err != nil {
		t.Fatal(err)
	}
}

func TestAudit_FindsEveryKindOfDamage(t *testing.T) {
	one := money.FromInt64(1)
	more := func(a *money.Amount) { *a, _ = a.Add(one) }
	m := soundBooks(t)
	for name, row := range map[string]struct {
		damage damaged
		finds  string
	}{
		"balance of an account":  {damaged{account: func(a *ledger.Account) { more(&a.PostedCredits) }}, "its entries add up to"},
		"pending of an account":  {damaged{account: func(a *ledger.Account) { more(&a.PendingDebits) }}, "its holds have left"},
		"sequence of an account": {damaged{account: func(a *ledger.Account) { a.Sequence++ }}, "at sequence 5"},
		"gap in a statement":     {damaged{drops: 3}, "entry 4 follows entry 2"},
		"end of a statement":     {damaged{drops: 4}, "at sequence 3"},
		"amount of an entry":     {damaged{entry: func(l *ledger.StatementLine) { more(&l.Amount) }}, "has balance"},
		"balance of an entry":    {damaged{entry: func(l *ledger.StatementLine) { more(&l.Balance) }}, "has balance"},
		"pending of an entry":    {damaged{entry: func(l *ledger.StatementLine) { l.PendingDebits = one.Neg() }}, "negative amount pending"},
		"time of an entry":       {damaged{entry: func(l *ledger.StatementLine) { l.RecordedAt = l.RecordedAt.Add(-time.Duration(l.Sequence)) }}, "recorded before"},
		"kind of an entry":       {damaged{entry: func(l *ledger.StatementLine) { l.Kind = ledger.KindPost }}, "its transaction says"},
		"effective time":         {damaged{entry: func(l *ledger.StatementLine) { l.EffectiveAt = time.Time{} }}, "its transaction says"},
		"line of a transaction":  {damaged{record: func(r *ledger.Record) { more(&r.Outcome.Entries[0].Amount) }}, "is off by 1 EUR"},
		"missing line":           {damaged{record: func(r *ledger.Record) { r.Outcome.Entries = r.Outcome.Entries[:1] }}, "its transaction says"},
		"line that stands nowhere": {damaged{record: func(r *ledger.Record) {
			r.Outcome.Entries = append(r.Outcome.Entries, ledger.Entry{Ref: ledger.Ref{Ledger: "l", Account: "a"}})
		}}, "stand in statements"},
		"declined with entries": {damaged{record: func(r *ledger.Record) { r.Outcome.Decided = ledger.Declined }}, "its transaction says"},
		"hold":                  {damaged{record: func(r *ledger.Record) { r.Outcome.Hold = nil }}, "its holds have left"},
		"trial balance":         {damaged{trial: func(l *ledger.TrialLine) { more(&l.PostedDebits) }}, "trial balance of l"},
		"number of accounts":    {damaged{trial: func(l *ledger.TrialLine) { l.Accounts++ }}, "trial balance of l"},
	} {
		t.Run(name, func(t *testing.T) {
			row.damage.Service = m
			err := ledgertest.Audit(context.Background(), row.damage, "l")
			if err == nil || !strings.Contains(err.Error(), row.finds) {
				t.Fatalf("%v, wanted it to say %q", err, row.finds)
			}
		})
	}
}

func TestAudit_SaysWhereItCouldNotRead(t *testing.T) {
	if err := ledgertest.Audit(context.Background(), soundBooks(t), "nowhere"); !errors.Is(err, errs.ErrLedgerNotFound) {
		t.Fatal(err)
	}
}
