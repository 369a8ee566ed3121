package schema_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/schema"
)

// code runs a statement and returns its SQLSTATE, empty where it passed.
func code(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql)
	var server *pgconn.PgError
	if err != nil && !errors.As(err, &server) {
		t.Fatalf("%s: %v", sql, err)
	}
	if err != nil {
		return server.Code
	}
	return ""
}

func role(t *testing.T, d dbtest.Database) string {
	t.Helper()
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

const insufficientPrivilege = "42501"

func TestGrants_AreEnoughForAServer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		conn := connect(t, d.URL)
		for _, sql := range []string{
			`INSERT INTO ledger (id, home, metadata, created_at) VALUES ('brand', 'eu', '{}', now())`,
			`INSERT INTO asset (ledger_id, code, scale) VALUES ('brand', 'EUR', 2)`,
			`INSERT INTO account VALUES ('eu', 'brand', 'a', 'EUR', 2, 'credit', 0, 0, 0, 0, 1, NULL, NULL, 'open', '{}', now(), now())`,
			`SELECT id FROM account WHERE home = 'eu' AND ledger_id = 'brand' AND id = ANY(ARRAY['a']) ORDER BY id FOR UPDATE`,
			`UPDATE account SET posted_credits = 5, sequence = 2 WHERE home = 'eu' AND ledger_id = 'brand' AND id = 'a'`,
			`INSERT INTO hold VALUES ('eu', 'brand', '11111111-1111-4111-8111-111111111111', 'a', 'b', 'EUR', 2, 5, 0, 'held', now())`,
			`SELECT id FROM hold WHERE home = 'eu' AND ledger_id = 'brand' FOR UPDATE`,
			`UPDATE hold SET captured = 5, status = 'committed' WHERE home = 'eu' AND ledger_id = 'brand'`,
			`INSERT INTO journal VALUES ('eu', 'brand', '11111111-1111-4111-8111-111111111111', 'k', 'transfer', 'posted', NULL, NULL, '[]', '{}',
				'', 'r', NULL, NULL, NULL, NULL, now(), now())`,
			`INSERT INTO entry VALUES ('eu', 'brand', 'a', 1, 'brand', '11111111-1111-4111-8111-111111111111', 0, 'transfer', 5, 5, 0, 0, now(), now())`,
			`SELECT j.id FROM journal j JOIN entry e ON e.transaction_id = j.id`,
			`SELECT l.id FROM ledger l JOIN asset a ON a.ledger_id = l.id`,
		} {
			if got := code(t, conn, sql); got != "" {
				t.Errorf("%s: SQLSTATE %s, want it to pass", sql, got)
			}
		}
		if err := schema.Check(t.Context(), conn); err != nil {
			t.Errorf("Check by a server = %v, want nil", err)
		}
	})
}

func TestGrants_LetNobodyRewriteHistory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		mustUp(t, d.AdminURL, schema.Options{}) // what the overlay forbids belongs to the database, which a copy of one does not take along
		conn := connect(t, d.URL)
		for _, sql := range []string{
			`UPDATE journal SET reason = NULL`, `DELETE FROM journal`, `TRUNCATE journal`, `SELECT id FROM journal FOR UPDATE`,
			`UPDATE entry SET amount = 0`, `DELETE FROM entry`, `TRUNCATE entry`,
			`INSERT INTO journal SELECT * FROM journal ON CONFLICT (home, ledger_id, id) DO UPDATE SET outcome = 'posted'`,
			`DELETE FROM account`, `TRUNCATE account`, `DELETE FROM hold`, `TRUNCATE hold`,
			`UPDATE ledger SET home = 'us'`, `DELETE FROM ledger`, `UPDATE asset SET scale = 3`, `DELETE FROM asset`,
			`INSERT INTO schema_version (version) VALUES (9)`, `UPDATE schema_version SET version = 9`, `DELETE FROM schema_version`,
			`SELECT * FROM schema_lock`, `UPDATE schema_lock SET locked = false`,
			`CREATE TABLE mine (id INT8)`, `ALTER TABLE journal ADD COLUMN note TEXT`, `DROP TABLE entry`, `DROP INDEX journal_reverses`,
			`CREATE INDEX mine ON entry (kind)`, `CREATE SCHEMA mine`, `CREATE ROLE mine`,
		} {
			if got := code(t, conn, sql); got != insufficientPrivilege {
				t.Errorf("%s: SQLSTATE %q, want %s", sql, got, insufficientPrivilege)
			}
		}
		if d.Engine == "postgresql" { // CockroachDB has temporary tables behind an experimental setting only
			if got := code(t, conn, `CREATE TEMPORARY TABLE account (id INT8)`); got != insufficientPrivilege {
				t.Errorf("a temporary table: SQLSTATE %q, want %s", got, insufficientPrivilege)
			}
		}
	})
}

func TestApplyGrants_TakesBackWhatIsTooMuch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		owner, server := connect(t, d.AdminURL), connect(t, d.URL)
		name := role(t, d)
		mustExec(t, owner, `GRANT UPDATE, DELETE ON TABLE entry TO `+pgx.Identifier{name}.Sanitize())
		mustExec(t, owner, `GRANT CREATE ON SCHEMA public TO `+pgx.Identifier{name}.Sanitize())
		if got := code(t, server, `DELETE FROM entry`); got != "" {
			t.Fatalf("after a hasty GRANT, DELETE FROM entry: SQLSTATE %s, want it to pass", got)
		}

		if err := schema.ApplyGrants(t.Context(), d.AdminURL, name, ""); err != nil {
			t.Fatalf("ApplyGrants: %v", err)
		}
		for _, sql := range []string{`DELETE FROM entry`, `UPDATE entry SET amount = 0`, `CREATE TABLE mine (id INT8)`} {
			if got := code(t, server, sql); got != insufficientPrivilege {
				t.Errorf("%s: SQLSTATE %q, want %s", sql, got, insufficientPrivilege)
			}
		}
		if got := code(t, server, `SELECT * FROM entry`); got != "" {
			t.Errorf("SELECT * FROM entry: SQLSTATE %s, want it to pass", got)
		}
	})
}

func TestApplyGrants_SeveralAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		const administrators = 3
		results := make(chan error, administrators)
		for range administrators {
			go func() { results <- schema.ApplyGrants(t.Context(), d.AdminURL, role(t, d), "") }()
		}
		for range administrators {
			if err := <-results; err != nil {
				t.Errorf("ApplyGrants: %v", err)
			}
		}
	})
}

func TestApplyGrants_Refuses(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		if err := schema.ApplyGrants(t.Context(), d.AdminURL, "meridian_nobody", ""); !errors.Is(err, schema.ErrOlder) {
			t.Errorf("ApplyGrants on an empty database = %v, want ErrOlder", err)
		}
		if err := schema.ApplyGrants(t.Context(), d.AdminURL, "", ""); err == nil {
			t.Error("ApplyGrants to nobody passed")
		}
	})
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		err := schema.ApplyGrants(t.Context(), d.AdminURL, role(t, d), "geheimnißvoll")
		if err == nil || strings.Contains(err.Error(), "geheimni") {
			t.Errorf("ApplyGrants with a password beyond ASCII = %v, want a refusal that does not repeat it", err)
		}
	})
}

func TestApplyGrants_SetsThePassword(t *testing.T) {
	d := dbtest.New(t, "postgresql") // CockroachDB runs insecure here and takes none
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	before, had := u.User.Password()
	if !had {
		t.Skip("this server asks nobody for a password")
	}
	t.Cleanup(func() { // the role is shared by the tests of this package
		if err := schema.ApplyGrants(context.Background(), d.AdminURL, role(t, d), before); err != nil {
			t.Errorf("restore the password: %v", err)
		}
	})
	const changed = `it's "a" password \ with everything $$`
	if err := schema.ApplyGrants(t.Context(), d.AdminURL, role(t, d), changed); err != nil {
		t.Fatalf("ApplyGrants: %v", err)
	}
	u.User = url.UserPassword(role(t, d), changed)
	connect(t, u.String())
	if _, err := pgx.Connect(t.Context(), d.URL); err == nil {
		t.Error("the former password still opens the database")
	}
}

func TestGrants_CoverEveryTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		rows, _ := connect(t, d.AdminURL).Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		granted := map[string]bool{"schema_lock": true} // a server does not migrate
		for _, statement := range schema.Grants("server") {
			if _, list, ok := strings.Cut(statement, " ON TABLE "); ok && strings.HasPrefix(statement, "GRANT ") {
				list, _, _ = strings.Cut(list, " TO ")
				for table := range strings.SplitSeq(list, ", ") {
					granted[table] = true
				}
			}
		}
		for _, table := range tables {
			if !granted[table] {
				t.Errorf("no grant speaks of the table %s", table)
			}
		}
	})
}

func TestGrants_QuoteTheRole(t *testing.T) {
	for _, statement := range schema.Grants(`x"; DROP TABLE entry; --`) {
		if !strings.Contains(statement, `"x""; DROP TABLE entry; --"`) && !strings.HasSuffix(statement, " FROM PUBLIC") {
			t.Errorf("%s: the role is not quoted", statement)
		}
	}
}
