package recon

import (
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/money"
)

var (
	euro  = money.Asset{Code: "EUR", Scale: 2}
	yen   = money.Asset{Code: "JPY", Scale: 0}
	start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

const everyWay = `name: test
books: {accounts: ["psp:"]}
match: [one_to_one, tolerance, one_to_many, many_to_one]
window: {earlier: 1d, later: 3d}
reach: 31d
tolerance: {minor_units: 2}
`

func rules(t testing.TB, text string) Rules {
	t.Helper()
	r, err := ParseRules("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func snapshot(t testing.TB) Snapshot {
	return Snapshot{Ledger: "brand", Provider: "psp", From: start, To: start.AddDate(0, 1, 0), Rules: rules(t, everyWay)}
}

// there is a line dated a number of days into the period.
func there(reference string, minor int64, days int) Line {
	return Line{Reference: reference, Asset: euro, Amount: money.FromInt64(minor), Date: start.AddDate(0, 0, days)}
}

// here is a movement.
func here(reference string, minor int64, days int) Book {
	return Book{
		Reference: reference, Ledger: "brand", Transaction: derive("test", reference), Asset: "EUR", Amount: money.FromInt64(minor), Kind: "credit",
		State: Posted, Date: start.AddDate(0, 0, days),
	}
}

// numbered gives lines numbers and movements ids of their own, and puts both in the order of their references.
func numbered(lines []Line, books []Book) ([]Line, []Book) {
	lines, books = slices.Clone(lines), slices.Clone(books)
	for i := range lines {
		lines[i].Number = int64(i + 1)
	}
	for i := range books {
		books[i].Transaction = derive("test", books[i].Reference, string(rune('a'+i%26)), string(rune('a'+i/26)))
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return strings.Compare(a.Reference, b.Reference) })
	slices.SortStableFunc(books, func(a, b Book) int { return strings.Compare(a.Reference, b.Reference) })
	return lines, books
}

func seq[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}
}

func matched(t testing.TB, s Snapshot, lines []Line, books []Book) []Result {
	t.Helper()
	var all []Result
	for r, err := range Match(seq(lines), seq(books), s) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// told writes results in words.
func told(results []Result) []string {
	var all []string
	for _, r := range results {
		all = append(all, strings.TrimSpace(r.Reference+" "+string(r.Verdict)+" "+string(r.Reason)+" "+r.Difference.String()))
	}
	return all
}
