package recon

import (
	"strings"
	"testing"
)

// FuzzRules: whatever the file, errors name their place, and what is read is read again the same.
func FuzzRules(f *testing.F) {
	f.Add(everyWay)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRules("r.yaml", []byte(text))
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "r.yaml:") {
					t.Fatalf("an error without its place: %q", line)
				}
			}
			return
		}
		if r.Name() == "" || len(r.accounts) == 0 || len(r.ways) == 0 || r.reach < r.later {
			t.Fatalf("%+v", r)
		}
	})
}

func TestRules_SayWhereAndHowToMend(t *testing.T) {
	for _, c := range []struct{ old, mended, want string }{
		{"name: test", "name: Test", "r.yaml:1:7: name is"},
		{"name: test", "nome: test", "r.yaml:1:1: a file of rules has no field"},
		{`["psp:"]`, `[":psp"]`, `r.yaml:2:20: accounts has`},
		{`["psp:"]`, `["psp:"], positive: up`, `positive is "up"; write debit or credit`},
		{"one_to_one, ", "one_to_two, ", "r.yaml:3:9: match has"},
		{"one_to_one, ", "many_to_one, ", "many_to_one is there twice"},
		{"tolerance, one", "one", "belong together"},
		{"tolerance: {minor_units: 2}\n", "", "belong together"},
		{"1d", "1", "earlier is 1; write days"},
		{"1d", "999d", "write days, 0d to 366d"},
		{"31d", "2d", "reach is shorter than the window"},
		{"minor_units: 2", "minor_units: 2.5", "minor_units is 2.5; write a whole number"},
		{"minor_units: 2", "rate: 0.5", "rate is 0.5; write a percentage"},
		{"minor_units: 2", "rate: 0.00001%", "rate is"},
		{"minor_units: 2", "", "tolerance has neither"},
	} {
		text := strings.Replace(everyWay, c.old, c.mended, 1)
		if _, err := ParseRules("r.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s: %v, want %q", c.old, c.mended, err, c.want)
		}
	}
}

func TestRules_TheExampleIsRead(t *testing.T) {
	if _, err := LoadRules("../../examples/recon/rules.yaml"); err != nil {
		t.Error(err)
	}
}
