package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meridian-ledger/meridian/internal/errs"
)

func checkOf(s surface, t testing.TB, base string) *connect.Client[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse] {
	return connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](httpClient(t, s.http2), base+"/"+healthName+"/Check", s.options...)
}

func TestHealth_CheckFollowsReadiness(t *testing.T) {
	var ready atomic.Bool
	base := serve(t, nil, Options{Ready: readyWhen(&ready)})
	onEach(t, func(t *testing.T, s surface) {
		check := checkOf(s, t, base)
		for _, c := range []struct {
			ready bool
			want  healthv1.HealthCheckResponse_ServingStatus
		}{{true, healthv1.HealthCheckResponse_SERVING}, {false, healthv1.HealthCheckResponse_NOT_SERVING}} {
			ready.Store(c.ready)
			for _, service := range append(services(), "", healthName) {
				r, err := check.CallUnary(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{Service: service}))
				if err != nil || r.Msg.GetStatus() != c.want {
					t.Errorf("%q: %v %v, wanted %s", service, r, err, c.want)
				}
			}
		}
		_, err := check.CallUnary(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{Service: "no.such.Service"}))
		if connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%v", err)
		}
	})
}

func readyWhen(ready *atomic.Bool) func(context.Context) error {
	return func(context.Context) error {
		if ready.Load() {
			return nil
		}
		return errs.ErrDraining.Because(errors.New("pgx: secret"))
	}
}

func TestHealth_WatchTellsEveryChange(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	base := serve(t, nil, Options{Ready: readyWhen(&ready)})
	s := surfaces[2]
	watch := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](httpClient(t, true), base+"/"+healthName+"/Watch", s.options...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := watch.CallServerStream(ctx, connect.NewRequest(&healthv1.HealthCheckRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{
		healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING, healthv1.HealthCheckResponse_SERVING,
	} {
		if !stream.Receive() || stream.Msg().GetStatus() != want {
			t.Fatalf("%v %v, wanted %s", stream.Msg(), stream.Err(), want)
		}
		ready.Store(want != healthv1.HealthCheckResponse_SERVING)
	}
}

func TestHealth_WatchRefusesWhatItCanNotRead(t *testing.T) {
	base := serve(t, nil, Options{})
	r := sendOver(t, httpClient(t, true), http.MethodPost, base+"/"+healthName+"/Watch", frame(0, []byte{0xff}), "Content-Type", "application/grpc", "Te", "trailers")
	wantInvalid(t, r, r.grpc(t), "body")
}

func TestReflection_ListsEveryService(t *testing.T) {
	base := serve(t, nil, Options{})
	client := grpcreflect.NewClient(httpClient(t, true), base, connect.WithGRPC())
	stream := client.NewStream(t.Context())
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, n := range names {
		listed[string(n)] = true
	}
	for _, want := range append(services(), healthName) {
		if !listed[want] {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	for _, s := range services() {
		if _, err := stream.FileContainingSymbol(protoName(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := stream.Close(); err != nil {
		t.Error(err)
	}
}

func TestReady_SaysWhyNotWithoutTheCause(t *testing.T) {
	var ready atomic.Bool
	base := serve(t, nil, Options{Ready: readyWhen(&ready), Metrics: http.NotFoundHandler()})
	if r := send(t, "GET", base+"/healthz", nil); r.status != 200 || string(r.body) != "{\"status\":\"ok\"}\n" {
		t.Errorf("healthz: %d %s", r.status, r.body)
	}
	r := send(t, "GET", base+"/readyz", nil)
	if r.status != 503 || !strings.Contains(string(r.body), "shutting down") || strings.Contains(string(r.body), "pgx") {
		t.Errorf("readyz: %d %s", r.status, r.body)
	}
	ready.Store(true)
	if r := send(t, "GET", base+"/readyz", nil); r.status != 200 {
		t.Errorf("readyz: %d %s", r.status, r.body)
	}
}

func TestCORS_LetsOnlyKnownOriginsIn(t *testing.T) {
	model, _ := wallets(t)
	base := serve(t, model, Options{DefaultLedger: "shop-eu", AllowedOrigins: []string{"https://shop.example"}})
	preflight := func(origin string) reply {
		return send(t, "OPTIONS", base+"/v1/wallet/debit", nil, "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "content-type,x-idempotency-key,x-trace-id")
	}
	if r := preflight("https://shop.example"); r.status >= 300 || r.header.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		!strings.Contains(strings.ToLower(r.header.Get("Access-Control-Allow-Headers")), "x-idempotency-key") {
		t.Errorf("known: %d %v", r.status, r.header)
	}
	if r := preflight("https://evil.example"); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign: %d %v", r.status, r.header)
	}
	r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k", "Origin", "https://shop.example")
	exposed := strings.ToLower(r.header.Get("Access-Control-Expose-Headers"))
	for _, name := range []string{headerTrace, headerReplayed, headerTransaction, "Retry-After"} {
		if !strings.Contains(exposed, strings.ToLower(name)) {
			t.Errorf("%s is not exposed: %s", name, exposed)
		}
	}
}

func TestTrace_IsTakenFromTheClientWhereItIsHarmless(t *testing.T) {
	base := walletServer(t)
	ours := regexp.MustCompile(`^[0-9a-f]{32}$`)
	w3c := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct{ trace, parent, want string }{
		{"tr_a1b2", "", "tr_a1b2"},
		{"tr_a1b2", w3c, "tr_a1b2"},
		{"", w3c, "0af7651916cd43dd8448eb211c80319c"},
		{"", "00-zz", ""},
		{"", "", ""},
		{"a b", "", ""},
		{"<script>", w3c, "0af7651916cd43dd8448eb211c80319c"},
		{strings.Repeat("x", 129), "", ""},
		{"tr_é", "", ""},
	} {
		for _, path := range []string{"/v1/wallet/debit", debitPath, "/nowhere"} {
			var headers []string
			if c.trace != "" {
				headers = append(headers, headerTrace, c.trace)
			}
			if c.parent != "" {
				headers = append(headers, "Traceparent", c.parent)
			}
			r := send(t, "POST", base+path, []byte(`{"bad":1}`), append(headers, "Content-Type", "application/json")...)
			got := r.header.Values(headerTrace)
			if len(got) != 1 || c.want != "" && got[0] != c.want || c.want == "" && !ours.MatchString(got[0]) {
				t.Errorf("%s with %q, %q: %q", path, c.trace, c.parent, got)
			}
		}
	}
}

func TestLog_HasALinePerCallAtItsLevel(t *testing.T) {
	log := &records{}
	model, _ := wallets(t)
	base := serve(t, model, Options{DefaultLedger: "shop-eu", Log: log.logger()})
	for _, c := range []struct{ trace, body, level, reason, code string }{
		{"l-posted", contract, "DEBUG", "", ""},
		{"l-declined", strings.Replace(contract, "5000", "500000", 1), "INFO", "INSUFFICIENT_FUNDS", ""},
		{"l-invalid", strings.Replace(contract, "5000", "0", 1), "INFO", "", "invalid_argument"},
		{"l-unread", `{"bad":1}`, "INFO", "", "invalid_argument"},
	} {
		send(t, "POST", base+"/v1/wallet/debit", []byte(c.body), "Idempotency-Key", c.trace, headerTrace, c.trace)
		line := log.line(t, c.trace)
		if line["level"] != c.level {
			t.Errorf("%s: %v, wanted level %s", c.trace, line, c.level)
		}
		if c.code == "" && (line["ledger"] != "shop-eu" || line["account"] != "acc_42" || line["idempotency_key"] != c.trace || line["reason"] != c.reason) {
			t.Errorf("%s: %v", c.trace, line)
		}
		if c.code != "" && line["code"] != c.code {
			t.Errorf("%s: %v", c.trace, line)
		}
	}
	for _, l := range log.all() {
		if !json.Valid([]byte(l)) {
			t.Errorf("%s is no JSON", l)
		}
	}
}

func TestMetrics_CountCallsByProcedureAndCode(t *testing.T) {
	registry := prometheus.NewRegistry()
	model, _ := wallets(t)
	base := serve(t, model, Options{DefaultLedger: "shop-eu", Registerer: registry})
	for _, body := range []string{contract, contract, strings.Replace(contract, "5000", "500000", 1), `{"bad":1}`, ``} {
		send(t, "POST", base+"/v1/wallet/debit", []byte(body), "Idempotency-Key", "k")
	}
	got := calls(t, registry)
	if got["ok"] != 2 || got["already_exists"] != 1 || got["invalid_argument"] != 2 {
		t.Errorf("%v", got)
	}
}

func TestJSON_HasTheSameBytesEachTime(t *testing.T) {
	base := walletServer(t)
	body := []byte(`{"ledger":"shop-eu","account_id":"acc_42"}`)
	first := send(t, "POST", base+ours+"LedgerService/GetAccount", body, "Content-Type", "application/json")
	again := send(t, "POST", base+ours+"LedgerService/GetAccount", body, "Content-Type", "application/json")
	if first.status != 200 || !bytes.Equal(first.body, again.body) || bytes.Contains(first.body, []byte(`": `)) {
		t.Errorf("%s\n%s", first.body, again.body)
	}
}

func protoName(s string) protoreflect.FullName { return protoreflect.FullName(s) }

// calls counts what the histogram has seen, by code.
func calls(t testing.TB, registry *prometheus.Registry) map[string]uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "code" {
					got[l.GetValue()] += m.GetHistogram().GetSampleCount()
				}
			}
		}
	}
	return got
}
