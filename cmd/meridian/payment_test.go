package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// The types of events name every kind of payment and every state of it, and nothing else.
func TestPaymentEvents_AreThoseOfTheTables(t *testing.T) {
	if len(event.Payments) != len(payment.Tables) {
		t.Errorf("%d kinds of events, %d tables", len(event.Payments), len(payment.Tables))
	}
	for i, table := range payment.Tables {
		told, states := event.Payments[i], table.States()
		slices.Sort(states)
		if named := slices.Sorted(slices.Values(told.States)); told.Kind != table.Kind || !slices.Equal(named, states) {
			t.Errorf("events of %s know %v, the table of %s has %v", told.Kind, named, table.Kind, states)
		}
		for _, s := range states {
			if _, err := event.ParseType(string(event.PaymentType(table.Kind, s))); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := event.ParseType("payment.withdrawal.*"); err != nil {
		t.Error(err)
	}
}

func TestOpenChart_ProvesItBeforeAnythingIsServed(t *testing.T) {
	if c, err := openChart(""); err != nil || c.Name != "default" {
		t.Errorf("%v %v", c, err)
	}
	file := filepath.Join(t.TempDir(), "chart.yaml")
	if _, err := openChart(file); err == nil || !strings.Contains(err.Error(), "read the chart of payments") {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("name: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openChart(file); err == nil || !strings.Contains(err.Error(), "a chart has no rounding") {
		t.Error(err)
	}
}

func TestPayment_ATerminalTellsWhereMoneyStands(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t)
	at := []string{"--ledger", "brand-eu", "--server", s.URL}
	with := func(args ...string) []string { return append(args, at...) }
	ok(t, with("player", "update", "p7", "--kyc", "verified", "--limit", "deposit/day/100000/EUR", "--cause", "case-12")...)
	var made stepView
	made.read(t, ok(t, with("payment", "create", "deposit", "authorize", "5000", "EUR", "--player", "p7", "--provider", "acme", "--provider-reference", "ch_81", "--key", "k", "--json")...))
	if made.To != "authorized" || made.Payment != made.Transaction || made.Replayed {
		t.Errorf("%+v", made)
	}
	out := ok(t, with("payment", "step", made.Payment, "deposit", "capture", "4000", "EUR")...)
	if !strings.Contains(out, "capture: authorized → partially_captured") {
		t.Error(out)
	}
	if r := meridian(t, with("payment", "step", made.Payment, "deposit", "settle")...); r.code != 2 || !strings.Contains(r.stdout, "TRANSITION_REFUSED") {
		t.Errorf("%s", r)
	}
	refused(t, meridian(t, with("payment", "step", made.Payment, "deposit", "capture", "5")...), "an amount comes with its asset")
	shown := ok(t, with("payment", "show", made.Payment)...)
	for _, want := range []string{"is partially_captured", "captured ", "40.00 EUR", "settle", "TRANSITION_REFUSED", "ch_81"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in %s", want, shown)
		}
	}
	for _, by := range [][]string{{"--player", "p7"}, {"--kind", "deposit", "--state", "partially_captured"}, {"--provider", "acme", "--provider-reference", "ch_81"}} {
		if out := ok(t, with(append([]string{"payment", "list"}, by...)...)...); strings.Count(out, "\n") != 1 || !strings.Contains(out, made.Payment) {
			t.Errorf("%v: %s", by, out)
		}
	}
	refused(t, meridian(t, with("payment", "list")...), "--kind and --state")
	if out := ok(t, with("payment", "stuck", "--older-than", "1h")...); out != "" {
		t.Errorf("what moved just now is stuck: %s", out)
	}
	ok(t, with("player", "update", "p7", "--aml", "flagged")...)
	held := ok(t, with("payment", "create", "withdrawal", "request", "1000", "EUR", "--player", "p7", "--provider", "acme")...)
	if !strings.Contains(held, "→ under_review") || !strings.Contains(held, "aml") {
		t.Error(held)
	}
	still := ok(t, with("payment", "stuck", "--older-than", "0s")...)
	if !strings.Contains(still, "who may capture, void, expire") || !strings.Contains(still, "compliance (aml") || strings.Count(still, "\n") != 2 {
		t.Errorf("stuck: %s", still)
	}
	if oldest := ok(t, with("payment", "stuck", "--older-than", "0s", "--limit", "1")...); strings.Count(oldest, "\n") != 1 || !strings.HasPrefix(oldest, made.Payment) {
		t.Errorf("the one that stands still for the longest: %s", oldest)
	}
	player := ok(t, with("player", "show", "p7")...)
	for _, want := range []string{"kyc verified", "aml flagged", "limit  deposit", "used   deposit"} {
		if !strings.Contains(player, want) {
			t.Errorf("no %q in %s", want, player)
		}
	}
	if out := ok(t, with("player", "show", "p7", "--json")...); !strings.Contains(out, `"kyc": "verified"`) {
		t.Error(out)
	}
}

// A withdrawal that was refused has no history; it is listed among what was refused all the same, with what was asked.
func TestPayment_AFirstStepThatWasRefusedIsListed(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t)
	at := []string{"--ledger", "brand-eu", "--server", s.URL}
	if r := meridian(t, append([]string{"payment", "create", "withdrawal", "request", "9000", "EUR", "--player", "p7", "--provider", "acme", "--key", "never"}, at...)...); r.code != 2 {
		t.Fatalf("%s", r)
	}
	list := append([]string{"transaction", "search", "--kind", "step", "--status", "declined"}, at...)
	out := ""
	for deadline := time.Now().Add(20 * time.Second); out == "" && time.Now().Before(deadline); { // the model follows the journal
		out = ok(t, list...)
	}
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "withdrawal request declined insufficient_funds") {
		t.Errorf("listed is %q", out)
	}
}

func (v *stepView) read(t *testing.T, text string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err, text)
	}
}

// A server sends expire to an authorization whose time is over, as the chart in the binary says.
func TestServe_ExpiresAuthorizations(t *testing.T) {
	d := postgres(t)
	s := serving(t, d.URL)
	s.furnish(t)
	payments := rpc.NewPaymentClient(rpc.NewHTTPClient(nil, false), s.URL)
	o, err := payments.Do(t.Context(), ledger.Command{
		Kind: ledger.KindStep, Ledger: "brand-eu", Key: "auth", Amount: &ledger.Money{Minor: money.FromInt64(1000), Asset: "EUR"},
		Step: &ledger.Step{Payment: payment.Deposit, Trigger: "authorize", Player: "p7"},
	}, false)
	if err != nil || o.Decided != ledger.Posted {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := d.DB.Reader().Exec(t.Context(), `UPDATE payment SET opened_at = opened_at - INTERVAL '8 days'`); err != nil {
		t.Fatal(err)
	}
	ctx, stop := contextUntil(t, func() bool {
		p, err := payments.Payment(t.Context(), "brand-eu", o.Transaction)
		return err == nil && p.State == "expired"
	})
	defer stop()
	if <-ctx.Done(); errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("after a minute it is not expired")
	}
}
