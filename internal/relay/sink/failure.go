package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// NewDown says that nothing can be delivered for now, and why.
func NewDown(cause, detail string, err error) *Error {
	return &Error{Verdict: Down, Cause: cause, Detail: detail, Err: err}
}

// NewCanceled says that this side gave the call up. It is context.Canceled whatever the error was that came of it.
func NewCanceled(err error) *Error {
	return &Error{Verdict: Retry, Cause: "canceled", Detail: "the call was given up on this side", Err: errors.Join(context.Canceled, err)}
}

// Unreachable says why a server can not be reached, as far as the network and TLS tell. The verdict is Down. Nothing is nil where the error
// speaks of something else.
func Unreachable(err error) *Error {
	e := &Error{Verdict: Down, Err: err}
	var (
		dns     *net.DNSError
		timeout interface{ Timeout() bool }
	)
	switch {
	case aboutTLS(err) != "":
		e.Cause, e.Detail = "tls", aboutTLS(err)
	case errors.As(err, &dns):
		e.Cause, e.Detail = "dns", "the name of the server can not be looked up: "+dns.Name
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Cause, e.Detail = "refused", "nobody listens at "+address(err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Cause, e.Detail = "connection", "there is no route to "+address(err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Cause, e.Detail = "timeout", "the server did not answer in time"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed):
		e.Cause, e.Detail = "reset", "the server closed the connection; where it wants TLS and gets none, or the other way round, it does so too"
	default:
		return nil
	}
	return e
}

func address(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return op.Addr.String()
	}
	return "the address"
}

func aboutTLS(err error) string {
	var (
		record    tls.RecordHeaderError
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		alert     tls.AlertError
		op        *net.OpError
	)
	switch {
	case errors.As(err, &record):
		return "the server does not speak TLS at that port"
	case errors.As(err, &name):
		return "the certificate of the server is not for the host that was called"
	case errors.As(err, &authority):
		return "the certificate of the server comes from an authority that is not trusted; ca_pem can name it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the server has expired, or is not valid yet"
	case errors.As(err, &invalid):
		return "the certificate of the server is not valid for a server"
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		return "the server broke TLS off: it wants another version, or a certificate of the client"
	}
	return ""
}
