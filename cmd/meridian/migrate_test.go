package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/schema"
)

// The way of an operator: an empty database, the schema, a role for the server, and the server under that role.
func TestMigrate_FromAnEmptyDatabaseToAServerWithTheLeastRights(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		if out := ok(t, "migrate", "status", "--database-url", d.AdminURL); !strings.Contains(out, "pending") {
			t.Errorf("status of an empty database: %s", out)
		}
		ok(t, "migrate", "up", "--database-url", d.AdminURL)
		again := ok(t, "migrate", "up", "--database-url", d.AdminURL)
		if want := fmt.Sprintf("nothing to apply: the schema is at version %d\n", schema.Newest()); again != want {
			t.Errorf("the second time it says %q, want %q", again, want)
		}
		if out := ok(t, "migrate", "status", "--database-url", d.AdminURL); strings.Contains(out, "pending") || !strings.HasPrefix(out, "1  ") {
			t.Errorf("status: %s", out)
		}
		wantStatusJSON(t, ok(t, "migrate", "status", "--json", "--database-url", d.AdminURL))

		role := fmt.Sprintf("meridian_cmd_%d", time.Now().UnixNano())
		t.Cleanup(func() { dropRole(t, d.AdminURL, role) })
		printed := ok(t, "migrate", "grants", "--role", role)
		if want := strings.Join(schema.Grants(role), ";\n") + ";\n"; printed != want {
			t.Errorf("grants prints\n%s\nwant\n%s", printed, want)
		}
		as, env := loginAs(t, d.AdminURL, role)
		applied := meridianWith(t, env, "migrate", "grants", "--role", role, "--apply", "--database-url", d.AdminURL)
		if applied.code != 0 || applied.stdout != "role "+role+" has the rights of a server\n" {
			t.Fatalf("grants --apply: %s", applied)
		}
		s := serving(t, as, "--expiry-interval", "50ms")
		useEverything(t, s)
		s.terminate(t)
		if code := s.exit(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if r := meridian(t, "verify", "--quiet", "--database-url", d.AdminURL); r.code != 0 {
			t.Errorf("verify: %s", r)
		}
		refused(t, meridian(t, "migrate", "grants", "--role", "x", "--apply", "--database-url", as))
	})
}

func wantStatusJSON(t *testing.T, out string) {
	t.Helper()
	var all []map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil || int64(len(all)) != schema.Newest() {
		t.Fatalf("status --json: %v: %s", err, out)
	}
}

// loginAs returns the URL of a role, with a password where the owner has one, and the environment that sets it.
func loginAs(t *testing.T, owner, role string) (string, []string) {
	t.Helper()
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	_, asks := u.User.Password()
	u.User = url.User(role)
	if !asks {
		return u.String(), nil
	}
	u.User = url.UserPassword(role, "a-password-of-the-test")
	return u.String(), []string{"MERIDIAN_ROLE_PASSWORD=a-password-of-the-test"}
}

// dropRole leaves a server that is not ours as it was.
func dropRole(t *testing.T, owner, role string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx)
	name := pgx.Identifier{role}.Sanitize()
	for _, sql := range []string{
		"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM " + name, "REVOKE ALL ON SCHEMA public FROM " + name, "DROP ROLE " + name,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// useEverything has the server do one of each kind of command.
func useEverything(t *testing.T, s *server) {
	t.Helper()
	svc := s.furnish(t, "acc_42", "acc_43", "acc_44")
	eur := func(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }
	serial := 0
	do := func(c ledger.Command) ledger.Outcome {
		t.Helper()
		serial++
		c.Ledger, c.Key = "brand-eu", id.Key(fmt.Sprintf("everything-%d", serial))
		return posted(t, svc, c)
	}
	do(ledger.Command{Kind: ledger.KindCredit, Account: "acc_42", Amount: eur(100), Reason: "deposit"})
	do(ledger.Command{Kind: ledger.KindDebit, Account: "acc_42", Amount: eur(100), Reason: "payout"})
	moved := do(ledger.Command{Kind: ledger.KindTransfer, Account: "acc_42", Counter: "acc_43", Amount: eur(200), Reference: "ref-1"})
	do(ledger.Command{Kind: ledger.KindReverse, Target: moved.Transaction})
	do(ledger.Command{Kind: ledger.KindPost, Legs: []ledger.Leg{
		{Account: "acc_42", Side: ledger.Debit, Amount: *eur(30)}, {Account: "acc_43", Side: ledger.Credit, Amount: *eur(30)},
	}})
	hold := do(ledger.Command{Kind: ledger.KindHold, Account: "acc_42", Counter: "acc_43", Amount: eur(300)})
	do(ledger.Command{Kind: ledger.KindCommit, Target: hold.Transaction, Amount: eur(100), KeepRest: true})
	do(ledger.Command{Kind: ledger.KindRollback, Target: hold.Transaction})
	do(ledger.Command{Kind: ledger.KindUpdate, Account: "acc_43", Change: &ledger.Change{Metadata: ledger.Metadata{"tier": "gold"}}})
	do(ledger.Command{Kind: ledger.KindFreeze, Account: "acc_43", Status: ledger.Frozen})
	do(ledger.Command{Kind: ledger.KindFreeze, Account: "acc_43", Status: ledger.Open})
	do(ledger.Command{Kind: ledger.KindDebit, Account: "acc_44", Amount: eur(100_000), Reason: "payout"})
	do(ledger.Command{Kind: ledger.KindClose, Account: "acc_44"})
	do(ledger.Command{Kind: ledger.KindHold, Account: "acc_42", Counter: "acc_43", Amount: eur(5), ExpiresIn: time.Millisecond})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		a, err := svc.Account(t.Context(), ledger.Ref{Ledger: "brand-eu", Account: "acc_42"}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Outgoing().IsZero() {
			break // the sweep may do its work as well
		}
		if time.Now().After(deadline) {
			t.Fatalf("a hold whose time is over still holds %s", a.Outgoing())
		}
	}
	if _, err := svc.TrialBalance(t.Context(), "brand-eu"); err != nil {
		t.Error(err)
	}
	if found, err := svc.TransactionsByReference(t.Context(), "brand-eu", "ref-1", 10); err != nil || len(found) != 1 {
		t.Errorf("by reference: %d, %v", len(found), err)
	}
}
