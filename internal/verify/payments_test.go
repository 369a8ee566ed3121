package verify

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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
func payments(t *testing.T, d dbtest.Database) {
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

func TestPayments_EveryDamageIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		payments(t, d)
		conn, err := pgx.Connect(t.Context(), d.AdminURL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		refund, deposit := " WHERE id = "+of("refund"), " WHERE id = "+of("deposit")
		line := func(n string) string { return " WHERE payment_id = " + of("refund") + " AND number = " + n }
		for _, row := range []struct{ what, damage, repair, says string }{
			{"another state", "UPDATE payment SET state = 'settled'" + refund, "UPDATE payment SET state = 'submitted'" + refund, "state is settled"},
			{"a step more", "UPDATE payment SET version = 4" + refund, "UPDATE payment SET version = 3" + refund, "version is 4, and its steps add up to 3"},
			{"an attempt less", "UPDATE payment SET attempts = 3" + refund, "UPDATE payment SET attempts = 4" + refund, "attempts is 3, and its steps add up to 4"},
			{"another player", "UPDATE payment SET player = 'q'" + refund, "UPDATE payment SET player = 'p'" + refund, `of player "q"`},
			{
				"a refund that its deposit does not know", "UPDATE payment SET data = jsonb_set(data, '{totals,refunded}', '\"400\"')" + deposit,
				"UPDATE payment SET data = jsonb_set(data, '{totals,refunded}', '\"500\"')" + deposit, "total refunded is 400, and its steps add up to 500",
			},
			{
				"money that it does not hold", "UPDATE payment SET data = jsonb_set(data, '{holdings,player_pending}', '\"501\"')" + refund,
				"UPDATE payment SET data = jsonb_set(data, '{holdings,player_pending}', '\"500\"')" + refund, "holds 501 on the account, and its entries add up to 500",
			},
			{"another trigger", "UPDATE payment_step SET trigger_name = 'reject'" + line("2"), "UPDATE payment_step SET trigger_name = 'approve'" + line("2"), "reject from"},
			{"a refusal that led somewhere", "UPDATE payment_step SET to_state = 'settled'" + line("3"), "UPDATE payment_step SET to_state = 'approved'" + line("3"), `was refused, and leads from "approved" to "settled"`},
			{"a gap in the history", "UPDATE payment_step SET number = 9" + line("4"), "UPDATE payment_step SET number = 4" + line("9"), "line 9 of the payment's history leads from"},
			{
				"a payment out of nothing", "INSERT INTO payment SELECT home, ledger_id, " + elsewhere + ", kind, state, version, attempts, player, parent, asset, scale, provider, provider_reference, data, opened_at, changed_at FROM payment" + refund,
				"DELETE FROM payment WHERE id = " + elsewhere, "version is 3, and its steps add up to 0",
			},
		} {
			t.Run(row.what, func(t *testing.T) {
				if _, err := conn.Exec(t.Context(), row.damage); err != nil {
					t.Fatal(err)
				}
				report, err := Run(t.Context(), d.DB, Options{page: 3})
				if err != nil {
					t.Fatal(err)
				}
				var said []string
				for _, c := range report.Checks {
					for _, f := range c.Findings {
						if c.Name != "payments" {
							t.Errorf("%s breaks as well: %+v", c.Name, f)
						}
						said = append(said, f.Message)
					}
				}
				if !strings.Contains(strings.Join(said, "\n"), row.says) {
					t.Errorf("found %q, wanted it to say %q", said, row.says)
				}
				if _, err := conn.Exec(t.Context(), row.repair); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}
