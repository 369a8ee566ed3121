package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/recon/statement"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// reconciler implements ReconService: parse, call, render.
type reconciler struct {
	*handler
	recon *recon.Service
}

func newReconciler(h *handler, o Options) paymentsv1connect.ReconServiceHandler {
	if o.Recon == nil {
		return paymentsv1connect.UnimplementedReconServiceHandler{}
	}
	return reconciler{h, o.Recon}
}

var formats = map[paymentsv1.StatementFormat]statement.Format{
	paymentsv1.StatementFormat_STATEMENT_FORMAT_CSV:   statement.CSV,
	paymentsv1.StatementFormat_STATEMENT_FORMAT_JSONL: statement.JSONL,
	paymentsv1.StatementFormat_STATEMENT_FORMAT_CAMT:  statement.Camt,
}

// ImportStatement implements ReconService.
func (h reconciler) ImportStatement(
	ctx context.Context, r *connect.Request[paymentsv1.ImportStatementRequest],
) (*connect.Response[paymentsv1.ImportStatementResponse], error) {
	p, m := h.parser(ctx, r.Header()), r.Msg
	f := statement.File{
		Ledger: p.ledger("ledger", m.GetLedger()), Provider: m.GetProvider(), Name: m.GetFileName(), Mapping: []byte(m.GetMapping()), MapName: "mapping",
	}
	if f.Name == "" {
		f.Name = "statement"
	}
	p.refuse("file_name", ledger.ValidateText("file_name", f.Name))
	var known bool
	if f.Format, known = formats[m.GetFormat()]; !known {
		p.fail("format", "STATEMENT_FORMAT_CSV, STATEMENT_FORMAT_JSONL or STATEMENT_FORMAT_CAMT")
	}
	if f.Reference = statement.CamtReference(m.GetReference()); f.Reference != "" && !slices.Contains(statement.CamtReferences, f.Reference) {
		p.fail("reference", "end_to_end_id, account_servicer_reference, transaction_id or instruction_id")
	}
	if p.err != nil {
		return nil, p.err
	}
	source, err := f.Source()
	if err != nil {
		return nil, err
	}
	st, there, err := h.recon.Import(ctx, source, bytes.NewReader(m.GetContent()), nil)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.ImportStatementResponse{AlreadyThere: there, Statement: &paymentsv1.Statement{
		StatementId: st.ID.String(), Provider: st.Provider, FileName: st.File, FileSha256: hex.EncodeToString(st.FileHash[:]), Lines: st.Lines,
		Pending: st.Pending, From: stamp(st.From), To: stamp(st.To), ImportedAt: stamp(st.Imported),
	}}), nil
}

// maxStatements bounds what one run names.
const maxStatements = 1000

// RunReconciliation implements ReconService.
func (h reconciler) RunReconciliation(
	ctx context.Context, r *connect.Request[paymentsv1.RunReconciliationRequest],
) (*connect.Response[paymentsv1.RunReconciliationResponse], error) {
	p, m := h.parser(ctx, r.Header()), r.Msg
	q := recon.Request{
		Ledger: p.ledger("ledger", m.GetLedger()), Provider: m.GetProvider(), From: p.time("from", m.GetFrom()), To: p.time("to", m.GetTo()),
		Cut: p.time("as_of", m.GetAsOf()),
	}
	var err error
	if q.Rules, err = recon.ParseRules("rules", []byte(m.GetRules())); err != nil {
		p.fail("rules", err.Error())
	}
	if len(m.GetStatementIds()) > maxStatements {
		p.fail("statement_ids", "at most 1000")
	}
	for _, text := range m.GetStatementIds() {
		q.Statements = append(q.Statements, recon.StatementID{Transaction: p.transaction("statement_ids", text)})
	}
	if p.err != nil {
		return nil, p.err
	}
	run, again, err := h.recon.Run(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.RunReconciliationResponse{Run: renderRun(run), Again: again}), nil
}

// GetReconciliation implements ReconService.
func (h reconciler) GetReconciliation(
	ctx context.Context, r *connect.Request[paymentsv1.GetReconciliationRequest],
) (*connect.Response[paymentsv1.GetReconciliationResponse], error) {
	p := h.parser(ctx, r.Header())
	_, run, err := h.run(ctx, p, r.Msg.GetLedger(), r.Msg.GetRunId())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.GetReconciliationResponse{Run: renderRun(run)}), nil
}

// run finds the run that a request names.
func (h reconciler) run(ctx context.Context, p *parser, ledgerName, runID string) (ledger.Ledger, recon.Run, error) {
	name, key := p.ledger("ledger", ledgerName), recon.RunID{Transaction: p.transaction("run_id", runID)}
	if p.err != nil {
		return ledger.Ledger{}, recon.Run{}, p.err
	}
	l, err := h.svc.Ledger(ctx, name)
	if err != nil {
		return ledger.Ledger{}, recon.Run{}, err
	}
	run, err := h.recon.Store().Run(ctx, l, key)
	return l, run, err
}

// ListReconciliations implements ReconService.
func (h reconciler) ListReconciliations(
	ctx context.Context, r *connect.Request[paymentsv1.ListReconciliationsRequest],
) (*connect.Response[paymentsv1.ListReconciliationsResponse], error) {
	p := h.parser(ctx, r.Header())
	name, size := p.ledger("ledger", r.Msg.GetLedger()), p.pageSize(r.Msg.GetPageSize())
	if p.err != nil {
		return nil, p.err
	}
	l, err := h.svc.Ledger(ctx, name)
	if err != nil {
		return nil, err
	}
	runs, err := h.recon.Store().Runs(ctx, l, r.Msg.GetProvider(), size)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.ListReconciliationsResponse{Runs: renderAll(runs, renderRun)}), nil
}

var verdicts = map[paymentsv1.Verdict]recon.Verdict{
	paymentsv1.Verdict_VERDICT_UNSPECIFIED:    "",
	paymentsv1.Verdict_VERDICT_MATCHED:        recon.Matched,
	paymentsv1.Verdict_VERDICT_AMOUNT_DIFFERS: recon.AmountDiffers,
	paymentsv1.Verdict_VERDICT_MISSING_HERE:   recon.MissingHere,
	paymentsv1.Verdict_VERDICT_MISSING_THERE:  recon.MissingThere,
	paymentsv1.Verdict_VERDICT_DUPLICATE:      recon.Duplicate,
	paymentsv1.Verdict_VERDICT_LATE:           recon.Late,
}

var verdictOf = inverse(verdicts)

// ListResults implements ReconService.
func (h reconciler) ListResults(ctx context.Context, r *connect.Request[paymentsv1.ListResultsRequest]) (*connect.Response[paymentsv1.ListResultsResponse], error) {
	p := h.parser(ctx, r.Header())
	size := p.pageSize(r.Msg.GetPageSize())
	verdict, known := verdicts[r.Msg.GetVerdict()]
	if !known {
		p.fail("verdict", "name a verdict: VERDICT_MATCHED …, or none for all")
	}
	if r.Msg.GetAfter() < 0 {
		p.fail("after", "the number of a result, or 0")
	}
	l, run, err := h.run(ctx, p, r.Msg.GetLedger(), r.Msg.GetRunId())
	if err != nil {
		return nil, err
	}
	found, err := h.recon.Store().Results(ctx, l, run, verdict, r.Msg.GetAfter(), size)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.ListResultsResponse{Results: renderAll(found, renderReconResult)}), nil
}

// ListResolutions implements ReconService.
func (h reconciler) ListResolutions(
	ctx context.Context, r *connect.Request[paymentsv1.ListResolutionsRequest],
) (*connect.Response[paymentsv1.ListResolutionsResponse], error) {
	l, run, err := h.run(ctx, h.parser(ctx, r.Header()), r.Msg.GetLedger(), r.Msg.GetRunId())
	if err != nil {
		return nil, err
	}
	found, err := h.recon.Store().Resolutions(ctx, l, run.ID)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.ListResolutionsResponse{Resolutions: renderAll(found, renderResolution)}), nil
}

// ProposeResolution implements ReconService.
func (h reconciler) ProposeResolution(
	ctx context.Context, r *connect.Request[paymentsv1.ProposeResolutionRequest],
) (*connect.Response[paymentsv1.ProposeResolutionResponse], error) {
	p, m := h.parser(ctx, r.Header()), r.Msg
	proposal := recon.Proposal{
		Ledger: p.ledger("ledger", m.GetLedger()), Run: recon.RunID{Transaction: p.transaction("run_id", m.GetRunId())}, Result: m.GetResult(),
		Actor: m.GetActor(), Reason: m.GetReason(), Account: p.account("account_id", m.GetAccountId()), Counter: p.account("counter_account_id", m.GetCounterAccountId()),
	}
	if proposal.Result < 1 {
		p.fail("result", "the number of a result")
	}
	sum, err := hex.DecodeString(strings.ToLower(m.GetAttachmentSha256()))
	if err != nil || len(sum) != len(proposal.Attachment) {
		p.fail("attachment_sha256", "64 hexadecimal digits")
	}
	copy(proposal.Attachment[:], sum)
	return answerTo(p, func() (recon.Resolution, error) { return h.recon.Propose(ctx, proposal) }, func(r recon.Resolution) *paymentsv1.ProposeResolutionResponse {
		return &paymentsv1.ProposeResolutionResponse{Resolution: renderResolution(r)}
	})
}

// ApproveResolution implements ReconService.
func (h reconciler) ApproveResolution(
	ctx context.Context, r *connect.Request[paymentsv1.ApproveResolutionRequest],
) (*connect.Response[paymentsv1.ApproveResolutionResponse], error) {
	name, key, err := h.resolution(h.parser(ctx, r.Header()), r.Msg.GetLedger(), r.Msg.GetResolutionId())
	if err != nil {
		return nil, err
	}
	resolution, outcome, err := h.recon.Approve(ctx, name, key, r.Msg.GetActor())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.ApproveResolutionResponse{
		Resolution: renderResolution(resolution), TransactionId: outcome.Transaction.String(), Outcome: string(outcome.Decided), DeclinedReason: string(outcome.Reason),
	}), nil
}

// RejectResolution implements ReconService.
func (h reconciler) RejectResolution(
	ctx context.Context, r *connect.Request[paymentsv1.RejectResolutionRequest],
) (*connect.Response[paymentsv1.RejectResolutionResponse], error) {
	name, key, err := h.resolution(h.parser(ctx, r.Header()), r.Msg.GetLedger(), r.Msg.GetResolutionId())
	if err != nil {
		return nil, err
	}
	resolution, err := h.recon.Reject(ctx, name, key, r.Msg.GetActor(), r.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.RejectResolutionResponse{Resolution: renderResolution(resolution)}), nil
}

func (h reconciler) resolution(p *parser, ledgerName, text string) (id.Ledger, recon.ResolutionID, error) {
	name, key := p.ledger("ledger", ledgerName), recon.ResolutionID{Transaction: p.transaction("resolution_id", text)}
	return name, key, p.err
}

func renderRun(r recon.Run) *paymentsv1.Reconciliation {
	rules := r.Rules.Hash()
	out := &paymentsv1.Reconciliation{
		RunId: r.ID.String(), Provider: r.Provider, From: stamp(r.From), To: stamp(r.To), AsOf: stamp(r.Cut), RulesName: r.Rules.Name(),
		RulesSha256: hex.EncodeToString(rules[:]), Done: r.Done, StartedAt: stamp(r.StartedAt), EndedAt: stamp(r.EndedAt), Books: r.Books, Results: r.Results,
	}
	if r.Done {
		out.BooksSha256, out.ResultsSha256 = hex.EncodeToString(r.BooksHash[:]), hex.EncodeToString(r.ResultHash[:])
	}
	for _, st := range r.Statements {
		out.StatementIds = append(out.StatementIds, st.String())
	}
	for _, t := range r.Totals {
		total := &paymentsv1.ReconciliationTotal{
			Asset: string(t.Asset), Verdicts: map[string]int64{}, Open: t.Open, ValueInDoubt: t.InDoubt.String(), Oldest: stamp(t.Oldest),
		}
		for verdict, n := range t.Verdicts {
			total.Verdicts[string(verdict)] = n
		}
		out.Totals = append(out.Totals, total)
	}
	return out
}

func renderReconResult(r recon.Result) *paymentsv1.ReconciliationResult {
	out := &paymentsv1.ReconciliationResult{
		Number: r.Number, Match: r.Match, Verdict: verdictOf[r.Verdict], Reason: string(r.Reason), Way: string(r.Way), Reference: r.Reference,
		Asset: string(r.Asset), Difference: r.Difference.String(), Evidence: string(r.Evidence),
	}
	if r.Line != nil {
		out.StatementId, out.LineNumber = r.Line.Statement.String(), r.Line.Number
		out.LineAmount, out.LineDate = r.Line.Amount.String(), stamp(r.Line.Date)
	}
	if r.Book != nil {
		out.TransactionId, out.BookAmount, out.BookDate = r.Book.Transaction.String(), r.Book.Amount.String(), stamp(r.Book.Date)
		out.PaymentId = renderID(r.Book.Payment)
	}
	return out
}

func renderResolution(r recon.Resolution) *paymentsv1.Resolution {
	out := &paymentsv1.Resolution{
		ResolutionId: r.ID.String(), RunId: r.Run.String(), Result: r.Result, Proposer: r.Proposer, Reason: r.Reason,
		AttachmentSha256: hex.EncodeToString(r.Attachment[:]), AccountId: string(r.Account), CounterAccountId: string(r.Counter), Asset: string(r.Asset),
		Difference: r.Difference.String(), Reference: r.Reference, ProposedAt: stamp(r.ProposedAt),
	}
	for _, d := range r.Decisions {
		out.Decisions = append(out.Decisions, &paymentsv1.ResolutionDecision{
			Actor: d.Actor, Decided: string(d.Decided), Why: d.Why, DecidedAt: stamp(d.At), TransactionId: renderID(d.Transaction),
		})
	}
	return out
}
