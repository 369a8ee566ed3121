package importer

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares a text with a file under testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", path, got)
	}
}

func TestRun_NamesEachKindOfBadRowAndGoesOn(t *testing.T) {
	data, err := os.ReadFile("testdata/rejections.csv")
	if err != nil {
		t.Fatal(err)
	}
	clock := ledgertest.NewClock()
	svc := ledgertest.NewModel(clock.Now)
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: bank, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "JPY"}}}); err != nil {
		t.Fatal(err)
	}
	freeze(t, svc, "customer:frozen")
	var report strings.Builder
	lines := strings.SplitAfter(string(data), "\n")
	imported := func() Summary {
		report.Reset()
		s, err := Run(t.Context(), svc, mapping(t, "testdata/rejections.yaml"), bytes.NewReader(data), Options{Ledger: bank, Reject: func(r Rejected) {
			report.WriteString(r.String() + "\n")
			if physical := strings.TrimRight(strings.Join(lines[r.Line-1:r.Last], ""), "\r\n"); r.Row != physical {
				t.Errorf("line %d is %q, and the rejection has %q", r.Line, physical, r.Row)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := imported()
	golden(t, "testdata/rejections.golden", report.String())
	if s.Posted != 2 || s.Replayed != 1 || s.Skipped != 1 || s.Line != len(lines)-1 {
		t.Errorf("%+v; want both rows posted that say so, and one of them repeated", s)
	}
	anna, err := svc.Account(t.Context(), ledger.Ref{Ledger: bank, Account: "customer:anna"}, clock.Now())
	if err != nil || anna.Posted() != money.FromInt64(7500) {
		t.Errorf("anna has %s, %v; want 75.00", anna.Posted(), err)
	}
	first := report.String()
	again := imported()
	if again.Posted != 0 || again.Replayed != 3 || again.Rejected != s.Rejected {
		t.Errorf("the second run: %+v", again)
	}
	if told := strings.ReplaceAll(report.String(), "declined it in an earlier run", "declined it"); told != first {
		t.Errorf("the second run tells another story:\n%s", told)
	}
}

func freeze(t *testing.T, svc ledger.Service, account id.Account) {
	t.Helper()
	for _, c := range []ledger.Command{
		{Kind: ledger.KindOpen, Ledger: bank, Key: "open", Account: account, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}},
		{Kind: ledger.KindFreeze, Ledger: bank, Key: "freeze", Account: account, Status: ledger.Frozen},
	} {
		if o, err := ledger.Do(t.Context(), svc, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%+v, %v", o, err)
		}
	}
}
