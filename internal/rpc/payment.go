package rpc

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// payments implements PaymentService: parse, call, render. What changes something is a command of the ledger.
type payments struct {
	*handler
	payments ledger.Payments
}

func newPayments(h *handler, o Options) paymentsv1connect.PaymentServiceHandler {
	if o.Payments == nil {
		return paymentsv1connect.UnimplementedPaymentServiceHandler{}
	}
	return payments{h, o.Payments}
}

// Create implements PaymentService.
func (h payments) Create(ctx context.Context, r *connect.Request[paymentsv1.CreateRequest]) (*connect.Response[paymentsv1.CreateResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.execute(ctx, p, p.createPayment(r.Msg), r.Msg.GetTerms().GetDryRun())
	if err != nil {
		return nil, err
	}
	return respond(o, &paymentsv1.CreateResponse{Transaction: renderOutcome(o), Transition: renderTransition(o.Step)}), nil
}

// Step implements PaymentService.
func (h payments) Step(ctx context.Context, r *connect.Request[paymentsv1.StepRequest]) (*connect.Response[paymentsv1.StepResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.execute(ctx, p, p.stepPayment(r.Msg), r.Msg.GetTerms().GetDryRun())
	if err != nil {
		return nil, err
	}
	return respond(o, &paymentsv1.StepResponse{Transaction: renderOutcome(o), Transition: renderTransition(o.Step)}), nil
}

// UpdatePlayer implements PaymentService.
func (h payments) UpdatePlayer(
	ctx context.Context, r *connect.Request[paymentsv1.UpdatePlayerRequest],
) (*connect.Response[paymentsv1.UpdatePlayerResponse], error) {
	p := h.parser(ctx, r.Header())
	o, err := h.execute(ctx, p, p.updatePlayer(r.Msg), r.Msg.GetTerms().GetDryRun())
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.UpdatePlayerResponse{Transaction: renderOutcome(o)}
	if o.Player != nil {
		out.Player = renderPlayer(*o.Player)
	}
	return respond(o, out), nil
}

// GetPayment implements PaymentService.
func (h payments) GetPayment(ctx context.Context, r *connect.Request[paymentsv1.GetPaymentRequest]) (*connect.Response[paymentsv1.GetPaymentResponse], error) {
	p := h.parser(ctx, r.Header())
	name, key := p.ledger("ledger", r.Msg.GetLedger()), p.transaction("payment_id", r.Msg.GetPaymentId())
	size := p.pageSize(r.Msg.GetPageSize())
	if r.Msg.GetAfterStep() < 0 {
		p.fail("after_step", "the number of a step, or 0")
	}
	if p.err != nil {
		return nil, p.err
	}
	found, err := h.payments.Payment(ctx, name, key)
	if err != nil {
		return nil, err
	}
	steps, err := h.payments.PaymentSteps(ctx, name, key, r.Msg.GetAfterStep(), size)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&paymentsv1.GetPaymentResponse{Payment: renderPayment(found), Steps: renderAll(steps, renderStep)}), nil
}

// ListPayments implements PaymentService.
func (h payments) ListPayments(
	ctx context.Context, r *connect.Request[paymentsv1.ListPaymentsRequest],
) (*connect.Response[paymentsv1.ListPaymentsResponse], error) {
	p := h.parser(ctx, r.Header())
	name := p.ledger("ledger", r.Msg.GetLedger())
	page := p.paymentPage(r.Msg.GetPageSize(), r.Msg.GetPageToken())
	list := h.listing(p, name, r.Msg)
	if p.err != nil {
		return nil, p.err
	}
	size := page.Limit
	page.Limit++
	found, err := list(ctx, page)
	if err != nil {
		return nil, err
	}
	found, next := cut(found, size, func(last ledger.Payment) string {
		at := last.OpenedAt
		if r.Msg.GetInState() != nil { // that list is by the last change
			at = last.ChangedAt
		}
		return placeToken(at, last.ID)
	})
	if r.Msg.GetReference() != nil { // payments of one reference are one page
		next = ""
	}
	return connect.NewResponse(&paymentsv1.ListPaymentsResponse{Payments: renderAll(found, renderPayment), NextPageToken: next}), nil
}

type listing func(context.Context, ledger.PaymentPage) ([]ledger.Payment, error)

// listing returns how to find what a request asks for.
func (h payments) listing(p *parser, name id.Ledger, m *paymentsv1.ListPaymentsRequest) listing {
	switch by := m.GetBy().(type) {
	case *paymentsv1.ListPaymentsRequest_Player:
		player := p.player("player", by.Player)
		return func(ctx context.Context, page ledger.PaymentPage) ([]ledger.Payment, error) {
			return h.payments.PaymentsOfPlayer(ctx, name, player, page)
		}
	case *paymentsv1.ListPaymentsRequest_InState:
		kind, state := by.InState.GetKind(), by.InState.GetState()
		p.word("in_state.kind", kind)
		p.word("in_state.state", state)
		return func(ctx context.Context, page ledger.PaymentPage) ([]ledger.Payment, error) {
			page.OldestFirst = by.InState.GetOldestFirst()
			return h.payments.PaymentsInState(ctx, name, ledger.PaymentKind(kind), ledger.PaymentState(state), page)
		}
	case *paymentsv1.ListPaymentsRequest_Reference:
		provider, reference := by.Reference.GetProvider(), by.Reference.GetProviderReference()
		p.refuse("reference.provider", ledger.ValidateText("reference.provider", provider))
		p.refuse("reference.provider_reference", ledger.ValidateText("reference.provider_reference", reference))
		if reference == "" {
			p.fail("reference.provider_reference", "say what the provider calls the payment")
		}
		if m.GetPageToken() != "" {
			p.fail("page_token", "payments of one reference are one page")
		}
		return func(ctx context.Context, page ledger.PaymentPage) ([]ledger.Payment, error) {
			return h.payments.PaymentsByReference(ctx, name, provider, reference, page.Limit)
		}
	}
	p.fail("by", "name a player, a kind and a state, or a reference at a provider")
	return nil
}

// GetPlayer implements PaymentService.
func (h payments) GetPlayer(ctx context.Context, r *connect.Request[paymentsv1.GetPlayerRequest]) (*connect.Response[paymentsv1.GetPlayerResponse], error) {
	p := h.parser(ctx, r.Header())
	name, player := p.ledger("ledger", r.Msg.GetLedger()), p.player("player", r.Msg.GetPlayer())
	return answerTo(p, func() (ledger.Player, error) { return h.payments.Player(ctx, name, player) }, func(found ledger.Player) *paymentsv1.GetPlayerResponse {
		return &paymentsv1.GetPlayerResponse{Player: renderPlayer(found)}
	})
}

func (p *parser) player(field, text string) id.Player {
	if text == "" {
		p.fail(field, "name the player")
		return ""
	}
	player, err := id.ParsePlayer(text)
	p.check(field, err)
	return player
}

// word reads the name of a kind or a state; a list of what nobody knows is empty.
func (p *parser) word(field, text string) {
	if text == "" {
		p.fail(field, "name it, as in deposit or authorized")
	}
	p.refuse(field, ledger.ValidateText(field, text))
}

func (p *parser) optionalPlayer(field, text string) id.Player {
	if text == "" {
		return ""
	}
	return p.player(field, text)
}

func (p *parser) createPayment(r *paymentsv1.CreateRequest) ledger.Command {
	c := p.terms(ledger.KindStep, r.GetTerms())
	c.Account, c.Counter = p.optionalAccount("account_id", r.GetAccountId()), p.optionalAccount("counter_account_id", r.GetCounterAccountId())
	c.Amount = p.money("amount", c.Ledger, r.GetAmount())
	c.Step = &ledger.Step{
		Payment: ledger.PaymentKind(r.GetKind()), Trigger: ledger.Trigger(r.GetTrigger()), Player: p.optionalPlayer("player", r.GetPlayer()),
		Provider: r.GetProvider(), ProviderReference: r.GetProviderReference(), Evidence: r.GetEvidence(), Actor: r.GetActor(),
	}
	if r.GetParentPaymentId() != "" {
		c.Step.Parent = p.transaction("parent_payment_id", r.GetParentPaymentId())
	}
	return c
}

func (p *parser) stepPayment(r *paymentsv1.StepRequest) ledger.Command {
	c := p.terms(ledger.KindStep, r.GetTerms())
	c.Target, c.Amount = p.transaction("payment_id", r.GetPaymentId()), p.optionalMoney("amount", c.Ledger, r.GetAmount())
	if p.err == nil && c.Target.IsZero() {
		p.fail("payment_id", "name the payment")
	}
	c.Step = &ledger.Step{
		Payment: ledger.PaymentKind(r.GetKind()), Trigger: ledger.Trigger(r.GetTrigger()), Provider: r.GetProvider(),
		ProviderReference: r.GetProviderReference(), Evidence: r.GetEvidence(), Actor: r.GetActor(),
	}
	return c
}

func (p *parser) updatePlayer(r *paymentsv1.UpdatePlayerRequest) ledger.Command {
	c := p.terms(ledger.KindPlayer, r.GetTerms())
	c.Player = &ledger.PlayerChange{
		Player: p.player("player", r.GetPlayer()), KYC: ledger.KYC(r.GetKyc()), AML: ledger.AML(r.GetAml()), Status: ledger.PlayerStatus(r.GetStatus()),
		Cause: r.GetCause(), Actor: r.GetActor(),
	}
	if r.GetExcludedUntil() != nil {
		until := p.time("excluded_until", r.GetExcludedUntil())
		c.Player.ExcludedUntil = &until
	}
	switch {
	case len(r.GetLimits()) > ledger.MaxPlayerLimits:
		p.fail("limits", fmt.Sprintf("at most %d limits", ledger.MaxPlayerLimits))
	case r.GetClearLimits() && len(r.GetLimits()) > 0:
		p.fail("clear_limits", "either new limits, or none")
	case r.GetClearLimits():
		c.Player.Limits = []ledger.PlayerLimit{}
	default:
		for i, l := range r.GetLimits() {
			c.Player.Limits = append(c.Player.Limits, p.playerLimit(fmt.Sprintf("limits[%d].", i), c.Ledger, l))
		}
	}
	return c
}

// playerLimit reads a bound, which may be zero: nothing at all.
func (p *parser) playerLimit(at string, in id.Ledger, m *paymentsv1.PlayerLimit) ledger.PlayerLimit {
	amount, err := money.Parse(m.GetAmount().GetMinorUnits())
	p.check(at+"amount.minor_units", err)
	return ledger.PlayerLimit{
		Measure: ledger.Measure(m.GetMeasure()), Period: ledger.Period(m.GetPeriod()), Amount: amount,
		Asset: p.asset(at+"amount.currency", in, m.GetAmount().GetCurrency()),
	}
}

// placeToken is a place in a list by time, as cut takes it: the time in microseconds, and the id.
func placeToken(at time.Time, last id.Transaction) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())) //nolint:gosec // read back as it was
	return string(append(b, last[:]...))
}

// placeOfToken reads such a place; none is the zero time.
func (p *parser) placeOfToken(token string) (at time.Time, last id.Transaction) {
	if token == "" {
		return at, last
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && len(b) == 24 {
		at, last = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(), id.Transaction(b[8:]) //nolint:gosec // written like this
	}
	if y := at.Year(); err != nil || y < 1970 || y > 9998 || last.IsZero() { // a database must not see anything else
		p.fail("page_token", "take it from next_page_token of the page before")
	}
	return at, last
}

func (p *parser) paymentPage(size int32, token string) ledger.PaymentPage {
	page := ledger.PaymentPage{Limit: p.pageSize(size)}
	page.At, page.ID = p.placeOfToken(token)
	return page
}

func texts[K ~string](amounts map[K]money.Amount) map[string]string {
	if len(amounts) == 0 {
		return nil
	}
	out := make(map[string]string, len(amounts))
	for name, a := range amounts {
		out[string(name)] = a.String()
	}
	return out
}

func renderID(t id.Transaction) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}

func renderAsset(a money.Asset) string {
	if a.Code == "" {
		return ""
	}
	return a.String()
}

func renderReview(r *ledger.Review) *paymentsv1.Review {
	if r == nil {
		return nil
	}
	return &paymentsv1.Review{Gate: r.Gate, Cause: r.Cause, Paused: r.Paused, Next: r.Next}
}

func renderTransition(t *ledger.Transition) *paymentsv1.Transition {
	if t == nil { // of a step that another one of its batch declined; here there is no batch
		return nil
	}
	return &paymentsv1.Transition{
		PaymentId: renderID(t.Payment), Kind: string(t.Kind), Number: t.Number, Version: t.Version, Trigger: string(t.Trigger), FromState: string(t.From),
		ToState: string(t.To), Player: string(t.Player), ParentPaymentId: renderID(t.Parent), Asset: renderAsset(t.Asset), Provider: t.Provider,
		ProviderReference: t.ProviderReference, Added: texts(t.Added), Totals: texts(t.Totals), Review: renderReview(t.Review),
	}
}

func renderPayment(p ledger.Payment) *paymentsv1.Payment {
	out := &paymentsv1.Payment{
		PaymentId: p.ID.String(), Ledger: string(p.Ledger), Home: string(p.Home), Kind: string(p.Kind), State: string(p.State), Version: p.Version,
		Attempts: p.Attempts, Player: string(p.Player), ParentPaymentId: renderID(p.Parent), Asset: renderAsset(p.Asset), Provider: p.Provider,
		ProviderReference: p.ProviderReference, Accounts: make(map[string]string, len(p.Roles)), Totals: texts(p.Totals), Holdings: texts(p.Holdings),
		Review: renderReview(p.Review), Actor: p.Actor, OpenedAt: stamp(p.OpenedAt), ChangedAt: stamp(p.ChangedAt),
	}
	for role, account := range p.Roles {
		out.Accounts[string(role)] = string(account)
	}
	return out
}

func renderStep(s ledger.PaymentStep) *paymentsv1.PaymentStep {
	out := &paymentsv1.PaymentStep{
		Number: s.Number, TransactionId: s.Transaction.String(), Trigger: string(s.Trigger), FromState: string(s.From), ToState: string(s.To),
		Status: ledgerv1.Status_STATUS_POSTED, RecordedAt: stamp(s.RecordedAt),
	}
	if s.Decided == ledger.Declined {
		out.Status, out.Reason = ledgerv1.Status_STATUS_DECLINED, reasonOf(s.Reason)
	}
	return out
}

func renderPlayer(p ledger.Player) *paymentsv1.Player {
	out := &paymentsv1.Player{
		Player: string(p.ID), Ledger: string(p.Ledger), Home: string(p.Home), Version: p.Version, Kyc: string(p.KYC), Aml: string(p.AML), Status: string(p.Status),
		ExcludedUntil: stamp(p.ExcludedUntil), ChangedAt: stamp(p.ChangedAt), Limits: renderLimits(p.Limits),
	}
	for _, u := range p.Usage {
		out.Usage = append(out.Usage, &paymentsv1.PlayerUsage{
			Measure: string(u.Measure), Period: string(u.Period), Currency: string(u.Asset), Since: stamp(u.Since), Amount: u.Amount.String(),
		})
	}
	return out
}

func renderLimits(limits []ledger.PlayerLimit) []*paymentsv1.PlayerLimit {
	var out []*paymentsv1.PlayerLimit
	for _, l := range limits {
		out = append(out, &paymentsv1.PlayerLimit{
			Measure: string(l.Measure), Period: string(l.Period), Amount: &ledgerv1.Amount{MinorUnits: l.Amount.String(), Currency: string(l.Asset)},
		})
	}
	return out
}
