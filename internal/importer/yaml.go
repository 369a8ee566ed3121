package importer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const maxReports = 20

// reader walks the syntax tree of a mapping file and collects what is wrong with it, so that a person mends the file in one go. It walks
// the tree itself, where a decoder into structs would lose the place of each value.
type reader struct {
	file     string
	problems []problem
	columns  []column
}

type problem struct {
	at   position
	text string
}

func (r *reader) complain(n ast.Node, format string, args ...any) {
	r.problems = append(r.problems, problem{at: place(n), text: fmt.Sprintf(format, args...)})
}

// err returns all problems in the order of the file, a line each, or nil.
func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var all []error
	for i, p := range r.problems {
		if i == maxReports {
			all = append(all, fmt.Errorf("%s: and %d more", r.file, len(r.problems)-i))
			break
		}
		all = append(all, fmt.Errorf("%s:%d:%d: %s", r.file, p.at.line, p.at.column, p.text))
	}
	return errors.Join(all...)
}

// root returns the one document of the file.
func (r *reader) root(file *ast.File) ast.Node {
	var root ast.Node
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if root != nil {
			r.complain(doc.Body, "a second document starts here; keep one mapping in a file")
			return nil
		}
		root = doc.Body
	}
	if root == nil {
		r.complain(nil, "the file is empty; write name, id, date, amount, asset, account and counter")
	}
	return root
}

// fields reads a mapping with fixed keys; ok is false where a required one is missing. Then the caller leaves the part unread, because
// whatever it said about it would follow from this.
func (r *reader) fields(n ast.Node, what string, required, optional []string) (map[string]ast.Node, bool) {
	pairs, ok := pairsOf(n)
	if !ok {
		r.complain(n, "%s is %s; write the fields %s", what, describe(n), strings.Join(slices.Concat(required, optional), ", "))
		return nil, false
	}
	known := slices.Concat(required, optional)
	found := make(map[string]ast.Node, len(pairs))
	for _, pair := range pairs {
		key, isText := text(pair.Key)
		if !isText || !slices.Contains(known, key) {
			r.complain(pair.Key, "%s has no field %s; the fields are %s", what, describe(pair.Key), strings.Join(known, ", "))
			continue
		}
		if first, twice := found[key]; twice {
			r.complain(pair.Key, "%s is there twice, first with the value in line %d; keep one", key, place(first).line)
			continue
		}
		found[key] = pair.Value
	}
	for _, key := range required {
		if _, there := found[key]; !there {
			r.complain(n, "%s has no %s; add the field %s", what, key, key)
			ok = false
		}
	}
	return found, ok
}

// list reads a sequence of at least one value.
func (r *reader) list(n ast.Node, what string) []ast.Node {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 {
		r.complain(n, "%s is %s; write a list with at least one entry", what, describe(n))
		return nil
	}
	return seq.Values
}

// scalars reads one value, or a list of them. Numbers and words such as true are taken as they are written: the file has texts too.
func (r *reader) scalars(n ast.Node, what string) []string {
	nodes := []ast.Node{n}
	if _, isList := n.(*ast.SequenceNode); isList {
		nodes = r.list(n, what)
	}
	var all []string
	for _, node := range nodes {
		s, ok := scalar(node)
		if !ok {
			r.complain(node, "%s is %s; write a value or a list of values, the empty one as \"\"", what, describe(node))
			continue
		}
		all = append(all, s)
	}
	return all
}

// template reads a text with columns in it.
func (r *reader) template(n ast.Node, what string) template {
	s, ok := scalar(n)
	if pairs, isMapping := pairsOf(n); isMapping && len(pairs) == 1 {
		if name, isText := text(pairs[0].Key); isText {
			r.complain(n, "%s is a mapping to YAML; put it in quotes: \"{%s}\"", what, clip(name))
			return template{}
		}
	}
	if !ok || s == "" {
		r.complain(n, "%s is %s; write a text in quotes, with columns in braces: \"{column}\"", what, describe(n))
		return template{}
	}
	t, err := parseTemplate(s, func(name string) int { return r.column(n, name) })
	if err != nil {
		r.complain(n, "%s: %v", what, err)
		return template{}
	}
	return t
}

// column registers a column of the file and returns its number.
func (r *reader) column(n ast.Node, name string) int {
	i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		i = len(r.columns)
		r.columns = append(r.columns, column{name: name, at: place(n)})
	}
	return i
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode: // a mapping of one pair
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

// text returns the value of a plain or quoted string. Anchors, aliases, tags and block scalars are not text here: the format has no use
// for them, and without them a file reads as it stands.
func text(n ast.Node) (string, bool) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

// scalar returns a text, or a number or a truth as it is written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// describe names a value in an error, without repeating more of the file than a line can hold.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.StringNode:
		return strconv.Quote(clip(n.Value))
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return clip(n.GetToken().Value)
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		if len(n.Values) == 0 {
			return "an empty list"
		}
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "an anchor, alias or tag"
	default:
		return "a " + strings.ToLower(n.Type().String())
	}
}

// place returns where a value begins; of a mapping, where its first key does.
func place(n ast.Node) position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return place(m.Values[0])
		}
	case *ast.MappingValueNode:
		return place(m.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{1, 1}
	}
	at := n.GetToken().Position
	return position{max(at.Line, 1), max(at.Column, 1)}
}
