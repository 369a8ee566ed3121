package money

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// amounts draws from the whole range, with a liking for its edges.
func amounts() *rapid.Generator[Amount] {
	return rapid.Custom(func(t *rapid.T) Amount {
		digits := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,38}`), rapid.SampledFrom([]string{
			"0", "1", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
			strings.Repeat("9", 38), "-" + strings.Repeat("9", 38),
		})).Draw(t, "digits")
		return MustParse(digits)
	})
}

func bigOf(a Amount) *big.Int {
	n, _ := new(big.Int).SetString(a.String(), 10)
	return n
}

func TestAmount_AgreesWithBigInteger(t *testing.T) {
	ceiling := new(big.Int).Exp(big.NewInt(10), big.NewInt(MaxDigits), nil)
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		if got := a.Big(); got.Cmp(bigOf(a)) != 0 {
			t.Fatalf("%s as a number without bounds is %s", a, got)
		}
		for name, step := range map[string]struct {
			got  func() (Amount, error)
			want *big.Int
		}{
			"add": {func() (Amount, error) { return a.Add(b) }, new(big.Int).Add(bigOf(a), bigOf(b))},
			"sub": {func() (Amount, error) { return a.Sub(b) }, new(big.Int).Sub(bigOf(a), bigOf(b))},
		} {
			got, err := step.got()
			fits := new(big.Int).Abs(step.want).Cmp(ceiling) < 0
			if fits != (err == nil) || fits && bigOf(got).Cmp(step.want) != 0 {
				t.Fatalf("%s(%s, %s) = %s, %v; want %s", name, a, b, got, err, step.want)
			}
		}
		if a.Cmp(b) != bigOf(a).Cmp(bigOf(b)) || a.Sign() != bigOf(a).Sign() || a.Neg().Neg() != a {
			t.Fatalf("order or sign of %s and %s", a, b)
		}
		if n, ok := a.Int64(); ok != bigOf(a).IsInt64() || ok && n != bigOf(a).Int64() {
			t.Fatalf("Int64(%s) = %d, %v", a, n, ok)
		}
	})
}

func TestParse_RefusesWhatIsNoWholeNumber(t *testing.T) {
	for text, want := range map[string]error{
		"": ErrSyntax, "-": ErrSyntax, "+1": ErrSyntax, "1.0": ErrSyntax, "1e3": ErrSyntax, " 1": ErrSyntax, "--1": ErrSyntax, "٣": ErrSyntax, //nolint:gocritic // the space is the case
		"1" + strings.Repeat("0", 38):  ErrRange,
		"-1" + strings.Repeat("0", 38): ErrRange,
		strings.Repeat("9", 4000):      ErrRange,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("Parse(%.20q) = %v, want %v", text, err, want)
		}
	}
}

func TestAmount_JSONAcceptsNumbersAndWritesStrings(t *testing.T) {
	for in, want := range map[string]string{`"5000"`: `"5000"`, `5000`: `"5000"`, `-7`: `"-7"`, `"007"`: `"7"`} {
		var a Amount
		if err := json.Unmarshal([]byte(in), &a); err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got, _ := json.Marshal(a); string(got) != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{`1.5`, `1e2`, `"1.5"`, `null`, `{}`, `""`} {
		var a Amount
		if err := json.Unmarshal([]byte(in), &a); err == nil {
			t.Errorf("%s was accepted as %s", in, a)
		}
	}
}

func TestAsset_DecimalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asset := Asset{Code: "EUR", Scale: uint8(rapid.IntRange(0, MaxScale).Draw(t, "scale"))}
		a := amounts().Draw(t, "amount")
		if back, err := asset.ParseDecimal(asset.Format(a)); err != nil || back != a {
			t.Fatalf("%s became %s, then %s (%v)", a, asset.Format(a), back, err)
		}
	})
	for _, bad := range []string{"1.234", ".5", "5.", "-.5", "1.2.3", "1,2", ""} {
		if a, err := (Asset{Code: "EUR", Scale: 2}).ParseDecimal(bad); err == nil {
			t.Errorf("%q was accepted as %s", bad, a)
		}
	}
	if a, err := (Asset{Code: "EUR", Scale: 2}).ParseDecimal("1.2300"); err != nil || a != FromInt64(123) {
		t.Errorf("zeros beyond the scale lose nothing: got %s, %v", a, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "-0", "12345678901234567890123456789012345678", "1e9", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		want, ok := new(big.Int).SetString(s, 10)
		if !ok || bigOf(a).Cmp(want) != 0 {
			t.Fatalf("Parse(%q) = %s", s, a)
		}
	})
}

func FuzzParseAsset(f *testing.F) {
	for _, seed := range []string{"EUR/2", "ETH/18", "JPY/0", "eur/2", "EUR", "EUR/02", "EUR/19"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		asset, err := ParseAsset(s)
		if err != nil {
			return
		}
		if back, err := ParseAsset(asset.String()); err != nil || back != asset {
			t.Fatalf("%q parsed to %s, which parses to %s (%v)", s, asset, back, err)
		}
	})
}
