package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// Bounds on connections.
const (
	connectWithin   = 5 * time.Second
	handshakeWithin = 5 * time.Second
	idleFor         = 30 * time.Second // most receivers close at 60 s: whoever closes first does not lose a request to the race
	pingAfter       = 15 * time.Second // of silence on HTTP/2, else a connection that died is used on and on
	pingWithin      = 5 * time.Second
	maxHeaderBytes  = 64 << 10
)

// newTransport returns a transport of one endpoint. It follows no redirect, keeps no cookies and unpacks nothing.
func newTransport(s Settings, o Options) *http.Transport {
	dialer := &net.Dialer{
		Timeout: min(connectWithin, s.Timeout), KeepAlive: pingAfter, Resolver: o.Resolver, ControlContext: newGuard(o).control,
	}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Authorities, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
		TLSHandshakeTimeout:    min(handshakeWithin, s.Timeout),
		IdleConnTimeout:        idleFor,
		MaxIdleConns:           s.Parallel,
		MaxIdleConnsPerHost:    s.Parallel,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWithin},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	if o.Proxy != nil {
		t.Proxy = http.ProxyURL(o.Proxy)
		t.OnProxyConnectResponse = refusedByProxy
		dialer.ControlContext = nil // the operator's own proxy is mostly at a private address
	}
	return t
}

// proxyRefusal is the answer of a proxy to CONNECT, where it is not 200.
type proxyRefusal struct{ status int }

func (e *proxyRefusal) Error() string { return fmt.Sprintf("the proxy answered %d", e.status) }

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyRefusal{answer.StatusCode}
	}
	return nil
}

// progress is how far an attempt came. The transport may tell it from another goroutine.
type progress struct {
	resolving  atomic.Bool // the name, and not done with it
	connected  atomic.Bool // and, where it is https, shaken hands
	unshakable atomic.Bool // the handshake failed
}

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { p.resolving.Store(true) },
		DNSDone: func(done httptrace.DNSDoneInfo) {
			p.resolving.Store(done.Err != nil) // what ends with the context is told at any time
		},
		GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				p.unshakable.Store(true)
			}
		},
	})
}
