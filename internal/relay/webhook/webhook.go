// Package webhook posts events to an HTTPS endpoint, signed as the Standard Webhooks specification 1.0.0 says. It implements sink.Sink.
//
// Each event is one POST in the structured mode of CloudEvents. Any 2xx means that the receiver has it; the status alone decides, and what else
// becomes of an event stands in verdict.go (answers) and failure.go (no answer). The address that is dialled, not the name, is held against
// what may be called (address.go), so that a name that changes its address opens nothing. What receivers see is in docs/events/webhooks.md.
package webhook

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Kind is how a subscription names this sink.
const Kind = "webhook"

// Options say what the operator of the server allows. The zero value allows https, to public addresses, dialled directly.
type Options struct {
	AllowHTTP bool // http as well: events travel in clear
	// AllowPrivate are addresses that are called although they are not public. Those of a cloud's metadata service need a prefix of their own, of
	// full length.
	AllowPrivate []netip.Prefix
	// Proxy takes all calls, where it is set; the environment names none. Addresses that names resolve to are then for the proxy to refuse.
	Proxy    *url.URL
	Resolver *net.Resolver // nil is the system's
	Log      *slog.Logger  // nil is silence
	Now      func() time.Time
}

func (o Options) orDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Sink is an endpoint. It is safe for concurrent use.
type Sink struct {
	settings  Settings
	options   Options
	signers   []signer // functions, so that no format of the sink shows a key
	header    http.Header
	transport *http.Transport
}

var _ sink.Sink = (*Sink)(nil)

// New makes the sink of a subscription ready and dials nobody. Secrets are whsec_… or whsk_…, newest first; all of them sign. Errors are
// *errs.Error of a field, and hold no secret.
func New(spec event.SinkSpec, secrets []event.Secret, o Options) (*Sink, error) {
	if spec.Kind != Kind {
		return nil, errs.Invalid("sink.kind", "the sink is no webhook")
	}
	settings, err := Parse(spec.Settings, o)
	if err != nil {
		return nil, err
	}
	signers, err := signersOf(secrets)
	if err != nil {
		return nil, err
	}
	o = o.orDefaults()
	return &Sink{
		settings: settings, options: o, signers: signers, header: fixedHeader(settings), transport: newTransport(settings, o),
	}, nil
}

// Shape says one event a call, and as many calls as the settings allow.
func (s *Sink) Shape() sink.Shape { return sink.Shape{Batch: 1, Parallel: s.settings.Parallel} }

// Close lets go of idle connections. Calls in flight end by themselves, within the timeout.
func (s *Sink) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// String names the endpoint by its host: paths and queries of webhooks are often secrets.
func (s *Sink) String() string { return "webhook at " + s.settings.URL.Host }

// Deliver posts messages one after another, each within the timeout of the settings, and stops at the first that is not taken. The error is a
// *sink.Error. Where the context was canceled its cause is canceled, it wraps context.Canceled, and nothing is known of the message.
func (s *Sink) Deliver(ctx context.Context, messages []sink.Message) (int, error) {
	for i, m := range messages {
		began := time.Now()
		if e := s.post(ctx, m); e != nil {
			s.options.Log.DebugContext(ctx, "webhook not taken", "host", s.settings.URL.Host, "event", m.ID(), "attempt", m.Attempts+1,
				"verdict", e.Verdict, "cause", e.Cause, "took", time.Since(began), "error", e.Err)
			return i, e
		}
	}
	return len(messages), nil
}

func (s *Sink) post(ctx context.Context, m sink.Message) *sink.Error {
	call, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	var seen progress
	answer, err := s.transport.RoundTrip(s.request(seen.watch(call), m))
	if err != nil {
		return s.failure(ctx, err, &seen)
	}
	return s.verdict(answer, excerpt(answer, cancel), m.Body)
}
