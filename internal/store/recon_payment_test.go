package store_test

import (
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/recon"
)

// Payments meet the lines of their provider by its reference, each result names its payment, and plain commands stand among them in the same order.
func TestRecon_PaymentsMeetTheLinesOfTheirProvider(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		deposit := func(reference, provider string, minor int64) id.Transaction {
			o := r.do(t, ledger.Command{
				Kind: ledger.KindStep, Ledger: "brand", Key: id.Key("d-" + reference + provider), Amount: &ledger.Money{Minor: money.FromInt64(minor), Asset: "EUR"}, EffectiveAt: r.day,
				Step: &ledger.Step{Payment: payment.Deposit, Trigger: "authorize", Player: "p", Provider: provider, ProviderReference: reference},
			})
			return o.Transaction
		}
		step := func(of id.Transaction, on ledger.Trigger, minor int64) {
			c := ledger.Command{
				Kind: ledger.KindStep, Ledger: "brand", Key: id.Key(string(on) + of.String() + money.FromInt64(minor).String()), Target: of, EffectiveAt: r.day,
				Step: &ledger.Step{Payment: payment.Deposit, Trigger: on},
			}
			if minor > 0 {
				c.Amount = &ledger.Money{Minor: money.FromInt64(minor), Asset: "EUR"}
			}
			r.do(t, c)
		}
		whole, parts, lone, elsewhere := deposit("b1", "psp", 1000), deposit("b2", "psp", 500), deposit("b3", "psp", 700), deposit("b1", "other", 1000)
		step(whole, "capture", 0)
		step(whole, "settle", 0) // a part of a payout
		step(parts, "capture", 200)
		step(parts, "capture", 300)
		step(lone, "capture", 0)
		step(elsewhere, "capture", 0)
		deposit("b4", "psp", 900) // moves nothing yet
		r.do(t, ledger.Command{
			Kind: ledger.KindDebit, Ledger: "brand", Key: "plain", Account: "psp:clearing", Counter: "suspense", Reference: "b0", EffectiveAt: r.day,
			Amount: &ledger.Money{Minor: money.FromInt64(50), Asset: "EUR"},
		})
		r.load(t, r.statement("b0 0.50 0", "b1 10.00 0", "b2 5.00 0"))
		_, _, found := r.run(t, time.Now())
		got := map[id.Transaction][]recon.Verdict{}
		for _, one := range found {
			if one.Book != nil {
				got[one.Book.Payment] = append(got[one.Book.Payment], one.Verdict)
			}
		}
		for key, want := range map[id.Transaction][]recon.Verdict{
			{}: {recon.Matched}, whole: {recon.Matched}, parts: {recon.Matched, recon.Matched}, lone: {recon.MissingThere},
		} {
			if len(got[key]) != len(want) || got[key][0] != want[0] {
				t.Errorf("payment %s: %v, want %v", key, got[key], want)
			}
		}
		if len(got) != 4 {
			t.Errorf("results of %d payments: %v", len(got), got)
		}
	})
}
