package importer

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// ParseMapping reads a mapping file. file is what errors call it, as in berka.yaml:7:3. All that is wrong with the file comes back at
// once, a line each, with a sentence that says how to mend it.
func ParseMapping(file string, data []byte) (Mapping, error) {
	return parse(file, data, kind, (*reader).mapping)
}

// parse reads a file of one kind.
func parse[M any](file string, data []byte, kind yamltree.Kind, read func(*reader, ast.Node) M) (M, error) {
	var none M
	tree, root, err := yamltree.Parse(file, data, kind)
	if err != nil {
		return none, err
	}
	r := &reader{Reader: tree, file: file}
	m := read(r, root)
	if err := r.Err(); err != nil {
		return none, err
	}
	return m, nil
}

// mapping reads the whole file, each part as far as it can be.
func (r *reader) mapping(root ast.Node) Mapping {
	var m Mapping
	r.parts(root, &m, []string{"name", "id", "date", "amount", "asset", "account", "counter"},
		[]string{"csv", "skip", "direction", "reason", "reference", "metadata"}, []field{
			{"account", func(n ast.Node) { m.account, _ = r.accountTerms(n, "account", m.asset) }},
			{"counter", func(n ast.Node) { m.counters = r.counters(n, m.asset) }},
			{"reason", func(n ast.Node) { m.reasons = r.reasons(n) }},
			{"reference", func(n ast.Node) { m.reference = r.template(n, "reference") }},
			{"metadata", func(n ast.Node) { m.metadata = r.pairs(n, "metadata") }},
		})
	return m
}

// field is one of a mapping, and how it is read.
type field struct {
	name string
	read func(ast.Node)
}

// parts reads what mappings have in common into m, and then what they have of their own, which may look at it.
func (r *reader) parts(root ast.Node, m *Mapping, needed, optional []string, own []field) {
	if root == nil {
		return
	}
	f, _ := r.Fields(root, "a mapping", needed, optional)
	m.dialect = dialect{delimiter: ','}
	for _, part := range append([]field{
		{"name", func(n ast.Node) { m.name = r.mappingName(n) }},
		{"csv", func(n ast.Node) { m.dialect = r.dialect(n) }},
		{"skip", func(n ast.Node) { m.skip = r.skips(n) }},
		{"id", func(n ast.Node) { m.id = r.identity(n, "id") }},
		{"date", func(n ast.Node) { m.date = r.date(n) }},
		{"asset", func(n ast.Node) { m.asset = r.asset(n) }},
		{"amount", func(n ast.Node) { m.amount = r.amount(n) }},
	}, own...) {
		if n, there := f[part.name]; there {
			part.read(n)
		}
	}
	if amount, there := f["amount"]; there {
		m.direction = r.direction(f["direction"], amount, m.amount.credit != nil)
	}
	m.file, m.columns = r.file, r.columns
}

func (r *reader) mappingName(n ast.Node) string {
	s, ok := yamltree.Text(n)
	if home, err := id.ParseHome(s); ok && err == nil { // the same letters do
		return string(home)
	}
	r.Complain(n, "name is %s; write 1 to 32 of a-z 0-9 -, starting with a letter; it is a part of every idempotency key, so keep it", yamltree.Describe(n))
	return ""
}

// identity reads a template that tells rows or accounts apart, which a constant can not do.
func (r *reader) identity(n ast.Node, what string) template {
	t := r.template(n, what)
	if len(t) > 0 && !slices.ContainsFunc(t, func(p part) bool { return p.column != literal }) {
		r.Complain(n, "%s is the same for every row; name a column in it: \"{column}\"", what)
	}
	return t
}

func (r *reader) date(n ast.Node) dateRule {
	d := dateRule{zone: time.UTC}
	f, ok := r.Fields(n, "date", []string{"value", "format"}, []string{"century", "timezone"})
	if !ok {
		return d
	}
	d.value = r.template(f["value"], "date.value")
	format, ok := yamltree.Text(f["format"])
	var err error
	if d.format, err = parseDateFormat(format); !ok || err != nil {
		r.Complain(f["format"], "format is %s; %v", yamltree.Describe(f["format"]), err)
		return d
	}
	d.century = r.century(f["century"], f["format"], d.format.has('y'))
	zone, there := f["timezone"]
	if !there {
		return d
	}
	if d.format.has('z') || d.format.has('s') {
		r.Complain(zone, "the format tells the instant by itself; leave timezone out")
		return d
	}
	name, ok := yamltree.Text(zone)
	if d.zone, err = time.LoadLocation(name); !ok || name == "" || name == "Local" || err != nil {
		r.Complain(zone, "timezone is %s; write a name such as UTC or Europe/Prague", yamltree.Describe(zone))
	}
	return d
}

func (r *reader) century(n, format ast.Node, two bool) int {
	if n == nil && two {
		r.Complain(format, "%%y is a year of two digits; add century: 1900 (93 is 1993), or any first year of a hundred, such as 1970 (69 is 2069)")
	}
	if n == nil {
		return 0
	}
	if !two {
		r.Complain(n, "century is for a format with %%y; leave it out")
	}
	s, _ := yamltree.Scalar(n)
	first, err := strconv.Atoi(s)
	if err != nil || first < 1 || first > 9900 {
		r.Complain(n, "century is %s; write the first year of the hundred that two digits stand for, such as 1900 or 1970", yamltree.Describe(n))
	}
	return first
}

func (r *reader) asset(n ast.Node) assetRule {
	s, ok := yamltree.Text(n)
	if ok && strings.Contains(s, "{") {
		return assetRule{code: r.template(n, "asset")}
	}
	a, err := money.ParseAsset(s)
	if err != nil {
		r.Complain(n, "asset is %s; write a code and its decimal places, such as CZK/2, or the column that has the code, such as \"{currency}\"", yamltree.Describe(n))
	}
	return assetRule{constant: a}
}

func (r *reader) amount(n ast.Node) amountRule {
	a := amountRule{decimal: '.'}
	f, ok := r.Fields(n, "amount", nil, []string{"value", "credit", "debit", "decimal", "thousands", "unit"})
	if !ok {
		return a
	}
	value, one := f["value"]
	credit, in := f["credit"]
	debit, out := f["debit"]
	switch {
	case one && !in && !out:
		a.value = r.template(value, "amount.value")
	case !one && in && out:
		a.credit, a.debit = r.template(credit, "amount.credit"), r.template(debit, "amount.debit")
	default:
		r.Complain(n, "amount has one column, as value, or two, as credit and debit; write the one or the others")
	}
	if d, there := f["decimal"]; there {
		a.decimal = r.character(d, "decimal", ".,", `"." or ","`)
	}
	if t, there := f["thousands"]; there {
		a.thousands = r.character(t, "thousands", "., '_", `"," "." " " "'" or "_"`)
		if a.thousands == a.decimal {
			r.Complain(t, "thousands and decimal are the same character; 1%c234 could mean two things", a.decimal)
		}
	}
	if u, there := f["unit"]; there {
		unit, _ := yamltree.Text(u)
		if a.minor = unit == "minor"; !a.minor && unit != "major" {
			r.Complain(u, "unit is %s; write major (12.34 is twelve and a bit) or minor (1234 is the same in cents)", yamltree.Describe(u))
		}
	}
	return a
}

func (r *reader) character(n ast.Node, what, allowed, help string) rune {
	s, _ := yamltree.Scalar(n)
	c, size := utf8.DecodeRuneInString(s)
	if s == "" || size != len(s) || !strings.ContainsRune(allowed, c) {
		r.Complain(n, "%s is %s; write one of %s", what, yamltree.Describe(n), help)
	}
	return c
}

func (r *reader) direction(n, amount ast.Node, twoColumns bool) directionRule {
	if twoColumns {
		if n != nil {
			r.Complain(n, "the amount has a column for each direction; leave direction out")
		}
		return directionRule{}
	}
	if n == nil {
		r.Complain(amount, "nothing says which rows are credits; add direction: {column: type, credit: [IN], debit: [OUT]}, or direction: {positive: credit}")
		return directionRule{}
	}
	f, ok := r.Fields(n, "direction", nil, []string{"column", "credit", "debit", "positive"})
	if !ok {
		return directionRule{}
	}
	if positive, there := f["positive"]; there {
		if len(f) > 1 {
			r.Complain(n, "direction comes from the sign, as positive, or from a column, with credit and debit; write the one or the other")
		}
		return directionRule{positive: r.side(positive, "positive")}
	}
	if f["column"] == nil || f["credit"] == nil || f["debit"] == nil {
		r.Complain(n, "direction needs column, credit and debit: the column, and its values that credit and that debit the account")
		return directionRule{}
	}
	d := directionRule{byColumn: true, column: r.columnName(f["column"]), credit: r.scalars(f["credit"], "credit"), debit: r.scalars(f["debit"], "debit")}
	for _, both := range d.credit {
		if slices.Contains(d.debit, both) {
			r.Complain(f["debit"], "%q is a credit and a debit; keep it on one side", both)
		}
	}
	return d
}

func (r *reader) columnName(n ast.Node) int {
	s, ok := yamltree.Scalar(n)
	if s = strings.TrimSpace(s); !ok || s == "" || strings.ContainsAny(s, "{}|") {
		r.Complain(n, "column is %s; write the name of a column, without braces", yamltree.Describe(n))
		return 0
	}
	return r.column(n, s)
}

func (r *reader) side(n ast.Node, what string) ledger.Side {
	var s ledger.Side
	name, _ := yamltree.Text(n)
	if err := s.UnmarshalText([]byte(name)); err != nil {
		r.Complain(n, "%s is %s; write debit or credit", what, yamltree.Describe(n))
	}
	return s
}
