package payment

import (
	"fmt"
	"math/big"

	"github.com/meridian-ledger/meridian/internal/money"
)

// Rounding is how a share of an amount becomes whole minor units. A chart has one.
type Rounding string

// The rules of rounding. Amounts of shares are zero or positive.
const (
	HalfEven Rounding = "half_even" // to the nearest; a half to the even neighbour
	HalfUp   Rounding = "half_up"   // to the nearest; a half up
	Down     Rounding = "down"
	Up       Rounding = "up"
)

// Roundings lists the rules.
var Roundings = []Rounding{HalfEven, HalfUp, Down, Up}

// Share returns the share of an amount that is zero or positive, rounded. It returns money.ErrRange beyond 38 digits.
func (r Rounding) Share(whole money.Amount, rate *big.Rat) (money.Amount, error) {
	exact := new(big.Int).Mul(whole.Big(), rate.Num())
	floor, over := new(big.Int).QuoRem(exact, rate.Denom(), new(big.Int))
	half := new(big.Int).Lsh(over, 1).Cmp(rate.Denom())
	up := false
	switch r {
	case HalfEven:
		up = half > 0 || half == 0 && floor.Bit(0) == 1
	case HalfUp:
		up = half >= 0
	case Up:
		up = over.Sign() > 0
	case Down:
	}
	if up {
		floor.Add(floor, big.NewInt(1))
	}
	return amountOf(floor)
}

// times multiplies an amount.
func times(a money.Amount, n int64) (money.Amount, error) {
	return amountOf(new(big.Int).Mul(a.Big(), big.NewInt(n)))
}

func amountOf(n *big.Int) (money.Amount, error) {
	a, err := money.Parse(n.String())
	if err != nil {
		return money.Amount{}, fmt.Errorf("write down %s: %w", n, err)
	}
	return a, nil
}
