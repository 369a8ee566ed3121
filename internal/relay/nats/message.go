package nats

import (
	"fmt"
	"strings"

	client "github.com/nats-io/nats.go"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// replayHeader names the replay that sends an event again. It is no attribute of the event.
const replayHeader = "meridian-replay"

// messageOf writes an event in the binary mode of the CloudEvents NATS binding. A replay is another message: under the id of the first one a
// stream that still remembers that would drop it.
func messageOf(prefix string, m sink.Message) *client.Msg {
	header := make(client.Header, len(m.Headers)+2)
	for name, value := range m.Headers {
		header["ce-"+name] = []string{percent(value, isPrintable)}
	}
	once := string(m.Home) + "/" + m.ID() // what touches two homes is an event of each, and neither is a repeat of the other
	if m.Replay != "" {
		once += "/" + m.Replay
		header[replayHeader] = []string{percent(m.Replay, isPrintable)}
	}
	header[client.MsgIdHdr] = []string{once}
	return &client.Msg{Subject: subjectOf(prefix, m), Header: header, Data: m.Data}
}

// subjectOf is prefix.home.ledger.type. The dots of a type part tokens, so that wallet.> takes what begins with it; an event that has no
// ledger, a test, has _ there.
func subjectOf(prefix string, m sink.Message) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, token := range append([]string{string(m.Home), string(m.Record.Outcome.Ledger)}, strings.Split(string(m.Type()), ".")...) {
		b.WriteByte('.')
		if token == "" {
			token = "_"
		}
		b.WriteString(percent(token, isPlain))
	}
	return b.String()
}

// isPlain tells which bytes stand for themselves in a token: never a dot, a wildcard or a space.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// isPrintable tells which bytes stand for themselves in a header, by the binding.
func isPrintable(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '%' }

// percent writes every other byte as % and two digits.
func percent(s string, safe func(byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; safe(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
