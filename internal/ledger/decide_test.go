package ledger_test

import (
	"maps"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

type facts = map[string]string

// declines is every reason to decline, alone and together with a later one, which it hides.
var declines = []struct {
	name    string
	given   commands
	after   time.Duration // from the given commands to the command
	command ledger.Command
	reason  errs.Reason
	detail  facts
}{
	{
		name: "reverse what is not there", command: aim(ledger.KindReverse, "nothing", nil),
		reason: errs.ReasonTransactionNotFound, detail: facts{"transaction_id": id.TransactionOf(brand, "nothing").String()},
	},
	{
		name:    "reverse what another ledger posted",
		given:   commands{open("a"), keyed("t", move(ledger.KindCredit, "a", "", eur(5)))},
		command: ledger.Command{Kind: ledger.KindReverse, Ledger: other, Target: id.TransactionOf(brand, "t")},
		reason:  errs.ReasonTransactionNotFound, detail: facts{"transaction_id": id.TransactionOf(brand, "t").String()},
	},
	{
		name:    "reverse a hold",
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5)))},
		command: aim(ledger.KindReverse, "h", nil),
		reason:  errs.ReasonNotReversible, detail: facts{"kind": "hold", "outcome": "posted"},
	},
	{
		name:    "reverse a reversal",
		given:   commands{open("a"), keyed("t", move(ledger.KindCredit, "a", "", eur(5))), keyed("r", aim(ledger.KindReverse, "t", nil))},
		command: aim(ledger.KindReverse, "r", nil),
		reason:  errs.ReasonNotReversible, detail: facts{"kind": "reverse", "outcome": "posted"},
	},
	{
		name: "reverse twice, on an account that is frozen since",
		given: commands{
			open("a"), keyed("t", move(ledger.KindCredit, "a", "", eur(5))), keyed("r", aim(ledger.KindReverse, "t", nil)), freeze("a", ledger.Frozen),
		},
		command: aim(ledger.KindReverse, "t", nil),
		reason:  errs.ReasonAlreadyReversed, detail: facts{"reversed_by": id.TransactionOf(brand, "r").String()},
	},
	{
		name: "commit what is not there", command: aim(ledger.KindCommit, "nothing", nil),
		reason: errs.ReasonHoldNotFound, detail: facts{"hold_id": id.TransactionOf(brand, "nothing").String()},
	},
	{
		name:    "commit a transfer",
		given:   commands{open("a"), keyed("t", move(ledger.KindCredit, "a", "", eur(5)))},
		command: aim(ledger.KindCommit, "t", nil),
		reason:  errs.ReasonHoldNotFound, detail: facts{"hold_id": id.TransactionOf(brand, "t").String()},
	},
	{
		name: "commit again, when its time is over too", after: 8 * 24 * time.Hour,
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5))), aim(ledger.KindCommit, "h", eur(3))},
		command: aim(ledger.KindCommit, "h", nil),
		reason:  errs.ReasonHoldExhausted, detail: facts{"status": "committed", "captured": "3"},
	},
	{
		name:    "roll back what was rolled back",
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5))), aim(ledger.KindRollback, "h", nil)},
		command: aim(ledger.KindRollback, "h", nil),
		reason:  errs.ReasonHoldExhausted, detail: facts{"status": "rolled_back", "captured": "0"},
	},
	{
		name: "commit at the instant when its time is over, and too much", after: 7 * 24 * time.Hour,
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5)))},
		command: aim(ledger.KindCommit, "h", eur(6)),
		reason:  errs.ReasonHoldExpired, detail: facts{"expired_at": "2025-03-17T12:00:00Z"},
	},
	{
		name:    "roll back what expired",
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5))), aim(ledger.KindExpire, "h", nil)},
		command: aim(ledger.KindRollback, "h", nil),
		reason:  errs.ReasonHoldExpired, detail: facts{"expired_at": "2025-03-17T12:00:00Z"},
	},
	{
		name: "commit more than is left, in another asset, on a frozen account",
		given: commands{
			open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5))),
			{Kind: ledger.KindCommit, Target: id.TransactionOf(brand, "h"), Amount: eur(2), KeepRest: true},
			freeze("a", ledger.Frozen),
		},
		command: aim(ledger.KindCommit, "h", usd(4)),
		reason:  errs.ReasonHoldExceeded, detail: facts{"remaining": "3", "required": "4"},
	},
	{
		name:    "post what does not add up, to accounts that are not there",
		command: post(leg(ledger.Debit, "a", eur(5)), leg(ledger.Credit, "b", eur(4))),
		reason:  errs.ReasonUnbalanced, detail: facts{"ledger": "brand", "asset": "EUR", "difference": "-1"},
	},
	{
		name: "post what adds up over two ledgers alone",
		given: commands{
			open("a"), {Kind: ledger.KindOpen, Ledger: other, Account: "b", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}},
		},
		command: post(leg(ledger.Debit, "a", eur(5)), legIn(other, ledger.Credit, "b", eur(5))),
		reason:  errs.ReasonUnbalanced, detail: facts{"ledger": "brand", "asset": "EUR", "difference": "-5"},
	},
	{
		name:    "post credits beyond all numbers",
		command: post(leg(ledger.Credit, "a", eurOf(greatest)), leg(ledger.Credit, "b", eur(1))),
		reason:  errs.ReasonUnbalanced, detail: facts{"ledger": "brand", "asset": "EUR", "difference": "1" + zeros(38)},
	},
	{
		name:    "debit an account that is not there, of an asset that is not there",
		command: move(ledger.KindDebit, "a", "", &ledger.Money{Minor: eur(5).Minor, Asset: "XXX"}),
		reason:  errs.ReasonAccountNotFound, detail: facts{"ledger": "brand", "account_id": "a"},
	},
	{
		name:    "transfer from another asset to an account that is not there",
		given:   commands{open("a")},
		command: move(ledger.KindTransfer, "a", "b", usd(5)),
		reason:  errs.ReasonAccountNotFound, detail: facts{"ledger": "brand", "account_id": "b"},
	},
	{
		name: "freeze an account that is not there", command: freeze("a", ledger.Frozen),
		reason: errs.ReasonAccountNotFound, detail: facts{"ledger": "brand", "account_id": "a"},
	},
	{
		name:    "open again, with an asset that is not there",
		given:   commands{open("a")},
		command: keyed("again", openAs("a", ledger.Terms{Asset: "XXX"})),
		reason:  errs.ReasonAccountExists, detail: facts{"ledger": "brand", "account_id": "a"},
	},
	{
		name: "open with an asset that is not there", command: openAs("a", ledger.Terms{Asset: "XXX"}),
		reason: errs.ReasonAssetUnknown, detail: facts{"asset": "XXX"},
	},
	{
		name:    "credit an asset that is not there, to an account of another one",
		given:   commands{open("a")},
		command: move(ledger.KindCredit, "a", "", &ledger.Money{Minor: eur(5).Minor, Asset: "XXX"}),
		reason:  errs.ReasonAssetUnknown, detail: facts{"asset": "XXX"},
	},
	{
		name:    "transfer from a closed account to one of another asset",
		given:   commands{open("a"), openAs("b", ledger.Terms{Asset: "USD"}), shut("a")},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonAssetMismatch, detail: facts{"ledger": "brand", "account_id": "b", "account_asset": "USD", "asset": "EUR"},
	},
	{
		name:    "commit in another asset",
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5)))},
		command: aim(ledger.KindCommit, "h", usd(5)),
		reason:  errs.ReasonAssetMismatch, detail: facts{"ledger": "brand", "account_id": "a", "account_asset": "EUR", "asset": "USD"},
	},
	{
		name:    "transfer from a frozen account to a closed one",
		given:   commands{open("a"), open("b"), freeze("a", ledger.Frozen), shut("b")},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonAccountClosed, detail: facts{"ledger": "brand", "account_id": "b"},
	},
	{
		name:    "freeze a closed account",
		given:   commands{open("a"), shut("a")},
		command: freeze("a", ledger.Open),
		reason:  errs.ReasonAccountClosed, detail: facts{"ledger": "brand", "account_id": "a"},
	},
	{
		name:    "debit where debits are frozen, without funds",
		given:   commands{openAs("a", ledger.Terms{Floor: at(0)}), freeze("a", ledger.DebitsFrozen)},
		command: move(ledger.KindDebit, "a", "", eur(5)),
		reason:  errs.ReasonAccountFrozen, detail: facts{"ledger": "brand", "account_id": "a", "status": "debits_frozen"},
	},
	{
		name:    "hold for an account whose credits are frozen",
		given:   commands{open("a"), open("b"), freeze("b", ledger.CreditsFrozen)},
		command: move(ledger.KindHold, "a", "b", eur(5)),
		reason:  errs.ReasonAccountFrozen, detail: facts{"ledger": "brand", "account_id": "b", "status": "credits_frozen"},
	},
	{
		name:    "commit on a frozen account",
		given:   commands{open("a"), keyed("h", move(ledger.KindHold, "a", "", eur(5))), freeze("a", ledger.Frozen)},
		command: aim(ledger.KindCommit, "h", nil),
		reason:  errs.ReasonAccountFrozen, detail: facts{"ledger": "brand", "account_id": "a", "status": "frozen"},
	},
	{
		name:    "close with a hold and a balance",
		given:   commands{open("a"), move(ledger.KindCredit, "a", "", eur(7)), move(ledger.KindHold, "a", "", eur(5))},
		command: shut("a"),
		reason:  errs.ReasonHoldsOpen, detail: facts{"ledger": "brand", "account_id": "a", "incoming": "0", "outgoing": "5"},
	},
	{
		name:    "close with a debt",
		given:   commands{open("a"), move(ledger.KindDebit, "a", "", eur(7))},
		command: shut("a"),
		reason:  errs.ReasonBalanceNotZero, detail: facts{"ledger": "brand", "account_id": "a", "posted": "-7"},
	},
	{
		name: "transfer without funds to an account whose total is full",
		given: commands{
			openAs("a", ledger.Terms{Floor: at(0)}), open("b"), move(ledger.KindCredit, "b", "", eurOf(greatest)),
			move(ledger.KindDebit, "b", "", eurOf(greatest)),
		},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonBalanceOverflow, detail: facts{"ledger": "brand", "account_id": "b"},
	},
	{
		name: "transfer without funds to an account where only balance and holds together are too much",
		given: commands{
			openAs("a", ledger.Terms{Floor: at(0)}), open("b"), open("c"), move(ledger.KindHold, "c", "b", eurOf(greatest)),
		},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonBalanceOverflow, detail: facts{"ledger": "brand", "account_id": "b"},
	},
	{
		name: "transfer between two accounts that overflow, the first by what is available, the second by its total",
		given: commands{
			open("a"), open("b"), move(ledger.KindHold, "a", "", eurOf(greatest)), move(ledger.KindCredit, "b", "", eurOf(greatest)),
		},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonBalanceOverflow, detail: facts{"ledger": "brand", "account_id": "a"},
	},
	{
		name:    "transfer without funds to a full account",
		given:   commands{openAs("a", ledger.Terms{Floor: at(0)}), openAs("b", ledger.Terms{Ceiling: at(3)}), move(ledger.KindCredit, "a", "", eur(4))},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonInsufficientFunds,
		detail:  facts{"ledger": "brand", "account_id": "a", "available": "4", "required": "5", "min_available": "0"},
	},
	{
		name:    "post to a full account from one without funds, which is named later",
		given:   commands{openAs("a", ledger.Terms{Floor: at(0)}), openAs("b", ledger.Terms{Ceiling: at(3)})},
		command: post(leg(ledger.Credit, "b", eur(5)), leg(ledger.Debit, "a", eur(5))),
		reason:  errs.ReasonInsufficientFunds,
		detail:  facts{"ledger": "brand", "account_id": "a", "available": "0", "required": "5", "min_available": "0"},
	},
	{
		name: "hold what another hold has taken",
		given: commands{
			openAs("a", ledger.Terms{Floor: at(-10)}), move(ledger.KindCredit, "a", "", eur(4)), move(ledger.KindHold, "a", "", eur(9)),
		},
		command: move(ledger.KindHold, "a", "", eur(6)),
		reason:  errs.ReasonInsufficientFunds,
		detail:  facts{"ledger": "brand", "account_id": "a", "available": "-5", "required": "6", "min_available": "-10"},
	},
	{
		name:    "transfer more than the account may have, with what is on its way to it",
		given:   commands{open("a"), openAs("b", ledger.Terms{Ceiling: at(10)}), move(ledger.KindHold, "a", "b", eur(6))},
		command: move(ledger.KindTransfer, "a", "b", eur(5)),
		reason:  errs.ReasonCeilingExceeded,
		detail:  facts{"ledger": "brand", "account_id": "b", "balance": "6", "after": "11", "max_balance": "10"},
	},
}

func TestDecide_DeclinesForTheFirstReasonThatHolds(t *testing.T) {
	for _, row := range declines {
		t.Run(row.name, func(t *testing.T) {
			books := given(t, row.given)
			books.Now = noon.Add(row.after)
			command := with(keyed("asked", row.command))[0]
			if err := command.Validate(books.Now); err != nil {
				t.Fatalf("the row is about no command that reaches the books: %v", err)
			}
			d := ledger.Decide(books, command)
			if d.Outcome.Decided != ledger.Declined || d.Outcome.Reason != row.reason || !maps.Equal(d.Outcome.Detail, row.detail) {
				t.Fatalf("%s %s %v, wanted %s %v", d.Outcome.Decided, d.Outcome.Reason, d.Outcome.Detail, row.reason, row.detail)
			}
			if len(d.Accounts) > 0 || d.Hold != nil || len(d.Outcome.Entries) > 0 || d.Outcome.Hold != nil || d.Outcome.Account != nil {
				t.Fatalf("a decline changes nothing, and this one changes %+v", d)
			}
			if again := ledger.Decide(books, command); !maps.Equal(again.Outcome.Detail, row.detail) || again.Outcome.Reason != row.reason {
				t.Fatalf("the same arguments gave %s %v the second time", again.Outcome.Reason, again.Outcome.Detail)
			}
		})
	}
}

func TestDecide_TableHasEveryReasonOfABook(t *testing.T) {
	covered := map[errs.Reason]bool{errs.ReasonBatchDeclined: true} // which is a matter of batches
	for _, row := range declines {
		covered[row.reason] = true
	}
	for _, reason := range errs.Declines {
		if !covered[reason] {
			t.Errorf("no row is declined for %s", reason)
		}
	}
}
