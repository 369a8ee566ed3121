package evidence

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

func written(t *testing.T, r Report) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func TestWriteJSON_KeepsItsShape(t *testing.T) {
	golden(t, "testdata/report.json", written(t, given()))
}

func TestRead_GivesBackWhatWasWritten(t *testing.T) {
	for name, r := range map[string]Report{"passed": given(), "failed": broken(), "empty": {Format: Format}} {
		got, err := Read(bytes.NewReader(written(t, r)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := r.withLists(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestWriteJSON_HasListsForNothing(t *testing.T) {
	r := given()
	r.Environment.Regions[0].Homes, r.Environment.Regions[0].Zones, r.Series[0] = nil, nil, Series{}
	r.Series, r.Log, r.Steps, r.Phases, r.Environment.RTTs = r.Series[:1], nil, nil, nil, nil
	r.Recovery = r.Recovery[:1]
	if text := written(t, r); bytes.Contains(text, []byte("null")) {
		t.Errorf("%s", text)
	}
	if r.Environment.Regions[0].Homes != nil || r.Verdicts[0].Detail != nil {
		t.Error("writing changed the report")
	}
	if text := written(t, Report{Format: Format}); bytes.Contains(text, []byte("null")) {
		t.Errorf("%s", text)
	}
}

// Evidence is kept even if it is wrong, and whoever made it is told.
func TestWriteJSON_WritesWhatContradictsItselfAndSaysSo(t *testing.T) {
	r := broken()
	r.Passed = true
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err == nil || !strings.Contains(err.Error(), "is written") {
		t.Errorf("%v", err)
	}
	if !strings.HasSuffix(text.String(), "}\n") {
		t.Error("the report is not written")
	}
	r.Bucket = math.NaN()
	if err := r.WriteJSON(&text); err == nil || !strings.Contains(err.Error(), "encode the report") {
		t.Errorf("%v", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer full.Close()
	if err := given().WriteJSON(full); err == nil || !strings.Contains(err.Error(), "write the report") {
		t.Errorf("%v", err)
	}
}

func TestRead_RefusesClearly(t *testing.T) {
	whole := string(written(t, short(given())))
	edit := func(from, to string) string {
		if strings.Count(whole, from) == 0 {
			t.Fatalf("%q is not in the report", from)
		}
		return strings.Replace(whole, from, to, 1)
	}
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end of JSON input"},
		{"another document", `{"a": 1}`, "this is no report of a drill"},
		{"a list", `[]`, "line 1: json: cannot unmarshal array"},
		{"newer", edit(`"format": 1`, `"format": 2`), "it has format 2, and this version of meridian reads format 1"},
		{"unknown", edit(`"seed":`, `"sede": 1, "seed":`), `unknown field "sede"`},
		{"other letters", edit(`"passed": true`, `"Passed": true`), `unknown field "Passed"`},
		{"twice", edit(`"passed": true`, `"passed": false, "passed": true`), `field "passed" is there twice`},
		{"missing", edit(`    "lost_writes": 0,`+"\n", ""), `field "totals.lost_writes" is missing`},
		{"null", edit(`"lost_writes": 0`, `"lost_writes": null`), `field "totals.lost_writes" is null`},
		{"missing in a list", edit(`      "checker": "replay",`+"\n", ""), `field "verdicts[2].checker" is missing`},
		{"three ends", edit(`"us-east1"`+"\n        ],", `"us-east1", "x"`+"\n        ],"), `field "environment.rtts[0].between" is not a list of 2`},
		{"kind", edit(`"seed": 18012026`, `"seed": "x"`), "line 8: json: cannot unmarshal string"},
		{"truncated", whole[:len(whole)/2], "unexpected end of JSON input"},
		{"two documents", whole + "{}", "invalid character '{' after top-level value"},
		{"status", edit(`"status": "skipped"`, `"status": "fine"`), `verdicts[5]: "fine" is no status`},
		{"passed after all", edit(`"status": "skipped"`, `"status": "failed"`), `it says that the drill passed, but "rows stay in the regions of their homes" failed`},
		{"limit", edit(`"rto_seconds": 7.42`, `"rto_seconds": 27.42`), "recovery[0] (europe-west1): it says that the limit was met, but 27.42 s are more than 20 s"},
		{"never", edit(`"rto_seconds": 7.42`, `"rto_seconds": null`), "recovery[0] (europe-west1): it says that the limit was met, but the region never got well"},
		{"met", edit(`"met": true`, `"met": false`), `but "recovery of europe-west1" failed`},
		{"phase", edit(`"name": "during"`, `"name": "then"`), `phases[1]: "then" is no name of a phase`},
		{"order", edit(`"until": 50`, `"until": 5`), "steps[0]: it ends at 5 s, before it begins at 20 s"},
		{"bucket", edit(`"bucket": 0.25`, `"bucket": 0`), "bucket is 0"},
		{"endless axis", edit(`"bucket": 0.25`, `"bucket": 1e308`), "bucket is 1e+308"},
		{"length", edit(`"ok": [`, `"ok": [ 1,`), "series[0] (europe-west1): its lists are not all as long"},
		{"negative", edit(`"ok": [`+"\n        ", `"ok": [`+"\n        -"), "a number of calls is negative"},
	} {
		_, err := Read(strings.NewReader(row.text))
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "read the report: ") {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	if _, err := Read(endless{}); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("endless: %v", err)
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// Whatever Read takes can be written and read again to the same report, and shown in every form.
func FuzzRead(f *testing.F) {
	var text bytes.Buffer
	if err := short(given()).WriteJSON(&text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"format":1}`))
	f.Add([]byte(`{"format":2,"x":[[[`))
	f.Add(bytes.ReplaceAll(text.Bytes(), []byte("0.25"), []byte("1e308")))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "read the report: ") {
				t.Errorf("%v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := r.WriteJSON(&again); err != nil {
			t.Fatal(err)
		}
		if back, err := Read(&again); err != nil || !reflect.DeepEqual(back, r.withLists()) {
			t.Errorf("%+v, want %+v, %v", back, r, err)
		}
		if _, err := HTML(r); err != nil {
			t.Error(err)
		}
		if _, err := JUnit(r); err != nil {
			t.Error(err)
		}
		if err := r.Text(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
		if _, err := json.Marshal(Compare(r, given())); err != nil {
			t.Error(err)
		}
	})
}
