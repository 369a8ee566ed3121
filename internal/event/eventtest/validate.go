// Package eventtest holds events to what is published about them. Suites that make an event, or receive one, give it to Validate; Breaks
// compares two versions of a published schema. It relies on docs/events alone, so that it judges what consumers read and not the Go types.
package eventtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/meridian-ledger/meridian/docs/events"
)

const envelopeID = "urn:meridian:schema:cloudevent:v1"

// T is what Validate needs of a test; *testing.T and *rapid.T have it.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Validate fails the test where a body is no event in the structured mode as published. It is stricter than consumers are to be: a field
// that the schema does not list fails it too.
func Validate(t T, body []byte) {
	t.Helper()
	if err := Check(body); err != nil {
		t.Fatalf("%v\nin %s", err, body)
	}
}

// Check says what is wrong with an event in the structured mode, or nil.
func Check(body []byte) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if err := all[envelopeID].Validate(instance); err != nil {
		return fmt.Errorf("no event: %w", err)
	}
	event := object(instance)
	name, _ := event["dataschema"].(string)
	schema, known := all[name]
	if !known {
		return fmt.Errorf("there is no schema %s", name)
	}
	data := event["data"]
	if err := schema.Validate(data); err != nil {
		return fmt.Errorf("no data of %s: %w", name, err)
	}
	return agree(event, object(data))
}

// agree holds what is said twice to be the same.
func agree(event, data map[string]any) error {
	for attribute, field := range map[string]string{
		"id": "event_id", "type": "event_type", "time": "occurred_at", "home": "home", "ledger": "ledger", "schemaversion": "schema_version",
		"account": "account_id",
	} {
		if event[attribute] != data[field] {
			return fmt.Errorf("attribute %s is %v, and field %s of the data is %v", attribute, event[attribute], field, data[field])
		}
	}
	form := fmt.Sprint(event["type"])
	if strings.Count(form, ".") == 2 && strings.HasPrefix(form, "payment.") && form != "payment.transition.refused" && form != "payment.gate.closed" {
		form = "payment" // the kinds and states of payments share one
	}
	if want := "urn:meridian:schema:" + form + ":v1"; event["dataschema"] != want {
		return fmt.Errorf("an event of type %v names the schema %v", event["type"], event["dataschema"])
	}
	return nil
}

var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	names, err := fs.Glob(events.FS, "*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("docs/events has no schemas")
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	all := map[string]*jsonschema.Schema{}
	for _, name := range names {
		text, err := events.FS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		id, _ := object(document)["$id"].(string)
		all[id] = nil
		if err := compiler.AddResource(id, closed(document)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for id := range all {
		if all[id], err = compiler.Compile(id); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// closed makes a schema refuse fields that it does not list.
func closed(node any) any {
	form, ok := node.(map[string]any)
	if !ok {
		return node
	}
	if properties, lists := form["properties"].(map[string]any); lists {
		for _, property := range properties {
			closed(property)
		}
		if _, says := form["additionalProperties"]; !says {
			form["additionalProperties"] = false
		}
	}
	closed(form["items"])
	return form
}

// Released reads the forms that consumers rely on: schemas by file name.
func Released() (map[string][]byte, error) { return read("released") }

// Published reads the forms as they are now: schemas by file name.
func Published() (map[string][]byte, error) { return read(".") }

func read(directory string) (map[string][]byte, error) {
	entries, err := events.FS.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		text, err := events.FS.ReadFile(path.Join(directory, e.Name()))
		if err != nil {
			return nil, err
		}
		if !json.Valid(text) {
			return nil, fmt.Errorf("%s is no JSON", path.Join(directory, e.Name()))
		}
		files[e.Name()] = text
	}
	return files, nil
}
