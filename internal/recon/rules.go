package recon

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Way is a way in which lines and books of one reference can meet.
type Way string

// The ways. The order in a file of rules is their precedence.
const (
	OneToOne  Way = "one_to_one"  // the same amount, within the window
	Tolerance Way = "tolerance"   // one to one, about the same amount, within the window
	OneToMany Way = "one_to_many" // one movement here, several lines that add up to it
	ManyToOne Way = "many_to_one" // several movements here that add up to one line
)

// Rules say what counts as the same. ParseRules makes them. They never change and are safe for concurrent use.
type Rules struct {
	text     string
	name     string
	ways     []Way
	accounts []string    // how the ids of the provider's accounts begin
	positive ledger.Side // of these accounts: what comes to us
	earlier  time.Duration
	later    time.Duration
	reach    time.Duration
	absolute money.Amount // minor units
	millionP int64        // tolerance in parts of a million of the amount here
}

var ruleKind = yamltree.Kind{Noun: "file of rules", Fields: "name, books, match and window"}

// maxDays bounds windows.
const maxDays = 366

// LoadRules reads the file at path.
func LoadRules(path string) (Rules, error) {
	data, err := yamltree.ReadFile(path)
	if err != nil {
		return Rules{}, err
	}
	return ParseRules(path, data)
}

// ParseRules reads rules. All that is wrong comes back at once, a line each, as file:line:column and how to mend it.
func ParseRules(file string, data []byte) (Rules, error) {
	tree, root, err := yamltree.Parse(file, data, ruleKind)
	if err != nil {
		return Rules{}, err
	}
	r := ruleReader{tree}
	rules := r.rules(root)
	if err := r.Err(); err != nil {
		return Rules{}, err
	}
	rules.text = string(data)
	return rules, nil
}

type ruleReader struct{ *yamltree.Reader }

func (r ruleReader) rules(root ast.Node) Rules {
	if root == nil {
		return Rules{}
	}
	f, ok := r.Fields(root, "a file of rules", []string{"name", "books", "match", "window"}, []string{"reach", "tolerance"})
	if !ok {
		return Rules{}
	}
	rules := Rules{positive: ledger.Debit}
	rules.name, _ = yamltree.Text(f["name"])
	if _, err := id.ParseHome(rules.name); err != nil { // the same letters do
		r.Complain(f["name"], "name is %s; write 1 to 32 of a-z 0-9 -, starting with a letter", yamltree.Describe(f["name"]))
	}
	r.books(f["books"], &rules)
	r.ways(f["match"], &rules)
	if window, ok := r.Fields(f["window"], "window", []string{"earlier", "later"}, nil); ok {
		rules.earlier, rules.later = r.days(window["earlier"], "earlier"), r.days(window["later"], "later")
	}
	rules.reach = max(31*24*time.Hour, rules.earlier, rules.later)
	if n, there := f["reach"]; there {
		if rules.reach = r.days(n, "reach"); rules.reach < max(rules.earlier, rules.later) {
			r.Complain(n, "reach is shorter than the window; write how far a movement may be from its line to be called late")
		}
	}
	n, there := f["tolerance"]
	if there {
		r.tolerance(n, &rules)
	}
	if there != slices.Contains(rules.ways, Tolerance) {
		r.Complain(root, "match: [… tolerance …] and the field tolerance belong together; write both or none")
	}
	return rules
}

func (r ruleReader) books(n ast.Node, rules *Rules) {
	f, ok := r.Fields(n, "books", []string{"accounts"}, []string{"positive"})
	if !ok {
		return
	}
	for _, item := range r.List(f["accounts"], "accounts") {
		prefix, ok := yamltree.Text(item)
		if _, err := id.ParseAccount(prefix); !ok || err != nil {
			r.Complain(item, "accounts has %s; write how the ids of the provider's accounts begin, such as \"psp:clearing:\"", yamltree.Describe(item))
		}
		rules.accounts = append(rules.accounts, prefix)
	}
	if side, there := f["positive"]; there {
		text, _ := yamltree.Text(side)
		if err := rules.positive.UnmarshalText([]byte(text)); err != nil {
			r.Complain(side, "positive is %s; write debit or credit: the side of these accounts on which stands what comes to us", yamltree.Describe(side))
		}
	}
}

func (r ruleReader) ways(n ast.Node, rules *Rules) {
	for _, item := range r.List(n, "match") {
		text, _ := yamltree.Text(item)
		switch way := Way(text); {
		case !slices.Contains([]Way{OneToOne, Tolerance, OneToMany, ManyToOne}, way):
			r.Complain(item, "match has %s; the ways are one_to_one, tolerance, one_to_many and many_to_one", yamltree.Describe(item))
		case slices.Contains(rules.ways, way):
			r.Complain(item, "%s is there twice; keep one", way)
		default:
			rules.ways = append(rules.ways, way)
		}
	}
}

func (r ruleReader) days(n ast.Node, what string) time.Duration {
	text, _ := yamltree.Scalar(n)
	number, unit := strings.CutSuffix(text, "d")
	days, err := strconv.Atoi(number)
	if !unit || err != nil || days < 0 || days > maxDays {
		r.Complain(n, "%s is %s; write days, 0d to %dd", what, yamltree.Describe(n), maxDays)
		return 0
	}
	return time.Duration(days) * 24 * time.Hour
}

func (r ruleReader) tolerance(n ast.Node, rules *Rules) {
	f, ok := r.Fields(n, "tolerance", nil, []string{"minor_units", "rate"})
	if !ok {
		return
	}
	if len(f) == 0 {
		r.Complain(n, "tolerance has neither minor_units nor rate; write one of them, or both, of which the larger counts")
	}
	if v, there := f["minor_units"]; there {
		text, _ := yamltree.Scalar(v)
		amount, err := money.Parse(text)
		if err != nil || amount.Sign() < 0 {
			r.Complain(v, "minor_units is %s; write a whole number, such as 5", yamltree.Describe(v))
		}
		rules.absolute = amount
	}
	if v, there := f["rate"]; there {
		text, _ := yamltree.Scalar(v)
		percent, isPercent := strings.CutSuffix(text, "%")
		parts, err := money.Asset{Scale: 4}.ParseDecimal(percent)
		million, fits := parts.Int64()
		if !isPercent || err != nil || !fits || million < 0 || million > 1_000_000 {
			r.Complain(v, "rate is %s; write a percentage with at most four decimals, such as 0.5%%", yamltree.Describe(v))
		}
		rules.millionP = million
	}
}

// Name is the name of the rules.
func (r Rules) Name() string { return r.name }

// Text is the file they were read from.
func (r Rules) Text() string { return r.text }

// Hash is SHA-256 of the file.
func (r Rules) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(r.text)) }

// Reach is how far from a period movements are looked for.
func (r Rules) Reach() time.Duration { return r.reach }

// Ours tells whether an account is one of the provider's.
func (r Rules) Ours(a id.Account) bool {
	return slices.ContainsFunc(r.accounts, func(prefix string) bool { return strings.HasPrefix(string(a), prefix) })
}

// Positive is the side of the provider's accounts on which stands what comes to us.
func (r Rules) Positive() ledger.Side { return r.positive }

// within tells whether a line may be dated so for a movement here.
func (r Rules) within(line, book time.Time) bool {
	late := line.Sub(book)
	return late <= r.later && -late <= r.earlier
}

// tolerates tells whether a line may differ so from a movement here.
func (r Rules) tolerates(difference, book money.Amount) bool {
	difference, book = difference.Abs(), book.Abs()
	if !r.absolute.Less(difference) {
		return true
	}
	return new(big.Int).Mul(difference.Big(), big.NewInt(1_000_000)).Cmp(new(big.Int).Mul(book.Big(), big.NewInt(r.millionP))) <= 0
}

// String describes the rules in a line.
func (r Rules) String() string { return fmt.Sprintf("%s %v", r.name, r.ways) }
