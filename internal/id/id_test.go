package id

import (
	"errors"
	"strings"
	"testing"
)

func TestTransactionOf_IsStableAndKeepsLedgersApart(t *testing.T) {
	if got := TransactionOf("brand-eu", "debit_pi_001").String(); got != "050b0c82-502a-89b9-8178-b6102169a7e1" {
		t.Fatalf("%s is not the id that stored journals carry", got)
	}
	if TransactionOf("ab", "c") == TransactionOf("a", "bc") {
		t.Error("ledger and key run into each other")
	}
	if TransactionOf("a", "k") == TransactionOf("b", "k") {
		t.Error("two ledgers share a key")
	}
}

func TestParse_RefusesWhatWouldNeedQuoting(t *testing.T) {
	parsers := map[string]func(string) error{
		"home":        func(s string) error { _, err := ParseHome(s); return err },
		"ledger":      func(s string) error { _, err := ParseLedger(s); return err },
		"account":     func(s string) error { _, err := ParseAccount(s); return err },
		"reason":      func(s string) error { _, err := ParseReason(s); return err },
		"key":         func(s string) error { _, err := ParseKey(s); return err },
		"transaction": func(s string) error { _, err := ParseTransaction(s); return err },
	}
	for kind, parse := range parsers {
		for _, bad := range []string{"", "a\x00b", "a\nb", "a b", "é", strings.Repeat("a", 256), "\x7f"} {
			if err := parse(bad); !errors.Is(err, Err) {
				t.Errorf("%s %q: %v", kind, bad, err)
			}
		}
	}
	for kind, good := range map[string]string{
		"home": "eu", "ledger": "brand-eu", "account": "user:42:eur", "reason": "payout", "key": "debit_pi_001",
		"transaction": "7d444840-9dc0-81d1-b245-5ffdce74fad2",
	} {
		if err := parsers[kind](good); err != nil {
			t.Errorf("%s %q: %v", kind, good, err)
		}
	}
}

func TestOtherActor_IsSomebodyElseByMoreThanSpelling(t *testing.T) {
	for _, tt := range []struct {
		first, second string
		other         bool
	}{{"alice", "bob", true}, {"alice", "alice", false}, {"alice", " Alice\t", false}, {"", "bob", false}, {"alice", " ", false}, {"", "", false}} {
		if OtherActor(tt.first, tt.second) != tt.other || OtherActor(tt.second, tt.first) != tt.other {
			t.Errorf("%q and %q: want other %t", tt.first, tt.second, tt.other)
		}
	}
}

func FuzzParseTransaction(f *testing.F) {
	f.Add("7d444840-9dc0-81d1-b245-5ffdce74fad2")
	f.Add("7d444840-9dc0-81d1-b245-5ffdce74fadg")
	f.Fuzz(func(t *testing.T, s string) {
		tx, err := ParseTransaction(s)
		if err != nil {
			return
		}
		if tx.String() != strings.ToLower(s) {
			t.Fatalf("%q became %s", s, tx)
		}
	})
}

func FuzzParseNames(f *testing.F) {
	f.Add("acc_42")
	f.Add("user:42:eur")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAccount(s); err == nil && (string(a) != s || strings.ContainsAny(s, " \t\n\"'\\\x00")) {
			t.Fatalf("account %q", s)
		}
		if k, err := ParseKey(s); err == nil && (string(k) != s || strings.ContainsAny(s, " \n\x00")) {
			t.Fatalf("key %q", s)
		}
	})
}
