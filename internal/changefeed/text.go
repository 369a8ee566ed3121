package changefeed

import (
	"fmt"
	"io"
	"strings"
)

// Write writes the plan as a script that a person reads before agreeing to it.
func (p Plan) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "-- Changefeeds of the journal for CockroachDB v%s, to %s.\n", p.Version, p.Sink)
	if p.hides() {
		b.WriteString("-- Where it says redacted, apply puts what was given; --show-secrets shows it.\n")
	}
	b.WriteString("\n-- Before: an administrator runs what is missing of these.\n")
	for _, s := range p.Preconditions {
		fmt.Fprintf(&b, "-- %s.\n--   %s;\n", s.Why, s.SQL)
	}
	b.WriteString("\n-- What the options are for:\n")
	for _, o := range p.Options {
		fmt.Fprintf(&b, "--   %s: %s.\n", o.Name, o.Why)
	}
	b.WriteString("\n-- To know:\n")
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "--   %s\n", n)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\n-- %s.\n%s;\n", s.Why, s.SQL)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p Plan) hides() bool {
	for _, s := range p.Steps {
		if s.SQL != s.plain {
			return true
		}
	}
	return false
}
