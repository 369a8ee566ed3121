package event

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Digest is a sum of weights modulo 10^38, the most that DECIMAL(38,0) takes. Sums do not depend on the order, so that deliveries may
// overtake each other. The zero value is the sum of nothing; digests are comparable with ==.
type Digest struct{ hi, lo uint64 }

// ErrDigest says that a text is no digest.
var ErrDigest = errors.New("a digest is 1 to 38 decimal digits")

// modulus is 10^38.
var modulus = Digest{hi: 0x4b3b4ca85a86c47a, lo: 0x098a224000000000}

// Weigh is what one delivered event adds to the digest of its subscription: the first 15 bytes, as an unsigned integer, of SHA-256 over the
// id of the subscription, a zero byte, the position as 8 big-endian bytes, and the 16 bytes of the transaction.
func Weigh(subscription string, p Position, t id.Transaction) Digest {
	text := make([]byte, 0, 128)
	text = append(append(text, subscription...), 0)
	text = binary.BigEndian.AppendUint64(text, uint64(p)) //nolint:gosec // positions are not negative
	sum := sha256.Sum256(append(text, t[:]...))
	return Digest{hi: binary.BigEndian.Uint64(sum[:8]) >> 8, lo: binary.BigEndian.Uint64(sum[7:15])}
}

// ParseDigest reads what String writes; it returns ErrDigest.
func ParseDigest(s string) (Digest, error) {
	if s == "" || len(s) > money.MaxDigits {
		return Digest{}, fmt.Errorf("%w, not %d characters", ErrDigest, len(s))
	}
	var d Digest
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return Digest{}, fmt.Errorf("%w, not %q", ErrDigest, s)
		}
		hi, lo := bits.Mul64(d.lo, 10)
		var carry uint64
		d.lo, carry = bits.Add64(lo, uint64(digit), 0)
		d.hi = d.hi*10 + hi + carry
	}
	return d, nil
}

// Add returns the sum modulo 10^38.
func (d Digest) Add(o Digest) Digest {
	lo, carry := bits.Add64(d.lo, o.lo, 0)
	sum := Digest{hi: d.hi + o.hi + carry, lo: lo} // two numbers below 10^38 add up to less than 2^128
	if sum.less(modulus) {
		return sum
	}
	return sum.minus(modulus)
}

// Sub returns the difference modulo 10^38.
func (d Digest) Sub(o Digest) Digest {
	if o == (Digest{}) {
		return d
	}
	return d.Add(modulus.minus(o))
}

// String returns the decimal digits.
func (d Digest) String() string {
	const chunk = 1e19
	upper, lower := bits.Div64(d.hi, d.lo, chunk) // d < 10^38: both halves have at most 19 digits
	if upper == 0 {
		return fmt.Sprint(lower)
	}
	return fmt.Sprintf("%d%019d", upper, lower)
}

// MarshalText writes what String returns.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDigest reads.
func (d *Digest) UnmarshalText(b []byte) error {
	parsed, err := ParseDigest(string(b))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

func (d Digest) less(o Digest) bool { return d.hi < o.hi || d.hi == o.hi && d.lo < o.lo }

func (d Digest) minus(o Digest) Digest {
	lo, borrow := bits.Sub64(d.lo, o.lo, 0)
	return Digest{hi: d.hi - o.hi - borrow, lo: lo}
}
