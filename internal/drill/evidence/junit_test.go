package evidence

import (
	"encoding/xml"
	"strings"
	"testing"
)

// suites is what a build server reads out of JUnit.
type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Suites   []struct {
		Tests     int    `xml:"tests,attr"`
		Failures  int    `xml:"failures,attr"`
		Skipped   int    `xml:"skipped,attr"`
		Time      string `xml:"time,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Cases     []struct {
			Class   string `xml:"classname,attr"`
			Name    string `xml:"name,attr"`
			Time    string `xml:"time,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
		} `xml:"testcase"`
		Out string `xml:"system-out"`
	} `xml:"testsuite"`
}

func parsed(t *testing.T, r Report) suites {
	t.Helper()
	text, err := JUnit(r)
	if err != nil {
		t.Fatal(err)
	}
	var s suites
	if err := xml.Unmarshal(text, &s); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(s.Suites) != 1 || s.Tests != s.Suites[0].Tests || s.Failures != s.Suites[0].Failures {
		t.Fatalf("%+v", s)
	}
	return s
}

func TestJUnit_Golden(t *testing.T) {
	for name, r := range map[string]Report{"passed": given(), "failed": broken()} {
		text, err := JUnit(r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+name+".junit.xml", text)
	}
}

func TestJUnit_HasACaseForEachVerdictAndLimit(t *testing.T) {
	s := parsed(t, broken()).Suites[0]
	if s.Tests != 6+4 || s.Failures != 1+2 || s.Skipped != 1 || len(s.Cases) != s.Tests { // one recovery has no limit
		t.Errorf("%d tests, %d failures, %d skipped in %d cases", s.Tests, s.Failures, s.Skipped, len(s.Cases))
	}
	if s.Timestamp != "2026-11-22T11:30:00" || s.Time != "143.217" || !strings.Contains(s.Out, broken().Command) {
		t.Errorf("%s, %s, %q", s.Timestamp, s.Time, s.Out)
	}
	if c := s.Cases[0]; c.Class != "meridian.drill.region_loss" || c.Failure == nil || !strings.Contains(c.Failure.Text, "wallet-0108") || c.Skipped != nil {
		t.Errorf("%+v", c)
	}
	if c := s.Cases[5]; c.Failure != nil || c.Skipped == nil || !strings.Contains(c.Skipped.Message, "licence") {
		t.Errorf("%+v", c)
	}
	if c := s.Cases[7]; c.Failure == nil || c.Failure.Message != "noticed: 1.11 s, well again: never, limit: 20 s" {
		t.Errorf("%+v", c)
	}
}

func TestJUnit_IsNeverGreenForADrillThatFailed(t *testing.T) {
	r := given()
	r.Passed = false
	s := parsed(t, r).Suites[0]
	if s.Failures != 1 || !strings.Contains(s.Cases[len(s.Cases)-1].Failure.Text, "load ends") {
		t.Errorf("%+v", s)
	}
}

func TestJUnit_NamesAreOneOfAKindAndXML(t *testing.T) {
	s := parsed(t, hostile("]]></testcase>&\x00\x1b")).Suites[0]
	seen := map[string]bool{}
	for _, c := range s.Cases {
		if seen[c.Name] {
			t.Errorf("%q is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	if len(s.Cases) != 10 {
		t.Errorf("%d cases", len(s.Cases))
	}
}
