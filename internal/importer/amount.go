package importer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// amountRule reads the amount of a row: from one value, or from one of two of which the other is empty or zero.
type amountRule struct {
	value         template
	credit, debit template // instead of value: a column for each side
	decimal       rune
	thousands     rune // 0: none
	minor         bool // the file counts minor units
}

// parse reads an optional sign and a decimal number. A thousands separator stands before each group of three digits or nowhere, because
// one that stands elsewhere was meant as something else: 1,23 is not 123.
func (r amountRule) parse(s string, a money.Asset) (money.Amount, error) {
	number, negative := s, false
	switch first, size := utf8.DecodeRuneInString(s); first {
	case '-', '\u2212':
		number, negative = s[size:], true
	case '+':
		number = s[size:]
	}
	whole, fraction, point := strings.Cut(number, string(r.decimal))
	whole, err := r.ungroup(whole)
	if err != nil {
		return money.Amount{}, fmt.Errorf("%q %w", clip(s), err)
	}
	if !allDigits(whole) || point && !allDigits(fraction) {
		return money.Amount{}, fmt.Errorf("%q is no number with %q before its decimals", clip(s), r.decimal)
	}
	if r.minor && point {
		return money.Amount{}, fmt.Errorf("%q is no whole number of minor units", clip(s))
	}
	if point {
		whole += "." + fraction
	}
	read := a.ParseDecimal
	if r.minor {
		read = money.Parse
	}
	amount, err := read(whole)
	if errors.Is(err, money.ErrRange) {
		return money.Amount{}, fmt.Errorf("%q needs more than %d digits in minor units", clip(s), money.MaxDigits)
	}
	if err != nil { // digits and a point can be wrong in one way alone
		return money.Amount{}, fmt.Errorf("%q has more than the %d decimal places of %s, and nothing is rounded", clip(s), a.Scale, a.Code)
	}
	if negative {
		amount = amount.Neg()
	}
	return amount, nil
}

func (r amountRule) ungroup(whole string) (string, error) {
	if r.thousands == 0 {
		return whole, nil
	}
	if r.thousands == ' ' { // exports write any of the spaces that do not break
		whole = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(whole)
	}
	groups := strings.Split(whole, string(r.thousands))
	for i, group := range groups {
		if len(groups) > 1 && (i == 0 && (group == "" || len(group) > 3) || i > 0 && len(group) != 3) {
			return "", fmt.Errorf("has %q where no group of three digits follows", r.thousands)
		}
	}
	return strings.Join(groups, ""), nil
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// sided reads the amount of a row and the side of the account that it goes to.
func (m Mapping) sided(v values, a money.Asset) (money.Amount, ledger.Side, error) {
	if m.amount.value == nil {
		return m.amount.either(v, a)
	}
	amount, err := m.amount.parse(m.amount.value.render(v), a)
	if err != nil {
		return money.Amount{}, 0, err
	}
	d := m.direction
	if !d.byColumn {
		side := d.positive
		if amount.Sign() < 0 {
			side = opposite(side)
		}
		return amount.Abs(), side, nil
	}
	if amount.Sign() < 0 {
		return money.Amount{}, 0, fmt.Errorf("%s is negative, and column %q says the direction", a.Format(amount), m.columns[d.column].name)
	}
	side, err := d.side(v.get(d.column), m.columns[d.column].name)
	return amount, side, err
}

func (d directionRule) side(value, column string) (ledger.Side, error) {
	for _, known := range d.credit {
		if value == known {
			return ledger.Credit, nil
		}
	}
	for _, known := range d.debit {
		if value == known {
			return ledger.Debit, nil
		}
	}
	return 0, fmt.Errorf("column %q is %q; the mapping knows %s as credits and %s as debits", column, clip(value), quoted(d.credit), quoted(d.debit))
}

// either reads the two columns of which one has the amount.
func (r amountRule) either(v values, a money.Asset) (money.Amount, ledger.Side, error) {
	read := func(t template) (money.Amount, error) {
		text := t.render(v)
		if text == "" {
			return money.Amount{}, nil
		}
		amount, err := r.parse(text, a)
		if err == nil && amount.Sign() < 0 {
			err = fmt.Errorf("%s is negative, and the amount has a column for each direction", a.Format(amount))
		}
		return amount, err
	}
	credit, err := read(r.credit)
	if err != nil {
		return money.Amount{}, 0, fmt.Errorf("credit: %w", err)
	}
	debit, err := read(r.debit)
	switch {
	case err != nil:
		return money.Amount{}, 0, fmt.Errorf("debit: %w", err)
	case !credit.IsZero() && !debit.IsZero():
		return money.Amount{}, 0, fmt.Errorf("the row has a credit of %s and a debit of %s; one of them has to be empty", a.Format(credit), a.Format(debit))
	case !credit.IsZero():
		return credit, ledger.Credit, nil
	}
	return debit, ledger.Debit, nil
}

func opposite(s ledger.Side) ledger.Side {
	if s == ledger.Debit {
		return ledger.Credit
	}
	return ledger.Debit
}
