package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// Client is a ledger.Service on the other side of the wire. It is safe for concurrent use. It does not retry: the caller decides where to
// go next with the same key.
type Client struct {
	books    ledgerv1connect.LedgerServiceClient
	commands ledgerv1connect.TransactionServiceClient
	queries  ledgerv1connect.QueryServiceClient
}

var _ ledger.Service = (*Client)(nil)

// NewClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *Client {
	return &Client{
		books:    ledgerv1connect.NewLedgerServiceClient(httpClient, baseURL, options...),
		commands: ledgerv1connect.NewTransactionServiceClient(httpClient, baseURL, options...),
		queries:  ledgerv1connect.NewQueryServiceClient(httpClient, baseURL, options...),
	}
}

// NewHTTPClient returns a client that keeps as many connections as there are callers. Over HTTP/2 (cleartext, or TLS by negotiation)
// they share one; HTTP/1.1 costs a connection each and less work a call.
func NewHTTPClient(config *tls.Config, http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2 || config != nil)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: config.Clone(), Protocols: &protocols, MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second,
	}}
}

// call makes a unary call and turns its error back into one of the domain.
func call[Req, Resp any](ctx context.Context, rpc func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error), m *Req) (*Resp, error) {
	resp, err := rpc(ctx, connect.NewRequest(m))
	if err != nil {
		return nil, fromWire(ctx, err)
	}
	return resp.Msg, nil
}

// CreateLedger implements ledger.Service.
func (c *Client) CreateLedger(ctx context.Context, l ledger.Ledger) (ledger.Ledger, error) {
	wanted := renderLedger(l)
	m, err := call(ctx, c.books.CreateLedger, &ledgerv1.CreateLedgerRequest{
		Ledger: wanted.GetId(), Home: wanted.GetHome(), Assets: wanted.GetAssets(), Metadata: wanted.GetMetadata(),
	})
	if err != nil {
		return ledger.Ledger{}, err
	}
	return readLedger(m.GetLedger())
}

// Ledger implements ledger.Service.
func (c *Client) Ledger(ctx context.Context, name id.Ledger) (ledger.Ledger, error) {
	m, err := call(ctx, c.books.GetLedger, &ledgerv1.GetLedgerRequest{Ledger: string(name)})
	if err != nil {
		return ledger.Ledger{}, err
	}
	return readLedger(m.GetLedger())
}

// Ledgers implements ledger.Service.
func (c *Client) Ledgers(ctx context.Context, after id.Ledger, limit int) ([]ledger.Ledger, error) {
	m, err := call(ctx, c.books.ListLedgers, &ledgerv1.ListLedgersRequest{PageSize: pageOf(limit), PageToken: nameToken(string(after))})
	if err != nil {
		return nil, err
	}
	return readAll(m.GetLedgers(), readLedger)
}

// Account implements ledger.Service.
func (c *Client) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	m, err := call(ctx, c.books.GetAccount, &ledgerv1.GetAccountRequest{Ledger: string(ref.Ledger), AccountId: string(ref.Account)})
	if err != nil {
		return ledger.Account{}, err
	}
	a, err := readAccount(m.GetAccount())
	if err != nil || asOf.IsZero() {
		return a, err
	}
	then, err := call(ctx, c.queries.GetBalance, &ledgerv1.GetBalanceRequest{Ledger: string(ref.Ledger), AccountId: string(ref.Account), AsOf: stamp(asOf)})
	if err != nil {
		return ledger.Account{}, err
	}
	return withBalance(a, then.GetBalance())
}

// Accounts implements ledger.Service.
func (c *Client) Accounts(ctx context.Context, name id.Ledger, after id.Account, limit int) ([]ledger.Account, error) {
	m, err := call(ctx, c.books.ListAccounts, &ledgerv1.ListAccountsRequest{
		Ledger: string(name), PageSize: pageOf(limit), PageToken: nameToken(string(after)),
	})
	if err != nil {
		return nil, err
	}
	return readAll(m.GetAccounts(), readAccount)
}

// Entries implements ledger.Service.
func (c *Client) Entries(ctx context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	request := &ledgerv1.ListEntriesRequest{
		Ledger: string(ref.Ledger), AccountId: string(ref.Account), PageSize: pageOf(page.Limit), NewestFirst: page.Backward,
		From: stamp(page.From), To: stamp(page.To), Sequence: page.After,
	}
	if page.Backward {
		request.Sequence = page.Before
	}
	m, err := call(ctx, c.queries.ListEntries, request)
	if err != nil {
		return nil, err
	}
	return readAll(m.GetLines(), readLine)
}

// Transaction implements ledger.Service.
func (c *Client) Transaction(ctx context.Context, name id.Ledger, transaction id.Transaction) (ledger.Record, error) {
	m, err := call(ctx, c.queries.GetTransaction, &ledgerv1.GetTransactionRequest{
		Ledger: string(name), By: &ledgerv1.GetTransactionRequest_TransactionId{TransactionId: transaction.String()},
	})
	if err != nil {
		return ledger.Record{}, err
	}
	if len(m.GetTransactions()) != 1 {
		return ledger.Record{}, errs.ErrTransactionNotFound
	}
	return readRecord(m.GetTransactions()[0])
}

// TransactionsByReference implements ledger.Service.
func (c *Client) TransactionsByReference(ctx context.Context, name id.Ledger, reference string, limit int) ([]ledger.Record, error) {
	m, err := call(ctx, c.queries.GetTransaction, &ledgerv1.GetTransactionRequest{
		Ledger: string(name), By: &ledgerv1.GetTransactionRequest_ReferenceId{ReferenceId: reference},
	})
	if err != nil {
		return nil, err
	}
	found := m.GetTransactions()
	return readAll(found[:min(len(found), limit)], readRecord)
}

// TrialBalance implements ledger.Service.
func (c *Client) TrialBalance(ctx context.Context, name id.Ledger) ([]ledger.TrialLine, error) {
	m, err := call(ctx, c.queries.TrialBalance, &ledgerv1.TrialBalanceRequest{Ledger: string(name)})
	if err != nil {
		return nil, err
	}
	return readAll(m.GetLines(), readTrialLine)
}

// Execute implements ledger.Service. One command is a call of its own; several are a PostBatch. An account command goes through PostBatch too, where
// its decline is an outcome and not an error.
func (c *Client) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	if len(b.Commands) == 1 {
		if t, handled, err := c.single(ctx, b.Commands[0], b.DryRun); handled {
			return one(t, err)
		}
	}
	request := &ledgerv1.PostBatchRequest{Atomic: b.Atomic, DryRun: b.DryRun, Commands: make([]*ledgerv1.Command, len(b.Commands))}
	for i, command := range b.Commands {
		request.Commands[i] = renderCommand(command)
	}
	m, err := call(ctx, c.commands.PostBatch, request)
	if err != nil {
		return nil, alone(err, len(b.Commands))
	}
	return readAll(m.GetResults(), readResult)
}

// alone takes the index off the field of an error: a command that went alone has none.
func alone(err error, commands int) error {
	e := errs.Of(err)
	if field, indexed := strings.CutPrefix(e.Fields["field"], batchField(0)); indexed && commands == 1 {
		return e.With("field", field)
	}
	return err
}

// one turns the answer to a single command into a result; a mismatch belongs to the command, as it does in a batch.
func one(t *ledgerv1.Transaction, err error) ([]ledger.Result, error) {
	if errs.Of(err).Reason == errs.ReasonIdempotencyMismatch && err != nil {
		return []ledger.Result{{Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := readOutcome(t)
	if err != nil {
		return nil, err
	}
	return []ledger.Result{{Outcome: o}}, nil
}

func (c *Client) single(ctx context.Context, command ledger.Command, dryRun bool) (*ledgerv1.Transaction, bool, error) {
	switch v := renderCommand(command).GetCommand().(type) {
	case *ledgerv1.Command_Debit:
		v.Debit.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Debit, v.Debit)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Credit:
		v.Credit.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Credit, v.Credit)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Transfer:
		v.Transfer.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Transfer, v.Transfer)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Post:
		v.Post.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Post, v.Post)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Hold:
		v.Hold.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Hold, v.Hold)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Commit:
		v.Commit.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Commit, v.Commit)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Rollback:
		v.Rollback.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Rollback, v.Rollback)
		return m.GetTransaction(), true, err
	case *ledgerv1.Command_Reverse:
		v.Reverse.Terms.DryRun = dryRun
		m, err := call(ctx, c.commands.Reverse, v.Reverse)
		return m.GetTransaction(), true, err
	}
	return nil, false, nil
}
