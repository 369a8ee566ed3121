package payment

//go:generate go test -count=1 -run "^TestDiagrams_" . -update

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Diagram draws a table as a state diagram in Mermaid: a line for each arrow, with what has to hold.
func (t Table) Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, r := range t.Rules {
		for _, from := range r.From {
			fmt.Fprintf(&b, "    %s --> %s: %s%s\n", point(from), point(r.To), r.On, r.when())
			if len(r.Pauses) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s, gate closed\n", point(from), ledger.UnderReview, r.On)
			}
		}
	}
	for _, s := range t.States() {
		if t.Terminal(s) {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	return b.String()
}

func point(s State) string {
	if s == New {
		return "[*]"
	}
	return string(s)
}

// when says which amounts an arrow is for, where others lead elsewhere.
func (r Rule) when() string {
	switch r.Takes.How {
	case Part:
		return " a part"
	case Enough:
		return " enough"
	case UpTo:
		return " at most what is left"
	default:
		return ""
	}
}

// Document describes a table and what a chart posts, as a page of docs/payments.
func (c *Chart) Document(t Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", strings.ReplaceAll(string(t.Kind), "_", " "))
	b.WriteString("Made by `go generate ./internal/payment` from the table and the default chart; the engine follows the same table.\n\n")
	fmt.Fprintf(&b, "```mermaid\n%s```\n\n", t.Diagram())
	b.WriteString("| from | trigger | amount | to | refused by | reviewed for | posts |\n|---|---|---|---|---|---|---|\n")
	for _, r := range t.Rules {
		from := make([]string, len(r.From))
		for i, s := range r.From {
			from[i] = point(s)
		}
		to := string(r.To)
		if r.OtherActor {
			to += " (by another actor)"
		}
		posts := r.Posts
		if r.Over != "" {
			posts += ", instead of what was posted"
		}
		if r.PausePosts != "" && r.PausePosts != r.Posts {
			posts += ", or " + r.PausePosts + " while it is reviewed"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s |\n", strings.Join(from, ", "), r.On, r.Takes, to, gates(r.Gates), gates(r.Pauses), posts)
	}
	if after := c.kinds[t.Kind].expires; after > 0 {
		fmt.Fprintf(&b, "\n`%s` is sent by a server %d hours after the first step: `expires_after` in the chart.\n", Expire, int(after.Hours()))
	}
	b.WriteString("\n## Postings\n\n| posting | debit | credit | amount |\n|---|---|---|---|\n")
	for _, name := range t.postings() {
		for _, l := range c.kinds[t.Kind].postings[name] {
			debit, credit := string(l.role), ""
			if l.side == ledger.Credit {
				debit, credit = "", debit
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, debit, credit, l.amount)
		}
	}
	if shares := c.kinds[t.Kind].shares; len(shares) > 0 {
		fmt.Fprintf(&b, "\nShares, rounded %s:\n\n", c.Rounding)
		for _, s := range shares {
			if s.rate == nil {
				fmt.Fprintf(&b, "- %s: what %s leave of %s, to the last unit\n", s.name, strings.Join(s.less, ", "), s.of)
				continue
			}
			percent := s.rate.Num().String() + "/" + s.rate.Denom().String()
			fmt.Fprintf(&b, "- %s: %s of %s\n", s.name, percent, s.of)
		}
	}
	return b.String()
}

func gates(all []Gate) string {
	var names []string
	for _, g := range Gates {
		if slices.Contains(all, g) {
			names = append(names, string(g))
		}
	}
	return strings.Join(names, ", ")
}

// String says which amounts a rule takes.
func (t Takes) String() string {
	left := t.Rest.Of
	for _, name := range t.Rest.Less {
		left += " less " + name
	}
	if t.Of == Parents {
		left += " of the parent"
	}
	return map[How]string{
		Nothing: "none", Any: "any", All: "all of " + left, Part: "less than " + left, Enough: "at least " + left, UpTo: "at most " + left,
	}[t.How]
}
