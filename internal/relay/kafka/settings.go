package kafka

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// MaxBrokers bounds the addresses to begin with; the cluster names its other brokers itself.
const MaxBrokers = 16

// Mechanisms of SASL.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512"
)

// Settings are those of one topic, valid.
type Settings struct {
	Brokers     []string // host:port, to begin with
	Topic       string
	TLS         bool
	Authorities *x509.CertPool // that certificates of brokers may come from; nil is the system's
	SASL        string         // a mechanism, or empty
	User        string
}

// form is the JSON of settings, as protojson writes a KafkaSink under its proto names.
type form struct {
	Brokers []string `json:"brokers"`
	Topic   string   `json:"topic"`
	TLS     bool     `json:"tls"`
	CAPEM   string   `json:"ca_pem"`
	SASL    string   `json:"sasl"`
	User    string   `json:"user"`
}

// Parse reads settings and refuses what can not work. Errors are *errs.Error of a field.
func Parse(settings []byte) (Settings, error) {
	var f form
	if err := sink.Decode(settings, "sink.kafka", &f); err != nil {
		return Settings{}, err
	}
	if len(f.Brokers) == 0 || len(f.Brokers) > MaxBrokers {
		return Settings{}, invalid("brokers", fmt.Sprintf("name 1 to %d brokers, each host:port", MaxBrokers))
	}
	for i, broker := range f.Brokers {
		if _, err := sink.ParseAddress(broker); err != nil {
			return Settings{}, invalid(fmt.Sprintf("brokers[%d]", i), err.Error())
		}
	}
	if !isTopic(f.Topic) {
		return Settings{}, invalid("topic", "a topic is 1 to 249 of a-z A-Z 0-9 . _ -")
	}
	authorities, err := sink.ParseAuthorities(f.CAPEM)
	if err != nil {
		return Settings{}, invalid("ca_pem", err.Error())
	}
	if authorities != nil && !f.TLS {
		return Settings{}, invalid("ca_pem", "certificates are of no use without tls")
	}
	if err := f.checkSASL(); err != nil {
		return Settings{}, err
	}
	return Settings{Brokers: f.Brokers, Topic: f.Topic, TLS: f.TLS, Authorities: authorities, SASL: f.SASL, User: f.User}, nil
}

func (f form) checkSASL() error {
	switch f.SASL {
	case "":
		if f.User != "" {
			return invalid("user", "a user needs sasl: say which mechanism")
		}
		return nil
	case Plain:
		if !f.TLS {
			return invalid("sasl", "plain sends the password in clear: use tls with it, or scram-sha-512")
		}
	case ScramSHA256, ScramSHA512:
	default:
		return invalid("sasl", "a mechanism is plain, scram-sha-256 or scram-sha-512")
	}
	if f.User == "" {
		return invalid("user", "sasl needs a user; the password is a secret of the subscription")
	}
	return ledger.ValidateText("sink.kafka.user", f.User)
}

// isTopic follows the broker's own rule.
func isTopic(s string) bool {
	const legal = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return s != "" && len(s) <= 249 && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(legal, r)
	})
}

func invalid(field, message string) error { return errs.Invalid("sink.kafka."+field, message) }
