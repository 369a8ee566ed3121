package sim

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// damaged are books that show something else than what is in them.
type damaged struct {
	*ledgertest.Model
	transaction func(*ledger.Record)
	statement   func(ledger.Ref, []ledger.StatementLine) []ledger.StatementLine
	accounts    func([]ledger.Account) []ledger.Account
	repeat      func(*ledger.Outcome)
}

func (d damaged) Transaction(ctx context.Context, l id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	r, err := d.Model.Transaction(ctx, l, transaction)
	if d.transaction != nil {
		if d.transaction(&r); r.Outcome.Kind == "" {
			return r, errs.ErrTransactionNotFound
		}
	}
	return r, err
}

func (d damaged) Entries(ctx context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	lines, err := d.Model.Entries(ctx, ref, page)
	if d.statement != nil && len(lines) > 0 {
		lines = d.statement(ref, lines)
	}
	return lines, err
}

func (d damaged) Accounts(ctx context.Context, name id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	all, err := d.Model.Accounts(ctx, name, after, limit)
	if d.accounts != nil {
		all = d.accounts(all)
	}
	return all, err
}

func (d damaged) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	results, err := d.Model.Execute(ctx, b)
	for i := range results {
		if d.repeat != nil {
			d.repeat(&results[i].Outcome)
		}
	}
	return results, err
}

// Each row damages the books after the load, and says which check finds it; the others pass.
func TestJudge_FindsDamageOfTheBooks(t *testing.T) {
	w, model := given(t)
	h := runUntil(t, &w, model, ring(model), Options{Reads: 0.2}, mixed)
	hot := ledger.Ref{Ledger: "brand-eu", Account: "player:1"}
	on := func(change func([]ledger.StatementLine) []ledger.StatementLine) func(ledger.Ref, []ledger.StatementLine) []ledger.StatementLine {
		return func(ref ledger.Ref, lines []ledger.StatementLine) []ledger.StatementLine {
			if ref != hot {
				return lines
			}
			return change(slices.Clone(lines))
		}
	}
	account := func(change func(*ledger.Account)) func([]ledger.Account) []ledger.Account {
		return func(all []ledger.Account) []ledger.Account {
			for i := range all {
				if all[i].Ref == hot {
					change(&all[i])
				}
			}
			return all
		}
	}
	var posted, declined id.Transaction
	for _, c := range h.Calls {
		if c.Outcome.Decided == ledger.Declined {
			declined = c.Outcome.Transaction
		} else {
			posted = c.Outcome.Transaction
		}
	}
	for _, row := range []struct {
		name    string
		books   damaged
		checker string
		want    string
	}{
		{"a posted command is gone", damaged{transaction: func(r *ledger.Record) {
			if r.Outcome.Transaction == posted {
				*r = ledger.Record{}
			}
		}}, "lost_write", "was answered, and is not there"},
		{"a decline is gone", damaged{transaction: func(r *ledger.Record) {
			if r.Outcome.Transaction == declined {
				*r = ledger.Record{}
			}
		}}, "lost_write", "was answered, and is not there"},
		{"a decline stands as posted", damaged{transaction: func(r *ledger.Record) {
			if r.Outcome.Transaction == declined {
				r.Outcome.Decided, r.Outcome.Reason = ledger.Posted, ""
			}
		}}, "lost_write", "stands in the books with another answer: declined"},
		{"an account is gone", damaged{accounts: func(all []ledger.Account) []ledger.Account {
			return slices.DeleteFunc(all, func(a ledger.Account) bool { return a.Ref == hot })
		}}, "double_effect", "brand-eu/player:1 is not there"},
		{"an account of the house is gone", damaged{accounts: func(all []ledger.Account) []ledger.Account {
			return slices.DeleteFunc(all, func(a ledger.Account) bool { return a.Ref.Account == ledger.CounterOf("payout", asset) })
		}}, "double_effect", "is not there"},
		{
			"a unit too much",
			damaged{accounts: account(func(a *ledger.Account) { a.PostedCredits = plus(a.PostedCredits, money.FromInt64(1)) })},
			"double_effect", ", its clients were told ",
		},
		{
			"a hold too much",
			damaged{accounts: account(func(a *ledger.Account) { a.PendingDebits = plus(a.PendingDebits, money.FromInt64(1)) })},
			"double_effect", "its statement says",
		},
		{"a sequence too much", damaged{accounts: account(func(a *ledger.Account) { a.Sequence++ })}, "double_effect", "its statement at"},
		{"an account of nobody has money", damaged{accounts: func(all []ledger.Account) []ledger.Account {
			if len(all) > 0 && all[0].Ref.Ledger == "brand-eu" {
				all = append(all, ledger.Account{Ref: ledger.Ref{Ledger: "brand-eu", Account: "player:2000"}, Balances: balances(3)})
			}
			return all
		}}, "double_effect", "the books could not be read"},
		{
			"a line is gone",
			damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine { return slices.Delete(lines, 1, 2) })},
			"double_effect", "of which the client of",
		},
		{
			"the newest line is gone",
			damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine { return lines[:len(lines)-1] })},
			"double_effect", "of which the client of",
		},
		{"a line is there twice", damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine {
			again := lines[len(lines)-1]
			again.Sequence++
			return append(lines, again)
		})}, "double_effect", "once more, as entry"},
		{"a line of nobody", damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine {
			other := lines[len(lines)-1]
			other.Sequence++
			other.Transaction[0]++
			return append(lines, other)
		})}, "double_effect", "which no client asked for"},
		{"a line of another amount", damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine {
			lines[0].Amount = plus(lines[0].Amount, money.FromInt64(1))
			return lines
		})}, "double_effect", "its client was told"},
		{"two lines have changed places", damaged{statement: on(func(lines []ledger.StatementLine) []ledger.StatementLine {
			lines[0], lines[1] = lines[1], lines[0]
			return lines
		})}, "double_effect", "has entry"},
		{"a repeat is executed as if it were new", damaged{repeat: func(o *ledger.Outcome) { o.Replayed = false }}, "wrong_answer", "as if it were new"},
		{"outcome", repeated(func(o *ledger.Outcome) { o.Decided, o.Reason = ledger.Declined, errs.ReasonAccountClosed }), "wrong_answer", "then declined ACCOUNT_CLOSED"},
		{"transaction", repeated(func(o *ledger.Outcome) { o.Transaction[3]++ }), "wrong_answer", "another answer: transaction"},
		{"recorded time", repeated(func(o *ledger.Outcome) { o.RecordedAt = o.RecordedAt.Add(time.Microsecond) }), "wrong_answer", "another answer: time"},
		{"effective time", repeated(func(o *ledger.Outcome) { o.EffectiveAt = o.EffectiveAt.Add(time.Second) }), "wrong_answer", "another answer: time"},
		{"entries", repeated(func(o *ledger.Outcome) {
			o.Entries = slices.Clone(o.Entries)
			for i := range o.Entries {
				o.Entries[i].Sequence++
			}
		}), "wrong_answer", "another answer: entries"},
		{"detail", repeated(func(o *ledger.Outcome) { o.Detail = map[string]string{"available": "17"} }), "wrong_answer", "another answer: detail"},
		{"hold", repeated(func(o *ledger.Outcome) {
			if o.Hold != nil {
				h := *o.Hold
				h.Captured = money.FromInt64(4711)
				o.Hold = &h
			}
		}), "wrong_answer", "another answer: hold"},
		{"nothing", damaged{}, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.books.Model = model
			want := only(row.checker, row.want)
			if row.checker == "" {
				want = nil
			}
			wantFailed(t, judge(t, h, w, row.books), want)
		})
	}
}

func repeated(change func(*ledger.Outcome)) damaged { return damaged{repeat: change} }
