package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// The contract as the first integrators have it on paper, to the letter.
var debit = struct {
	headers []string
	body    string
}{
	[]string{"X-Idempotency-Key: debit_pi_001", "X-Trace-Id: tr_a1b2"},
	`{
"account_id":"acc_42",  "amount":{"minor_units":5000,"currency":"EUR"},  "reason":"payout",  "reference_id":"po_001"
}`,
}

func TestServe_TheSampleContractWorksAsPrinted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := serving(t, d.URL)
		svc := s.furnish(t, "acc_42")
		line := s.logged(t, "serving")
		if line["engine"] != d.Engine || line["region"] != "here" || line["level"] != "INFO" || line["time"] == nil {
			t.Errorf("the log says %v", line)
		}
		client := rpc.NewHTTPClient(nil, false)
		first := ask(t, client, http.MethodPost, s.URL+"/v1/wallet/debit", debit.body, debit.headers...)
		if first.code != http.StatusOK || !regexp.MustCompile(`^\{"status":"committed","entry_id":"[^"]+"\}$`).MatchString(first.body) {
			t.Fatalf("%d %s", first.code, first.body)
		}
		if got := first.header.Get("X-Trace-Id"); got != "tr_a1b2" {
			t.Errorf("X-Trace-Id: %q", got)
		}
		if got := first.header.Get("Idempotency-Replayed"); got != "" {
			t.Errorf("Idempotency-Replayed: %q on the first answer", got)
		}
		again := ask(t, client, http.MethodPost, s.URL+"/v1/wallet/debit", debit.body, debit.headers...)
		if again.code != first.code || again.body != first.body {
			t.Errorf("the repeat got %d %s, the first %s", again.code, again.body, first.body)
		}
		if again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("X-Trace-Id") != "tr_a1b2" {
			t.Errorf("the repeat's headers are %v", again.header)
		}
		a, err := svc.Account(t.Context(), ledger.Ref{Ledger: "brand-eu", Account: "acc_42"}, time.Time{})
		if err != nil || a.Posted().String() != "95000" {
			t.Errorf("acc_42 has %s: %v; want 95000: taken once", a.Posted(), err)
		}
		s.terminate(t)
		if code := s.exit(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if text := s.errors.String(); text != "" {
			t.Errorf("stderr: %s", text)
		}
		for line := range strings.Lines(s.log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	})
}

func TestServe_TheLogTellsTheCommand(t *testing.T) {
	s := serving(t, postgres(t).URL, "--log-level", "debug")
	s.furnish(t, "acc_42")
	ask(t, http.DefaultClient, http.MethodPost, s.URL+"/v1/wallet/debit", debit.body, debit.headers...)
	s.terminate(t)
	s.exit(t, patience)
	for line := range strings.Lines(s.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["trace_id"] == "tr_a1b2" {
			if fields["idempotency_key"] != "debit_pi_001" || fields["ledger"] != "brand-eu" || fields["account"] != "acc_42" || fields["region"] != "here" {
				t.Errorf("the log says %v", fields)
			}
			return
		}
	}
	t.Error("no line of the log has the trace id")
}

func TestServe_HealthReadinessAndMetrics(t *testing.T) {
	d := postgres(t)
	proxy := dbtest.NewProxy(t, d.URL)
	s := serving(t, proxy.URL())
	s.furnish(t, "acc_42")
	if a := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/healthz", ""); a.code != http.StatusOK || strings.TrimSpace(a.body) != `{"status":"ok"}` {
		t.Errorf("/healthz: %d %s", a.code, a.body)
	}
	host := proxy.URL()[strings.LastIndex(proxy.URL(), "@")+1:]
	host = host[:strings.IndexByte(host, '/')]
	want := `{"database":{"engine":"postgresql","hosts":[{"connections":N,"host":"` + host + `"}]},"region":"here","status":"ready"}`
	a := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "")
	if got := regexp.MustCompile(`"connections":\d+`).ReplaceAllString(strings.TrimSpace(a.body), `"connections":N`); a.code != http.StatusOK || got != want {
		t.Errorf("/readyz: %d %s, want %s", a.code, got, want)
	}
	metrics := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/metrics", "")
	for _, want := range []string{
		`meridian_outcomes_total{kind="credit",reason="",region="here"} 1`, `meridian_groups_in_flight{region="here"} 0`,
		`meridian_database_connections{database_region="",region="here"} `, "meridian_rpc_seconds_count{", "meridian_group_commands_count{", "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(metrics.body, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	proxy.Away()
	a = ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "")
	if a.code != http.StatusServiceUnavailable || !strings.Contains(a.body, `"status":"not ready"`) {
		t.Errorf("without a database: %d %s", a.code, a.body)
	}
	for _, driver := range []string{"pgx", "dial", "refused", "SQLSTATE", "postgresql://", "127.0.0.1:"} {
		if strings.Contains(strings.ReplaceAll(a.body, `"host":"`+host, ""), driver) {
			t.Errorf("/readyz shows the driver's text: %s", a.body)
		}
	}
	if a := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/healthz", ""); a.code != http.StatusOK {
		t.Errorf("/healthz without a database: %d; a restart would not help", a.code)
	}
	proxy.Heal()
	for deadline := time.Now().Add(patience); ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "").code != http.StatusOK; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never ready again")
		}
	}
}

// healthOf asks gRPC's health protocol.
func healthOf(ctx context.Context, client *http.Client, url, service string, options ...connect.ClientOption) (string, error) {
	check := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](client, url+"/grpc.health.v1.Health/Check", options...)
	response, err := check.CallUnary(ctx, connect.NewRequest(&healthv1.HealthCheckRequest{Service: service}))
	if err != nil {
		return "", err
	}
	return response.Msg.GetStatus().String(), nil
}

func TestServe_SpeaksEveryProtocolOnOnePort(t *testing.T) {
	s := serving(t, postgres(t).URL)
	h2c, h1 := rpc.NewHTTPClient(nil, true), rpc.NewHTTPClient(nil, false)
	for name, row := range map[string]struct {
		client  *http.Client
		options []connect.ClientOption
	}{
		"gRPC over h2c": {h2c, []connect.ClientOption{connect.WithGRPC()}}, "gRPC-Web over HTTP/1.1": {h1, []connect.ClientOption{connect.WithGRPCWeb()}},
		"Connect over HTTP/1.1": {h1, nil}, "Connect over h2c": {h2c, nil},
	} {
		for _, service := range []string{"", "meridian.ledger.v1.TransactionService"} {
			if got, err := healthOf(t.Context(), row.client, s.URL, service, row.options...); err != nil || got != "SERVING" {
				t.Errorf("%s, service %q: %s, %v", name, service, got, err)
			}
		}
		if _, err := healthOf(t.Context(), row.client, s.URL, "no.such.Service", row.options...); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s: %v, want not_found", name, err)
		}
	}
	a := ask(t, h1, http.MethodPost, s.URL+"/grpc.health.v1.Health/Check", `{}`, "Content-Type: application/json")
	if a.code != http.StatusOK || a.body != `{"status":"SERVING"}` {
		t.Errorf("JSON: %d %s", a.code, a.body)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "meridian test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, pool = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), x509.NewCertPool()
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, pool
}

func TestServe_TLSSpeaksHTTP2(t *testing.T) {
	cert, key, pool := selfSigned(t)
	s := serving(t, postgres(t).URL, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(s.URL, "https://") {
		t.Fatalf("the log says %s", s.URL)
	}
	client := rpc.NewHTTPClient(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, true)
	response, err := client.Get(s.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 || response.TLS == nil {
		t.Errorf("%s over %s", response.Status, response.Proto)
	}
	if got, err := healthOf(t.Context(), client, s.URL, "", connect.WithGRPC()); err != nil || got != "SERVING" {
		t.Errorf("gRPC: %s, %v", got, err)
	}
	ok(t, "account", "create-ledger", "--server", s.URL, "--ca-file", cert, "--ledger", "brand-eu", "--home", "eu", "--asset", "EUR/2")
	stranger := meridian(t, "account", "list", "--server", s.URL, "--ledger", "brand-eu")
	refused(t, stranger)
	if old, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		old.Close()
		t.Error("it takes TLS 1.1")
	}
}
