package rpc

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/search"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// handler implements the services of the ledger: parse, call, render.
type handler struct {
	svc      ledger.Service
	search   *search.Service // nil: there is none
	fallback id.Ledger
	homes    []id.Home // none: all
}

func (h *handler) parser(ctx context.Context, header http.Header) *parser {
	return &parser{ctx: ctx, svc: h.svc, header: header, fallback: h.fallback}
}

// Headers of answers.
const (
	headerReplayed    = "Idempotency-Replayed"
	headerTransaction = "Meridian-Transaction-Id"
)

// execute runs one command to its outcome.
func (h *handler) execute(ctx context.Context, p *parser, c ledger.Command, dryRun bool) (ledger.Outcome, error) {
	if p.err != nil {
		return ledger.Outcome{}, p.err
	}
	note(ctx, c)
	if err := c.Validate(time.Now()); err != nil { // what can never succeed does not get as far as a queue
		return ledger.Outcome{}, err
	}
	results, err := h.svc.Execute(ctx, ledger.Batch{Commands: []ledger.Command{c}, DryRun: dryRun})
	if err != nil {
		return ledger.Outcome{}, err
	}
	noteOutcome(ctx, results[0].Outcome)
	return results[0].Outcome, results[0].Err
}

// answer is execute for a response that is a transaction.
func answer[Req, Resp any](ctx context.Context, h *handler, req *connect.Request[Req], terms *ledgerv1.Terms,
	parse func(*parser, *Req) ledger.Command, wrap func(*ledgerv1.Transaction) *Resp,
) (*connect.Response[Resp], error) {
	p := h.parser(ctx, req.Header())
	o, err := h.execute(ctx, p, parse(p, req.Msg), terms.GetDryRun())
	if err != nil {
		return nil, err
	}
	return respond(o, wrap(renderOutcome(o))), nil
}

func respond[Resp any](o ledger.Outcome, message *Resp) *connect.Response[Resp] {
	out := connect.NewResponse(message)
	out.Header().Set(headerTransaction, o.Transaction.String())
	if o.Replayed {
		out.Header().Set(headerReplayed, "true")
	}
	return out
}

// answerTo asks for what a request was parsed into, unless it can not be, and renders what comes back.
func answerTo[T, Resp any](p *parser, ask func() (T, error), render func(T) *Resp) (*connect.Response[Resp], error) {
	if p.err != nil {
		return nil, p.err
	}
	found, err := ask()
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(render(found)), nil
}

// renderAll renders several things; nil where there is none.
func renderAll[T, M any](all []T, render func(T) M) []M {
	var out []M
	for _, one := range all {
		out = append(out, render(one))
	}
	return out
}

// Debit implements TransactionService.
func (h *handler) Debit(ctx context.Context, r *connect.Request[ledgerv1.DebitRequest]) (*connect.Response[ledgerv1.DebitResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).debit, func(t *ledgerv1.Transaction) *ledgerv1.DebitResponse {
		return &ledgerv1.DebitResponse{Transaction: t}
	})
}

// Credit implements TransactionService.
func (h *handler) Credit(ctx context.Context, r *connect.Request[ledgerv1.CreditRequest]) (*connect.Response[ledgerv1.CreditResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).credit, func(t *ledgerv1.Transaction) *ledgerv1.CreditResponse {
		return &ledgerv1.CreditResponse{Transaction: t}
	})
}

// Transfer implements TransactionService.
func (h *handler) Transfer(ctx context.Context, r *connect.Request[ledgerv1.TransferRequest]) (*connect.Response[ledgerv1.TransferResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).transfer, func(t *ledgerv1.Transaction) *ledgerv1.TransferResponse {
		return &ledgerv1.TransferResponse{Transaction: t}
	})
}

// Post implements TransactionService.
func (h *handler) Post(ctx context.Context, r *connect.Request[ledgerv1.PostRequest]) (*connect.Response[ledgerv1.PostResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).post, func(t *ledgerv1.Transaction) *ledgerv1.PostResponse {
		return &ledgerv1.PostResponse{Transaction: t}
	})
}

// Hold implements TransactionService.
func (h *handler) Hold(ctx context.Context, r *connect.Request[ledgerv1.HoldRequest]) (*connect.Response[ledgerv1.HoldResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).hold, func(t *ledgerv1.Transaction) *ledgerv1.HoldResponse {
		return &ledgerv1.HoldResponse{Transaction: t}
	})
}

// Commit implements TransactionService.
func (h *handler) Commit(ctx context.Context, r *connect.Request[ledgerv1.CommitRequest]) (*connect.Response[ledgerv1.CommitResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).commit, func(t *ledgerv1.Transaction) *ledgerv1.CommitResponse {
		return &ledgerv1.CommitResponse{Transaction: t}
	})
}

// Rollback implements TransactionService.
func (h *handler) Rollback(ctx context.Context, r *connect.Request[ledgerv1.RollbackRequest]) (*connect.Response[ledgerv1.RollbackResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).rollback, func(t *ledgerv1.Transaction) *ledgerv1.RollbackResponse {
		return &ledgerv1.RollbackResponse{Transaction: t}
	})
}

// Reverse implements TransactionService.
func (h *handler) Reverse(ctx context.Context, r *connect.Request[ledgerv1.ReverseRequest]) (*connect.Response[ledgerv1.ReverseResponse], error) {
	return answer(ctx, h, r, r.Msg.GetTerms(), (*parser).reverse, func(t *ledgerv1.Transaction) *ledgerv1.ReverseResponse {
		return &ledgerv1.ReverseResponse{Transaction: t}
	})
}

// PostBatch implements TransactionService.
func (h *handler) PostBatch(ctx context.Context, r *connect.Request[ledgerv1.PostBatchRequest]) (*connect.Response[ledgerv1.PostBatchResponse], error) {
	batch, err := h.batch(ctx, r)
	if err != nil {
		return nil, err
	}
	results, err := h.svc.Execute(ctx, batch)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.PostBatchResponse{Results: make([]*ledgerv1.CommandResult, len(results))}
	for i, result := range results {
		out.Results[i] = renderResult(result)
	}
	return connect.NewResponse(out), nil
}

func (h *handler) batch(ctx context.Context, r *connect.Request[ledgerv1.PostBatchRequest]) (ledger.Batch, error) {
	p := h.parser(ctx, r.Header())
	commands := r.Msg.GetCommands()
	if len(commands) == 0 || len(commands) > ledger.MaxBatch {
		p.fail("commands", "a batch has 1 to 1000 commands")
		return ledger.Batch{}, p.err
	}
	if r.Msg.GetLedger() != "" {
		p.fallback = p.ledger("ledger", r.Msg.GetLedger())
	} else if named := p.ofHeader(ledgerHeaders); named != "" {
		p.fallback = p.ledger("ledger", named)
	}
	p.header = http.Header{} // one key can not be that of several commands
	batch := ledger.Batch{Commands: make([]ledger.Command, len(commands)), Atomic: r.Msg.GetAtomic(), DryRun: r.Msg.GetDryRun()}
	for i, c := range commands {
		p.at = batchField(i)
		if batch.Commands[i] = p.command(c); p.err != nil {
			return ledger.Batch{}, p.err
		}
	}
	note(ctx, batch.Commands[0])
	return batch, nil
}
