package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"), // the opponent's, not ours
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"))
}

// start runs a real server; it can be started again with the options that it returns.
func start(t *testing.T, o server.Options) (*server.Server, server.Options) {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs, o.JetStream = "127.0.0.1", true, true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	given := o
	s, err := server.NewServer(&given)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server did not start")
	}
	o.Port = s.Addr().(*net.TCPAddr).Port
	return s, o
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func newSink(t *testing.T, o server.Options, more string, secrets ...event.Secret) *Sink {
	t.Helper()
	settings := fmt.Sprintf(`{"servers":["nats://127.0.0.1:%d"],"subject_prefix":"ledger.events"%s}`, o.Port, more)
	s, err := New(event.SinkSpec{Kind: Kind, Settings: json.RawMessage(settings)}, secrets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stream makes the stream that takes events, and returns it.
func stream(t *testing.T, s *server.Server, change func(*jetstream.StreamConfig), options ...client.Option) jetstream.Stream {
	t.Helper()
	conn, err := client.Connect(s.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	c := jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"ledger.events.>"}, Storage: jetstream.FileStorage}
	if change != nil {
		change(&c)
	}
	made, err := js.CreateOrUpdateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// stored reads all that a stream has.
func stored(t *testing.T, s jetstream.Stream) []*jetstream.RawStreamMsg {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
		m, err := s.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func ids(all []*jetstream.RawStreamMsg) string {
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintln(&b, m.Header.Get("ce-id"))
	}
	return b.String()
}

func idsOf(all []sink.Message) string {
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintln(&b, m.ID())
	}
	return b.String()
}

func deliver(t *testing.T, s *Sink, messages []sink.Message) {
	t.Helper()
	if safe, err := s.Deliver(t.Context(), messages); err != nil || safe != len(messages) {
		t.Fatalf("%d of %d are safe: %v", safe, len(messages), err)
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

func accounts(n int) []id.Account {
	all := make([]id.Account, n)
	for i := range all {
		all[i] = id.Account(fmt.Sprintf("acc_%d", i))
	}
	return all
}

func TestDeliver_AnEventOfTwoHomesIsNoRepeat(t *testing.T) {
	srv, o := start(t, server.Options{})
	made := stream(t, srv, nil)
	here := sinktest.New(t).Open("acc_1", "EUR")
	there := here
	there.Home = "us"
	deliver(t, newSink(t, o, ""), []sink.Message{here, there, here})
	if all := stored(t, made); len(all) != 2 {
		t.Errorf("the stream has %d messages, want one for each home: %+v", len(all), all)
	}
}

func TestDeliver_PublishesTheBinaryMode(t *testing.T) {
	srv, o := start(t, server.Options{})
	made := stream(t, srv, nil)
	m := sinktest.New(t).Open("acc_1", "EUR")
	m.Headers["note"] = "Euro \u20ac \"100%\""
	m.Replay = "again"
	deliver(t, newSink(t, o, ""), []sink.Message{m, sinktest.Test(t)})
	all := stored(t, made)
	if len(all) != 2 || all[0].Subject != "ledger.events.eu.brand-eu.account.opened" || all[1].Subject != "ledger.events.eu._.meridian.test" {
		t.Fatalf("%+v", all)
	}
	got := all[0]
	if string(got.Data) != string(m.Data) || !json.Valid(got.Data) {
		t.Errorf("the payload is %s", got.Data)
	}
	for name, want := range map[string]string{
		"ce-id": m.ID(), "ce-specversion": "1.0", "ce-type": "account.opened", "ce-source": m.Source(), "ce-datacontenttype": "application/json",
		"ce-partitionkey": "brand-eu/acc_1", "ce-note": "Euro%20%E2%82%AC%20%22100%25%22", "meridian-replay": "again", "Nats-Msg-Id": "eu/" + m.ID() + "/again",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("header %s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

func TestDeliver_RepeatsAreDropped(t *testing.T) {
	srv, o := start(t, server.Options{})
	made := stream(t, srv, nil)
	all := sinktest.New(t).Credits(300, accounts(7)...)
	deliver(t, newSink(t, o, ""), all)
	deliver(t, newSink(t, o, ""), all[100:])
	if got := ids(stored(t, made)); got != idsOf(all) {
		t.Errorf("the stream has %s", got)
	}
	all[0].Replay = "r1"
	deliver(t, newSink(t, o, ""), all[:2])
	if got := stored(t, made); len(got) != 301 || got[300].Header.Get("ce-id") != all[0].ID() {
		t.Errorf("a replay leaves %d messages", len(got))
	}
}

// The server goes in the middle and comes back: in the end everything is there once and in order.
func TestDeliver_ServerRestarts(t *testing.T) {
	srv, o := start(t, server.Options{})
	stream(t, srv, nil)
	all := sinktest.New(t).Credits(4000, accounts(400)...)
	s := newSink(t, o, "")
	next, restarts := 0, 0
	for next < len(all) {
		call := all[next:min(next+batch, len(all))]
		if restarts < 3 && next >= (restarts+1)*len(all)/4 {
			restarts++
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				stop(srv)
			}()
			for err := error(nil); err == nil; { // until one breaks
				if next == len(all) {
					t.Fatal("everything went through before the server was gone: the test shows nothing")
				}
				var safe int
				safe, err = s.Deliver(t.Context(), all[next:min(next+batch, len(all))])
				if next += safe; err != nil {
					failedOnce(t, err)
					t.Logf("broke after %d of a call", safe)
				}
			}
			<-gone
			if safe, err := s.Deliver(t.Context(), all[next:]); safe != 0 || err == nil {
				t.Errorf("%d safe without a server", safe)
			} else {
				failedOnce(t, err)
			}
			srv, _ = start(t, o)
			continue
		}
		safe, err := s.Deliver(t.Context(), call)
		if next += safe; err != nil {
			failedOnce(t, err)
		}
	}
	if got := ids(stored(t, stream(t, srv, nil))); restarts != 3 || got != idsOf(all) {
		t.Errorf("after %d restarts the stream has %d bytes of ids, want %d", restarts, len(got), len(idsOf(all)))
	}
}

func failedOnce(t *testing.T, err error) {
	t.Helper()
	var e *sink.Error
	if !errors.As(err, &e) || e.Verdict != sink.Down {
		t.Errorf("%v (%v), want the sink to be down", err, errors.Unwrap(err))
	}
}

func TestDeliver_TooLargeIsPoison(t *testing.T) {
	srv, o := start(t, server.Options{MaxPayload: 16 << 10})
	made := stream(t, srv, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 8 << 10 })
	for _, row := range []struct {
		size  int
		bound string
	}{{20 << 10, "max_payload"}, {10 << 10, "max_msg_size"}} {
		all := sinktest.New(t).Credits(6, accounts(3)...)
		all[4].Data = []byte(`"` + strings.Repeat("x", row.size) + `"`)
		failed(t, newSink(t, o, ""), all, 4, sink.Poison, "too_large", row.bound)
	}
	if got := len(stored(t, made)); got < 4 {
		t.Errorf("%d messages are stored", got)
	}
}

func TestDeliver_SaysWhatIsWrong(t *testing.T) {
	all := sinktest.New(t).Credits(5, accounts(2)...)
	srv, o := start(t, server.Options{})
	failed(t, newSink(t, o, ""), all, 0, sink.Down, "no_stream", "create a stream with this subject")
	stream(t, srv, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 3, jetstream.DiscardNew })
	failed(t, newSink(t, o, ""), all, 3, sink.Down, "unavailable", "maximum messages exceeded")
	failed(t, newSink(t, o, `,"ca_pem":`+quoted(sinktest.CertificateOf(t).PEM)), all, 0, sink.Down, "tls", "")
	stop(srv)
	failed(t, newSink(t, o, ""), all, 0, sink.Down, "refused", "nobody listens")
	closed := newSink(t, o, "")
	_ = closed.Close()
	if _, err := closed.Deliver(t.Context(), all); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if safe, err := newSink(t, o, "").Deliver(canceled, all); safe != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", safe, err)
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func TestDeliver_Authenticates(t *testing.T) {
	all := sinktest.New(t).Credits(5, accounts(2)...)
	t.Run("user", func(t *testing.T) {
		srv, o := start(t, server.Options{Users: []*server.User{
			{Username: "meridian", Password: "right"},
			{Username: "reader", Password: "right", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"ledger.>"}}}},
		}})
		stream(t, srv, nil, client.UserInfo("meridian", "right"))
		deliver(t, newSink(t, o, `,"user":"meridian"`, event.Secret{Value: []byte("right")}), all)
		failed(t, newSink(t, o, `,"user":"meridian"`, event.Secret{Value: []byte("wrong")}), all, 0, sink.Down, "unauthorized", "does not take")
		failed(t, newSink(t, o, `,"user":"reader"`, event.Secret{Value: []byte("right")}), all, 0, sink.Down, "unauthorized", "may not publish")
	})
	t.Run("token", func(t *testing.T) {
		srv, o := start(t, server.Options{Authorization: "s3cret"})
		stream(t, srv, nil, client.Token("s3cret"))
		deliver(t, newSink(t, o, "", event.Secret{Value: []byte("s3cret")}), all)
		failed(t, newSink(t, o, ""), all, 0, sink.Down, "unauthorized", "does not take")
	})
	t.Run("tls", func(t *testing.T) {
		c := sinktest.CertificateOf(t)
		srv, o := start(t, server.Options{TLSConfig: c.Server, TLS: true, TLSTimeout: 5})
		stream(t, srv, nil, client.Secure(c.Client))
		deliver(t, newSink(t, o, `,"ca_pem":`+quoted(c.PEM)), all)
		failed(t, newSink(t, o, ``), all, 0, sink.Down, "tls", "")
		failed(t, newSink(t, o, `,"ca_pem":`+quoted(sinktest.CertificateOf(t).PEM)), all, 0, sink.Down, "tls", "authority")
	})
}

// One account alone: each waits for the one before, so that a stream that refuses one takes none after it.
func TestDeliver_AccountStaysInOrderWhenOneIsRefused(t *testing.T) {
	srv, o := start(t, server.Options{})
	made := stream(t, srv, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 8 << 10 })
	all := sinktest.New(t).Credits(6, "acc_1")
	all[3].Data = []byte(`"` + strings.Repeat("x", 10<<10) + `"`)
	failed(t, newSink(t, o, ""), all, 3, sink.Poison, "too_large", "")
	if got := ids(stored(t, made)); got != idsOf(all[:3]) {
		t.Errorf("the stream has %s, want %s", got, idsOf(all[:3]))
	}
}
