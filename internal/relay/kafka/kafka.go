// Package kafka produces events to a topic. It implements sink.Sink.
//
// A record is an event in the binary mode of CloudEvents' Kafka binding: the data is the value, attributes are headers with the prefix ce_, and
// the key is the account, so that the events of an account are in one partition and in order. Producing is idempotent and waits for all
// replicas in sync: what the client repeats by itself is in the log once. What the relay repeats, after a call that failed in part or after
// a hand-over, is there again with the same ce_id. What becomes of an event that is not taken stands in failure.go.
package kafka

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Kind is how a subscription names this sink.
const Kind = "kafka"

const (
	batch = 500
	// deliverWithin bounds how long the client tries again by itself. It is long enough for a partition to get a new leader.
	deliverWithin = 15 * time.Second
	dialWithin    = 5 * time.Second
	lookWithin    = 5 * time.Second
)

// Options are for the whole server. The zero value is sane.
type Options struct {
	Log *slog.Logger // nil is silence

	deliverWithin time.Duration
}

// Sink is a topic. It is safe for concurrent use.
type Sink struct {
	settings Settings
	client   *kgo.Client
	log      *slog.Logger
	proven   atomic.Bool // the last call went through: the next need not look first whether anybody is there
}

var _ sink.Sink = (*Sink)(nil)

// New makes the sink of a subscription ready and dials nobody. The newest secret is the password of SASL. Errors are *errs.Error of a field, and
// hold no secret.
func New(spec event.SinkSpec, secrets []event.Secret, o Options) (*Sink, error) {
	if spec.Kind != Kind {
		return nil, errs.Invalid("sink.kind", "the sink is no Kafka topic")
	}
	settings, err := Parse(spec.Settings)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.deliverWithin == 0 {
		o.deliverWithin = deliverWithin
	}
	options := []kgo.Opt{
		kgo.ClientID("meridian"),
		kgo.SeedBrokers(settings.Brokers...),
		kgo.DefaultProduceTopic(settings.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotence is on unless it is turned off
		kgo.ProducerBatchMaxBytes(maxBatchBytes),
		kgo.ProducerLinger(0), // a call has all that there is
		kgo.RecordDeliveryTimeout(o.deliverWithin),
		kgo.DialTimeout(dialWithin),
		kgo.MetadataMinAge(250 * time.Millisecond), // by default a new leader, or a broker that is back, is looked for every 5 s
		// A call ends when its context does, even where an answer of the broker is out. The client then raises its epoch, and brokers refuse
		// what is left of the old one: nothing old can arrive behind what is sent again.
		kgo.AllowIdempotentProduceCancellation(),
	}
	if settings.TLS {
		options = append(options, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: settings.Authorities}))
	}
	if settings.SASL != "" {
		if len(secrets) == 0 || len(secrets[0].Value) == 0 {
			return nil, errs.Invalid("secrets", "sasl needs a password: add it as a secret")
		}
		options = append(options, kgo.SASL(mechanism(settings, string(secrets[0].Value))))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, errs.Invalid("sink.kafka", "the Kafka client does not take these settings")
	}
	return &Sink{settings: settings, client: client, log: o.Log}, nil
}

// mechanism hides the password in a function, where no format or log finds it.
func mechanism(s Settings, password string) sasl.Mechanism {
	switch s.SASL {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) { return plain.Auth{User: s.User, Pass: password}, nil })
	case ScramSHA256:
		return scram.Sha256(func(context.Context) (scram.Auth, error) { return scram.Auth{User: s.User, Pass: password}, nil })
	default:
		return scram.Sha512(func(context.Context) (scram.Auth, error) { return scram.Auth{User: s.User, Pass: password}, nil })
	}
}

// Shape says one call at a time: it already fills every partition.
func (s *Sink) Shape() sink.Shape { return sink.Shape{Batch: batch, Parallel: 1} }

// Close lets go of connections.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}

// String names the topic.
func (s *Sink) String() string { return "Kafka topic " + s.settings.Topic }

// Deliver produces messages and waits for the answers. Those behind one that was refused may be in the log as well, and come again; on one key
// none is there that has an earlier one of the call missing before it, because sequence numbers of the producer have to follow one another.
func (s *Sink) Deliver(ctx context.Context, messages []sink.Message) (int, error) {
	if len(messages) == 0 {
		return 0, nil
	}
	if !s.proven.Load() { // to wait for a delivery to time out would tell late, and not why
		if err := s.look(ctx); err != nil {
			return 0, s.failure(ctx, err)
		}
	}
	records, unfit := recordsOf(messages)
	safe, err := s.produce(ctx, records)
	switch {
	case err != nil:
		s.proven.Store(false)
		e := s.failure(ctx, err)
		s.log.DebugContext(ctx, "events not taken", "sink", s, "position", messages[safe].Position, "verdict", e.Verdict, "cause", e.Cause, "error", e.Err)
		return safe, e
	case unfit != nil:
		return safe, unfit
	}
	s.proven.Store(true)
	return safe, nil
}

// produce returns how many of the first records are in the log, and what was said of the next.
func (s *Sink) produce(ctx context.Context, records []*kgo.Record) (int, error) {
	answers := make([]error, len(records))
	var all sync.WaitGroup
	all.Add(len(records))
	for i, r := range records {
		s.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			answers[i] = err
			all.Done()
		})
	}
	all.Wait() // promises are kept when the context ends
	for i, err := range answers {
		if err != nil {
			return i, err
		}
	}
	return len(records), nil
}

// look asks whether any broker answers.
func (s *Sink) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	return s.client.Ping(ctx)
}
