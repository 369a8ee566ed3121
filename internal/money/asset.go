package money

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxScale is the largest number of decimal places an asset can have; 18 is what ether needs.
const MaxScale = 18

// ErrAsset says that a text names no asset.
var ErrAsset = errors.New("an asset is written CODE or CODE/SCALE: an upper-case letter, then up to 15 of A-Z 0-9 _, and a scale of 0 to 18, as in EUR/2")

// Code names an asset inside a ledger: EUR, ETH, GOLD_COIN.
type Code string

// Asset is what an amount is counted in: a code, and how many decimal places one unit has (EUR/2, JPY/0, ETH/18).
type Asset struct {
	Code  Code
	Scale uint8
}

// String returns CODE/SCALE.
func (a Asset) String() string { return string(a.Code) + "/" + strconv.Itoa(int(a.Scale)) }

// ParseCode reads the code of an asset.
func ParseCode(s string) (Code, error) {
	if s == "" || len(s) > 16 || s[0] < 'A' || s[0] > 'Z' {
		return "", fmt.Errorf("%w, not %q", ErrAsset, clip(s))
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return "", fmt.Errorf("%w, not %q", ErrAsset, clip(s))
		}
	}
	return Code(s), nil
}

// ParseAsset reads CODE/SCALE.
func ParseAsset(s string) (Asset, error) {
	text, digits, found := strings.Cut(s, "/")
	code, err := ParseCode(text)
	if err != nil {
		return Asset{}, err
	}
	scale, err := strconv.ParseUint(digits, 10, 8)
	if !found || err != nil || scale > MaxScale || len(digits) > 2 {
		return Asset{}, fmt.Errorf("%w, not %q", ErrAsset, clip(s))
	}
	return Asset{Code: code, Scale: uint8(scale)}, nil
}

// ParseDecimal reads an amount written with a decimal point ("12.34", "-0.5", "7") as minor units of the asset. Digits beyond
// the asset's scale are refused unless they are zeros: nothing is rounded. It returns ErrSyntax or ErrRange.
func (a Asset) ParseDecimal(s string) (Amount, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if whole == "" || whole == "-" || point && fraction == "" {
		return Amount{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
	}
	if kept := int(a.Scale); len(fraction) > kept {
		if strings.Trim(fraction[kept:], "0") != "" {
			return Amount{}, fmt.Errorf("%w: %q has more than the %d decimal places of %s", ErrSyntax, clip(s), a.Scale, a.Code)
		}
		fraction = fraction[:kept]
	}
	return Parse(whole + fraction + strings.Repeat("0", int(a.Scale)-len(fraction)))
}

// Format writes minor units of the asset with a decimal point, for people to read.
func (a Asset) Format(n Amount) string {
	if a.Scale == 0 {
		return n.String()
	}
	digits := n.Abs().String()
	if short := int(a.Scale) + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	point := len(digits) - int(a.Scale)
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return sign + digits[:point] + "." + digits[point:]
}

// MarshalText writes CODE/SCALE.
func (a Asset) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads CODE/SCALE.
func (a *Asset) UnmarshalText(b []byte) error {
	parsed, err := ParseAsset(string(b))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
