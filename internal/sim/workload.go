// Package sim is a seeded workload of many independent clients, the history of what they did and were told, and the checkers of it.
//
// It promises that each client follows the rules that a client of money follows: it makes up a key once, and on any failure takes the
// same key to the next node until it has an answer. Every call and every answer is kept, and a command without an answer stays in the history
// as unknown until Settle learns its end. The checkers then hold the books and the change stream against the answers, to the last unit. It
// knows the ledger only as a ledger.Service.
//
// Read workload.go for what clients ask for, load.go and client.go for how, history.go for what is kept, series.go for what is measured of it,
// and verdict.go for what is judged.
package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Workload is a set of books and the accounts in them that clients move money between.
type Workload struct {
	Ledgers  []id.Ledger // each holds EUR
	Accounts int         // in each ledger
	Hot      int         // of them, that take a third of the movements
	Seed     uint64

	before map[ledger.Ref]ledger.Account // what Open found
	across float64                       // in tests: the share of commands that move money from one ledger to another; 0: a few of a hundred
}

const (
	asset        = money.Code("EUR")
	firstDeposit = 100_000 // minor units, on every account
)

const players = "player:" // how the names of the accounts begin

func (w Workload) account(i int) id.Account { return id.Account(players + strconv.Itoa(i)) }

// Open opens the accounts, puts money on them, and notes what they have: after an earlier run on the same books that is not the first
// deposit any more. It may run any number of times.
func (w *Workload) Open(ctx context.Context, svc ledger.Service) error {
	for _, name := range w.Ledgers {
		for from := 0; from < w.Accounts; from += ledger.MaxBatch / 2 {
			var batch ledger.Batch
			for i := from; i < min(from+ledger.MaxBatch/2, w.Accounts); i++ {
				a := w.account(i)
				batch.Commands = append(batch.Commands,
					ledger.Command{Kind: ledger.KindOpen, Ledger: name, Key: id.Key("open:" + a), Account: a, Terms: &ledger.Terms{
						Asset: asset, Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{}),
					}},
					ledger.Command{
						Kind: ledger.KindCredit, Ledger: name, Key: id.Key("first-deposit:" + a), Account: a, Reason: "deposit", Amount: euros(firstDeposit),
					})
			}
			results, err := svc.Execute(ctx, batch)
			if err != nil {
				return fmt.Errorf("open the accounts of %s: %w", name, err)
			}
			for _, r := range results {
				if r.Err != nil || r.Outcome.Decided != ledger.Posted {
					return fmt.Errorf("open the accounts of %s: %s declined: %s: %w", name, r.Outcome.Kind, r.Outcome.Reason, r.Err)
				}
			}
		}
	}
	var err error
	w.before, err = w.accounts(ctx, svc)
	return err
}

// accounts reads all accounts of the ledgers: those of players, and those of the house.
func (w Workload) accounts(ctx context.Context, svc ledger.Service) (map[ledger.Ref]ledger.Account, error) {
	const page = 1000
	all := map[ledger.Ref]ledger.Account{}
	for _, name := range w.Ledgers {
		for after, more := id.Account(""), true; more; {
			var accounts []ledger.Account
			if err := patiently(ctx, func() (err error) {
				accounts, err = svc.Accounts(ctx, name, after, page)
				return err
			}); err != nil {
				return nil, fmt.Errorf("read the accounts of %s: %w", name, err)
			}
			more = len(accounts) == page
			for _, a := range accounts {
				after, all[a.Ref] = a.Ref.Account, a
			}
		}
	}
	return all, nil
}

func euros(minor int64) *ledger.Money {
	return &ledger.Money{Minor: money.FromInt64(minor), Asset: asset}
}

// player makes up the commands of one client.
type player struct {
	w       Workload
	random  *rand.Rand
	name    string
	own     []id.Ledger // of its region
	count   int
	holds   []held
	moved   []held           // transactions that can be reversed
	earlier []ledger.Command // that were answered, to be sent once more
}

type held struct {
	ledger id.Ledger
	id     id.Transaction
}

func (w Workload) player(run string, n int) *player {
	return &player{w: w, random: rand.New(rand.NewPCG(w.Seed, uint64(n))), name: fmt.Sprintf("%s-%d", run, n)} //nolint:gosec // n is small and positive
}

func (p *player) key() id.Key {
	p.count++
	return id.Key(p.name + "-" + strconv.Itoa(p.count))
}

func (p *player) ledger() id.Ledger {
	if len(p.own) > 0 && p.random.IntN(10) > 0 {
		return p.own[p.random.IntN(len(p.own))]
	}
	return p.w.Ledgers[p.random.IntN(len(p.w.Ledgers))]
}

func (p *player) account() id.Account {
	if p.w.Hot > 0 && p.random.IntN(3) == 0 {
		return p.w.account(p.random.IntN(p.w.Hot))
	}
	return p.w.account(p.random.IntN(p.w.Accounts))
}

// next is a command of a mix as a gaming platform has it: mostly transfers, stakes that are held and settled, deposits and payouts, some
// retries, some corrections, and a few that the books have to decline.
func (p *player) next() ledger.Command {
	c := ledger.Command{Ledger: p.ledger(), Key: p.key(), Amount: euros(1 + p.random.Int64N(5_000))}
	if p.w.across > 0 && p.random.Float64() < p.w.across && len(p.w.Ledgers) > 1 {
		others := slices.DeleteFunc(slices.Clone(p.w.Ledgers), func(l id.Ledger) bool { return l == c.Ledger })
		return p.acrossHomes(c, others[p.random.IntN(len(others))])
	}
	switch roll := p.random.IntN(100); {
	case roll < 45:
		c.Kind, c.Account, c.Counter, c.Reason = ledger.KindTransfer, p.account(), p.account(), "p2p"
		for c.Counter == c.Account {
			c.Counter = p.w.account(p.random.IntN(p.w.Accounts))
		}
	case roll < 57:
		c.Kind, c.Account, c.Reason = ledger.KindCredit, p.account(), "deposit"
	case roll < 67:
		c.Kind, c.Account, c.Reason = ledger.KindDebit, p.account(), "payout"
	case roll < 70: // more than anybody has
		c.Kind, c.Account, c.Reason, c.Amount = ledger.KindDebit, p.account(), "payout", euros(1_000_000_000)
	case roll < 80:
		c.Kind, c.Account, c.Reason = ledger.KindHold, p.account(), "stake"
	case roll < 88 && len(p.holds) > 0:
		return p.settle(c)
	case roll < 91 && len(p.moved) > 0:
		last := len(p.moved) - 1
		c.Kind, c.Ledger, c.Target, c.Amount = ledger.KindReverse, p.moved[last].ledger, p.moved[last].id, nil
		p.moved = p.moved[:last]
	case roll < 96 && len(p.earlier) > 0: // a client that is not sure whether it was answered
		return p.earlier[p.random.IntN(len(p.earlier))]
	default:
		return p.acrossHomes(c, p.ledger())
	}
	return c
}

// settle commits a hold, wholly or in part, or rolls it back.
func (p *player) settle(c ledger.Command) ledger.Command {
	last := len(p.holds) - 1
	c.Ledger, c.Target, c.Amount = p.holds[last].ledger, p.holds[last].id, nil
	p.holds = p.holds[:last]
	switch p.random.IntN(3) {
	case 0:
		c.Kind = ledger.KindRollback
	case 1:
		c.Kind, c.Amount = ledger.KindCommit, euros(1) // the rest is released
	default:
		c.Kind = ledger.KindCommit
	}
	return c
}

// acrossHomes moves money between two ledgers, through a clearing account in each: four entries, balanced in both books, atomic.
func (p *player) acrossHomes(c ledger.Command, other id.Ledger) ledger.Command {
	from, to := p.account(), p.account()
	if other == c.Ledger {
		c.Kind, c.Account, c.Counter, c.Reason = ledger.KindCredit, from, "", "deposit"
		return c
	}
	amount := *c.Amount
	c.Kind, c.Amount, c.Reason = ledger.KindPost, nil, "inter-ledger"
	c.Legs = []ledger.Leg{
		{Account: from, Side: ledger.Debit, Amount: amount},
		{Account: ledger.CounterOf("deposit", asset), Side: ledger.Credit, Amount: amount},
		{Ledger: other, Account: ledger.CounterOf("deposit", asset), Side: ledger.Debit, Amount: amount},
		{Ledger: other, Account: to, Side: ledger.Credit, Amount: amount},
	}
	return c
}

// answered lets later commands build on this one.
func (p *player) answered(c ledger.Command, o ledger.Outcome) {
	if p.count%8 == 0 {
		p.earlier = append(p.earlier, c)
		if len(p.earlier) > 32 {
			p.earlier = p.earlier[1:]
		}
	}
	if o.Decided != ledger.Posted || o.Replayed {
		return
	}
	switch o.Kind {
	case ledger.KindHold:
		p.holds = append(p.holds, held{o.Ledger, o.Transaction})
	case ledger.KindTransfer, ledger.KindPost:
		if p.random.IntN(10) == 0 {
			p.moved = append(p.moved, held{o.Ledger, o.Transaction})
		}
	default:
	}
}
