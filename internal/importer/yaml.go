package importer

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// reader is what turns the tree of a mapping file into a mapping.
type reader struct {
	*yamltree.Reader
	file    string
	columns []column
}

// kind is what a mapping file is in sentences about it.
var kind = yamltree.Kind{Noun: "mapping", Fields: "name, id, date, amount, asset, account and counter"}

// scalars reads one value, or a list of them. Numbers and words such as true are taken as they are written: the file has texts too.
func (r *reader) scalars(n ast.Node, what string) []string {
	nodes := []ast.Node{n}
	if _, isList := n.(*ast.SequenceNode); isList {
		nodes = r.List(n, what)
	}
	var all []string
	for _, node := range nodes {
		s, ok := yamltree.Scalar(node)
		if !ok {
			r.Complain(node, "%s is %s; write a value or a list of values, the empty one as \"\"", what, yamltree.Describe(node))
			continue
		}
		all = append(all, s)
	}
	return all
}

// template reads a text with columns in it.
func (r *reader) template(n ast.Node, what string) template {
	s, ok := yamltree.Scalar(n)
	if pairs, isMapping := yamltree.Pairs(n); isMapping && len(pairs) == 1 {
		if name, isText := yamltree.Text(pairs[0].Key); isText {
			r.Complain(n, "%s is a mapping to YAML; put it in quotes: \"{%s}\"", what, clip(name))
			return template{}
		}
	}
	if !ok || s == "" {
		r.Complain(n, "%s is %s; write a text in quotes, with columns in braces: \"{column}\"", what, yamltree.Describe(n))
		return template{}
	}
	t, err := parseTemplate(s, func(name string) int { return r.column(n, name) })
	if err != nil {
		r.Complain(n, "%s: %v", what, err)
		return template{}
	}
	return t
}

// column registers a column of the file and returns its number.
func (r *reader) column(n ast.Node, name string) int {
	i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		i = len(r.columns)
		r.columns = append(r.columns, column{name: name, at: yamltree.Place(n)})
	}
	return i
}
