package event

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// told is what an event says of itself: its type, its key and whose order it keeps.
func told(e Event) string {
	var order []string
	for _, ref := range e.Accounts() {
		order = append(order, ref.String())
	}
	return fmt.Sprintf("%s %s [%s]", e.Type(), e.Key(), strings.Join(order, " "))
}

func TestEvent_SaysWhatItIsAbout(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	fund := b.do(ledger.Command{Kind: ledger.KindCredit, Key: "fund", Account: "acc_42", Amount: eur(1000)})
	twice := b.do(ledger.Command{Kind: ledger.KindCredit, Key: "twice", Account: "acc_42", Amount: eur(1000)})
	undone := b.do(ledger.Command{Kind: ledger.KindReverse, Key: "undone", Target: twice.Record.Outcome.Transaction})
	b.do(ledger.Command{Kind: ledger.KindCredit, Key: "fees", Account: "acc_43", Amount: eur(5), Reason: "fee"})
	hold := b.do(ledger.Command{Kind: ledger.KindHold, Key: "hold", Account: "acc_42", Amount: eur(10), Reason: "bet"})
	fee := b.do(ledger.Command{Kind: ledger.KindHold, Key: "fee", Account: "counter:fee:EUR", Amount: eur(1), Reason: "bet"})
	target := hold.Record.Outcome.Transaction
	for _, row := range []struct {
		what string
		e    Event
		want string
	}{
		{"credit", fund, "wallet.credit.committed brand-eu/acc_42 [brand-eu/acc_42]"},
		{"reversal", undone, "transaction.reversed brand-eu/acc_42 [brand-eu/acc_42]"},
		{"hold", hold, "hold.created brand-eu/acc_42 [brand-eu/acc_42]"},
		{"commit", b.do(ledger.Command{Kind: ledger.KindCommit, Key: "commit", Target: target}), "hold.committed brand-eu/acc_42 [brand-eu/acc_42]"},
		{
			"commit of a hold on a counter account", b.do(ledger.Command{Kind: ledger.KindCommit, Key: "0", Target: fee.Record.Outcome.Transaction}),
			"hold.committed brand-eu/counter:fee:EUR [brand-eu/counter:fee:EUR]",
		},
		{
			"debit to a counter account by default", b.do(ledger.Command{Kind: ledger.KindDebit, Key: "1", Account: "acc_42", Amount: eur(1), Reason: "bet"}),
			"wallet.debit.committed brand-eu/acc_42 [brand-eu/acc_42]",
		},
		{
			"debit to the same one by name", b.do(ledger.Command{Kind: ledger.KindDebit, Key: "2", Account: "acc_42", Counter: "counter:bet:EUR", Amount: eur(1)}),
			"wallet.debit.committed brand-eu/acc_42 [brand-eu/acc_42 brand-eu/counter:bet:EUR]",
		},
		{
			"debit of the counter account", b.do(ledger.Command{Kind: ledger.KindDebit, Key: "3", Account: "counter:bet:EUR", Amount: eur(1)}),
			"wallet.debit.committed brand-eu/counter:bet:EUR [brand-eu/counter:bet:EUR]",
		},
		{
			"transfer", b.do(ledger.Command{Kind: ledger.KindTransfer, Key: "4", Account: "acc_42", Counter: "acc_43", Amount: eur(1)}),
			"transaction.posted brand-eu/acc_42 [brand-eu/acc_42 brand-eu/acc_43]",
		},
		{
			"declined reversal", b.do(ledger.Command{Kind: ledger.KindReverse, Key: "5", Target: fund.Record.Outcome.Transaction}),
			"transaction.declined brand-eu/acc_42 [brand-eu/acc_42]",
		},
		{"post across homes", b.across(), "transaction.posted brand-eu/acc_42 [brand-eu/acc_42 brand-eu/clearing brand-us/clearing-us brand-us/acc_us]"},
		{
			"declined debit", b.do(ledger.Command{Kind: ledger.KindDebit, Key: "6", Account: "acc_43", Counter: "acc_42", Amount: eur(9000)}),
			"transaction.declined brand-eu/acc_43 [brand-eu/acc_43]",
		},
		{
			"freeze", b.do(ledger.Command{Kind: ledger.KindFreeze, Key: "7", Account: "acc_43", Status: ledger.CreditsFrozen}),
			"account.frozen brand-eu/acc_43 [brand-eu/acc_43]",
		},
		{"thaw", b.do(ledger.Command{Kind: ledger.KindFreeze, Key: "8", Account: "acc_43", Status: ledger.Open}), "account.unfrozen brand-eu/acc_43 [brand-eu/acc_43]"},
	} {
		if got := told(row.e); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}

func TestEvent_WithoutAnAccountIsAboutItself(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	nothing := id.TransactionOf("brand-eu", "nothing")
	for _, e := range []Event{
		b.do(ledger.Command{Kind: ledger.KindCommit, Key: "1", Target: nothing}),
		b.do(ledger.Command{Kind: ledger.KindReverse, Key: "2", Target: nothing}),
		b.do(ledger.Command{Kind: ledger.KindPost, Key: "3", Legs: []ledger.Leg{ // all of it in another ledger
			{Ledger: "brand-us", Account: "clearing-us", Side: ledger.Debit, Amount: *eur(1)},
			{Ledger: "brand-us", Account: "acc_us", Side: ledger.Credit, Amount: *eur(1)},
		}}),
		{Home: "eu", Test: true, Record: ledger.Record{Outcome: ledger.Outcome{Transaction: nothing}}},
	} {
		if ref, ok := e.Account(); ok || e.Key() != e.ID() || e.Subject() != e.ID() {
			t.Errorf("%s is about %s: key %s, subject %s", e.Type(), ref, e.Key(), e.Subject())
		}
	}
}

func TestAccounts_OfCounterAccountsAlone(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	b.do(ledger.Command{Kind: ledger.KindCredit, Key: "1", Account: "acc_42", Amount: eur(100), Reason: "deposit"})
	moved := b.do(ledger.Command{Kind: ledger.KindCredit, Key: "2", Account: "counter:deposit:EUR", Amount: eur(1), Reason: "fee"})
	undone := b.do(ledger.Command{Kind: ledger.KindReverse, Key: "3", Target: moved.Record.Outcome.Transaction})
	if got, want := told(undone), "transaction.reversed brand-eu/counter:deposit:EUR [brand-eu/counter:deposit:EUR brand-eu/counter:fee:EUR]"; got != want {
		t.Errorf("%s, want %s: an event keeps some order", got, want)
	}
}

func TestAccounts_OfManyEntriesEachOnce(t *testing.T) {
	var e Event
	e.Record.Outcome.Ledger = "brand-eu"
	for i := range 40 {
		e.Record.Outcome.Entries = append(e.Record.Outcome.Entries, ledger.Entry{
			Ref: ledger.Ref{Ledger: "brand-eu", Account: id.Account(fmt.Sprintf("acc_%d", i%20))}, Sequence: int64(i + 1),
		})
	}
	got := e.Accounts()
	if len(got) != 20 || got[0].Account != "acc_0" || got[19].Account != "acc_19" {
		t.Errorf("%v", got)
	}
}

func TestIsCounterName_KnowsWhatTheLedgerMakes(t *testing.T) {
	for _, reason := range []id.Reason{"", "fee", "a:b:c", "payout/eu"} {
		if name := ledger.CounterOf(reason, "EUR"); !isCounterName(name) {
			t.Errorf("%s is taken for a customer", name)
		}
	}
	for _, name := range []id.Account{"acc_42", "counter", "counter:", "counter:fee", "counter:fee:", "counter:fee:eur", "counter::EUR", "xcounter:fee:EUR"} {
		if isCounterName(name) {
			t.Errorf("%s is taken for a counter account", name)
		}
	}
}
