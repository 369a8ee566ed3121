package rpc

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// onStreams runs a test on every surface that carries streams.
func onStreams(t *testing.T, test func(t *testing.T, s surface)) {
	for _, s := range streaming {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// listener pulls words, and fails a test that waits for ever.
type listener struct {
	t    testing.TB
	next func() (Word, error, bool)
}

func listenTo(t testing.TB, c *EventClient, s Subscriber) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	next, stop := iter.Pull2(c.Subscribe(ctx, s))
	t.Cleanup(func() { cancel(); stop() })
	return &listener{t, next}
}

// event returns the next event and passes over heartbeats.
func (l *listener) event() CloudEvent {
	l.t.Helper()
	for {
		w, err, more := l.next()
		if err != nil || !more {
			l.t.Fatalf("the stream ended: %v", err)
		}
		if w.Event != nil {
			return *w.Event
		}
	}
}

// beat returns the next heartbeat, which has to come before an event.
func (l *listener) beat() event.Position {
	l.t.Helper()
	w, err, more := l.next()
	if err != nil || !more || w.Event != nil {
		l.t.Fatalf("%+v %v, want a heartbeat", w, err)
	}
	return w.Position
}

// end returns the error that the stream ends with.
func (l *listener) end() error {
	l.t.Helper()
	for {
		_, err, more := l.next()
		if err != nil {
			return err
		}
		if !more {
			l.t.Fatal("the stream ended without an error")
		}
	}
}

func TestSubscribe_SendsEachEventOnceAndInOrder(t *testing.T) {
	onStreams(t, func(t *testing.T, s surface) {
		stream := newMemoryStream(t)
		for range 2*readPage + 50 {
			stream.credit("acc_42")
		}
		l := listenTo(t, s.events(t, serveEvents(t, stream, nil)), Subscriber{Home: "eu"})
		if p := l.beat(); p != 0 {
			t.Errorf("it begins after %d", p)
		}
		for range 10 {
			stream.credit("acc_43")
		}
		for i := range stream.events {
			want := stream.events[i]
			got := l.event()
			if got.Position != want.Position || got.ID != want.ID() || got.Home != "eu" || !got.AppendedAt.Equal(want.AppendedAt) || got.Type != event.WalletCreditCommitted {
				t.Fatalf("event %d is %+v", i, got)
			}
			rendered, err := event.Render(want, event.Options{})
			if err != nil || string(got.Body) != string(rendered.Body) {
				t.Fatalf("the body is %s, want %s: %v", got.Body, rendered.Body, err)
			}
		}
		live := stream.credit("acc_42") // with the subscriber waiting
		if got := l.event(); got.Position != live.Position {
			t.Errorf("%d, want %d", got.Position, live.Position)
		}
		if stream.most > readPage {
			t.Errorf("%d events were in memory at once", stream.most)
		}
	})
}

func TestSubscribe_BeginsWhereItIsTold(t *testing.T) {
	stream := newMemoryStream(t)
	for range 5 {
		stream.credit("acc_42")
	}
	base := serveEvents(t, stream, nil)
	for _, c := range []struct {
		name string
		from Subscriber
		want event.Position
	}{
		{"the beginning", Subscriber{}, 0},
		{"after 3", Subscriber{After: 3}, 3},
		{"the head", Subscriber{After: 5}, 5},
		{"now", Subscriber{Now: true}, 5},
		{"since", Subscriber{Since: stream.events[2].AppendedAt}, 2},
		{"since later", Subscriber{Since: time.Now().Add(time.Hour)}, 5},
	} {
		c.from.Home = "eu"
		if got := listenTo(t, surfaces[0].events(t, base), c.from).beat(); got != c.want {
			t.Errorf("%s: after %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSubscribe_HeartbeatsSayHowFarItLooked(t *testing.T) {
	onStreams(t, func(t *testing.T, s surface) {
		stream := newMemoryStream(t)
		base := serveEvents(t, stream, nil)
		l := listenTo(t, s.events(t, base), Subscriber{Home: "eu", Heartbeat: minHeartbeat, Filter: event.Filter{AccountPrefixes: []string{"acc_43"}}})
		l.beat()
		for range 3 {
			stream.credit("acc_42") // which nobody wants
		}
		for deadline := time.Now().Add(10 * time.Second); l.beat() != 3; {
			if time.Now().After(deadline) {
				t.Fatal("no heartbeat passes what is not wanted")
			}
		}
		stream.credit("acc_43")
		if got := l.event(); got.Position != 4 {
			t.Errorf("%d", got.Position)
		}
	})
}

func TestSubscribe_ShowsTheEntriesOfItsHomeAlone(t *testing.T) {
	stream := newMemoryStream(t)
	record := stream.credit("acc_42").Record
	foreign := record
	foreign.Outcome.Entries = append([]ledger.Entry(nil), record.Outcome.Entries...)
	foreign.Outcome.Entries[1].Ref = ledger.Ref{Ledger: "shop-us", Account: "acc_99"}
	if _, err := stream.books.CreateLedger(t.Context(), ledger.Ledger{ID: "shop-us", Home: "us", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	stream.append(foreign)
	c := surfaces[0].events(t, serveEvents(t, stream, nil))
	l := listenTo(t, c, Subscriber{Home: "eu", After: 1})
	if body := string(l.event().Body); strings.Contains(body, "acc_99") || !strings.Contains(body, `"entries_elsewhere":1`) {
		t.Errorf("the event shows another home: %s", body)
	}
	page, _, _, err := c.Events(t.Context(), "eu", event.Filter{AccountPrefixes: []string{"acc_99"}}, 0, 10)
	if err != nil || len(page) != 0 {
		t.Errorf("a filter finds what is not shown: %v %v", page, err)
	}
}

// blindBooks can not say where a ledger is at home.
type blindBooks struct{ ledger.Service }

func (blindBooks) Ledger(context.Context, id.Ledger) (ledger.Ledger, error) {
	return ledger.Ledger{}, errs.ErrUnavailable
}

func TestSubscribe_EndsRatherThanLeaveEntriesOut(t *testing.T) {
	stream := newMemoryStream(t)
	foreign := stream.credit("acc_42").Record
	foreign.Outcome.Entries = append([]ledger.Entry(nil), foreign.Outcome.Entries...)
	foreign.Outcome.Entries[1].Ref.Ledger = "shop-two"
	stream.append(foreign)
	base := serve(t, blindBooks{stream.books}, Options{Events: &operators{}, Stream: stream, Tails: stream})
	c := surfaces[0].events(t, base)
	l := listenTo(t, c, Subscriber{Home: "eu"})
	if got := l.event(); got.Position != 1 {
		t.Errorf("%d", got.Position)
	}
	if err := l.end(); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("it ends with %v", err)
	}
	if _, _, _, err := c.Events(t.Context(), "eu", event.Filter{}, 0, 10); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("the list: %v", err)
	}
}

func TestSubscribe_EndsWhenTheNodeDrains(t *testing.T) {
	onStreams(t, func(t *testing.T, s surface) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		t.Run("", func(t *testing.T) {
			stream, draining := newMemoryStream(t), make(chan struct{})
			registry := prometheus.NewRegistry()
			l := listenTo(t, s.events(t, serveEvents(t, stream, func(o *Options) { o.Draining, o.Registerer = draining, registry })), Subscriber{Home: "eu", Now: true})
			l.beat()
			if got := gathered(t, registry, "meridian_rpc_streams"); got != 1 {
				t.Errorf("%v streams are open", got)
			}
			close(draining)
			if err := l.end(); !errors.Is(err, errs.ErrDraining) {
				t.Errorf("it ends with %v, want %v", err, errs.ErrDraining)
			}
			for deadline := time.Now().Add(10 * time.Second); gathered(t, registry, "meridian_rpc_streams_ended_total") != 1; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the end is not counted")
				}
			}
			if got := gathered(t, registry, "meridian_rpc_streams"); got != 0 {
				t.Errorf("%v streams are open at the end", got)
			}
		})
	})
}

// gathered adds a metric up over its labels.
func gathered(t testing.TB, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestSubscribe_TellsWhyItEnds(t *testing.T) {
	stream := newMemoryStream(t)
	l := listenTo(t, surfaces[2].events(t, serveEvents(t, stream, nil)), Subscriber{Home: "eu", Now: true})
	l.beat()
	stream.fail(errs.ErrUnavailable.Because(errors.New("pgx: dial 10.0.0.1")))
	stream.credit("acc_42")
	if err := l.end(); !errors.Is(err, errs.ErrUnavailable) || strings.Contains(err.Error(), "pgx") {
		t.Errorf("it ends with %v", err)
	}
}

// A client that takes nothing fills what there is between it and the server, and then holds its own call, but neither another subscriber nor the
// end of the node.
func TestSubscribe_ASlowClientSlowsItselfAlone(t *testing.T) {
	for _, s := range []surface{surfaces[0], surfaces[1]} { // HTTP/1.1 and HTTP/2
		t.Run(s.name, func(t *testing.T) {
			stream, draining := newMemoryStream(t), make(chan struct{})
			record := stream.credit("acc_42").Record
			for range 20_000 { // 20 MB: more than sockets hold
				stream.append(record)
			}
			server := NewServer(NewHandler(stream.books, Options{Events: &operators{}, Stream: stream, Tails: stream, Draining: draining}), nil)
			base := listen(t, server)
			slow := listenTo(t, s.events(t, base), Subscriber{Home: "eu"})
			slow.event() // and no more
			quick := listenTo(t, s.events(t, base), Subscriber{Home: "eu", After: 18_000})
			for range 2001 {
				quick.event()
			}
			var reads int
			for quiet := 0; quiet < 20; time.Sleep(10 * time.Millisecond) { // until the slow one is stuck
				stream.mu.Lock()
				quiet++
				if stream.reads != reads {
					reads, quiet = stream.reads, 0
				}
				stream.mu.Unlock()
			}
			if reads >= 20_000/readPage {
				t.Fatalf("the slow client was sent everything in %d pages: it is not stuck", reads)
			}
			close(draining)
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				t.Errorf("the slow client holds the node: %v", err)
			}
		})
	}
}

// The server bounds how long a request may take to come; a stream is none of that.
func TestSubscribe_OutlivesTheReadTimeout(t *testing.T) {
	onStreams(t, func(t *testing.T, s surface) {
		stream := newMemoryStream(t)
		server := NewServer(NewHandler(stream.books, Options{Events: &operators{}, Stream: stream, Tails: stream}), nil)
		server.ReadTimeout = 200 * time.Millisecond
		l := listenTo(t, s.events(t, listen(t, server)), Subscriber{Home: "eu", Heartbeat: minHeartbeat})
		for range 8 {
			l.beat()
		}
		stream.credit("acc_42")
		if got := l.event(); got.Position != 1 {
			t.Errorf("%d", got.Position)
		}
	})
}

func TestSubscribe_ANodeThatFallsSilentIsGone(t *testing.T) {
	silent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/connect+proto")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	l := listenTo(t, surfaces[1].events(t, listen(t, NewServer(silent, nil))), Subscriber{Home: "eu", Heartbeat: minHeartbeat})
	if err := l.end(); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("it ends with %v", err)
	}
}

func TestEvents_AreUnimplementedWithoutAStream(t *testing.T) {
	base := walletServer(t)
	c := ledgerv1connect.NewEventServiceClient(httpClient(t, false), base)
	stream, err := c.Subscribe(t.Context(), connect.NewRequest(renderSubscriber(Subscriber{Home: "eu"})))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnimplemented {
		t.Errorf("Subscribe: %v", stream.Err())
	}
}

// BenchmarkSubscribe reads a stream from its beginning; an operation is an event. The database is left out.
func BenchmarkSubscribe(b *testing.B) {
	for _, s := range streaming {
		b.Run(s.name, func(b *testing.B) {
			stream := newMemoryStream(b)
			record := stream.credit("acc_42").Record
			for range b.N {
				stream.append(record)
			}
			l := listenTo(b, s.events(b, serveEvents(b, stream, nil)), Subscriber{Home: "eu"})
			l.beat()
			b.ResetTimer()
			for range b.N {
				l.event()
			}
		})
	}
}
