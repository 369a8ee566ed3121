package yamltree

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Position is a place in a file, from 1.
type Position struct {
	Line, Column int
}

// String writes line:column, as compilers do.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Place returns where a value begins; of a mapping, where its first key does. Nothing begins at 1:1.
func Place(n ast.Node) Position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return Place(m.Values[0])
		}
	case *ast.MappingValueNode:
		return Place(m.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Position{1, 1}
	}
	at := n.GetToken().Position
	return Position{max(at.Line, 1), max(at.Column, 1)}
}

// Pairs returns the keys and values of a mapping, in the order of the file.
func Pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode: // a mapping of one pair
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

// Text returns the value of a plain or quoted string. Anchors, aliases, tags and block scalars are not text here: no format has use for
// them, and without them a file reads as it stands.
func Text(n ast.Node) (string, bool) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

// Scalar returns a text, or a number or a truth as it is written.
func Scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// Number returns the digits of a plain decimal number: no sign, exponent or underscore, and no leading zero, which some readers of YAML
// take for octal.
func Number(n ast.Node) (string, bool) {
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

// Describe names a value in a complaint, without repeating more of the file than a line can hold.
func Describe(n ast.Node) string {
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

// clip keeps a hostile text out of an error in full length.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
