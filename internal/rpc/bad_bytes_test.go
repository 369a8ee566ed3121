package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

const debitPath = ours + "TransactionService/Debit"

// wire is a way to put the bytes of a message into a request.
type wire struct {
	name, kind string
	http2      bool
	framed     bool
}

var jsonWires = []wire{
	{"json", "application/json", false, false},
	{"json with charset", "application/json; charset=utf-8", false, false},
	{"grpc json", "application/grpc+json", true, true},
	{"grpc-web json", "application/grpc-web+json", false, true},
}

var protoWires = []wire{
	{"connect", "application/proto", false, false},
	{"grpc", "application/grpc", true, true},
	{"grpc-web", "application/grpc-web+proto", false, true},
}

func frame(flag byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(b))), b...)
}

// send puts bytes on the wire, and returns what the server refuses.
func (w wire) send(t *testing.T, target string, body []byte, headers ...string) (reply, refusal) {
	t.Helper()
	if w.framed {
		body = frame(0, body)
	}
	return w.sendRaw(t, target, body, headers...)
}

func (w wire) sendRaw(t *testing.T, target string, body []byte, headers ...string) (reply, refusal) {
	t.Helper()
	headers = append([]string{"Content-Type", w.kind}, headers...)
	if w.framed {
		headers = append(headers, "Te", "trailers")
	}
	r := sendOver(t, httpClient(t, w.http2), http.MethodPost, target, body, headers...)
	if !w.framed {
		return r, r.refusal(t)
	}
	if r.status != 200 {
		t.Fatalf("gRPC has HTTP status %d: %s", r.status, r.body)
	}
	return r, r.grpc(t)
}

// grpc reads what gRPC says in trailers, or in headers where there is nothing else.
func (r reply) grpc(t testing.TB) refusal {
	t.Helper()
	get := func(name string) string {
		for _, h := range []http.Header{r.trailer, r.header} {
			if v := h.Get(name); v != "" {
				return v
			}
		}
		lower := strings.ToLower(name) + ": "
		if i := strings.Index(strings.ToLower(string(r.body)), lower); i >= 0 { // gRPC-Web, in the body
			line, _, _ := strings.Cut(string(r.body)[i+len(lower):], "\r\n")
			return line
		}
		return ""
	}
	message, err := url.PathUnescape(get("Grpc-Message"))
	if err != nil {
		t.Fatal(err)
	}
	out := refusal{code: map[string]string{"3": "invalid_argument"}[get("Grpc-Status")], message: message}
	if out.code == "" {
		out.code = "grpc-status " + get("Grpc-Status")
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(get("Grpc-Status-Details-Bin"), "="))
	if err != nil {
		t.Fatal(err)
	}
	var s status.Status
	if err := proto.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for _, d := range s.GetDetails() {
		m, err := d.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			out.reason, out.domain = m.GetReason(), m.GetDomain()
		case *errdetails.BadRequest:
			out.field, out.violation = m.GetFieldViolations()[0].GetField(), m.GetFieldViolations()[0].GetDescription()
		}
	}
	return out
}

// wantInvalid holds an answer to what every malformed request gets.
func wantInvalid(t *testing.T, r reply, got refusal, field string) {
	t.Helper()
	if got.code != "invalid_argument" || got.reason != "INVALID_ARGUMENT" || got.domain != "meridian" || got.field != field || got.violation == "" {
		t.Errorf("%d %+v, wanted invalid_argument of %q", r.status, got, field)
	}
	if r.status >= 500 {
		t.Errorf("status %d", r.status)
	}
	if len(r.header.Values(headerTrace)) != 1 {
		t.Errorf("trace ids %q", r.header.Values(headerTrace))
	}
	saysNothingOfGo(t, got.message)
}

var badJSON = []struct{ name, body, field, says string }{
	{"empty", ``, "body", "the body is empty"},
	{"blank", " \n\t", "body", "the body is empty"},
	{"no object", `5`, "body", "line 1:1"},
	{"array", `[]`, "body", "line 1:1"},
	{"cut off", `{"account_id":"a`, "body", "the JSON body can not be read"},
	{"trailing text", `{} x`, "body", "line 1:4"},
	{"two objects", `{}{}`, "body", "line 1:3"},
	{"comma", `{"account_id":"a",}`, "body", "line 1:19"},
	{"single quotes", `{'account_id':'a'}`, "body", "line 1:2"},
	{"no UTF-8", "{\"account_id\":\"\xff\"}", "body", "the JSON body can not be read"},
	{"no text at all", "\xac", "body", "line 1:1"},
	{"lone surrogate", `{"account_id":"\ud800"}`, "body", "the JSON body can not be read"},
	{"unknown field", `{"account_id":"a","bad":1}`, "bad", `the JSON body can not be read: line 1:19: unknown field "bad"`},
	{"unknown field after an amount", `{"amount":{"minor_units":5,"currency":"EUR"},"bad":1}`, "bad", `line 1:46: unknown field "bad"`},
	{"unknown field on line 3", "{\n\"amount\":{\"minor_units\":5,\n  \"bäd\":1}}", "body", "line 3:3"},
	{"unknown field inside", `{"terms":{"nope":1}}`, "nope", "line 1:11"},
	{"same field twice", `{"account_id":"a","account_id":"b"}`, "account_id", "line 1:19"},
	{"same field by both names", `{"account_id":"a","accountId":"b"}`, "accountId", "line 1:19"},
	{"number for a text", `{"account_id":5}`, "account_id", "line 1:15"},
	{"text for a flag", `{"terms":{"dry_run":"yes"}}`, "dry_run", "line 1:21"},
	{"text for an object", `{"terms":"x"}`, "body", "line 1:10"},
	{"array for an amount", `{"amount":{"minor_units":[5]}}`, "minor_units", "line 1:26"},
	{"fraction", `{"amount":{"minor_units":50.5}}`, "minor_units", "line 1:26"},
	{"exponent", `{"amount":{"minor_units":5e3}}`, "minor_units", "line 1:26"},
	{"huge exponent", `{"amount":{"minor_units":1e999999999}}`, "minor_units", "line 1:26"},
	{"NaN", `{"amount":{"minor_units":NaN}}`, "body", "line 1:26"},
	{"leading zero", `{"amount":{"minor_units":05}}`, "body", "line 1:26"},
	{"true", `{"amount":{"minor_units":true}}`, "minor_units", "line 1:26"},
	{"bad time", `{"terms":{"effective_at":"yesterday"}}`, "body", "line 1:26"},
	{"time of year 0", `{"terms":{"effective_at":"0000-01-01T00:00:00Z"}}`, "body", "line 1:26"},
	{"deep nesting", `{"terms":` + strings.Repeat(`[`, 100_000), "body", "the JSON body can not be read"},
	{"deep objects", strings.Repeat(`{"terms":`, 100_000), "terms", "unknown field"},
	{"long unknown field", `{"` + strings.Repeat("x", 100_000) + `":1}`, "body", "line 1:2"},
}

func TestBadJSON_IsInvalidWithTheFieldOnEverySurface(t *testing.T) {
	model, _ := wallets(t)
	svc := &spy{Service: model}
	base := serve(t, svc, Options{DefaultLedger: "shop-eu"})
	for _, w := range jsonWires {
		for _, bad := range badJSON {
			t.Run(w.name+"/"+bad.name, func(t *testing.T) {
				if w.framed && bad.body == "" {
					t.Skip("gRPC takes no bytes for an empty message")
				}
				r, got := w.send(t, base+debitPath, []byte(bad.body))
				wantInvalid(t, r, got, bad.field)
				if !strings.Contains(got.message, bad.says) {
					t.Errorf("%q does not say %q", got.message, bad.says)
				}
			})
		}
	}
	for _, bad := range badJSON {
		t.Run("wallet/"+bad.name, func(t *testing.T) {
			r := send(t, "POST", base+"/v1/wallet/debit", []byte(bad.body), "Idempotency-Key", "k")
			if got := r.refusal(t); got.code != "invalid_argument" || got.reason != "INVALID_ARGUMENT" || got.field == "" || r.status != 400 {
				t.Errorf("%d %+v", r.status, got)
			}
		})
	}
	if n := svc.executed.Load(); n != 0 {
		t.Errorf("the service was called %d times", n)
	}
}

func TestNumberAmounts_AreParsedAsTexts(t *testing.T) {
	base := walletServer(t)
	for _, n := range []string{"0", "-5", "100000000000000000000000000000000000000", `"5.0"`, `""`, `"1e3"`} {
		body := `{"account_id":"acc_42","amount":{"minor_units":` + n + `,"currency":"EUR"}}`
		for _, path := range []string{"/v1/wallet/debit", ours + "WalletService/Debit", debitPath} {
			r := send(t, "POST", base+path, []byte(body), "Idempotency-Key", "k", "Content-Type", "application/json")
			wantInvalid(t, r, r.refusal(t), "amount.minor_units")
		}
	}
}

func TestKeys_OfFieldAndHeaderMustAgree(t *testing.T) {
	base := walletServer(t)
	body := []byte(`{"account_id":"acc_42","amount":{"minor_units":1,"currency":"EUR"},"idempotency_key":"one"}`)
	r := send(t, "POST", base+"/v1/wallet/debit", body, "Idempotency-Key", "two")
	wantInvalid(t, r, r.refusal(t), "terms.idempotency_key")
	if r := send(t, "POST", base+"/v1/wallet/debit", body, "Idempotency-Key", "one"); r.status != 200 {
		t.Errorf("the same key twice: %d %s", r.status, r.body)
	}
	r = send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "one", "X-Idempotency-Key", "two")
	wantInvalid(t, r, r.refusal(t), "Idempotency-Key")
	r = send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "one", "Meridian-Ledger", "shop-eu", "X-Ledger", "shop-us")
	wantInvalid(t, r, r.refusal(t), "Meridian-Ledger")
	r = send(t, "POST", base+ours+"LedgerService/CreateLedger", []byte(`{"home":"eu","assets":["EUR/2"]}`), "Content-Type", "application/json")
	wantInvalid(t, r, r.refusal(t), "ledger")
	r = send(t, "POST", base+"/v1/wallet/debit", []byte(contract))
	wantInvalid(t, r, r.refusal(t), "terms.idempotency_key")
	r = send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "schlüssel")
	wantInvalid(t, r, r.refusal(t), "terms.idempotency_key")
}

func badProtos(t *testing.T) map[string][]byte {
	good, err := proto.Marshal(&ledgerv1.DebitRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5")})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"truncated":            good[:len(good)-1],
		"JSON":                 []byte(`{"account_id":"a"}`),
		"wrong wire type":      {0x0d, 1, 2, 3},
		"endless varint":       bytes.Repeat([]byte{0xff}, 20),
		"no UTF-8":             {0x12, 2, 0xff, 0xfe},
		"field of number zero": {0x00, 0x01},
		"huge length":          {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"open groups":          bytes.Repeat([]byte{0xfb, 0x07}, 100_000),
		"forged note":          good[:1:1],
	}
}

func TestBadProto_IsInvalidOnEverySurface(t *testing.T) {
	model, _ := wallets(t)
	svc := &spy{Service: model}
	base := serve(t, svc, Options{DefaultLedger: "shop-eu"})
	for _, w := range protoWires {
		for name, body := range badProtos(t) {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				r, got := w.send(t, base+debitPath, body)
				wantInvalid(t, r, got, "body")
				if !strings.HasPrefix(got.message, "the protobuf body can not be read: ") {
					t.Errorf("%q", got.message)
				}
			})
		}
	}
	if n := svc.executed.Load(); n != 0 {
		t.Errorf("the service was called %d times", n)
	}
}
