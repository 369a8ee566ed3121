package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

func TestParse_ReadsSettings(t *testing.T) {
	ca := newAuthority(t)
	text, err := json.Marshal(map[string]any{
		"url": "https://hooks.example:8443/in?x=1", "timeout": "2.500s", "parallel": 3, "headers": map[string]string{"x-tenant": "7"},
		"ca_pem": ca.pem + "\n" + ca.pem,
	})
	must(t, err)
	s, err := webhook.Parse(text, webhook.Options{})
	must(t, err)
	if s.URL.String() != "https://hooks.example:8443/in?x=1" || s.Timeout != 2500*time.Millisecond || s.Parallel != 3 ||
		s.Headers.Get("X-Tenant") != "7" || s.Authorities == nil {
		t.Errorf("%+v", s)
	}
	s, err = webhook.Parse([]byte(`{"url":"https://hooks.example"}`), webhook.Options{})
	must(t, err)
	if s.Timeout != 10*time.Second || s.Parallel != 8 || len(s.Headers) != 0 || s.Authorities != nil {
		t.Errorf("defaults: %+v", s)
	}
	_, err = webhook.Parse([]byte(`{"url":"http://hooks.example"}`), webhook.Options{AllowHTTP: true})
	must(t, err)
}

func TestParse_Refuses(t *testing.T) {
	header := func(name, value string) string {
		text, _ := json.Marshal(map[string]any{"url": "https://hooks.example", "headers": map[string]string{name: value}})
		return string(text)
	}
	for _, row := range []struct{ settings, field, message string }{
		{``, "", "one JSON object"},
		{`{`, "", "one JSON object"},
		{`[]`, "", "type"},
		{`{"url":"https://a.example"} {}`, "", "one JSON object"},
		{`{"url":"https://a.example","uri":"x"}`, "", "one JSON object"},
		{strings.Repeat(" ", event.MaxSettings+1), "", "at most"},
		{`{}`, ".url", "give the URL"},
		{`{"url":7}`, ".url", "type"},
		{`{"url":"http://a.example"}`, ".url", "use https"},
		{`{"url":"ftp://a.example"}`, ".url", "https URL"},
		{`{"url":"a.example/in"}`, ".url", "https URL"},
		{`{"url":"https:a.example"}`, ".url", "no host"},
		{`{"url":"https:///in"}`, ".url", "no host"},
		{`{"url":"https://:443/in"}`, ".url", "no name of DNS"},
		{`{"url":"https://u:hunter2@a.example"}`, ".url", "user or password"},
		{`{"url":"https://@a.example"}`, ".url", "user or password"},
		{`{"url":"https://a.example/#top"}`, ".url", "fragment"},
		{`{"url":"https://a.example/#"}`, ".url", "fragment"},
		{`{"url":"https://a.example:/"}`, ".url", "wants a port"},
		{`{"url":"https://a.example:0/"}`, ".url", "1 to 65535"},
		{`{"url":"https://a.example:65536/"}`, ".url", "1 to 65535"},
		{`{"url":"https://a.example:25/"}`, ".url", "443 and 80"},
		{`{"url":"https://a.example:22/"}`, ".url", "443 and 80"},
		{`{"url":"https://a..example/"}`, ".url", "no name of DNS"},
		{`{"url":"https://a.example./"}`, ".url", "no name of DNS"},
		{`{"url":"https://bücher.example/"}`, ".url", "xn--"},
		{`{"url":"https://-a.example/"}`, ".url", "no name of DNS"},
		{`{"url":"https://a b.example/"}`, ".url", "no URL"},
		{`{"url":"https://a.example/\r\nX: y"}`, ".url", "no URL"},
		{`{"url":"https://2130706433/"}`, ".url", "neither a name nor an address"},
		{`{"url":"https://127.1/"}`, ".url", "neither a name nor an address"},
		{`{"url":"https://0x7f.0x1/"}`, ".url", "neither a name nor an address"},
		{`{"url":"https://0177.0.0.1/"}`, ".url", "neither a name nor an address"},
		{`{"url":"https://[fe80::1%25eth0]/"}`, ".url", "zone"},
		{`{"url":"https://a.example/` + strings.Repeat("x", 2048) + `"}`, ".url", "at most 2048"},
		{`{"url":"https://a.example","timeout":"10"}`, ".timeout", "with its unit"},
		{`{"url":"https://a.example","timeout":"0s"}`, ".timeout", "with its unit"},
		{`{"url":"https://a.example","timeout":"30.001s"}`, ".timeout", "30s"},
		{`{"url":"https://a.example","timeout":10}`, ".timeout", "type"},
		{`{"url":"https://a.example","parallel":-1}`, ".parallel", "1 to 64"},
		{`{"url":"https://a.example","parallel":65}`, ".parallel", "1 to 64"},
		{`{"url":"https://a.example","ca_pem":"hello"}`, ".ca_pem", "PEM"},
		{`{"url":"https://a.example","ca_pem":"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"}`, ".ca_pem", "private keys"},
		{`{"url":"https://a.example","ca_pem":"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"}`, ".ca_pem", "certificate 1"},
		{`{"url":"https://a.example","headers":{"X-A":"1","x-a":"2"}}`, ".headers", "twice"},
		{`{"url":"https://a.example","headers":{"X-A":7}}`, ".headers", "type"},
		{header("", "x"), ".headers", "name of a header"},
		{header("a b", "x"), ".headers", "name of a header"},
		{header("a:", "x"), ".headers", "name of a header"},
		{header("x\r\ny", "x"), ".headers", "name of a header"},
		{header("x-é", "x"), ".headers", "name of a header"},
		{header("x-a", "hunter2\r\nwebhook-id: 1"), ".headers", "printable ASCII"},
		{header("x-a", "hunter2\x00"), ".headers", "printable ASCII"},
		{header("x-a", " x"), ".headers", "printable ASCII"},
		{header("x-a", strings.Repeat("x", 1025)), ".headers", "1024"},
		{header("Webhook-Signature", "x"), ".headers", "not for settings"},
		{header("WEBHOOK-anything", "x"), ".headers", "not for settings"},
		{header("Meridian-Replay", "x"), ".headers", "not for settings"},
		{header("ce-id", "x"), ".headers", "not for settings"},
		{header("Content-Type", "x"), ".headers", "not for settings"},
		{header("content-length", "1"), ".headers", "not for settings"},
		{header("Host", "x"), ".headers", "not for settings"},
		{header("Transfer-Encoding", "chunked"), ".headers", "not for settings"},
		{header("Connection", "x"), ".headers", "not for settings"},
		{header("Authorization", "Bearer hunter2"), ".headers", "not for settings"},
		{header("Proxy-Authorization", "hunter2"), ".headers", "not for settings"},
		{header("Cookie", "hunter2"), ".headers", "not for settings"},
	} {
		_, err := webhook.Parse([]byte(row.settings), webhook.Options{})
		var e *errs.Error
		if !errors.As(err, &e) || e.Reason != errs.ReasonInvalidArgument || e.Fields["field"] != "sink.webhook"+row.field ||
			!strings.Contains(e.Message, row.message) {
			t.Errorf("%.100s: %v; want sink.webhook%s: …%s…", row.settings, err, row.field, row.message)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
}

func TestParse_BoundsHeaders(t *testing.T) {
	many := map[string]string{}
	for i := range 33 {
		many["x-"+strings.Repeat("a", i+1)] = "v"
	}
	text, err := json.Marshal(map[string]any{"url": "https://a.example", "headers": many})
	must(t, err)
	if _, err := webhook.Parse(text, webhook.Options{}); err == nil {
		t.Error("33 headers are taken")
	}
}

func TestCheckSecret_TakesWhatTheStandardWrites(t *testing.T) {
	bytes := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, row := range []struct {
		secret string
		ok     bool
	}{
		{string(webhook.MakeSecret()), true},
		{"whsec_" + bytes(24), true},
		{"whsec_" + bytes(64), true},
		{"whsec_" + bytes(23), false},
		{"whsec_" + bytes(65), false},
		{"whsec_", false},
		{"", false},
		{bytes(32), false},
		{"WHSEC_" + bytes(32), false},
		{" whsec_" + bytes(32), false},
		{"whsec_" + bytes(32) + "\n", false},
		{"whsec_" + strings.TrimRight(bytes(32), "="), false},
		{"whsec_" + strings.Repeat("-", 44), false},
		{"whsk_" + bytes(32), true},
		{"whsk_" + bytes(31), false},
		{"whsk_" + bytes(33), false},
		{"whsk_" + bytes(64), false}, // the public half is another's
		{"whpk_" + bytes(32), false},
	} {
		if err := webhook.CheckSecret([]byte(row.secret)); (err == nil) != row.ok {
			t.Errorf("%q: %v", row.secret, err)
		}
	}
	if a, b := webhook.MakeSecret(), webhook.MakeSecret(); string(a) == string(b) {
		t.Error("two secrets are the same")
	}
}

func TestNew_Refuses(t *testing.T) {
	good := event.SinkSpec{Kind: "webhook", Settings: []byte(`{"url":"https://a.example"}`)}
	secret := event.Secret{ID: "one", Value: webhook.MakeSecret()}
	nine := make([]event.Secret, event.MaxSecrets+1)
	for i := range nine {
		nine[i] = secret
	}
	for _, row := range []struct {
		spec    event.SinkSpec
		secrets []event.Secret
		field   string
	}{
		{good, []event.Secret{secret}, ""},
		{event.SinkSpec{Kind: "kafka", Settings: good.Settings}, []event.Secret{secret}, "sink.kind"},
		{event.SinkSpec{Kind: "webhook", Settings: []byte(`{}`)}, []event.Secret{secret}, "sink.webhook.url"},
		{good, nil, "secrets"},
		{good, nine, "secrets"},
		{good, []event.Secret{secret, {ID: "two", Value: []byte("hunter2")}}, "secrets[1].value"},
	} {
		s, err := webhook.New(row.spec, row.secrets, webhook.Options{})
		if row.field == "" {
			must(t, err)
			must(t, s.Close())
			continue
		}
		var e *errs.Error
		if !errors.As(err, &e) || e.Fields["field"] != row.field || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want one of %s", err, row.field)
		}
	}
}
