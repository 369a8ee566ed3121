package rpc

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/search"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// How long a search waits for what has to be in the model.
const (
	defaultWait = 2 * time.Second
	maxWait     = 30 * time.Second
)

// SearchTransactions implements QueryService.
func (h *handler) SearchTransactions(
	ctx context.Context, r *connect.Request[ledgerv1.SearchTransactionsRequest],
) (*connect.Response[ledgerv1.SearchTransactionsResponse], error) {
	if h.search == nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("this node does not search"))
	}
	p := h.parser(ctx, r.Header())
	q := p.query(r.Msg)
	page := p.searchPage(q, r.Msg.GetPageSize(), r.Msg.GetPageToken())
	point, wait := p.point(r.Msg.GetAtLeast()), p.wait(r)
	if p.err != nil {
		return nil, p.err
	}
	a, err := h.search.Search(ctx, q, page, point, wait)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.SearchTransactionsResponse{Position: pointToken(a.Complete)}
	if a.Next != (search.Page{}) {
		out.NextPageToken = pageToken(q, a.Next)
	}
	for _, record := range a.Records {
		out.Transactions = append(out.Transactions, renderRecord(record))
	}
	return connect.NewResponse(out), nil
}

// Bounds on what a search lists.
const (
	maxSearchKinds   = 50
	maxSearchReasons = 100
)

// query reads what is searched for.
func (p *parser) query(m *ledgerv1.SearchTransactionsRequest) search.Query {
	q := search.Query{
		Ledger: p.ledger("ledger", m.GetLedger()), From: p.time("from", m.GetFrom()), To: p.time("to", m.GetTo()), Reference: m.GetReferenceId(),
		Correlation: m.GetCorrelationId(), Account: p.optionalAccount("account_id", m.GetAccountId()), Metadata: m.GetMetadata(),
		OldestFirst: m.GetOldestFirst(),
	}
	p.refuse("reference_id", ledger.ValidateText("reference_id", q.Reference))
	p.refuse("correlation_id", ledger.ValidateText("correlation_id", q.Correlation))
	p.refuse("metadata", q.Metadata.Validate("metadata"))
	if len(m.GetKinds()) > maxSearchKinds {
		p.fail("kinds", "at most 50")
	}
	if len(m.GetReasons()) > maxSearchReasons {
		p.fail("reasons", "at most 100")
	}
	for _, k := range m.GetKinds() {
		kind, known := kindBack[k]
		if !known {
			p.fail("kinds", "name kinds of transactions: KIND_DEBIT, KIND_CREDIT …")
		}
		q.Kinds = append(q.Kinds, kind)
	}
	switch m.GetStatus() {
	case ledgerv1.Status_STATUS_UNSPECIFIED:
	case ledgerv1.Status_STATUS_POSTED:
		q.Decided = ledger.Posted
	case ledgerv1.Status_STATUS_DECLINED:
		q.Decided = ledger.Declined
	default:
		p.fail("status", "STATUS_POSTED, STATUS_DECLINED or nothing, which is both")
	}
	for _, r := range m.GetReasons() {
		if _, known := ledgerv1.Reason_name[int32(r)]; !known || r == ledgerv1.Reason_REASON_UNSPECIFIED {
			p.fail("reasons", "name reasons of declines: REASON_INSUFFICIENT_FUNDS …")
			break
		}
		q.Reasons = append(q.Reasons, reasonBack(r))
	}
	return q
}

// refuse takes over the words of an error that names its field.
func (p *parser) refuse(field string, err error) {
	if err != nil {
		p.fail(field, errs.Of(err).Message)
	}
}

func (p *parser) wait(r *connect.Request[ledgerv1.SearchTransactionsRequest]) time.Duration {
	if r.Msg.GetWait() == nil {
		return defaultWait
	}
	wait := p.duration("wait", r.Msg.GetWait())
	if wait > maxWait {
		p.fail("wait", "at most 30s")
	}
	return wait
}
