package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 3

func start(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, "events")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newSink(t *testing.T, c *kfake.Cluster, more string, secrets ...event.Secret) *Sink {
	t.Helper()
	return newSinkAt(t, c.ListenAddrs(), "events", more, secrets...)
}

func newSinkAt(t *testing.T, brokers []string, topic, more string, secrets ...event.Secret) *Sink {
	t.Helper()
	settings := fmt.Sprintf(`{"brokers":%s,"topic":%q%s}`, quoted(brokers), topic, more)
	s, err := New(event.SinkSpec{Kind: Kind, Settings: json.RawMessage(settings)}, secrets, Options{deliverWithin: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func quoted(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func accounts(n int) []id.Account {
	all := make([]id.Account, n)
	for i := range all {
		all[i] = id.Account(fmt.Sprintf("acc_%d", i))
	}
	return all
}

// logged reads every record of the topic, partition by partition in the order of the log.
func logged(t *testing.T, c *kfake.Cluster, options ...kgo.Opt) []*kgo.Record {
	t.Helper()
	reader, err := kgo.NewClient(append(options, kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("events"), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var want, got int64
	for _, p := range c.PartitionInfos("events") {
		want += p.HighWatermark
	}
	var all []*kgo.Record
	for ctx := t.Context(); got < want; got = int64(len(all)) {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { all = append(all, r) })
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// byKey lists the ids of events by key, in the order of the log, and fails where a key is in two partitions.
func byKey(t *testing.T, records []*kgo.Record) map[string][]string {
	t.Helper()
	in, ids := map[string]int32{}, map[string][]string{}
	for _, r := range records {
		key := string(r.Key)
		if at, seen := in[key]; seen && at != r.Partition {
			t.Errorf("key %s is in partitions %d and %d", key, at, r.Partition)
		}
		in[key] = r.Partition
		ids[key] = append(ids[key], header(r, "ce_id"))
	}
	return ids
}

func wantByKey(messages []sink.Message) map[string][]string {
	ids := map[string][]string{}
	for _, m := range messages {
		ids[m.Key] = append(ids[m.Key], m.ID())
	}
	return ids
}

func onceInOrder(t *testing.T, c *kfake.Cluster, messages []sink.Message) {
	t.Helper()
	if got, want := byKey(t, logged(t, c)), wantByKey(messages); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the log has\n%v, want\n%v", got, want)
	}
}

func deliver(t *testing.T, s *Sink, messages []sink.Message) {
	t.Helper()
	if safe, err := s.Deliver(t.Context(), messages); err != nil || safe != len(messages) {
		t.Fatalf("%d of %d are safe: %v (%v)", safe, len(messages), err, errors.Unwrap(err))
	}
}

func failed(t *testing.T, s *Sink, messages []sink.Message, safe int, verdict sink.Verdict, cause, detail string) {
	t.Helper()
	got, err := s.Deliver(t.Context(), messages)
	var e *sink.Error
	if !errors.As(err, &e) || got != safe || e.Verdict != verdict || e.Cause != cause || !strings.Contains(e.Detail, detail) {
		t.Errorf("%d safe, %v; want %d, %s %s: %s (%v)", got, err, safe, verdict, cause, detail, errors.Unwrap(err))
	}
}

func TestDeliver_ProducesTheBinaryMode(t *testing.T) {
	c := start(t)
	m := sinktest.New(t).Open("acc_1", "EUR")
	m.Replay = "again"
	deliver(t, newSink(t, c, ""), []sink.Message{m})
	r := logged(t, c)[0]
	if string(r.Key) != "brand-eu/acc_1" || string(r.Value) != string(m.Data) || !json.Valid(r.Value) {
		t.Errorf("%s: %s", r.Key, r.Value)
	}
	for name, want := range map[string]string{
		"ce_id": m.ID(), "ce_specversion": "1.0", "ce_type": "account.opened", "ce_source": m.Source(), "content-type": "application/json",
		"ce_partitionkey": "brand-eu/acc_1", "ce_datacontenttype": "", "ce_sequence": "00000000000000000001", "meridian-replay": "again",
	} {
		if got := header(r, name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if len(r.Headers) != len(m.Headers)+1 {
		t.Errorf("%d headers for %d attributes", len(r.Headers), len(m.Headers))
	}
}

func TestDeliver_KeyKeepsPartitionAndOrder(t *testing.T) {
	c := start(t)
	s := newSink(t, c, "")
	all := sinktest.New(t).Credits(1000, accounts(20)...)
	deliver(t, s, all[:500])
	deliver(t, s, all[500:])
	onceInOrder(t, c, all)
}

// The broker appends and the answer is lost, or it refuses for a moment: the client repeats, and the log has everything once.
func TestDeliver_RepeatsOfTheClientAreNotInTheLog(t *testing.T) {
	all := sinktest.New(t).Credits(60, accounts(5)...)
	for _, err := range []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition, kerr.CoordinatorLoadInProgress} {
		c := start(t)
		s := newSink(t, c, "")
		for n := 0; n < len(all); n += 20 {
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: 2})
			deliver(t, s, all[n:n+20])
			if fault.Hits() == 0 {
				t.Errorf("%s: nothing was repeated: the test shows nothing", err.Message)
			}
		}
		onceInOrder(t, c, all)
	}
}

func TestDeliver_ConnectionBreaksAfterTheAppend(t *testing.T) {
	c := start(t)
	all := sinktest.New(t).Credits(40, accounts(5)...)
	s := newSink(t, c, "")
	breaks := 0
	for n := 0; n < len(all); n += 10 {
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			breaks++
			return nil, errors.New("cut"), true
		})
		deliver(t, s, all[n:n+10])
	}
	if breaks != 4 {
		t.Errorf("%d breaks", breaks)
	}
	onceInOrder(t, c, all)
}

// One partition refuses: what is before its first message is safe, and the repeat leaves each key in order.
func TestDeliver_ReturnsThePrefix(t *testing.T) {
	c := start(t)
	all := sinktest.New(t).Credits(60, accounts(10)...)
	s := newSink(t, c, "")
	deliver(t, s, all[:10]) // each key is in its partition now
	part := map[string]int32{}
	for _, r := range logged(t, c) {
		part[string(r.Key)] = r.Partition
	}
	bad := part[all[15].Key]
	want := 0
	for part[all[10+want].Key] != bad {
		want++
	}
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "events", Partitions: []int32{bad}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	failed(t, s, all[10:], want, sink.Down, "unauthorized", "may not write")
	fault.Remove()
	deliver(t, s, all[10+want:])
	firsts := map[string][]string{}
	seen := map[string]bool{}
	for _, r := range logged(t, c) {
		if once := header(r, "ce_id"); !seen[once] {
			seen[once] = true
			firsts[string(r.Key)] = append(firsts[string(r.Key)], once)
		}
	}
	if fmt.Sprint(firsts) != fmt.Sprint(wantByKey(all)) {
		t.Errorf("the first of each event is not in order: %v", firsts)
	}
}

func TestDeliver_TooLargeIsPoison(t *testing.T) {
	c := start(t)
	all := sinktest.New(t).Credits(6, accounts(3)...)
	all[4].Data = []byte(`"` + strings.Repeat("x", maxBatchBytes) + `"`)
	failed(t, newSink(t, c, ""), all, 4, sink.Poison, "too_large", "a batch has at most")
	onceInOrder(t, c, all[:4])

	c = start(t)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1})
	failed(t, newSink(t, c, ""), all[:1], 0, sink.Poison, "too_large", "max.message.bytes")
}

func TestDeliver_BrokerIsDownAndBack(t *testing.T) {
	port := freePort(t)
	failed(t, newSinkAt(t, []string{fmt.Sprint("127.0.0.1:", port)}, "events", ""), sinktest.New(t).Credits(2, "a"), 0, sink.Down, "refused", "nobody listens")
	dir := t.TempDir()
	open := func() *kfake.Cluster { return start(t, kfake.Ports(port), kfake.DataDir(dir), kfake.SyncWrites()) }
	all := sinktest.New(t).Credits(30, accounts(4)...)
	c := open()
	s := newSink(t, c, "")
	deliver(t, s, all[:10])
	c.Close()
	began := time.Now()
	got, err := s.Deliver(t.Context(), all[10:])
	var e *sink.Error
	if got != 0 || !errors.As(err, &e) || e.Verdict != sink.Down || e.Cause != "refused" {
		t.Errorf("%d safe, %v (%v)", got, err, errors.Unwrap(err))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	failed(t, s, all[10:], 0, sink.Down, "refused", "nobody listens") // now at once
	c = open()
	deliver(t, s, all[10:])
	onceInOrder(t, c, all)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	return n
}

func TestDeliver_SaysWhatIsWrong(t *testing.T) {
	all := sinktest.New(t).Credits(3, "acc_1")
	c := start(t)
	failed(t, newSinkAt(t, c.ListenAddrs(), "no-such", ""), all, 0, sink.Down, "unknown_topic", "create it")
	for err, cause := range map[*kerr.Error]string{
		kerr.ClusterAuthorizationFailed: "unauthorized", kerr.PolicyViolation: "settings", kerr.InvalidRecord: "settings",
	} {
		c := start(t)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1})
		failed(t, newSink(t, c, ""), all, 0, sink.Down, cause, "")
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	failed(t, newSink(t, c, ""), all, 0, sink.Down, "timeout", "did not take the record in time")
}

func TestDeliver_EndsWithItsContext(t *testing.T) {
	c := start(t)
	s := newSink(t, c, "")
	all := sinktest.New(t).Credits(20, accounts(3)...)
	deliver(t, s, all[:5])
	ctx, cancel := context.WithCancel(t.Context())
	silent := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel()
		close(silent)
		return nil, nil, true // no answer, ever
	})
	safe, err := s.Deliver(ctx, all[5:])
	<-silent
	if safe != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", safe, err)
	}
	deliver(t, newSink(t, c, ""), all[5:])
	onceInOrder(t, c, all)
}

func TestDeliver_Authenticates(t *testing.T) {
	all := sinktest.New(t).Credits(3, "acc_1")
	certificate := sinktest.CertificateOf(t)
	c := start(t, kfake.EnableSASL(), kfake.TLS(certificate.Server),
		kfake.Superuser("PLAIN", "p", "right"), kfake.Superuser("SCRAM-SHA-256", "s2", "right"), kfake.Superuser("SCRAM-SHA-512", "s5", "right"))
	tls := `,"tls":true,"ca_pem":` + quoted(certificate.PEM)
	for user, mechanism := range map[string]string{"p": Plain, "s2": ScramSHA256, "s5": ScramSHA512} {
		sasl := fmt.Sprintf(`%s,"sasl":%q,"user":%q`, tls, mechanism, user)
		deliver(t, newSink(t, c, sasl, event.Secret{Value: []byte("right")}, event.Secret{Value: []byte("older")}), all)
		failed(t, newSink(t, c, sasl, event.Secret{Value: []byte("wrong")}), all, 0, sink.Down, "reset", "look at tls, sasl, the user and the password")
	}
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) { // as Kafka answers; kfake hangs up
		c.KeepControl()
		refusal := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		refusal.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return refusal, nil, true
	})
	wrong := event.Secret{Value: []byte("wrong")}
	failed(t, newSink(t, c, tls+`,"sasl":"plain","user":"p"`, wrong), all, 0, sink.Down, "unauthorized", "add the right one as a secret")
	failed(t, newSink(t, c, `,"tls":true`), all, 0, sink.Down, "tls", "authority")
}
