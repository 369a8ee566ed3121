package verify

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meridian-ledger/meridian/internal/money"
)

// WriteText writes the report for a person: what was verified, a line a check with what it found, and the verdict.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "The books on %s as of %s\n\n", r.Engine, r.At.Format("2006-01-02 15:04:05.000 MST"))
	r.writeTotals(&b)
	r.writeStreams(&b)
	r.writeChecks(&b)
	b.WriteString("\n" + r.Verdict() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Verdict is the report in one line.
func (r Report) Verdict() string {
	broken, found := 0, int64(0)
	for _, c := range r.Checks {
		if !c.OK() {
			broken++
			found += c.Found
		}
	}
	took := r.Duration.Round(time.Millisecond)
	if r.OK() {
		return fmt.Sprintf("✓ The books are right: all %d checks hold (%s)", len(r.Checks), took)
	}
	return fmt.Sprintf("✗ THE BOOKS ARE BROKEN: %d of %d checks fail, %s findings (%s)", broken, len(r.Checks), count(found), took)
}

func (r Report) writeTotals(b *strings.Builder) {
	if len(r.Totals) == 0 {
		b.WriteString("  There are no ledgers.\n\n")
		return
	}
	table := [][]string{{"ledger", "transactions", "declines", "holds", "asset", "accounts", "entries", "debits", "credits"}}
	for _, l := range r.Totals {
		line := []string{string(l.Ledger), count(l.Transactions), count(l.Declines), count(l.Holds), "", "", "", "", ""}
		for _, a := range l.Assets {
			copy(line[4:], []string{string(a.Asset.Code), count(a.Accounts), count(a.Entries), units(a.Asset, a.Debits), units(a.Asset, a.Credits)})
			table = append(table, line)
			line = make([]string, len(line)) // of a ledger with several assets, the first line alone tells of the ledger
		}
		if len(l.Assets) == 0 {
			table = append(table, line)
		}
	}
	writeTable(b, table, "lrrrlrrrr")
	b.WriteString("\n")
}

func (r Report) writeChecks(b *strings.Builder) {
	table := make([][]string, 0, len(r.Checks))
	for _, c := range r.Checks {
		mark := "✓"
		if !c.OK() {
			mark = "✗"
		}
		table = append(table, []string{mark + " " + c.Name, c.Promise, count(c.Rows), "rows"})
	}
	writeTable(b, table, "llrl")
	for _, c := range r.Checks {
		if c.OK() {
			continue
		}
		fmt.Fprintf(b, "\n  ✗ %s: %s found\n", c.Name, count(c.Found))
		for _, f := range c.Findings {
			fmt.Fprintf(b, "      %s\n", f)
		}
		if more := c.Found - int64(len(c.Findings)); more > 0 {
			fmt.Fprintf(b, "      … and %s more\n", count(more))
		}
	}
}

// String says where a finding is, and what it is.
func (f Finding) String() string {
	var b strings.Builder
	if f.Home != "" {
		b.WriteString(string(f.Home))
		if f.Position != 0 {
			fmt.Fprintf(&b, " position %d", f.Position)
		}
		if f.Subscription != "" {
			b.WriteString(" subscription " + f.Subscription)
		}
		if f.Ledger != "" {
			b.WriteString(" ")
		}
	}
	b.WriteString(string(f.Ledger))
	if f.Account != "" {
		b.WriteString("/" + string(f.Account))
	}
	if f.Sequence != 0 {
		fmt.Fprintf(&b, " #%d", f.Sequence)
	}
	if !f.Transaction.IsZero() {
		b.WriteString(" transaction " + f.Transaction.String())
	}
	b.WriteString(": " + f.Message)
	return b.String()
}

// count writes a number with separators for people.
func count(n int64) string { return grouped(fmt.Sprint(n)) }

// units writes minor units with the decimal point of their asset.
func units(asset money.Asset, minor string) string {
	n, err := money.Parse(minor)
	if err != nil {
		return grouped(minor) + " minor units"
	}
	whole, fraction, point := strings.Cut(asset.Format(n), ".")
	if point {
		fraction = "." + fraction
	}
	return grouped(whole) + fraction
}

func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// writeTable writes lines of the same number of cells, aligned as the letters say: l to the left, r to the right.
func writeTable(b *strings.Builder, table [][]string, align string) {
	widths := make([]int, len(align))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range table {
		var text strings.Builder
		for i, cell := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				cell, gap = gap+cell, ""
			}
			text.WriteString("  " + cell + gap)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}
