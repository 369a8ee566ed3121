package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// serve runs a server on a port of its own until the test ends, and returns its base URL.
func serve(t testing.TB, svc ledger.Service, o Options) string {
	t.Helper()
	return listen(t, NewServer(NewHandler(svc, o), nil))
}

// listen lets a server serve on a port of its own until the test ends, and returns its base URL.
func listen(t testing.TB, server *http.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}

// surface is a way to speak to the server.
type surface struct {
	name    string
	http2   bool
	options []connect.ClientOption
}

var surfaces = []surface{
	{"connect", false, nil},
	{"connect-h2c", true, nil},
	{"grpc", true, []connect.ClientOption{connect.WithGRPC()}},
	{"grpc-web", false, []connect.ClientOption{connect.WithGRPCWeb()}},
	{"json", false, []connect.ClientOption{connect.WithProtoJSON()}},
	{"json-gzip", false, []connect.ClientOption{connect.WithProtoJSON(), connect.WithSendGzip()}},
	{"grpc-json", true, []connect.ClientOption{connect.WithGRPC(), connect.WithProtoJSON()}},
	{"get", false, []connect.ClientOption{connect.WithHTTPGet()}},
}

func httpClient(t testing.TB, http2 bool) *http.Client {
	c := NewHTTPClient(nil, http2)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (s surface) client(t testing.TB, base string) *Client {
	return NewClient(httpClient(t, s.http2), base, s.options...)
}

// onEach runs a test on every surface.
func onEach(t *testing.T, test func(t *testing.T, s surface)) {
	for _, s := range surfaces {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// wallets is a model with a ledger, shop-eu, two accounts, acc_42 with 100.00 EUR and acc_43 with nothing, and a clock.
func wallets(t testing.TB) (*ledgertest.Model, *ledgertest.Clock) {
	t.Helper()
	clock := ledgertest.NewClock()
	m := ledgertest.NewModel(clock.Now)
	asset, err := money.ParseAsset("EUR/2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreateLedger(t.Context(), ledger.Ledger{ID: "shop-eu", Home: "eu", Assets: []money.Asset{asset}}); err != nil {
		t.Fatal(err)
	}
	do := func(c ledger.Command) {
		c.Ledger = "shop-eu"
		if o, err := ledger.Do(t.Context(), m, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%s: %v %v", c.Key, o, err)
		}
	}
	do(ledger.Command{Kind: ledger.KindOpen, Key: "open-42", Account: "acc_42", Terms: &ledger.Terms{
		Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{}),
	}})
	do(ledger.Command{Kind: ledger.KindOpen, Key: "open-43", Account: "acc_43", Terms: &ledger.Terms{
		Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{}),
	}})
	do(ledger.Command{Kind: ledger.KindCredit, Key: "fill", Account: "acc_42", Amount: &ledger.Money{Minor: money.FromInt64(10_000), Asset: "EUR"}})
	return m, clock
}

// reply is an answer over plain HTTP.
type reply struct {
	status  int
	header  http.Header
	trailer http.Header
	body    []byte
}

// send is what curl does: headers are pairs.
func send(t testing.TB, method, url string, body []byte, headers ...string) reply {
	t.Helper()
	return sendOver(t, sharedHTTP, method, url, body, headers...)
}

var sharedHTTP = NewHTTPClient(nil, false)

func sendOver(t testing.TB, client *http.Client, method, url string, body []byte, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer of %s: %v", url, err)
	}
	return reply{resp.StatusCode, resp.Header, resp.Trailer, out}
}

// wireError is the JSON of an error as Connect prints it.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

// refusal is what an error says, however it came.
type refusal struct {
	code, message, reason, domain, field, violation string
	wait                                            time.Duration // of google.rpc.RetryInfo
}

func (w wireError) refusal(t testing.TB) refusal {
	t.Helper()
	r := refusal{code: w.Code, message: w.Message}
	for _, d := range w.Details {
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatalf("detail %s: %v", d.Type, err)
		}
		switch d.Type {
		case "google.rpc.ErrorInfo":
			var info errdetails.ErrorInfo
			if err := proto.Unmarshal(raw, &info); err != nil {
				t.Fatal(err)
			}
			r.reason, r.domain = info.GetReason(), info.GetDomain()
		case "google.rpc.RetryInfo":
			var retry errdetails.RetryInfo
			if err := proto.Unmarshal(raw, &retry); err != nil {
				t.Fatal(err)
			}
			r.wait = retry.GetRetryDelay().AsDuration()
		case "google.rpc.BadRequest":
			var bad errdetails.BadRequest
			if err := proto.Unmarshal(raw, &bad); err != nil {
				t.Fatal(err)
			}
			r.field, r.violation = bad.GetFieldViolations()[0].GetField(), bad.GetFieldViolations()[0].GetDescription()
		}
	}
	return r
}

func (r reply) refusal(t testing.TB) refusal {
	t.Helper()
	var w wireError
	if err := json.Unmarshal(r.body, &w); err != nil {
		t.Fatalf("the error is no JSON: %v: %d %s", err, r.status, r.body)
	}
	return w.refusal(t)
}

// records keeps log lines.
type records struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.Write(p)
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// line waits for the line of a trace: it is written just after the answer went out.
func (r *records) line(t testing.TB, trace string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, l := range r.all() {
			if strings.Contains(l, `"trace_id":"`+trace+`"`) {
				var out map[string]any
				if err := json.Unmarshal([]byte(l), &out); err != nil {
					t.Fatal(err)
				}
				return out
			}
		}
	}
	t.Fatalf("no line of %s in %q", trace, r.all())
	return nil
}

func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Split(strings.TrimSpace(r.lines.String()), "\n")
}
