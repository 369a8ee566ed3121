package rpc

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// bodyField is the field of a request that is broken as a whole.
const bodyField = "body"

// malformed is the error of a request that can not be read, for the places that Connect calls before any of our own code.
func malformed(field, message string) *connect.Error {
	message = strings.ToValidUTF8(message, "\ufffd") // it may repeat bytes of the request, and details that are no UTF-8 can not be sent
	out := connect.NewError(connect.CodeInvalidArgument, errors.New(message))
	attach(out, &errdetails.ErrorInfo{Domain: domain, Reason: string(errs.ReasonInvalidArgument), Metadata: map[string]string{"field": field}})
	attach(out, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: message}}})
	return out
}

// mark opens the note that a codec leaves in a message that it could not read. Nobody outside can know it.
var mark = func() []byte {
	var token [16]byte
	_, _ = rand.Read(token[:]) // never fails
	return protowire.AppendBytes(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType), token[:])
}()

// spoil empties a message and leaves the failure in it, as unknown fields. An error of a codec would be wrapped by Connect in words of its
// own and answered before any interceptor runs: without reason, field, log line and metric. The observer finds the note instead.
func spoil(m proto.Message, field, message string) {
	proto.Reset(m)
	note := bytes.Clone(mark)
	for _, text := range []string{field, message} {
		note = protowire.AppendString(protowire.AppendTag(note, protowire.MaxValidNumber, protowire.BytesType), text)
	}
	m.ProtoReflect().SetUnknown(note)
}

// spoiled returns the failure that a codec left in a message, or nil.
func spoiled(m any) *connect.Error {
	message, ok := m.(proto.Message)
	if !ok {
		return nil
	}
	note := []byte(message.ProtoReflect().GetUnknown())
	if !bytes.HasPrefix(note, mark) {
		return nil
	}
	var texts [2]string
	note = note[len(mark):]
	for i := range texts {
		_, _, tag := protowire.ConsumeTag(note)
		text, n := protowire.ConsumeString(note[max(tag, 0):])
		if tag < 0 || n < 0 {
			return malformed(bodyField, "the body can not be read")
		}
		texts[i], note = text, note[tag+n:] //nolint:gosec // i ranges over texts, and n was held against note
	}
	return malformed(texts[0], texts[1])
}

// What protojson says: proto: (line 1:91): unknown field "bad".
var (
	jsonPlace = regexp.MustCompile(`^(.*?)\(line (\d+):(\d+)\):? ?(.*)$`)
	jsonField = regexp.MustCompile(`field (?:"([A-Za-z_]\w{0,63})"|([A-Za-z_]\w{0,63}):)`)
)

// explainJSON turns an error of protojson into the field and a sentence. It counts the columns of the body as it came: quoteAmounts has
// moved them.
func explainJSON(err error, came, read []byte) (field, message string) {
	text := plain(err)
	place := jsonPlace.FindStringSubmatch(text)
	if place == nil {
		if strings.HasSuffix(text, "EOF") {
			text = "it ends too early"
		}
		return bodyField, "the JSON body can not be read: " + clip(text)
	}
	what := strings.TrimSpace(place[1] + place[4])
	field = bodyField
	if named := jsonField.FindStringSubmatch(what); named != nil {
		field = named[1]
		if field == "" { // protojson names the JSON form
			field = snake(named[2])
			what = strings.Replace(what, "field "+named[2]+":", "field "+field+":", 1)
		}
	}
	var line, column int
	_, _ = fmt.Sscan(place[2], &line)
	_, _ = fmt.Sscan(place[3], &column)
	return field, fmt.Sprintf("the JSON body can not be read: line %d:%d: %s", line, originalColumn(came, read, line, column), clip(what))
}

// plain takes off the name of the library, which is followed by a space that varies from build to build.
func plain(err error) string {
	return strings.TrimLeft(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"), " ")
}

// clip bounds what is repeated of a request.
func clip(text string) string {
	const most = 160
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// originalColumn walks both forms of a line: they differ by quotes alone.
func originalColumn(came, read []byte, line, column int) int {
	a, b := lineOf(came, line), lineOf(read, line)
	original := 1
	for ; column > 1 && len(b) > 0; column-- {
		_, n := utf8.DecodeRune(b)
		if len(a) > 0 && a[0] == b[0] {
			_, m := utf8.DecodeRune(a)
			a = a[m:]
			original++
		}
		b = b[n:]
	}
	return original
}

func lineOf(b []byte, line int) []byte {
	for ; line > 1; line-- {
		_, b, _ = bytes.Cut(b, []byte{'\n'})
	}
	return b
}

// snake is the proto name of a JSON name.
func snake(name string) string {
	var out strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}
