// Package nats publishes events to JetStream. It implements sink.Sink.
//
// A message is an event in the binary mode of CloudEvents' NATS binding: the data is the payload, attributes are headers with the prefix ce-.
// Its subject is prefix.home.ledger.type. Nats-Msg-Id is home/id, so that a stream drops what it had within its duplicate window; after that a
// repeat is there again with the same ce-id. Messages are published without waiting for each, save that one waits for those before it
// that keep the order of the same account: a stream may refuse one and take the next, and what it took it would drop when both come again.
// What becomes of an event that is not taken stands in failure.go.
package nats

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Kind is how a subscription names this sink.
const Kind = "nats"

const (
	batch     = 500
	ackWithin = 10 * time.Second
)

// Options are for the whole server. The zero value is sane.
type Options struct {
	Log *slog.Logger // nil is silence
}

// Sink is a JetStream. It is safe for concurrent use.
type Sink struct {
	settings Settings
	options  []client.Option
	log      *slog.Logger

	mu     sync.Mutex
	link   *link
	closed bool
}

var _ sink.Sink = (*Sink)(nil)

// New makes the sink of a subscription ready and dials nobody. The newest secret is the password of the user; without a user it is a token, or
// the text of a credentials file. With a secret, servers are spoken to by TLS, or are on this machine. Errors are *errs.Error of a field, and
// hold no secret.
func New(spec event.SinkSpec, secrets []event.Secret, o Options) (*Sink, error) {
	if spec.Kind != Kind {
		return nil, errs.Invalid("sink.kind", "the sink is no NATS JetStream")
	}
	settings, err := Parse(spec.Settings)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{settings: settings, log: o.Log}
	var secret []byte
	if len(secrets) > 0 {
		secret = secrets[0].Value
	}
	if len(secret) > 0 {
		if err := settings.checkClear(); err != nil {
			return nil, err
		}
		if !settings.Secure { // a server may name others, which are not on this machine
			s.options = append(s.options, client.IgnoreDiscoveredServers())
		}
	}
	switch {
	case settings.User != "" && len(secret) == 0:
		return nil, errs.Invalid("secrets", "a user needs a password: add it as a secret")
	case settings.User != "":
		s.options = append(s.options, client.UserInfo(settings.User, string(secret)))
	case bytes.Contains(secret, []byte("-----BEGIN NATS USER JWT-----")):
		s.options = append(s.options, client.UserCredentialBytes(secret))
	case len(secret) > 0:
		s.options = append(s.options, client.Token(string(secret)))
	}
	return s, nil
}

// Shape says one call at a time: the order of accounts needs no more, and one call fills the connection.
func (s *Sink) Shape() sink.Shape { return sink.Shape{Batch: batch, Parallel: 1} }

// Close lets go of the connection. Calls in flight fail.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.link != nil {
		s.link.conn.Close()
	}
	return nil
}

// String names the subjects.
func (s *Sink) String() string { return "NATS subjects " + s.settings.Prefix + ".>" }

// Deliver publishes messages and waits until the stream has stored them. Those behind one that was refused may be in the stream as well, but
// none of the same account.
func (s *Sink) Deliver(ctx context.Context, messages []sink.Message) (int, error) {
	if len(messages) == 0 {
		return 0, nil
	}
	l, err := s.connect(ctx)
	if err != nil {
		return 0, s.failure(ctx, err)
	}
	f := flight{link: l, newest: map[ledger.Ref]int{}}
	for _, m := range messages {
		if err = f.publish(ctx, s.settings.Prefix, m); err != nil {
			break
		}
	}
	if refused := f.await(ctx, len(f.sent)); refused != nil { // an earlier message than the one that stopped it
		err = refused
	}
	if err != nil {
		e := s.failure(ctx, err)
		if e.Verdict != sink.Poison { // answers that may still come are of no use to another call
			l.conn.Close()
		}
		s.log.DebugContext(ctx, "events not taken", "sink", s, "position", messages[f.safe].Position, "verdict", e.Verdict, "cause", e.Cause, "error", e.Err)
		return f.safe, e
	}
	return f.safe, nil
}

// flight is the messages of one call.
type flight struct {
	*link
	sent   []jetstream.PubAckFuture
	safe   int
	broken error              // what was said of the message at safe: an answer can be read once
	newest map[ledger.Ref]int // of the messages sent, by the accounts whose order they keep
}

func (f *flight) publish(ctx context.Context, prefix string, m sink.Message) error {
	accounts := m.Accounts()
	for _, account := range accounts {
		if before, ok := f.newest[account]; ok {
			if err := f.await(ctx, before+1); err != nil {
				return err
			}
		}
	}
	// The client's own repeats come behind what was published meanwhile.
	future, err := f.stream.PublishMsgAsync(messageOf(prefix, m), jetstream.WithRetryAttempts(0))
	if err != nil {
		return err
	}
	for _, account := range accounts {
		f.newest[account] = len(f.sent)
	}
	f.sent = append(f.sent, future)
	return nil
}

// await waits until the first n are stored, or one of them is not.
func (f *flight) await(ctx context.Context, n int) error {
	late := time.NewTimer(ackWithin)
	defer late.Stop()
	for f.safe < n && f.broken == nil {
		select {
		case <-f.sent[f.safe].Ok():
			f.safe++
			late.Reset(ackWithin)
		case err := <-f.sent[f.safe].Err():
			f.broken = err
		case f.broken = <-f.denied:
		case <-f.gone:
			f.broken = client.ErrConnectionClosed
		case <-late.C:
			f.broken = client.ErrTimeout
		case <-ctx.Done():
			f.broken = ctx.Err()
		}
	}
	return f.broken
}
