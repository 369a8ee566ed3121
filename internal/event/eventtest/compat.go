package eventtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Breaks lists what a newer schema breaks for consumers of an older one: a field that is gone, that may be missing where it was always there,
// or that has another type or form, and a value that is no longer among those that a field has. More fields and more values are fine. Both
// schemas say all in one piece: one that refers to another is refused, because a change behind the reference would go unseen.
func Breaks(older, newer []byte) ([]string, error) {
	var before, after map[string]any
	if err := json.Unmarshal(older, &before); err != nil {
		return nil, fmt.Errorf("the older schema: %w", err)
	}
	if err := json.Unmarshal(newer, &after); err != nil {
		return nil, fmt.Errorf("the newer schema: %w", err)
	}
	c := comparison{}
	c.node("$", before, after)
	return c.broken, c.err
}

// compared are the keywords that this comparison judges; says are those that change nothing for a consumer.
var (
	same = []string{"type", "format", "pattern", "maxLength", "minLength", "minimum", "maximum", "$id", "$schema"}
	deep = []string{"properties", "items", "additionalProperties", "required", "enum", "const"}
	says = []string{"title", "description", "examples"}
)

type comparison struct {
	broken []string
	err    error
}

func (c *comparison) breaks(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

func (c *comparison) node(at string, before, after map[string]any) {
	c.known(at, before)
	c.known(at, after)
	for _, keyword := range same {
		if !reflect.DeepEqual(before[keyword], after[keyword]) {
			c.breaks("%s: %s was %v and is %v", at, keyword, text(before[keyword]), text(after[keyword]))
		}
	}
	c.values(at, values(before), values(after))
	for _, field := range list(before["required"]) {
		if !slices.Contains(list(after["required"]), field) {
			c.breaks("%s.%s: it was always there, and may be missing", at, field)
		}
	}
	for field, form := range sorted(object(before["properties"])) {
		now, kept := object(after["properties"])[field]
		if !kept {
			c.breaks("%s.%s: it is gone", at, field)
			continue
		}
		c.node(at+"."+field, object(form), object(now))
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		c.inner(at+"["+keyword+"]", before[keyword], after[keyword])
	}
}

// inner compares what a list or a map holds; true, false and nothing are forms as well.
func (c *comparison) inner(at string, before, after any) {
	was, isObject := before.(map[string]any)
	is, stillObject := after.(map[string]any)
	switch {
	case isObject && stillObject:
		c.node(at, was, is)
	case !reflect.DeepEqual(before, after):
		c.breaks("%s: it was %v and is %v", at, text(before), text(after))
	}
}

func (c *comparison) values(at string, before, after []any) {
	if before == nil && after != nil {
		c.breaks("%s: it had any value, and has only %v", at, after)
	}
	if after == nil {
		if before != nil {
			c.breaks("%s: it had only %v, and may have any value", at, before)
		}
		return
	}
	for _, value := range before {
		if !slices.Contains(after, value) {
			c.breaks("%s: the value %v is gone", at, value)
		}
	}
}

// known refuses a keyword that the comparison would pass over.
func (c *comparison) known(at string, node map[string]any) {
	for keyword := range sorted(node) {
		if !slices.Contains(same, keyword) && !slices.Contains(deep, keyword) && !slices.Contains(says, keyword) && c.err == nil {
			c.err = fmt.Errorf("%s: the comparison does not know %s: teach it", at, keyword)
		}
	}
}

// values are those of enum and const; nil is any.
func values(node map[string]any) []any {
	if value, only := node["const"]; only {
		return []any{value}
	}
	all, _ := node["enum"].([]any)
	return all
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func list(v any) []string {
	all, _ := v.([]any)
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = fmt.Sprint(one)
	}
	return texts
}

func text(v any) string {
	if v == nil {
		return "absent"
	}
	return fmt.Sprint(v)
}

// sorted ranges over a map by key, so that complaints come in one order.
func sorted(m map[string]any) func(yield func(string, any) bool) {
	return func(yield func(string, any) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
