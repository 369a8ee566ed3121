package verify

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// statementOf is what one side says.
type statementOf struct {
	about  subject
	words  string
	weight money.Amount
}

var amounts = rapid.Custom(func(t *rapid.T) money.Amount {
	digits := rapid.StringMatching(`[1-9][0-9]{0,37}`).Draw(t, "digits")
	sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
	return money.MustParse(sign + digits)
})

var statementsOf = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) statementOf {
	return statementOf{
		about: subject{
			ledger:      rapid.SampledFrom([]id.Ledger{"a", "ab", ""}).Draw(t, "ledger"),
			account:     rapid.SampledFrom([]id.Account{"b", "bc", "c", ""}).Draw(t, "account"),
			transaction: id.Transaction{rapid.Byte().Draw(t, "transaction")},
			line:        rapid.Int64Range(0, 3).Draw(t, "line"),
			matter:      rapid.SampledFrom([]string{"", "c"}).Draw(t, "matter"),
		},
		words:  rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "words"),
		weight: amounts.Draw(t, "weight"),
	}
}), 1, 20)

// said plays statements on both sides, the second in another order, and says what the tally thinks of it.
func said(t *rapid.T, left, right []statementOf) []mismatch {
	tally := newTally(newSeed())
	play := func() {
		for _, s := range left {
			tally.say(told, s.about, place{}, []byte(s.words), s.weight)
		}
		for _, s := range rapid.Permutation(right).Draw(t, "order") {
			tally.say(kept, s.about, place{}, []byte(s.words), s.weight)
		}
	}
	play()
	if !tally.suspect(100) {
		return nil
	}
	play()
	return tally.mismatches()
}

func TestTally_SidesThatSayTheSameAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := statementsOf.Draw(t, "statements")
		if found := said(t, all, all); found != nil {
			t.Fatalf("found %+v", found)
		}
	})
}

func TestTally_FindsTheOneDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left := statementsOf.Draw(t, "statements")
		right := append([]statementOf(nil), left...)
		i := rapid.IntRange(0, len(left)-1).Draw(t, "which")
		odd := &right[i]
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			odd.words += "!"
		case 1:
			odd.weight = changed(t, odd.weight)
		case 2:
			odd.about.line += 10
		case 3:
			odd.about.transaction[15]++
		}
		found := said(t, left, right)
		want := map[subject]bool{left[i].about: true, right[i].about: true}
		if len(found) != len(want) {
			t.Fatalf("found %+v, want %+v", found, want)
		}
		for _, m := range found {
			if !want[m.subject] {
				t.Fatalf("found %+v, want %+v", m.subject, want)
			}
		}
	})
}

// changed draws another amount, as small a difference as can be or as round a one in binary.
func changed(t *rapid.T, a money.Amount) money.Amount {
	for _, by := range []string{rapid.SampledFrom([]string{"1", "-1", "18446744073709551616", "85070591730234615865843651857942052864"}).Draw(t, "by"), "-1"} {
		if sum, err := a.Add(money.MustParse(by)); err == nil && !sum.IsZero() {
			return sum
		}
	}
	return a.Neg()
}

func TestWide_MultipliesModulo2To256(t *testing.T) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	number := func(w wide) *big.Int {
		n := new(big.Int)
		for i := len(w) - 1; i >= 0; i-- {
			n.Add(n.Lsh(n, 64), new(big.Int).SetUint64(w[i]))
		}
		return n
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.OneOf(rapid.Uint64(), rapid.Just(^uint64(0)))
		w := wide{word.Draw(t, "0"), word.Draw(t, "1"), word.Draw(t, "2"), word.Draw(t, "3")}
		a := amounts.Draw(t, "amount")
		want := new(big.Int).Mul(number(w), a.Abs().Big())
		want.Mod(want, modulus)
		if got := number(w.times(a)); got.Cmp(want) != 0 {
			t.Fatalf("%v * %s = %s, want %s", w, a, got, want)
		}
		sum := w
		sum.add(w.times(a))
		sum.sub(w)
		if sum != w.times(a) {
			t.Fatalf("adding and taking away leaves %v", sum)
		}
	})
}

func TestTally_SuspectsNoMoreThanItCanKeep(t *testing.T) {
	tally := newTally(newSeed())
	for i := range 5000 {
		tally.say(told, subject{line: int64(i)}, place{}, []byte(fmt.Sprint(i)), one)
	}
	if !tally.suspect(10) || len(tally.keeps) != 10 || tally.unsearched() < 4000 {
		t.Errorf("%d buckets are kept, %d are not", len(tally.keeps), tally.unsearched())
	}
	tally = newTally(newSeed())
	tally.say(told, subject{}, place{}, nil, one)
	tally.said = 1_000_000_000 // as if there were so many
	if !tally.suspect(100) || len(tally.keeps) > 13 {
		t.Errorf("%d buckets of 1/65536 of a billion are kept", len(tally.keeps))
	}
}
