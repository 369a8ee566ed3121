package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestFilter_WantsWhatMatchesEachOfItsFields(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	credit := b.do(ledger.Command{Kind: ledger.KindCredit, Key: "1", Account: "acc_42", Amount: eur(100), Reason: "deposit"})
	declined := b.do(ledger.Command{Kind: ledger.KindDebit, Key: "2", Account: "acc_43", Amount: eur(100)})
	across := b.across()
	test := Event{Home: "eu", Test: true}
	both := Options{Homes: []id.Home{"us"}, HomeOf: homeOf}
	for _, row := range []struct {
		what   string
		filter Filter
		see    Options
		e      Event
		want   bool
	}{
		{"nothing set", Filter{}, Options{}, credit, true},
		{"its type", Filter{Types: []Type{WalletDebitCommitted, WalletCreditCommitted}}, Options{}, credit, true},
		{"another type", Filter{Types: []Type{WalletDebitCommitted}}, Options{}, credit, false},
		{"a prefix of its type", Filter{Types: []Type{"hold.*", "wallet.*"}}, Options{}, credit, true},
		{"a longer prefix", Filter{Types: []Type{"wallet.credit.*"}}, Options{}, credit, true},
		{"a prefix of others", Filter{Types: []Type{"wallet.debit.*"}}, Options{}, credit, false},
		{"its ledger", Filter{Ledgers: []id.Ledger{"shop-eu", "brand-eu"}}, Options{}, credit, true},
		{"another ledger", Filter{Ledgers: []id.Ledger{"shop-eu"}}, Options{}, credit, false},
		{"its account", Filter{AccountPrefixes: []string{"acc_42"}}, Options{}, credit, true},
		{"a prefix of its account", Filter{AccountPrefixes: []string{"user:", "acc_"}}, Options{}, credit, true},
		{"its counter account", Filter{AccountPrefixes: []string{"counter:deposit"}}, Options{}, credit, true},
		{"more than its account", Filter{AccountPrefixes: []string{"acc_421"}}, Options{}, credit, false},
		{"type and not account", Filter{Types: []Type{"wallet.*"}, AccountPrefixes: []string{"user"}}, Options{}, credit, false},
		{"account and not ledger", Filter{Ledgers: []id.Ledger{"shop-eu"}, AccountPrefixes: []string{"acc_"}}, Options{}, credit, false},
		{"all three", Filter{Types: []Type{"wallet.*"}, Ledgers: []id.Ledger{"brand-eu"}, AccountPrefixes: []string{"acc_"}}, Options{}, credit, true},
		{"the account of a decline", Filter{AccountPrefixes: []string{"acc_43"}}, Options{}, declined, true},
		{"another than that of a decline", Filter{AccountPrefixes: []string{"acc_42"}}, Options{}, declined, false},
		{"the type of a decline", Filter{Types: []Type{"wallet.*"}}, Options{}, declined, false},
		{"an account of another home", Filter{AccountPrefixes: []string{"acc_us"}}, both, across, true},
		{"an account of a hidden home", Filter{AccountPrefixes: []string{"acc_us"}}, Options{HomeOf: homeOf}, across, false},
		{"a ledger of another home", Filter{Ledgers: []id.Ledger{"brand-us"}}, both, across, true},
		{"a ledger of a hidden home", Filter{Ledgers: []id.Ledger{"brand-us"}}, Options{HomeOf: homeOf}, across, false},
		{"a test", Filter{Types: []Type{"hold.*"}, Ledgers: []id.Ledger{"x"}, AccountPrefixes: []string{"x"}}, Options{}, test, true},
	} {
		if err := row.filter.Validate(); err != nil {
			t.Errorf("%s: %v", row.what, err)
		}
		if got := row.filter.Compile(row.see).Matches(row.e); got != row.want {
			t.Errorf("%s: %t", row.what, got)
		}
	}
	if (Filter{AccountPrefixes: []string{"acc_us"}}).Matches(across) || !(Filter{AccountPrefixes: []string{"clearing"}}).Matches(across) {
		t.Error("a filter alone sees the event's own ledger")
	}
}

func TestFilter_IsRefused(t *testing.T) {
	many := make([]string, MaxFilterPrefixes+1)
	for i := range many {
		many[i] = fmt.Sprint("acc_", i)
	}
	for _, row := range []struct {
		field, says string
		f           Filter
	}{
		{"filter.types[1]", `no event type "wallet.debit": name one of wallet.debit.committed, `, Filter{Types: []Type{"hold.*", "wallet.debit"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{"payments.*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{"*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{"wallet*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{"wal.*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{".*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{"hold.created.*"}}},
		{"filter.types[0]", "prefix such as wallet.*", Filter{Types: []Type{""}}},
		{"filter.types[0]", "…", Filter{Types: []Type{Type(strings.Repeat("x", 1000))}}},
		{"filter.ledgers[1]", "a-z", Filter{Ledgers: []id.Ledger{"brand-eu", "Brand"}}},
		{"filter.account_prefixes[0]", "beginning of an account", Filter{AccountPrefixes: []string{""}}},
		{"filter.account_prefixes[0]", "beginning of an account", Filter{AccountPrefixes: []string{"acc *"}}},
		{"filter.account_prefixes", "at most 100", Filter{AccountPrefixes: many}},
		{"filter.types", "at most 50", Filter{Types: make([]Type, MaxFilterTypes+1)}},
		{"filter.ledgers", "at most 100", Filter{Ledgers: make([]id.Ledger, MaxFilterLedgers+1)}},
	} {
		err := row.f.Validate()
		var e *errs.Error
		if !errors.As(err, &e) || e.Code != errs.InvalidArgument || e.Fields["field"] != row.field || !strings.Contains(e.Message, row.says) {
			t.Errorf("%+v: %v, want %s: %s", row.f, err, row.field, row.says)
		}
		if err != nil && len(err.Error()) > 800 {
			t.Errorf("%.60s… is an error of %d characters", err, len(err.Error()))
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, t := range Types {
		f.Add(string(t))
	}
	for _, s := range []string{"wallet.*", "*", ".*", "wallet.", "hold.created.*", "\xff.*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pattern, err := ParseType(s)
		taken := 0
		for _, known := range Types {
			if known.takes(known) && pattern.takes(known) {
				taken++
			}
		}
		if (err == nil) != (taken > 0) || err == nil && string(pattern) != s {
			t.Fatalf("%q is %q and takes %d types: %v", s, pattern, taken, err)
		}
		if wild := strings.HasSuffix(s, "*"); err == nil && !wild && taken != 1 {
			t.Fatalf("%q takes %d types", s, taken)
		}
	})
}

func FuzzFilter(f *testing.F) {
	b := newBooks(f)
	b.accounts()
	events := []Event{b.across(), b.do(ledger.Command{Kind: ledger.KindDebit, Key: "1", Account: "acc_42", Amount: eur(1)}), {Test: true}}
	f.Add([]byte(`{"ledgers":["brand-eu"],"account_prefixes":["acc_"],"types":["wallet.*"]}`))
	f.Add([]byte(`{"types":["*"]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var filter Filter
		if json.Unmarshal(text, &filter) != nil || filter.Validate() != nil {
			return
		}
		again, err := json.Marshal(filter)
		if err != nil {
			t.Fatal(err)
		}
		var back Filter
		if err := json.Unmarshal(again, &back); err != nil || back.Validate() != nil {
			t.Fatalf("%s reads back as nothing valid: %v", again, err)
		}
		blind, sighted := filter.Compile(Options{}), filter.Compile(Options{Homes: []id.Home{"us"}, HomeOf: homeOf})
		for _, e := range events {
			if blind.Matches(e) && !sighted.Matches(e) {
				t.Fatalf("%s wants %s only where less is seen", text, e.ID())
			}
			if back.Compile(Options{}).Matches(e) != blind.Matches(e) {
				t.Fatalf("%s and %s differ on %s", text, again, e.ID())
			}
		}
	})
}
