package rpc

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// wallet implements WalletService by asking for the same commands as TransactionService.
type wallet struct{ *handler }

// walletPaths are the addresses of the small contract; each stands for a Connect procedure, which is a JSON POST already.
var walletPaths = map[string]string{
	"/v1/wallet/debit":    ledgerv1connect.WalletServiceDebitProcedure,
	"/v1/wallet/credit":   ledgerv1connect.WalletServiceCreditProcedure,
	"/v1/wallet/transfer": ledgerv1connect.WalletServiceTransferProcedure,
	"/v1/wallet/hold":     ledgerv1connect.WalletServiceHoldProcedure,
	"/v1/wallet/commit":   ledgerv1connect.WalletServiceCommitProcedure,
	"/v1/wallet/rollback": ledgerv1connect.WalletServiceRollbackProcedure,
}

// aliases sends the wallet paths to their procedures. These addresses speak JSON alone, so that a content type that is missing, or is
// what curl puts there by itself, means JSON.
func aliases(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		procedure, found := walletPaths[r.URL.Path]
		if !found {
			next.ServeHTTP(w, r)
			return
		}
		switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) {
		case "", "application/json", "application/x-www-form-urlencoded", "text/plain":
			r.Header.Set("Content-Type", "application/json")
		}
		to := *r.URL
		to.Path = procedure
		r.URL = &to
		next.ServeHTTP(w, r)
	})
}

// receipt is what all answers of the small contract have in common.
type receipt struct {
	status, entry, reason string
	detail                map[string]string
}

func (w wallet) do(ctx context.Context, header http.Header, parse func(*parser) ledger.Command, done string) (ledger.Outcome, receipt, error) {
	p := w.parser(ctx, header)
	o, err := w.execute(ctx, p, parse(p), false)
	if err != nil {
		return o, receipt{}, err
	}
	if o.Decided == ledger.Declined {
		return o, receipt{status: "declined", reason: string(o.Reason), detail: o.Detail}, nil
	}
	return o, receipt{status: done, entry: o.EntryID(0)}, nil
}

func terms(key, reason, reference string) *ledgerv1.Terms {
	return &ledgerv1.Terms{IdempotencyKey: key, Reason: reason, ReferenceId: reference}
}

// Debit implements WalletService.
func (w wallet) Debit(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceDebitRequest]) (*connect.Response[ledgerv1.WalletServiceDebitResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.debit(&ledgerv1.DebitRequest{
			Terms: terms(m.GetIdempotencyKey(), m.GetReason(), m.GetReferenceId()), AccountId: m.GetAccountId(),
			CounterAccountId: m.GetCounterAccountId(), Amount: m.GetAmount(),
		})
	}, "committed")
	if err != nil {
		return nil, err
	}
	return respond(o, &ledgerv1.WalletServiceDebitResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}), nil
}

// Credit implements WalletService.
func (w wallet) Credit(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceCreditRequest]) (*connect.Response[ledgerv1.WalletServiceCreditResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.credit(&ledgerv1.CreditRequest{
			Terms: terms(m.GetIdempotencyKey(), m.GetReason(), m.GetReferenceId()), AccountId: m.GetAccountId(),
			CounterAccountId: m.GetCounterAccountId(), Amount: m.GetAmount(),
		})
	}, "committed")
	if err != nil {
		return nil, err
	}
	return respond(o, &ledgerv1.WalletServiceCreditResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}), nil
}

// Transfer implements WalletService.
func (w wallet) Transfer(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceTransferRequest]) (*connect.Response[ledgerv1.WalletServiceTransferResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.transfer(&ledgerv1.TransferRequest{
			Terms: terms(m.GetIdempotencyKey(), m.GetReason(), m.GetReferenceId()), FromAccountId: m.GetFromAccountId(),
			ToAccountId: m.GetToAccountId(), Amount: m.GetAmount(),
		})
	}, "committed")
	if err != nil {
		return nil, err
	}
	return respond(o, &ledgerv1.WalletServiceTransferResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}), nil
}

// Hold implements WalletService.
func (w wallet) Hold(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceHoldRequest]) (*connect.Response[ledgerv1.WalletServiceHoldResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.hold(&ledgerv1.HoldRequest{
			Terms: terms(m.GetIdempotencyKey(), m.GetReason(), m.GetReferenceId()), AccountId: m.GetAccountId(), ToAccountId: m.GetToAccountId(),
			Amount: m.GetAmount(), ExpiresIn: m.GetExpiresIn(),
		})
	}, "held")
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.WalletServiceHoldResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}
	if o.Hold != nil {
		out.HoldId = o.Hold.ID.String()
	}
	return respond(o, out), nil
}

// Commit implements WalletService.
func (w wallet) Commit(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceCommitRequest]) (*connect.Response[ledgerv1.WalletServiceCommitResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.commit(&ledgerv1.CommitRequest{
			Terms: terms(m.GetIdempotencyKey(), "", m.GetReferenceId()), HoldId: m.GetHoldId(), Amount: m.GetAmount(), KeepRest: m.GetKeepRest(),
		})
	}, "committed")
	if err != nil {
		return nil, err
	}
	return respond(o, &ledgerv1.WalletServiceCommitResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}), nil
}

// Rollback implements WalletService.
func (w wallet) Rollback(ctx context.Context, r *connect.Request[ledgerv1.WalletServiceRollbackRequest]) (*connect.Response[ledgerv1.WalletServiceRollbackResponse], error) {
	m := r.Msg
	o, got, err := w.do(ctx, r.Header(), func(p *parser) ledger.Command {
		return p.rollback(&ledgerv1.RollbackRequest{Terms: terms(m.GetIdempotencyKey(), "", m.GetReferenceId()), HoldId: m.GetHoldId()})
	}, "rolled_back")
	if err != nil {
		return nil, err
	}
	return respond(o, &ledgerv1.WalletServiceRollbackResponse{Status: got.status, EntryId: got.entry, Reason: got.reason, Detail: got.detail}), nil
}
