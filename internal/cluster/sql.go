package cluster

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// localURL is the address of a node of ours. TLS would protect nothing: the engines listen on 127.0.0.1 only.
func localURL(user *url.Userinfo, port int, db string) string {
	u := url.URL{
		Scheme: "postgresql", User: user, Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// redact returns a URL fit for a log.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// awaitSQL returns a connection as soon as the server that the processes make up answers on one.
func awaitSQL(ctx context.Context, dbURL string, procs ...*process) (*pgx.Conn, error) {
	var conn *pgx.Conn
	err := untilReady(ctx, procs, func(ctx context.Context) (err error) {
		conn, err = pgx.Connect(ctx, dbURL)
		if err != nil {
			return err
		}
		// A connection alone proves little: CockroachDB gives one before the cluster can answer.
		if err := conn.Ping(ctx); err != nil {
			_ = conn.Close(ctx)
			return err
		}
		return nil
	})
	return conn, err
}

// execEach runs the statements one after another, each on its own: CockroachDB wants schema changes and cluster settings
// outside of transactions.
func execEach(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("run %q: %w", sql, err)
		}
	}
	return nil
}

var versionPattern = regexp.MustCompile(`^(CockroachDB|PostgreSQL) (?:CCL |OSS )?(\S+)`)

// identify asks a server what it is.
func identify(ctx context.Context, dbURL string) (name, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dbURL)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var text string
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&text); err != nil {
		return "", "", fmt.Errorf("ask the server for its version: %w", err)
	}
	return parseVersion(text)
}

// parseVersion reads the answer to SELECT version().
func parseVersion(text string) (name, version string, err error) {
	match := versionPattern.FindStringSubmatch(text)
	if match == nil {
		return "", "", fmt.Errorf("the server calls itself %q: neither CockroachDB nor PostgreSQL", text)
	}
	if match[1] == "CockroachDB" {
		return CockroachDB, match[2], nil
	}
	return PostgreSQL, match[2], nil
}
