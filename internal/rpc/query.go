package rpc

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// GetBalance implements QueryService.
func (h *handler) GetBalance(ctx context.Context, r *connect.Request[ledgerv1.GetBalanceRequest]) (*connect.Response[ledgerv1.GetBalanceResponse], error) {
	p := h.parser(ctx, r.Header())
	ref, asOf := p.ref(r.Msg.GetLedger(), r.Msg.GetAccountId()), p.time("as_of", r.Msg.GetAsOf())
	if p.err != nil {
		return nil, p.err
	}
	a, err := h.svc.Account(ctx, ref, asOf)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetBalanceResponse{Asset: a.Asset.String(), Balance: renderBalance(a)}), nil
}

// ListEntries implements QueryService.
func (h *handler) ListEntries(ctx context.Context, r *connect.Request[ledgerv1.ListEntriesRequest]) (*connect.Response[ledgerv1.ListEntriesResponse], error) {
	p := h.parser(ctx, r.Header())
	ref := p.ref(r.Msg.GetLedger(), r.Msg.GetAccountId())
	page := ledger.EntryPage{From: p.time("from", r.Msg.GetFrom()), To: p.time("to", r.Msg.GetTo()), Limit: p.pageSize(r.Msg.GetPageSize())}
	at := cursor{sequence: r.Msg.GetSequence(), backward: r.Msg.GetNewestFirst()}
	if at.sequence < 0 {
		p.fail("sequence", "sequences count from 1")
	}
	if r.Msg.GetPageToken() != "" {
		at = p.cursor(r.Msg.GetPageToken())
	}
	if p.err != nil {
		return nil, p.err
	}
	page.Backward = at.backward
	if at.backward {
		page.Before = at.sequence
	} else {
		page.After = at.sequence
	}
	size := page.Limit
	page.Limit++
	a, err := h.svc.Account(ctx, ref, time.Time{})
	if err != nil {
		return nil, err
	}
	lines, err := h.svc.Entries(ctx, ref, page)
	if err != nil {
		return nil, err
	}
	out := paged(lines, size, at, r.Msg.GetNewestFirst())
	for _, l := range out.lines {
		out.response.Lines = append(out.response.Lines, renderLine(a, l))
	}
	return connect.NewResponse(out.response), nil
}

type statementPage struct {
	lines    []ledger.StatementLine
	response *ledgerv1.ListEntriesResponse
}

// paged turns lines that were read in the direction of the cursor, one too many where there are more, into a page in the order that the
// client wants, with tokens for both neighbours.
func paged(lines []ledger.StatementLine, size int, at cursor, newestFirst bool) statementPage {
	more := len(lines) > size
	if more {
		lines = lines[:size]
	}
	if at.backward != newestFirst { // the client turned round
		slices.Reverse(lines)
	}
	page := statementPage{lines: lines, response: &ledgerv1.ListEntriesResponse{}}
	if len(lines) == 0 {
		return page
	}
	ahead := cursor{sequence: lines[len(lines)-1].Sequence, backward: newestFirst}.String()
	behind := cursor{sequence: lines[0].Sequence, backward: !newestFirst}.String()
	switch {
	case at.backward != newestFirst: // going back: what was left lies ahead
		page.response.NextPageToken = ahead
		if more {
			page.response.PreviousPageToken = behind
		}
	default:
		if more {
			page.response.NextPageToken = ahead
		}
		if at.sequence != 0 {
			page.response.PreviousPageToken = behind
		}
	}
	return page
}

// GetTransaction implements QueryService.
func (h *handler) GetTransaction(ctx context.Context, r *connect.Request[ledgerv1.GetTransactionRequest]) (*connect.Response[ledgerv1.GetTransactionResponse], error) {
	p := h.parser(ctx, r.Header())
	name := p.ledger("ledger", r.Msg.GetLedger())
	var key id.Transaction
	switch by := r.Msg.GetBy().(type) {
	case *ledgerv1.GetTransactionRequest_TransactionId:
		key = p.transaction("transaction_id", by.TransactionId)
	case *ledgerv1.GetTransactionRequest_IdempotencyKey:
		k, err := id.ParseKey(by.IdempotencyKey)
		p.check("idempotency_key", err)
		key = id.TransactionOf(name, k)
	case *ledgerv1.GetTransactionRequest_ReferenceId:
		p.check("reference_id", ledger.ValidateText("reference_id", by.ReferenceId))
		return h.byReference(ctx, p, name, by.ReferenceId)
	default:
		p.fail("transaction_id", "name a transaction_id, an idempotency_key or a reference_id")
	}
	if p.err != nil {
		return nil, p.err
	}
	record, err := h.svc.Transaction(ctx, name, key)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetTransactionResponse{Transactions: []*ledgerv1.RecordedTransaction{renderRecord(record)}}), nil
}

func (h *handler) byReference(ctx context.Context, p *parser, name id.Ledger, reference string) (*connect.Response[ledgerv1.GetTransactionResponse], error) {
	if reference == "" {
		p.fail("reference_id", "name a reference")
	}
	if p.err != nil {
		return nil, p.err
	}
	records, err := h.svc.TransactionsByReference(ctx, name, reference, defaultPage)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.GetTransactionResponse{}
	for _, record := range records {
		out.Transactions = append(out.Transactions, renderRecord(record))
	}
	return connect.NewResponse(out), nil
}

// TrialBalance implements QueryService.
func (h *handler) TrialBalance(ctx context.Context, r *connect.Request[ledgerv1.TrialBalanceRequest]) (*connect.Response[ledgerv1.TrialBalanceResponse], error) {
	p := h.parser(ctx, r.Header())
	name := p.ledger("ledger", r.Msg.GetLedger())
	if p.err != nil {
		return nil, p.err
	}
	lines, err := h.svc.TrialBalance(ctx, name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.TrialBalanceResponse{Lines: renderTrial(lines)}), nil
}
