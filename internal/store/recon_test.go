package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/recon/statement"
	"github.com/meridian-ledger/meridian/internal/store"
)

const reconMapping = `name: psp
pending:
  - {status: pending}
id: "{id}"
reference: "{reference}"
date: {value: "{day}", format: "%Y-%m-%d"}
asset: "{currency}"
amount: {value: "{amount}"}
direction: {positive: credit}
`

const reconRules = `name: daily
books: {accounts: ["psp:"]}
match: [one_to_one, tolerance, one_to_many, many_to_one]
window: {earlier: 1d, later: 3d}
tolerance: {minor_units: 2}
`

// reconciling is a ledger with a provider and its service.
type reconciling struct {
	dbtest.Database
	books struct {
		*store.Store
		*commit.Committer
	}
	service *recon.Service
	ledger  ledger.Ledger
	day     time.Time
}

func newReconciling(t *testing.T, d dbtest.Database) *reconciling {
	t.Helper()
	r := &reconciling{Database: d, day: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -10)}
	r.books.Store = store.New(d.DB)
	r.books.Committer = commit.New(r.books.Store, commit.Options{Lifecycle: payment.Default().Lifecycle()})
	t.Cleanup(func() {
		if err := r.books.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	var err error
	r.ledger, err = r.books.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "JPY"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []id.Account{"psp:clearing", "other:clearing", "suspense"} {
		r.do(t, ledger.Command{Kind: ledger.KindOpen, Ledger: "brand", Key: id.Key("open-" + account), Account: account, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}})
	}
	r.service = recon.NewService(r.books.Store, r.books, recon.NewMetrics(nil))
	return r
}

func (r *reconciling) do(t *testing.T, c ledger.Command) ledger.Outcome {
	t.Helper()
	o, err := ledger.Do(t.Context(), r.books, c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// deposit lets money come in through the provider.
func (r *reconciling) deposit(t *testing.T, reference string, minor int64, days int) ledger.Outcome {
	t.Helper()
	return r.do(t, ledger.Command{
		Kind: ledger.KindDebit, Ledger: "brand", Key: id.Key("deposit-" + reference), Account: "psp:clearing", Counter: "suspense", Reference: reference,
		Amount: &ledger.Money{Minor: money.FromInt64(minor), Asset: "EUR"}, EffectiveAt: r.day.AddDate(0, 0, days),
	})
}

// statement makes a file of lines: reference, amount, days, status.
func (r *reconciling) statement(rows ...string) []byte {
	var b bytes.Buffer
	b.WriteString("id,reference,day,currency,amount,status\n")
	for i, row := range rows {
		var reference, amount, status string
		var days int
		_, _ = fmt.Sscanf(strings.ReplaceAll(row, ",", " "), "%s %s %d %s", &reference, &amount, &days, &status)
		fmt.Fprintf(&b, "l%d,%s,%s,EUR,%s,%s\n", i, reference, r.day.AddDate(0, 0, days).Format(time.DateOnly), amount, status)
	}
	return b.Bytes()
}

func (r *reconciling) load(t *testing.T, content []byte) (recon.Statement, bool) {
	t.Helper()
	f := statement.File{Ledger: "brand", Provider: "psp", Name: "day.csv", Format: statement.CSV, Mapping: []byte(reconMapping), MapName: "map.yaml"}
	st, there, err := r.service.Import(t.Context(), source(t, f), bytes.NewReader(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	return st, there
}

func (r *reconciling) request(t *testing.T, cut time.Time) recon.Request {
	t.Helper()
	rules, err := recon.ParseRules("rules.yaml", []byte(reconRules))
	if err != nil {
		t.Fatal(err)
	}
	return recon.Request{Ledger: "brand", Provider: "psp", Rules: rules, Cut: cut}
}

func (r *reconciling) run(t *testing.T, cut time.Time) (recon.Run, bool, []recon.Result) {
	t.Helper()
	run, again, err := r.service.Run(t.Context(), r.request(t, cut), nil)
	if err != nil {
		t.Fatal(err)
	}
	results, err := r.books.Results(t.Context(), r.ledger, run, "", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return run, again, results
}

func verdictsOf(results []recon.Result) []string {
	var all []string
	for _, r := range results {
		all = append(all, fmt.Sprintf("%s %s %s %s", r.Reference, r.Verdict, r.Reason, r.Difference))
	}
	return all
}

func TestRecon_ComparesTheBooksWithAStatementTheSameEveryTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		for i, reference := range []string{"B", "a", "ä", "c", "d"} { // which no collation but that of bytes has in this order
			r.deposit(t, reference, int64(1000+i), 2)
		}
		r.deposit(t, "gone", 500, 2)
		first := r.deposit(t, "undone", 700, 2)
		r.do(t, ledger.Command{Kind: ledger.KindReverse, Ledger: "brand", Key: "undo", Target: first.Transaction})
		r.do(t, ledger.Command{ // refused for its asset: the line that names it is missing here
			Kind: ledger.KindDebit, Ledger: "brand", Key: "wrong", Account: "psp:clearing", Counter: "suspense", Reference: "refused",
			Amount: &ledger.Money{Minor: money.FromInt64(5), Asset: "JPY"}, EffectiveAt: r.day,
		})
		r.do(t, ledger.Command{ // of another provider
			Kind: ledger.KindDebit, Ledger: "brand", Key: "other", Account: "other:clearing", Counter: "suspense", Reference: "elsewhere",
			Amount: &ledger.Money{Minor: money.FromInt64(5), Asset: "EUR"}, EffectiveAt: r.day,
		})
		file := r.statement("B,10.00,2", "a,10.03,2", "ä,10.02,2", "c,10.03,5", "d,4.00,3", "d,6.04,3", "undone,7.00,2", "refused,5.00,0", "new,1.00,8", "later,1.00,8,pending")
		st, there := r.load(t, file)
		if there || st.Lines != 10 || st.Pending != 1 {
			t.Errorf("the statement is %+v, there %t", st, there)
		}
		if again, there := r.load(t, file); !there || again != st {
			t.Errorf("the second import is %+v, there %t", again, there)
		}
		want := []string{
			"B matched exact 0", "a matched tolerated 2", "c matched exact 0", "d matched sum 0", "d matched sum 0", "gone missing_there not_in_lines -500",
			"new missing_here not_in_books 100", "refused missing_here declined_here 500", "undone missing_here reversed_here 700", "ä matched exact 0",
		}
		cut := time.Now()
		run, again, results := r.run(t, cut)
		if got := verdictsOf(results); again || !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if !run.Done || run.Results != int64(len(results)) || len(run.Totals) != 1 || run.Totals[0].Open != 4 || run.Totals[0].InDoubt != money.FromInt64(1800) {
			t.Errorf("the run is %+v", run)
		}
		r.deposit(t, "new", 100, 8) // beyond the cut
		if same, again, _ := r.run(t, cut); !again || same.ResultHash != run.ResultHash || same.EndedAt != run.EndedAt {
			t.Errorf("the second run is %+v, again %t", same, again)
		}
		missing, err := r.books.Results(t.Context(), r.ledger, run, recon.MissingHere, 7, 10)
		if got := verdictsOf(missing); err != nil || !slices.Equal(got, want[7:9]) {
			t.Errorf("of the verdict after 7: %q, %v", got, err)
		}
		later, again, _ := r.run(t, time.Now())
		if again || later.Totals[0].Open != 3 {
			t.Errorf("the run after the deposit is %+v", later)
		}
		if latest, err := r.books.LatestRuns(t.Context()); err != nil || len(latest) != 1 || latest[0].ID != later.ID {
			t.Errorf("the latest runs are %+v, %v", latest, err)
		}
	})
}

// A snapshot whose books are not what they were is not passed over in silence.
func TestRecon_SaysThatTheBooksBeforeTheCutHaveChanged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		r.deposit(t, "a", 100, 2)
		r.load(t, r.statement("a,1.00,2"))
		cut := time.Now()
		r.run(t, cut)
		owner, err := pgx.Connect(t.Context(), d.AdminURL)
		if err != nil {
			t.Fatal(err)
		}
		defer owner.Close(context.Background())
		if _, err := owner.Exec(t.Context(), `UPDATE journal SET effective_at = effective_at + INTERVAL '1 hour' WHERE reference = 'a'`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.service.Run(t.Context(), r.request(t, cut), nil); !errors.Is(err, errs.ErrInternal) || !strings.Contains(err.Error(), "is not what it was") {
			t.Errorf("the second run: %v", err)
		}
	})
}

func TestRecon_AnInterruptedRunIsBegunAnew(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		r.deposit(t, "a", 100, 2)
		r.load(t, r.statement("a,1.00,2", "b,1.00,2"))
		cut := time.Now()
		run, _, want := r.run(t, cut)
		lost := run
		lost.ID, lost.Done = recon.RunID{Transaction: id.TransactionOf("brand", "lost")}, false
		for attempt := int64(1); attempt < 3; attempt++ {
			var err error
			if lost.Attempt, err = r.books.BeginRun(t.Context(), r.ledger, lost); err != nil || lost.Attempt != attempt {
				t.Fatalf("attempt %d: %d, %v", attempt, lost.Attempt, err)
			}
			if err := r.books.AddResults(t.Context(), r.ledger, lost, want[:attempt]); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.books.EndRun(t.Context(), r.ledger, lost); err != nil {
			t.Fatal(err)
		}
		done, err := r.books.Run(t.Context(), r.ledger, lost.ID)
		if err != nil || !done.Done {
			t.Fatalf("%+v, %v", done, err)
		}
		if got, err := r.books.Results(t.Context(), r.ledger, done, "", 0, 10); err != nil || !slices.Equal(verdictsOf(got), verdictsOf(want)) {
			t.Errorf("of the attempt that was finished: %q, %v", verdictsOf(got), err)
		}
	})
}

func TestRecon_ABrokenStatementLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		f := statement.File{Ledger: "brand", Provider: "psp", Name: "day.csv", Format: statement.CSV, Mapping: []byte(reconMapping), MapName: "map.yaml"}
		content := "id,reference,day,currency,amount,status\n1,a,2026-11-01,EUR,1.00,\n2,b,2026-11-32,EUR,1.00,\n3,c,2026-11-01,EUR,1.001,\n4,d,2026-11-01,USD,1,\n"
		_, _, err := r.service.Import(t.Context(), source(t, f), strings.NewReader(content), nil)
		for _, want := range []string{"day.csv:3: date:", "day.csv:4: amount:", "day.csv:5: asset:"} {
			if !errors.Is(err, errs.Invalid("", "")) || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %s", err, want)
			}
		}
		var lines int
		if err := d.DB.Reader().QueryRow(t.Context(), `SELECT count(*) FROM statement_line`).Scan(&lines); err != nil || lines != 0 {
			t.Errorf("%d lines, %v", lines, err)
		}
	})
}

func TestRecon_TwoPeopleCloseADifferenceOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		r.deposit(t, "a", 100, 2)
		r.load(t, r.statement("a,1.50,2"))
		cut := time.Now()
		run, _, results := r.run(t, cut)
		if got := verdictsOf(results); len(got) != 1 || got[0] != "a amount_differs amount 50" {
			t.Fatalf("%q", got)
		}
		proposal := recon.Proposal{
			Ledger: "brand", Run: run.ID, Result: 1, Actor: " Alice ", Reason: "a fee that was given back", Attachment: [32]byte{1}, Account: "psp:clearing", Counter: "suspense",
		}
		for field, change := range map[string]func(*recon.Proposal){
			"reason": func(p *recon.Proposal) { p.Reason = " " }, "attachment_sha256": func(p *recon.Proposal) { p.Attachment = [32]byte{} },
			"account_id": func(p *recon.Proposal) { p.Account = "suspense:2" }, "counter_account_id": func(p *recon.Proposal) { p.Counter = p.Account },
			"actor": func(p *recon.Proposal) { p.Actor = "" },
		} {
			p := proposal
			change(&p)
			if _, err := r.service.Propose(t.Context(), p); errs.Of(err).Fields["field"] != field {
				t.Errorf("without %s: %v", field, err)
			}
		}
		resolution, err := r.service.Propose(t.Context(), proposal)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.service.Propose(t.Context(), proposal); err != nil || again.ID != resolution.ID {
			t.Errorf("the same proposal again is %+v, %v", again, err)
		}
		if _, _, err := r.service.Approve(t.Context(), "brand", resolution.ID, "ALICE"); !errors.Is(err, errs.ErrFourEyes) {
			t.Errorf("its proposer: %v", err)
		}
		approved, outcome, err := r.service.Approve(t.Context(), "brand", resolution.ID, "bob")
		if err != nil || outcome.Decided != ledger.Posted || outcome.Entries[0].Amount != money.FromInt64(-50) || outcome.Entries[0].Ref.Account != "psp:clearing" {
			t.Fatalf("%+v, %v", outcome, err)
		}
		if n := len(approved.Decisions); n != 2 || approved.Decisions[0].Decided != recon.Refused || approved.Decisions[1].Decided != recon.Approved {
			t.Errorf("decided: %+v", approved.Decisions)
		}
		if _, again, err := r.service.Approve(t.Context(), "brand", resolution.ID, "bob"); err != nil || !again.Replayed || again.Transaction != outcome.Transaction {
			t.Errorf("the same approval again: %+v, %v", again, err)
		}
		if _, _, err := r.service.Approve(t.Context(), "brand", resolution.ID, "carol"); !errors.Is(err, errs.ErrDecided) {
			t.Errorf("somebody else: %v", err)
		}
		record, err := r.books.Transaction(t.Context(), "brand", outcome.Transaction)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"proposer": "alice"`, `"approver": "bob"`, "0100000000", "a fee that was given back", `"reference": "a"`} {
			if !strings.Contains(strings.ReplaceAll(string(record.Request), `":"`, `": "`), want) {
				t.Errorf("the journal has no %s: %s", want, record.Request)
			}
		}
		second := proposal
		second.Reason = "another one"
		other, err := r.service.Propose(t.Context(), second)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.service.Approve(t.Context(), "brand", other.ID, "bob"); !errors.Is(err, errs.ErrDecided) {
			t.Errorf("a second adjustment of one difference: %v", err)
		}
		if rejected, err := r.service.Reject(t.Context(), "brand", other.ID, "bob", "it is closed"); err != nil || rejected.Decisions[len(rejected.Decisions)-1].Decided != recon.Rejected {
			t.Errorf("reject: %+v, %v", rejected, err)
		}
		if _, _, after := r.run(t, time.Now()); len(after) == 0 || slices.ContainsFunc(after, recon.Result.Open) {
			t.Errorf("after the adjustment: %q", verdictsOf(after))
		}
	})
}

// What Go refuses kindly, the tables refuse as well.
func TestRecon_TheTablesKeepFourEyes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := newReconciling(t, d)
		r.load(t, r.statement("a,1.50,2"))
		run, _, _ := r.run(t, time.Now())
		resolution, err := r.service.Propose(t.Context(), recon.Proposal{
			Ledger: "brand", Run: run.ID, Result: 1, Actor: "alice", Reason: "why", Attachment: [32]byte{1}, Account: "psp:clearing", Counter: "suspense",
		})
		if err != nil {
			t.Fatal(err)
		}
		own := recon.Decision{Actor: "alice", Decided: recon.Approved, Key: "k", Transaction: id.TransactionOf("brand", "k"), At: time.Now()}
		if err := r.books.Decide(t.Context(), r.ledger, resolution, own); !errors.Is(err, errs.ErrFourEyes) {
			t.Errorf("an approval by the proposer: %v", err)
		}
		forged := resolution
		forged.Proposer = "mallory"
		if err := r.books.Decide(t.Context(), r.ledger, forged, own); err == nil {
			t.Error("an approval under a forged proposer was taken")
		}
		conn, err := pgx.Connect(t.Context(), d.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		for _, sql := range []string{
			`UPDATE recon_resolution SET proposer = 'mallory'`, `DELETE FROM recon_decision`, `UPDATE recon_result SET verdict = 'matched'`,
			`DELETE FROM statement_line`, `UPDATE statement SET lines = 1`, `DELETE FROM recon_run`,
		} {
			if _, err := conn.Exec(t.Context(), sql); err == nil {
				t.Errorf("%s passed", sql)
			}
		}
	})
}

func source(t *testing.T, f statement.File) recon.Source {
	t.Helper()
	s, err := f.Source()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
