package verify

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"github.com/meridian-ledger/meridian/internal/money"
)

// wide is an integer modulo 2^256, its least significant word first.
type wide [4]uint64

func wideOf(digest [32]byte) wide {
	var w wide
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(digest[8*i:])
	}
	return w
}

func (w *wide) add(x wide) {
	var carry uint64
	for i := range w {
		w[i], carry = bits.Add64(w[i], x[i], carry)
	}
}

func (w *wide) sub(x wide) {
	var borrow uint64
	for i := range w {
		w[i], borrow = bits.Sub64(w[i], x[i], borrow)
	}
}

// times returns w times the magnitude of an amount.
func (w wide) times(a money.Amount) wide {
	var product wide
	for i, digit := range magnitude(a) {
		var carry uint64
		for j := 0; i+j < len(product); j++ {
			hi, lo := bits.Mul64(w[j], digit)
			var c1, c2 uint64
			lo, c1 = bits.Add64(lo, carry, 0)
			product[i+j], c2 = bits.Add64(product[i+j], lo, 0)
			carry = hi + c1 + c2 // at most 2^64-1: a product of two words leaves room for two more in its high word
		}
	}
	return product
}

// magnitude returns the absolute value as 128 bits.
func magnitude(a money.Amount) [2]uint64 {
	a = a.Abs()
	if n, fits := a.Int64(); fits {
		return [2]uint64{uint64(n), 0} //nolint:gosec // not negative
	}
	var b [16]byte
	a.Big().FillBytes(b[:])
	return [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:8])}
}

func plus(sum *big.Int, a money.Amount) {
	if !a.IsZero() {
		sum.Add(sum, a.Big())
	}
}
