package eventtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
)

func TestCheck_AcceptsTheExamplesAndRefusesWhatDiffers(t *testing.T) {
	examples := "../../../docs/events/examples"
	files, err := filepath.Glob(filepath.Join(examples, "*.json"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d examples in %s (%v)", len(files), examples, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := eventtest.Check(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	debit, err := os.ReadFile(filepath.Join(examples, "wallet.debit.committed.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ what, from, to, says string }{
		{"no JSON", `{`, ``, "no JSON"},
		{"another version of CloudEvents", `"specversion": "1.0"`, `"specversion": "0.3"`, "specversion"},
		{"no id", `"id": "050b0c82-502a-89b9-8178-b6102169a7e1",`, ``, "id"},
		{"an id that is no UUID", `"id": "050b0c82-502a-89b9-8178-b6102169a7e1"`, `"id": "7"`, "id"},
		{"a short sequence", `"sequence": "0000`, `"sequence": "`, "sequence"},
		{"an attribute that nobody knows", `"specversion"`, `"colour": "red", "specversion"`, "colour"},
		{"an unknown schema", `schema:wallet.debit.committed:v1`, `schema:wallet.debit.imagined:v1`, "there is no schema"},
		{"the schema of another type", `schema:wallet.debit.committed:v1`, `schema:wallet.credit.committed:v1`, "event_type"},
		{"no time", `"time": "2025-03-10T09:00:10.5Z"`, `"time": "yesterday"`, "time"},
		{"an amount that is a number", `"amount_minor": "5000"`, `"amount_minor": 5000`, "amount_minor"},
		{"a negative amount", `"amount_minor": "5000"`, `"amount_minor": "-5000"`, "amount_minor"},
		{"an amount with a point", `"amount_minor": "5000"`, `"amount_minor": "50.00"`, "amount_minor"},
		{"a balance of 40 digits", `"balance": "15000"`, `"balance": "` + strings.Repeat("1", 40) + `"`, "balance"},
		{"no currency", `"currency": "EUR",`, ``, "currency"},
		{"no entries", `"entries": [`, `"lines": [`, "entries"},
		{"a field that nobody knows", `"kind": "debit"`, `"kind": "debit", "mood": "good"`, "mood"},
		{"an entry with a field that nobody knows", `"side": "debit"`, `"side": "debit", "mood": "good"`, "mood"},
		{"a third side", `"side": "debit"`, `"side": "left"`, "side"},
		{"metadata that is no text", `"channel": "web"`, `"channel": 7`, "metadata"},
		{"two ids", `"event_id": "0`, `"event_id": "1`, "attribute id"},
		{"two accounts", `"account": "acc_42"`, `"account": "acc_43"`, "attribute account"},
	} {
		changed := strings.Replace(string(debit), row.from, row.to, 1)
		if changed == string(debit) {
			t.Fatalf("%s: nothing changed", row.what)
		}
		if err := eventtest.Check([]byte(changed)); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.what, err)
		}
	}
}

type failed struct{ text string }

func (*failed) Helper()                          {}
func (f *failed) Fatalf(format string, _ ...any) { f.text = format }

func TestValidate_FailsTheTest(t *testing.T) {
	f := &failed{}
	eventtest.Validate(f, []byte(`{"specversion":"1.0"}`))
	if f.text == "" {
		t.Error("it passed")
	}
}
