package importer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Line is one movement as a statement tells it, in the words of a LineMapping.
type Line struct {
	At        int    // physical line of the file on which it begins, from 1
	ID        string // what tells the provider's lines apart; may be empty
	Reference string // the provider's reference; may be empty
	Kind      string
	Asset     money.Asset
	Amount    money.Amount // signed: what comes to us is positive
	Date      time.Time
	Pending   bool // not final: it comes again when it is
}

// LineMapping says how the rows of a statement are read, where nothing is posted: in the language of a Mapping, without accounts.
// ParseLineMapping makes one. It never changes and is safe for concurrent use.
type LineMapping struct {
	Mapping
	kind    template
	pending []when
}

// Syntax is how a statement that is read by a mapping writes its rows.
type Syntax string

// The syntaxes. In JSON each line is an object, a column is a path of names with points between them, as in payment.amount.
const (
	CSV  Syntax = "csv"
	JSON Syntax = "jsonl"
)

// lineKind is what a mapping of statements is in sentences about it.
var lineKind = yamltree.Kind{Noun: "mapping", Fields: "name, reference, date, amount and asset"}

// LoadLineMapping reads the mapping file at path.
func LoadLineMapping(path string) (LineMapping, error) {
	data, err := yamltree.ReadFile(path)
	if err != nil {
		return LineMapping{}, err
	}
	return ParseLineMapping(path, data)
}

// ParseLineMapping reads a mapping of statements as ParseMapping reads one of imports: all that is wrong comes back at once, a line each.
func ParseLineMapping(file string, data []byte) (LineMapping, error) {
	return parse(file, data, lineKind, (*reader).lineMapping)
}

func (r *reader) lineMapping(root ast.Node) LineMapping {
	var m LineMapping
	r.parts(root, &m.Mapping, []string{"name", "reference", "date", "amount", "asset"}, []string{"csv", "skip", "id", "direction", "kind", "pending"}, []field{
		{"reference", func(n ast.Node) { m.reference = r.identity(n, "reference") }},
		{"kind", func(n ast.Node) { m.kind = r.template(n, "kind") }},
		{"pending", func(n ast.Node) { m.pending = r.conditions(n, "pending") }},
	})
	return m
}

// Lines reads a statement, file being what errors call it. A row that can not be read comes as an error that names its line, and what to do
// about it; the rows after it follow. After an error of reading nothing follows. assets are those that columns may name by their code. What
// is held in memory is one row.
func (m LineMapping) Lines(file string, in io.Reader, syntax Syntax, assets []money.Asset) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		next, err := m.open(in, syntax)
		if err != nil {
			yield(Line{}, fmt.Errorf("%s:%w", file, err))
			return
		}
		for {
			v, at, err := next()
			if errors.Is(err, io.EOF) {
				return
			}
			var bad malformed
			if err != nil && !errors.As(err, &bad) {
				yield(Line{}, fmt.Errorf("%s:%d: %w", file, max(at, 1), err))
				return
			}
			line := Line{At: at}
			if err == nil {
				if slices.ContainsFunc(m.skip, func(w when) bool { return w.matches(v) }) {
					continue
				}
				line, err = m.line(v, at, assets)
			}
			if err != nil {
				err = fmt.Errorf("%s:%d: %w", file, at, err)
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

func (m LineMapping) line(v values, at int, assets []money.Asset) (Line, error) {
	line := Line{At: at, Reference: m.reference.line(v), Kind: m.kind.line(v), ID: m.id.line(v)}
	for _, text := range []struct{ name, value string }{{"reference", line.Reference}, {"kind", line.Kind}, {"id", line.ID}} {
		if err := ledger.ValidateText(text.name, text.value); err != nil {
			return Line{}, fmt.Errorf("%s: %q is too long or no text; at most %d printable characters, {column|max:N} cuts", text.name, clip(text.value), ledger.MaxText)
		}
	}
	var err error
	if line.Date, err = m.date.parse(m.date.value.render(v)); err != nil {
		return Line{}, fmt.Errorf("date: %w", err)
	}
	if line.Asset, err = m.lineAsset(v, assets); err != nil {
		return Line{}, fmt.Errorf("asset: %w", err)
	}
	amount, side, err := m.sided(v, line.Asset)
	if err != nil {
		return Line{}, fmt.Errorf("amount: %w", err)
	}
	if line.Amount = amount; side == ledger.Debit {
		line.Amount = amount.Neg()
	}
	line.Pending = slices.ContainsFunc(m.pending, func(w when) bool { return w.matches(v) })
	return line, nil
}

func (m LineMapping) lineAsset(v values, assets []money.Asset) (money.Asset, error) {
	wanted, constant := m.Asset()
	code := wanted.Code
	if !constant {
		code = money.Code(m.asset.code.render(v))
	}
	i := slices.IndexFunc(assets, func(a money.Asset) bool { return a.Code == code })
	if i < 0 {
		return money.Asset{}, fmt.Errorf("the ledger has no asset %q; mend the mapping, or skip such rows", clip(string(code)))
	}
	if constant && assets[i] != wanted {
		return money.Asset{}, fmt.Errorf("the ledger has %s where the mapping has %s; let the mapping say the same", assets[i], wanted)
	}
	return assets[i], nil
}

// open returns what reads the next row: its values, its line, io.EOF at the end, malformed where only this row is lost.
func (m LineMapping) open(in io.Reader, syntax Syntax) (func() (values, int, error), error) {
	if syntax == JSON {
		return m.openJSON(in), nil
	}
	r, err := openRows(in, m.dialect)
	if err != nil {
		return nil, fmt.Errorf("1: %w", err)
	}
	at, err := m.bind(r.header)
	if err != nil {
		return nil, fmt.Errorf("%d: %w", max(r.lines.number, 1), err)
	}
	return func() (values, int, error) {
		fields, where, err := r.next()
		return values{fields, at}, where.first, err
	}, nil
}

// openJSON reads an object a line. Numbers keep the digits they are written with.
func (m LineMapping) openJSON(in io.Reader) func() (values, int, error) {
	src := &lines{src: bufio.NewReaderSize(in, 64<<10)}
	at := make([]int, len(m.columns))
	paths := make([][]string, len(m.columns))
	for i, c := range m.columns {
		at[i], paths[i] = i, strings.Split(c.name, ".")
	}
	fields := make([]string, len(m.columns))
	return func() (values, int, error) {
		text, number, err := src.object()
		if err != nil {
			return values{}, number, err
		}
		if !utf8.Valid(text) {
			return values{}, number, malformed{"json: the line is not UTF-8; convert the file first"}
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var object map[string]any
		if err := d.Decode(&object); err != nil || object == nil {
			return values{}, number, malformed{"json: the line is no object; write one object a line: {\"reference\": …}"}
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return values{}, number, malformed{"json: something follows the object; write one object a line"}
		}
		for i, path := range paths {
			var why string
			if fields[i], why = valueAt(object, path); why != "" {
				return values{}, number, malformed{fmt.Sprintf("json: %s %s", m.columns[i].name, why)}
			}
		}
		return values{fields, at}, number, nil
	}
}

// object reads the next line that is not empty.
func (l *lines) object() ([]byte, int, error) {
	for {
		l.begin()
		err := l.fill()
		for err == nil && l.inside { // a line longer than the buffer
			var piece []byte
			if piece, err = l.piece(); err == nil {
				l.row = append(l.row, piece...)
			}
			if len(l.row) > maxRowBytes {
				err = errRunaway
			}
		}
		if errors.Is(err, errRunaway) {
			if end := l.finish(); end != nil && !errors.Is(end, io.EOF) {
				return nil, l.number, end
			}
			return nil, l.number, malformed{fmt.Sprintf("json: a line of more than %d bytes; write one object a line", maxRowBytes)}
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(l.row) == 0) {
			return nil, l.number, err
		}
		if text := bytes.TrimSpace(l.row); len(text) > 0 {
			return text, l.number, nil
		}
	}
}

// valueAt finds a value by its path. What is not there is empty, as an empty column is.
func valueAt(object map[string]any, path []string) (text, why string) {
	var v any = object
	for _, name := range path {
		inner, isObject := v.(map[string]any)
		if !isObject {
			return "", ""
		}
		v = inner[name]
	}
	switch v := v.(type) {
	case nil:
		return "", ""
	case string:
		return v, ""
	case json.Number:
		return v.String(), ""
	case bool:
		return fmt.Sprint(v), ""
	}
	return "", "is an object or a list; name a value in it"
}
