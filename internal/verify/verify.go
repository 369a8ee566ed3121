// Package verify proves the books: it reads every row on one consistent snapshot of a live system and says which promises hold.
//
// It promises to lock nothing, to disturb writers no more than any reader does, and to need the same memory for a thousand rows as for
// a billion: rows are streamed in the order in which they are stored, page by page, so that no statement runs for long, and what has to
// agree between tables is compared by keyed sums (tally.go) where joining or sorting the tables would be needed otherwise. It judges
// independently of the code that wrote: it has statements, scans and JSON forms of its own, and shares with the writers only the
// vocabulary (ids, amounts, the canonical form of a command).
//
// What it can not see: damage that was done to every trace alike, such as a decline that is gone together with its only row, or a
// transaction rewritten in the journal, the entries and the totals to something that might have been; and when it was done.
//
// It relies on package db for the snapshot and on the schema. Read report.go for what comes back, statement.go for what is held against
// an account, journal.go for what is held against a journal row, and tally.go for how the two are held against each other.
package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Options bound a run. The zero value verifies everything.
type Options struct {
	// Progress hears how many rows of a stage (statements, journal, holds, payments, history, order, stream, due …) were read so far; it is
	// called about once a page, by the goroutine that runs.
	Progress func(stage string, rows int64)
	// MaxFindings bounds the list of findings of each check, which are counted beyond it; default 100.
	MaxFindings int
	// Ledgers names the ledgers to verify; none means all. Lines that a transaction shares between a ledger named here and one that is
	// not are left out of the comparison of journal and entries: to prove those, name both.
	Ledgers []id.Ledger

	page  int64         // rows a statement may return; tests make it small
	grace time.Duration // as defaultGrace; tests make it small
}

// A page of index-ordered rows takes well under a second, and seconds where every row is read from a slow disk: far below the
// statement_timeout of package db.
const defaultPage = 10_000

// Run verifies the books as they are now. The error says that they could not be read, or errs.ErrLedgerNotFound that one of Options.Ledgers
// is not there; what is wrong with them is in the report.
func Run(ctx context.Context, d *db.DB, o Options) (Report, error) {
	started := time.Now()
	r := newRun(o)
	err := d.Snapshot(ctx, func(conn *pgx.Conn) error {
		r.conn = conn
		return r.everything(ctx)
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify the books: %w", err)
	}
	return Report{
		At: r.at, Engine: d.Engine.Name, Duration: time.Since(started), Checks: r.checks.list(), Totals: r.totals.list(), Streams: r.streams(),
	}, nil
}

// run is one verification on its way. It is for one goroutine.
type run struct {
	o      Options
	conn   *pgx.Conn
	at     time.Time
	scope  map[id.Ledger]bool // nil: all
	books  []book
	assets map[id.Ledger]known

	checks checks
	totals totals

	// What both sides of a comparison said so far.
	legs     *tally // of one transaction in one ledger and asset, which cancel out
	lines    *tally // of journal rows, and the entries that repeat them
	pending  *tally // of accounts, and the open holds behind it
	captured *tally // of holds, and the commits behind it
	lives    *tally // of holds: how the journal says they began and ended
	steps    *tally // of payments: what the journal says of them, and what their rows and histories do
	holdings *tally // of accounts: what payments hold there, and what their steps moved
	model    *tally // of what the stream makes searchable, and the search model
	abroad   *tally // of what touches other homes than its own, and their streams
	homes    []*home

	searching bool // the second reading, for the sake of what did not agree in the first: nothing is counted twice
	rows      map[string]int64
}

func newRun(o Options) *run {
	if o.MaxFindings <= 0 {
		o.MaxFindings = 100
	}
	if o.page <= 0 {
		o.page = defaultPage
	}
	if o.grace <= 0 {
		o.grace = defaultGrace
	}
	r := &run{o: o, assets: map[id.Ledger]known{}, totals: totals{}, checks: newChecks(), rows: map[string]int64{}}
	if len(o.Ledgers) > 0 {
		r.scope = make(map[id.Ledger]bool, len(o.Ledgers))
		for _, l := range o.Ledgers {
			r.scope[l] = true
		}
	}
	seed := newSeed()
	r.legs, r.lines, r.pending = newTally(seed), newTally(seed), newTally(seed)
	r.captured, r.lives, r.model = newTally(seed), newTally(seed), newTally(seed)
	r.steps, r.holdings, r.abroad = newTally(seed), newTally(seed), newTally(seed)
	return r
}

const sqlNow = `SELECT now()`

// everything reads the books once, and once more where two sides did not agree, to find out on what.
func (r *run) everything(ctx context.Context) error {
	if err := r.conn.QueryRow(ctx, sqlNow).Scan(&r.at); err != nil {
		return fmt.Errorf("ask for the instant of the snapshot: %w", err)
	}
	r.at = r.at.UTC()
	if err := r.discover(ctx); err != nil {
		return err
	}
	if err := r.discoverStreams(ctx); err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	if err := r.eachBook(ctx, (*run).reversals); err != nil {
		return err
	}
	r.judgeTotals()
	return r.search(ctx)
}

func (r *run) read(ctx context.Context) error {
	for _, pass := range []func(*run, context.Context, book) error{(*run).statements, (*run).journal, (*run).holds, (*run).payments, (*run).history, (*run).order} {
		if err := r.eachBook(ctx, pass); err != nil {
			return err
		}
	}
	for _, pass := range []func(*run, context.Context, *home) error{(*run).stream, (*run).due, (*run).deliveries, (*run).searchable} {
		if err := r.eachHome(ctx, pass); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) eachBook(ctx context.Context, pass func(*run, context.Context, book) error) error {
	for _, b := range r.books {
		if err := pass(r, ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// search reads again where sums did not agree, keeps what was said in the buckets that did not, and reports it.
func (r *run) search(ctx context.Context) error {
	all := []struct {
		tally  *tally
		check  *Check
		finder func(mismatch) Finding
	}{
		{r.legs, &r.checks.balanced, unbalanced},
		{r.lines, &r.checks.journal, strayLine},
		{r.pending, &r.checks.holds, strayPending},
		{r.captured, &r.checks.holds, strayCapture},
		{r.lives, &r.checks.holds, strayLife},
		{r.model, &r.checks.search, straySearch},
		{r.abroad, &r.checks.stream, strayLeaver},
		{r.steps, &r.checks.payments, strayPayment},
		{r.holdings, &r.checks.holdings, strayHolding},
	}
	suspicious := false
	for _, t := range all {
		suspicious = t.tally.suspect(r.o.MaxFindings) || suspicious
	}
	if !suspicious {
		return nil
	}
	r.searching = true
	clear(r.rows)
	if err := r.read(ctx); err != nil {
		return err
	}
	for _, t := range all {
		for _, m := range t.tally.mismatches() {
			t.check.add(t.finder(m), r.o.MaxFindings)
		}
		t.check.Found += t.tally.unsearched()
	}
	return nil
}

// find reports what is wrong with one row.
func (r *run) find(c *Check, f Finding) {
	if !r.searching {
		c.add(f, r.o.MaxFindings)
	}
}

// looked counts the rows that checks have seen.
func (r *run) looked(checks ...*Check) {
	if r.searching {
		return
	}
	for _, c := range checks {
		c.Rows++
	}
}

// query has the statement planned for its own parameters. A plan for any parameters, which a prepared statement comes to after some
// pages, would have to guess how much of the table a page is; measured on tables without statistics, such a guess read the whole journal
// for every page. The error comes back from whoever reads the rows.
func (r *run) query(ctx context.Context, sql string, args ...any) pgx.Rows {
	rows, _ := r.conn.Query(ctx, sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
	return rows
}

// paged runs a statement again and again, each time from where the last row left it, until a page is not full. The last two
// parameters of the statement are LIMIT and OFFSET: a page begins at the last row of the one before, and skips it.
func (r *run) paged(ctx context.Context, stage, sql string, cursor *bool, from func() []any, into []any, each func() error) error {
	for {
		skip := int64(0)
		if *cursor {
			skip = 1
		}
		n := int64(0)
		rows := r.query(ctx, sql, append(from(), r.o.page, skip)...)
		_, err := pgx.ForEachRow(rows, into, func() error {
			n++
			*cursor = true
			return each()
		})
		if err != nil {
			return fmt.Errorf("read the %s: %w", stage, err)
		}
		r.rows[stage] += n
		if r.o.Progress != nil && n > 0 {
			r.o.Progress(stage, r.rows[stage])
		}
		if n < r.o.page {
			return nil
		}
	}
}
