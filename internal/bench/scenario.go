package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Scenario says which accounts meet, and in which commands.
type Scenario string

// The scenarios. All but Mixed are transfers alone.
const (
	Uniform Scenario = "uniform" // any two accounts
	Zipf    Scenario = "zipf"    // few accounts are in most of the transfers
	Hot     Scenario = "hot"     // any two of four accounts
	Mixed   Scenario = "mixed"   // every kind of money command, with repeats and declines, on any accounts
)

var scenarios = []Scenario{Uniform, Zipf, Hot, Mixed}

// ParseScenario reads the name of a scenario.
func ParseScenario(s string) (Scenario, error) {
	if !slices.Contains(scenarios, Scenario(s)) {
		return "", fmt.Errorf("scenario %q is none of %s", s, strings.Trim(fmt.Sprint(scenarios), "[]"))
	}
	return Scenario(s), nil
}

const (
	hotAccounts = 4
	// zipfSkew is the exponent of a power law: with 1.1 and 10,000 accounts the first is in one of six transfers, the first ten are in
	// half of them.
	zipfSkew = 1.1
	// maxHolds bounds what one client keeps open in Mixed.
	maxHolds = 64
)

// stream is the commands of one client, decided by the seed, the number of the slice and the number of the client.
type stream struct {
	scenario Scenario
	books    Books
	rng      *rand.Rand
	zipf     *rand.Zipf
	last     ledger.Command
	holds    []id.Transaction
}

func newStream(l Load, b Books, slice, client int) *stream {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[0:], l.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(slice))   //nolint:gosec // any bits do
	binary.LittleEndian.PutUint64(seed[16:], uint64(client)) //nolint:gosec // any bits do
	copy(seed[24:], l.Scenario)
	s := &stream{scenario: l.Scenario, books: b, rng: rand.New(rand.NewChaCha8(seed))}
	if l.Scenario == Zipf {
		s.zipf = rand.NewZipf(s.rng, zipfSkew, 1, uint64(len(b.Accounts)-1)) //nolint:gosec // there are accounts
	}
	return s
}

// batch returns the next n commands.
func (s *stream) batch(n int) []ledger.Command {
	commands := make([]ledger.Command, n)
	for i := range commands {
		commands[i] = s.next()
		s.last = commands[i]
	}
	return commands
}

func (s *stream) next() ledger.Command {
	if s.scenario == Mixed {
		return s.mixed()
	}
	return s.transfer(1 + s.rng.Int64N(100))
}

// pair draws two different accounts.
func (s *stream) pair() (from, to id.Account) {
	a := s.account()
	b := s.account()
	for b == a {
		b = s.account()
	}
	return s.books.Accounts[a], s.books.Accounts[b]
}

func (s *stream) account() int {
	switch s.scenario {
	case Hot:
		return s.rng.IntN(min(hotAccounts, len(s.books.Accounts)))
	case Zipf:
		return int(s.zipf.Uint64()) //nolint:gosec // less than the number of accounts
	default:
		return s.rng.IntN(len(s.books.Accounts))
	}
}

// command starts one of a kind.
func (s *stream) command(kind ledger.Kind) ledger.Command {
	return ledger.Command{Kind: kind, Ledger: s.books.Ledger, Key: keyOf(s.rng.Uint64(), s.rng.Uint64())}
}

// keyOf makes a key as clients make them: a UUID.
func keyOf(a, b uint64) id.Key {
	var key id.Transaction
	binary.LittleEndian.PutUint64(key[:8], a)
	binary.LittleEndian.PutUint64(key[8:], b)
	return id.Key(key.String())
}

func (s *stream) transfer(minor int64) ledger.Command {
	c := s.command(ledger.KindTransfer)
	c.Account, c.Counter = s.pair()
	c.Amount = amount(minor)
	return c
}

// mixed draws one of a hundred: 60 transfers, 20 credits and debits against the ledger's own accounts (which are hot therefore), 8 holds
// and 8 ends of holds, 2 repeats of the command before, and 2 transfers of more than there is.
func (s *stream) mixed() ledger.Command {
	draw := s.rng.IntN(100)
	minor := 1 + s.rng.Int64N(100)
	switch {
	case draw < 10:
		c := s.command(ledger.KindCredit)
		c.Account, _ = s.pair()
		c.Amount, c.Reason = amount(minor), "deposit"
		return c
	case draw < 20:
		c := s.command(ledger.KindDebit)
		c.Account, _ = s.pair()
		c.Amount, c.Reason = amount(minor), "payout"
		return c
	case draw < 28 && len(s.holds) < maxHolds:
		c := s.command(ledger.KindHold)
		c.Account, c.Counter = s.pair()
		c.Amount = amount(minor)
		s.holds = append(s.holds, c.ID())
		return c
	case draw >= 28 && draw < 36 && len(s.holds) > 0:
		return s.settle()
	case draw >= 36 && draw < 38 && s.last.Key != "":
		return s.last
	case draw >= 38 && draw < 40:
		return s.transfer(2 * funds)
	}
	return s.transfer(minor)
}

// settle ends the oldest hold: three times in four by committing it.
func (s *stream) settle() ledger.Command {
	kind := ledger.KindCommit
	if s.rng.IntN(4) == 0 {
		kind = ledger.KindRollback
	}
	c := s.command(kind)
	c.Target = s.holds[0]
	s.holds = s.holds[1:]
	return c
}

func amount(minor int64) *ledger.Money {
	return &ledger.Money{Minor: money.FromInt64(minor), Asset: asset.Code}
}
