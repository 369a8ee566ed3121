package nats

import (
	"context"
	"errors"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// failure says what an error means. Only a message that is too large is the fault of the event: whatever else a server refuses, it would refuse
// of every event, and none is to spend its attempts on that.
func (s *Sink) failure(ctx context.Context, err error) *sink.Error {
	var answer *jetstream.APIError
	subjects := s.settings.Prefix + ".>"
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, client.ErrConnectionClosed) && s.isClosed():
		return sink.NewCanceled(err)
	case errors.Is(err, client.ErrMaxPayload):
		return &sink.Error{Verdict: sink.Poison, Cause: "too_large", Detail: "the server takes no message of this size; its max_payload bounds it", Err: err}
	case errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return &sink.Error{Verdict: sink.Poison, Cause: "too_large", Detail: "the stream takes no message of this size; its max_msg_size bounds it", Err: err}
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, client.ErrNoResponders):
		return sink.NewDown("no_stream", "no stream stores what is published to "+subjects+": enable JetStream and create a stream with this subject", err)
	case errors.As(err, &answer):
		return sink.NewDown("unavailable", "the stream does not store: "+answer.Description, err)
	case errors.Is(err, client.ErrAuthorization), errors.Is(err, client.ErrAuthExpired), errors.Is(err, client.ErrAuthRevoked),
		errors.Is(err, client.ErrAccountAuthExpired), errors.Is(err, client.ErrPermissionViolation):
		return sink.NewDown("unauthorized", "the server does not take this user and secret, or they may not publish to "+subjects, err)
	case errors.Is(err, client.ErrSecureConnRequired), errors.Is(err, client.ErrSecureConnWanted):
		return sink.NewDown("tls", "one side wants TLS and the other has none: use tls:// with a server that speaks it", err)
	case errors.Is(err, client.ErrHeadersNotSupported):
		return sink.NewDown("settings", "the server is older than NATS 2.2 and knows no headers", err)
	case errors.Is(err, client.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return sink.NewDown("timeout", "the server did not answer in time", err)
	}
	if e := sink.Unreachable(err); e != nil {
		return e
	}
	return sink.NewDown("unavailable", "the connection to the server was lost, or none could be made", err)
}

func (s *Sink) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
