package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The life of two accounts by the tools of a terminal: what a person reads, and what a script reads.
func TestAccountAndTransfer_WhatAPersonAndAScriptRead(t *testing.T) {
	s := serving(t, postgres(t).URL)
	at := func(args string, more ...string) []string {
		return append(append(strings.Fields(args), "--server", s.URL, "--ledger", "brand-eu"), more...)
	}
	wantText(t, ok(t, at("account create-ledger --home eu --asset EUR/2 --asset JPY/0")...), `ledger brand-eu lives in eu and holds [EUR/2 JPY/0]`)
	wantText(t, ok(t, at("account open bank --asset EUR --normal-side debit --min-available none")...), `open posted  transaction UUID  key open:bank`)
	ok(t, at("account open acc_42 --asset EUR --max-balance 1000000")...)
	wantText(t, ok(t, at("account open acc_42 --asset EUR --max-balance 1000000")...), `open posted (answered before)  transaction UUID  key open:acc_42`)
	wantText(t, ok(t, at("transfer bank acc_42 123456 EUR --key payin-1 --reason deposit --reference ref-1")...), `transfer posted  transaction UUID  key payin-1`)
	wantText(t, ok(t, at("transfer bank acc_42 123456 EUR --key payin-1 --reason deposit --reference ref-1 --json")...), `
{
  "transaction_id": "UUID",
  "idempotency_key": "payin-1",
  "outcome": "posted",
  "replayed": true
}`)
	wantText(t, ok(t, at("transfer acc_42 bank 1 EUR --key dry --dry-run")...), `transfer posted (dry run: nothing was written)  transaction UUID  key dry`)
	if made := ok(t, at("transfer acc_42 bank 56 EUR")...); !regexp.MustCompile(`key cli:[A-Z0-9]{20,}\n$`).MatchString(made) {
		t.Errorf("the key that was made up is not printed: %s", made)
	}
	wantText(t, ok(t, at("account balance acc_42")...), `
brand-eu/acc_42  EUR  open
  posted                      1234.00
  coming in                      0.00
  going out                      0.00
  available                   1234.00`)
	wantText(t, ok(t, at("account balance bank --json")...), `
{
  "account_id": "bank",
  "asset": "EUR/2",
  "status": "open",
  "posted": "123400",
  "pending_in": "0",
  "pending_out": "0",
  "available": "123400",
  "sequence": 3,
  "changed_at": "TIME"
}`)
	wantText(t, ok(t, at("account statement acc_42")...), `
no.            effective      kind   amount  balance
    3  TIME  transfer    -0.56  1234.00
    2  TIME  transfer  1234.56  1234.56
    1  TIME      open     0.00     0.00`)
	wantText(t, ok(t, at("account statement acc_42 --oldest-first --limit 2 --json")...), `
[
  {
    "sequence": 1,
    "kind": "open",
    "amount": "0",
    "balance": "0",
    "transaction_id": "UUID",
    "effective_at": "TIME",
    "recorded_at": "TIME"
  },
  {
    "sequence": 2,
    "kind": "transfer",
    "side": "credit",
    "amount": "123456",
    "balance": "123456",
    "transaction_id": "UUID",
    "effective_at": "TIME",
    "recorded_at": "TIME"
  }
]`)
	wantText(t, ok(t, at("account list")...), "acc_42  EUR  1234.00  open\nbank    EUR  1234.00  open")
	if out := ok(t, at("account list --after bank --json")...); strings.TrimSpace(out) != "[]" {
		t.Errorf("an empty list is %s", out)
	}
	if out := ok(t, at("account balance acc_42 --as-of 2020-01-01T00:00:00Z --json")...); !strings.Contains(out, `"posted": "0"`) {
		t.Errorf("before the first entry: %s", out)
	}
}

func TestTransfer_ExitCodes(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t, "acc_42", "acc_43")
	transfer := func(args ...string) result {
		return meridian(t, append([]string{"transfer", "--server", s.URL, "--ledger", "brand-eu"}, args...)...)
	}
	if r := transfer("acc_42", "acc_43", "100", "EUR", "--key", "one"); r.code != 0 {
		t.Errorf("posted: %s", r)
	}
	declined := transfer("acc_42", "acc_43", "100000000", "EUR", "--key", "two", "--json")
	if declined.code != 2 || declined.stderr != "" {
		t.Errorf("declined: %s", declined)
	}
	wantText(t, declined.stdout, `
{
  "transaction_id": "UUID",
  "idempotency_key": "two",
  "outcome": "declined",
  "reason": "INSUFFICIENT_FUNDS",
  "detail": {
    "account_id": "acc_42",
    "available": "99900",
    "ledger": "brand-eu",
    "min_available": "0",
    "required": "100000000"
  },
  "replayed": false
}`)
	if again := transfer("acc_42", "acc_43", "100000000", "EUR", "--key", "two"); again.code != 2 || !strings.Contains(again.stdout, "transfer declined (answered before)") || !strings.Contains(again.stdout, "INSUFFICIENT_FUNDS") {
		t.Errorf("declined again: %s", again)
	}
	refused(t, transfer("acc_42", "acc_43", "101", "EUR", "--key", "one"), "IDEMPOTENCY_MISMATCH")
	refused(t, transfer("acc_42", "acc_43", "1.5", "EUR"), "1.5")
	refused(t, transfer("acc_42", "acc_43", "-5", "EUR"))
	refused(t, transfer("acc 42", "acc_43", "5", "EUR"), "acc 42")
	refused(t, transfer("acc_42", "acc_43", "5", "EUR", "--ledger", "brand-mars"), "LEDGER_NOT_FOUND")
	refused(t, meridian(t, "account", "balance", "nobody", "--server", s.URL, "--ledger", "brand-eu"), "ACCOUNT_NOT_FOUND")
}

const (
	pspMapping = "../../internal/importer/testdata/psp.yaml"
	payouts    = `Reference,Created,Merchant,Type,Status,Net,Currency,Payout
tx_1,2024-05-01T10:00:00.120Z,42,payment,done,10000,eur,
tx_2,2024-05-01T10:00:01.500+02:00,42,fee,done,-35,eur,
tx_3,2024-05-01T10:00:02.000Z,42,payment,pending,10000,eur,
tx_4,2024-05-01T10:00:03.000Z,42,payout,done,-9000,eur,po_1
`
)

func TestImport_LoadsAndLoadsAgainAndNamesWhatItRejects(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t)
	load := func(file string, args ...string) result {
		return meridian(t, append([]string{"import", "--map", pspMapping, "--server", s.URL, "--ledger", "brand-eu", file}, args...)...)
	}
	dir := t.TempDir()
	clean, broken := filepath.Join(dir, "clean.csv"), filepath.Join(dir, "broken.csv")
	for path, text := range map[string]string{clean: payouts, broken: payouts + `tx_5,yesterday,42,payment,done,100,eur,
tx_6,2024-05-01T10:00:03.000Z,42,payment,done,7,eur,
tx_7,2024-05-01T10:00:03.000Z,42,payment,done,7,xau,
`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := load(clean)
	if first.code != 0 || !strings.HasPrefix(first.stdout, "4 rows: 3 posted, 0 there already, 0 rejected, 1 skipped; 4 accounts opened; ") {
		t.Errorf("the first run: %s", first)
	}
	if !strings.Contains(first.stderr, "100 %") || !strings.Contains(first.stderr, "rows/s") {
		t.Errorf("the progress says %q", first.stderr)
	}
	again := load(clean, "--json")
	if again.code != 0 || again.stderr != "" {
		t.Errorf("the second run: %s", again)
	}
	again.stdout = regexp.MustCompile(`("(?:seconds|rows_per_second)": )[0-9.e+-]+`).ReplaceAllString(again.stdout, "${1}N")
	wantText(t, again.stdout, `
{
  "rows": 4,
  "posted": 0,
  "replayed": 3,
  "rejected": 0,
  "skipped": 1,
  "accounts_opened": 0,
  "retries": 0,
  "line": 5,
  "bytes": 292,
  "seconds": N,
  "rows_per_second": N
}`)
	some := load(broken, "--quiet")
	if some.code != 4 || !strings.HasPrefix(some.stdout, "7 rows: 1 posted, 3 there already, 2 rejected, 1 skipped; ") {
		t.Errorf("with rows that are wrong: %s", some)
	}
	if !strings.Contains(some.stderr, "line 6: INVALID_ARGUMENT: date") || !strings.Contains(some.stderr, "line 8: INVALID_ARGUMENT: asset") {
		t.Errorf("the rejections are %s", some.stderr)
	}
	strict := load(broken, "--quiet", "--strict")
	if strict.code != 1 || !strings.Contains(strict.stderr, "line 6") {
		t.Errorf("--strict: %s", strict)
	}
	refused(t, meridian(t, "import", "--map", "/nowhere.yaml", "--server", s.URL, "--ledger", "brand-eu", clean), "/nowhere.yaml")
	refused(t, load("/nowhere.csv"), "/nowhere.csv")
}

func TestVerify_ProvesAndFindsDamage(t *testing.T) {
	d := postgres(t)
	s := serving(t, d.URL)
	s.furnish(t, "acc_42")
	proven := meridian(t, "verify", "--database-url", d.URL)
	if proven.code != 0 || !strings.Contains(proven.stdout, "brand-eu") || !strings.Contains(proven.stderr, "rows") {
		t.Errorf("sound books: %s", proven)
	}
	if quiet := meridian(t, "verify", "--database-url", d.URL, "--quiet", "--ledger", "brand-eu"); quiet.code != 0 || quiet.stderr != "" {
		t.Errorf("--quiet: %s", quiet)
	}
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `UPDATE account SET posted_credits = posted_credits + 1 WHERE id = 'acc_42'`); err != nil {
		t.Fatal(err)
	}
	damaged := meridian(t, "verify", "--database-url", d.URL, "--quiet")
	if damaged.code != 3 || !strings.Contains(damaged.stdout, "acc_42") || damaged.stderr != "" {
		t.Errorf("one unit too much: %s", damaged)
	}
	script := meridian(t, "verify", "--database-url", d.URL, "--json")
	if script.code != 3 || script.stderr != "" || !strings.Contains(script.stdout, `"ok": false`) || !strings.Contains(script.stdout, `"account": "acc_42"`) {
		t.Errorf("--json: %s", script)
	}
	refused(t, meridian(t, "verify", "--database-url", d.URL, "--ledger", "brand eu"), "--ledger")
}

func TestVersion_SaysWhatItIs(t *testing.T) {
	if out := ok(t, "version"); !regexp.MustCompile(`^meridian \S+, schema \d+, go\S+\n$`).MatchString(out) {
		t.Errorf("version prints %s", out)
	}
	if out := ok(t, "version", "--json"); !regexp.MustCompile(`^\{\n  "version": "[^"]+",\n  "schema": \d+,\n  "go": "go[^"]+"\n\}\n$`).MatchString(out) {
		t.Errorf("version --json prints %s", out)
	}
}
