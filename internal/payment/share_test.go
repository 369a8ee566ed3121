package payment

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Whatever the amount, the rates and the rounding are: shares of an amount and what they leave add up to it, and none is below nothing.
func TestShares_LoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Chart{Rounding: rapid.SampledFrom(Roundings).Draw(t, "rounding")}
		var b book
		n := rapid.IntRange(1, 5).Draw(t, "shares")
		var names []string
		for i := range n {
			name := string(rune('a' + i))
			names = append(names, name)
			b.shares = append(b.shares, share{name: name, of: symbolAmount, rate: big.NewRat(rapid.Int64Range(1, 1_000_000).Draw(t, "rate"), 1_000_000)})
		}
		b.shares = append(b.shares, share{name: "rest", of: symbolAmount, less: names})
		whole := money.FromInt64(rapid.Int64Range(0, 1<<62).Draw(t, "amount"))
		var sum money.Amount
		for _, s := range b.shares {
			part, err := c.value(b, s.name, ledger.Payment{}, whole)
			if err != nil || part.Sign() < 0 {
				t.Fatalf("%s of %s: %s %v", s.name, whole, part, err)
			}
			sum, _ = sum.Add(part)
		}
		if sum != whole {
			t.Fatalf("shares of %s add up to %s", whole, sum)
		}
	})
}

// Every posting of the default chart balances for random amounts, totals and holdings.
func TestDefaultChart_BalancesForAllAmounts(t *testing.T) {
	c := Default()
	draw := func(t *rapid.T, label string) money.Amount {
		return money.FromInt64(rapid.Int64Range(0, 1<<60).Draw(t, label))
	}
	rapid.Check(t, func(t *rapid.T) {
		table := Tables[rapid.IntRange(0, len(Tables)-1).Draw(t, "kind")]
		p := ledger.Payment{Kind: table.Kind, PaymentData: ledger.PaymentData{Totals: map[string]money.Amount{}, Holdings: map[Role]money.Amount{}}}
		for _, name := range table.totals() {
			p.Totals[name] = draw(t, name)
		}
		roles, last := c.RolesOf(table.Kind), money.Amount{}
		for _, r := range roles[1:] { // what is held balances, as it does in a payment
			p.Holdings[r] = draw(t, string(r))
			last, _ = last.Sub(p.Holdings[r])
		}
		p.Holdings[roles[0]] = last
		for name := range c.kinds[table.Kind].postings {
			if c.kinds[table.Kind].undoes(name) {
				continue // takes back what was posted, which TestTables_EveryStateMeetsEveryTrigger has
			}
			posts, err := c.lines(table.Kind, name, p, draw(t, "amount"))
			if err != nil {
				t.Fatal(err)
			}
			var sum money.Amount
			for _, l := range posts {
				n := l.Amount
				if l.Side == ledger.Debit {
					n = n.Neg()
				}
				sum, _ = sum.Add(n)
			}
			if !sum.IsZero() {
				t.Fatalf("%s of %s is off by %s: %v", name, table.Kind, sum, posts)
			}
		}
	})
}
