package nats

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
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

func TestNew_SendsNoSecretInClear(t *testing.T) {
	const jwt = "-----BEGIN NATS USER JWT-----\neyJ\n------END NATS USER JWT------\n"
	ca := `,"ca_pem":` + quoted(sinktest.CertificateOf(t).PEM)
	for _, row := range []struct {
		servers, more, secret string
		refused               string // the field, or empty
	}{
		{`"nats://a:4222"`, ``, ``, ``},
		{`"nats://a:4222"`, ``, `token`, `sink.nats.servers[0]`},
		{`"a:4222"`, `,"user":"u"`, `password`, `sink.nats.servers[0]`},
		{`"nats://a:4222"`, ``, jwt, `sink.nats.servers[0]`},
		{`"nats://127.0.0.1:4222","nats://10.0.0.1:4222"`, ``, `token`, `sink.nats.servers[1]`},
		{`"nats://127.0.0.1.example.com:4222"`, ``, `token`, `sink.nats.servers[0]`},
		{`"nats://0.0.0.0:4222"`, ``, `token`, `sink.nats.servers[0]`},
		{`"nats://127.0.0.1:4222","nats://[::1]:4222","nats://[::ffff:127.0.0.1]:4222","localhost:4222"`, ``, `token`, ``},
		{`"tls://a:4222"`, ``, `token`, ``},
		{`"tls://a:4222","nats://b:4222"`, `,"user":"u"`, `password`, ``}, // one is enough to want TLS of all
		{`"nats://a:4222"`, ca, `token`, ``},
	} {
		spec := event.SinkSpec{Kind: Kind, Settings: json.RawMessage(`{"servers":[` + row.servers + `],"subject_prefix":"p"` + row.more + `}`)}
		var secrets []event.Secret
		if row.secret != "" {
			secrets = append(secrets, event.Secret{ID: "s", Value: []byte(row.secret)})
		}
		s, err := New(spec, secrets, Options{})
		switch {
		case row.refused == "" && err != nil:
			t.Errorf("%s: %v", spec.Settings, err)
		case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused) || strings.Contains(err.Error(), row.secret)):
			t.Errorf("%s: %v, want one of %s", spec.Settings, err, row.refused)
		case err == nil:
			_ = s.Close()
		}
	}
}

// A server that offers no TLS hears nothing of the secret where one of the addresses wants it.
func TestDeliver_SecretStaysHereWithoutTLS(t *testing.T) {
	srv, o := start(t, server.Options{Authorization: "s3cret"})
	stream(t, srv, nil, client.Token("s3cret"))
	settings := fmt.Sprintf(`{"servers":["nats://127.0.0.1:%d","tls://127.0.0.1:%[1]d"],"subject_prefix":"ledger.events"}`, o.Port)
	s, err := New(event.SinkSpec{Kind: Kind, Settings: json.RawMessage(settings)}, []event.Secret{{Value: []byte("s3cret")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	failed(t, s, sinktest.New(t).Credits(1, accounts(1)...), 0, sink.Down, "tls", "")
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
