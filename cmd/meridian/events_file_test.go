package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func envOf(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestReadSubscription_TheExampleSaysWhatItSays(t *testing.T) {
	got, err := readSubscription("../../examples/subscription.yaml", envOf("PAYOUTS_WEBHOOK_SECRET", "whsec_x"))
	if err != nil {
		t.Fatal(err)
	}
	want := event.NewSubscription{
		ID: "payouts", Homes: []id.Home{"eu"},
		Filter: event.Filter{
			Ledgers: []id.Ledger{"brand-eu"}, AccountPrefixes: []string{"acc_"}, Types: []event.Type{"wallet.*", "hold.*", "transaction.declined"},
		},
		Sink: event.SinkSpec{
			Kind: "webhook", Region: "europe-west1",
			Settings: []byte(`{"headers":{"X-Tenant":"brand-eu"},"parallel":8,"timeout":"10.000000000s","url":"https://payouts.example.com/meridian"}`),
		},
		Secrets: []event.Secret{{ID: "2026-11", Value: []byte("whsec_x")}}, Metadata: ledger.Metadata{"team": "treasury", "pager": "payouts-oncall"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := (event.Subscription{ID: got.ID, State: event.Active, Homes: got.Homes, Filter: got.Filter, Sink: got.Sink, Metadata: got.Metadata}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestReadSubscription_EverySinkHasItsSettings(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("pass\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for sink, want := range map[string]string{
		"webhook: {url: https://x, timeout: 1500ms, ca_file: ca.pem}":                 `{"ca_pem":"PEM","timeout":"1.500000000s","url":"https://x"}`,
		"kafka: {brokers: ['a:1', 'b:2'], topic: t, tls: true, sasl: plain, user: u}": `{"brokers":["a:1","b:2"],"sasl":"plain","tls":true,"topic":"t","user":"u"}`,
		"nats: {servers: ['nats://a:4222'], subject_prefix: p}":                       `{"servers":["nats://a:4222"],"subject_prefix":"p"}`,
		"file: {directory: d, format: parquet, batch: 10, linger: 1m}":                `{"batch":10,"directory":"d","format":"FILE_FORMAT_PARQUET","linger":"60.000000000s"}`,
	} {
		text := "id: a\nhomes: [eu]\nfrom: 2026-11-20T10:00:00Z\nsink:\n  " + sink + "\nsecrets: [{id: b, value_from_file: secret}]\n" +
			"residency_grants: [{home: eu, region: us, reason: because}]\n"
		got, err := parseSubscription(filepath.Join(dir, "s.yaml"), []byte(text), envOf())
		if err != nil || string(got.Sink.Settings) != want || string(got.Secrets[0].Value) != "pass" ||
			!got.Start.Since.Equal(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)) || len(got.Grants) != 1 {
			t.Errorf("%s: %+v %v", sink, got, err)
		}
	}
}

func TestReadSubscription_SaysWhatIsWrongAndWhere(t *testing.T) {
	const head = "id: a\nhomes: [eu]\n"
	for text, want := range map[string]string{
		"":                                    "the file is empty; write id, homes and sink",
		"id: a\nsink: {file: {directory: d}}": "s.yaml:1:1: a subscription has no homes",
		head + "sink: {}":                     "sink does not say where events go",
		head + "sink: {file: {directory: d}, kafka: {}}":                           "a sink is of one kind",
		head + "sink: {webhook: {uri: x}}":                                         `webhook has no field "uri"; the fields are ca_file, headers, parallel, timeout, url`,
		head + "sink: {webhook: {timeout: 10}}":                                    "webhook.timeout is 10; write a time with its unit",
		head + "sink: {webhook: {parallel: many}}":                                 `webhook.parallel is "many"; write a whole number`,
		head + "sink: {kafka: {brokers: [a:1]}}":                                   "kafka.brokers[0] is a mapping to YAML; put it in quotes",
		head + "sink: {kafka: {tls: 1}}":                                           "kafka.tls is 1; write true or false",
		head + "sink: {file: {format: csv}}":                                       `file.format is "csv"; write ndjson or parquet`,
		head + "sink: {webhook: {ca_file: none.pem}}":                              "webhook.ca_file names no file",
		head + "sink: {file: {}}\nfrom: yesterday":                                 `s.yaml:4:7: from is "yesterday"; write now, beginning, or a time`,
		head + "sink: {file: {}}\nsecrets: [{id: x}]":                              "a secret has either value_from_env",
		head + "sink: {file: {}}\nsecrets: [{id: x, value_from_env: UNSET}]":       `the variable "UNSET" is not set`,
		head + "sink: {file: {}}\nsecrets: [{id: x, value_from_file: /none/here}]": "read a secret",
		head + "sink: {file: {}}\nsecrets: [{id: x, value: hush}]":                 "a secret has no field \"value\"; the fields are id, value_from_env, value_from_file",
		head + "sink: {file: {}}\nfilter: {type: [a]}":                             "filter has no field \"type\"",
		head + "sink: {file: {}}\nresidency_grants: [{home: eu}]":                  "a residency grant has no region",
	} {
		_, err := parseSubscription("s.yaml", []byte(text), envOf())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}

func FuzzParseSubscription(f *testing.F) {
	example, err := os.ReadFile("../../examples/subscription.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("id: a\nhomes: [eu]\nsink: {file: {directory: d, batch: 1, linger: 1s}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "_file") { // what is on this machine is not the parser's business
			return
		}
		n, err := parseSubscription("s.yaml", text, envOf())
		if err == nil && (n.Sink.Kind == "" || n.ID == "" || len(n.Homes) == 0) {
			t.Fatalf("%q is %+v", text, n)
		}
	})
}
