package rpc

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"connectrpc.com/connect"
)

// admitted gives every request its trace id, bounds its body, and refuses what Connect would answer with a 5xx or in the words of Go,
// before any interceptor runs.
func admitted(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter(connect.WithCodec(protoCodec{}), connect.WithCodec(jsonCodec{jsonNames[0]}), connect.WithCodec(jsonCodec{jsonNames[1]}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trace := traceFrom(r.Header)
		r.Header.Set(headerTrace, trace)
		w.Header().Set(headerTrace, trace)
		if err := inadmissible(r); err != nil {
			_ = refuse.Write(w, r, err) // the client went away
			return
		}
		if r.Body != nil {
			body := &boundedReader{ReadCloser: r.Body, left: MaxBody, frames: framesOf(r)}
			if body.frames != nil {
				body.left += envelope
			}
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// inadmissible looks at what Connect reads from headers and addresses. A compression that is not spoken here is left to gRPC, which has
// a negotiation of its own.
func inadmissible(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "gzip" && encoding != "identity" {
		return malformed("Content-Encoding", "bodies are plain or gzip")
	}
	if timeout := r.Header.Get("Connect-Timeout-Ms"); timeout != "" {
		if ms, err := strconv.ParseInt(timeout, 10, 64); err != nil || ms < 0 || len(timeout) > 10 {
			return malformed("Connect-Timeout-Ms", "1 to 10 digits")
		}
	}
	if r.Method == http.MethodGet {
		return inadmissibleQuery(r.URL)
	}
	return nil
}

func inadmissibleQuery(u *url.URL) error {
	if !strings.HasPrefix(u.Path, everyOurs) {
		return nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	switch compression := query.Get("compression"); {
	case err != nil:
		return malformed("query", "the query can not be read")
	case compression != "" && compression != "gzip" && compression != "identity":
		return malformed("compression", "messages are plain or gzip")
	case query.Get("base64") == "1":
		if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(query.Get("message"), "=")); err != nil {
			return malformed("message", "no base64 of the kind for addresses")
		}
	}
	return nil
}

// ours is the beginning of all procedures of the ledger, everyOurs that of those of payments as well. All of them take one message.
const (
	ours      = "/meridian.ledger.v1."
	everyOurs = "/meridian."
)

// frames follows the envelopes of gRPC: a flag, four bytes of length, the message.
type frames struct {
	compressed bool // a compression was agreed on
	single     bool // one message, no more and no less
	count      int
	prefix     [envelope]byte
	have       int // bytes of the prefix
	left       int64
}

func framesOf(r *http.Request) *frames {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		return nil
	}
	encoding := r.Header.Get("Grpc-Encoding")
	return &frames{compressed: encoding != "" && encoding != "identity", single: strings.HasPrefix(r.URL.Path, everyOurs)}
}

// see takes the bytes that were read and returns what is wrong with them.
func (f *frames) see(b []byte, end bool) string {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(int64(len(b)), f.left)
			f.left, b = f.left-n, b[n:]
			continue
		}
		n := copy(f.prefix[f.have:], b)
		f.have, b = f.have+n, b[n:]
		if f.have < envelope {
			break
		}
		f.have, f.left, f.count = 0, int64(binary.BigEndian.Uint32(f.prefix[1:])), f.count+1
		switch flag := f.prefix[0]; {
		case f.single && f.count > 1:
			return "the body has more than one message"
		case flag > 1:
			return "the envelope of the message has unknown flags"
		case flag == 1 && !f.compressed:
			return "the message is compressed, and Grpc-Encoding does not say how"
		case f.left > MaxBody:
			return tooLarge
		}
	}
	switch {
	case end && (f.left > 0 || f.have > 0):
		return "the body ends in the middle of a message"
	case end && f.single && f.count == 0:
		return "the body has no message"
	}
	return ""
}
