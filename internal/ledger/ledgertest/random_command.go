package ledgertest

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// frequent lists the kinds as often as they are drawn.
var frequent = []ledger.Kind{
	ledger.KindTransfer, ledger.KindTransfer, ledger.KindTransfer, ledger.KindDebit, ledger.KindDebit, ledger.KindCredit, ledger.KindCredit,
	ledger.KindPost, ledger.KindPost, ledger.KindHold, ledger.KindHold, ledger.KindHold, ledger.KindCommit, ledger.KindCommit, ledger.KindCommit,
	ledger.KindRollback, ledger.KindExpire, ledger.KindReverse, ledger.KindReverse,
	ledger.KindOpen, ledger.KindUpdate, ledger.KindFreeze, ledger.KindClose,
}

func (w World) idea() *rapid.Generator[idea] {
	kinds := slices.DeleteFunc(slices.Clone(frequent), func(k ledger.Kind) bool { return slices.Contains(w.Without, k) })
	keys := append(make([]keying, 20), repeat, repeat, stolen) // mostly fresh ones
	return rapid.Custom(func(t *rapid.T) idea {
		i := idea{
			key: rapid.SampledFrom(keys).Draw(t, "key"), back: rapid.IntRange(1, 8).Draw(t, "back"), aim: rapid.IntRange(0, furthest).Draw(t, "aim"),
		}
		i.command = w.command(t, rapid.SampledFrom(kinds).Draw(t, "kind"))
		return i
	})
}

func (w World) command(t *rapid.T, kind ledger.Kind) ledger.Command {
	c := ledger.Command{Kind: kind, Ledger: w.ledger(t)}
	switch kind {
	case ledger.KindDebit, ledger.KindCredit, ledger.KindHold:
		c.Account, c.Amount = name(t, "account"), amounts(t)
		c.Reason = rapid.SampledFrom([]id.Reason{"", "fee", "payout"}).Draw(t, "reason")
		if rapid.Bool().Draw(t, "names a counter account") {
			c.Counter = another(t, c.Account)
		}
		if kind == ledger.KindHold {
			c.ExpiresIn = w.lasts(t)
		}
	case ledger.KindTransfer:
		c.Account, c.Amount = name(t, "account"), amounts(t)
		c.Counter = another(t, c.Account)
	case ledger.KindPost:
		c.Legs = w.legs(t)
	case ledger.KindCommit:
		if rapid.Bool().Draw(t, "partial") {
			c.Amount, c.KeepRest = amounts(t), rapid.Bool().Draw(t, "keep rest")
		}
	case ledger.KindUpdate:
		c.Account, c.Change = name(t, "account"), change(t)
	case ledger.KindOpen:
		c.Account, c.Terms = name(t, "account"), terms(t)
		if rapid.Bool().Draw(t, "a new one") {
			c.Account = rapid.SampledFrom([]id.Account{"newcomer", "Nobody", "counter:fee:EUR", "counter:payout:EUR"}).Draw(t, "opened")
		}
	case ledger.KindFreeze:
		c.Account = name(t, "account")
		states := []ledger.Status{ledger.Open, ledger.Open, ledger.Open, ledger.DebitsFrozen, ledger.CreditsFrozen, ledger.Frozen}
		c.Status = rapid.SampledFrom(states).Draw(t, "status")
	case ledger.KindClose:
		c.Account = name(t, "account")
	default: // rollback, expire and reverse have a target and nothing else
	}
	if kind.Priority() < ledger.Other && oneIn(t, 4, "carries more") { // commands on accounts carry nothing in the API either
		c.Reference = rapid.SampledFrom([]string{"", "po_1", "pö_2"}).Draw(t, "reference")
		c.Metadata = rapid.SampledFrom([]ledger.Metadata{nil, {"order": "7"}, {"order": "8", "<shop>": "\"a&b\""}}).Draw(t, "metadata")
		c.EffectiveAt = rapid.SampledFrom([]time.Time{
			{}, time.Date(2024, 12, 31, 23, 59, 59, 123456789, time.FixedZone("", 3600)), time.Date(1993, 1, 1, 0, 0, 0, 0, time.UTC),
		}).Draw(t, "effective at")
	}
	return c
}

func (w World) ledger(t *rapid.T) id.Ledger {
	return w.Ledgers[rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 2}).Draw(t, "ledger")].ID
}

// another draws a name that is not taken, or now and then is.
func another(t *rapid.T, taken id.Account) id.Account {
	n := name(t, "counter")
	if n == taken && !oneIn(t, 6, "to itself") {
		return names[(slices.Index(names, n)+5)%len(names)]
	}
	return n
}

func name(t *rapid.T, label string) id.Account { return rapid.SampledFrom(names).Draw(t, label) }

// lasts draws times to live that are never over in a world that stands still.
func (w World) lasts(t *rapid.T) time.Duration {
	all := []time.Duration{0, 24 * time.Hour, ledger.MaxHold}
	if w.Timed {
		all = append(all, 1, time.Millisecond, time.Second, time.Hour)
	}
	return rapid.SampledFrom(all).Draw(t, "expires in")
}

var assets = slices.Concat(slices.Repeat([]money.Code{"EUR"}, 20), []money.Code{"USD", "XXX"}, slices.Repeat([]money.Code{"EUR"}, 10))

// amounts are mostly small, so that they often meet a limit exactly, and sometimes at the end of what can be written down.
func amounts(t *rapid.T) *ledger.Money {
	n := money.FromInt64(rapid.SampledFrom([]int64{1, 10, 50, 50, 100, 100, 100, 150, 200, 300}).Draw(t, "amount"))
	switch rapid.IntRange(0, 49).Draw(t, "magnitude") {
	case 48:
		n = money.MustParse("5" + strings.Repeat("0", money.MaxDigits-1))
	case 49:
		n = money.MustParse(strings.Repeat("9", money.MaxDigits))
	}
	return &ledger.Money{Minor: n, Asset: rapid.SampledFrom(assets).Draw(t, "asset")}
}

// legs are pairs that balance, now and then with one more that does not.
func (w World) legs(t *rapid.T) []ledger.Leg {
	var legs []ledger.Leg
	leg := func(l id.Ledger, side ledger.Side, m ledger.Money) {
		legs = append(legs, ledger.Leg{Ledger: l, Account: name(t, "account of leg"), Side: side, Amount: m})
	}
	for range rapid.IntRange(1, 3).Draw(t, "pairs") {
		l, m := id.Ledger(""), *amounts(t)
		if oneIn(t, 3, "in another ledger") {
			l = w.ledger(t)
		}
		leg(l, ledger.Debit, m)
		leg(l, ledger.Credit, m)
	}
	if oneIn(t, 6, "one more") {
		leg("", rapid.SampledFrom([]ledger.Side{ledger.Debit, ledger.Credit}).Draw(t, "side"), *amounts(t))
	}
	return rapid.Permutation(legs).Draw(t, "order")
}

var limits = []ledger.Limit{{}, {}, atLimit(-50), atLimit(0), atLimit(100), atLimit(500)}

func terms(t *rapid.T) *ledger.Terms {
	return &ledger.Terms{
		Asset:  rapid.SampledFrom([]money.Code{"EUR", "EUR", "EUR", "USD", "XXX"}).Draw(t, "asset"),
		Normal: rapid.SampledFrom([]ledger.Side{ledger.Credit, ledger.Debit}).Draw(t, "normal side"),
		Floor:  rapid.SampledFrom(limits).Draw(t, "floor"), Ceiling: rapid.SampledFrom(limits).Draw(t, "ceiling"),
		Metadata: rapid.SampledFrom([]ledger.Metadata{nil, {"tier": "gold"}}).Draw(t, "metadata of account"),
	}
}

// change draws any of the three, and at least one.
func change(t *rapid.T) *ledger.Change {
	what := rapid.IntRange(1, 7).Draw(t, "what changes")
	var c ledger.Change
	if what&1 != 0 {
		floor := rapid.SampledFrom(limits).Draw(t, "floor")
		c.Floor = &floor
	}
	if what&2 != 0 {
		ceiling := rapid.SampledFrom(limits).Draw(t, "ceiling")
		c.Ceiling = &ceiling
	}
	if what&4 != 0 {
		c.Metadata = rapid.SampledFrom([]ledger.Metadata{{}, {"tier": "gold"}}).Draw(t, "metadata of account")
	}
	return &c
}
