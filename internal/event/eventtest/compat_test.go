package eventtest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
)

func TestReleased_StaysReadable(t *testing.T) {
	released, err := eventtest.Released()
	if err != nil {
		t.Fatal(err)
	}
	published, err := eventtest.Published()
	if err != nil {
		t.Fatal(err)
	}
	if len(released) < 16 {
		t.Fatalf("%d released schemas: one for each type, and the envelope", len(released))
	}
	for name, older := range released {
		newer, kept := published[name]
		if !kept {
			t.Errorf("%s was released and is gone", name)
			continue
		}
		broken, err := eventtest.Breaks(older, newer)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, b := range broken {
			t.Errorf("%s: %s: consumers of %s rely on it; make a new major version beside it", name, b, "docs/events/released")
		}
	}
}

const older = `{"type":"object","required":["a","in","list"],"properties":{
	"a":{"type":"string","pattern":"^x","description":"old words"},
	"kind":{"type":"string","enum":["one","two"]},
	"version":{"type":"string","const":"1.0"},
	"free":{"type":"string"},
	"in":{"type":"object","required":["deep"],"properties":{"deep":{"type":"integer"}}},
	"list":{"type":"array","items":{"type":"object","required":["b"],"properties":{"b":{"type":"string"},"side":{"enum":["debit","credit"]}}}},
	"map":{"type":"object","additionalProperties":{"type":"string"}}}}`

func TestBreaks_SeesEachKindOfBreakage(t *testing.T) {
	for _, row := range []struct{ what, from, to, want string }{
		{"a field is gone", `"free":{"type":"string"},`, ``, "$.free: it is gone"},
		{"a field inside is gone", `{"deep":{"type":"integer"}}`, `{}`, "$.in.deep: it is gone"},
		{"a field of a list is gone", `"b":{"type":"string"},`, ``, "$.list[items].b: it is gone"},
		{"a type changed", `"free":{"type":"string"}`, `"free":{"type":"number"}`, "$.free: type was string and is number"},
		{"a type inside changed", `"deep":{"type":"integer"}`, `"deep":{"type":"string"}`, "$.in.deep: type was integer and is string"},
		{"a type of a list changed", `"b":{"type":"string"}`, `"b":{"type":"boolean"}`, "$.list[items].b: type was string and is boolean"},
		{
			"a map holds something else", `"additionalProperties":{"type":"string"}`, `"additionalProperties":{"type":"integer"}`,
			"$.map[additionalProperties]: type was string and is integer",
		},
		{"a map is closed", `"additionalProperties":{"type":"string"}`, `"additionalProperties":false`, "$.map[additionalProperties]: it was"},
		{"a type is no longer said", `"free":{"type":"string"}`, `"free":{}`, "$.free: type was string and is absent"},
		{"a form changed", `"pattern":"^x"`, `"pattern":"^y"`, "$.a: pattern was ^x and is ^y"},
		{"a field may be missing", `"required":["a","in","list"]`, `"required":["in","list"]`, "$.a: it was always there, and may be missing"},
		{"a field inside may be missing", `"required":["deep"]`, `"required":[]`, "$.in.deep: it was always there, and may be missing"},
		{"a field of a list may be missing", `"required":["b"],`, ``, "$.list[items].b: it was always there, and may be missing"},
		{"a value is gone", `"enum":["one","two"]`, `"enum":["one"]`, "$.kind: the value two is gone"},
		{"a value of a list is gone", `"enum":["debit","credit"]`, `"enum":["debit"]`, "$.list[items].side: the value credit is gone"},
		{"a constant changed", `"const":"1.0"`, `"const":"2.0"`, "$.version: the value 1.0 is gone"},
		{"values are no longer listed", `,"enum":["one","two"]`, ``, "$.kind: it had only [one two], and may have any value"},
		{"values are listed now", `"free":{"type":"string"}`, `"free":{"type":"string","enum":["x"]}`, "$.free: it had any value, and has only [x]"},
	} {
		newer := strings.Replace(older, row.from, row.to, 1)
		if newer == older || !json.Valid([]byte(newer)) {
			t.Fatalf("%s: the change is none, or no JSON: %s", row.what, newer)
		}
		broken, err := eventtest.Breaks([]byte(older), []byte(newer))
		if err != nil || len(broken) != 1 || !strings.HasPrefix(broken[0], row.want) {
			t.Errorf("%s: %q (%v), want %q alone", row.what, broken, err, row.want)
		}
	}
}

func TestBreaks_LetsFormsGrow(t *testing.T) {
	for _, row := range []struct{ what, from, to string }{
		{"nothing", "", ""},
		{"a field more", `"free":`, `"more":{"type":"string"},"free":`},
		{"a field more that is always there", `"required":["a",`, `"required":["free","a",`},
		{"a field more in a list", `"b":{"type":"string"}`, `"b":{"type":"string"},"c":{"type":"integer"}`},
		{"a value more", `["one","two"]`, `["zero","one","two"]`},
		{"other words", "old words", "new words"},
	} {
		broken, err := eventtest.Breaks([]byte(older), []byte(strings.Replace(older, row.from, row.to, 1)))
		if err != nil || len(broken) > 0 {
			t.Errorf("%s: %q, %v", row.what, broken, err)
		}
	}
}

func TestBreaks_RefusesWhatItCanNotJudge(t *testing.T) {
	for _, newer := range []string{
		strings.Replace(older, `"free":{"type":"string"}`, `"free":{"$ref":"#/$defs/free"}`, 1),
		strings.Replace(older, `"free":{"type":"string"}`, `"free":{"anyOf":[]}`, 1),
		`[]`, `{`,
	} {
		if _, err := eventtest.Breaks([]byte(older), []byte(newer)); err == nil {
			t.Errorf("%s was judged", newer)
		}
		if _, err := eventtest.Breaks([]byte(newer), []byte(older)); err == nil {
			t.Errorf("%s was judged as the older one", newer)
		}
	}
}
