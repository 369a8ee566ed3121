package rpc

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// never5xx sends bytes through the real handler.
func never5xx(f *testing.F, path, kind string, headers ...string) {
	model, _ := wallets(f)
	svc := &spy{Service: model}
	handler := NewHandler(svc, Options{DefaultLedger: "shop-eu"})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		before := svc.executed.Load()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s for %q", w.Code, w.Body, body)
		}
		if w.Code == 400 {
			got := reply{w.Code, w.Header(), nil, w.Body.Bytes()}.refusal(t)
			if got.reason != "INVALID_ARGUMENT" || got.domain != "meridian" || got.field == "" {
				t.Fatalf("%q is refused as %+v", body, got)
			}
		}
		if executed := svc.executed.Load() - before; executed > 1 {
			t.Fatalf("executed %d times", executed)
		}
	})
}

func FuzzDebitJSON(f *testing.F) {
	f.Add([]byte(contract))
	for _, bad := range badJSON {
		if len(bad.body) < 1000 {
			f.Add([]byte(bad.body))
		}
	}
	f.Add([]byte(`{"account_id":"acc_42","amount":{"minor_units":-99999999999999999999999999999999999999,"currency":"EUR/2"},"idempotency_key":"k"}`))
	never5xx(f, "/v1/wallet/debit", "application/json", "Idempotency-Key", "k")
}

func FuzzDebitProto(f *testing.F) {
	for _, m := range []proto.Message{
		&ledgerv1.DebitRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5")},
		&ledgerv1.DebitRequest{Terms: &ledgerv1.Terms{Metadata: map[string]string{"a": "b"}, DryRun: true}, AccountId: "acc_42", Amount: eur("-1")},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	never5xx(f, debitPath, "application/proto", "Idempotency-Key", "k")
}

func FuzzCursor(f *testing.F) {
	for _, c := range []cursor{{}, {1, false}, {1<<63 - 1, true}} {
		f.Add(c.String())
	}
	f.Add("")
	f.Add("!!!")
	f.Fuzz(func(t *testing.T, token string) {
		p := &parser{}
		c := p.cursor(token)
		if c.sequence < 0 {
			t.Fatalf("%q is at %d", token, c.sequence)
		}
		if p.err != nil {
			return
		}
		if again := (&parser{}).cursor(c.String()); again != c {
			t.Fatalf("%q is %v and then %v", token, c, again)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	f.Add(nameToken("acc_42"), int32(10))
	f.Add(nameToken("a\x00"), int32(0))
	f.Add("%", int32(-1))
	f.Fuzz(func(t *testing.T, token string, size int32) {
		p := &parser{}
		n, after := p.page(size, token)
		if p.err != nil {
			return
		}
		if n < 1 || n > maxPage {
			t.Fatalf("a page of %d", n)
		}
		if _, err := id.ParseAccount(after); after != "" && err != nil {
			t.Fatalf("%q lets %q through to the database", token, after)
		}
		if token != "" && nameToken(after) != token && after == "" {
			t.Fatalf("%q means nothing", token)
		}
	})
}

// TestCut_TokensAreReadBack: what a page ends with is where the next one begins.
func TestCut_TokensAreReadBack(t *testing.T) {
	rows, token := cut([]id.Account{"a", "b:c/d", "e"}, 2, func(a id.Account) string { return string(a) })
	p := &parser{}
	if _, after := p.page(0, token); len(rows) != 2 || p.err != nil || after != "b:c/d" {
		t.Errorf("%v %q %q %v", rows, token, after, p.err)
	}
	if _, token := cut(rows, 2, func(a id.Account) string { return string(a) }); token != "" {
		t.Errorf("the last page has the token %q", token)
	}
}

var _ ledger.Service = (*spy)(nil)

// posting answers every command as posted, and knows no payments.
type posting struct {
	ledger.Service
	ledger.Payments
}

func (posting) Execute(_ context.Context, b ledger.Batch) ([]ledger.Result, error) {
	c := b.Commands[0]
	return []ledger.Result{{Outcome: ledger.Outcome{Transaction: c.ID(), Ledger: c.Ledger, Key: c.Key, Kind: c.Kind, Decided: ledger.Posted, Step: &ledger.Transition{Payment: c.ID()}}}}, nil
}

func (posting) PaymentsOfPlayer(context.Context, id.Ledger, id.Player, ledger.PaymentPage) ([]ledger.Payment, error) {
	return nil, nil
}

func (posting) PaymentsInState(context.Context, id.Ledger, ledger.PaymentKind, ledger.PaymentState, ledger.PaymentPage) ([]ledger.Payment, error) {
	return nil, nil
}

func (posting) PaymentsByReference(context.Context, id.Ledger, string, string, int) ([]ledger.Payment, error) {
	return nil, nil
}

// FuzzPaymentJSON sends bytes to each procedure that reads much.
func FuzzPaymentJSON(f *testing.F) {
	model, _ := wallets(f)
	handler := NewHandler(posting{Service: model}, Options{DefaultLedger: "shop-eu", Payments: posting{}})
	f.Add("Create", []byte(`{"kind":"deposit","trigger":"authorize","amount":{"minor_units":5000,"currency":"EUR"},"player":"p","parent_payment_id":""}`))
	f.Add("Step", []byte(`{"payment_id":"018f3b5e-7b1a-8c3d-9e4f-0123456789ab","kind":"deposit","trigger":"capture"}`))
	f.Add("Step", []byte(`{"payment_id":"00000000-0000-0000-0000-000000000000","kind":"deposit","trigger":"capture"}`))
	f.Add("UpdatePlayer", []byte(`{"player":"p","limits":[{"measure":"stake","period":"day","amount":{"minor_units":0,"currency":"EUR"}}]}`))
	f.Add("UpdatePlayer", []byte(`{"player":"p","excluded_until":"9999-12-31T23:59:59Z"}`))
	f.Add("ListPayments", []byte(`{"player":"p","page_token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	f.Add("ListPayments", []byte(`{"in_state":{"kind":"deposit","state":"\u0000"}}`))
	f.Fuzz(func(t *testing.T, procedure string, body []byte) {
		if !slices.Contains([]string{"Create", "Step", "UpdatePlayer", "ListPayments"}, procedure) {
			t.Skip()
		}
		r := httptest.NewRequest(http.MethodPost, "/meridian.payments.v1.PaymentService/"+procedure, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s for %q", w.Code, w.Body, body)
		}
		if w.Code == http.StatusBadRequest {
			if got := (reply{w.Code, w.Header(), nil, w.Body.Bytes()}).refusal(t); got.reason != "INVALID_ARGUMENT" || got.field == "" {
				t.Fatalf("%q is refused as %+v", body, got)
			}
		}
	})
}
