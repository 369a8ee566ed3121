package importer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// MaxBytes bounds a mapping file. The shipped one has 4 KiB; the YAML parser takes time by the square of the nesting, so the bound is what
// keeps a hostile file harmless.
const MaxBytes = 16 << 10

// ParseMapping reads a mapping file. file is what errors call it, as in berka.yaml:7:3. All that is wrong with the file comes back at
// once, a line each, with a sentence that says how to mend it.
func ParseMapping(file string, data []byte) (Mapping, error) {
	if len(data) > MaxBytes {
		return Mapping{}, fmt.Errorf("%s:1:1: the file is too large; a mapping has at most %d bytes", file, MaxBytes)
	}
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // the reader names duplicates itself, in its own words
	if err != nil {
		return Mapping{}, syntaxError(file, err)
	}
	r := &reader{file: file}
	m := r.mapping(tree)
	if err := r.err(); err != nil {
		return Mapping{}, err
	}
	m.file, m.columns = file, r.columns
	return m, nil
}

// syntaxError turns what the YAML parser says into one line: file:line:column: message.
func syntaxError(file string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		return fmt.Errorf("%s:%d:%d: this is not YAML: %s", file, p.Line, p.Column, at.GetMessage())
	}
	return fmt.Errorf("%s:1:1: this is not YAML: %s", file, clip(err.Error()))
}

// mapping reads the whole file, each part as far as it can be.
func (r *reader) mapping(tree *ast.File) Mapping {
	root := r.root(tree)
	if root == nil {
		return Mapping{}
	}
	f, _ := r.fields(root, "a mapping", []string{"name", "id", "date", "amount", "asset", "account", "counter"},
		[]string{"csv", "skip", "direction", "reason", "reference", "metadata"})
	m := Mapping{dialect: dialect{delimiter: ','}}
	for _, part := range []struct {
		field string
		read  func(ast.Node)
	}{
		{"name", func(n ast.Node) { m.name = r.mappingName(n) }},
		{"csv", func(n ast.Node) { m.dialect = r.dialect(n) }},
		{"skip", func(n ast.Node) { m.skip = r.skips(n) }},
		{"id", func(n ast.Node) { m.id = r.identity(n, "id") }},
		{"date", func(n ast.Node) { m.date = r.date(n) }},
		{"asset", func(n ast.Node) { m.asset = r.asset(n) }},
		{"amount", func(n ast.Node) { m.amount = r.amount(n) }},
		{"account", func(n ast.Node) { m.account, _ = r.accountTerms(n, "account", m.asset) }},
		{"counter", func(n ast.Node) { m.counters = r.counters(n, m.asset) }},
		{"reason", func(n ast.Node) { m.reasons = r.reasons(n) }},
		{"reference", func(n ast.Node) { m.reference = r.template(n, "reference") }},
		{"metadata", func(n ast.Node) { m.metadata = r.pairs(n, "metadata") }},
	} {
		if n, there := f[part.field]; there {
			part.read(n)
		}
	}
	if amount, there := f["amount"]; there {
		m.direction = r.direction(f["direction"], amount, m.amount.credit != nil)
	}
	return m
}

func (r *reader) mappingName(n ast.Node) string {
	s, ok := text(n)
	if home, err := id.ParseHome(s); ok && err == nil { // the same letters do
		return string(home)
	}
	r.complain(n, "name is %s; write 1 to 32 of a-z 0-9 -, starting with a letter; it is a part of every idempotency key, so keep it", describe(n))
	return ""
}

// identity reads a template that tells rows or accounts apart, which a constant can not do.
func (r *reader) identity(n ast.Node, what string) template {
	t := r.template(n, what)
	if len(t) > 0 && !slices.ContainsFunc(t, func(p part) bool { return p.column != literal }) {
		r.complain(n, "%s is the same for every row; name a column in it: \"{column}\"", what)
	}
	return t
}

func (r *reader) date(n ast.Node) dateRule {
	d := dateRule{zone: time.UTC}
	f, ok := r.fields(n, "date", []string{"value", "format"}, []string{"century", "timezone"})
	if !ok {
		return d
	}
	d.value = r.template(f["value"], "date.value")
	format, ok := text(f["format"])
	var err error
	if d.format, err = parseDateFormat(format); !ok || err != nil {
		r.complain(f["format"], "format is %s; %v", describe(f["format"]), err)
		return d
	}
	d.century = r.century(f["century"], f["format"], d.format.has('y'))
	zone, there := f["timezone"]
	if !there {
		return d
	}
	if d.format.has('z') || d.format.has('s') {
		r.complain(zone, "the format tells the instant by itself; leave timezone out")
		return d
	}
	name, ok := text(zone)
	if d.zone, err = time.LoadLocation(name); !ok || name == "" || name == "Local" || err != nil {
		r.complain(zone, "timezone is %s; write a name such as UTC or Europe/Prague", describe(zone))
	}
	return d
}

func (r *reader) century(n, format ast.Node, two bool) int {
	if n == nil && two {
		r.complain(format, "%%y is a year of two digits; add century: 1900 (93 is 1993), or any first year of a hundred, such as 1970 (69 is 2069)")
	}
	if n == nil {
		return 0
	}
	if !two {
		r.complain(n, "century is for a format with %%y; leave it out")
	}
	s, _ := scalar(n)
	first, err := strconv.Atoi(s)
	if err != nil || first < 1 || first > 9900 {
		r.complain(n, "century is %s; write the first year of the hundred that two digits stand for, such as 1900 or 1970", describe(n))
	}
	return first
}

func (r *reader) asset(n ast.Node) assetRule {
	s, ok := text(n)
	if ok && strings.Contains(s, "{") {
		return assetRule{code: r.template(n, "asset")}
	}
	a, err := money.ParseAsset(s)
	if err != nil {
		r.complain(n, "asset is %s; write a code and its decimal places, such as CZK/2, or the column that has the code, such as \"{currency}\"", describe(n))
	}
	return assetRule{constant: a}
}

func (r *reader) amount(n ast.Node) amountRule {
	a := amountRule{decimal: '.'}
	f, ok := r.fields(n, "amount", nil, []string{"value", "credit", "debit", "decimal", "thousands", "unit"})
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
		r.complain(n, "amount has one column, as value, or two, as credit and debit; write the one or the others")
	}
	if d, there := f["decimal"]; there {
		a.decimal = r.character(d, "decimal", ".,", `"." or ","`)
	}
	if t, there := f["thousands"]; there {
		a.thousands = r.character(t, "thousands", "., '_", `"," "." " " "'" or "_"`)
		if a.thousands == a.decimal {
			r.complain(t, "thousands and decimal are the same character; 1%c234 could mean two things", a.decimal)
		}
	}
	if u, there := f["unit"]; there {
		unit, _ := text(u)
		if a.minor = unit == "minor"; !a.minor && unit != "major" {
			r.complain(u, "unit is %s; write major (12.34 is twelve and a bit) or minor (1234 is the same in cents)", describe(u))
		}
	}
	return a
}

func (r *reader) character(n ast.Node, what, allowed, help string) rune {
	s, _ := scalar(n)
	c, size := utf8.DecodeRuneInString(s)
	if s == "" || size != len(s) || !strings.ContainsRune(allowed, c) {
		r.complain(n, "%s is %s; write one of %s", what, describe(n), help)
	}
	return c
}

func (r *reader) direction(n, amount ast.Node, twoColumns bool) directionRule {
	if twoColumns {
		if n != nil {
			r.complain(n, "the amount has a column for each direction; leave direction out")
		}
		return directionRule{}
	}
	if n == nil {
		r.complain(amount, "nothing says which rows are credits; add direction: {column: type, credit: [IN], debit: [OUT]}, or direction: {positive: credit}")
		return directionRule{}
	}
	f, ok := r.fields(n, "direction", nil, []string{"column", "credit", "debit", "positive"})
	if !ok {
		return directionRule{}
	}
	if positive, there := f["positive"]; there {
		if len(f) > 1 {
			r.complain(n, "direction comes from the sign, as positive, or from a column, with credit and debit; write the one or the other")
		}
		return directionRule{positive: r.side(positive, "positive")}
	}
	if f["column"] == nil || f["credit"] == nil || f["debit"] == nil {
		r.complain(n, "direction needs column, credit and debit: the column, and its values that credit and that debit the account")
		return directionRule{}
	}
	d := directionRule{byColumn: true, column: r.columnName(f["column"]), credit: r.scalars(f["credit"], "credit"), debit: r.scalars(f["debit"], "debit")}
	for _, both := range d.credit {
		if slices.Contains(d.debit, both) {
			r.complain(f["debit"], "%q is a credit and a debit; keep it on one side", both)
		}
	}
	return d
}

func (r *reader) columnName(n ast.Node) int {
	s, ok := scalar(n)
	if s = strings.TrimSpace(s); !ok || s == "" || strings.ContainsAny(s, "{}|") {
		r.complain(n, "column is %s; write the name of a column, without braces", describe(n))
		return 0
	}
	return r.column(n, s)
}

func (r *reader) side(n ast.Node, what string) ledger.Side {
	var s ledger.Side
	name, _ := text(n)
	if err := s.UnmarshalText([]byte(name)); err != nil {
		r.complain(n, "%s is %s; write debit or credit", what, describe(n))
	}
	return s
}
