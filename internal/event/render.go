package event

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Options say for whom an event is rendered. The zero value shows the event's own ledger alone, and that only in the stream of its home.
type Options struct {
	// Homes are those whose entries are shown, besides the home of the stream.
	Homes []id.Home
	// HomeOf says which home a ledger has. It has to know every ledger there is, those made a moment ago included: entries of one that it
	// does not know are redacted.
	HomeOf func(id.Ledger) (id.Home, bool)
	// RegionOf says in which region a home is, where that is known; it may be nil.
	RegionOf func(id.Home) (region string, ok bool)
}

// sees tells whether entries in a ledger are shown.
func (o Options) sees(e Event, l id.Ledger) bool {
	if e.owns(l) {
		return true
	}
	home, known := o.homeOf(e, l)
	return known && (home == e.Home || slices.Contains(o.Homes, home))
}

// homeOf returns the home of a ledger: of the event's own by its journal row, of others where that is known.
func (o Options) homeOf(e Event, l id.Ledger) (home id.Home, known bool) {
	switch {
	case l == e.Record.Outcome.Ledger:
		return e.Record.Home, true
	case o.HomeOf == nil:
		return "", false
	default:
		return o.HomeOf(l)
	}
}

// Rendered is an event made ready for one subscriber.
type Rendered struct {
	Body    []byte            // CloudEvents 1.0 in JSON, the structured mode
	Data    []byte            // the data alone, for binary modes; a part of Body
	Headers map[string]string // CloudEvents attributes for binary modes, lower case and without a prefix
}

// Render writes an event as a CloudEvent. The same event under the same options always becomes the same bytes. An error means that the
// journal row can not be read: no other attempt will do better.
func Render(e Event, o Options) (Rendered, error) {
	v, err := e.view(o)
	if err != nil {
		return Rendered{}, err
	}
	form, err := v.data()
	if err != nil {
		return Rendered{}, err
	}
	data, err := json.Marshal(form)
	if err != nil {
		return Rendered{}, fmt.Errorf("write the data of transaction %s: %w", e.ID(), err)
	}
	attributes := v.attributes()
	r := Rendered{Headers: make(map[string]string, len(attributes))}
	body := make([]byte, 0, 1024+len(data))
	for _, a := range attributes {
		r.Headers[a.name] = a.value
		body = append(body, `,"`...)
		body = append(append(body, a.name...), `":`...)
		body = appendJSON(body, a.value)
	}
	body[0] = '{'
	body = append(body, `,"data":`...)
	start := len(body)
	body = append(append(body, data...), '}')
	r.Body, r.Data = body, body[start:start+len(data):start+len(data)]
	return r, nil
}

// attribute is one of CloudEvents: they are all texts here, because its integers have 32 bits.
type attribute struct{ name, value string }

// attributes lists those that have a value, in the order in which they are written.
func (v view) attributes() []attribute {
	all := []attribute{
		{"specversion", "1.0"},
		{"id", v.ID()},
		{"source", v.Source()},
		{"type", string(v.kind)},
		{"subject", cmp.Or(string(v.account.Account), v.ID())},
		{"time", v.occurredAt().Format(time.RFC3339Nano)},
		{"datacontenttype", "application/json"},
		{"dataschema", v.kind.schema()},
		{"home", string(v.Home)},
		{"region", v.region()},
		{"ledger", string(v.Record.Outcome.Ledger)},
		{"account", string(v.account.Account)},
		{"sequence", padded(v.sequence())},
		{"position", decimal(int64(v.Position))},
		{"partitionkey", v.partition()},
		{"schemaversion", SchemaVersion},
		{"traceparent", v.traceparent()},
	}
	return slices.DeleteFunc(all, func(a attribute) bool { return a.value == "" })
}

// schema names what the data adheres to, wherever it is published.
func (t Type) schema() string { return "urn:meridian:schema:" + t.form() + ":" + major }

func (v view) region() string {
	if v.see.RegionOf == nil {
		return ""
	}
	region, _ := v.see.RegionOf(v.Home)
	return region
}

func (v view) partition() string {
	if v.account == (ledger.Ref{}) {
		return v.ID()
	}
	return v.account.String()
}

// padded writes a number so that the order of texts is that of numbers, as the sequence extension wants.
func padded(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%020d", n)
}

func decimal(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// traceparent carries the trace of the command on, where its id is one by W3C Trace Context. The span is named after the transaction, so that
// the text is the same in every delivery; that it may have been sampled is all that is known.
func (v view) traceparent() string {
	trace := v.Record.TraceID
	if len(trace) != 32 || strings.Trim(trace, "0") == "" {
		return ""
	}
	for i := range len(trace) {
		if c := trace[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	span := v.Record.Outcome.Transaction[8:]
	if bytes.Equal(span, make([]byte, 8)) { // no span has this id
		return ""
	}
	return "00-" + trace + "-" + hex.EncodeToString(span) + "-01"
}

// appendJSON writes a text, mostly one of which no character needs to be escaped.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
