package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/explain"
)

func TestExplain_WhatAPersonAndAScriptRead(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t, "acc_42", "acc_43")
	if r := meridian(t, "transfer", "acc_42", "acc_43", "250000", "EUR", "--server", s.URL, "--ledger", "brand-eu", "--key", "too-much", "--reference", "po_1"); r.code != 2 {
		t.Fatal(r)
	}
	ok(t, "transfer", "acc_42", "acc_43", "500", "EUR", "--server", s.URL, "--ledger", "brand-eu", "--key", "fine", "--reference", "po_1")
	out := ok(t, "explain", "too-much", "--server", s.URL)
	for _, want := range []string{"found by   idempotency key", "stands     declined: ", "✗ ledger", "INSUFFICIENT_FUNDS: less than min_available would be left", "available      100000"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var a explain.Answer
	if err := json.Unmarshal([]byte(ok(t, "explain", "fine", "--server", s.URL, "--ledger", "brand-eu", "--json")), &a); err != nil || a.Story == nil || a.Story.State != "posted" || len(a.Story.Money) != 2 {
		t.Errorf("%+v, %v", a.Story, err)
	}
	if r := meridian(t, "explain", "po_1", "--server", s.URL); r.code != 2 || !strings.Contains(r.stdout, `"po_1" leads to 2 things`) || r.stderr != "" {
		t.Errorf("%s", r)
	}
	refused(t, meridian(t, "explain", "nobody-knows", "--server", s.URL), "TRANSACTION_NOT_FOUND", "nothing is stored under this text in 1 ledger", "text=nobody-knows")
	refused(t, meridian(t, "explain", "x", "--server", s.URL, "--ledger", "Brand"), "--ledger")
}
