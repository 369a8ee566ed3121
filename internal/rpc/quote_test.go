package rpc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestQuoteAmounts_TouchesPlainIntegersOfAmountsAlone(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"minor_units":5000}`, `{"minor_units":"5000"}`},
		{`{"minorUnits" : -1 }`, `{"minorUnits" : "-1" }`},
		{"{\"min_available\"\n:\t0,\"max_balance\":12}", "{\"min_available\"\n:\t\"0\",\"max_balance\":\"12\"}"},
		{`{"maxBalance":1,"minAvailable":2}`, `{"maxBalance":"1","minAvailable":"2"}`},
		{`{"minor_units":99999999999999999999999999999999999999}`, `{"minor_units":"99999999999999999999999999999999999999"}`},
		{`[{"minor_units":1},{"minor_units":2}]`, `[{"minor_units":"1"},{"minor_units":"2"}]`},
		{`{"minor_units":"5"}`, `{"minor_units":"5"}`},
		{`{"minor_units":5.0}`, `{"minor_units":5.0}`},
		{`{"minor_units":5e3}`, `{"minor_units":5e3}`},
		{`{"minor_units":05}`, `{"minor_units":05}`},
		{`{"minor_units":-}`, `{"minor_units":-}`},
		{`{"minor_units":}`, `{"minor_units":}`},
		{`{"minor_units":5`, `{"minor_units":"5"`},
		{`{"minor_units"`, `{"minor_units"`},
		{`{"x":"minor_units","y":5}`, `{"x":"minor_units","y":5}`},
		{`{"x":"\"minor_units\":5"}`, `{"x":"\"minor_units\":5"}`},
		{`{"x\\":1,"minor_units":5}`, `{"x\\":1,"minor_units":"5"}`},
		{`{"other":5}`, `{"other":5}`},
		{`"minor_units":5x`, `"minor_units":5x`},
		{`"`, `"`},
		{``, ``},
	} {
		if got := string(quoteAmounts([]byte(c.in))); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// documents are JSON values in which the keys of amounts, and their look-alikes, occur often.
func documents(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Map(rapid.StringMatching(`-?(0|[1-9][0-9]{0,40})`), func(s string) any { return json.Number(s) }),
		rapid.Map(rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?`), func(s string) any { return json.Number(s) }),
		rapid.Map(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`"minor_units":5`, `\"`, `minor_units`, `\`})), func(s string) any { return s }),
		rapid.SampledFrom([]any{nil, true, false}),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	keys := rapid.OneOf(rapid.SampledFrom([]string{"minor_units", "minorUnits", "min_available", "max_balance", "amount", `minor_units"`, `\`, ""}), rapid.String())
	return rapid.OneOf(append(leaves,
		rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return documents(depth - 1) }), 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(keys, rapid.Deferred(func() *rapid.Generator[any] { return documents(depth - 1) }), 0, 5), func(m map[string]any) any { return m }),
	)...)
}

// quoted does by decoding what quoteAmounts does by scanning.
func quoted(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = quoted(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = quoted(e)
			if n, ok := e.(json.Number); ok && amountKeys[k] && !bytes.ContainsAny([]byte(n), ".eE") {
				out[k] = n.String()
			}
		}
		return out
	}
	return v
}

func decoded(t interface{ Fatalf(string, ...any) }, b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestQuoteAmounts_AgreesWithADecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, err := json.Marshal(documents(3).Draw(t, "document"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		if rapid.Bool().Draw(t, "indented") {
			var out bytes.Buffer
			if err := json.Indent(&out, in, "", "\t"); err != nil {
				t.Fatalf("%v", err)
			}
			in = out.Bytes()
		}
		want := quoted(decoded(t, in))
		if got := decoded(t, quoteAmounts(bytes.Clone(in))); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\n got %v\nwant %v", in, got, want)
		}
	})
}

func FuzzQuoteAmounts(f *testing.F) {
	for _, seed := range []string{`{"minor_units":5000}`, `{"minor_units" : -1 , "x":"\""}`, `{"minor_units":5`, `"`, `"minor_units":"5"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		came := bytes.Clone(in)
		out := quoteAmounts(in)
		if !bytes.Equal(came, in) {
			t.Fatalf("the input was changed: %q", in)
		}
		if !bytes.Equal(bytes.ReplaceAll(out, []byte{'"'}, nil), bytes.ReplaceAll(in, []byte{'"'}, nil)) {
			t.Fatalf("more than quotes was added: %q became %q", in, out)
		}
		if json.Valid(in) {
			if want := quotedKeepingText(t, in); want != nil && !reflect.DeepEqual(decoded(t, out), want) {
				t.Fatalf("%q became %q, wanted %v", in, out, want)
			}
		}
		if again := quoteAmounts(bytes.Clone(out)); !bytes.Equal(again, out) {
			t.Fatalf("a second pass changes %q to %q", out, again)
		}
	})
}

// quotedKeepingText is quoted, or nil where keys are escaped: those are left for the decoder to refuse.
func quotedKeepingText(t *testing.T, in []byte) any {
	if bytes.ContainsRune(in, '\\') || repeats(in) {
		return nil
	}
	return quoted(decoded(t, in))
}

// repeats says whether a document may have a key twice, where a decoder keeps one of them.
func repeats(in []byte) bool {
	return bytes.Count(in, []byte(":")) > 1
}
