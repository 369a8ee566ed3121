package explain

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// marks are how an outcome looks.
var marks = map[Outcome]string{Accepted: "✓", Refused: "✗", Awaited: "…", Noted: "·"}

// WriteText writes an answer for a person: the story, or a line for each of the things that were found.
func (a Answer) WriteText(w io.Writer) error {
	var b strings.Builder
	if a.Story != nil {
		a.Story.text(&b)
	} else {
		fmt.Fprintf(&b, "%q leads to %d things; ask for one by its id, with --ledger:\n\n", a.Asked, len(a.Matches))
		width := 0
		for _, m := range a.Matches {
			width = max(width, len(m.Ledger))
		}
		for _, m := range a.Matches {
			fmt.Fprintf(&b, "  %-*s  %s  %s  %s (by %s)\n", width, m.Ledger, m.ID, at(m.At), m.What, m.How)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Story) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s\n%s\n", s.Subject, s.ID, s.Title)
	found := make([]string, len(s.Found))
	for i, how := range s.Found {
		found[i] = string(how)
	}
	rows := [][2]string{{"found by", strings.Join(found, ", ")}, {"ledger", string(s.Ledger) + ", home " + string(s.Home)}}
	for _, f := range s.Facts {
		rows = append(rows, [2]string{f.Name, f.Value})
	}
	rows = append(rows, [2]string{"stands", s.State + ": " + s.Standing}, [2]string{"next acts", s.Next})
	for i, m := range s.Money {
		name := ""
		if i == 0 {
			name = "money"
		}
		role := ""
		if m.Role != "" {
			role = " (" + m.Role + ")"
		}
		rows = append(rows, [2]string{name, m.Text + " on " + m.Account + role})
	}
	if len(s.Money) == 0 && s.Subject != "callbacks" {
		rows = append(rows, [2]string{"money", "none of it stands anywhere because of this"})
	}
	if s.Compared != "" {
		rows = append(rows, [2]string{"compared", s.Compared})
	}
	aligned(b, "  ", rows)
	b.WriteByte('\n')
	for _, e := range s.Events {
		e.text(b)
	}
	if len(s.Open) > 0 {
		b.WriteString("\nopen\n")
		for _, o := range s.Open {
			fmt.Fprintf(b, "  … %s\n", o)
		}
	}
}

func aligned(b *strings.Builder, indent string, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(b, "%s%-*s  %s\n", indent, width, r[0], r[1])
	}
}

// under is where what belongs to an event begins: below its sentence.
var under = strings.Repeat(" ", len("2006-01-02T15:04:05.000Z")+6+len(FromReconciliation)+2)

func (e Event) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s  %s %-*s  %s\n", at(e.At), marks[e.Outcome], len(FromReconciliation), e.Source, e.What)
	switch {
	case e.Reason != "" && e.Meaning != "":
		fmt.Fprintf(b, "%s%s: %s\n", under, e.Reason, e.Meaning)
	case e.Reason+e.Meaning != "":
		fmt.Fprintf(b, "%s%s%s\n", under, e.Reason, e.Meaning)
	}
	rows := make([][2]string, len(e.Details))
	for i, d := range e.Details {
		rows[i] = [2]string{d.Name, d.Value}
	}
	aligned(b, under, rows)
}
