package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Limits are what the database does for one connection that wants one thing, as fast as it can.
type Limits struct {
	// Commits is one-row INSERT transactions a second: each waits for the disk.
	Commits float64 `json:"durable_commits_per_second"`
	// Rows is rows a second into a table like Meridian's entries, a thousand a transaction.
	Rows float64 `json:"entry_rows_per_second"`
}

// Prober measures limits on a table of its own.
type Prober struct {
	conn     *pgx.Conn
	accounts []id.Account
	next     int64 // the sequence number of new rows: no two are the same
}

const (
	sqlDropLimits = `DROP TABLE IF EXISTS bench_commit`
	sqlDropRows   = `DROP TABLE IF EXISTS bench_entry`

	sqlCreateCommits = `CREATE TABLE bench_commit (id INT8 NOT NULL PRIMARY KEY, note TEXT NOT NULL)`
	sqlCreateRows    = `CREATE TABLE bench_entry (
    home TEXT NOT NULL, ledger_id TEXT NOT NULL, account_id TEXT NOT NULL, sequence INT8 NOT NULL CHECK (sequence > 0),
    origin_ledger_id TEXT NOT NULL, transaction_id UUID NOT NULL, line INT4 NOT NULL, kind TEXT NOT NULL,
    amount DECIMAL(38, 0) NOT NULL, balance DECIMAL(38, 0) NOT NULL, pending_debits DECIMAL(38, 0) NOT NULL,
    pending_credits DECIMAL(38, 0) NOT NULL, effective_at TIMESTAMPTZ NOT NULL, recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (home, ledger_id, account_id, sequence)
)`

	sqlInsertCommit = `INSERT INTO bench_commit (id, note) VALUES ($1, 'one row')`
	sqlInsertRows   = `
INSERT INTO bench_entry (home, ledger_id, account_id, sequence, origin_ledger_id, transaction_id, line, kind,
    amount, balance, pending_debits, pending_credits, effective_at, recorded_at)
SELECT 'eu', 'bench', e.account_id, $2, 'bench', e.transaction_id, 0, 'transfer', e.amount::decimal, e.balance::decimal, 0, 0, now(), now()
FROM unnest($1::text[], $3::uuid[], $4::text[], $5::text[]) AS e (account_id, transaction_id, amount, balance)`

	rowsABatch = 1000
)

// OpenProber connects and makes the tables.
func OpenProber(ctx context.Context, url string, b Books) (*Prober, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to measure limits: %w", err)
	}
	p := &Prober{conn: conn, accounts: b.Accounts}
	for _, sql := range []string{sqlDropLimits, sqlDropRows, sqlCreateCommits, sqlCreateRows} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			_ = conn.Close(ctx)
			return nil, fmt.Errorf("make the tables of the limits: %w", err)
		}
	}
	return p, nil
}

// Close drops the tables and disconnects.
func (p *Prober) Close(ctx context.Context) error {
	defer p.conn.Close(ctx)
	for _, sql := range []string{sqlDropLimits, sqlDropRows} {
		if _, err := p.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("drop the tables of the limits: %w", err)
		}
	}
	return nil
}

// Measure takes each of the two for that long.
func (p *Prober) Measure(ctx context.Context, each time.Duration) (Limits, error) {
	var l Limits
	var err error
	if l.Commits, err = p.repeat(ctx, each, p.commit); err != nil {
		return l, fmt.Errorf("measure durable commits: %w", err)
	}
	if l.Rows, err = p.repeat(ctx, each, p.rows); err != nil {
		return l, fmt.Errorf("measure rows: %w", err)
	}
	return l, nil
}

// repeat returns what was inserted a second. Once is for the statement to be prepared, and does not count.
func (p *Prober) repeat(ctx context.Context, each time.Duration, insert func(context.Context) (int64, error)) (float64, error) {
	if _, err := insert(ctx); err != nil {
		return 0, err
	}
	for started, done := time.Now(), int64(0); ; {
		n, err := insert(ctx)
		if err != nil {
			return 0, err
		}
		done += n
		if took := time.Since(started); took >= each {
			return float64(done) / took.Seconds(), nil
		}
	}
}

func (p *Prober) commit(ctx context.Context) (int64, error) {
	p.next++
	tag, err := p.conn.Exec(ctx, sqlInsertCommit, p.next)
	return tag.RowsAffected(), err
}

func (p *Prober) rows(ctx context.Context) (int64, error) {
	p.next++
	n := min(rowsABatch, len(p.accounts))
	names, transactions := make([]string, n), make([][16]byte, n)
	amounts, balances := make([]string, n), make([]string, n)
	for i, at := range rand.Perm(len(p.accounts))[:n] {
		names[i], amounts[i], balances[i] = string(p.accounts[at]), "-42", "1000000000042"
	}
	tag, err := p.conn.Exec(ctx, sqlInsertRows, names, p.next, transactions, amounts, balances)
	return tag.RowsAffected(), err
}
