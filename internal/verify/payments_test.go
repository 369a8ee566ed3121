package verify

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/store"
)

// payments tells the story of a deposit that is refunded in part, and of a withdrawal that is asked for in the wrong order.
func payments(t *testing.T, d dbtest.Database) writer {
	t.Helper()
	s := store.New(d.DB)
	w := writer{t: t, service: service{Store: s, Committer: commit.New(s, commit.Options{Lifecycle: payment.Default().Lifecycle()})}}
	if _, err := w.CreateLedger(t.Context(), ledger.Ledger{ID: euBooks, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	step := func(key id.Key, kind ledger.PaymentKind, on ledger.Trigger, target, parent id.Key, want errs.Reason) {
		t.Helper()
		c := ledger.Command{Kind: ledger.KindStep, Key: key, Step: &ledger.Step{Payment: kind, Trigger: on, Actor: "worker"}}
		if target != "" {
			c.Target = tx(target)
		} else {
			c.Amount, c.Step.Player, c.Step.Provider = eur(500), "p", "psp"
		}
		if parent != "" {
			c.Step.Parent = tx(parent)
		}
		w.do(c, want)
	}
	step("deposit", "deposit", "receive", "", "", "")
	step("refund", "refund", "request", "", "deposit", "")
	step("fee", "commission", "charge", "", "", errs.ReasonInsufficientFunds)
	step("refund/approve", "refund", "approve", "refund", "", "")
	step("refund/settle", "refund", "settle", "refund", "", errs.ReasonTransitionRefused)
	step("refund/submit", "refund", "submit", "refund", "", "")
	w.do(ledger.Command{Kind: ledger.KindPlayer, Key: "player", Player: &ledger.PlayerChange{Player: "p", KYC: ledger.KYCVerified}}, "")
	return w
}

func TestPayments_AreProved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		payments(t, d)
		report, err := Run(t.Context(), d.DB, Options{page: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range report.Checks {
			if !c.OK() {
				t.Errorf("%s: %v", c.Name, c.Findings)
			}
			if c.Name == "payments" && c.Rows != 2+6+5 {
				t.Errorf("%d rows were held against %q", c.Rows, c.Promise)
			}
		}
	})
}

var damagedPayments = func() []damage {
	refund, deposit := " WHERE id = "+of("refund"), " WHERE id = "+of("deposit")
	line := func(n string) string { return " WHERE payment_id = " + of("refund") + " AND number = " + n }
	const pending = id.Account("player:p:pending:EUR")
	return []damage{
		{
			what: "another state", sql: rows("UPDATE payment SET state = 'approved'" + refund),
			check: "payments", tx: "refund", says: "state is approved",
		}, {
			what: "it has ended with money set aside", sql: rows("UPDATE payment SET state = 'settled'" + refund),
			check: "payments", tx: "refund", says: "state is settled", also: []string{"holdings"},
		}, {
			what: "a step more", sql: rows("UPDATE payment SET version = 4" + refund),
			check: "payments", tx: "refund", says: "version is 4, and its steps add up to 3",
		}, {
			what: "an attempt less", sql: rows("UPDATE payment SET attempts = 3" + refund),
			check: "payments", tx: "refund", says: "attempts is 3, and its steps add up to 4",
		}, {
			what: "another player", sql: rows("UPDATE payment SET player = 'q'" + refund),
			check: "payments", tx: "refund", says: `of player "q"`,
		}, {
			what: "a refund that its deposit does not know", sql: rows("UPDATE payment SET data = jsonb_set(data, '{totals,refunded}', '\"400\"')" + deposit),
			check: "payments", tx: "deposit", says: "total refunded is 400, and its steps add up to 500",
		}, {
			what: "money that it does not hold", sql: rows("UPDATE payment SET data = jsonb_set(data, '{holdings,player_pending}', '\"501\"')" + refund),
			check: "payments", tx: "refund", says: "holds 501 on the account, and its entries add up to 500", also: []string{"holdings"},
		}, {
			what: "money that it holds no more", sql: rows("UPDATE payment SET data = jsonb_set(data, '{holdings,player_pending}', '\"499\"')" + refund),
			check: "holdings", account: pending, says: "payments hold 499 here, and their steps moved 500", also: []string{"payments"},
		}, {
			what: "money that was taken twice", sql: rows("UPDATE payment SET data = jsonb_set(data, '{holdings,player_pending}', '\"-500\"')" + refund),
			check: "holdings", account: pending, tx: "refund", says: "took 500 more from its pending account than it put there", also: []string{"payments"},
		}, {
			what: "data that is no data", sql: rows("UPDATE payment SET data = '[]'" + refund),
			check: "payments", tx: "refund", says: "can not be read", also: []string{"holdings"},
		}, {
			what: "a payment is gone", sql: rows("DELETE FROM payment" + refund),
			check: "payments", tx: "refund", says: "version is 0, and its steps add up to 3", also: []string{"holdings"},
		}, {
			what: "a payment is gone with its history", sql: rows("DELETE FROM payment"+refund, "DELETE FROM payment_step WHERE payment_id = "+of("refund")),
			check: "holdings", account: pending, says: "payments hold 0 here, and their steps moved 500", also: []string{"payments"},
		}, {
			what: "a payment moved away", sql: rows("UPDATE payment SET home = 'apac'" + refund),
			check: "homes", tx: "refund",
		}, {
			what: "a history moved away", sql: rows("UPDATE payment_step SET home = 'apac' WHERE payment_id = " + of("refund")),
			check: "homes", tx: "refund",
		}, {
			what: "another trigger", sql: rows("UPDATE payment_step SET trigger_name = 'reject'" + line("2")),
			check: "payments", tx: "refund", says: "reject from",
		}, {
			what: "a refusal that led somewhere", sql: rows("UPDATE payment_step SET to_state = 'settled'" + line("3")),
			check: "payments", tx: "refund", says: `was refused, and leads from "approved" to "settled"`,
		}, {
			what: "a gap in the history", sql: rows("UPDATE payment_step SET number = 9" + line("4")),
			check: "payments", tx: "refund", says: "line 9 of the payment's history leads from",
		}, {
			what: "an accepted step without its line", sql: rows("DELETE FROM payment_step" + line("4")),
			check: "payments", tx: "refund", says: "line 4 of the payment's history is missing",
		}, {
			what: "a line without its step", sql: rows("DELETE FROM journal WHERE id = " + of("refund/settle")),
			check: "payments", tx: "refund", says: "line 3 of the payment's history is not in the journal",
		}, {
			what: "an entry stands under another account", sql: rows("UPDATE entry SET account_id = 'zzz' WHERE transaction_id = " + of("refund") + " AND account_id = '" + string(pending) + "'"),
			check: "holdings", account: pending, says: "payments hold 500 here, and their steps moved 0", also: []string{"balanced", "balances", "sequences", "journal"},
		}, {
			what: "a step is no step", sql: rows(
				"UPDATE journal SET kind = 'post' WHERE id = "+of("refund"), "UPDATE entry SET kind = 'post' WHERE transaction_id = "+of("refund")),
			check: "holdings", account: pending, says: "payments hold 500 here, and their steps moved 0", also: []string{"payments", "keys"},
		}, {
			what: "a payment out of nothing", sql: rows("INSERT INTO payment SELECT home, ledger_id, " + elsewhere +
				", kind, state, version, attempts, player, parent, asset, scale, provider, provider_reference, data, opened_at, changed_at FROM payment" + refund),
			check: "payments", id: must("00000000-0000-8000-8000-00000000dead"), says: "version is 3, and its steps add up to 0", also: []string{"holdings"},
		},
	}
}()

func TestPayments_EveryDamageIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		payments(t, d)
		v := openVandal(t, d)
		for _, c := range damagedPayments {
			t.Run(c.what, func(t *testing.T) {
				defer v.mend(t)
				v.exec(t, c.sql...)
				c.wantFound(t, verified(t, d.DB, Options{page: 3}))
			})
		}
		wantClean(t, verified(t, d.DB, Options{}))
	})
}

// A client may move money wherever an account lets it: what waits for a payment is no payment's then.
func TestPayments_NothingElseMovesWhatWaits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := payments(t, d)
		w.posts(ledger.Command{Kind: ledger.KindCredit, Key: "gift", Account: "player:p:cash:EUR", Amount: eur(70)})
		wantClean(t, verified(t, d.DB, Options{page: 2})) // cash is not what waits
		w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "astray", Account: "player:p:cash:EUR", Counter: "player:p:pending:EUR", Amount: eur(70)})
		damage{
			check: "holdings", account: "player:p:pending:EUR", says: "their steps make it 500, and all entries make it 570",
		}.wantFound(t, verified(t, d.DB, Options{page: 2}))
		w.posts(ledger.Command{Kind: ledger.KindReverse, Key: "astray/undo", Target: tx("astray")})
		wantClean(t, verified(t, d.DB, Options{page: 2}))
	})
}
