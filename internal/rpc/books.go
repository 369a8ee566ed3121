package rpc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

func batchField(i int) string { return fmt.Sprintf("commands[%d].", i) }

// CreateLedger implements LedgerService.
func (h *handler) CreateLedger(ctx context.Context, r *connect.Request[ledgerv1.CreateLedgerRequest]) (*connect.Response[ledgerv1.CreateLedgerResponse], error) {
	p := h.parser(ctx, r.Header())
	p.fallback = "" // the default ledger is for requests that mean one; a creation names its own
	wanted := ledger.Ledger{ID: p.ledger("ledger", r.Msg.GetLedger()), Metadata: r.Msg.GetMetadata()}
	home, err := id.ParseHome(r.Msg.GetHome())
	p.check("home", err)
	wanted.Home = home
	for i, text := range r.Msg.GetAssets() {
		asset, err := money.ParseAsset(text)
		p.check(fmt.Sprintf("assets[%d]", i), err)
		wanted.Assets = append(wanted.Assets, asset)
	}
	if p.err != nil {
		return nil, p.err
	}
	if len(h.homes) > 0 && !slices.Contains(h.homes, home) {
		return nil, h.noHome(home)
	}
	l, err := h.svc.CreateLedger(ctx, wanted)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.CreateLedgerResponse{Ledger: renderLedger(l)}), nil
}

// noHome refuses a ledger whose money would have no region to live in.
func (h *handler) noHome(home id.Home) error {
	known := make([]string, len(h.homes))
	for i, k := range h.homes {
		known[i] = string(k)
	}
	listed := strings.Join(known, ", ")
	e := errs.New(errs.ErrHomeNotFound.Code, errs.ReasonHomeNotFound, fmt.Sprintf("no region of this deployment is home to %q; its homes are %s", home, listed))
	return e.With("home", home).With("homes", listed)
}

// GetLedger implements LedgerService.
func (h *handler) GetLedger(ctx context.Context, r *connect.Request[ledgerv1.GetLedgerRequest]) (*connect.Response[ledgerv1.GetLedgerResponse], error) {
	p := h.parser(ctx, r.Header())
	name := p.ledger("ledger", r.Msg.GetLedger())
	if p.err != nil {
		return nil, p.err
	}
	l, err := h.svc.Ledger(ctx, name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetLedgerResponse{Ledger: renderLedger(l)}), nil
}

// ListLedgers implements LedgerService.
func (h *handler) ListLedgers(ctx context.Context, r *connect.Request[ledgerv1.ListLedgersRequest]) (*connect.Response[ledgerv1.ListLedgersResponse], error) {
	p := h.parser(ctx, r.Header())
	size, after := p.page(r.Msg.GetPageSize(), r.Msg.GetPageToken())
	if p.err != nil {
		return nil, p.err
	}
	found, err := h.svc.Ledgers(ctx, id.Ledger(after), size+1)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.ListLedgersResponse{}
	found, out.NextPageToken = cut(found, size, func(l ledger.Ledger) string { return string(l.ID) })
	for _, l := range found {
		out.Ledgers = append(out.Ledgers, renderLedger(l))
	}
	return connect.NewResponse(out), nil
}

// account executes a command on an account; a decline is an error.
func (h *handler) account(ctx context.Context, p *parser, c ledger.Command, dryRun bool) (ledger.Outcome, error) {
	o, err := h.execute(ctx, p, c, dryRun)
	if err == nil && o.Decided == ledger.Declined {
		err = declinedError(o.Reason, o.Detail)
	}
	return o, err
}

// OpenAccount implements LedgerService.
func (h *handler) OpenAccount(ctx context.Context, r *connect.Request[ledgerv1.OpenAccountRequest]) (*connect.Response[ledgerv1.OpenAccountResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.account(ctx, p, p.open(r.Msg), r.Msg.GetDryRun())
	if err != nil {
		return nil, err
	}
	t := renderOutcome(o)
	return respond(o, &ledgerv1.OpenAccountResponse{Account: t.GetAccount(), Transaction: t}), nil
}

// UpdateAccount implements LedgerService.
func (h *handler) UpdateAccount(ctx context.Context, r *connect.Request[ledgerv1.UpdateAccountRequest]) (*connect.Response[ledgerv1.UpdateAccountResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.account(ctx, p, p.update(r.Msg), r.Msg.GetDryRun())
	if err != nil {
		return nil, err
	}
	t := renderOutcome(o)
	return respond(o, &ledgerv1.UpdateAccountResponse{Account: t.GetAccount(), Transaction: t}), nil
}

// FreezeAccount implements LedgerService.
func (h *handler) FreezeAccount(ctx context.Context, r *connect.Request[ledgerv1.FreezeAccountRequest]) (*connect.Response[ledgerv1.FreezeAccountResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.account(ctx, p, p.freeze(r.Msg), r.Msg.GetDryRun())
	if err != nil {
		return nil, err
	}
	t := renderOutcome(o)
	return respond(o, &ledgerv1.FreezeAccountResponse{Account: t.GetAccount(), Transaction: t}), nil
}

// CloseAccount implements LedgerService.
func (h *handler) CloseAccount(ctx context.Context, r *connect.Request[ledgerv1.CloseAccountRequest]) (*connect.Response[ledgerv1.CloseAccountResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.account(ctx, p, p.close(r.Msg), r.Msg.GetDryRun())
	if err != nil {
		return nil, err
	}
	t := renderOutcome(o)
	return respond(o, &ledgerv1.CloseAccountResponse{Account: t.GetAccount(), Transaction: t}), nil
}

func (p *parser) ref(ledgerName, account string) ledger.Ref {
	return ledger.Ref{Ledger: p.ledger("ledger", ledgerName), Account: p.account("account_id", account)}
}

// GetAccount implements LedgerService.
func (h *handler) GetAccount(ctx context.Context, r *connect.Request[ledgerv1.GetAccountRequest]) (*connect.Response[ledgerv1.GetAccountResponse], error) {
	p := h.parser(ctx, r.Header())
	ref := p.ref(r.Msg.GetLedger(), r.Msg.GetAccountId())
	if p.err != nil {
		return nil, p.err
	}
	a, err := h.svc.Account(ctx, ref, p.time("", nil))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&ledgerv1.GetAccountResponse{Account: renderAccount(a)}), nil
}

// ListAccounts implements LedgerService.
func (h *handler) ListAccounts(ctx context.Context, r *connect.Request[ledgerv1.ListAccountsRequest]) (*connect.Response[ledgerv1.ListAccountsResponse], error) {
	p := h.parser(ctx, r.Header())
	name := p.ledger("ledger", r.Msg.GetLedger())
	size, after := p.page(r.Msg.GetPageSize(), r.Msg.GetPageToken())
	if p.err != nil {
		return nil, p.err
	}
	found, err := h.svc.Accounts(ctx, name, id.Account(after), size+1)
	if err != nil {
		return nil, err
	}
	out := &ledgerv1.ListAccountsResponse{}
	found, out.NextPageToken = cut(found, size, func(a ledger.Account) string { return string(a.Ref.Account) })
	for _, a := range found {
		out.Accounts = append(out.Accounts, renderAccount(a))
	}
	return connect.NewResponse(out), nil
}
