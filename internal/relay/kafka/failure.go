package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

func tooLarge(detail string, err error) *sink.Error {
	return &sink.Error{Verdict: sink.Poison, Cause: "too_large", Detail: detail, Err: err}
}

// failure says what an error means. Only a record that is too large is the fault of the event: whatever else a broker refuses, it would refuse
// of every event, and none is to spend its attempts on that.
func (s *Sink) failure(ctx context.Context, err error) *sink.Error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return tooLarge("topic "+s.settings.Topic+" takes no record of this size; max.message.bytes of the topic bounds it", err)
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		return sink.NewCanceled(err)
	}
	if e := s.refusal(err); e != nil {
		return e
	}
	if e := s.overdue(ctx, err); e != nil {
		return e
	}
	if e := unreachable(err); e != nil {
		return e
	}
	return sink.NewDown("unavailable", "the brokers can not be spoken to", err)
}

// unreachable knows what brokers do that have no words: they hang up.
func unreachable(err error) *sink.Error {
	if errors.Is(err, io.EOF) {
		return sink.NewDown("reset", "a broker closed the connection as soon as it was made: look at tls, sasl, the user and the password", err)
	}
	return sink.Unreachable(err)
}

// refusal says what an answer of a broker means.
func (s *Sink) refusal(err error) *sink.Error {
	is := func(these ...*kerr.Error) bool {
		for _, one := range these {
			if errors.Is(err, one) {
				return true
			}
		}
		return false
	}
	topic := "topic " + s.settings.Topic
	switch {
	case is(kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException):
		return sink.NewDown("unknown_topic", "there is no "+topic+", or this user may not see it: create it, or allow it", err)
	case is(kerr.SaslAuthenticationFailed):
		return sink.NewDown("unauthorized", "the brokers do not take this user and password: add the right one as a secret", err)
	case is(kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState):
		return sink.NewDown("unauthorized", "the brokers do not take the mechanism "+s.settings.SASL, err)
	case is(kerr.TopicAuthorizationFailed):
		return sink.NewDown("unauthorized", "this user may not write to "+topic, err)
	case is(kerr.ClusterAuthorizationFailed):
		return sink.NewDown("unauthorized", "this user may not produce idempotently: allow IDEMPOTENT_WRITE on the cluster", err)
	case is(kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend):
		return sink.NewDown("unavailable", topic+" has fewer replicas in sync than min.insync.replicas wants", err)
	case is(kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch):
		return sink.NewDown("not_leader", "a partition of "+topic+" has no leader", err)
	case is(kerr.ThrottlingQuotaExceeded):
		return sink.NewDown("throttled", "the brokers' quota for this user is used up", err)
	case is(kerr.PolicyViolation, kerr.InvalidRecord, kerr.UnsupportedForMessageFormat, kerr.InvalidTimestamp):
		return sink.NewDown("settings", topic+" refuses such records by its own settings", err)
	case is(kerr.KafkaStorageError):
		return sink.NewDown("disk", "a broker can not write to its disk", err)
	}
	return nil
}

// overdue looks why an answer did not come, while there is still time to look.
func (s *Sink) overdue(ctx context.Context, err error) *sink.Error {
	if !errors.Is(err, kgo.ErrRecordTimeout) && !errors.Is(err, kgo.ErrRecordRetries) && !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if ctx.Err() == nil {
		if why := s.look(ctx); why != nil {
			if e := s.refusal(why); e != nil {
				return e
			}
			if e := unreachable(why); e != nil {
				return e
			}
		}
	}
	return sink.NewDown("timeout", fmt.Sprintf("topic %s did not take the record in time", s.settings.Topic), err)
}
