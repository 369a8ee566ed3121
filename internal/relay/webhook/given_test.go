package webhook_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

const host = "hooks.example" // resolves to loopback, by the resolver of the tests

// authority makes certificates for endpoints.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{certificate, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue makes a certificate for a name that is valid until a time.
func (a *authority) issue(t testing.TB, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, a.certificate, &key.PublicKey, a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// config is TLS of an endpoint as it should be.
func (a *authority) config(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, host, time.Now().Add(time.Hour))}, MinVersion: tls.VersionTLS12}
}

// serve starts an HTTPS endpoint and returns its port.
func serve(t testing.TB, config *tls.Config, http2 bool, handle http.HandlerFunc) (port string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.TLS, server.EnableHTTP2 = config, http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return portOf(server.Listener)
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// serveRaw starts an endpoint that handles connections by itself. Those still open at the end of the test are closed.
func serveRaw(t testing.TB, handle func(net.Conn)) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			go handle(c)
		}
	}()
	t.Cleanup(func() {
		stop()
		l.Close()
		<-done
	})
	return portOf(l)
}

// given is a sink to be made; the zero value of each field is what most tests want.
type given struct {
	port     string
	path     string
	settings map[string]any // over url, ca_pem
	secrets  []event.Secret
	names    names
	options  webhook.Options
	ca       *authority
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

func open(t testing.TB, g given) *webhook.Sink {
	t.Helper()
	settings := map[string]any{"url": "https://" + host + ":" + g.port + "/" + g.path, "timeout": "5s"}
	if g.ca != nil {
		settings["ca_pem"] = g.ca.pem
	}
	for k, v := range g.settings {
		settings[k] = v
	}
	text, err := json.Marshal(settings)
	must(t, err)
	if g.secrets == nil {
		g.secrets = []event.Secret{{ID: "one", Value: webhook.MakeSecret()}}
	}
	if g.names == nil {
		g.names = names{host: always("127.0.0.1")}
	}
	if g.options.AllowPrivate == nil {
		g.options.AllowPrivate = loopback
	}
	if g.options.Resolver == nil {
		g.options.Resolver = g.names.resolver()
	}
	s, err := webhook.New(event.SinkSpec{Kind: "webhook", Settings: text}, g.secrets, g.options)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// message is an event with a body; ids differ by n.
func message(n byte, body string) sink.Message {
	o := ledger.Outcome{Transaction: id.Transaction{0x0a, 14: 1, 15: n}}
	return sink.Message{Event: event.Event{Record: ledger.Record{Outcome: o}}, Body: []byte(body)}
}

const aBody = `{"specversion":"1.0","id":"0a00","type":"wallet.debit.committed","data":{"account":"user:42:eur","amount":"5000"}}`

// deliver sends one message and returns what became of it; nil is that it is safe.
func deliver(t testing.TB, s *webhook.Sink, m sink.Message) *sink.Error {
	t.Helper()
	safe, err := s.Deliver(context.Background(), []sink.Message{m})
	if err == nil {
		if safe != 1 {
			t.Fatalf("no error, and %d messages are safe", safe)
		}
		return nil
	}
	var e *sink.Error
	if !errors.As(err, &e) || safe != 0 {
		t.Fatalf("%d messages are safe, and the error is %T: %v", safe, err, err)
	}
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
