package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

var update = flag.Bool("update", false, "write docs/events anew, released forms aside")

const docs = "../../docs/events"

// envelope is what Render writes, for reading it again and for its schema.
type envelope struct {
	SpecVersion     string          `json:"specversion" jsonschema:"enum=1.0" jsonschema_description:"Of CloudEvents."`
	ID              string          `json:"id" jsonschema:"format=uuid" jsonschema_description:"The transaction. The same in every delivery: deduplicate by it."`
	Source          string          `json:"source" jsonschema:"pattern=^/meridian/homes/[a-z0-9-]+(/ledgers/[a-z0-9-]+)?$" jsonschema_description:"The ledger whose story this is."`
	Type            Type            `json:"type" jsonschema_description:"What happened."`
	Subject         string          `json:"subject" jsonschema:"minLength=1" jsonschema_description:"The account that it is about, or the transaction where there is none."`
	Time            string          `json:"time" jsonschema:"format=date-time" jsonschema_description:"When it was recorded."`
	DataContentType string          `json:"datacontenttype" jsonschema:"enum=application/json" jsonschema_description:"Of data."`
	DataSchema      string          `json:"dataschema" jsonschema:"pattern=^urn:meridian:schema:[a-z._]+:v[0-9]+$" jsonschema_description:"The $id of the schema of data: its type and its major version."`
	Home            id.Home         `json:"home" jsonschema_description:"Whose stream it left through."`
	Region          string          `json:"region,omitempty" jsonschema:"minLength=1" jsonschema_description:"Where that home is, if a topology says so."`
	Ledger          id.Ledger       `json:"ledger,omitempty" jsonschema_description:"The ledger that the command was sent to. Absent on a test."`
	Account         id.Account      `json:"account,omitempty" jsonschema_description:"The account that it is about, if there is one."`
	Sequence        string          `json:"sequence,omitempty" jsonschema:"pattern=^[0-9]{20}$" jsonschema_description:"The newest line that it wrote on that account, padded so that texts sort as numbers. Absent where it wrote none."`
	Position        string          `json:"position,omitempty" jsonschema:"pattern=^[1-9][0-9]*$" jsonschema_description:"Its place in the stream of the home, counted from 1 without gaps. Absent on a test."`
	PartitionKey    string          `json:"partitionkey" jsonschema:"minLength=1" jsonschema_description:"ledger/account, or the transaction where there is no account."`
	SchemaVersion   string          `json:"schemaversion" jsonschema:"pattern=^1\\.[0-9]+\\.[0-9]+$" jsonschema_description:"The version of the form of data."`
	TraceParent     string          `json:"traceparent,omitempty" jsonschema:"pattern=^00-[0-9a-f]{32}-[0-9a-f]{16}-01$" jsonschema_description:"The trace of the command, by W3C Trace Context."`
	Data            json.RawMessage `json:"data" jsonschema_description:"What happened, in the form that dataschema names."`
}

// forms are the types that write themselves as texts.
var forms = map[reflect.Type]jsonschema.Schema{
	reflect.TypeFor[digits]():          {Type: "string"}, // the pattern stands at each field
	reflect.TypeFor[money.Code]():      {Type: "string", Pattern: "^[A-Z][A-Z0-9_]{0,15}$"},
	reflect.TypeFor[asset]():           {Type: "string", Pattern: "^[A-Z][A-Z0-9_]{0,15}/[0-9]{1,2}$"},
	reflect.TypeFor[side]():            {Type: "string", Enum: []any{"debit", "credit"}},
	reflect.TypeFor[uuid]():            {Type: "string", Format: "uuid"},
	reflect.TypeFor[instant]():         {Type: "string", Format: "date-time"},
	reflect.TypeFor[id.Home]():         {Type: "string", Pattern: "^[a-z][a-z0-9-]{0,31}$"},
	reflect.TypeFor[id.Ledger]():       {Type: "string", Pattern: "^[a-z][a-z0-9-]{0,63}$"},
	reflect.TypeFor[id.Account]():      {Type: "string", Pattern: "^[A-Za-z0-9][A-Za-z0-9_.:/@+~=-]{0,127}$"},
	reflect.TypeFor[id.Key]():          {Type: "string", Pattern: "^[!-~]{1,255}$"},
	reflect.TypeFor[id.Reason]():       {Type: "string", Pattern: "^[A-Za-z0-9][A-Za-z0-9_.:/@+~=-]{0,63}$"},
	reflect.TypeFor[errs.Reason]():     {Type: "string", Enum: anys(slices.Concat(errs.Declines, errs.StepDeclines))},
	reflect.TypeFor[Type]():            {Type: "string", Enum: anys(Types)},
	reflect.TypeFor[json.RawMessage](): {Type: "object"},
}

func anys[T ~string](values []T) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

func schemaOf(form any) *jsonschema.Schema {
	r := jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, DoNotReference: true, AllowAdditionalProperties: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if s, ok := forms[t]; ok {
				return &s
			}
			return nil
		},
	}
	return r.Reflect(form)
}

// schemaOfType is the schema of the data of a type: that of its form, with the words that this type alone has.
func schemaOfType(t Type) *jsonschema.Schema {
	s := schemaOf(dataOf[t])
	s.ID, s.Title, s.Description = jsonschema.ID(t.schema()), string(t), meanings[t]
	only := func(field string, values ...any) {
		if p, ok := s.Properties.Get(field); ok {
			p.Enum = values
		}
	}
	if t == payments {
		only("event_type", anys(slices.Sorted(maps.Keys(ofPayment)))...)
	} else {
		only("event_type", string(t))
	}
	only("kind", anys(kindsOf(t))...)
	if t == TransactionDeclined || t == TransitionRefused || t == GateClosed {
		only("status", string(ledger.Declined))
	} else {
		only("status", string(ledger.Posted))
	}
	return s
}

func kindsOf(t Type) []ledger.Kind {
	switch t {
	case TransactionDeclined:
		return append(slices.Clone(ledger.Kinds), ledger.KindPlayer)
	case payments, TransitionRefused, GateClosed:
		return []ledger.Kind{ledger.KindStep}
	case AccountUnfrozen:
		return []ledger.Kind{ledger.KindFreeze}
	}
	return slices.DeleteFunc(slices.Concat(ledger.Kinds, ledger.PaymentCommands), func(k ledger.Kind) bool { return posted[k] != t })
}

// formed lists the types that have a form of their own, and the one that all payments share.
func formed() []Type {
	kinds := slices.DeleteFunc(slices.Clone(Types), func(t Type) bool { return ofPayment[t] })
	return append(kinds, payments)
}

func schemaOfEnvelope() *jsonschema.Schema {
	s := schemaOf(envelope{})
	s.ID, s.Title = "urn:meridian:schema:cloudevent:"+major, "An event of Meridian"
	s.Description = "A CloudEvent 1.0 in the structured JSON mode, with the extension attributes of Meridian."
	return s
}

// schemas are the files under docs/events, by name.
func schemas(t *testing.T) map[string][]byte {
	files := map[string][]byte{"cloudevent." + major + ".json": indented(t, schemaOfEnvelope())}
	for _, kind := range formed() {
		files[string(kind)+"."+major+".json"] = indented(t, schemaOfType(kind))
	}
	return files
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upToDate holds a file to what it should say, and writes it where -update is given.
func upToDate(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join(docs, name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run go generate ./internal/event (%v)", path, err)
	}
}

func TestSchemas_AreMadeFromTheTypes(t *testing.T) {
	want := schemas(t)
	for name, text := range want {
		upToDate(t, name, text)
	}
	files, err := filepath.Glob(filepath.Join(docs, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if want[filepath.Base(file)] == nil {
			t.Errorf("%s describes no type", file)
		}
	}
}

func TestTypes_AreWhole(t *testing.T) {
	for _, kind := range append(slices.Clone(ledger.Kinds), ledger.KindPlayer) {
		if posted[kind] == "" {
			t.Errorf("a posted %s has no type", kind)
		}
	}
	for _, kind := range formed() {
		if dataOf[kind] == nil || meanings[kind] == "" {
			t.Errorf("%s has no form or no meaning", kind)
		}
		if kind != Test && len(kindsOf(kind)) == 0 {
			t.Errorf("no command makes %s", kind)
		}
	}
}
