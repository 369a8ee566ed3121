package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/recon"
)

// statementView is what a script reads of a statement.
type statementView struct {
	ID       string    `json:"statement_id"`
	Provider string    `json:"provider"`
	File     string    `json:"file_name"`
	Hash     string    `json:"file_sha256"`
	Lines    int64     `json:"lines"`
	Pending  int64     `json:"pending"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Imported time.Time `json:"imported_at"`
	There    bool      `json:"already_there"`
}

func printImported(w io.Writer, st recon.Statement, there, asJSON bool) error {
	if asJSON {
		return printJSON(w, statementView{
			ID: st.ID.String(), Provider: st.Provider, File: st.File, Hash: hex.EncodeToString(st.FileHash[:]), Lines: st.Lines, Pending: st.Pending,
			From: st.From, To: st.To, Imported: st.Imported, There: there,
		})
	}
	what := "imported"
	if there {
		what = "there already, since " + st.Imported.Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(w, "statement %s of %s: %d lines, %d of them pending, %s to %s; %s\n", st.ID, st.Provider, st.Lines, st.Pending,
		st.From.Format(time.DateOnly), st.To.AddDate(0, 0, -1).Format(time.DateOnly), what)
	return err
}

// runView is what a script reads of a run.
type runView struct {
	ID         string              `json:"run_id"`
	Provider   string              `json:"provider"`
	Statements []recon.StatementID `json:"statement_ids"`
	From       time.Time           `json:"from"`
	To         time.Time           `json:"to"`
	Cut        time.Time           `json:"as_of"`
	Rules      string              `json:"rules"`
	Done       bool                `json:"done"`
	Started    time.Time           `json:"started_at"`
	Ended      time.Time           `json:"ended_at,omitzero"`
	Books      int64               `json:"books"`
	BooksHash  string              `json:"books_sha256"`
	Results    int64               `json:"results"`
	Hash       string              `json:"results_sha256"`
	Totals     []recon.Total       `json:"totals"`
	Again      bool                `json:"again,omitempty"`
}

func runViewOf(r recon.Run, again bool) runView {
	return runView{
		ID: r.ID.String(), Provider: r.Provider, Statements: r.Statements, From: r.From, To: r.To, Cut: r.Cut, Rules: r.Rules.Name(), Done: r.Done,
		Started: r.StartedAt, Ended: r.EndedAt, Books: r.Books, BooksHash: hex.EncodeToString(r.BooksHash[:]), Results: r.Results,
		Hash: hex.EncodeToString(r.ResultHash[:]), Totals: r.Totals, Again: again,
	}
}

func printRun(w io.Writer, r recon.Run, again, asJSON bool) error {
	if asJSON {
		return printJSON(w, runViewOf(r, again))
	}
	state := "not done: run it again"
	switch {
	case again:
		state = "compared again: the same results"
	case r.Done:
		state = "done in " + r.EndedAt.Sub(r.StartedAt).Round(time.Millisecond).String()
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "run %s of %s, %s to %s, books as of %s\n", r.ID, r.Provider, r.From.Format(time.DateOnly), r.To.Add(-1).Format(time.DateOnly), r.Cut.Format(time.RFC3339))
	fmt.Fprintf(out, "%d movements here, %d results, hash %x; %s\n", r.Books, r.Results, r.ResultHash[:8], state)
	for _, t := range r.Totals {
		fmt.Fprintf(out, "  %-6s", t.Asset)
		for _, v := range recon.Verdicts {
			if n := t.Verdicts[v]; n > 0 {
				fmt.Fprintf(out, "  %d %s", n, v)
			}
		}
		if t.Open > 0 {
			fmt.Fprintf(out, "; %d open, %s minor units in doubt, the oldest of %s", t.Open, t.InDoubt, t.Oldest.Format(time.DateOnly))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

func printRuns(w io.Writer, runs []recon.Run, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(runs, func(r recon.Run) runView { return runViewOf(r, false) }))
	}
	out := bufio.NewWriter(w)
	for _, r := range runs {
		open := int64(0)
		for _, t := range r.Totals {
			open += t.Open
		}
		fmt.Fprintf(out, "%s  %s  %-16s %s to %s  %d results, %d open\n", r.StartedAt.Format(time.RFC3339), r.ID, r.Provider, r.From.Format(time.DateOnly),
			r.To.Add(-1).Format(time.DateOnly), r.Results, open)
	}
	return out.Flush()
}

// resultView is what a script reads of a result, and the columns of an export.
type resultView struct {
	Number      int64           `json:"number"`
	Match       int64           `json:"match"`
	Verdict     recon.Verdict   `json:"verdict"`
	Reason      recon.Reason    `json:"reason"`
	Way         recon.Way       `json:"way,omitempty"`
	Reference   string          `json:"reference"`
	Asset       money.Code      `json:"asset"`
	Difference  money.Amount    `json:"difference"`
	Statement   string          `json:"statement_id,omitempty"`
	Line        int64           `json:"line_number,omitempty"`
	LineAmount  *money.Amount   `json:"line_amount,omitempty"`
	LineDate    time.Time       `json:"line_date,omitzero"`
	Transaction string          `json:"transaction_id,omitempty"`
	Payment     string          `json:"payment_id,omitempty"`
	BookAmount  *money.Amount   `json:"book_amount,omitempty"`
	BookDate    time.Time       `json:"book_date,omitzero"`
	Evidence    json.RawMessage `json:"evidence,omitempty"`
	Compared    time.Time       `json:"compared_at"`
}

func resultViewOf(run recon.Run, r recon.Result) resultView {
	v := resultView{
		Number: r.Number, Match: r.Match, Verdict: r.Verdict, Reason: r.Reason, Way: r.Way, Reference: r.Reference, Asset: r.Asset, Difference: r.Difference,
		Evidence: r.Evidence, Compared: run.StartedAt,
	}
	if r.Line != nil {
		v.Statement, v.Line, v.LineAmount, v.LineDate = r.Line.Statement.String(), r.Line.Number, &r.Line.Amount, r.Line.Date
	}
	if r.Book != nil {
		v.Transaction, v.BookAmount, v.BookDate = r.Book.Transaction.String(), &r.Book.Amount, r.Book.Date
		if !r.Book.Payment.IsZero() {
			v.Payment = r.Book.Payment.String()
		}
	}
	return v
}

var resultColumns = []string{
	"number", "match", "verdict", "reason", "way", "reference", "asset", "difference", "statement_id", "line_number", "line_amount", "line_date",
	"transaction_id", "payment_id", "book_amount", "book_date", "evidence", "compared_at",
}

func (v resultView) row() []string {
	amount := func(a *money.Amount) string {
		if a == nil {
			return ""
		}
		return a.String()
	}
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	line := ""
	if v.Line > 0 {
		line = strconv.FormatInt(v.Line, 10)
	}
	return []string{
		strconv.FormatInt(v.Number, 10), strconv.FormatInt(v.Match, 10), string(v.Verdict), string(v.Reason), string(v.Way), v.Reference, string(v.Asset),
		v.Difference.String(), v.Statement, line, amount(v.LineAmount), date(v.LineDate), v.Transaction, v.Payment, amount(v.BookAmount), date(v.BookDate),
		string(v.Evidence), date(v.Compared),
	}
}

// exportRun writes results a thousand at a time.
func exportRun(ctx context.Context, w io.Writer, s *recon.Service, l ledger.Ledger, run recon.Run, verdict recon.Verdict, format string) error {
	out := bufio.NewWriter(w)
	write, flush := csvRows(out)
	if format == "jsonl" {
		encoder := json.NewEncoder(out)
		write, flush = func(v resultView) error { return encoder.Encode(v) }, out.Flush
	}
	const page = 1000
	for after := int64(0); ; {
		found, err := s.Store().Results(ctx, l, run, verdict, after, page)
		if err != nil {
			return err
		}
		for _, r := range found {
			after = r.Number
			if err := write(resultViewOf(run, r)); err != nil {
				return fmt.Errorf("write the results: %w", err)
			}
		}
		if len(found) < page {
			return flush()
		}
	}
}

func csvRows(out *bufio.Writer) (write func(resultView) error, flush func() error) {
	rows, first := csv.NewWriter(out), true
	header := func() error {
		if !first {
			return nil
		}
		first = false
		return rows.Write(resultColumns)
	}
	write = func(v resultView) error {
		if err := header(); err != nil {
			return err
		}
		return rows.Write(v.row())
	}
	return write, func() error {
		if err := header(); err != nil {
			return err
		}
		rows.Flush()
		if err := rows.Error(); err != nil {
			return err
		}
		return out.Flush()
	}
}

// showRun prints a run with what is open, and what was proposed.
func showRun(ctx context.Context, w io.Writer, s *recon.Service, l ledger.Ledger, run recon.Run, limit int, asJSON bool) error {
	var open []resultView
	for _, v := range recon.Verdicts {
		if v == recon.Matched || v == recon.Late {
			continue
		}
		found, err := s.Store().Results(ctx, l, run, v, 0, limit)
		if err != nil {
			return err
		}
		for _, r := range found {
			open = append(open, resultViewOf(run, r))
		}
	}
	resolutions, err := s.Store().Resolutions(ctx, l, run.ID)
	if err != nil {
		return err
	}
	if asJSON {
		view := struct {
			runView
			Open        []resultView     `json:"open"`
			Resolutions []resolutionView `json:"resolutions"`
		}{runView: runViewOf(run, false), Open: open}
		for _, r := range resolutions {
			view.Resolutions = append(view.Resolutions, resolutionViewOf(r))
		}
		return printJSON(w, view)
	}
	if err := printRun(w, run, false, false); err != nil {
		return err
	}
	for _, v := range open {
		asset, _ := l.Asset(v.Asset)
		where := v.Transaction
		if v.Line > 0 {
			where = fmt.Sprintf("line %d of %s %s", v.Line, v.Statement, v.Transaction)
		}
		if _, err := fmt.Fprintf(w, "%8d  %-14s %-14s %14s %-4s %s  %s\n", v.Number, v.Verdict, v.Reason, asset.Format(v.Difference), v.Asset, v.Reference, where); err != nil {
			return err
		}
	}
	for _, r := range resolutions {
		if err := printResolution(w, l, r, false); err != nil {
			return err
		}
	}
	return nil
}

// resolutionView is what a script reads of a resolution.
type resolutionView struct {
	ID         string         `json:"resolution_id"`
	Run        string         `json:"run_id"`
	Result     int64          `json:"result"`
	Proposer   string         `json:"proposer"`
	Reason     string         `json:"reason"`
	Attachment string         `json:"attachment_sha256"`
	Account    id.Account     `json:"account_id"`
	Counter    id.Account     `json:"counter_account_id"`
	Asset      money.Code     `json:"asset"`
	Difference money.Amount   `json:"difference"`
	Reference  string         `json:"reference"`
	Proposed   time.Time      `json:"proposed_at"`
	Decisions  []decisionView `json:"decisions"`
}

type decisionView struct {
	Actor       string         `json:"actor"`
	Decided     recon.Decided  `json:"decided"`
	Why         string         `json:"why,omitempty"`
	Transaction id.Transaction `json:"transaction_id,omitzero"`
	At          time.Time      `json:"decided_at"`
}

func resolutionViewOf(r recon.Resolution) resolutionView {
	v := resolutionView{
		ID: r.ID.String(), Run: r.Run.String(), Result: r.Result, Proposer: r.Proposer, Reason: r.Reason, Attachment: hex.EncodeToString(r.Attachment[:]),
		Account: r.Account, Counter: r.Counter, Asset: r.Asset, Difference: r.Difference, Reference: r.Reference, Proposed: r.ProposedAt,
		Decisions: []decisionView{},
	}
	for _, d := range r.Decisions {
		v.Decisions = append(v.Decisions, decisionView{Actor: d.Actor, Decided: d.Decided, Why: d.Why, Transaction: d.Transaction, At: d.At})
	}
	return v
}

func printResolution(w io.Writer, l ledger.Ledger, r recon.Resolution, asJSON bool) error {
	if asJSON {
		return printJSON(w, resolutionViewOf(r))
	}
	asset, _ := l.Asset(r.Asset)
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "resolution %s of result %d: %s %s between %s and %s, proposed by %s: %s\n", r.ID, r.Result, asset.Format(r.Difference), r.Asset, r.Account,
		r.Counter, r.Proposer, r.Reason)
	for _, d := range r.Decisions {
		fmt.Fprintf(out, "  %s %s by %s", d.At.Format(time.RFC3339), d.Decided, d.Actor)
		if d.Why != "" {
			fmt.Fprintf(out, ": %s", d.Why)
		}
		if !d.Transaction.IsZero() {
			fmt.Fprintf(out, ": transaction %s", d.Transaction)
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}
