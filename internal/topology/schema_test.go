package topology

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/regions"
)

// fileSchema is the published JSON Schema of the format.
func fileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../regions/topology.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("topology.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("topology.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge reads a file as an editor does and asks the schema.
func judge(s *jsonschema.Schema, data []byte) error {
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

func TestSchema_TakesEveryShippedFile(t *testing.T) {
	s := fileSchema(t)
	for _, name := range shippedNames(t) {
		data, err := fs.ReadFile(regions.FS, name+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := judge(s, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the parser takes, the schema takes: it never marks a good file in somebody's editor.
func TestSchema_TakesWhatTheParserTakes(t *testing.T) {
	s := fileSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		data := drawTopology(t).YAML()
		if err := judge(s, data); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}

// parserAlone finds the refusals that relate parts of a file to one another or to its text, which a JSON Schema cannot see.
var parserAlone = regexp.MustCompile(`already in|is there twice|no latency between|not under regions|one node for each zone|is an anchor|a second document|is 02;|is 0x2;|a home is empty`)

// Each refused file is refused by the parser, and by the schema too unless it cannot see the reason.
func TestSchema_AgreesWithTheParser(t *testing.T) {
	s := fileSchema(t)
	both := 0
	for _, row := range refusals {
		broken := []byte(strings.Replace(sound, row.old, row.new, 1))
		if _, err := Parse("t.yaml", broken); err == nil {
			t.Errorf("%q in place of %q: the parser takes it", row.new, row.old)
		}
		switch err := judge(s, broken); {
		case err != nil:
			both++
		case !parserAlone.MatchString(row.want):
			t.Errorf("%q in place of %q: the schema takes it, and could see %s", row.new, row.old, row.want)
		}
	}
	if both < 35 {
		t.Errorf("the schema refuses %d of %d files; it has lost its teeth", both, len(refusals))
	}
}
