package importer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// template is text with columns in it: "berka:{account_id}", "{currency|upper}". Rendering takes time by the length of the text and the
// row alone; there are no loops and no conditions, so a template can do no harm.
type template []part

// part is a literal text, or a column and what is done to its value.
type part struct {
	text   string
	column int // literal where negative
	name   string
	apply  []func(string) string
}

const literal = -1

// functions that a column's value can go through, as in {name|lower|slug}.
const functionHelp = "lower, upper, slug, default:TEXT and max:N"

// parseTemplate reads a template; column registers a name and returns its number.
func parseTemplate(s string, column func(name string) int) (template, error) {
	var t template
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			t = append(t, part{text: text.String(), column: literal})
			text.Reset()
		}
	}
	for s != "" {
		switch {
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			text.WriteByte(s[0])
			s = s[2:]
		case s[0] == '}':
			return nil, fmt.Errorf("a } closes nothing; write }} for the character itself")
		case s[0] == '{':
			end := strings.IndexAny(s[1:], "{}") + 1
			if end == 0 || s[end] != '}' {
				return nil, fmt.Errorf("a { is never closed; write {column}, or {{ for the character itself")
			}
			p, err := parsePart(s[1:end])
			if err != nil {
				return nil, err
			}
			flush()
			p.column = column(p.name)
			t = append(t, p)
			s = s[end+1:]
		default:
			text.WriteByte(s[0])
			s = s[1:]
		}
	}
	flush()
	return t, nil
}

func parsePart(s string) (part, error) {
	name, rest, more := strings.Cut(s, "|")
	p := part{name: strings.TrimSpace(name)}
	if p.name == "" {
		return part{}, fmt.Errorf("{%s} names no column; write {column}", clip(s))
	}
	for more {
		var call string
		call, rest, more = strings.Cut(rest, "|")
		f, err := function(call)
		if err != nil {
			return part{}, err
		}
		p.apply = append(p.apply, f)
	}
	return p, nil
}

func function(call string) (func(string) string, error) {
	name, argument, has := strings.Cut(call, ":")
	name = strings.TrimSpace(name)
	switch {
	case name == "lower" && !has:
		return strings.ToLower, nil
	case name == "upper" && !has:
		return strings.ToUpper, nil
	case name == "slug" && !has:
		return slug, nil
	case name == "default" && argument != "":
		return func(s string) string {
			if s == "" {
				return argument
			}
			return s
		}, nil
	case name == "max" && has:
		n, err := strconv.Atoi(argument)
		if err != nil || n < 1 || n > 255 {
			return nil, fmt.Errorf("max:%s is no length; write max:N with N from 1 to 255 bytes", clip(argument))
		}
		return func(s string) string { return cut(s, n) }, nil
	}
	return nil, fmt.Errorf("there is no function %q; the functions are %s", clip(call), functionHelp)
}

// slug makes a text fit for an identifier: lower case letters and digits of ASCII, and one - for each run of anything else. Different
// texts can have the same slug.
func slug(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(s) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(r)
			continue
		}
		gap = true
	}
	return b.String()
}

// cut keeps at most n bytes, and no half of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// values are the fields of one row, and where the columns of the mapping are among them.
type values struct {
	fields []string
	at     []int
}

// get returns the value of a column without the white space around it.
func (v values) get(column int) string { return strings.TrimSpace(v.fields[v.at[column]]) }

func (p part) render(v values) string {
	if p.column == literal {
		return p.text
	}
	s := v.get(p.column)
	for _, f := range p.apply {
		s = f(s)
	}
	return s
}

// render fills in a template.
func (t template) render(v values) string {
	if len(t) == 1 {
		return t[0].render(v)
	}
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.render(v))
	}
	return b.String()
}

// line renders a text for people: white space of any kind, line ends included, is one space, because the books take no control characters.
func (t template) line(v values) string { return strings.Join(strings.Fields(t.render(v)), " ") }

// identify renders a name. A column that is empty is refused: two rows without the value would pass for the same thing.
func (t template) identify(v values) (string, error) {
	for _, p := range t {
		if p.column != literal && p.render(v) == "" {
			return "", fmt.Errorf("column %q is empty; give it a value, or let the mapping say {%s|default:TEXT}", p.name, p.name)
		}
	}
	return t.render(v), nil
}
