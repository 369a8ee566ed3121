package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// PaymentClient is ledger.Payments on the other side of the wire, and takes payments further. It is safe for concurrent use, and does not retry: the
// caller decides where to go next with the same key.
type PaymentClient struct {
	payments paymentsv1connect.PaymentServiceClient
}

var _ ledger.Payments = (*PaymentClient)(nil)

// NewPaymentClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewPaymentClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *PaymentClient {
	return &PaymentClient{paymentsv1connect.NewPaymentServiceClient(httpClient, baseURL, options...)}
}

// Do executes a step or a change of a player. A decline is an outcome, and not an error; another kind of command is errs.ErrInvalidArgument.
func (c *PaymentClient) Do(ctx context.Context, command ledger.Command, dryRun bool) (ledger.Outcome, error) {
	terms := renderTerms(command)
	terms.DryRun = dryRun
	switch {
	case command.Kind == ledger.KindPlayer && command.Player != nil:
		m, err := call(ctx, c.payments.UpdatePlayer, renderPlayerChange(*command.Player, terms))
		return answered(m.GetTransaction(), nil, m.GetPlayer(), err)
	case command.Kind == ledger.KindStep && command.Step != nil && command.Target.IsZero():
		s := command.Step
		m, err := call(ctx, c.payments.Create, &paymentsv1.CreateRequest{
			Terms: terms, Kind: string(s.Payment), Trigger: string(s.Trigger), Amount: renderMoney(command.Amount), Player: string(s.Player),
			ParentPaymentId: renderID(s.Parent), Provider: s.Provider, ProviderReference: s.ProviderReference, AccountId: string(command.Account),
			CounterAccountId: string(command.Counter), Evidence: s.Evidence, Actor: s.Actor,
		})
		return answered(m.GetTransaction(), m.GetTransition(), nil, err)
	case command.Kind == ledger.KindStep && command.Step != nil:
		s := command.Step
		m, err := call(ctx, c.payments.Step, &paymentsv1.StepRequest{
			Terms: terms, PaymentId: command.Target.String(), Kind: string(s.Payment), Trigger: string(s.Trigger), Amount: renderMoney(command.Amount),
			Provider: s.Provider, ProviderReference: s.ProviderReference, Evidence: s.Evidence, Actor: s.Actor,
		})
		return answered(m.GetTransaction(), m.GetTransition(), nil, err)
	}
	return ledger.Outcome{}, errs.Invalid("kind", "a payment client takes steps and changes of players")
}

func renderPlayerChange(p ledger.PlayerChange, terms *ledgerv1.Terms) *paymentsv1.UpdatePlayerRequest {
	out := &paymentsv1.UpdatePlayerRequest{
		Terms: terms, Player: string(p.Player), Kyc: string(p.KYC), Aml: string(p.AML), Status: string(p.Status), Limits: renderLimits(p.Limits),
		ClearLimits: p.Limits != nil && len(p.Limits) == 0, Cause: p.Cause, Actor: p.Actor,
	}
	if p.ExcludedUntil != nil {
		out.ExcludedUntil = stamp(*p.ExcludedUntil)
	}
	return out
}

// answered reads the answer to a command.
func answered(t *ledgerv1.Transaction, step *paymentsv1.Transition, player *paymentsv1.Player, err error) (ledger.Outcome, error) {
	if err != nil {
		return ledger.Outcome{}, err
	}
	o, err := readOutcome(t)
	if err == nil && step != nil {
		o.Step, err = readTransition(step)
	}
	if err == nil && player != nil {
		var read ledger.Player
		read, err = readPlayer(player)
		o.Player = &read
	}
	if err != nil {
		return ledger.Outcome{}, errs.ErrInternal.Because(err)
	}
	return o, nil
}

// Payment implements ledger.Payments.
func (c *PaymentClient) Payment(ctx context.Context, name id.Ledger, payment id.Transaction) (ledger.Payment, error) {
	m, err := call(ctx, c.payments.GetPayment, &paymentsv1.GetPaymentRequest{Ledger: string(name), PaymentId: payment.String(), PageSize: 1})
	if err != nil {
		return ledger.Payment{}, err
	}
	found, err := readAll([]*paymentsv1.Payment{m.GetPayment()}, readPayment)
	if err != nil {
		return ledger.Payment{}, err
	}
	return found[0], nil
}

// PaymentSteps implements ledger.Payments, but that a payment that is not there is errs.ErrPaymentNotFound.
func (c *PaymentClient) PaymentSteps(ctx context.Context, name id.Ledger, payment id.Transaction, after int64, limit int) ([]ledger.PaymentStep, error) {
	m, err := call(ctx, c.payments.GetPayment, &paymentsv1.GetPaymentRequest{
		Ledger: string(name), PaymentId: payment.String(), AfterStep: after, PageSize: pageOf(limit),
	})
	if err != nil {
		return nil, err
	}
	return readAll(m.GetSteps(), func(s *paymentsv1.PaymentStep) (ledger.PaymentStep, error) {
		out := ledger.PaymentStep{
			Home: id.Home(m.GetPayment().GetHome()), Ledger: name, Payment: payment, Number: s.GetNumber(), Trigger: ledger.Trigger(s.GetTrigger()),
			From: ledger.PaymentState(s.GetFromState()), To: ledger.PaymentState(s.GetToState()), Decided: ledger.Posted, RecordedAt: at(s.GetRecordedAt()),
		}
		if s.GetStatus() == ledgerv1.Status_STATUS_DECLINED {
			out.Decided, out.Reason = ledger.Declined, reasonBack(s.GetReason())
		}
		var err error
		out.Transaction, err = id.ParseTransaction(s.GetTransactionId())
		return out, err
	})
}

func (c *PaymentClient) list(ctx context.Context, m *paymentsv1.ListPaymentsRequest, page ledger.PaymentPage) ([]ledger.Payment, error) {
	m.PageSize = pageOf(page.Limit)
	if !page.At.IsZero() {
		m.PageToken = nameToken(placeToken(page.At, page.ID))
	}
	found, err := call(ctx, c.payments.ListPayments, m)
	if err != nil {
		return nil, err
	}
	return readAll(found.GetPayments(), readPayment)
}

// PaymentsOfPlayer implements ledger.Payments.
func (c *PaymentClient) PaymentsOfPlayer(ctx context.Context, name id.Ledger, player id.Player, page ledger.PaymentPage) ([]ledger.Payment, error) {
	return c.list(ctx, &paymentsv1.ListPaymentsRequest{Ledger: string(name), By: &paymentsv1.ListPaymentsRequest_Player{Player: string(player)}}, page)
}

// PaymentsInState implements ledger.Payments.
func (c *PaymentClient) PaymentsInState(
	ctx context.Context, name id.Ledger, kind ledger.PaymentKind, state ledger.PaymentState, page ledger.PaymentPage,
) ([]ledger.Payment, error) {
	by := &paymentsv1.ListPaymentsRequest_InState{InState: &paymentsv1.PaymentsInState{Kind: string(kind), State: string(state), OldestFirst: page.OldestFirst}}
	return c.list(ctx, &paymentsv1.ListPaymentsRequest{Ledger: string(name), By: by}, page)
}

// PaymentsByReference implements ledger.Payments.
func (c *PaymentClient) PaymentsByReference(ctx context.Context, name id.Ledger, provider, reference string, limit int) ([]ledger.Payment, error) {
	by := &paymentsv1.ListPaymentsRequest_Reference{Reference: &paymentsv1.PaymentReference{Provider: provider, ProviderReference: reference}}
	return c.list(ctx, &paymentsv1.ListPaymentsRequest{Ledger: string(name), By: by}, ledger.PaymentPage{Limit: limit})
}

// Player implements ledger.Payments.
func (c *PaymentClient) Player(ctx context.Context, name id.Ledger, player id.Player) (ledger.Player, error) {
	m, err := call(ctx, c.payments.GetPlayer, &paymentsv1.GetPlayerRequest{Ledger: string(name), Player: string(player)})
	if err != nil {
		return ledger.Player{}, err
	}
	found, err := readAll([]*paymentsv1.Player{m.GetPlayer()}, readPlayer)
	if err != nil {
		return ledger.Player{}, err
	}
	return found[0], nil
}

func readAmounts[K ~string](all map[string]string) (map[K]money.Amount, error) {
	if len(all) == 0 {
		return nil, nil
	}
	out := make(map[K]money.Amount, len(all))
	for name, text := range all {
		a, err := money.Parse(text)
		if err != nil {
			return nil, err
		}
		out[K(name)] = a
	}
	return out, nil
}

func readID(text string) (id.Transaction, error) {
	if text == "" {
		return id.Transaction{}, nil
	}
	return id.ParseTransaction(text)
}

func readAsset(text string) (money.Asset, error) {
	if text == "" {
		return money.Asset{}, nil
	}
	return money.ParseAsset(text)
}

func readReview(m *paymentsv1.Review) *ledger.Review {
	if m == nil {
		return nil
	}
	return &ledger.Review{Gate: m.GetGate(), Cause: m.GetCause(), Paused: m.GetPaused(), Next: m.GetNext()}
}

func readTransition(m *paymentsv1.Transition) (*ledger.Transition, error) {
	t := &ledger.Transition{
		Kind: ledger.PaymentKind(m.GetKind()), Number: m.GetNumber(), Version: m.GetVersion(), Trigger: ledger.Trigger(m.GetTrigger()),
		From: ledger.PaymentState(m.GetFromState()), To: ledger.PaymentState(m.GetToState()), Player: id.Player(m.GetPlayer()), Provider: m.GetProvider(),
		ProviderReference: m.GetProviderReference(), Review: readReview(m.GetReview()),
	}
	var err error
	if t.Payment, err = readID(m.GetPaymentId()); err != nil {
		return nil, err
	}
	if t.Parent, err = readID(m.GetParentPaymentId()); err != nil {
		return nil, err
	}
	if t.Asset, err = readAsset(m.GetAsset()); err != nil {
		return nil, err
	}
	if t.Added, err = readAmounts[string](m.GetAdded()); err != nil {
		return nil, err
	}
	t.Totals, err = readAmounts[string](m.GetTotals())
	return t, err
}

func readPayment(m *paymentsv1.Payment) (ledger.Payment, error) {
	p := ledger.Payment{
		Home: id.Home(m.GetHome()), Ledger: id.Ledger(m.GetLedger()), Kind: ledger.PaymentKind(m.GetKind()), State: ledger.PaymentState(m.GetState()),
		Version: m.GetVersion(), Attempts: m.GetAttempts(), Player: id.Player(m.GetPlayer()), Provider: m.GetProvider(), ProviderReference: m.GetProviderReference(),
		PaymentData: ledger.PaymentData{Roles: make(map[ledger.Role]id.Account, len(m.GetAccounts())), Review: readReview(m.GetReview()), Actor: m.GetActor()},
		OpenedAt:    at(m.GetOpenedAt()), ChangedAt: at(m.GetChangedAt()),
	}
	for role, account := range m.GetAccounts() {
		p.Roles[ledger.Role(role)] = id.Account(account)
	}
	var err error
	if p.ID, err = id.ParseTransaction(m.GetPaymentId()); err != nil {
		return p, err
	}
	if p.Parent, err = readID(m.GetParentPaymentId()); err != nil {
		return p, err
	}
	if p.Asset, err = readAsset(m.GetAsset()); err != nil {
		return p, err
	}
	if p.Totals, err = readAmounts[string](m.GetTotals()); err != nil {
		return p, err
	}
	p.Holdings, err = readAmounts[ledger.Role](m.GetHoldings())
	return p, err
}

func readPlayer(m *paymentsv1.Player) (ledger.Player, error) {
	p := ledger.Player{
		Home: id.Home(m.GetHome()), Ledger: id.Ledger(m.GetLedger()), ID: id.Player(m.GetPlayer()), Version: m.GetVersion(), ChangedAt: at(m.GetChangedAt()),
		Profile: ledger.Profile{
			KYC: ledger.KYC(m.GetKyc()), AML: ledger.AML(m.GetAml()), Status: ledger.PlayerStatus(m.GetStatus()), ExcludedUntil: at(m.GetExcludedUntil()),
		},
	}
	for _, l := range m.GetLimits() {
		amount, err := money.Parse(l.GetAmount().GetMinorUnits())
		if err != nil {
			return p, err
		}
		p.Limits = append(p.Limits, ledger.PlayerLimit{
			Measure: ledger.Measure(l.GetMeasure()), Period: ledger.Period(l.GetPeriod()), Asset: money.Code(l.GetAmount().GetCurrency()), Amount: amount,
		})
	}
	for _, u := range m.GetUsage() {
		amount, err := money.Parse(u.GetAmount())
		if err != nil {
			return p, err
		}
		p.Usage = append(p.Usage, ledger.Usage{
			Measure: ledger.Measure(u.GetMeasure()), Period: ledger.Period(u.GetPeriod()), Asset: money.Code(u.GetCurrency()), Since: at(u.GetSince()), Amount: amount,
		})
	}
	return p, nil
}
