package nats

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Bounds of settings.
const (
	MaxServers = 16
	MaxPrefix  = 128 // bytes
)

// Settings are those of one JetStream, valid.
type Settings struct {
	Servers     []string // nats:// or tls:// and host:port
	Prefix      string   // of subjects
	Secure      bool     // TLS, as tls:// or ca_pem want it; a server can want it as well
	Authorities *x509.CertPool
	User        string
}

// form is the JSON of settings, as protojson writes a NatsSink under its proto names.
type form struct {
	Servers       []string `json:"servers"`
	SubjectPrefix string   `json:"subject_prefix"`
	CAPEM         string   `json:"ca_pem"`
	User          string   `json:"user"`
}

// Parse reads settings and refuses what can not work. Errors are *errs.Error of a field.
func Parse(settings []byte) (Settings, error) {
	var f form
	if err := sink.Decode(settings, "sink.nats", &f); err != nil {
		return Settings{}, err
	}
	if len(f.Servers) == 0 || len(f.Servers) > MaxServers {
		return Settings{}, invalid("servers", fmt.Sprintf("name 1 to %d servers, as in nats://host:4222", MaxServers))
	}
	s := Settings{Prefix: f.SubjectPrefix, User: f.User}
	for i, server := range f.Servers {
		address, secure, err := parseServer(server)
		if err != nil {
			return Settings{}, invalid(fmt.Sprintf("servers[%d]", i), err.Error())
		}
		s.Servers = append(s.Servers, address)
		s.Secure = s.Secure || secure
	}
	if !isSubject(f.SubjectPrefix) {
		return Settings{}, invalid("subject_prefix", fmt.Sprintf(
			"a prefix is tokens of a-z A-Z 0-9 _ - with dots between, at most %d bytes, and does not begin with $", MaxPrefix))
	}
	var err error
	if s.Authorities, err = sink.ParseAuthorities(f.CAPEM); err != nil {
		return Settings{}, invalid("ca_pem", err.Error())
	}
	s.Secure = s.Secure || s.Authorities != nil
	return s, ledger.ValidateText("sink.nats.user", f.User)
}

func parseServer(s string) (address string, secure bool, err error) {
	scheme, address, found := strings.Cut(s, "://")
	if !found {
		scheme, address = "nats", s
	}
	if scheme != "nats" && scheme != "tls" {
		return "", false, errors.New("a server is nats://host:port or tls://host:port")
	}
	if address, err = sink.ParseAddress(address); err != nil {
		return "", false, err
	}
	return scheme + "://" + address, scheme == "tls", nil
}

// checkClear refuses servers that a secret would travel to in clear. That a server may want TLS by itself is no help: whoever stands between can
// say that it does not.
func (s Settings) checkClear() error {
	if s.Secure {
		return nil
	}
	for i, server := range s.Servers {
		host, _, err := net.SplitHostPort(strings.TrimPrefix(server, "nats://"))
		if a, bad := netip.ParseAddr(host); err != nil || host != "localhost" && (bad != nil || !a.Unmap().IsLoopback()) {
			return invalid(fmt.Sprintf("servers[%d]", i), "the secret would travel in clear: use tls://, or remove the secret")
		}
	}
	return nil
}

func isSubject(s string) bool {
	if len(s) > MaxPrefix {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r > '~' || !isPlain(byte(r)) }) {
			return false
		}
	}
	return true
}

func invalid(field, message string) error { return errs.Invalid("sink.nats."+field, message) }
