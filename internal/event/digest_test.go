package event

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
)

var tenTo38 = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)

func bigOf(d Digest) *big.Int {
	n, ok := new(big.Int).SetString(d.String(), 10)
	if !ok {
		panic(d.String())
	}
	return n
}

func digests() *rapid.Generator[Digest] {
	return rapid.Custom(func(t *rapid.T) Digest {
		digits := rapid.OneOf(
			rapid.StringMatching(`[0-9]{1,38}`), rapid.SampledFrom([]string{"0", "1", strings.Repeat("9", 38), "1" + strings.Repeat("0", 37), "18446744073709551616"}),
		).Draw(t, "digest")
		d, err := ParseDigest(digits)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if want := strings.TrimLeft(digits, "0"); d.String() != want && want != "" {
			t.Fatalf("%s became %s", digits, d)
		}
		return d
	})
}

func TestDigest_AgreesWithBigInteger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := digests().Draw(t, "a"), digests().Draw(t, "b")
		sum := new(big.Int).Add(bigOf(a), bigOf(b))
		if got := bigOf(a.Add(b)); got.Cmp(sum.Mod(sum, tenTo38)) != 0 {
			t.Fatalf("%s + %s = %s", a, b, got)
		}
		difference := new(big.Int).Sub(bigOf(a), bigOf(b))
		if got := bigOf(a.Sub(b)); got.Cmp(difference.Mod(difference, tenTo38)) != 0 {
			t.Fatalf("%s - %s = %s", a, b, got)
		}
		if a.Add(b).Sub(b) != a || a.Sub(b) == a.Add(b) && b.Add(b) != (Digest{}) {
			t.Fatalf("%s and %s do not come back", a, b)
		}
		text, err := a.MarshalText()
		var back Digest
		if err != nil || back.UnmarshalText(text) != nil || back != a {
			t.Fatalf("%s reads back as %s", text, back)
		}
	})
}

// The value stands in databases: it never changes.
func TestWeigh_IsStable(t *testing.T) {
	transaction := id.TransactionOf("brand-eu", "debit_pi_001")
	got := Weigh("orders", 7, transaction)
	if got.String() != "317073668602096858288207849125316871" {
		t.Errorf("%s is not what was added up before", got)
	}
	others := []Digest{Weigh("order", 7, transaction), Weigh("orders", 8, transaction), Weigh("orders", 7, id.TransactionOf("brand-eu", "x")), Weigh("orders", 7<<8, transaction)}
	for i, other := range others {
		if other == got {
			t.Errorf("weight %d is the same for another delivery", i)
		}
	}
}

func TestWeigh_IsTheFirst15Bytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Weigh(rapid.StringMatching(`[a-z][a-z0-9-]{0,63}`).Draw(t, "id"), Position(rapid.Int64Min(1).Draw(t, "position")), id.Transaction{1})
		if bigOf(d).BitLen() > 120 || bigOf(d).Cmp(tenTo38) >= 0 {
			t.Fatalf("%s has more than 15 bytes", d)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"0", "1", strings.Repeat("9", 38), strings.Repeat("9", 39), "-1", "", "1e3", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			if !errors.Is(err, ErrDigest) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if want, ok := new(big.Int).SetString(s, 10); !ok || bigOf(d).Cmp(want) != 0 {
			t.Fatalf("%q became %s", s, d)
		}
	})
}
