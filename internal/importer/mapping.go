package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Mapping says how the rows of a file become commands. ParseMapping and LoadMapping make one. It never changes and is safe for concurrent
// use.
type Mapping struct {
	name      string
	file      string
	dialect   dialect
	columns   []column // that the mapping speaks of, in the order of their first mention
	skip      []when
	id        template
	date      dateRule
	amount    amountRule
	asset     assetRule
	direction directionRule
	account   accountRule
	counters  []counterRule
	reasons   []reasonRule
	reference template
	metadata  []pair
}

// column is one that a mapping mentions, and where it does so first.
type column struct {
	name string
	at   yamltree.Position
}

// accountRule names an account and the terms on which it is opened.
type accountRule struct {
	id             template
	normal         ledger.Side
	floor, ceiling string // decimals of the asset; empty: no bound
	metadata       []pair
}

// counterRule is the other side of the rows that it matches.
type counterRule struct {
	when when
	accountRule
}

// reasonRule is why the rows that it matches moved money.
type reasonRule struct {
	when when
	use  template
}

type pair struct {
	key   string
	value template
}

// when matches rows by the values of columns. It holds where each column has one of its values; the empty one always holds.
type when []condition

type condition struct {
	column int
	values []string // "*" is any value but the empty one
}

func (w when) matches(v values) bool {
	for _, c := range w {
		value := v.get(c.column)
		star := value != "" && slices.Contains(c.values, "*")
		if !star && !slices.Contains(c.values, value) {
			return false
		}
	}
	return true
}

// assetRule is a constant asset, or the column that has its code.
type assetRule struct {
	constant money.Asset
	code     template
}

// directionRule says which rows credit the account. Exactly one of its forms is set; where the amount has a column for each side, none is.
type directionRule struct {
	column   int // where byColumn is true
	byColumn bool
	credit   []string
	debit    []string
	positive ledger.Side // the side of a positive amount
}

// Name is the name of the mapping, a part of every idempotency key.
func (m Mapping) Name() string { return m.name }

// Asset returns the asset of all rows, or false where a column names it.
func (m Mapping) Asset() (money.Asset, bool) { return m.asset.constant, m.asset.code == nil }

// LoadMapping reads the mapping file at path.
func LoadMapping(path string) (Mapping, error) {
	data, err := yamltree.ReadFile(path)
	if err != nil {
		return Mapping{}, err
	}
	return ParseMapping(path, data)
}

// limit reads a floor or a ceiling in the asset of the account.
func limit(text string, a money.Asset) (ledger.Limit, error) {
	if text == "" {
		return ledger.Limit{}, nil
	}
	amount, err := a.ParseDecimal(text)
	if err != nil {
		return ledger.Limit{}, err
	}
	return ledger.AtLimit(amount), nil
}

// bind finds the columns of the mapping in those of a file.
func (m Mapping) bind(header []string) ([]int, error) {
	where := make(map[string]int, len(header))
	twice := map[string]bool{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		_, again := where[name]
		twice[name] = twice[name] || again
		where[name] = i
	}
	at := make([]int, len(m.columns))
	for i, c := range m.columns {
		place, found := where[c.name]
		if at[i] = place; !found {
			return nil, fmt.Errorf("%s:%s: the file has no column %q; it has %s", m.file, c.at, c.name, quoted(header))
		}
		if twice[c.name] {
			return nil, fmt.Errorf("%s:%s: the file has several columns %q; name them apart with csv.columns, and skip the header with csv.skip_lines: 1",
				m.file, c.at, c.name)
		}
	}
	return at, nil
}

// quoted lists names for a sentence, as many as a line can hold.
func quoted(names []string) string {
	const most = 30
	var b strings.Builder
	for i, name := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", clip(strings.TrimSpace(name)))
	}
	return b.String()
}

// clip keeps a hostile text out of an error in full length.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
