package webhook_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// overTLS shakes hands, reads a request and goes on with it.
func overTLS(config *tls.Config, then func(c *tls.Conn)) func(net.Conn) {
	return func(raw net.Conn) {
		c := tls.Server(raw, config)
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			then(c)
		}
	}
}

func says(text string) func(*tls.Conn) {
	return func(c *tls.Conn) { io.WriteString(c, text) }
}

func resets(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// Each way to misbehave below HTTP, or instead of it, and what becomes of the message.
func TestDeliver_SaysWhatWentWrongOnTheWire(t *testing.T) {
	ca := newAuthority(t)
	config := ca.config(t)
	with := func(change func(*tls.Config)) *tls.Config {
		c := config.Clone()
		change(c)
		return c
	}
	certificate := func(a *authority, name string, until time.Duration) *tls.Config {
		return with(func(c *tls.Config) { c.Certificates = []tls.Certificate{a.issue(t, name, time.Now().Add(until))} })
	}
	fine := says("HTTP/1.1 204 No Content\r\n\r\n")
	for _, row := range []struct {
		name    string
		handle  func(net.Conn)
		verdict sink.Verdict // "" is that it is safe
		cause   string
		detail  string
	}{
		{"well", overTLS(config, fine), "", "", ""},
		{"closes before it answers", overTLS(config, func(*tls.Conn) {}), sink.Retry, "reset", "before it answered"},
		{"resets before it answers", overTLS(config, func(c *tls.Conn) { resets(c.NetConn()) }), sink.Retry, "reset", "before it answered"},
		{"closes in the status line", overTLS(config, says("HTTP/1.1 20")), sink.Retry, "protocol", "not answer in HTTP"},
		{"closes in headers", overTLS(config, says("HTTP/1.1 200 OK\r\nX-Half: b\r\n")), sink.Retry, "reset", "before it answered"},
		{"closes in the body of a 2xx", overTLS(config, says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes ")), "", "", ""},
		{
			"closes in the body of a 5xx", overTLS(config, says("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nten bytes ")),
			sink.Retry, "status_5xx", "500 Internal Server Error: ten bytes",
		},
		{"is no HTTP", overTLS(config, says("SSH-2.0-OpenSSH_9.6\r\n")), sink.Retry, "protocol", "not answer in HTTP"},
		{"has headers without end", overTLS(config, func(c *tls.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := range 20_000 {
				if _, err := fmt.Fprintf(c, "X-%d: and so on\r\n", i); err != nil {
					return
				}
			}
		}), sink.Retry, "protocol", "not answer in HTTP"},
		{"switches protocols", overTLS(config, says("HTTP/1.1 101 Switching Protocols\r\n\r\n")), sink.Retry, "protocol", "101"},
		{"has a status of its own", overTLS(config, says("HTTP/1.1 799 Whatever\r\nContent-Length: 0\r\n\r\n")), sink.Retry, "protocol", "799"},
		{"hangs before headers", overTLS(config, func(c *tls.Conn) { io.Copy(io.Discard, c) }), sink.Retry, "timeout", "no answer within 500ms"},
		{"hangs in headers", overTLS(config, func(c *tls.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-")
			io.Copy(io.Discard, c)
		}), sink.Retry, "timeout", "no answer within 500ms"},
		{"hangs before the handshake", func(c net.Conn) { io.Copy(io.Discard, c) }, sink.Down, "timeout", "no connection to hooks.example:"},
		{"resets in the handshake", resets, sink.Down, "reset", "before the request was sent"},
		{"closes in the handshake", func(c net.Conn) { c.Read(make([]byte, 1<<10)); c.Close() }, sink.Down, "reset", "before the request was sent"},
		{"speaks HTTP on the TLS port", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			io.Copy(io.Discard, c)
		}, sink.Down, "tls", "does not speak TLS"},
		{"has a certificate for another", overTLS(certificate(ca, "other.example", time.Hour), fine), sink.Down, "tls", "is not for hooks.example"},
		{"has an expired certificate", overTLS(certificate(ca, host, -time.Minute), fine), sink.Down, "tls", "has expired"},
		{"has a certificate of the future", overTLS(certificate(ca, host, 3*time.Hour), fine), sink.Down, "tls", "is not valid yet"},
		{"has a foreign authority", overTLS(certificate(newAuthority(t), host, time.Hour), fine), sink.Down, "tls", "ca_pem"},
		{"speaks TLS 1.1", overTLS(with(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}), fine), sink.Down, "tls", "wants another version"},
		{"speaks TLS 1.2", overTLS(with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), fine), "", "", ""},
		{"wants a certificate, TLS 1.3", overTLS(with(func(c *tls.Config) {
			c.ClientAuth = tls.RequireAnyClientCert
		}), fine), sink.Down, "tls", "certificate of the client"},
		{"wants a certificate, TLS 1.2", overTLS(with(func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		}), fine), sink.Down, "tls", "certificate of the client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			timeout := "10s"
			if row.cause == "timeout" {
				timeout = "500ms"
			}
			s := open(t, given{port: serveRaw(t, row.handle), ca: ca, settings: map[string]any{"timeout": timeout}})
			expect(t, deliver(t, s, message(1, aBody)), row.verdict, row.cause, row.detail)
		})
	}
}

func expect(t *testing.T, e *sink.Error, verdict sink.Verdict, cause, detail string) {
	t.Helper()
	if e == nil {
		if verdict != "" {
			t.Fatalf("taken, want %s for %s", verdict, cause)
		}
		return
	}
	if e.Verdict != verdict || e.Cause != cause || !strings.Contains(e.Detail, detail) {
		t.Errorf("%s for %s, %q (%v); want %s for %s, …%s…", e.Verdict, e.Cause, e.Detail, e.Err, verdict, cause, detail)
	}
}

func TestDeliver_SaysWhereNobodyIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	expect(t, deliver(t, open(t, given{port: portOf(l)}), message(1, aBody)), sink.Down, "refused", "nobody listens at hooks.example:")
	expect(t, deliver(t, open(t, given{port: "443", names: names{}}), message(1, aBody)), sink.Down, "dns", "no host hooks.example")

	silent := given{port: "443", settings: map[string]any{"timeout": "200ms"}}
	silent.options.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	e := deliver(t, open(t, silent), message(1, aBody))
	expect(t, e, sink.Down, "dns", "did not answer in time")

	broken := given{port: "443"}
	broken.options.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no such server")
	}}
	expect(t, deliver(t, open(t, broken), message(1, aBody)), sink.Down, "dns", "could not answer")
}

// With HTTP/2 a stream that breaks is not a connection that breaks.
func TestDeliver_SaysWhatWentWrongOnAStream(t *testing.T) {
	ca := newAuthority(t)
	port := serve(t, ca.config(t), true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/hang":
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusOK)
		}
	})
	aborted := open(t, given{port: port, path: "abort", ca: ca})
	expect(t, deliver(t, aborted, message(1, aBody)), sink.Retry, "protocol", "broke off")
	silent := open(t, given{port: port, path: "hang", ca: ca, settings: map[string]any{"timeout": "500ms"}})
	expect(t, deliver(t, silent, message(1, aBody)), sink.Retry, "timeout", "no answer within")
}

// A body that never ends costs neither time nor memory, and after a 2xx not even the delivery.
func TestDeliver_BoundsTheAnswer(t *testing.T) {
	ca := newAuthority(t)
	const tooMuch = 256 << 20
	var written atomic.Int64
	port := serve(t, ca.config(t), false, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/500") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		chunk := []byte(strings.Repeat("all the pages of a manual\n", 1<<10))
		switch {
		case strings.HasPrefix(r.URL.Path, "/huge"):
			for written.Load() < tooMuch {
				if _, err := w.Write(chunk); err != nil {
					return
				}
				written.Add(int64(len(chunk)))
			}
		default:
			for drip := time.NewTicker(10 * time.Millisecond); ; {
				if _, err := io.WriteString(w, "drop "); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-drip.C:
				case <-r.Context().Done():
					drip.Stop()
					return
				}
			}
		}
	})
	for _, row := range []struct {
		path, detail string
		verdict      sink.Verdict
	}{
		{"huge/200", "", ""},
		{"drip/200", "", ""},
		{"huge/500", "all the pages of a manual", sink.Retry},
		{"drip/500", "drop drop", sink.Retry},
	} {
		t.Run(row.path, func(t *testing.T) {
			written.Store(0)
			s := open(t, given{port: port, path: row.path, ca: ca, settings: map[string]any{"timeout": "30s"}})
			began := time.Now()
			e := deliver(t, s, message(1, aBody))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			expect(t, e, row.verdict, "status_5xx", row.detail)
			if e != nil && len([]rune(e.Detail)) > 300 {
				t.Errorf("a detail of %d characters: %s", len([]rune(e.Detail)), e.Detail)
			}
			if n := written.Load(); n > tooMuch/4 { // buffers of the kernel take some
				t.Errorf("the endpoint could write %d bytes", n)
			}
		})
	}
}
