package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// failure says what an attempt means that has no answer. Where no connection could be had, no other event will fare better: the endpoint is
// down. Where the connection broke or stayed silent afterwards, it may have been this event: it is tried again, and others are not held up.
func (s *Sink) failure(ctx context.Context, err error, seen *progress) *sink.Error {
	e := s.explain(ctx, err, seen)
	e.Err = err
	e.Verdict = sink.Down
	if seen.connected.Load() && e.Cause != causeTLS || e.Cause == causeCanceled {
		e.Verdict = sink.Retry
	}
	if e.Cause == causeCanceled { // what broke then has many names
		e.Err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if e.Cause == causeForbidden { // a receiver that points inside is worth a look
		s.options.Log.WarnContext(ctx, "webhook points to an address that is not called", "host", s.settings.URL.Host, "error", err)
	}
	return e
}

// Causes, beside those of answers.
const (
	causeCanceled    = "canceled"
	causeForbidden   = "forbidden_address"
	causeProxy       = "proxy"
	causeDNS         = "dns"
	causeTimeout     = "timeout"
	causeTLS         = "tls"
	causeRefused     = "refused"
	causeUnreachable = "unreachable"
	causeReset       = "reset"
	causeProtocol    = "protocol"
	causeUnavailable = "unavailable"
)

func (s *Sink) explain(ctx context.Context, err error, seen *progress) *sink.Error {
	host := s.settings.URL.Hostname()
	var (
		forbidden *forbiddenAddress
		proxy     *proxyRefusal
		dns       *net.DNSError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &sink.Error{Cause: causeCanceled, Detail: "the attempt was broken off on this side"}
	case errors.As(err, &forbidden):
		return &sink.Error{Cause: causeForbidden, Detail: host + " leads to " + forbidden.what + ", which this server does not call"}
	case errors.As(err, &proxy):
		return &sink.Error{Cause: causeProxy, Detail: fmt.Sprintf("the proxy answered %d when asked for %s", proxy.status, host)}
	case errors.As(err, &dns):
		return &sink.Error{Cause: causeDNS, Detail: aboutName(host, dns)}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if seen.resolving.Load() {
			return &sink.Error{Cause: causeDNS, Detail: aboutName(host, &net.DNSError{IsTimeout: true})}
		}
		return &sink.Error{Cause: causeTimeout, Detail: s.aboutTime(seen)}
	case isReset(err):
		return &sink.Error{Cause: causeReset, Detail: aboutReset(seen)}
	case seen.unshakable.Load(), isAlert(err):
		return &sink.Error{Cause: causeTLS, Detail: aboutTLS(host, err)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &sink.Error{Cause: causeRefused, Detail: "nobody listens at " + s.settings.URL.Host}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return &sink.Error{Cause: causeUnreachable, Detail: "there is no route to " + s.settings.URL.Host}
	case seen.connected.Load():
		return &sink.Error{Cause: causeProtocol, Detail: "the endpoint broke off, or did not answer in HTTP"}
	}
	return &sink.Error{Cause: causeUnavailable, Detail: "no connection to " + s.settings.URL.Host + " could be made"}
}

func aboutName(host string, e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return "there is no host " + host + " in DNS"
	case e.IsTimeout:
		return "DNS did not answer in time when asked for " + host
	}
	return "DNS could not answer when asked for " + host
}

func (s *Sink) aboutTime(seen *progress) string {
	if seen.connected.Load() {
		return fmt.Sprintf("no answer within %v", s.settings.Timeout)
	}
	return fmt.Sprintf("no connection to %s in time; an attempt has %v", s.settings.URL.Host, s.settings.Timeout)
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func aboutReset(seen *progress) string {
	if seen.connected.Load() {
		return "the endpoint closed the connection before it answered"
	}
	return "the endpoint closed the connection before the request was sent"
}

// isAlert tells whether the other side ended TLS; with TLS 1.3 that can come after the handshake.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func aboutTLS(host string, err error) string {
	var (
		record    tls.RecordHeaderError
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &record):
		return "the endpoint does not speak TLS at that port"
	case errors.As(err, &name):
		return "the certificate of the endpoint is not for " + host
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the endpoint has expired, or is not valid yet"
	case errors.As(err, &authority):
		return "the certificate of the endpoint comes from an authority that is not trusted; ca_pem can name it"
	case errors.As(err, &invalid):
		return "the certificate of the endpoint is not valid for a server"
	case isAlert(err):
		return "the endpoint broke TLS off: it wants another version, or a certificate of the client"
	}
	return "the TLS handshake failed; the endpoint has to speak TLS 1.2 or newer"
}
