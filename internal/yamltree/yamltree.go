// Package yamltree reads a YAML file that a person wrote: as a tree whose values keep their places, so that everything that is wrong with
// the file can be said at once, a line each, with the place and how to mend it.
//
// It promises errors that begin with file:line:column, in the order of the file and bounded in number and length, and that a hostile file
// costs no more than MaxBytes of YAML may. It relies on goccy/go-yaml for the syntax tree; a decoder into structs would lose the place of
// each value. Packages topology and importer read their files through it. node.go has what is asked of single values.
package yamltree

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxBytes bounds a file: the shipped ones have 1 to 4 KiB. The YAML parser takes time by the square of the nesting, 0.4 s for 16 KiB of
// brackets and 5 s for 64, so the bound is what keeps a hostile file harmless.
const MaxBytes = 16 << 10

// MaxReports is how many problems an error lists before it only counts.
const MaxReports = 20

// Kind is what a file holds, for sentences about it.
type Kind struct {
	Noun   string // topology
	Fields string // that a file starts with: name, survive, regions, homes and latencies
}

// Reader collects what is wrong with one file while its owner walks the tree. It is for one goroutine.
type Reader struct {
	file     string
	problems []problem
}

type problem struct {
	at   Position
	text string
}

// Parse reads a file of one document and returns a Reader and the root of the tree. file is what errors call it. The root is nil where there
// is nothing to walk, and Err says why; the error is set where the file is too large or no YAML. Keys that are there twice are left to
// Fields.
func Parse(file string, data []byte, kind Kind) (*Reader, ast.Node, error) {
	if len(data) > MaxBytes {
		return nil, nil, fmt.Errorf("%s:1:1: the file is too large; a %s has at most %d bytes", file, kind.Noun, MaxBytes)
	}
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, nil, syntaxError(file, err)
	}
	r := &Reader{file: file}
	return r, r.root(tree, kind), nil
}

// ReadFile reads what Parse takes: one byte more than that at most, so that an endless file is refused by its size.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read a file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// syntaxError turns what the YAML parser says into one line.
func syntaxError(file string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		return fmt.Errorf("%s:%d:%d: this is not YAML: %s", file, max(p.Line, 1), max(p.Column, 1), at.GetMessage())
	}
	return fmt.Errorf("%s:1:1: this is not YAML: %s", file, clip(err.Error()))
}

// root returns the one document of the file.
func (r *Reader) root(tree *ast.File, kind Kind) ast.Node {
	var root ast.Node
	for _, doc := range tree.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if root != nil {
			r.Complain(doc.Body, "a second document starts here; keep one %s in a file", kind.Noun)
			return nil
		}
		root = doc.Body
	}
	if root == nil {
		r.Complain(nil, "the file is empty; write %s", kind.Fields)
	}
	return root
}

// Complain notes what is wrong with a value, and how to mend it.
func (r *Reader) Complain(n ast.Node, format string, args ...any) {
	r.problems = append(r.problems, problem{at: Place(n), text: fmt.Sprintf(format, args...)})
}

// Problems is how many there are so far.
func (r *Reader) Problems() int { return len(r.problems) }

// Err returns all problems in the order of the file, a line each, or nil.
func (r *Reader) Err() error {
	slices.SortStableFunc(r.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	var all []error
	for i, p := range r.problems {
		if i == MaxReports {
			all = append(all, fmt.Errorf("%s: and %d more", r.file, len(r.problems)-i))
			break
		}
		all = append(all, fmt.Errorf("%s:%s: %s", r.file, p.at, p.text))
	}
	return errors.Join(all...)
}

// Fields reads a mapping with fixed keys; ok is false where it is none or a required key is missing. The fields that are there come back
// all the same.
func (r *Reader) Fields(n ast.Node, what string, required, optional []string) (found map[string]ast.Node, ok bool) {
	known := slices.Concat(required, optional)
	pairs, ok := Pairs(n)
	if !ok {
		r.Complain(n, "%s is %s; write the fields %s", what, Describe(n), strings.Join(known, ", "))
		return nil, false
	}
	found = make(map[string]ast.Node, len(pairs))
	for _, pair := range pairs {
		key, isText := Text(pair.Key)
		if !isText || !slices.Contains(known, key) {
			r.Complain(pair.Key, "%s has no field %s; the fields are %s", what, Describe(pair.Key), strings.Join(known, ", "))
			continue
		}
		if first, twice := found[key]; twice {
			r.Complain(pair.Key, "%s is there twice, first with the value in line %d; keep one", key, Place(first).Line)
			continue
		}
		found[key] = pair.Value
	}
	for _, key := range required {
		if _, there := found[key]; !there {
			r.Complain(n, "%s has no %s; add the field %s", what, key, key)
			ok = false
		}
	}
	return found, ok
}

// List reads a sequence of at least one value.
func (r *Reader) List(n ast.Node, what string) []ast.Node {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 {
		r.Complain(n, "%s is %s; write a list with at least one entry", what, Describe(n))
		return nil
	}
	return seq.Values
}

// Duration reads a time as in 90s or 36h, within bounds.
func (r *Reader) Duration(n ast.Node, what string, least, most time.Duration) time.Duration {
	text, _ := Text(n)
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		r.Complain(n, "%s is %s; write a time of %s to %s", what, Describe(n), least, most)
	}
	return d
}
