package webhook_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

// traces are the forms in which a key could stand in a text: as it was given, decoded, in hex, and as Go prints bytes.
func traces(secret []byte) []string {
	_, text, _ := bytes.Cut(secret, []byte("_"))
	key, _ := base64.StdEncoding.DecodeString(string(text))
	numbers := strings.Trim(fmt.Sprint(string(key[:16])), "[]")
	return []string{string(text[:20]), string(key[:12]), hex.EncodeToString(key[:12]), strings.ToUpper(hex.EncodeToString(key[:12])), numbers}
}

// Whatever happens, and however it is printed, no secret, path, query or configured header stands in errors, logs or formats.
func TestSecrets_AppearNowhere(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	secrets := []event.Secret{
		{ID: "one", Value: webhook.MakeSecret()},
		{ID: "two", Value: append([]byte("whsk_"), base64.StdEncoding.EncodeToString(private)...)},
	}
	ca := newAuthority(t)
	port := serve(t, ca.config(t), false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("redirect") {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return
		}
		panic(http.ErrAbortHandler)
	})
	var out bytes.Buffer
	options := webhook.Options{Log: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	settings := map[string]any{"timeout": "1s", "headers": map[string]string{"x-api-key": "pa55-header"}}
	for _, g := range []given{
		{port: port, ca: ca},
		{port: port, ca: ca, names: names{}},
		{port: port}, // an authority that is not trusted
		{port: port, ca: ca, names: names{host: always("::1")}}, // an address that is not called
		{port: port, ca: ca, path: "pa55-path?redirect=pa55-query"},
	} {
		if g.path == "" {
			g.path = "pa55-path?token=pa55-query"
		}
		g.secrets, g.settings, g.options = secrets, settings, options
		s := open(t, g)
		e := deliver(t, s, message(1, aBody))
		if e == nil {
			t.Fatal("taken")
		}
		fmt.Fprintln(&out, e, e.Detail, e.Cause, errors.Unwrap(e), s)
		inside := ""
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&out, verb, e)
			inside += fmt.Sprintf(verb, s) // settings are in it where String is not asked, which are no secret, but no key
		}
		for _, secret := range secrets {
			for _, trace := range traces(secret.Value) {
				if strings.Contains(inside, trace) {
					t.Error("a format of the sink shows a key")
				}
			}
		}
	}
	for _, secret := range secrets {
		broken := event.Secret{ID: "three", Value: append(bytes.Clone(secret.Value), '!')}
		_, err := webhook.New(event.SinkSpec{Kind: "webhook", Settings: json.RawMessage(`{"url":"https://a.example"}`)}, []event.Secret{broken}, options)
		fmt.Fprintln(&out, err, webhook.CheckSecret(broken.Value))
		if err == nil {
			t.Error("a broken secret is taken")
		}
	}
	text := out.String()
	if !strings.Contains(text, "forbidden_address") || !strings.Contains(text, "secrets[0].value") {
		t.Fatalf("the search looks in the wrong place: %s", text)
	}
	for _, secret := range secrets {
		for _, trace := range traces(secret.Value) {
			if strings.Contains(text, trace) {
				t.Errorf("a secret appears as %q", trace)
			}
		}
	}
	for _, private := range []string{"pa55-header", "pa55-path", "pa55-query"} {
		if strings.Contains(text, private) {
			t.Errorf("%s appears in %s", private, text)
		}
	}
}
