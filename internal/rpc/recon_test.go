package rpc_test

import (
	"context"
	"net"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// reconciler serves a ledger with one movement of a provider, and returns a client.
func reconciler(t *testing.T, d dbtest.Database) paymentsv1connect.ReconServiceClient {
	t.Helper()
	books := store.New(d.DB)
	n := node{books, commit.New(books, commit.Options{})}
	t.Cleanup(func() {
		if err := n.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	if _, err := n.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []ledger.Command{
		{Kind: ledger.KindOpen, Key: "o1", Account: "psp", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}},
		{Kind: ledger.KindOpen, Key: "o2", Account: "suspense", Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}},
		{
			Kind: ledger.KindDebit, Key: "d1", Account: "psp", Counter: "suspense", Reference: "r1", Amount: &ledger.Money{Minor: money.FromInt64(100), Asset: "EUR"},
			EffectiveAt: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC),
		},
	} {
		c.Ledger = "brand"
		if o, err := ledger.Do(t.Context(), n, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewHandler(n, rpc.Options{DefaultLedger: "brand", Recon: recon.NewService(books, n, recon.NewMetrics(nil))}), nil)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	httpClient := rpc.NewHTTPClient(nil, false)
	t.Cleanup(httpClient.CloseIdleConnections)
	return paymentsv1connect.NewReconServiceClient(httpClient, "http://"+listener.Addr().String())
}

const (
	wireMapping = `name: psp
reference: "{reference}"
date: {value: "{day}", format: "%Y-%m-%d"}
asset: "{currency}"
amount: {value: "{amount}"}
direction: {positive: credit}
`
	wireRules = `name: daily
books: {accounts: ["psp"]}
match: [one_to_one]
window: {earlier: 1d, later: 3d}
`
)

func TestReconService_OverTheWire(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		c := reconciler(t, d)
		file := &paymentsv1.ImportStatementRequest{
			Provider: "psp", FileName: "day.csv", Format: paymentsv1.StatementFormat_STATEMENT_FORMAT_CSV, Mapping: wireMapping,
			Content: []byte("reference,day,currency,amount\nr1,2026-11-02,EUR,1.00\nr2,2026-11-02,EUR,-2.50\n"),
		}
		st := must(t, c.ImportStatement, file)
		if st.GetAlreadyThere() || st.GetStatement().GetLines() != 2 || st.GetStatement().GetFileName() != "day.csv" {
			t.Errorf("imported %v", st)
		}
		if again := must(t, c.ImportStatement, file); !again.GetAlreadyThere() || again.GetStatement().GetStatementId() != st.GetStatement().GetStatementId() {
			t.Errorf("imported again %v", again)
		}
		ask := &paymentsv1.RunReconciliationRequest{Provider: "psp", Rules: wireRules, AsOf: timestamppb.Now()}
		ran := must(t, c.RunReconciliation, ask)
		run := ran.GetRun()
		if ran.GetAgain() || !run.GetDone() || run.GetResults() != 2 || run.GetTotals()[0].GetValueInDoubt() != "250" || run.GetTotals()[0].GetVerdicts()["matched"] != 1 {
			t.Errorf("ran %v", ran)
		}
		if again := must(t, c.RunReconciliation, ask); !again.GetAgain() || again.GetRun().GetResultsSha256() != run.GetResultsSha256() {
			t.Errorf("ran again %v", again)
		}
		if got := must(t, c.GetReconciliation, &paymentsv1.GetReconciliationRequest{RunId: run.GetRunId()}).GetRun(); got.GetResultsSha256() != run.GetResultsSha256() {
			t.Errorf("got %v", got)
		}
		if all := must(t, c.ListReconciliations, &paymentsv1.ListReconciliationsRequest{Provider: "psp"}).GetRuns(); len(all) != 1 {
			t.Errorf("runs %v", all)
		}
		missing := must(t, c.ListResults, &paymentsv1.ListResultsRequest{RunId: run.GetRunId(), Verdict: paymentsv1.Verdict_VERDICT_MISSING_HERE}).GetResults()
		if len(missing) != 1 || missing[0].GetReference() != "r2" || missing[0].GetLineAmount() != "-250" || missing[0].GetTransactionId() != "" {
			t.Fatalf("missing here %v", missing)
		}
		proposal := &paymentsv1.ProposeResolutionRequest{
			RunId: run.GetRunId(), Result: missing[0].GetNumber(), Actor: "alice", Reason: "why", AttachmentSha256: "ff" + st.GetStatement().GetFileSha256()[2:],
			AccountId: "psp", CounterAccountId: "suspense",
		}
		resolution := must(t, c.ProposeResolution, proposal).GetResolution()
		_, err := c.ApproveResolution(t.Context(), connect.NewRequest(&paymentsv1.ApproveResolutionRequest{ResolutionId: resolution.GetResolutionId(), Actor: "alice"}))
		if connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("its proposer: %v", err)
		}
		approved := must(t, c.ApproveResolution, &paymentsv1.ApproveResolutionRequest{ResolutionId: resolution.GetResolutionId(), Actor: "bob"})
		if approved.GetOutcome() != "posted" || len(approved.GetResolution().GetDecisions()) != 2 {
			t.Errorf("approved %v", approved)
		}
		if all := must(t, c.ListResolutions, &paymentsv1.ListResolutionsRequest{RunId: run.GetRunId()}).GetResolutions(); len(all) != 1 || len(all[0].GetDecisions()) != 2 {
			t.Errorf("resolutions %v", all)
		}
		proposal.Reason = "another"
		other := must(t, c.ProposeResolution, proposal).GetResolution()
		rejected := must(t, c.RejectResolution, &paymentsv1.RejectResolutionRequest{ResolutionId: other.GetResolutionId(), Actor: "carol", Reason: "no"})
		if got := rejected.GetResolution().GetDecisions(); len(got) != 1 || got[0].GetDecided() != "rejected" {
			t.Errorf("rejected %v", rejected)
		}
		refusals(t, c, run.GetRunId())
	})
}

func refusals(t *testing.T, c paymentsv1connect.ReconServiceClient, run string) {
	t.Helper()
	wantCode(t, c.ImportStatement, &paymentsv1.ImportStatementRequest{Provider: "psp"}, connect.CodeInvalidArgument)
	wantCode(t, c.ImportStatement, &paymentsv1.ImportStatementRequest{
		Provider: "psp", Format: paymentsv1.StatementFormat_STATEMENT_FORMAT_CAMT, Content: []byte("<a/>"),
	}, connect.CodeInvalidArgument)
	wantCode(t, c.RunReconciliation, &paymentsv1.RunReconciliationRequest{Provider: "psp", Rules: "name: x"}, connect.CodeInvalidArgument)
	wantCode(t, c.RunReconciliation, &paymentsv1.RunReconciliationRequest{Provider: "other", Rules: wireRules}, connect.CodeNotFound)
	wantCode(t, c.GetReconciliation, &paymentsv1.GetReconciliationRequest{RunId: "x"}, connect.CodeInvalidArgument)
	wantCode(t, c.GetReconciliation, &paymentsv1.GetReconciliationRequest{Ledger: "nobody", RunId: run}, connect.CodeNotFound)
	wantCode(t, c.ListResults, &paymentsv1.ListResultsRequest{RunId: run, Verdict: 99}, connect.CodeInvalidArgument)
	wantCode(t, c.ProposeResolution, &paymentsv1.ProposeResolutionRequest{RunId: run, Result: 1, AccountId: "psp", CounterAccountId: "a", AttachmentSha256: "x"}, connect.CodeInvalidArgument)
	wantCode(t, c.ApproveResolution, &paymentsv1.ApproveResolutionRequest{ResolutionId: run, Actor: "bob"}, connect.CodeNotFound)
}

func must[Req, Resp any](t *testing.T, call func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error), m *Req) *Resp {
	t.Helper()
	r, err := call(t.Context(), connect.NewRequest(m))
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	return r.Msg
}

func wantCode[Req, Resp any](
	t *testing.T, call func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error), m *Req, want connect.Code,
) {
	t.Helper()
	if _, err := call(t.Context(), connect.NewRequest(m)); connect.CodeOf(err) != want {
		t.Errorf("%v: %v, want %s", m, err, want)
	}
}
