package ledger_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// whole is a command with every field set.
func whole() ledger.Command {
	return ledger.Command{
		Kind: ledger.KindPost, Ledger: brand, Key: "k", Account: "a", Counter: "b", Amount: eur(5),
		Legs:   []ledger.Leg{leg(ledger.Debit, "a", eur(5)), legIn(other, ledger.Credit, "b", eur(5))},
		Target: id.TransactionOf(brand, "t"), KeepRest: true, ExpiresIn: 300 * 24 * time.Hour, Reason: "fee", Reference: "<po> & \"1\"",
		Correlation: "é", Metadata: ledger.Metadata{"b": "2", "a": "1"}, EffectiveAt: noon,
		Terms: &ledger.Terms{
			Asset: "EUR", Normal: ledger.Debit, Floor: at(0), Ceiling: ledger.AtLimit(greatest), Metadata: ledger.Metadata{"x": "y"},
		},
		Change: &ledger.Change{Floor: &ledger.Limit{}, Metadata: ledger.Metadata{}},
		Status: ledger.Frozen, TraceID: "trace",
	}
}

func TestDiffers_NamesTheFirstFieldInTheOrderOfCommand(t *testing.T) {
	type edit = func(*ledger.Command)
	none := func(*ledger.Command) {}
	for _, row := range []struct {
		field       string
		left, right edit
	}{
		{"", none, none},
		{"", none, func(c *ledger.Command) { c.TraceID = "another" }},
		{"", none, func(c *ledger.Command) { c.EffectiveAt = noon.In(time.FixedZone("Prague", 3600)) }},
		{"", none, func(c *ledger.Command) { c.EffectiveAt = noon.Add(999 * time.Nanosecond) }},
		{"", func(c *ledger.Command) { c.Metadata = nil }, func(c *ledger.Command) { c.Metadata = ledger.Metadata{} }},
		{"", func(c *ledger.Command) { c.Legs = nil }, func(c *ledger.Command) { c.Legs = []ledger.Leg{} }},
		{"kind", none, func(c *ledger.Command) { c.Kind, c.Amount = ledger.KindDebit, nil }},
		{"ledger", none, func(c *ledger.Command) { c.Ledger = other }},
		{"key", none, func(c *ledger.Command) { c.Key = "K" }},
		{"account", none, func(c *ledger.Command) { c.Account, c.Status = "A", ledger.Open }},
		{"counter", none, func(c *ledger.Command) { c.Counter = "" }},
		{"amount", none, func(c *ledger.Command) { c.Amount = eur(6) }},
		{"amount", none, func(c *ledger.Command) { c.Amount = usd(5) }},
		{"amount", none, func(c *ledger.Command) { c.Amount = nil }},
		{"legs", none, func(c *ledger.Command) { c.Legs[1].Side = ledger.Debit }},
		{"legs", none, func(c *ledger.Command) { c.Legs[0], c.Legs[1] = c.Legs[1], c.Legs[0] }},
		{"target", none, func(c *ledger.Command) { c.Target = id.Transaction{} }},
		{"keep_rest", none, func(c *ledger.Command) { c.KeepRest = false }},
		{"expires_in", none, func(c *ledger.Command) { c.ExpiresIn++ }}, // beyond what a float64 tells apart
		{"reason", none, func(c *ledger.Command) { c.Reason = "" }},
		{"reference", none, func(c *ledger.Command) { c.Reference = "po" }},
		{"correlation", none, func(c *ledger.Command) { c.Correlation = "e\u0301" }},
		{"metadata", none, func(c *ledger.Command) { c.Metadata = ledger.Metadata{"a": "1"} }},
		{"effective_at", none, func(c *ledger.Command) { c.EffectiveAt = noon.Add(time.Microsecond) }},
		{"terms", none, func(c *ledger.Command) { c.Terms = nil }},
		{"terms", func(c *ledger.Command) { c.Terms = nil }, func(c *ledger.Command) { c.Terms = &ledger.Terms{} }},
		{"terms", none, func(c *ledger.Command) { c.Terms.Floor = ledger.Limit{} }},
		{"change", none, func(c *ledger.Command) { c.Change = nil }},
		{"change", none, func(c *ledger.Command) { c.Change.Floor = nil }},    // stays, and is taken away
		{"change", none, func(c *ledger.Command) { c.Change.Metadata = nil }}, // are not the same
		{"status", none, func(c *ledger.Command) { c.Status = "" }},
	} {
		left, right := whole(), whole()
		row.left(&left)
		row.right(&right)
		a, b := left.Canonical(), right.Canonical()
		if got := ledger.Differs(a, b); got != row.field || ledger.Differs(b, a) != got {
			t.Errorf("%q, wanted %q, between\n   %s\n   %s", got, row.field, a, b)
		}
		if same := ledger.Hash(a) == ledger.Hash(b); same != (row.field == "") {
			t.Errorf("same hash: %t, first field that differs: %q", same, row.field)
		}
	}
}

// An engine that stores JSON as values and not as text gives it back with other white space and in another order.
func TestDiffers_DoesNotSeeWhatAnEngineDoesToJSON(t *testing.T) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(whole().Canonical(), &fields); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.MarshalIndent(fields, "", "  ") // in alphabetical order
	if err != nil {
		t.Fatal(err)
	}
	unescaped := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(sorted))
	if field := ledger.Differs(whole().Canonical(), []byte(unescaped)); field != "" {
		t.Errorf("differs in %s: %s", field, unescaped)
	}
	if field := ledger.Differs(whole().Canonical(), []byte("{")); field != "request" {
		t.Errorf("a broken request differs in %q", field)
	}
}

func TestDiffers_KnowsEveryFieldOfCommand(t *testing.T) {
	typ := reflect.TypeFor[ledger.Command]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if got := ledger.Differs([]byte(`{}`), []byte(`{"`+name+`":"x"}`)); got != name {
			t.Errorf("a difference in %s is called %q", name, got)
		}
	}
}

func FuzzCommandJSON(f *testing.F) {
	f.Add(whole().Canonical())
	for _, c := range sound {
		f.Add(with(c)[0].Canonical())
	}
	f.Add([]byte(`{"kind":"debit","ledger":"l","key":"k","account":"a","amount":{"minor_units":5,"currency":"EUR"},"effective_at":"2020-01-01T00:00:00.123456789+14:00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c ledger.Command
		if json.Unmarshal(text, &c) != nil || c.Validate(noon) != nil {
			return
		}
		first := c.Canonical()
		var again ledger.Command
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s does not read back: %v", first, err)
		}
		if second := again.Canonical(); string(second) != string(first) {
			t.Fatalf("%s became %s", first, second)
		}
		if err := again.Validate(noon); err != nil {
			t.Fatalf("%s was valid and is not any more: %v", first, err)
		}
		if again.ID() != c.ID() || ledger.Differs(first, again.Canonical()) != "" {
			t.Fatalf("%s lost its identity", first)
		}
	})
}

func FuzzDiffers(f *testing.F) {
	f.Add(whole().Canonical(), with(open("a"))[0].Canonical())
	f.Add([]byte(`{"expires_in":9007199254740993}`), []byte(`{"expires_in":9007199254740992}`))
	f.Add([]byte(`{"amount":1e999}`), []byte(`{"amount":`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if ledger.Differs(a, b) != ledger.Differs(b, a) {
			t.Fatalf("%q one way and %q the other", ledger.Differs(a, b), ledger.Differs(b, a))
		}
		if field := ledger.Differs(a, a); field != "" && field != "request" {
			t.Fatalf("%s differs from itself in %s", a, field)
		}
		var left, right ledger.Command
		if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil || left.Validate(noon) != nil || right.Validate(noon) != nil {
			return
		}
		x, y := left.Canonical(), right.Canonical()
		if (ledger.Differs(x, y) == "") != (ledger.Hash(x) == ledger.Hash(y)) {
			t.Fatalf("hashes and fields disagree on\n   %s\n   %s", x, y)
		}
	})
}
