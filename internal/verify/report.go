package verify

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Report is what a verification found.
type Report struct {
	At       time.Time     `json:"at"` // the instant of the snapshot
	Engine   string        `json:"engine"`
	Duration time.Duration `json:"duration_ns"`
	Checks   []Check       `json:"checks"`
	Totals   []Totals      `json:"ledgers"`
	Streams  []Stream      `json:"streams,omitempty"` // none where ledgers were named
}

// Check is one promise about the books, and where it is broken.
type Check struct {
	Name     string    `json:"name"`
	Promise  string    `json:"promise"`
	Rows     int64     `json:"rows"`     // that were held against the promise
	Found    int64     `json:"found"`    // broken places; at least so many where there are more than Findings lists
	Findings []Finding `json:"findings"` // the first of them
}

// Finding is one place where a promise is broken. Fields that do not apply are empty.
type Finding struct {
	Ledger      id.Ledger      `json:"ledger,omitempty"`
	Account     id.Account     `json:"account,omitempty"`
	Transaction id.Transaction `json:"transaction,omitzero"` // of a hold: the one that made it
	Sequence    int64          `json:"sequence,omitempty"`   // of the account's entry
	Message     string         `json:"message"`

	// Of the change stream.
	Home         id.Home `json:"home,omitempty"`
	Position     int64   `json:"position,omitempty"`
	Subscription string  `json:"subscription,omitempty"`
}

// Totals say how much was verified of one ledger.
type Totals struct {
	Ledger       id.Ledger     `json:"ledger"`
	Transactions int64         `json:"transactions"` // posted
	Declines     int64         `json:"declines"`
	Holds        int64         `json:"holds"`
	Assets       []AssetTotals `json:"assets"`
}

// AssetTotals say how much was verified of one asset in a ledger. The sums are minor units of the entries, as decimal strings: the sum of
// many amounts may need more digits than one has.
type AssetTotals struct {
	Asset    money.Asset `json:"asset"`
	Accounts int64       `json:"accounts"`
	Entries  int64       `json:"entries"`
	Debits   string      `json:"debits"`
	Credits  string      `json:"credits"`
}

// OK tells whether every promise holds.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.OK() })
}

// OK tells whether the promise holds.
func (c Check) OK() bool { return c.Found == 0 }

// MarshalJSON adds the verdict.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		OK bool `json:"ok"`
		plain
	}{r.OK(), plain(r)})
}

func (c *Check) add(f Finding, most int) {
	c.Found++
	if len(c.Findings) < most {
		c.Findings = append(c.Findings, f)
	}
}

// checks are the promises by name.
type checks struct {
	balanced, balances, sequences, chain, terms, holds, keys, journal, reversals, homes, closed,
	payments, holdings, stream, order, deliveries, search Check
}

func newChecks() checks {
	check := func(name, promise string) Check { return Check{Name: name, Promise: promise, Findings: []Finding{}} }
	return checks{
		balanced:  check("balanced", "debits equal credits in every ledger, asset and transaction"),
		balances:  check("balances", "the totals of every account are what its entries add up to"),
		sequences: check("sequences", "the entries of every account are numbered 1, 2, 3 without a gap"),
		chain:     check("chain", "every entry continues the one before it, in amount and in time"),
		terms:     check("terms", "every account has the status, limits and metadata that its newest command gave it"),
		holds:     check("holds", "open holds add up to what is pending, and the journal tells the life of every hold"),
		keys:      check("keys", "no key stands twice in a ledger, and every stored request is the one that was answered"),
		journal:   check("journal", "the journal and the accounts tell the same entries, no more and no less"),
		reversals: check("reversals", "a reversal is the exact opposite of what it reverses, at most once"),
		homes:     check("homes", "every row stands in the home of its ledger, every account has an asset of its ledger"),
		closed:    check("closed", "closed accounts are at zero, with nothing pending"),

		payments: check("payments", "every payment is what its steps add up to, and each step has its line of history and its journal row"),
		holdings: check("holdings", "payments hold on accounts what their steps moved there; where money of theirs waits nothing else does, and nothing of one that has ended"),

		stream:     check("stream", "every position is a journal row, without a gap, and no journal row was passed over by a home that it touches"),
		order:      check("order", "the entries of every account left in their order"),
		deliveries: check("deliveries", "what was delivered is what was wanted, save what is due, dead or discarded"),
		search:     check("search", "the search model has what the journal has, up to its position"),
	}
}

func (c *checks) list() []Check {
	return []Check{
		c.balanced, c.balances, c.sequences, c.chain, c.terms, c.holds, c.keys, c.journal, c.reversals, c.homes, c.closed, c.payments, c.holdings, c.stream,
		c.order, c.deliveries, c.search,
	}
}

// totals are sums on their way, by ledger.
type totals map[id.Ledger]*ledgerTotals

type ledgerTotals struct {
	transactions, declines, holds int64
	assets                        map[money.Asset]*assetTotals
}

type assetTotals struct {
	accounts, entries             int64
	entryDebits, entryCredits     big.Int
	accountDebits, accountCredits big.Int
}

func (t totals) of(ledger id.Ledger) *ledgerTotals {
	found, ok := t[ledger]
	if !ok {
		found = &ledgerTotals{assets: map[money.Asset]*assetTotals{}}
		t[ledger] = found
	}
	return found
}

func (t *ledgerTotals) of(asset money.Asset) *assetTotals {
	found, ok := t.assets[asset]
	if !ok {
		found = &assetTotals{}
		t.assets[asset] = found
	}
	return found
}

func (t totals) list() []Totals {
	list := make([]Totals, 0, len(t))
	for _, ledger := range slices.Sorted(maps.Keys(t)) {
		sums := t[ledger]
		line := Totals{Ledger: ledger, Transactions: sums.transactions, Declines: sums.declines, Holds: sums.holds, Assets: []AssetTotals{}}
		for asset, a := range sums.assets {
			line.Assets = append(line.Assets, AssetTotals{
				Asset: asset, Accounts: a.accounts, Entries: a.entries, Debits: a.entryDebits.String(), Credits: a.entryCredits.String(),
			})
		}
		slices.SortFunc(line.Assets, func(a, b AssetTotals) int {
			return cmp.Or(cmp.Compare(a.Asset.Code, b.Asset.Code), cmp.Compare(a.Asset.Scale, b.Asset.Scale))
		})
		list = append(list, line)
	}
	return list
}
