package file

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func (d decimal) big() *big.Int {
	n := new(big.Int).SetBytes(d[:])
	if d[0] >= 0x80 {
		n.Sub(n, modulus)
	}
	return n
}

func TestDecimalOf_IsExact(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, s := range []string{"0", "1", "-1", "256", nines, "-" + nines} {
		if d, err := decimalOf(s); err != nil || d.big().String() != s {
			t.Errorf("%s becomes %v, %v", s, d.big(), err)
		}
	}
	for _, s := range []string{"", "1.0", "1e3", "0x1f", "1_0", "1" + strings.Repeat("0", 38), "-1" + strings.Repeat("0", 38)} {
		if d, err := decimalOf(s); err == nil {
			t.Errorf("%q becomes %v", s, d.big())
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`0|-?[1-9][0-9]{0,37}`).Draw(t, "amount")
		if d, err := decimalOf(s); err != nil || d.big().String() != s {
			t.Fatalf("%s becomes %v, %v", s, d.big(), err)
		}
	})
}
