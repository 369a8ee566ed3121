// Package money holds amounts of minor units and the assets they are counted in.
//
// It promises that an Amount is always a whole number of minor units that fits DECIMAL(38,0), that every step of
// arithmetic is checked, and that an amount can never silently become a float. It relies on the standard library only.
// See package ledger for what is done with amounts.
package money

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// MaxDigits is the precision of the SQL type that stores an amount, DECIMAL(38,0).
const MaxDigits = 38

// Errors of this package. ErrRange says that a value needs more than 38 digits, ErrSyntax that a text is no whole number.
var (
	ErrRange  = errors.New("amount needs more than 38 digits")
	ErrSyntax = errors.New("amount is not a whole number of minor units")
)

// limit is 10^38, the first magnitude that does not fit; it is below 2^127, so a signed 128-bit integer holds every amount
// and the sum of any two of them.
var limit = pow10(MaxDigits)

// Amount is a signed number of minor units (cents, satoshi, wei), between -(10^38-1) and 10^38-1. The zero value is zero.
// Amounts are immutable and comparable with ==.
type Amount struct {
	hi int64
	lo uint64
}

// FromInt64 returns n minor units.
func FromInt64(n int64) Amount { return Amount{hi: n >> 63, lo: uint64(n)} } //nolint:gosec // two's complement is the point

// Parse reads an optional minus sign and 1 to 38 decimal digits (leading zeros are accepted). It returns ErrSyntax or ErrRange.
func Parse(s string) (Amount, error) {
	digits, negative := s, false
	if len(s) > 0 && s[0] == '-' {
		digits, negative = s[1:], true
	}
	if digits == "" {
		return Amount{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
	}
	var a Amount
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			return Amount{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
		}
		a = a.times10plus(d)
		if !a.less(limit) {
			return Amount{}, fmt.Errorf("%w: %q", ErrRange, clip(s))
		}
	}
	if negative {
		a = a.Neg()
	}
	return a, nil
}

// MustParse is Parse for constants in tests and tables; it panics on an invalid text.
func MustParse(s string) Amount {
	a, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// Add returns a+b, or ErrRange.
func (a Amount) Add(b Amount) (Amount, error) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	sum := Amount{hi: a.hi + b.hi + int64(carry), lo: lo} //nolint:gosec // the carry is 0 or 1; |a|+|b| < 2*10^38 < 2^128; a sign flip shows an overflow of 2^127
	if overflowed := (a.hi < 0) == (b.hi < 0) && (sum.hi < 0) != (a.hi < 0); overflowed || !sum.fits() {
		return Amount{}, fmt.Errorf("%w: %s + %s", ErrRange, a, b)
	}
	return sum, nil
}

// Sub returns a-b, or ErrRange.
func (a Amount) Sub(b Amount) (Amount, error) { return a.Add(b.Neg()) }

// Neg returns -a, which always exists because the range is symmetric.
func (a Amount) Neg() Amount {
	lo, borrow := bits.Sub64(0, a.lo, 0)
	return Amount{hi: -a.hi - int64(borrow), lo: lo} //nolint:gosec // the borrow is 0 or 1
}

// Abs returns the magnitude of a.
func (a Amount) Abs() Amount {
	if a.hi < 0 {
		return a.Neg()
	}
	return a
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.less(b):
		return -1
	default:
		return 1
	}
}

// Less tells whether a < b.
func (a Amount) Less(b Amount) bool { return a.less(b) }

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int {
	switch {
	case a.hi < 0:
		return -1
	case a == Amount{}:
		return 0
	default:
		return 1
	}
}

// IsZero tells whether a is zero.
func (a Amount) IsZero() bool { return a == Amount{} }

// Int64 returns a and true where it fits 64 bits, as metrics and workload generators want it.
func (a Amount) Int64() (int64, bool) {
	n := int64(a.lo) //nolint:gosec // two's complement is the point
	return n, a.hi == n>>63
}

// Big returns the amount as a number without bounds: sums and products of amounts may need more than 38 digits. It is the caller's to change.
func (a Amount) Big() *big.Int {
	n := big.NewInt(a.hi)
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(a.lo)) // two's complement
}

// String returns the decimal digits with a leading minus where negative, the form that SQL, JSON and proto carry.
func (a Amount) String() string { return string(a.Append(make([]byte, 0, MaxDigits+1))) }

// Append appends the text of a to b.
func (a Amount) Append(b []byte) []byte {
	if a.hi < 0 {
		b = append(b, '-')
		a = a.Neg()
	}
	var text [MaxDigits + 1]byte
	i := len(text)
	hi, lo := uint64(a.hi), a.lo
	for {
		var rem uint64
		hi, rem = hi/10, hi%10
		lo, rem = bits.Div64(rem, lo, 10)
		i--
		text[i] = byte('0' + rem)
		if hi == 0 && lo == 0 {
			return append(b, text[i:]...)
		}
	}
}

// MarshalJSON writes a decimal string, because JSON numbers lose digits beyond 2^53 in most readers.
func (a Amount) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, MaxDigits+3), '"')
	return append(a.Append(b), '"'), nil
}

// UnmarshalJSON reads a decimal string or a whole JSON number.
func (a *Amount) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
	}
	parsed, err := Parse(text)
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

func (a Amount) less(b Amount) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a Amount) fits() bool { return a.Abs().less(limit) }

// times10plus returns a*10+d for 0 <= a < 10^38. The product stays below 10^39, which overflows 2^127 but not 2^128, so the
// caller's comparison with the limit would be fooled by the sign: saturate instead.
func (a Amount) times10plus(d byte) Amount {
	const tenth = 1 << 62 / 5 // above this the product does not fit 127 bits
	if a.hi >= tenth {
		return limit
	}
	carry, lo := bits.Mul64(a.lo, 10)
	lo, c := bits.Add64(lo, uint64(d), 0)
	return Amount{hi: a.hi*10 + int64(carry+c), lo: lo} //nolint:gosec // at most 10
}

func pow10(n int) Amount {
	a := FromInt64(1)
	for range n {
		carry, lo := bits.Mul64(a.lo, 10)
		a = Amount{hi: a.hi*10 + int64(carry), lo: lo} //nolint:gosec // at most 9
	}
	return a
}

// clip keeps a hostile text out of an error message in full length.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}
