package rpc

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// As curl has it: what a body leaves out stays, whatever the account has.
func TestUpdateAccount_AbsentStaysAsItIs(t *testing.T) {
	model, _ := wallets(t)
	base := serve(t, model, Options{DefaultLedger: "shop-eu"})
	update := func(body string) reply {
		return send(t, "POST", base+"/meridian.ledger.v1.LedgerService/UpdateAccount", []byte(`{"account_id":"acc_42",`+body+`}`), "Content-Type", "application/json")
	}
	for _, step := range []struct{ body, floor, ceiling, tier string }{
		{`"max_balance":"500","metadata":{"tier":"gold"}`, "0", "500", "gold"},
		{`"min_available":-5`, "-5", "500", "gold"},
		{`"min_available":null,"maxBalance":"none"`, "-5", "none", "gold"},
		{`"metadata":{"tier":"lead"}`, "-5", "none", "lead"},
		{`"metadata":{},"max_balance":"7"`, "-5", "7", "lead"},
		{`"min_available":"0","clear_metadata":true`, "0", "7", ""},
	} {
		if r := update(step.body); r.status != 200 {
			t.Fatalf("%s: %d %s", step.body, r.status, r.body)
		}
		a, err := model.Account(t.Context(), ledger.Ref{Ledger: "shop-eu", Account: "acc_42"}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if renderLimit(a.Floor) != step.floor || renderLimit(a.Ceiling) != step.ceiling || a.Metadata["tier"] != step.tier {
			t.Errorf("after %s: %s, %s and %q; want %s, %s and %q", step.body, renderLimit(a.Floor), renderLimit(a.Ceiling), a.Metadata["tier"],
				step.floor, step.ceiling, step.tier)
		}
	}
	for body, field := range map[string]string{
		`"idempotency_key":"k1"`: "limits", `"metadata":{}`: "limits", `"min_available":""`: "min_available", `"max_balance":"lots"`: "max_balance",
		`"metadata":{"a":"b"},"clear_metadata":true`: "clear_metadata",
	} {
		if r := update(body); r.status != 400 || r.refusal(t).field != field {
			t.Errorf("%s: %d %s, want 400 of %s", body, r.status, r.body, field)
		}
	}
}

func TestCreateLedger_RefusesAHomeWithoutARegion(t *testing.T) {
	model, _ := wallets(t)
	base := serve(t, model, Options{Homes: []id.Home{"eu", "us"}})
	create := func(home string) reply {
		return send(t, "POST", base+"/meridian.ledger.v1.LedgerService/CreateLedger",
			[]byte(`{"ledger":"`+home+`-books","home":"`+home+`","assets":["EUR/2"]}`), "Content-Type", "application/json")
	}
	if r := create("us"); r.status != 200 {
		t.Errorf("a home that is known: %d %s", r.status, r.body)
	}
	r := create("mars")
	if got := r.refusal(t); r.status != 404 || got.reason != string(errs.ReasonHomeNotFound) || !strings.Contains(got.message, "eu, us") {
		t.Errorf("a home that is not: %d %s", r.status, r.body)
	}
	if _, err := model.Ledger(t.Context(), "mars-books"); !strings.Contains(err.Error(), string(errs.ReasonLedgerNotFound)) {
		t.Errorf("it was made all the same: %v", err)
	}
	everywhere := serve(t, model, Options{})
	if r := send(t, "POST", everywhere+"/meridian.ledger.v1.LedgerService/CreateLedger",
		[]byte(`{"ledger":"mars-books","home":"mars","assets":["EUR/2"]}`), "Content-Type", "application/json"); r.status != 200 {
		t.Errorf("without a topology: %d %s", r.status, r.body)
	}
}
