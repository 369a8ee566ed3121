package nats

import (
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

func TestParse_ReadsSettings(t *testing.T) {
	s, err := Parse([]byte(`{"servers":["a:4222","tls://b:4443"],"subject_prefix":"ledger.events","user":"u","ca_pem":` +
		quoted(sinktest.CertificateOf(t).PEM) + `}`))
	if err != nil || strings.Join(s.Servers, " ") != "nats://a:4222 tls://b:4443" || s.Prefix != "ledger.events" || !s.Secure || s.Authorities == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = Parse([]byte(`{"servers":["nats://a:4222"],"subject_prefix":"x"}`)); err != nil || s.Secure {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestParse_Refuses(t *testing.T) {
	for settings, field := range map[string]string{
		`[]`:                                                       "sink.nats",
		`{"subject_prefix":"x"}`:                                   "sink.nats.servers",
		`{"servers":["http://a:80"]}`:                              "sink.nats.servers[0]",
		`{"servers":["nats://u:p@a:4222"]}`:                        "sink.nats.servers[0]",
		`{"servers":["a"]}`:                                        "sink.nats.servers[0]",
		`{"servers":["a:1,b:2"]}`:                                  "sink.nats.servers[0]",
		`{"servers":["a:1"]}`:                                      "sink.nats.subject_prefix",
		`{"servers":["a:1"],"subject_prefix":"a.>"}`:               "sink.nats.subject_prefix",
		`{"servers":["a:1"],"subject_prefix":"a..b"}`:              "sink.nats.subject_prefix",
		`{"servers":["a:1"],"subject_prefix":"$JS"}`:               "sink.nats.subject_prefix",
		`{"servers":["a:1"],"subject_prefix":"ü"}`:                 "sink.nats.subject_prefix",
		`{"servers":["a:1"],"subject_prefix":"a","ca_pem":"x"}`:    "sink.nats.ca_pem",
		`{"servers":["a:1"],"subject_prefix":"a","user":"\u0000"}`: "sink.nats.user",
	} {
		if _, err := Parse([]byte(settings)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want one of %s", settings, err, field)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"servers":["nats://a:4222"],"subject_prefix":"ledger.events"}`))
	f.Add([]byte(`{"servers":["tls://[::1]:4222"],"subject_prefix":"a.*","user":"u"}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		s, err := Parse(settings)
		if err == nil && (len(s.Servers) == 0 || s.Prefix == "" || strings.ContainsAny(s.Prefix, " *>$") || strings.ContainsAny(strings.Join(s.Servers, ""), "@, ?#")) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzPercent(f *testing.F) {
	f.Add("Euro € 100%")
	f.Fuzz(func(t *testing.T, s string) {
		if token := percent(s, isPlain); strings.ContainsAny(token, ".*> \t\r\n") {
			t.Errorf("%q is %q as a token", s, token)
		}
		if value := percent(s, isPrintable); strings.ContainsAny(value, " \"\r\n") {
			t.Errorf("%q is %q as a header", s, value)
		}
	})
}
