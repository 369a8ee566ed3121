package webhook_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

// received is what an endpoint got.
type received struct {
	*http.Request
	body []byte
}

// record starts an endpoint that takes everything and hands it to the test.
func record(t testing.TB, ca *authority, http2 bool) (port string, got chan received) {
	t.Helper()
	got = make(chan received, 16)
	return serve(t, ca.config(t), http2, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		got <- received{r, body}
		w.WriteHeader(http.StatusNoContent)
	}), got
}

func TestDeliver_PostsTheEventSignedByTheStandard(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		ca := newAuthority(t)
		port, got := record(t, ca, http2)
		secret := webhook.MakeSecret()
		s := open(t, given{
			port: port, path: "in?tenant=7", ca: ca, secrets: []event.Secret{{ID: "one", Value: secret}},
			settings: map[string]any{"headers": map[string]string{"x-tenant": "seven"}},
		})
		m := message(1, aBody)
		if e := deliver(t, s, m); e != nil {
			t.Fatal(e)
		}
		r := <-got
		if (r.ProtoMajor == 2) != http2 {
			t.Errorf("spoke %s where HTTP/2 is %v", r.Proto, http2)
		}
		if r.Method != http.MethodPost || r.RequestURI != "/in?tenant=7" || string(r.body) != aBody || r.ContentLength != int64(len(aBody)) {
			t.Errorf("received %s %s, %d bytes: %s", r.Method, r.RequestURI, r.ContentLength, r.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/cloudevents+json", "Webhook-Id": m.ID(), "Meridian-Attempt": "1", "Meridian-Replay": "",
			"X-Tenant": "seven", "User-Agent": "Meridian-Webhook/1", "Accept-Encoding": "",
		} {
			if got := strings.Join(r.Header[name], "|"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		verifier, err := standard.NewWebhook(string(secret))
		must(t, err)
		if err := verifier.Verify(r.body, r.Header); err != nil { // looks at the timestamp too
			t.Errorf("the official library refuses: %v", err)
		}
		if err := verifier.Verify(append(r.body, ' '), r.Header); err == nil {
			t.Error("the official library takes a body that was changed")
		}
	}
}

func TestDeliver_SignsAsTheOfficialLibraryDoes(t *testing.T) {
	ca := newAuthority(t)
	port, got := record(t, ca, false)
	at := time.Unix(1614265330, 0)
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	options := webhook.Options{Now: func() time.Time { return at }}
	s := open(t, given{port: port, ca: ca, secrets: []event.Secret{{Value: []byte(secret)}}, options: options})
	m := message(1, `{"test": 2432232314}`)
	if e := deliver(t, s, m); e != nil {
		t.Fatal(e)
	}
	r := <-got
	verifier, err := standard.NewWebhook(secret)
	must(t, err)
	want, err := verifier.Sign(m.ID(), at, m.Body)
	must(t, err)
	if r.Header.Get("Webhook-Signature") != want || r.Header.Get("Webhook-Timestamp") != "1614265330" {
		t.Errorf("signed %v at %v, want %s", r.Header["Webhook-Signature"], r.Header["Webhook-Timestamp"], want)
	}
}

func TestDeliver_SignsWithAllActiveSecrets(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	whole, seed := base64.StdEncoding.EncodeToString(private), base64.StdEncoding.EncodeToString(private.Seed())
	old, young := webhook.MakeSecret(), webhook.MakeSecret()
	ca := newAuthority(t)
	port, got := record(t, ca, false)
	s := open(t, given{port: port, ca: ca, secrets: []event.Secret{
		{ID: "young", Value: young}, {ID: "pair", Value: []byte("whsk_" + whole)}, {ID: "seed", Value: []byte("whsk_" + seed)}, {ID: "old", Value: old},
	}})
	m := message(1, aBody)
	if e := deliver(t, s, m); e != nil {
		t.Fatal(e)
	}
	r := <-got
	for _, secret := range [][]byte{old, young} {
		verifier, err := standard.NewWebhook(string(secret))
		must(t, err)
		must(t, verifier.Verify(r.body, r.Header))
	}
	stranger, err := standard.NewWebhook(string(webhook.MakeSecret()))
	must(t, err)
	if stranger.Verify(r.body, r.Header) == nil {
		t.Error("a secret that is not active verifies")
	}
	signatures := strings.Split(r.Header.Get("Webhook-Signature"), " ")
	if len(signatures) != 4 || !strings.HasPrefix(signatures[0], "v1,") || signatures[1] != signatures[2] {
		t.Fatalf("signatures: %v", signatures)
	}
	signed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signatures[1], "v1a,"))
	must(t, err)
	content := m.ID() + "." + r.Header.Get("Webhook-Timestamp") + "." + aBody
	if !ed25519.Verify(public, []byte(content), signed) {
		t.Error("the Ed25519 signature does not verify")
	}
}

func TestDeliver_KeepsTheIDInAttemptsAndReplays(t *testing.T) {
	ca := newAuthority(t)
	port, got := record(t, ca, false)
	now := time.Unix(1_700_000_000, 0)
	s := open(t, given{port: port, ca: ca, options: webhook.Options{Now: func() time.Time { now = now.Add(time.Minute); return now }}})
	first, again := message(1, aBody), message(1, aBody)
	again.Attempts, again.Replay = 4, "after-the-outage"
	for _, m := range []sink.Message{first, again, message(2, aBody)} {
		if e := deliver(t, s, m); e != nil {
			t.Fatal(e)
		}
	}
	a, b, c := <-got, <-got, <-got
	if a.Header.Get("Webhook-Id") != b.Header.Get("Webhook-Id") || a.Header.Get("Webhook-Id") == "" {
		t.Errorf("the id was %q and is %q", a.Header.Get("Webhook-Id"), b.Header.Get("Webhook-Id"))
	}
	if b.Header.Get("Meridian-Attempt") != "5" || b.Header.Get("Meridian-Replay") != "after-the-outage" {
		t.Errorf("attempt %q of replay %q", b.Header.Get("Meridian-Attempt"), b.Header.Get("Meridian-Replay"))
	}
	if a.Header.Get("Webhook-Timestamp") == b.Header.Get("Webhook-Timestamp") || a.Header.Get("Webhook-Signature") == b.Header.Get("Webhook-Signature") {
		t.Error("a later attempt has the timestamp of the first")
	}
	if c.Header.Get("Meridian-Attempt") != "1" || c.Header["Meridian-Replay"] != nil {
		t.Errorf("the next event is attempt %q of replay %v", c.Header.Get("Meridian-Attempt"), c.Header["Meridian-Replay"])
	}
}

// Calls side by side do not get into each other's headers.
func TestDeliver_SignsEachOfManyAtOnce(t *testing.T) {
	const calls = 64
	ca := newAuthority(t)
	secret := webhook.MakeSecret()
	verifier, err := standard.NewWebhook(string(secret))
	must(t, err)
	var seen sync.Map
	port := serve(t, ca.config(t), true, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, verifier.Verify(body, r.Header)); err != nil || !strings.HasSuffix(string(body), r.Header.Get("Webhook-Id")) {
			t.Errorf("%s of %s: %v", body, r.Header.Get("Webhook-Id"), err)
		}
		seen.Store(r.Header.Get("Webhook-Id"), true)
	})
	s := open(t, given{port: port, ca: ca, secrets: []event.Secret{{ID: "one", Value: secret}}})
	var all sync.WaitGroup
	for n := range byte(calls) {
		all.Go(func() {
			m := message(n, "")
			m.Body = []byte("this is " + m.ID())
			if _, err := s.Deliver(context.Background(), []sink.Message{m}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	count := 0
	seen.Range(func(any, any) bool { count++; return true })
	if count != calls {
		t.Errorf("%d of %d arrived", count, calls)
	}
}

// The names go out as the specification writes them, in lower case, also where HTTP/1 would not mind.
func TestDeliver_WritesHeadersInLowerCase(t *testing.T) {
	lines := make(chan string, 64)
	port := serveRaw(t, func(c net.Conn) {
		defer c.Close()
		defer close(lines)
		for in := bufio.NewScanner(c); in.Scan() && in.Text() != ""; {
			lines <- in.Text()
		}
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	s := open(t, given{options: webhook.Options{AllowHTTP: true}, settings: map[string]any{"url": "http://" + host + ":" + port}})
	if e := deliver(t, s, message(1, aBody)); e != nil {
		t.Fatal(e)
	}
	found := 0
	for line := range lines {
		if strings.HasPrefix(line, "webhook-id: ") || strings.HasPrefix(line, "webhook-timestamp: ") || strings.HasPrefix(line, "webhook-signature: v1,") {
			found++
		}
	}
	if found != 3 {
		t.Errorf("%d of 3 headers", found)
	}
}

func TestShape_SaysOneEventACall(t *testing.T) {
	for _, row := range []struct {
		settings map[string]any
		want     int
	}{{nil, 8}, {map[string]any{"parallel": 64}, 64}} {
		s := open(t, given{port: "443", settings: row.settings})
		if got := s.Shape(); got != (sink.Shape{Batch: 1, Parallel: row.want}) {
			t.Errorf("%v: %+v", row.settings, got)
		}
	}
}
