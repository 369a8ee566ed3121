package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/payment"
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
