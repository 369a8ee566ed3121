package sink

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

// Decode reads the settings of a sink into its form, and refuses fields that it does not know. Errors are *errs.Error of the field, such as
// sink.kafka, and quote nothing of the settings.
func Decode(settings []byte, field string, into any) error {
	if len(settings) > event.MaxSettings {
		return errs.Invalid(field, fmt.Sprintf("settings have at most %d bytes", event.MaxSettings))
	}
	d := json.NewDecoder(bytes.NewReader(settings))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); errors.Is(more, io.EOF) {
			return nil
		}
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		name, _, _ := strings.Cut(wrong.Field, ".")
		return errs.Invalid(strings.TrimSuffix(field+"."+name, "."), "it has not the type that it should have")
	}
	return errs.Invalid(field, "settings are one JSON object, of the fields that this kind of sink has")
}

// ParseAuthorities reads PEM blocks of certificates, and nothing else: a private key here was put in the wrong place. Nothing is nil, which
// crypto/tls takes for the authorities of the system.
func ParseAuthorities(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool, as crypto/tls has it
	}
	pool, rest := x509.NewCertPool(), []byte(text)
	for found := 0; ; found++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if found == 0 || len(bytes.TrimSpace(rest)) > 0 {
				return nil, errors.New("give PEM blocks of certificates, and nothing else")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block is no certificate; private keys do not belong here")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d can not be read", found+1)
		}
		pool.AddCert(certificate)
	}
}

// ParseAddress reads host:port.
func ParseAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || len(host) > 253 || strings.ContainsAny(host, " /@?#\\") ||
		strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("an address is host:port, without a scheme, a user or a path")
	}
	return s, nil
}
