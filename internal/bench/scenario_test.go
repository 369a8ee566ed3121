package bench

import (
	"reflect"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

const seed = 20261120

func loadOf(s Scenario) Load {
	return Load{Scenario: s, Clients: 1, Accounts: 10_000, Batch: 1, Seed: seed}
}

// drawn are the next n commands of a client in a slice.
func drawn(s Scenario, n, slice, client int) []ledger.Command {
	return newStream(loadOf(s), Names("bench", 10_000), slice, client).batch(n)
}

// shares counts the accounts that transfers take part with, in order of their number.
func shares(commands []ledger.Command, b Books) []int {
	number := map[id.Account]int{}
	for i, name := range b.Accounts {
		number[name] = i
	}
	counts := make([]int, len(b.Accounts))
	for _, c := range commands {
		counts[number[c.Account]]++
		counts[number[c.Counter]]++
	}
	return counts
}

func sum(counts []int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

func TestStream_SeedDecidesEveryCommand(t *testing.T) {
	for _, s := range scenarios {
		if !reflect.DeepEqual(drawn(s, 200, 3, 7), drawn(s, 200, 3, 7)) {
			t.Errorf("%s: two runs with one seed differ", s)
		}
	}
}

func TestStream_NoKeyComesTwice(t *testing.T) {
	seen := map[id.Key]bool{}
	for _, s := range []Scenario{Uniform, Zipf, Hot} {
		for slice := range 3 {
			for client := range 3 {
				for _, c := range drawn(s, 100, slice, client) {
					if seen[c.Key] {
						t.Fatalf("%s, slice %d, client %d: %s was there before", s, slice, client, c.Key)
					}
					seen[c.Key] = true
				}
			}
		}
	}
}

func TestStream_EveryCommandIsValid(t *testing.T) {
	for _, s := range scenarios {
		for _, c := range drawn(s, 2000, 0, 0) {
			if err := c.Validate(c.EffectiveAt); err != nil {
				t.Fatalf("%s: %s: %v", s, c.Canonical(), err)
			}
			if _, err := id.ParseKey(string(c.Key)); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
}

func TestUniform_NoAccountStandsOut(t *testing.T) {
	const n = 100_000
	counts := shares(drawn(Uniform, n, 0, 0), Names("bench", 10_000))
	for i, c := range counts { // 20 on average, with a deviation of 4.5
		if c > 60 {
			t.Errorf("account %d takes part %d times", i, c)
		}
	}
	if low := sum(counts[:5000]); low < n*98/100 || low > n*102/100 {
		t.Errorf("the first half takes part %d times of %d", low, 2*n)
	}
}

func TestHot_FourAccountsShareEverything(t *testing.T) {
	const n = 40_000
	counts := shares(drawn(Hot, n, 0, 0), Names("bench", 10_000))
	if rest := sum(counts[4:]); rest != 0 {
		t.Errorf("%d sides are on other accounts", rest)
	}
	for i, c := range counts[:4] {
		if c < 19_000 || c > 21_000 {
			t.Errorf("account %d takes part %d times, want about 20,000", i, c)
		}
	}
}

// A power law with exponent 1.1 over 10,000 accounts gives the first 15 % of all draws and the first ten 41 %; since both sides of a
// transfer differ, a little less.
func TestZipf_FewAccountsAreInMostTransfers(t *testing.T) {
	const n = 50_000
	counts := shares(drawn(Zipf, n, 0, 0), Names("bench", 10_000))
	share := func(first int) float64 { return float64(sum(counts[:first])) / (2 * n) }
	if got := share(1); got < 0.12 || got > 0.16 {
		t.Errorf("the first account has %.3f of the sides", got)
	}
	if got := share(10); got < 0.36 || got > 0.44 {
		t.Errorf("the first ten have %.3f of the sides", got)
	}
	if got := share(5000); got > 0.99 {
		t.Errorf("the second half has %.3f of the sides: the tail is missing", 1-got)
	}
}

func TestMixed_HasEveryKindOfMoneyCommand(t *testing.T) {
	kinds := map[ledger.Kind]int{}
	repeats := 0
	last := id.Key("")
	for _, c := range drawn(Mixed, 10_000, 0, 0) {
		kinds[c.Kind]++
		if c.Key == last {
			repeats++
		}
		last = c.Key
	}
	for _, kind := range []ledger.Kind{
		ledger.KindTransfer, ledger.KindCredit, ledger.KindDebit, ledger.KindHold, ledger.KindCommit, ledger.KindRollback,
	} {
		if kinds[kind] < 100 {
			t.Errorf("%d of 10,000 are %s", kinds[kind], kind)
		}
	}
	if repeats < 100 {
		t.Errorf("%d repeats", repeats)
	}
}

func TestParseScenario_NamesWhatItKnows(t *testing.T) {
	for _, s := range scenarios {
		if got, err := ParseScenario(string(s)); err != nil || got != s {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	if _, err := ParseScenario("cold"); err == nil || err.Error() != `scenario "cold" is none of uniform zipf hot mixed` {
		t.Errorf("%v", err)
	}
}
