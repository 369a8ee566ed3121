package webhook_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

func TestDeliver_UsesConnectionsAgain(t *testing.T) {
	ca := newAuthority(t)
	addresses := make(chan string, 16)
	port := serve(t, ca.config(t), false, func(w http.ResponseWriter, r *http.Request) {
		addresses <- r.RemoteAddr
		w.Write(make([]byte, 60<<10))
	})
	s := open(t, given{port: port, ca: ca})
	for n := range byte(5) {
		if e := deliver(t, s, message(n, aBody)); e != nil {
			t.Fatal(e)
		}
	}
	first := <-addresses
	for range 4 {
		if next := <-addresses; next != first {
			t.Fatalf("dialled again: %s, then %s", first, next)
		}
	}
}

// A kept connection that dies under a request, as when the endpoint restarts, costs no attempt.
func TestDeliver_DialsAgainWhereAKeptConnectionDies(t *testing.T) {
	ca := newAuthority(t)
	config := ca.config(t)
	requests := make(chan http.Header, 16)
	port := serveRaw(t, func(raw net.Conn) {
		c := tls.Server(raw, config)
		defer c.Close()
		in := bufio.NewReader(c)
		for n := range 2 { // answers the first, and dies under the second
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			requests <- r.Header
			if n == 0 {
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	})
	s := open(t, given{port: port, ca: ca})
	for n := range byte(2) {
		if e := deliver(t, s, message(n, aBody)); e != nil {
			t.Fatal(e)
		}
	}
	must(t, s.Close())
	if len(requests) != 3 {
		t.Fatalf("%d requests, want 3", len(requests))
	}
	if _, sent := (<-requests)["Idempotency-Key"]; sent {
		t.Error("Idempotency-Key is sent")
	}
}

// A 2xx that comes late, but in time, is a 2xx.
func TestDeliver_WaitsForASlowAnswer(t *testing.T) {
	ca := newAuthority(t)
	arrived, answer := make(chan struct{}), make(chan struct{})
	port := serve(t, ca.config(t), false, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		w.WriteHeader(http.StatusAccepted)
	})
	s := open(t, given{port: port, ca: ca})
	done := make(chan error, 1)
	go func() {
		_, err := s.Deliver(context.Background(), []sink.Message{message(1, aBody)})
		done <- err
	}()
	<-arrived
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	close(answer)
	must(t, <-done)
}

func TestDeliver_EndsWithItsContext(t *testing.T) {
	ca := newAuthority(t)
	arrived := make(chan struct{})
	port := serve(t, ca.config(t), false, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	})
	s := open(t, given{port: port, ca: ca})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	safe, err := s.Deliver(ctx, []sink.Message{message(1, aBody)})
	e, ok := err.(*sink.Error)
	if safe != 0 || !ok || e.Cause != "canceled" || e.Verdict != sink.Retry || !errors.Is(err, context.Canceled) {
		t.Fatalf("%d safe, %v", safe, err)
	}
}

func TestDeliver_AsksAProxyWhereOneIsSet(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // is not for webhooks
	ca := newAuthority(t)
	port, got := record(t, ca, false)
	asked := make(chan string, 2)
	proxy := serveRaw(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			t.Errorf("read CONNECT: %v", err)
			return
		}
		asked <- r.Method + " " + r.Host
		if !strings.HasPrefix(r.Host, host) {
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\n\r\n")
			c.Close()
			return
		}
		to, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(to, c); to.Close() }()
		io.Copy(c, to)
		c.Close()
	})
	o := webhook.Options{Proxy: mustURL(t, "http://127.0.0.1:"+proxy), AllowPrivate: []netip.Prefix{}} // the proxy is at a private address
	if e := deliver(t, open(t, given{port: port, ca: ca, options: o}), message(1, aBody)); e != nil {
		t.Fatal(e)
	}
	if r, who := <-got, <-asked; string(r.body) != aBody || who != "CONNECT "+host+":"+port {
		t.Errorf("the proxy was asked %q, the endpoint got %s", who, r.body)
	}
	s := open(t, given{options: o, settings: map[string]any{"url": "https://elsewhere.example/"}})
	if e := deliver(t, s, message(1, aBody)); e == nil || e.Cause != "proxy" || e.Verdict != sink.Down || !strings.Contains(e.Detail, "403") {
		t.Errorf("refused by the proxy: %+v", e)
	}
	must(t, s.Close())
}
