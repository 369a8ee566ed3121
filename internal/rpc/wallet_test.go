package rpc

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// contract is the request of the wallets' contract as it is printed.
const contract = `{
"account_id":"acc_42",  "amount":{"minor_units":5000,"currency":"EUR"},  "reason":"payout",  "reference_id":"po_001"
}`

func walletServer(t *testing.T) string {
	model, _ := wallets(t)
	return serve(t, model, Options{DefaultLedger: "shop-eu"})
}

// shape replaces what varies: transaction ids.
func shape(body []byte) string {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`).ReplaceAllString(string(body), "ID")
}

func TestWallet_DebitAnswersAsPrintedAndTheSameOnRepeat(t *testing.T) {
	base := walletServer(t)
	debit := func() reply {
		return send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "X-Idempotency-Key", "debit_pi_001", "X-Trace-Id", "tr_a1b2")
	}
	first, again := debit(), debit()
	if got := shape(first.body); first.status != 200 || got != `{"status":"committed","entry_id":"ID.1"}` {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if again.status != 200 || !bytes.Equal(first.body, again.body) {
		t.Fatalf("the repeat says %d %s, and the first said %s", again.status, again.body, first.body)
	}
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed: %q, then %q", first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed"))
	}
	for _, r := range []reply{first, again} {
		if got := r.header.Values("X-Trace-Id"); len(got) != 1 || got[0] != "tr_a1b2" {
			t.Errorf("trace id %q", got)
		}
		if got := r.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("content type %q", got)
		}
		if id := r.header.Get("Meridian-Transaction-Id"); !strings.Contains(string(r.body), `"`+id+`.1"`) {
			t.Errorf("transaction %q is not that of %s", id, r.body)
		}
	}
}

func TestWallet_TakesWhatCurlCallsABody(t *testing.T) {
	base := walletServer(t)
	for _, kind := range []string{"", "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"} {
		headers := []string{"Idempotency-Key", "one"}
		if kind != "" {
			headers = append(headers, "Content-Type", kind)
		}
		if r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), headers...); r.status != 200 || shape(r.body) != `{"status":"committed","entry_id":"ID.1"}` {
			t.Errorf("%q: %d %s", kind, r.status, r.body)
		}
	}
	if r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "one", "Content-Type", "text/xml"); r.status != 415 {
		t.Errorf("XML: %d %s", r.status, r.body)
	}
}

// TestConnect_JSONWithCharset: the number form and the field names are those of application/json alone.
func TestConnect_JSONWithCharset(t *testing.T) {
	base := walletServer(t)
	body := `{"terms":{"idempotency_key":"k"},"account_id":"acc_42","amount":{"minor_units":5000,"currency":"EUR"}}`
	r := send(t, "POST", base+"/meridian.ledger.v1.TransactionService/Debit", []byte(body), "Content-Type", "application/json;charset=UTF-8")
	if r.status != 200 || !strings.Contains(string(r.body), `"idempotency_key":"k"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = send(t, "POST", base+"/meridian.ledger.v1.TransactionService/Debit", []byte(`{"bad":1}`), "Content-Type", "application/json; charset=utf-8")
	if r.status != 400 || r.refusal(t).field != "bad" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestWallet_EveryCommandAnswersInItsForm(t *testing.T) {
	base := walletServer(t)
	money := func(n string) string { return `"amount":{"minor_units":` + n + `,"currency":"EUR"}` }
	var holds [3]string
	steps := []struct {
		verb, key, body string
		hold            int // of holds, read or filled
		want            string
	}{
		{"credit", "c1", `{"account_id":"acc_42",` + money("500") + `,"reason":"deposit"}`, 0, `{"status":"committed","entry_id":"ID.1"}`},
		{"transfer", "t1", `{"from_account_id":"acc_42","to_account_id":"acc_43",` + money(`"100"`) + `}`, 0, `{"status":"committed","entry_id":"ID.1"}`},
		{"hold", "h1", `{"account_id":"acc_42",` + money("2500") + `,"reason":"stake","expires_in":"3600s"}`, 1, `{"status":"held","entry_id":"ID.1","hold_id":"ID"}`},
		{"commit", "m1", `{"hold_id":"HOLD",` + money("1000") + `,"keep_rest":true}`, 1, `{"status":"committed","entry_id":"ID.1"}`},
		{"commit", "m2", `{"hold_id":"HOLD"}`, 1, `{"status":"committed","entry_id":"ID.1"}`},
		{"hold", "h2", `{"account_id":"acc_42",` + money("2500") + `}`, 2, `{"status":"held","entry_id":"ID.1","hold_id":"ID"}`},
		{"rollback", "r1", `{"hold_id":"HOLD","reference_id":"x"}`, 2, `{"status":"rolled_back","entry_id":"ID.1"}`},
		{"rollback", "r2", `{"hold_id":"HOLD"}`, 2, `{"status":"declined","reason":"HOLD_EXHAUSTED","detail":{"captured":"0","status":"rolled_back"}}`},
		{
			"debit", "d1", `{"account_id":"acc_42",` + money("9007199254740993") + `}`, 0,
			`{"status":"declined","reason":"INSUFFICIENT_FUNDS","detail":{"account_id":"acc_42","available":"7900","ledger":"shop-eu","min_available":"0","required":"9007199254740993"}}`,
		},
		{"debit", "d2", `{"account_id":"nobody",` + money("1") + `}`, 0, `{"status":"declined","reason":"ACCOUNT_NOT_FOUND","detail":{"account_id":"nobody","ledger":"shop-eu"}}`},
	}
	holdID := regexp.MustCompile(`"hold_id":"([^"]+)"`)
	for _, s := range steps {
		body := strings.ReplaceAll(s.body, "HOLD", holds[s.hold])
		first := send(t, "POST", base+"/v1/wallet/"+s.verb, []byte(body), "X-Idempotency-Key", s.key)
		if s.verb == "hold" {
			if m := holdID.FindSubmatch(first.body); m != nil {
				holds[s.hold] = string(m[1])
			}
		}
		if got := shape(first.body); first.status != 200 || got != s.want {
			t.Errorf("%s %s: %d\n got %s\nwant %s", s.verb, s.key, first.status, got, s.want)
		}
		again := send(t, "POST", base+"/v1/wallet/"+s.verb, []byte(body), "X-Idempotency-Key", s.key)
		if !bytes.Equal(first.body, again.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s %s: the repeat says %s, the first said %s", s.verb, s.key, again.body, first.body)
		}
	}
}

func TestWallet_LedgerComesFromHeaderOrDefault(t *testing.T) {
	model, _ := wallets(t)
	without := serve(t, model, Options{})
	r := send(t, "POST", without+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k")
	if got := r.refusal(t); r.status != 400 || got.field != "terms.ledger" && got.field != "ledger" {
		t.Errorf("no ledger: %d %s", r.status, r.body)
	}
	for _, header := range []string{"Meridian-Ledger", "X-Ledger"} {
		if r := send(t, "POST", without+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k", header, "shop-eu"); r.status != 200 {
			t.Errorf("%s: %d %s", header, r.status, r.body)
		}
	}
	other := serve(t, model, Options{DefaultLedger: "nowhere"})
	if r := send(t, "POST", other+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k"); r.status != 404 || r.refusal(t).reason != "LEDGER_NOT_FOUND" {
		t.Errorf("an unknown default: %d %s", r.status, r.body)
	}
	if r := send(t, "POST", other+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k", "Meridian-Ledger", "shop-eu"); r.status != 200 {
		t.Errorf("the header wins over the default: %d %s", r.status, r.body)
	}
}

func TestWallet_MismatchNamesTheFirstFieldThatDiffers(t *testing.T) {
	base := walletServer(t)
	send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k")
	r := send(t, "POST", base+"/v1/wallet/debit", []byte(strings.Replace(contract, "5000", "5001", 1)), "Idempotency-Key", "k")
	got := r.refusal(t)
	if r.status != 409 || got.code != "already_exists" || got.reason != "IDEMPOTENCY_MISMATCH" || got.domain != "meridian" {
		t.Errorf("%d %+v", r.status, got)
	}
}
