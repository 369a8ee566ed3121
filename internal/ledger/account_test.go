package ledger_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestStatus_RefusesTheSidesThatItNames(t *testing.T) {
	for status, want := range map[ledger.Status][2]bool{ // debit, credit
		ledger.Open: {false, false}, ledger.DebitsFrozen: {true, false}, ledger.CreditsFrozen: {false, true},
		ledger.Frozen: {true, true}, ledger.Closed: {true, true},
	} {
		if got := [2]bool{status.Refuses(ledger.Debit), status.Refuses(ledger.Credit)}; got != want {
			t.Errorf("%s refuses %v, wanted %v", status, got, want)
		}
	}
}

func TestAccount_NormalSideGivesTheSigns(t *testing.T) {
	a := ledger.Account{Balances: ledger.Balances{
		PostedDebits: money.FromInt64(10), PostedCredits: money.FromInt64(30), PendingDebits: money.FromInt64(4), PendingCredits: money.FromInt64(5),
	}}
	for side, want := range map[ledger.Side][5]int64{ // posted, outgoing, incoming, available, occupied
		ledger.Credit: {20, 4, 5, 16, 25}, ledger.Debit: {-20, 5, 4, -25, -16},
	} {
		a.Normal = side
		available, err := a.Available()
		occupied, err2 := a.Occupied()
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for i, got := range []money.Amount{a.Posted(), a.Outgoing(), a.Incoming(), available, occupied} {
			if got != money.FromInt64(want[i]) {
				t.Errorf("%s-normal: number %d is %s, wanted %d", side, i, got, want[i])
			}
		}
	}
}

func TestHold_RemainsOnlyWhileItIsHeld(t *testing.T) {
	h := ledger.Hold{Amount: money.FromInt64(10), Captured: money.FromInt64(3)}
	for status, want := range map[ledger.HoldStatus]int64{ledger.Held: 7, ledger.Committed: 0, ledger.RolledBack: 0, ledger.Expired: 0} {
		if h.Status = status; h.Remaining() != money.FromInt64(want) {
			t.Errorf("%s: %s remains, wanted %d", status, h.Remaining(), want)
		}
	}
}

func TestEntry_SideIsThatOfItsAmount(t *testing.T) {
	for n, want := range map[int64]ledger.Side{-1: ledger.Debit, 0: 0, 1: ledger.Credit} {
		if got := (ledger.Entry{Amount: money.FromInt64(n)}).Side(); got != want {
			t.Errorf("%d is a %s, wanted %s", n, got, want)
		}
	}
}

func TestSide_TextIsOneOfTwoWords(t *testing.T) {
	for _, side := range []ledger.Side{ledger.Debit, ledger.Credit} {
		text, err := json.Marshal(side)
		var again ledger.Side
		if err != nil || json.Unmarshal(text, &again) != nil || again != side {
			t.Errorf("%s became %s and then %s", side, text, again)
		}
	}
	var side ledger.Side
	if err := side.UnmarshalText([]byte("left")); err == nil {
		t.Error("left is a side")
	}
}

func TestPriority_SettlingComesBeforeMovingBeforeTheRest(t *testing.T) {
	for kind, want := range map[ledger.Kind]ledger.Priority{
		ledger.KindCommit: ledger.Settling, ledger.KindRollback: ledger.Settling, ledger.KindExpire: ledger.Settling, ledger.KindReverse: ledger.Settling,
		ledger.KindDebit: ledger.Moving, ledger.KindCredit: ledger.Moving, ledger.KindTransfer: ledger.Moving, ledger.KindPost: ledger.Moving,
		ledger.KindHold: ledger.Moving, ledger.KindOpen: ledger.Other, ledger.KindUpdate: ledger.Other, ledger.KindFreeze: ledger.Other,
		ledger.KindClose: ledger.Other,
	} {
		if got := kind.Priority(); got != want {
			t.Errorf("%s has priority %d, wanted %d", kind, got, want)
		}
	}
}

func TestOutcome_ReceiptNamesTransactionAndLine(t *testing.T) {
	o := ledger.Outcome{Transaction: with(open("a"))[0].ID()}
	if got, want := o.EntryID(1), o.Transaction.String()+".2"; got != want {
		t.Errorf("receipt %s, wanted %s", got, want)
	}
}

func TestDo_PassesOnWhatTheServiceSays(t *testing.T) {
	model := ledgertest.NewModel(ledgertest.NewClock().Now)
	if _, err := ledger.Do(context.Background(), model, with(open("a"))[0]); errs.Of(err).Reason != errs.ReasonLedgerNotFound {
		t.Errorf("error %v", err)
	}
}
