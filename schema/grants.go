package schema

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
)

// rights are all that the role of a server may do. Journal, entry, stream, the history of payments and of sagas and what reconciliation found are for ever:
// nobody who holds the server's password can change or remove a line of them. Accounts, holds, payments and players change with commands, sagas with their steps; SELECT … FOR UPDATE asks for UPDATE as well. A server makes no
// tables.
var rights = []struct{ tables, may, not string }{
	{"ledger, asset, journal, entry, stream, payment_step, saga_step", "SELECT, INSERT", "UPDATE, DELETE"},
	{"account, hold, payment, player, saga", "SELECT, INSERT, UPDATE", "DELETE"},
	{"relay, subscription, progress, replay, callback", "SELECT, INSERT, UPDATE", "DELETE"},
	{"subscription_secret, delivery, search_state, search_transaction, search_account", "SELECT, INSERT, UPDATE, DELETE", ""},
	{"statement, statement_line, recon_result, recon_resolution, recon_decision", "SELECT, INSERT", "UPDATE, DELETE"},
	{"recon_run", "SELECT, INSERT, UPDATE", "DELETE"},
	{"schema_version", "SELECT", "INSERT, UPDATE, DELETE"},
}

// Grants renders the statements that give a role what a server needs, and take from it what an earlier version or a hasty hand gave it
// on top. The role must exist, and the schema be up to date. Both engines take them, in this order, any number of times. TRUNCATE is not
// among them: CockroachDB asks for DROP instead and knows no such right, and neither is given to anybody but the owner.
func Grants(role string) []string {
	to := pgx.Identifier{role}.Sanitize()
	statements := []string{
		"GRANT USAGE ON SCHEMA public TO " + to,
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", // PostgreSQL 14 and CockroachDB let everybody make tables there
		"REVOKE CREATE ON SCHEMA public FROM " + to,
	}
	for _, r := range rights {
		statements = append(statements, fmt.Sprintf("GRANT %s ON TABLE %s TO %s", r.may, r.tables, to))
		if r.not != "" {
			statements = append(statements, fmt.Sprintf("REVOKE %s ON TABLE %s FROM %s", r.not, r.tables, to))
		}
	}
	return statements
}

const sqlRoleExists = `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)`

// ApplyGrants creates the role if it is missing, able to log in, sets its password unless that is empty, and applies Grants. The role of
// the URL must own the database and be allowed to create roles. The password is printable ASCII; it is hashed here, so that no log
// of the server ever shows it. A CockroachDB that runs insecure refuses passwords.
func ApplyGrants(ctx context.Context, url, role, password string) error {
	if role == "" {
		return errors.New("the server's role needs a name")
	}
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	if err := Check(ctx, conn); err != nil {
		return fmt.Errorf("grant rights on the tables: %w", err)
	}
	return books.locked(ctx, conn.Config(), func(migrator) error {
		if err := ensureRole(ctx, conn, role, password); err != nil {
			return err
		}
		for _, statement := range Grants(role) {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return grantChangefeeds(ctx, conn, role)
	})
}

func ensureRole(ctx context.Context, conn *pgx.Conn, role, password string) error {
	name := pgx.Identifier{role}.Sanitize()
	var exists bool
	if err := conn.QueryRow(ctx, sqlRoleExists, role).Scan(&exists); err != nil {
		return fmt.Errorf("look for the role %s: %w", name, err)
	}
	if !exists {
		_, err := conn.Exec(ctx, "CREATE ROLE "+name+" WITH LOGIN")
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == duplicateObject {
			err = nil // roles belong to all databases of a server: somebody at another one was faster
		}
		if err != nil {
			return fmt.Errorf("create the role %s: %w", name, err)
		}
	}
	if password == "" {
		return nil
	}
	hash, err := hashPassword(password)
	if err != nil {
		return fmt.Errorf("hash the password of the role %s: %w", name, err)
	}
	if _, err := conn.Exec(ctx, "ALTER ROLE "+name+" WITH PASSWORD '"+hash+"'"); err != nil {
		return fmt.Errorf("set the password of the role %s: %w", name, err)
	}
	return nil
}

// grantChangefeeds lets a role start changefeeds where that is an option of roles: CockroachDB asks for it up to v22.1, and later for SELECT
// alone.
func grantChangefeeds(ctx context.Context, conn *pgx.Conn, role string) error {
	engine, _, err := db.Detect(ctx, conn)
	if err != nil || engine.RoleOption == "" {
		return err
	}
	statement := "ALTER ROLE " + pgx.Identifier{role}.Sanitize() + " WITH " + engine.RoleOption
	_, err = conn.Exec(ctx, statement)
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == syntaxError {
		return nil // a version that has no such option any more
	}
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

const (
	duplicateObject = "42710"
	syntaxError     = "42601"
)

// hashPassword returns what a server stores for SCRAM-SHA-256 (RFC 5803, as PostgreSQL spells it); both engines store it as it stands.
// The iterations are PostgreSQL's default and the fewest that CockroachDB takes: every connection of a pool pays for them.
func hashPassword(password string) (string, error) {
	for _, r := range password {
		if r < ' ' || r > '~' { // others are normalized before they are hashed (RFC 4013)
			return "", errors.New("it has characters other than printable ASCII")
		}
	}
	const iterations = 4096
	salt := make([]byte, 16)
	rand.Read(salt) //nolint:errcheck // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(sign("Server Key"))), nil
}
