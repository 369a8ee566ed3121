package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

const acmeSecret = "whsec_of_the_tests_of_acme"

// acmeFile is a file of one provider with more settings, and the file of its secret.
func acmeFile(t *testing.T, more string) (file, secret string) {
	t.Helper()
	dir := t.TempDir()
	file, secret = filepath.Join(dir, "providers.yaml"), filepath.Join(dir, "secret")
	text := `providers:
  acme:
    ledger: brand-eu
    verify: [{scheme: stripe, secrets: [{file: ` + secret + `}]}]
    fields: {event_id: id, type: type, payment: data.payment, reference: data.reference, amount: data.amount, currency: data.currency, occurred_at: created}
    triggers: {payment.authorized: authorize, payment.captured: capture, payment.settled: settle, payment.declined: void}
` + more
	for name, content := range map[string]string{file: text, secret: acmeSecret + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file, secret
}

func TestProvider_TenThousandCallbacksAtOnceAreStoredOnceEach(t *testing.T) {
	d := postgres(t)
	file, secret := acmeFile(t, "")
	s := serving(t, d.URL, "--providers", file)
	s.furnish(t)
	if line := s.logged(t, "callbacks of providers are taken"); fmt.Sprint(line["providers"]) != "[acme]" {
		t.Errorf("the log says %v", line)
	}
	profile := simulate.Profile{
		Seed: 11, Payments: 4000, Callbacks: 10_000, Spread: 5 * time.Second, Step: time.Second, Delay: time.Second, Duplicate: 0.3, Reorder: 0.3, Flood: true, Contradict: 0.01,
	}
	out := ok(t, "provider", "simulate", "acme", "--server", s.URL, "--secret-file", secret, "--seed", "11", "--payments", "4000", "--callbacks", "10000", "--duplicate", "0.3",
		"--reorder", "0.3", "--contradict", "0.01", "--flood", "--retry-for", "0s", "--json")
	var report simulate.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Taken != 10_000 || len(report.Statuses) != 1 || report.Statuses[http.StatusOK] != 10_000 {
		t.Errorf("not every answer is 200: %s", out)
	}
	t.Logf("%d callbacks in %s, %.0f a second; p99 %s", report.Taken, report.Took, report.Rate(), report.P99)
	script := simulate.Write(profile, nil)
	said := map[string]bool{} // each event with what is said of it
	for _, p := range script.Postings {
		said[fmt.Sprint(p.Events[0].ID, p.Events[0].Type, p.Events[0].Amount)] = true
	}
	var rows, events, repeats int
	const sql = `SELECT count(*), count(DISTINCT split_part(provider_event_id, '~', 1)), count(*) - count(DISTINCT provider_event_id) FROM callback WHERE provider = 'acme'`
	if err := d.DB.Reader().QueryRow(t.Context(), sql).Scan(&rows, &events, &repeats); err != nil {
		t.Fatal(err)
	}
	if posted := len(script.Posted()); events != posted || repeats != 0 || rows != len(said) || posted > 9_500 {
		t.Errorf("%d rows of %d events, %d twice; posted were %d events, with %d meanings", rows, events, repeats, posted, len(said))
	}
	metrics := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/metrics", "")
	if want := fmt.Sprintf("meridian_callbacks_received_total{provider=\"acme\",region=\"here\"} %d\n", events); !strings.Contains(metrics.body, want) {
		t.Errorf("/metrics has no %s", want)
	}
	s.terminate(t)
	if code := s.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestProvider_OperatorsLookAfterDeadCallbacks(t *testing.T) {
	file, secret := acmeFile(t, "    raw: {mode: redacted, redact: [data.amount]}\n")
	s := serving(t, postgres(t).URL, "--providers", file, "--relay=false") // nobody applies anything meanwhile
	s.furnish(t)
	ok(t, "provider", "simulate", "acme", "--server", s.URL, "--secret-file", secret, "--payments", "30", "--flood")
	at := []string{"--ledger", "brand-eu", "--server", s.URL}
	callbacks := func(args ...string) string {
		return ok(t, append(append([]string{"provider", "callbacks"}, args...), at...)...)
	}
	var dead []callbackView
	if err := json.Unmarshal([]byte(callbacks("list", "acme", "--state", "dead", "--json")), &dead); err != nil || len(dead) < 2 {
		t.Fatalf("%d are dead: %v", len(dead), err)
	}
	for _, c := range dead {
		if c.Type != "payment.refunded" || c.Trigger != provider.Unknown || c.Cause != provider.CauseUnknownType || c.Body != nil {
			t.Errorf("%+v", c)
		}
	}
	var shown callbackView
	if err := json.Unmarshal([]byte(callbacks("show", "acme", dead[0].ID)), &shown); err != nil || !strings.Contains(string(shown.Body), `"amount": "[redacted]"`) || shown.Amount == "" {
		t.Errorf("%s: %v", shown.Body, err)
	}
	if got := callbacks("replay", "acme", "--event", dead[0].ID); got != "1 due again\n" {
		t.Errorf("replay: %s", got)
	}
	if got := callbacks("discard", "acme", "--cause", "unknown_type", "--reason", "refunds are booked by hand"); got != fmt.Sprintf("%d discarded\n", len(dead)-1) {
		t.Errorf("discard: %s", got)
	}
	if got := callbacks("list", "acme", "--state", "dead", "--json"); strings.TrimSpace(got) != "[]" {
		t.Errorf("still dead: %s", got)
	}
	if got := callbacks("list", "acme", "--state", "received"); !strings.Contains(got, dead[0].ID+" ") || !strings.HasPrefix(got, "EVENT ") {
		t.Errorf("received: %s", got)
	}
	refused(t, meridian(t, append([]string{"provider", "callbacks", "replay", "acme"}, at...)...), "say which are meant")
	refused(t, meridian(t, append([]string{"provider", "callbacks", "discard", "acme", "--all"}, at...)...), "reason")
	refused(t, meridian(t, append([]string{"provider", "callbacks", "show", "acme", "nobody"}, at...)...), "CALLBACK_NOT_FOUND")
	refused(t, meridian(t, "provider", "callbacks", "list", "acme", "--server", s.URL), "--ledger")
}

func TestProvider_SaysWhatIsWrongWithAFile(t *testing.T) {
	file, _ := acmeFile(t, "    raw: {mode: sealed}\n")
	refused(t, meridian(t, "provider", "check", "--file", file), file+":7:10: raw is mode: none")
	refused(t, meridian(t, "serve", "--database-url", postgres(t).URL, "--providers", file), file+":7:10")
	good, secret := acmeFile(t, "")
	if got := ok(t, "provider", "check", "--file", good); got != "acme: ledger brand-eu, 1 checks, 4 types, bodies none\n" {
		t.Errorf("%s", got)
	}
	if got := ok(t, "provider", "simulate", "acme", "--secret-file", secret, "--payments", "2", "--dry-run"); !strings.Contains(got, "payment.") {
		t.Errorf("%s", got)
	}
	refused(t, meridian(t, "provider", "simulate", "acme", "--secret-file", secret, "--lose", "2"), "--lose: a share is 0 to 1")
}

// clientCertificate writes a certificate for clients that is its own authority, and its key.
func clientCertificate(t *testing.T, subject string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestProvider_ACertificateIsTakenFromItsOwnerAlone(t *testing.T) {
	url := postgres(t).URL
	cert, key := clientCertificate(t, "callbacks.acme.example")
	file, _ := acmeFile(t, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(text), "    verify:")
	_, after, _ = strings.Cut(after, "\n")
	text = []byte(before + "    verify: [{scheme: mtls, authorities: {file: " + cert + "}, subject: CN=callbacks.acme.example}]\n" + after)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, meridian(t, "serve", "--database-url", url, "--providers", file), "this server has no TLS")
	serverCert, serverKey, pool := selfSigned(t)
	s := serving(t, url, "--providers", file, "--tls-cert", serverCert, "--tls-key", serverKey)
	svc := rpc.NewClient(rpc.NewHTTPClient(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, false), s.URL)
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: "brand-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err) // who shows no certificate is served all the same
	}
	simulated := func(more ...string) string {
		return ok(t, append([]string{
			"provider", "simulate", "acme", "--server", s.URL, "--ca-file", serverCert, "--scheme", "none", "--payments", "5", "--flood", "--retry-for", "0s", "--json",
		}, more...)...)
	}
	strangers, strangersKey := clientCertificate(t, "callbacks.acme.example")
	for _, row := range []struct {
		more []string
		want int
	}{{[]string{"--cert", cert, "--key", key}, http.StatusOK}, {[]string{"--cert", strangers, "--key", strangersKey}, http.StatusUnauthorized}, {nil, http.StatusUnauthorized}} {
		var report simulate.Report
		if err := json.Unmarshal([]byte(simulated(row.more...)), &report); err != nil || len(report.Statuses) != 1 || report.Statuses[row.want] != report.Requests {
			t.Errorf("%v: %v, want %d alone: %v", row.more, report.Statuses, row.want, err)
		}
	}
}
