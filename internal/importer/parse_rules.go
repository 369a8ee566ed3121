package importer

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

func (r *reader) dialect(n ast.Node) dialect {
	d := dialect{delimiter: ','}
	f, ok := r.Fields(n, "csv", nil, []string{"delimiter", "quotes", "comment", "skip_lines", "columns", "encoding"})
	if !ok {
		return d
	}
	if v, there := f["delimiter"]; there {
		d.delimiter = r.delimiter(v, "delimiter")
	}
	if v, there := f["comment"]; there {
		if d.comment = r.delimiter(v, "comment"); d.comment == d.delimiter {
			r.Complain(v, "comment and delimiter are the same character; choose two")
		}
	}
	if v, there := f["quotes"]; there {
		quotes, _ := yamltree.Text(v)
		if d.lazy = quotes == "lazy"; !d.lazy && quotes != "strict" {
			r.Complain(v, "quotes is %s; write strict, or lazy for a file with quotes inside of fields that are not doubled", yamltree.Describe(v))
		}
	}
	if v, there := f["skip_lines"]; there {
		s, _ := yamltree.Scalar(v)
		lines, err := strconv.Atoi(s)
		if err != nil || lines < 0 || lines > 1000 {
			r.Complain(v, "skip_lines is %s; write how many lines stand before the header, 0 to 1000", yamltree.Describe(v))
		}
		d.skipLines = lines
	}
	if v, there := f["columns"]; there {
		d.columns = r.scalars(v, "columns")
	}
	if v, there := f["encoding"]; there {
		if encoding, _ := yamltree.Text(v); !strings.EqualFold(encoding, "utf-8") {
			r.Complain(v, "encoding is %s; only utf-8 is read; convert the file first: iconv -f WINDOWS-1250 -t UTF-8", yamltree.Describe(v))
		}
	}
	return d
}

func (r *reader) delimiter(n ast.Node, what string) rune {
	s, _ := yamltree.Scalar(n)
	if s == "tab" {
		s = "\t"
	}
	c, size := utf8.DecodeRuneInString(s)
	if s == "" || size != len(s) || strings.ContainsRune("\"\r\n\x00{}\uFFFD", c) {
		r.Complain(n, "%s is %s; write one character in quotes, such as \";\", or tab", what, yamltree.Describe(n))
	}
	return c
}

func (r *reader) skips(n ast.Node) []when { return r.conditions(n, "skip") }

// conditions reads a list, of which one that holds is enough.
func (r *reader) conditions(n ast.Node, what string) []when {
	var all []when
	for _, item := range r.List(n, what) {
		if w := r.when(item, what); len(w) > 0 {
			all = append(all, w)
		}
	}
	return all
}

// when reads conditions: columns and the values that they may have.
func (r *reader) when(n ast.Node, what string) when {
	pairs, ok := yamltree.Pairs(n)
	if !ok || len(pairs) == 0 {
		r.Complain(n, "%s is %s; write columns and their values: {type: [FEE, TAX]}, \"\" for an empty one, \"*\" for any other", what, yamltree.Describe(n))
		return nil
	}
	var w when
	for _, pair := range pairs {
		name, ok := yamltree.Scalar(pair.Key)
		if name = strings.TrimSpace(name); !ok || name == "" {
			r.Complain(pair.Key, "%s has no column %s; write the name of a column", what, yamltree.Describe(pair.Key))
			continue
		}
		w = append(w, condition{column: r.column(pair.Key, name), values: r.scalars(pair.Value, what+" "+clip(name))})
	}
	return w
}

// accountTerms reads how an account is named and opened, and returns the fields for what else they say.
func (r *reader) accountTerms(n ast.Node, what string, asset assetRule, more ...string) (accountRule, map[string]ast.Node) {
	f, ok := r.Fields(n, what, []string{"id", "normal"}, append([]string{"floor", "ceiling", "metadata"}, more...))
	if !ok {
		return accountRule{}, f
	}
	a := accountRule{id: r.template(f["id"], what+".id"), normal: r.side(f["normal"], "normal")}
	if v, there := f["floor"]; there {
		a.floor = r.bound(v, "floor", asset)
	}
	if v, there := f["ceiling"]; there {
		a.ceiling = r.bound(v, "ceiling", asset)
	}
	if v, there := f["metadata"]; there {
		a.metadata = r.pairs(v, "metadata")
	}
	return a, f
}

// bound checks a floor or a ceiling as far as the asset is known.
func (r *reader) bound(n ast.Node, what string, asset assetRule) string {
	s, ok := yamltree.Scalar(n)
	a := asset.constant
	if asset.code != nil {
		a = money.Asset{Scale: money.MaxScale}
	}
	if _, err := a.ParseDecimal(s); !ok || err != nil {
		r.Complain(n, "%s is %s; write an amount of the asset with a decimal point, such as 0 or -500.00", what, yamltree.Describe(n))
	}
	return s
}

func (r *reader) counters(n ast.Node, asset assetRule) []counterRule {
	var all []counterRule
	open := false
	for _, item := range r.List(n, "counter") {
		if open {
			r.Complain(item, "a rule without when comes before this one and takes every row; move it to the end")
			break
		}
		terms, f := r.accountTerms(item, "counter", asset, "when")
		rule := counterRule{accountRule: terms}
		w, conditional := f["when"]
		if conditional {
			rule.when = r.when(w, "when")
		}
		open = !conditional
		all = append(all, rule)
	}
	return all
}

// reasons reads one template for all rows, or rules.
func (r *reader) reasons(n ast.Node) []reasonRule {
	if _, isList := n.(*ast.SequenceNode); !isList {
		return []reasonRule{{use: r.template(n, "reason")}}
	}
	var all []reasonRule
	open := false
	for _, item := range r.List(n, "reason") {
		if open {
			r.Complain(item, "a rule without when comes before this one and takes every row; move it to the end")
			break
		}
		f, ok := r.Fields(item, "reason", []string{"use"}, []string{"when"})
		if !ok {
			continue
		}
		rule := reasonRule{use: r.template(f["use"], "use")}
		w, conditional := f["when"]
		if conditional {
			rule.when = r.when(w, "when")
		}
		open = !conditional
		all = append(all, rule)
	}
	return all
}

// pairs reads metadata: texts with columns in them.
func (r *reader) pairs(n ast.Node, what string) []pair {
	nodes, ok := yamltree.Pairs(n)
	if !ok || len(nodes) == 0 {
		r.Complain(n, "%s is %s; write names and texts: {branch: \"{branch}\"}", what, yamltree.Describe(n))
		return nil
	}
	all := make([]pair, 0, len(nodes))
	seen := ledger.Metadata{}
	for _, node := range nodes {
		key, ok := yamltree.Scalar(node.Key)
		_, twice := seen[key]
		seen[key] = ""
		if err := seen.Validate(what); !ok || twice || err != nil {
			r.Complain(node.Key, "%s %s is twice there, too long or one too many; write up to %d names of up to 64 characters, each once", what, yamltree.Describe(node.Key), ledger.MaxMetadata)
			return all
		}
		all = append(all, pair{key: key, value: r.template(node.Value, what+" "+clip(key))})
	}
	return all
}
