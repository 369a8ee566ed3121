package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Path says where a value is in a body: names of fields, and [] for all elements of a list.
type Path []string

const each = "[]"

// ParsePath reads names with dots between them, as in data.object.id; a name that ends in [] is a list, of which all elements are meant. A path
// that begins with a slash is a JSON pointer (RFC 6901), for names that have dots.
func ParsePath(text string) (Path, error) {
	if pointer, isPointer := strings.CutPrefix(text, "/"); isPointer {
		var p Path
		for name := range strings.SplitSeq(pointer, "/") {
			p = append(p, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
		}
		return p, nil
	}
	var p Path
	for name := range strings.SplitSeq(text, ".") {
		field, isList := strings.CutSuffix(name, each)
		if field == "" || strings.ContainsAny(field, "[]") {
			return nil, fmt.Errorf("a path is names with dots between them, as in data.object.id or items[].item, not %q", text)
		}
		if p = append(p, field); isList {
			p = append(p, each)
		}
	}
	return p, nil
}

func (p Path) list() bool {
	for _, step := range p {
		if step == each {
			return true
		}
	}
	return false
}

var errTrailing = errors.New("something follows the value")

// decodeJSON reads a body of one value, with numbers as they are written.
func decodeJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return tree, nil
}

// spread returns the values at a path, through all elements of its lists. ok is false where a step is not there.
func spread(tree any, p Path) (values []any, ok bool) {
	values = []any{tree}
	for _, step := range p {
		var next []any
		for _, v := range values {
			if step == each {
				list, isList := v.([]any)
				if !isList {
					return nil, false
				}
				next = append(next, list...)
				continue
			}
			object, isObject := v.(map[string]any)
			child, there := object[step]
			if !isObject || !there {
				return nil, false
			}
			next = append(next, child)
		}
		values = next
	}
	return values, true
}

// textAt returns the text, number or truth at a path without lists, as it is written.
func textAt(tree any, p Path) (string, bool) {
	for _, step := range p {
		object, _ := tree.(map[string]any)
		child, there := object[step]
		if !there {
			return "", false
		}
		tree = child
	}
	switch v := tree.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// redact replaces what is at a path, wherever it is there.
func redact(tree any, p Path) {
	const instead = "[redacted]"
	if len(p) == 0 {
		return
	}
	switch v := tree.(type) {
	case map[string]any:
		child, there := v[p[0]]
		switch {
		case !there:
		case len(p) == 1:
			v[p[0]] = instead
		default:
			redact(child, p[1:])
		}
	case []any:
		if p[0] != each {
			return
		}
		for i := range v {
			if len(p) == 1 {
				v[i] = instead
			} else {
				redact(v[i], p[1:])
			}
		}
	}
}
