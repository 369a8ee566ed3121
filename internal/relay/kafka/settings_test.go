package kafka

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

func TestParse_ReadsSettings(t *testing.T) {
	s, err := Parse([]byte(`{"brokers":["a:9092","[::1]:9093"],"topic":"ledger.events","tls":true,"ca_pem":` + quoted(sinktest.CertificateOf(t).PEM) +
		`,"sasl":"plain","user":"meridian"}`))
	if err != nil || len(s.Brokers) != 2 || s.Topic != "ledger.events" || !s.TLS || s.Authorities == nil || s.SASL != Plain || s.User != "meridian" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestParse_Refuses(t *testing.T) {
	const good = `"brokers":["a:9092"],"topic":"t"`
	for settings, field := range map[string]string{
		``:                                  "sink.kafka",
		`{` + good + `,"password":"x"}`:     "sink.kafka",
		`{"topic":"t"}`:                     "sink.kafka.brokers",
		`{"brokers":["a"],"topic":"t"}`:     "sink.kafka.brokers[0]",
		`{"brokers":["a:0"],"topic":"t"}`:   "sink.kafka.brokers[0]",
		`{"brokers":["u:p@a:1"]}`:           "sink.kafka.brokers[0]",
		`{"brokers":["a:1"],"topic":".."}`:  "sink.kafka.topic",
		`{"brokers":["a:1"],"topic":"a/b"}`: "sink.kafka.topic",
		`{"brokers":["a:1"],"topic":1}`:     "sink.kafka.topic",
		`{` + good + `,"user":"u"}`:         "sink.kafka.user",
		`{` + good + `,"sasl":"plain"}`:     "sink.kafka.sasl",
		`{` + good + `,"sasl":"gssapi"}`:    "sink.kafka.sasl",
		`{` + good + `,"ca_pem":"x"}`:       "sink.kafka.ca_pem",
		`{` + good + `,"ca_pem":` + quoted(sinktest.CertificateOf(t).PEM) + `}`: "sink.kafka.ca_pem",
		`{` + good + `,"sasl":"scram-sha-256"}`:                                 "sink.kafka.user",
	} {
		if _, err := Parse([]byte(settings)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want one of %s", settings, err, field)
		}
	}
}

func TestNew_NeedsAPassword(t *testing.T) {
	spec := event.SinkSpec{Kind: Kind, Settings: json.RawMessage(`{"brokers":["a:1"],"topic":"t","sasl":"scram-sha-512","user":"u"}`)}
	if _, err := New(spec, nil, Options{}); err == nil || !strings.Contains(err.Error(), "secrets") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"brokers":["a:9092"],"topic":"t","tls":true,"sasl":"plain","user":"u"}`))
	f.Add([]byte(`{"brokers":["[::1]:9092"],"topic":"..","ca_pem":"-----BEGIN CERTIFICATE-----"}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		s, err := Parse(settings)
		if err == nil && (len(s.Brokers) == 0 || len(s.Topic) == 0 || len(s.Topic) > 249 || (s.SASL == "") != (s.User == "") || s.SASL == Plain && !s.TLS) {
			t.Errorf("%+v", s)
		}
	})
}
