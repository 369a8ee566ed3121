package ledgertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// World is where random streams of commands play: three ledgers, two of them in one home, with a few accounts each that differ in all that
// matters. The names are few, so that commands meet.
type World struct {
	Ledgers []ledger.Ledger
	Timed   bool          // streams move the clock and use short holds; only where the clock can be moved
	Without []ledger.Kind // kinds that the implementation has no way to ask for
}

// NewWorld names a world whose ledgers begin with prefix. A database that outlives a run wants another prefix for each run, which is not to
// be drawn: rapid runs a stream again to make it shorter.
func NewWorld(prefix string) World {
	eur, usd, btc := money.Asset{Code: "EUR", Scale: 2}, money.Asset{Code: "USD", Scale: 2}, money.Asset{Code: "BTC", Scale: 8}
	return World{Ledgers: []ledger.Ledger{
		{ID: id.Ledger(prefix + "-a"), Home: "eu", Assets: []money.Asset{eur, usd}},
		{ID: id.Ledger(prefix + "-b"), Home: "eu", Assets: []money.Asset{eur}},
		{ID: id.Ledger(prefix + "-c"), Home: "us", Assets: []money.Asset{btc, eur}},
	}}
}

// cast are the accounts that every ledger begins with, and what they have.
var cast = []struct {
	name  id.Account
	terms ledger.Terms
	has   int64
}{
	{"free", ledger.Terms{Asset: "EUR", Normal: ledger.Credit}, 0},
	{"customer", ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: atLimit(0)}, 400},
	{"overdraft", ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: atLimit(-100), Ceiling: atLimit(300)}, 0},
	{"cash", ledger.Terms{Asset: "EUR", Normal: ledger.Debit}, 0},
	{"till", ledger.Terms{Asset: "EUR", Normal: ledger.Debit, Floor: atLimit(0), Ceiling: atLimit(200)}, 0},
	{"dollars", ledger.Terms{Asset: "USD", Normal: ledger.Credit, Floor: atLimit(0)}, 200},
}

// names lists the accounts as often as they are drawn; rapid likes the first and the last ones best.
var names = slices.Concat(
	slices.Repeat([]id.Account{"free", "customer"}, 6), []id.Account{"dollars", "counter:fee:EUR", "counter:general:EUR", "newcomer", "Nobody"},
	slices.Repeat([]id.Account{"overdraft", "till", "cash"}, 4),
)

func atLimit(n int64) ledger.Limit { return ledger.AtLimit(money.FromInt64(n)) }

// Create makes the world in every implementation that is to be compared.
func (w World) Create(ctx context.Context, services ...ledger.Service) error {
	for _, s := range services {
		for _, l := range w.Ledgers {
			if _, err := s.CreateLedger(ctx, l); err != nil {
				return fmt.Errorf("create ledger %s: %w", l.ID, err)
			}
			var open ledger.Batch
			for _, a := range cast {
				open.Commands = append(open.Commands, ledger.Command{
					Kind: ledger.KindOpen, Ledger: l.ID, Key: id.Key("open/" + string(a.name)), Account: a.name, Terms: &a.terms,
				})
				if a.has > 0 {
					open.Commands = append(open.Commands, ledger.Command{
						Kind: ledger.KindCredit, Ledger: l.ID, Key: id.Key("fund/" + string(a.name)), Account: a.name,
						Amount: &ledger.Money{Minor: money.FromInt64(a.has), Asset: a.terms.Asset},
					})
				}
			}
			if _, err := s.Execute(ctx, open); err != nil {
				return fmt.Errorf("open the accounts of ledger %s: %w", l.ID, err)
			}
		}
	}
	return nil
}

// Step is a batch, after a pause.
type Step struct {
	Wait  time.Duration
	Batch ledger.Batch
}

// String prints a step as a failing run shows it.
func (s Step) String() string {
	text := ""
	if s.Wait != 0 {
		text += fmt.Sprintf("wait %s, ", s.Wait)
	}
	text += fmt.Sprintf("execute (atomic=%t dry_run=%t)", s.Batch.Atomic, s.Batch.DryRun)
	for _, c := range s.Batch.Commands {
		text += "\n      " + string(c.Canonical())
	}
	return text
}

// idea is a command before its key and its target are known: they are drawn as distances, so that a stream from which rapid has taken a
// command out still makes sense, and failures shrink.
type idea struct {
	command ledger.Command
	key     keying
	back    int // how far back the command is that is repeated, or whose key is taken
	aim     int // how far back the target is, among those that the kind may aim at
}

type keying uint8

const (
	fresh  keying = iota
	repeat        // the same command again
	stolen        // another command under the same key
)

type ideas struct {
	wait   time.Duration
	atomic bool
	dry    bool
	batch  []idea
}

// Steps draws a stream of batches, some 30 of them and at most n, in which keys, holds and reversals collide.
func (w World) Steps(n int) *rapid.Generator[[]Step] {
	acts := rapid.SliceOfN(rapid.SliceOfN(w.ideas(), 1, -1), 1, -1) // a slice of slices, because a single one of rapid's has about six
	return rapid.Map(acts, func(acts [][]ideas) []Step {
		all := slices.Concat(acts...)
		return resolve(all[:min(len(all), n)])
	})
}

func (w World) ideas() *rapid.Generator[ideas] {
	waits := append(make([]time.Duration, 16), time.Millisecond, time.Second, -time.Second, time.Hour, 8*24*time.Hour)
	return rapid.Custom(func(t *rapid.T) ideas {
		i := ideas{
			batch: rapid.SliceOfN(w.idea(), 1, 4).Draw(t, "batch"), atomic: oneIn(t, 3, "atomic"), dry: oneIn(t, 10, "dry run"),
		}
		if w.Timed {
			i.wait = rapid.SampledFrom(waits).Draw(t, "wait")
		}
		return i
	})
}

func oneIn(t *rapid.T, n int, label string) bool { return rapid.IntRange(0, n-1).Draw(t, label) == n-1 }

// resolve turns ideas into commands.
func resolve(stream []ideas) []Step {
	var past []ledger.Command
	steps := make([]Step, len(stream))
	for i, s := range stream {
		steps[i] = Step{Wait: s.wait, Batch: ledger.Batch{Atomic: s.atomic, DryRun: s.dry}}
		for _, idea := range s.batch {
			c := idea.command
			c.Key = id.Key(fmt.Sprintf("k%d", len(past)))
			if idea.key != fresh && len(past) > 0 {
				before := past[max(0, len(past)-idea.back)]
				if idea.key == repeat {
					c = before
				} else {
					c.Ledger, c.Key = before.Ledger, before.Key
				}
			}
			if idea.key != repeat {
				c = aimed(c, past, idea.aim)
			}
			past = append(past, c)
			steps[i].Batch.Commands = append(steps[i].Batch.Commands, c)
		}
	}
	return steps
}

// furthest is how far back commands aim at most.
const furthest = 8

// aimed gives a command that acts on another one its target.
func aimed(c ledger.Command, past []ledger.Command, back int) ledger.Command {
	likely := func(k ledger.Kind) bool { return k == ledger.KindHold }
	switch c.Kind {
	case ledger.KindReverse:
		likely = func(k ledger.Kind) bool { return moves(k) || back == 1 && k == ledger.KindReverse }
	case ledger.KindCommit, ledger.KindRollback, ledger.KindExpire:
	default:
		return c
	}
	var targets []ledger.Command
	for _, p := range past {
		if likely(p.Kind) {
			targets = append(targets, p)
		}
	}
	c.Target = id.TransactionOf(c.Ledger, "nothing")
	if len(targets) > 0 && back < furthest {
		p := targets[len(targets)-1-back%len(targets)]
		c.Target = p.ID()
		if back != 1 { // that one may miss the ledger
			c.Ledger = p.Ledger
		}
	}
	if c.Kind == ledger.KindExpire {
		return ledger.ExpireCommand(ledger.Hold{ID: c.Target, Ledger: c.Ledger})
	}
	return c
}

// GoString is what rapid prints.
func (s Step) GoString() string { return "\n   " + s.String() }
