package yamltree_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/yamltree"
)

var kind = yamltree.Kind{Noun: "menu", Fields: "name and dishes"}

// menu reads a file of two fields, and is what an owner of a Reader looks like.
func menu(text string) error {
	r, root, err := yamltree.Parse("m.yaml", []byte(text), kind)
	if err != nil {
		return err
	}
	if root == nil {
		return r.Err()
	}
	f, ok := r.Fields(root, "a menu", []string{"name", "dishes"}, []string{"since"})
	if !ok {
		return r.Err()
	}
	if _, isText := yamltree.Text(f["name"]); !isText {
		r.Complain(f["name"], "name is %s", yamltree.Describe(f["name"]))
	}
	for _, dish := range r.List(f["dishes"], "dishes") {
		if _, isNumber := yamltree.Number(dish); !isNumber {
			r.Complain(dish, "a dish is %s", yamltree.Describe(dish))
		}
	}
	return r.Err()
}

func TestReader_NamesThePlaceAndTheRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\ndishes: [1, 2.5]\n":            "",
		"# nothing\n":                            "m.yaml:1:1: the file is empty; write name and dishes",
		"name: a\n---\nname: b\n":                "m.yaml:3:1: a second document starts here; keep one menu in a file",
		"- a\n":                                  "m.yaml:1:1: a menu is a list; write the fields name, dishes, since",
		"name: a\n":                              "m.yaml:1:1: a menu has no dishes; add the field dishes",
		"name: a\ndishes: [1]\ndishes: [2]\n":    "m.yaml:3:1: dishes is there twice, first with the value in line 2; keep one",
		"name: a\ndishes: [1]\nprice: 5\n":       `m.yaml:3:1: a menu has no field "price"; the fields are name, dishes, since`,
		"name: a\ndishes: []\n":                  "m.yaml:2:9: dishes is an empty list; write a list with at least one entry",
		"name: a\ndishes: 5\n":                   "m.yaml:2:9: dishes is 5; write a list with at least one entry",
		"name: a\ndishes:\n  - 1\n  - b: 2\n":    "m.yaml:4:5: a dish is a mapping",
		"dishes: [x, 1, &a 2]\nname: {}\n":       "m.yaml:1:10: a dish is \"x\"\nm.yaml:1:16: a dish is an anchor, alias or tag\nm.yaml:2:7: name is a mapping",
		"name: [a\n":                             "m.yaml:1:7: this is not YAML: sequence end token ']' not found",
		strings.Repeat("#", yamltree.MaxBytes+1): "m.yaml:1:1: the file is too large; a menu has at most 16384 bytes",
	} {
		got := ""
		if err := menu(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestReader_BoundsItsReport(t *testing.T) {
	err := menu("name: a\ndishes: [" + strings.Repeat("x, ", 50) + "1]\n")
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != yamltree.MaxReports+1 || lines[yamltree.MaxReports] != "m.yaml: and 30 more" {
		t.Errorf("%d lines: %v", len(lines), err)
	}
	if err := menu("name: a\ndishes: [" + strings.Repeat("é", 200) + "]\n"); len(err.Error()) > 200 || !strings.Contains(err.Error(), "é…") {
		t.Errorf("a long value: %v", err)
	}
}

// value is the first value of the one field of a file.
func value(t *testing.T, text string) ast.Node {
	t.Helper()
	r, root, err := yamltree.Parse("v.yaml", []byte("v: "+text+"\n"), kind)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := r.Fields(root, "a file", []string{"v"}, nil)
	if !ok {
		t.Fatal(r.Err())
	}
	return f["v"]
}

func TestNode_SaysWhatAValueIs(t *testing.T) {
	for _, row := range []struct {
		yaml, describe       string
		text, scalar, number string // "-" where it is none
	}{
		{`abc`, `"abc"`, "abc", "abc", "-"},
		{`"5"`, `"5"`, "5", "5", "-"},
		{`5`, `5`, "-", "5", "5"},
		{`0.125`, `0.125`, "-", "0.125", "0.125"},
		{`-5`, `-5`, "-", "-5", "-"},
		{`05`, `05`, "-", "05", "-"},
		{`0x5`, `0x5`, "-", "0x5", "-"},
		{`true`, `true`, "-", "true", "-"},
		{``, `empty`, "-", "-", "-"},
		{`null`, `empty`, "-", "-", "-"},
		{`[1]`, `a list`, "-", "-", "-"},
		{`{a: 1}`, `a mapping`, "-", "-", "-"},
		{`!!str 5`, `an anchor, alias or tag`, "-", "-", "-"},
		{"|\n  abc", `a literal`, "-", "-", "-"},
	} {
		n := value(t, row.yaml)
		if got := yamltree.Describe(n); got != row.describe {
			t.Errorf("%q is described as %s, want %s", row.yaml, got, row.describe)
		}
		for name, c := range map[string]struct {
			read func(ast.Node) (string, bool)
			want string
		}{"Text": {yamltree.Text, row.text}, "Scalar": {yamltree.Scalar, row.scalar}, "Number": {yamltree.Number, row.number}} {
			if got, ok := c.read(n); ok != (c.want != "-") || ok && got != c.want {
				t.Errorf("%s of %q = %q, %t; want %s", name, row.yaml, got, ok, c.want)
			}
		}
	}
	if at := yamltree.Place(nil); at != (yamltree.Position{Line: 1, Column: 1}) {
		t.Errorf("nothing is at %s", at)
	}
}

// Whatever a file holds, walking it neither panics nor finds a place outside of it, and every complaint names its place.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"name: a\ndishes: [1, 2]\n", "", "\x00", "---\n---\n", "name: [", "? : :", "!!map {}", "name: |\n  x\n", "\ufeffname: x", "a: b\r\nc: d\r", "dishes: {<<: 1}",
		"dishes:\n- {a: [b, {c: &x d}]}\n- *x\n", "%YAML 1.2\n---\n", strings.Repeat("[", 100), strings.Repeat("{a: ", 100), strings.Repeat("? ", 100),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := menu(string(text)); err != nil && !strings.HasPrefix(err.Error(), "m.yaml:") {
			t.Errorf("the error names no place: %v", err)
		}
		r, root, err := yamltree.Parse("m.yaml", text, kind)
		if err != nil || root == nil {
			return
		}
		ast.Walk(walker(func(n ast.Node) {
			at := yamltree.Place(n)
			if at.Line < 1 || at.Column < 1 {
				t.Errorf("%s is at %s", yamltree.Describe(n), at)
			}
			if described := yamltree.Describe(n); described == "" || len(described) > 400 {
				t.Errorf("described as %q", described)
			}
			r.Complain(n, "here")
		}), root)
		if r.Err() == nil || errors.Unwrap(r.Err()) != nil {
			t.Errorf("complaints came back as %v", r.Err())
		}
	})
}

type walker func(ast.Node)

func (w walker) Visit(n ast.Node) ast.Visitor {
	w(n)
	return w
}
