package payment

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

var (
	placeholder = regexp.MustCompile(`\{(player|provider|account|counter|asset)\}`)
	pattern     = regexp.MustCompile(`^(?:[A-Za-z0-9_.:/@+~=-]|\{(?:player|provider|account|counter|asset)\})+$`)
	word        = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)
)

var chartKind = yamltree.Kind{Noun: "chart", Fields: "name, rounding, roles and kinds"}

// reader turns the tree of one file into a chart.
type reader struct {
	*yamltree.Reader
	chart *Chart
}

// ParseChart reads a chart and proves it: it says something of every kind, has the postings that the tables name and no other, and in each of them
// debits equal credits whatever the amounts are. The error has a line for each problem, with its place.
func ParseChart(file string, data []byte) (*Chart, error) {
	tree, root, err := yamltree.Parse(file, data, chartKind)
	if err != nil {
		return nil, err
	}
	r := reader{Reader: tree, chart: &Chart{accounts: map[Role]role{}, kinds: map[Kind]book{}}}
	if root != nil {
		r.document(root)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r.chart, nil
}

func (r reader) document(root ast.Node) {
	f, ok := r.Fields(root, "a chart", []string{"name", "rounding", "roles", "kinds"}, nil)
	if !ok {
		return
	}
	r.chart.Name = r.word(f["name"], "name")
	rounding, _ := yamltree.Text(f["rounding"])
	r.chart.Rounding = Rounding(rounding)
	if !slices.Contains(Roundings, r.chart.Rounding) {
		r.Complain(f["rounding"], "rounding is %s; write one of half_even, half_up, down, up", yamltree.Describe(f["rounding"]))
	}
	for name, node := range r.named(f["roles"], "roles") {
		r.chart.accounts[Role(name)] = r.role(node, name)
	}
	if _, found := r.chart.accounts[Pending]; !found { // reviews and meridian verify know it by this name
		r.Complain(f["roles"], "roles has no %s, on whose account money waits; add it", Pending)
	}
	kinds := r.named(f["kinds"], "kinds")
	for name, node := range kinds {
		table, known := TableOf(Kind(name))
		if !known {
			r.Complain(node, "there is no kind of payment %s", name)
			continue
		}
		r.chart.kinds[table.Kind] = r.book(node, table)
	}
	for _, t := range Tables {
		if kinds[string(t.Kind)] == nil {
			r.Complain(f["kinds"], "kinds has no %s; add it", t.Kind)
		}
	}
}

// named reads a mapping of names that the file chooses.
func (r reader) named(n ast.Node, what string) map[string]ast.Node {
	pairs, ok := yamltree.Pairs(n)
	if !ok {
		r.Complain(n, "%s is %s; write a name and what it is, a line each", what, yamltree.Describe(n))
		return nil
	}
	found := map[string]ast.Node{}
	for _, pair := range pairs {
		name, _ := yamltree.Text(pair.Key)
		switch {
		case !word.MatchString(name):
			r.Complain(pair.Key, "%s is no name; write 1 to 32 of a-z and _", yamltree.Describe(pair.Key))
		case found[name] != nil:
			r.Complain(pair.Key, "%s is there twice; keep one", name)
		default:
			found[name] = pair.Value
		}
	}
	return found
}

func (r reader) word(n ast.Node, what string) string {
	s, _ := yamltree.Text(n)
	if !word.MatchString(s) {
		r.Complain(n, "%s is %s; write 1 to 32 of a-z and _", what, yamltree.Describe(n))
	}
	return s
}

func (r reader) role(n ast.Node, name string) role {
	f, ok := r.Fields(n, "role "+name, []string{"account", "normal"}, []string{"min_available", "open"})
	if !ok {
		return role{}
	}
	a := role{opens: true}
	for _, item := range r.List(f["account"], "account") {
		s, _ := yamltree.Text(item)
		if !pattern.MatchString(s) {
			r.Complain(item, "account is %s; write letters, digits, _.:/@+~=- and {player}, {asset}, {provider}, {account}, {counter}", yamltree.Describe(item))
		}
		a.names = append(a.names, s)
	}
	normal, _ := yamltree.Text(f["normal"])
	if a.terms.Normal.UnmarshalText([]byte(normal)) != nil {
		r.Complain(f["normal"], "normal is %s; write debit or credit", yamltree.Describe(f["normal"]))
	}
	if floor := f["min_available"]; floor != nil {
		s, _ := yamltree.Scalar(floor)
		n, err := money.Parse(s)
		if err != nil {
			r.Complain(floor, "min_available is %s; write minor units, such as 0", yamltree.Describe(floor))
		}
		a.terms.Floor = ledger.AtLimit(n)
	}
	if open := f["open"]; open != nil {
		s, _ := yamltree.Scalar(open)
		if s != "true" && s != "false" {
			r.Complain(open, "open is %s; write true where the first payment may open the account, else false", yamltree.Describe(open))
		}
		a.opens = s == "true"
	}
	return a
}

func (r reader) book(n ast.Node, t Table) book {
	f, ok := r.Fields(n, string(t.Kind), []string{"lead", "postings"}, []string{"parameters", "shares", "expires_after"})
	if !ok {
		return book{}
	}
	b := book{lead: r.known(f["lead"], "lead"), parameters: r.parameters(f["parameters"], n, t), postings: map[string][]line{}}
	if after := f["expires_after"]; after != nil {
		b.expires = r.expiry(after, t)
	}
	if shares := f["shares"]; shares != nil {
		for _, item := range r.List(shares, "shares") {
			b.shares = append(b.shares, r.share(item, b.shares, t))
		}
	}
	postings, before := r.named(f["postings"], "postings"), r.Problems()
	for name, node := range postings {
		if !slices.Contains(t.postings(), name) {
			r.Complain(node, "no rule of %s posts %s; its rules post %s", t.Kind, name, strings.Join(t.postings(), ", "))
		}
		for _, item := range r.List(node, name) {
			b.postings[name] = append(b.postings[name], r.line(item, b.shares, t))
		}
	}
	for _, name := range t.postings() {
		if postings[name] == nil {
			r.Complain(f["postings"], "rules of %s post %s; add it", t.Kind, name)
		}
	}
	if r.Problems() > before {
		return b
	}
	for name, node := range postings {
		if off := b.balance(name); off != "" {
			r.Complain(node, "%s of %s does not balance: credits less debits are %s; let them be equal for all amounts", name, t.Kind, off)
		}
	}
	return b
}

// expiry reads how long payments of a kind live in the states that expire leads out of.
func (r reader) expiry(n ast.Node, t Table) time.Duration {
	const most = 5 * 366 * 24 * time.Hour
	if !slices.Contains(t.Triggers(), Expire) {
		r.Complain(n, "no rule of %s is on %s; leave expires_after out", t.Kind, Expire)
		return 0
	}
	return r.Duration(n, "expires_after", time.Minute, most)
}

// postings lists what the rules of a table post, each once.
func (t Table) postings() []string {
	var all []string
	for _, rule := range t.Rules {
		for _, name := range []string{rule.Posts, rule.PausePosts, rule.Over} {
			if name != "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

func (r reader) known(n ast.Node, what string) Role {
	name, _ := yamltree.Text(n)
	if _, known := r.chart.accounts[Role(name)]; !known {
		r.Complain(n, "%s is %s, and there is no such role", what, yamltree.Describe(n))
	}
	return Role(name)
}

// parameters are whole numbers that rules multiply by.
func (r reader) parameters(n, of ast.Node, t Table) map[string]int64 {
	found := map[string]int64{}
	if n != nil {
		for name, node := range r.named(n, "parameters") {
			digits, _ := yamltree.Number(node)
			value, err := strconv.ParseInt(digits, 10, 32)
			if err != nil || value < 1 {
				r.Complain(node, "%s is %s; write a whole number from 1", name, yamltree.Describe(node))
			}
			found[name] = value
		}
	}
	for _, rule := range t.Rules {
		for _, e := range rule.Sets {
			if e.Op == Add && e.Value != "" && found[e.Value] == 0 {
				r.Complain(of, "%s multiplies by %s; add it to parameters", t.Kind, e.Value)
			}
		}
	}
	return found
}

func (r reader) share(n ast.Node, before []share, t Table) share {
	f, ok := r.Fields(n, "a share", []string{"name", "of"}, []string{"percent", "less"})
	if !ok {
		return share{}
	}
	s := share{name: r.word(f["name"], "name"), of: r.symbol(f["of"], before, t)}
	if s.name == symbolAmount || slices.ContainsFunc(before, func(b share) bool { return b.name == s.name }) {
		r.Complain(f["name"], "%s is taken; give the share another name", s.name)
	}
	if (f["percent"] == nil) == (f["less"] == nil) {
		r.Complain(n, "a share is a percent of an amount or what others leave of it; write percent or less")
		return s
	}
	if percent := f["percent"]; percent != nil {
		digits, ok := yamltree.Number(percent)
		rate, ok2 := new(big.Rat).SetString(digits)
		if !ok || !ok2 || rate.Sign() <= 0 || rate.Cmp(big.NewRat(100, 1)) > 0 || len(digits) > 12 {
			r.Complain(percent, "percent is %s; write more than 0 and at most 100", yamltree.Describe(percent))
			return s
		}
		s.rate = rate.Mul(rate, big.NewRat(1, 100))
		return s
	}
	for _, item := range r.List(f["less"], "less") {
		name, _ := yamltree.Text(item)
		if !slices.ContainsFunc(before, func(b share) bool { return b.name == name && b.of == s.of && b.rate != nil }) {
			r.Complain(item, "less names %s; name shares of %s that stand before", yamltree.Describe(item), s.of)
		}
		s.less = append(s.less, name)
	}
	for _, b := range before { // otherwise something would be left over, or go twice
		if b.of == s.of && (b.rate == nil || !slices.Contains(s.less, b.name)) {
			r.Complain(n, "%s is what is left of %s; let it be less all its shares, and keep one such", s.name, s.of)
		}
	}
	return s
}

func (r reader) line(n ast.Node, shares []share, t Table) line {
	f, ok := r.Fields(n, "a line", []string{"amount"}, []string{"debit", "credit"})
	if !ok {
		return line{}
	}
	if (f["debit"] == nil) == (f["credit"] == nil) {
		r.Complain(n, "a line is a debit or a credit; write one role under debit or under credit")
		return line{}
	}
	l := line{side: ledger.Debit, amount: r.symbol(f["amount"], shares, t)}
	at := f["debit"]
	if at == nil {
		l.side, at = ledger.Credit, f["credit"]
	}
	l.role = r.known(at, l.side.String())
	return l
}

// symbol reads what an amount is called.
func (r reader) symbol(n ast.Node, shares []share, t Table) string {
	s, _ := yamltree.Text(n)
	if name, is := strings.CutPrefix(s, symbolTotal); is {
		if slices.Contains(t.totals(), name) {
			return s
		}
	} else if name, is := strings.CutPrefix(s, symbolHeld); is {
		if _, known := r.chart.accounts[Role(name)]; known {
			return s
		}
	} else if s == symbolAmount || slices.ContainsFunc(shares, func(b share) bool { return b.name == s }) {
		return s
	}
	r.Complain(n, "an amount is %s; write amount, total and one of %s, held and a role, or a share that stands before", yamltree.Describe(n), strings.Join(t.totals(), " "))
	return symbolAmount
}

func (t Table) totals() []string {
	var all []string
	for _, rule := range t.Rules {
		for _, e := range rule.Sets {
			if !slices.Contains(all, e.Total) {
				all = append(all, e.Total)
			}
		}
	}
	return all
}

// balance adds a posting up with its amounts as symbols, and returns what is left of it, or "". A share of what others leave is written out as
// the amount less those, so that what is left has no name of its own.
func (b book) balance(name string) string {
	sum := map[string]int{}
	var add func(symbol string, n int)
	add = func(symbol string, n int) {
		at := slices.IndexFunc(b.shares, func(s share) bool { return s.name == symbol })
		if at < 0 || b.shares[at].rate != nil {
			sum[symbol] += n
			return
		}
		add(b.shares[at].of, n)
		for _, other := range b.shares[at].less {
			add(other, -n)
		}
	}
	for _, l := range b.postings[name] {
		n := 1
		if l.side == ledger.Debit {
			n = -1
		}
		add(l.amount, n)
	}
	if b.undoes(name) {
		return ""
	}
	var off []string
	for symbol, n := range sum {
		if n != 0 {
			off = append(off, fmt.Sprintf("%+d × %s", n, symbol))
		}
	}
	slices.Sort(off)
	return strings.Join(off, " ")
}

// undoes tells whether a posting takes back, line by line, all that the payment has left anywhere: each role that other postings touch has one
// line here with what is held there. What was left balances, and so does its opposite.
func (b book) undoes(name string) bool {
	touched := map[Role]ledger.Side{}
	for other, lines := range b.postings {
		if other == name {
			continue
		}
		for _, l := range lines {
			if _, is := strings.CutPrefix(l.amount, symbolHeld); is {
				continue // takes back itself
			}
			if side, again := touched[l.role]; again && side != l.side {
				return false // what is held there may have either sign
			}
			touched[l.role] = l.side
		}
	}
	seen := map[Role]bool{}
	for _, l := range b.postings[name] {
		side, known := touched[l.role]
		if !known || seen[l.role] || l.side == side || l.amount != symbolHeld+string(l.role) {
			return false
		}
		seen[l.role] = true
	}
	return len(seen) == len(touched)
}
