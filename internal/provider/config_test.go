package provider_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/provider"
)

func TestParse_TheExampleIsRight(t *testing.T) {
	t.Setenv("ACME_SECRET", secret)
	t.Setenv("ADYEN_HMAC_KEY", adyenKey)
	c, err := provider.Load("../../examples/providers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if names := fmt.Sprint(c.Names()); names != "[acme adyen-eu]" {
		t.Errorf("%s", names)
	}
	a := c.Accounts["adyen-eu"]
	if a.Ledger != "brand-eu" || len(a.Checks) != 2 || a.TriggerOf("AUTHORISATION/false") != "void" || a.TriggerOf("REPORT_AVAILABLE/true") != provider.Ignored ||
		a.TriggerOf("CHARGEBACK/true") != provider.Unknown || a.Answer != "[accepted]" || c.TLS() {
		t.Errorf("%+v", a)
	}
}

func TestParse_NamesThePlaceAndTheRemedy(t *testing.T) {
	for _, row := range []struct{ name, from, to, want string }{
		{"nothing", example, "", "p.yaml:1:1: the file is empty; write providers, with an account under each name"},
		{"a name", "  acme:", "  Acme:", `p.yaml:2:3: a provider is "Acme"; write 1 to 32 of a-z 0-9 -, starting with a letter`},
		{"a ledger", "brand-eu", "Brand", `p.yaml:3:13: ledger is "Brand"; write the id of the ledger that the payments are in`},
		{"a field", "ledger:", "books:", `provider acme has no field "books"`},
		{"a scheme", "scheme: stripe", "scheme: paypal", `p.yaml:5:17: scheme is "paypal"; write stripe, standard-webhooks, adyen, mtls or ip`},
		{"a field of another scheme", "scheme: stripe", "scheme: stripe\n        allow: [10.0.0.0/8]", "p.yaml:6:16: the scheme stripe has no allow; its fields are secrets, header, tolerance"},
		{"a secret in the file", "{env: ACME_SECRET}", secret, "p.yaml:6:19: name a file or an environment variable"},
		{"an absent secret", "ACME_SECRET", "absent", "p.yaml:6:19: there is none"},
		{"two sources", "{env: ACME_SECRET}", "{env: A, file: B}", "p.yaml:6:19: name a file or an environment variable"},
		{"no secrets", "        secrets: [{env: ACME_SECRET}]\n", "", "p.yaml:5:9: a check has no secrets"},
		{"a secret of another form", "scheme: stripe", "scheme: adyen", "p.yaml:6:19: the secret can not be used: it is not the hexadecimal form of a key"},
		{"a tolerance", "scheme: stripe", "scheme: stripe\n        tolerance: 2h", `tolerance is "2h"; write a time of 1s to 1h0m0s`},
		{"a path", "event_id: id", "event_id: data..id", `a path is names with dots between them`},
		{"no payment", "payment: data.payment, reference: data.reference, ", "", "fields has neither payment nor reference"},
		{"a trigger", "payment.settled: settled", "payment.settled: Settled!", `a trigger is "Settled!"; write 1 to 32 of a-z and _, or ignore`},
		{"a reserved trigger", "payment.settled: settled", "payment.settled: unknown", `a trigger is "unknown"`},
		{"items without a list", "    patience: 1h", "    patience: 1h\n    items: events", "items names no list"},
		{"raw", "    patience: 1h", "    raw: {mode: encrypted}", "raw is mode: none, or mode: encrypted with keys"},
		{"a key", "    patience: 1h", "    raw: {mode: encrypted, keys: [{id: k1, file: k}]}", "the file does not hold the base64 of 32 random bytes"},
		{"a prefix", "scheme: stripe", "scheme: ip\n        allow: [10.0.0.1/8]", `"10.0.0.1/8" is no address and no prefix`},
		{"a header without proxies", "scheme: stripe", "scheme: ip\n        header: X-Forwarded-For\n        allow: [10.0.0.0/8]", "trusted_proxies and header belong together"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(example, row.from, row.to, 1)
			if text == example {
				t.Fatal("the row changes nothing")
			}
			if row.to == "scheme: ip\n        allow: [10.0.0.1/8]" {
				text = strings.Replace(text, "        secrets: [{env: ACME_SECRET}]\n", "", 1)
			}
			_, err := provider.Parse("p.yaml", []byte(text), reveal)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got  %v\nwant %s", err, row.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestAccount_ShowsNoSecret(t *testing.T) {
	c := acme()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, *c.Accounts["acme"]); strings.Contains(text, secret) {
			t.Errorf("%s shows the secret", format)
		}
	}
}

// normalised is what acme, or a change of it, makes of a body.
func normalised(t *testing.T, change, body string) []provider.Envelope {
	t.Helper()
	text := example
	if from, to, found := strings.Cut(change, " => "); found {
		text = strings.Replace(text, from, to, 1)
	}
	c, err := provider.Parse("p.yaml", []byte(text), reveal)
	if err != nil {
		t.Fatal(err)
	}
	return c.Accounts["acme"].Normalise(&provider.Request{Body: []byte(body), Header: http.Header{"Event": {"evt_h"}}}, home, time.Unix(2000, 0).UTC())
}

func TestNormalise_MakesOneFormOfAll(t *testing.T) {
	const full = `{"id":"evt_1","type":"payment.captured","created":1000,"data":{"payment":"p1","reference":"r1","amount":1250,"currency":"eur"}}`
	for _, row := range []struct {
		name, change, body string
		want               string // id type trigger payment reference amount currency occurred cause
	}{
		{"all of it", "", full, "evt_1 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"a time in words", "", strings.Replace(full, "1000", `"2026-01-02T03:04:05.678+02:00"`, 1), "evt_1 payment.captured captured p1 r1 1250 EUR 2026-01-02T01:04:05.678Z "},
		{"a time in milliseconds", "", strings.Replace(full, "1000", "1767322800123", 1), "evt_1 payment.captured captured p1 r1 1250 EUR 2026-01-02T03:00:00.123Z "},
		{"a time that is none", "", strings.Replace(full, "1000", `"soon"`, 1), "evt_1 payment.captured captured p1 r1 1250 EUR - "},
		{"units", "currency: data => decimals: 2, currency: data", strings.Replace(full, "1250", `"12.5"`, 1), "evt_1 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"no amount", "", strings.Replace(full, `"amount":1250,`, "", 1), "evt_1 payment.captured captured p1 r1 - EUR 1970-01-01T00:16:40Z "},
		{"an amount that is none", "", strings.Replace(full, "1250", "12.5", 1), "evt_1 payment.captured captured p1 r1 - EUR 1970-01-01T00:16:40Z bad_amount"},
		{"a huge amount", "", strings.Replace(full, "1250", "1e300", 1), "evt_1 payment.captured captured p1 r1 - EUR 1970-01-01T00:16:40Z bad_amount"},
		{"a currency that is none", "", strings.Replace(full, "eur", "€", 1), "evt_1 payment.captured captured p1 r1 - - 1970-01-01T00:16:40Z bad_amount"},
		{"an unknown type", "", strings.Replace(full, "captured", "split", 1), "evt_1 payment.split unknown p1 r1 1250 EUR 1970-01-01T00:16:40Z unknown_type"},
		{"an ignored type", "", strings.Replace(full, "captured", "viewed", 1), "evt_1 payment.viewed ignored p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"no id", "", strings.Replace(full, `"id"`, `"no"`, 1), "sha256 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z no_event_id"},
		{"an id with a space", "", strings.Replace(full, "evt_1", "evt 1", 1), "sha256 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z no_event_id"},
		{"an id that is a list", "", strings.Replace(full, `"evt_1"`, `["a"]`, 1), "sha256 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z no_event_id"},
		{"the id of several", "event_id: id => event_id: [id, data.reference]", full, "evt_1/r1 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"the id of a header", "event_id: id => event_id: header:Event", full, "evt_h payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"a pointer", "event_id: id => event_id: /data/payment", full, "p1 payment.captured captured p1 r1 1250 EUR 1970-01-01T00:16:40Z "},
		{"no JSON", "", `{"id":`, "sha256 - unknown - - - - - unreadable"},
		{"two values", "", full + "{}", "sha256 - unknown - - - - - unreadable"},
		{"nothing", "", "", "sha256 - unknown - - - - - unreadable"},
		{"a list", "", "[1]", "sha256 - unknown - - - - - no_event_id"},
		{"a form", "patience: 1h => format: form", "id=evt_2&type=payment.settled&x=1", "evt_2 payment.settled settled - - - - - "},
		{"no items", "patience: 1h => items: events[]", full, "sha256 - unknown - - - - - unreadable"},
	} {
		t.Run(row.name, func(t *testing.T) {
			all := normalised(t, row.change, row.body)
			if len(all) != 1 {
				t.Fatalf("%d envelopes", len(all))
			}
			if got := line(all[0]); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if e := all[0]; e.Home != home || e.Ledger != books || e.Provider != "acme" || !e.ReceivedAt.Equal(time.Unix(2000, 0)) || len(e.Key()) > 255 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func line(e provider.Envelope) string {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	amount, at, name := "-", "-", e.ID
	if e.HasAmount {
		amount = e.Amount.String()
	}
	if !e.OccurredAt.IsZero() {
		at = e.OccurredAt.Format(time.RFC3339Nano)
	}
	if strings.HasPrefix(name, "sha256:") {
		name = "sha256"
	}
	return fmt.Sprintf("%s %s %s %s %s %s %s %s %s", name, dash(e.Type), e.Trigger, dash(e.Payment), dash(e.Reference), amount, dash(string(e.Currency)), at, e.Cause)
}

func TestNormalise_PartsABatchAndLosesNothingOfIt(t *testing.T) {
	all := normalised(t, "patience: 1h => items: events[].event", `{"events":[{"event":{"id":"a","type":"payment.captured"}},{"event":{"id":"b","type":"new"}},{"event":null}]}`)
	if len(all) != 3 || all[0].ID != "a" || all[0].Cause != "" || all[1].ID != "b" || all[1].Cause != provider.CauseUnknownType || all[2].Cause != provider.CauseNoID {
		t.Errorf("%+v", all)
	}
}

func TestRaw_IsEncryptedForItsEventOrRedactedOrNotKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	key := make([]byte, provider.KeySize)
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ACME_SECRET", secret)
	const text = `{"id":"evt_1","type":"payment.captured","data":{"card":{"number":"4111"},"list":[{"mail":"a@b"},{"mail":"c@d"}]}}`
	account := func(raw string) *provider.Account {
		c, err := provider.Parse("p.yaml", []byte(strings.Replace(example, "patience: 1h", "raw: "+raw, 1)), provider.System)
		if err != nil {
			t.Fatal(err)
		}
		return c.Accounts["acme"]
	}
	sealed := account("{mode: encrypted, keys: [{id: k1, file: "+file+"}]}").Normalise(&provider.Request{Body: []byte(text)}, home, time.Now())[0]
	if sealed.Raw.Mode != provider.RawEncrypted || sealed.Raw.KeyID != "k1" || strings.Contains(string(sealed.Raw.Bytes), "4111") {
		t.Errorf("%+v", sealed.Raw)
	}
	vault := provider.NewVault()
	if err := vault.Add("k1", key); err != nil {
		t.Fatal(err)
	}
	if body, err := vault.Open(sealed); err != nil || string(body) != text {
		t.Errorf("%s, %v", body, err)
	}
	other := sealed
	other.ID = "evt_2"
	if _, err := vault.Open(other); err != provider.ErrSealed {
		t.Errorf("the body of one event opens for another: %v", err)
	}
	redacted := account("{mode: redacted, redact: [data.card.number, \"data.list[].mail\", data.absent]}").Normalise(&provider.Request{Body: []byte(text)}, home, time.Now())[0]
	if got := string(redacted.Raw.Bytes); redacted.ID != "evt_1" || got != `{"data":{"card":{"number":"[redacted]"},"list":[{"mail":"[redacted]"},{"mail":"[redacted]"}]},"id":"evt_1","type":"payment.captured"}` {
		t.Errorf("%s", got)
	}
	if none := account("{mode: none}").Normalise(&provider.Request{Body: []byte(text)}, home, time.Now())[0]; none.Raw.Bytes != nil {
		t.Errorf("%+v", none.Raw)
	}
	if broken := account("{mode: redacted, redact: [id]}").Normalise(&provider.Request{Body: []byte("4111")[:3]}, home, time.Now())[0]; broken.Raw.Mode == provider.RawEncrypted {
		t.Errorf("%+v", broken.Raw)
	}
}

// Whatever a provider sends becomes envelopes that a table takes.
func FuzzNormalise(f *testing.F) {
	f.Add([]byte(adyenSample))
	f.Add([]byte(`{"id":1e999,"type":true,"created":-1,"data":{"amount":{"a":1},"payment":"\ud800","currency":5}}`))
	f.Add([]byte("{\"id\":\"\xff\x00\",\"type\":\"\\u0000\"}"))
	f.Add([]byte(strings.Repeat("[", 5000)))
	accounts := []*provider.Account{acme().Accounts["acme"]}
	for _, change := range []string{"items: events[]", "items: events[]\n    format: form", "format: form"} {
		c := must(provider.Parse("p.yaml", []byte(strings.Replace(example, "patience: 1h", change, 1)), reveal))
		accounts = append(accounts, c.Accounts["acme"])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range accounts {
			all := a.Normalise(&provider.Request{Body: body, Header: http.Header{}}, home, time.Unix(2000, 0))
			if len(all) == 0 {
				t.Fatal("it is lost")
			}
			for _, e := range all {
				if e.ID == "" || len(e.ID) > provider.MaxID || e.Trigger == "" || e.Trigger == provider.Unknown && e.Cause == "" {
					t.Errorf("%+v", e)
				}
				for _, text := range []string{e.ID, e.Type, e.Payment, e.Reference, e.Detail} {
					if strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text || len(text) > 600 {
						t.Errorf("%q is no text for a table", text)
					}
				}
			}
		}
	})
}

func FuzzParseProviders(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("providers: {a: {verify: [{scheme: ip, allow: [::/0]}], fields: {event_id: [a, header:b], type: /a~1b}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := provider.Parse("p.yaml", text, reveal); err != nil && (!strings.HasPrefix(err.Error(), "p.yaml:") || strings.Contains(err.Error(), secret) && !strings.Contains(string(text), secret)) {
			t.Errorf("%v", err)
		}
	})
}
