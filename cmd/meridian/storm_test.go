package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// A provider posts everything about hundreds of payments at one moment, in any order and twice: each payment ends where the provider's script says,
// each event has had its effect once, and the books are proved.
func TestProvider_AfterAStormEveryPaymentIsWhereTheScriptSays(t *testing.T) {
	d := postgres(t)
	file, secret := acmeFile(t, "")
	s := serving(t, d.URL, "--providers", file)
	s.furnish(t)
	profile := simulate.Profile{Seed: 5, Payments: 150, Spread: 5 * time.Second, Step: time.Second, Delay: time.Second, Duplicate: 0.3, Reorder: 0.3, Flood: true, Contradict: 0.05}
	script := simulate.Write(profile, nil)
	payments := rpc.NewPaymentClient(rpc.NewHTTPClient(nil, false), s.URL)
	made, want, disturbed := map[string]id.Transaction{}, map[string]string{}, map[string]bool{}
	for _, e := range script.Events {
		if _, there := made[e.Reference]; !there {
			o, err := payments.Do(t.Context(), ledger.Command{
				Kind: ledger.KindStep, Ledger: "brand-eu", Key: id.Key(e.Payment), Amount: &ledger.Money{Minor: money.FromInt64(e.Amount), Asset: "EUR"},
				Step: &ledger.Step{Payment: "deposit", Trigger: "authorize", Player: id.Player("player-" + e.Payment), Provider: "acme", ProviderReference: e.Reference},
			}, false)
			if err != nil || o.Decided != ledger.Posted {
				t.Fatalf("%+v, %v", o, err)
			}
			made[e.Reference] = o.Transaction
		}
		if state := map[string]string{"payment.authorized": "authorized", "payment.captured": "captured", "payment.settled": "settled", "payment.declined": "voided"}[e.Type]; state != "" {
			want[e.Reference] = state // and a refund is a payment of its own
		}
	}
	for _, p := range script.Postings {
		if e := p.Events[0]; p.Why == simulate.Contradiction {
			disturbed[e.Reference] = true
		}
	}
	out := ok(t, "provider", "simulate", "acme", "--server", s.URL, "--secret-file", secret, "--seed", "5", "--payments", "150", "--duplicate", "0.3", "--reorder", "0.3",
		"--contradict", "0.05", "--flood", "--retry-for", "0s", "--json")
	var report simulate.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Statuses) != 1 || report.Statuses[http.StatusOK] == 0 {
		t.Fatalf("%s: %v", out, err)
	}
	var known []string
	for reference := range made {
		if !disturbed[reference] {
			known = append(known, reference)
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // the tables are in the hands of another process
		const sql = `SELECT count(*) FROM callback WHERE state IN ('received', 'waiting') AND reference = ANY($1)`
		var open int
		if err := d.DB.Reader().QueryRow(t.Context(), sql, known).Scan(&open); err != nil {
			t.Fatal(err)
		}
		if open == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d callbacks are still open", open)
		}
	}
	calm := 0
	for reference, key := range made {
		p, err := payments.Payment(t.Context(), "brand-eu", key)
		if err != nil {
			t.Fatal(err)
		}
		if disturbed[reference] {
			continue
		}
		calm++
		if string(p.State) != want[reference] || p.Attempts != p.Version {
			t.Errorf("%s is %s after %d steps of %d, and the script says %s", reference, p.State, p.Version, p.Attempts, want[reference])
		}
	}
	if calm < 100 || calm == len(made) {
		t.Errorf("%d of %d payments are undisturbed: the profile proves little", calm, len(made))
	}
	t.Logf("%d events of %d payments, %d of them undisturbed: %s", len(script.Posted()), len(made), calm, fmt.Sprint(report.Statuses))
	ok(t, "verify", "--database-url", d.URL)
}
