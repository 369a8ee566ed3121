package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Names of headers, in lower case as the specification writes them.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
	headerAttempt   = "Meridian-Attempt"
	headerReplay    = "Meridian-Replay"
)

const contentType = "application/cloudevents+json"

// fixedHeader is what all requests to an endpoint have.
func fixedHeader(s Settings) http.Header {
	h := s.Headers.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", contentType)
	h.Set("User-Agent", "Meridian-Webhook/1")
	h["Idempotency-Key"] = []string{} // is not sent: it lets the transport dial again where a kept connection dies, as events have ids
	return h
}

// request builds an attempt. Its timestamp is that of the attempt, its id that of the event in every attempt and replay.
func (s *Sink) request(ctx context.Context, m sink.Message) *http.Request {
	id, timestamp := m.ID(), strconv.FormatInt(s.options.Now().Unix(), 10)
	h := s.header.Clone()
	h[headerID] = []string{id}
	h[headerTimestamp] = []string{timestamp}
	h[headerSignature] = []string{signature(s.signers, id, timestamp, m.Body)}
	h.Set(headerAttempt, strconv.Itoa(m.Attempts+1))
	if m.Replay != "" {
		h.Set(headerReplay, m.Replay)
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Body)), nil }
	r := &http.Request{Method: http.MethodPost, URL: s.settings.URL, Header: h, ContentLength: int64(len(m.Body)), GetBody: body}
	r.Body, _ = body() // it never fails
	return r.WithContext(ctx)
}

// signature is the value of the header: one of each signer, over the same content.
func signature(signers []signer, id, timestamp string, body []byte) string {
	content := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	content = append(append(content, id...), '.')
	content = append(append(content, timestamp...), '.')
	content = append(content, body...)
	signed := make([]string, len(signers))
	for i, sign := range signers {
		signed[i] = sign(content)
	}
	return strings.Join(signed, " ")
}
