package evidence

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The elements that Jenkins and GitLab read, in the order in which Jenkins' schema wants them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"` // seconds
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`      // seconds
		Timestamp  string          `xml:"timestamp,attr"` // UTC, which the schema wants without its letter
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"` // seconds
		Failure *junitResult `xml:"failure"`
		Skipped *junitResult `xml:"skipped"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit gives the report to build servers: a case for each verdict and one for each limit on recovery. A drill that failed for another reason
// has a case for the drill itself, so that it is never green.
func JUnit(r Report) ([]byte, error) {
	class := "meridian.drill." + r.Drill
	suite := junitSuite{
		Name: r.Drill, Time: junitTime(r.Seconds), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Out: r.Command + "\n",
		Properties: []junitProperty{
			{"seed", fmt.Sprint(r.Seed)},
			{"engine", strings.TrimSpace(r.Environment.Engine + " " + r.Environment.EngineVersion)},
			{"topology", r.Environment.Topology},
			{"meridian", r.Environment.Meridian},
		},
	}
	for _, v := range r.Verdicts {
		suite.Cases = append(suite.Cases, v.junit(class))
	}
	for _, c := range r.Recovery {
		if c.LimitSeconds != nil {
			suite.Cases = append(suite.Cases, c.junit(class))
		}
	}
	names := map[string]int{}
	for i := range suite.Cases {
		c := &suite.Cases[i]
		if names[c.Name]++; names[c.Name] > 1 {
			c.Name = fmt.Sprintf("%s (%d)", c.Name, names[c.Name]) // build servers take the same name for the same case
		}
	}
	suite.count()
	if !r.Passed && suite.Failures == 0 {
		why := junitResult{Message: "the drill did not pass", Type: "drill", Text: r.tail(20)}
		suite.Cases = append(suite.Cases, junitCase{Class: class, Name: "the drill runs to its end", Time: junitTime(r.Seconds), Failure: &why})
		suite.count()
	}
	text, err := xml.MarshalIndent(junitSuites{
		Name: "meridian drill", Tests: suite.Tests, Failures: suite.Failures, Skipped: suite.Skipped, Time: suite.Time, Suites: []junitSuite{suite},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the report for build servers: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

func (s *junitSuite) count() {
	s.Tests, s.Failures, s.Skipped = len(s.Cases), 0, 0
	for _, c := range s.Cases {
		if c.Failure != nil {
			s.Failures++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
	}
}

func (v Verdict) junit(class string) junitCase {
	c := junitCase{Class: class, Name: v.Name, Time: junitTime(v.Seconds)}
	detail := strings.Join(v.Detail, "\n")
	switch v.Status {
	case Passed:
	case Skipped:
		c.Skipped = &junitResult{Message: detail}
	default:
		message := "failed"
		if len(v.Detail) > 0 {
			message = v.Detail[0]
		}
		c.Failure = &junitResult{Message: message, Type: v.Checker, Text: detail}
	}
	return c
}

func (c Recovery) junit(class string) junitCase {
	out := junitCase{Class: class, Name: fmt.Sprintf("%s is well again within %s after: %s", c.Region, c.limit(), c.Step), Time: "0.000"}
	if c.RTOSeconds != nil {
		out.Time = junitTime(*c.RTOSeconds)
	}
	if !c.Met {
		message := fmt.Sprintf("noticed: %s, well again: %s, limit: %s", c.detect(), c.rto(), c.limit())
		out.Failure = &junitResult{Message: message, Type: "recovery", Text: c.Text}
	}
	return out
}

// tail is the end of the log.
func (r Report) tail(lines int) string {
	var b strings.Builder
	for _, l := range r.Log[max(0, len(r.Log)-lines):] {
		fmt.Fprintf(&b, "%8.2f s  %s\n", l.At, l.Text)
	}
	return b.String()
}

func junitTime(s float64) string { return fmt.Sprintf("%.3f", s) }
