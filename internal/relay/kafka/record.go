package kafka

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// replayHeader names the replay that sends an event again. It is no attribute of the event.
const replayHeader = "meridian-replay"

// maxBatchBytes is what a broker takes by default (message.max.bytes), less what it counts otherwise than the client.
const maxBatchBytes = 1_000_012

// recordsOf makes records of messages, up to the first that no broker would take: to send those behind it now would only send them twice.
func recordsOf(messages []sink.Message) ([]*kgo.Record, *sink.Error) {
	records := make([]*kgo.Record, 0, len(messages))
	for _, m := range messages {
		r := recordOf(m)
		if n := size(r); n > maxBatchBytes {
			return records, tooLarge(fmt.Sprintf("the record has %d bytes, and a batch has at most %d", n, maxBatchBytes), nil)
		}
		records = append(records, r)
	}
	return records, nil
}

// recordOf writes an event in the binary mode of the CloudEvents Kafka binding 1.0.
func recordOf(m sink.Message) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(m.Headers)+1)
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		key := "ce_" + name
		if name == "datacontenttype" {
			key = "content-type"
		}
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(m.Headers[name])})
	}
	if m.Replay != "" {
		headers = append(headers, kgo.RecordHeader{Key: replayHeader, Value: []byte(m.Replay)})
	}
	return &kgo.Record{Key: []byte(m.Key), Value: m.Data, Headers: headers}
}

// size bounds what a record takes in a batch of its own from above, by its frame and lengths.
func size(r *kgo.Record) int {
	const frame, lengths = 61 + 32, 10
	n := frame + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += lengths + len(h.Key) + len(h.Value)
	}
	return n
}
