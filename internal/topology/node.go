package topology

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// fields reads a mapping with fixed keys; ok is false where a required one is missing. Then the caller leaves the part unread, because
// whatever it said about it would follow from this.
func (r *reader) fields(n ast.Node, what string, required, optional []string) (map[string]ast.Node, bool) {
	pairs, ok := mapping(n)
	if !ok {
		r.complain(n, "%s is %s; write the fields %s", what, describe(n), strings.Join(required, ", "))
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
			r.complain(pair.Key, "%s is there twice, first with the value in line %d; keep one", key, line(first))
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

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
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

// number returns the digits of a plain decimal number: no sign, exponent or underscore, and no leading zero, which some readers of YAML
// take for octal.
func number(n ast.Node) (string, bool) {
	var digits string
	switch n := n.(type) {
	case *ast.IntegerNode:
		digits = n.Token.Value
	case *ast.FloatNode:
		digits = n.Token.Value
	default:
		return "", false
	}
	octal := len(digits) > 1 && digits[0] == '0' && digits[1] != '.'
	return digits, !octal && strings.Trim(digits, "0123456789.") == ""
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

// line returns where a value begins, from 1.
func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}
