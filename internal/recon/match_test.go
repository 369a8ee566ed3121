package recon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/money"
)

func TestMatch_EachVerdictHasItsReason(t *testing.T) {
	identified := func(l Line, id string) Line { l.ID = id; return l }
	inYen := func(l Line) Line { l.Asset = yen; return l }
	state := func(b Book, s State, reason string) Book { b.State, b.Reason = s, reason; return b }
	for _, c := range []struct {
		name  string
		lines []Line
		books []Book
		want  []string
	}{
		{"the same", []Line{there("a", 100, 5)}, []Book{here("a", 100, 5)}, []string{"a matched exact 0"}},
		{
			"at both ends of the window",
			[]Line{there("a", 100, 4), there("b", 100, 8)},
			[]Book{here("a", 100, 5), here("b", 100, 5)},
			[]string{"a matched exact 0", "b matched exact 0"},
		},
		{
			"outside of it",
			[]Line{there("a", 100, 3), there("b", 100, 9)},
			[]Book{here("a", 100, 5), here("b", 100, 5)},
			[]string{"a late outside_window 0", "b late outside_window 0"},
		},
		{"out of another period", []Line{there("a", 100, 2)}, []Book{here("a", 100, -20)}, []string{"a late outside_window 0"}},
		{"within the tolerance", []Line{there("a", 102, 5)}, []Book{here("a", 100, 5)}, []string{"a matched tolerated 2"}},
		{"beyond the tolerance", []Line{there("a", 103, 5)}, []Book{here("a", 100, 5)}, []string{"a amount_differs amount 3"}},
		{"the other sign", []Line{there("a", -1, 5)}, []Book{here("a", 1, 5)}, []string{"a amount_differs amount -2"}},
		{"another asset", []Line{inYen(there("a", 100, 5))}, []Book{here("a", 100, 5)}, []string{"a amount_differs asset 100"}},
		{"nothing here", []Line{there("a", 100, 5)}, nil, []string{"a missing_here not_in_books 100"}},
		{"no reference", []Line{there("", 100, 5), there("", 7, 5)}, nil, []string{"missing_here no_reference 100", "missing_here no_reference 7"}},
		{"declined here", []Line{there("a", 100, 5)}, []Book{state(here("a", 100, 5), Declined, "ACCOUNT_FROZEN")}, []string{"a missing_here declined_here 100"}},
		{"reversed here", []Line{there("a", 100, 5)}, []Book{state(here("a", 100, 5), Reversed, "")}, []string{"a missing_here reversed_here 100"}},
		{"declined and reversed are not missed", nil, []Book{state(here("a", 100, 5), Declined, "X"), state(here("b", 1, 5), Reversed, "")}, nil},
		{"nothing there", nil, []Book{here("a", 100, 5)}, []string{"a missing_there not_in_lines -100"}},
		{"nothing there yet", nil, []Book{here("a", 100, 29)}, []string{"a missing_there may_still_come -100"}},
		{"nothing there, of other periods", nil, []Book{here("a", 100, -1), here("b", 100, 30)}, nil},
		{"two lines", []Line{there("a", 100, 5), there("a", 100, 6)}, []Book{here("a", 100, 5)}, []string{"a matched exact 0", "a duplicate second_line 100"}},
		{
			"the same line twice",
			[]Line{identified(there("a", 100, 5), "x"), identified(there("a", 100, 5), "x")},
			[]Book{here("a", 100, 5)},
			[]string{"a duplicate repeated_line 100", "a matched exact 0"},
		},
		{
			"two lines of their own",
			[]Line{identified(there("a", 100, 5), "x"), identified(there("a", 100, 5), "y")},
			[]Book{here("a", 100, 5), here("a", 100, 5)},
			[]string{"a matched exact 0", "a matched exact 0"},
		},
		{"booked twice", []Line{there("a", 100, 5)}, []Book{here("a", 100, 5), here("a", 100, 6)}, []string{"a matched exact 0", "a duplicate booked_twice -100"}},
		{"paid in parts", []Line{there("a", 60, 5), there("a", 40, 6)}, []Book{here("a", 100, 5)}, []string{"a matched sum 0", "a matched sum 0"}},
		{"booked in parts", []Line{there("a", 100, 6)}, []Book{here("a", 60, 5), here("a", 40, 5)}, []string{"a matched sum 0", "a matched sum 0"}},
		{
			"parts that do not add up",
			[]Line{there("a", 60, 5), there("a", 50, 6)},
			[]Book{here("a", 100, 5)},
			[]string{"a amount_differs amount -40", "a missing_here not_in_books 50"},
		},
		{
			"a part out of the window",
			[]Line{there("a", 60, 5), there("a", 40, 20)},
			[]Book{here("a", 100, 5)},
			[]string{"a amount_differs amount -40", "a missing_here not_in_books 40"},
		},
		{
			"the nearest is taken",
			[]Line{there("a", 100, 5), there("a", 101, 5)},
			[]Book{here("a", 101, 5), here("a", 100, 5)},
			[]string{"a matched exact 0", "a matched exact 0"},
		},
		{"assets apart", []Line{there("a", 100, 5), inYen(there("a", 7, 5))}, []Book{here("a", 100, 5)}, []string{"a matched exact 0", "a missing_here not_in_books 7"}},
		{
			"bytes decide the order",
			[]Line{there("B", 1, 5), there("a", 1, 5), there("ä", 1, 5)},
			[]Book{here("B", 1, 5), here("ä", 1, 5)},
			[]string{"B matched exact 0", "a missing_here not_in_books 1", "ä matched exact 0"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, books := numbered(c.lines, c.books)
			if got := told(matched(t, snapshot(t), lines, books)); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestMatch_ToleranceAsARateOfWhatIsHere(t *testing.T) {
	s := snapshot(t)
	s.Rules = rules(t, strings.Replace(everyWay, "{minor_units: 2}", "{rate: 0.1%}", 1))
	lines, books := numbered([]Line{there("a", 1_001_000, 5), there("b", 1_001_001, 5)}, []Book{here("a", 1_000_000, 5), here("b", 1_000_000, 5)})
	want := []string{"a matched tolerated 1000", "b amount_differs amount 1001"}
	if got := told(matched(t, s, lines, books)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMatch_ThePrecedenceIsThatOfTheFile(t *testing.T) {
	lines, books := numbered([]Line{there("a", 99, 5), there("a", 1, 5)}, []Book{here("a", 100, 5)})
	if got := told(matched(t, snapshot(t), lines, books))[0]; got != "a matched tolerated -1" {
		t.Errorf("tolerance first: %s", got)
	}
	s := snapshot(t)
	s.Rules = rules(t, strings.Replace(everyWay, "tolerance, one_to_many", "one_to_many, tolerance", 1))
	if got := told(matched(t, s, lines, books))[0]; got != "a matched sum 0" {
		t.Errorf("one to many first: %s", got)
	}
}

func TestMatch_AHugeGroupIsBounded(t *testing.T) {
	var lines []Line
	for range MaxGroup + 500 {
		lines = append(lines, there("a", 100, 5))
	}
	lines, books := numbered(lines, []Book{here("a", 100, 5)})
	counts := map[Reason]int{}
	for _, r := range matched(t, snapshot(t), lines, books) {
		counts[r.Reason]++
	}
	if counts[ReasonTooMany] != 500 || counts[ReasonExact] != 1 || counts[ReasonSecondLine] != MaxGroup-1 {
		t.Errorf("%v", counts)
	}
}

func TestMatch_AnErrorOfAStreamOrItsOrderEndsIt(t *testing.T) {
	broken := errors.New("the disk is full")
	cut := func(yield func(Line, error) bool) {
		_ = yield(there("a", 1, 5), nil) && yield(Line{}, broken)
	}
	var last error
	for r, err := range Match(cut, seq([]Book{here("a", 1, 5)}), snapshot(t)) {
		if last = err; err == nil {
			t.Errorf("%v was judged without the rest of its group", told([]Result{r}))
		}
	}
	if !errors.Is(last, broken) {
		t.Errorf("the error is %v", last)
	}
	for _, err := range Match(seq([]Line{there("b", 1, 5), there("a", 1, 5)}), seq([]Book(nil)), snapshot(t)) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), `out of order: "a" comes after "b"`) {
		t.Errorf("the error is %v", last)
	}
}

func TestMatch_StopsWhenNobodyWantsMore(t *testing.T) {
	lines, books := numbered([]Line{there("a", 1, 5), there("b", 1, 5)}, []Book{here("a", 1, 5), here("c", 1, 5)})
	for range Match(seq(lines), seq(books), snapshot(t)) {
		break
	}
}

// What is done to a statement is what is found, no more and no less, whatever else is around it.
func TestMatch_FindsExactlyWhatWasDamaged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []Line
		var books []Book
		var want []string
		expect := func(reference string, verdict Verdict, reason Reason, difference int64) {
			want = append(want, fmt.Sprintf("%s %s %s %d", reference, verdict, reason, difference))
		}
		for i := range rapid.IntRange(0, 60).Draw(t, "movements") {
			reference := fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"pay", "PAY", "ü", "0"}).Draw(t, "kind"), i)
			amount := rapid.Int64Range(1000, 1_000_000).Draw(t, "amount")
			if rapid.Bool().Draw(t, "out") {
				amount = -amount
			}
			day := rapid.IntRange(0, 25).Draw(t, "day")
			book := here(reference, amount, day)
			line := there(reference, amount, day+rapid.IntRange(-1, 3).Draw(t, "delay"))
			switch rapid.SampledFrom([]string{"none", "drop", "invent", "duplicate", "double", "repeat", "amount", "cent", "late", "split", "join"}).Draw(t, "damage") {
			case "none":
				lines, books = append(lines, line), append(books, book)
				expect(reference, Matched, ReasonExact, 0)
			case "drop":
				books = append(books, book)
				expect(reference, MissingThere, ReasonNotInLines, -amount)
			case "invent":
				lines = append(lines, line)
				expect(reference, MissingHere, ReasonNotInBooks, amount)
			case "duplicate":
				lines, books = append(lines, line, line), append(books, book)
				expect(reference, Matched, ReasonExact, 0)
				expect(reference, Duplicate, ReasonSecondLine, amount)
			case "double":
				lines, books = append(lines, line), append(books, book, book)
				expect(reference, Matched, ReasonExact, 0)
				expect(reference, Duplicate, ReasonBookedTwice, -amount)
			case "repeat":
				line.ID = "id-" + reference
				lines, books = append(lines, line, line), append(books, book)
				expect(reference, Matched, ReasonExact, 0)
				expect(reference, Duplicate, ReasonRepeatedLine, amount)
			case "amount":
				by := rapid.Int64Range(3, 500).Draw(t, "by")
				line.Amount = money.FromInt64(amount + by)
				lines, books = append(lines, line), append(books, book)
				expect(reference, AmountDiffers, ReasonAmount, by)
			case "cent":
				by := rapid.Int64Range(1, 2).Draw(t, "by")
				line.Amount = money.FromInt64(amount - by)
				lines, books = append(lines, line), append(books, book)
				expect(reference, Matched, ReasonTolerated, -by)
			case "late":
				line.Date = book.Date.AddDate(0, 0, rapid.IntRange(4, 30).Draw(t, "days"))
				lines, books = append(lines, line), append(books, book)
				expect(reference, Late, ReasonOutsideWindow, 0)
			case "split":
				part := amount/3 + 7
				first, second := line, line
				first.Amount, second.Amount = money.FromInt64(part), money.FromInt64(amount-part)
				lines, books = append(lines, first, second), append(books, book)
				expect(reference, Matched, ReasonSum, 0)
				expect(reference, Matched, ReasonSum, 0)
			case "join":
				part := amount/3 + 7
				first, second := book, book
				first.Amount, second.Amount = money.FromInt64(part), money.FromInt64(amount-part)
				lines, books = append(lines, line), append(books, first, second)
				expect(reference, Matched, ReasonSum, 0)
				expect(reference, Matched, ReasonSum, 0)
			}
		}
		lines = rapid.Permutation(lines).Draw(t, "lines")
		lines, books = numbered(lines, books)
		s := Snapshot{From: start, To: start.AddDate(0, 1, 0), Rules: damageRules}
		results := matched(&testing.T{}, s, lines, books)
		got := told(results)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for i, r := range results {
			if r.Number != int64(i+1) || r.Match > r.Number || r.Match < 1 {
				t.Fatalf("result %d has number %d and match %d", i+1, r.Number, r.Match)
			}
		}
		if again := matched(&testing.T{}, s, lines, books); digestOf(again) != digestOf(results) {
			t.Fatal("the same streams gave other results")
		}
	})
}

var damageRules = func() Rules {
	r, err := ParseRules("rules.yaml", []byte(everyWay))
	if err != nil {
		panic(err)
	}
	return r
}()

func digestOf(results []Result) [32]byte {
	d := newDigest()
	for _, r := range results {
		d.result(r)
	}
	return d.sum()
}
