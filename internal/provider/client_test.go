package provider_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

// deskAt reads a file of providers whose orders go to a server with a certificate of its own.
func deskAt(t *testing.T, s *httptest.Server, timeout string) provider.Desk {
	t.Helper()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	config, err := provider.Parse("providers.yaml", []byte(example+fmt.Sprintf(`    orders:
      url: %s
      timeout: %s
      token: {env: ACME_TOKEN}
      authorities: {file: authority.pem}
`, s.URL, timeout)), func(from provider.Source) ([]byte, error) {
		if from.File == "authority.pem" {
			return authority, nil
		}
		return reveal(from)
	})
	if err != nil {
		t.Fatal(err)
	}
	return config.Desks()["acme"]
}

var payout = provider.Order{Operation: provider.OpPayout, Payment: "p1", Amount: money.FromInt64(1000), Currency: "EUR"}

func TestClient_GivesOrdersOnce(t *testing.T) {
	desk := &simulate.Orders{Manner: func(string, provider.Order) simulate.Manner { return simulate.Manner{Lose: 1, Pending: 1} }}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("the token is %q", r.Header.Get("Authorization"))
		}
		desk.ServeHTTP(w, r)
	}))
	defer s.Close()
	client := deskAt(t, s, "5s")
	if got, err := client.Status(t.Context(), "k"); err != nil || got.State != provider.OrderMissing {
		t.Errorf("before: %+v, %v", got, err)
	}
	if _, err := client.Submit(t.Context(), "k", payout); err == nil {
		t.Error("the answer was lost, and there is none missing")
	}
	for _, want := range []provider.OrderState{provider.OrderPending, provider.OrderDone} {
		if got, err := client.Status(t.Context(), "k"); err != nil || got.State != want || got.Reference != "sim-k" {
			t.Errorf("%+v, %v; want %s", got, err, want)
		}
	}
	if got, err := client.Submit(t.Context(), "k", payout); err != nil || got.State != provider.OrderDone || desk.Moved()["k"] != 1 {
		t.Errorf("again: %+v, %v, moved %v", got, err, desk.Moved())
	}
	if got, err := client.Cancel(t.Context(), "k"); err != nil || got.State != provider.OrderDone {
		t.Errorf("too late: %+v, %v", got, err)
	}
	if got, err := client.Cancel(t.Context(), "other"); err != nil || got.State != provider.OrderCancelled {
		t.Errorf("before it came: %+v, %v", got, err)
	}
}

// Whatever is not said in the provider's own words leaves open what happened.
func TestClient_BelievesNothingElse(t *testing.T) {
	for _, row := range []struct {
		status int
		body   string
		want   provider.OrderState // empty: an error
	}{
		{200, `{"state":"done","reference":"r"}`, provider.OrderDone},
		{202, `{"state":"pending"}`, provider.OrderPending},
		{422, `{"state":"declined","cause":"no_funds"}`, provider.OrderDeclined},
		{404, `{"state":"missing"}`, provider.OrderMissing},
		{409, `{"state":"cancelled"}`, provider.OrderCancelled},
		{404, `not found`, ""},
		{404, `{"state":"done"}`, ""},
		{200, `{"state":"missing"}`, ""},
		{200, `{"state":"fine"}`, ""},
		{200, ``, ""},
		{500, `{"state":"declined"}`, ""},
		{401, `{"state":"declined"}`, ""},
		{302, `{"state":"done"}`, ""},
		{200, `{"state":"done","reference":"` + strings.Repeat("x", 300) + `"}`, ""},
		{200, `{"state":"done"` + strings.Repeat(" ", 70<<10) + `}`, ""},
	} {
		asked := 0
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(row.status)
			_, _ = w.Write([]byte(row.body))
		}))
		got, err := deskAt(t, s, "5s").Submit(t.Context(), "k", payout)
		s.Close()
		if got.State != row.want || (err != nil) != (row.want == "") || asked != 1 {
			t.Errorf("%d %.40s: %+v, %v, asked %d times; want %q", row.status, row.body, got, err, asked, row.want)
		}
	}
}

func TestClient_GivesUpInTime(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	began := time.Now()
	if _, err := deskAt(t, s, "1s").Status(t.Context(), "k"); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestParse_SaysWhatIsWrongWithOrders(t *testing.T) {
	for orders, want := range map[string]string{
		"{url: http://api.acme.example}":                          "write https",
		"{url: https://u:p@api.acme.example}":                     "write the secret as token",
		"{url: https://api.acme.example/}":                        "without a slash",
		"{url: https://api.acme.example, timeout: 2h}":            "timeout is",
		"{url: https://api.acme.example, token: hush-hush-hush}":  "name a file or an environment variable",
		"{url: https://api.acme.example, authorities: {file: x}}": "no PEM certificate",
		"{timeout: 5s}": "url",
		"{url: https://api.acme.example, verify: no}": "verify",
	} {
		_, err := provider.Parse("providers.yaml", []byte(example+"    orders: "+orders+"\n"), reveal)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", orders, err, want)
		}
	}
	if _, err := provider.Parse("providers.yaml", []byte(example+"    orders: {url: http://127.0.0.1:7171}\n"), reveal); err != nil {
		t.Error(err)
	}
}
