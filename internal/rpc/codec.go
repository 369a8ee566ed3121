package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonCodec is protojson as clients of money want it: field names as in the proto files (and the seeds' contract), unknown fields
// refused, whole JSON numbers accepted where an amount is a text, and the same bytes for the same message (protojson itself varies its
// white space from build to build on purpose).
type jsonCodec struct {
	name string // Connect looks a codec up by the whole content type, so that there is one for each of jsonNames
}

var jsonNames = [...]string{"json", "json; charset=utf-8"}

var (
	jsonOut = protojson.MarshalOptions{UseProtoNames: true}
	jsonIn  = protojson.UnmarshalOptions{RecursionLimit: 64}
)

// Name is the codec's in content types.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c jsonCodec) Marshal(m any) ([]byte, error) { return c.MarshalAppend(nil, m) }

// MarshalAppend lets Connect reuse its buffers.
func (jsonCodec) MarshalAppend(dst []byte, m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no proto message", m)
	}
	spaced, err := jsonOut.Marshal(message)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(dst)
	if err := json.Compact(out, spaced); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// MarshalStable is Marshal: the bytes are stable already. Connect uses it for GET requests.
func (c jsonCodec) MarshalStable(m any) ([]byte, error) { return c.MarshalAppend(nil, m) }

// IsBinary tells Connect that GET requests need no base64.
func (jsonCodec) IsBinary() bool { return false }

// Unmarshal implements connect.Codec.
func (jsonCodec) Unmarshal(b []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no proto message", m)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		spoil(message, bodyField, "the body is empty; send {} at least")
		return nil
	}
	quoted := quoteAmounts(b)
	if err := jsonIn.Unmarshal(quoted, message); err != nil {
		field, text := explainJSON(err, b, quoted)
		if secretive(message) {
			field, text = bodyField, unquoted(text)
		}
		spoil(message, field, text)
	}
	return nil
}

// amountKeys are the fields whose whole-number form is accepted.
var amountKeys = map[string]bool{
	"minor_units": true, "minorUnits": true, "min_available": true, "minAvailable": true, "max_balance": true, "maxBalance": true,
}

// quoteAmounts turns "minor_units": 5000 into "minor_units": "5000", wherever it stands, digit by digit: a detour through float64 would
// lose the last digits of large amounts. Anything but a plain integer is left for the decoder to refuse, and so is broken JSON.
func quoteAmounts(b []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			continue
		}
		end := stringEnd(b, i)
		if end < 0 {
			break
		}
		if start, stop := numberAfter(b, end+1); amountKeys[string(b[i+1:end])] && start < stop {
			out = append(append(append(out, b[copied:start]...), '"'), b[start:stop]...)
			out = append(out, '"')
			copied, end = stop, stop-1
		}
		i = end
	}
	if out == nil {
		return b
	}
	return append(out, b[copied:]...)
}

// stringEnd returns the index of the quote that closes the string that opens at i, or -1.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// numberAfter finds an integer that follows a colon at i, and nothing that goes on as a fraction or an exponent.
func numberAfter(b []byte, i int) (start, stop int) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return 0, 0
	}
	start = skipSpace(b, i+1)
	stop = start
	if stop < len(b) && b[stop] == '-' {
		stop++
	}
	digits := stop
	for stop < len(b) && b[stop] >= '0' && b[stop] <= '9' {
		stop++
	}
	leadingZero := stop-digits > 1 && b[digits] == '0' // no JSON
	if stop == digits || leadingZero || stop < len(b) && !bytes.ContainsRune([]byte(",}] \t\r\n"), rune(b[stop])) {
		return 0, 0
	}
	return start, stop
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}
