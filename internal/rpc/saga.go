package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/saga"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// sagas implements SagaService: parse, call, render.
type sagas struct {
	*handler
	service saga.Service
}

func newSagas(h *handler, o Options) paymentsv1connect.SagaServiceHandler {
	if o.Sagas == nil {
		return paymentsv1connect.UnimplementedSagaServiceHandler{}
	}
	return sagas{h, o.Sagas}
}

var sagaStates = map[saga.State]paymentsv1.SagaState{
	saga.Running:      paymentsv1.SagaState_SAGA_STATE_RUNNING,
	saga.Compensating: paymentsv1.SagaState_SAGA_STATE_COMPENSATING,
	saga.Waiting:      paymentsv1.SagaState_SAGA_STATE_WAITING,
	saga.Stuck:        paymentsv1.SagaState_SAGA_STATE_STUCK,
	saga.Review:       paymentsv1.SagaState_SAGA_STATE_REVIEW,
	saga.Completed:    paymentsv1.SagaState_SAGA_STATE_COMPLETED,
	saga.Compensated:  paymentsv1.SagaState_SAGA_STATE_COMPENSATED,
}

var sagaStateBack = inverse(sagaStates)

var sagaChoices = map[saga.Choice]paymentsv1.SagaChoice{
	saga.Proceed:    paymentsv1.SagaChoice_SAGA_CHOICE_PROCEED,
	saga.Retry:      paymentsv1.SagaChoice_SAGA_CHOICE_RETRY,
	saga.Compensate: paymentsv1.SagaChoice_SAGA_CHOICE_COMPENSATE,
	saga.SayDone:    paymentsv1.SagaChoice_SAGA_CHOICE_DONE,
	saga.SayFailed:  paymentsv1.SagaChoice_SAGA_CHOICE_FAILED,
}

var sagaChoiceBack = inverse(sagaChoices)

// StartSaga implements SagaService.
func (h sagas) StartSaga(ctx context.Context, r *connect.Request[paymentsv1.StartSagaRequest]) (*connect.Response[paymentsv1.StartSagaResponse], error) {
	p := h.parser(ctx, r.Header())
	name, key := p.ledger("ledger", r.Msg.GetLedger()), p.key("idempotency_key", r.Msg.GetIdempotencyKey())
	q := p.sagaRequest(name, r.Msg.GetRequest())
	there := false
	return answerTo(p, func() (s saga.Saga, err error) {
		s, there, err = h.service.Start(ctx, name, saga.Name(r.Msg.GetFlow()), key, q)
		return s, err
	}, func(s saga.Saga) *paymentsv1.StartSagaResponse {
		return &paymentsv1.StartSagaResponse{Saga: renderSaga(s), AlreadyThere: there}
	})
}

func (p *parser) sagaRequest(in id.Ledger, m *paymentsv1.SagaRequest) saga.Request {
	q := saga.Request{
		Player: p.player("request.player", m.GetPlayer()), Amount: *p.money("request.amount", in, m.GetAmount()), Provider: provider.Name(m.GetProvider()),
		Bonus: p.optionalMoney("request.bonus", in, m.GetBonus()), FourEyes: m.GetFourEyes(), Actor: m.GetActor(),
	}
	if m.GetParentPaymentId() != "" {
		q.Parent = p.transaction("request.parent_payment_id", m.GetParentPaymentId())
	}
	return q
}

// ListSagas implements SagaService.
func (h sagas) ListSagas(ctx context.Context, r *connect.Request[paymentsv1.ListSagasRequest]) (*connect.Response[paymentsv1.ListSagasResponse], error) {
	p := h.parser(ctx, r.Header())
	name, page := p.ledger("ledger", r.Msg.GetLedger()), saga.Page{Limit: p.pageSize(r.Msg.GetPageSize())}
	page.OpenedAt, page.ID = p.placeOfToken(r.Msg.GetPageToken())
	list := h.service.Standing
	if r.Msg.GetAll() {
		list = h.service.All
	}
	return answerTo(p, func() ([]saga.Saga, error) { return list(ctx, name, page) }, func(found []saga.Saga) *paymentsv1.ListSagasResponse {
		out := &paymentsv1.ListSagasResponse{Sagas: renderAll(found, renderSaga)}
		if len(found) == page.Limit {
			out.NextPageToken = nameToken(placeToken(found[len(found)-1].OpenedAt, found[len(found)-1].ID))
		}
		return out
	})
}

// GetSaga implements SagaService.
func (h sagas) GetSaga(ctx context.Context, r *connect.Request[paymentsv1.GetSagaRequest]) (*connect.Response[paymentsv1.GetSagaResponse], error) {
	p := h.parser(ctx, r.Header())
	name, key := p.ledger("ledger", r.Msg.GetLedger()), p.transaction("saga_id", r.Msg.GetSagaId())
	return answerTo(p, func() (saga.Explanation, error) { return h.service.Explain(ctx, name, key) }, renderExplanation)
}

// decide has a person's word on the saga that a request names.
func decide[Resp any](
	ctx context.Context, r interface {
		GetLedger() string
		GetSagaId() string
	}, p *parser, do func(context.Context, id.Ledger, id.Transaction) (saga.Saga, error), wrap func(*paymentsv1.Saga) *Resp,
) (*connect.Response[Resp], error) {
	name, key := p.ledger("ledger", r.GetLedger()), p.transaction("saga_id", r.GetSagaId())
	return answerTo(p, func() (saga.Saga, error) { return do(ctx, name, key) }, func(s saga.Saga) *Resp { return wrap(renderSaga(s)) })
}

// RetrySaga implements SagaService.
func (h sagas) RetrySaga(ctx context.Context, r *connect.Request[paymentsv1.RetrySagaRequest]) (*connect.Response[paymentsv1.RetrySagaResponse], error) {
	return decide(ctx, r.Msg, h.parser(ctx, r.Header()), func(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Saga, error) {
		return h.service.Retry(ctx, name, key, r.Msg.GetActor(), r.Msg.GetReason())
	}, func(s *paymentsv1.Saga) *paymentsv1.RetrySagaResponse { return &paymentsv1.RetrySagaResponse{Saga: s} })
}

// CompensateSaga implements SagaService.
func (h sagas) CompensateSaga(
	ctx context.Context, r *connect.Request[paymentsv1.CompensateSagaRequest],
) (*connect.Response[paymentsv1.CompensateSagaResponse], error) {
	return decide(ctx, r.Msg, h.parser(ctx, r.Header()), func(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Saga, error) {
		return h.service.Compensate(ctx, name, key, r.Msg.GetActor(), r.Msg.GetReason())
	}, func(s *paymentsv1.Saga) *paymentsv1.CompensateSagaResponse {
		return &paymentsv1.CompensateSagaResponse{Saga: s}
	})
}

// HandOverSaga implements SagaService.
func (h sagas) HandOverSaga(ctx context.Context, r *connect.Request[paymentsv1.HandOverSagaRequest]) (*connect.Response[paymentsv1.HandOverSagaResponse], error) {
	p := h.parser(ctx, r.Header())
	choice, known := sagaChoiceBack[r.Msg.GetChoice()]
	if !known {
		p.fail("choice", "SAGA_CHOICE_RETRY, SAGA_CHOICE_COMPENSATE, SAGA_CHOICE_DONE or SAGA_CHOICE_FAILED")
	}
	return decide(ctx, r.Msg, p, func(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Saga, error) {
		return h.service.Handover(ctx, name, key, r.Msg.GetActor(), choice, r.Msg.GetReason())
	}, func(s *paymentsv1.Saga) *paymentsv1.HandOverSagaResponse {
		return &paymentsv1.HandOverSagaResponse{Saga: s}
	})
}

// ApproveSaga implements SagaService.
func (h sagas) ApproveSaga(ctx context.Context, r *connect.Request[paymentsv1.ApproveSagaRequest]) (*connect.Response[paymentsv1.ApproveSagaResponse], error) {
	return decide(ctx, r.Msg, h.parser(ctx, r.Header()), func(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Saga, error) {
		return h.service.Approve(ctx, name, key, r.Msg.GetActor())
	}, func(s *paymentsv1.Saga) *paymentsv1.ApproveSagaResponse {
		return &paymentsv1.ApproveSagaResponse{Saga: s}
	})
}

// RejectSaga implements SagaService.
func (h sagas) RejectSaga(ctx context.Context, r *connect.Request[paymentsv1.RejectSagaRequest]) (*connect.Response[paymentsv1.RejectSagaResponse], error) {
	return decide(ctx, r.Msg, h.parser(ctx, r.Header()), func(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Saga, error) {
		return h.service.Reject(ctx, name, key, r.Msg.GetActor(), r.Msg.GetReason())
	}, func(s *paymentsv1.Saga) *paymentsv1.RejectSagaResponse {
		return &paymentsv1.RejectSagaResponse{Saga: s}
	})
}

func renderSaga(s saga.Saga) *paymentsv1.Saga {
	return &paymentsv1.Saga{
		SagaId: s.ID.String(), Ledger: string(s.Ledger), Home: string(s.Home), IdempotencyKey: string(s.Key), Flow: string(s.Flow),
		Request: renderSagaRequest(s.Request), State: sagaStates[s.State], Step: s.Step, Version: s.Version, Attempts: int32(s.Attempts), //nolint:gosec // dozens
		PaymentId: renderID(s.Progress.Payments[saga.Main]), BonusPaymentId: renderID(s.Progress.Payments[saga.Bonus]),
		ProviderReference: s.Progress.Reference, Cause: s.Cause, Detail: s.Detail, Awaits: s.Awaits, DueAt: stamp(s.DueAt), Since: stamp(s.Since),
		OpenedAt: stamp(s.OpenedAt), ChangedAt: stamp(s.ChangedAt),
	}
}

func renderSagaRequest(q saga.Request) *paymentsv1.SagaRequest {
	return &paymentsv1.SagaRequest{
		Player: string(q.Player), Amount: renderMoney(&q.Amount), Provider: string(q.Provider), ParentPaymentId: renderID(q.Parent), Bonus: renderMoney(q.Bonus),
		FourEyes: q.FourEyes, Actor: q.Actor,
	}
}

func renderExplanation(e saga.Explanation) *paymentsv1.GetSagaResponse {
	return &paymentsv1.GetSagaResponse{
		Saga: renderSaga(e.Saga), Next: e.Next, Can: renderAll(e.Can, func(c saga.Choice) paymentsv1.SagaChoice { return sagaChoices[c] }),
		Steps: renderAll(e.Steps, func(s saga.Explained) *paymentsv1.SagaStep {
			return &paymentsv1.SagaStep{Name: s.Name, Standing: s.Standing, Since: stamp(s.Since), Deadline: stamp(s.Deadline)}
		}),
		History: renderAll(e.History, func(l saga.Line) *paymentsv1.SagaLine {
			return &paymentsv1.SagaLine{
				Number: l.Number, Step: l.Step, Back: l.Back, Event: l.Event, Cause: l.Cause, Detail: l.Detail, Actor: l.Actor, Proposer: l.Proposer, At: stamp(l.At),
			}
		}),
	}
}

// SagaClient is a saga.Service on the other side of the wire. It is safe for concurrent use, and does not retry.
//
// The wire carries less than the tables: of the progress of a saga its payments and the provider's reference.
type SagaClient struct {
	sagas paymentsv1connect.SagaServiceClient
}

var _ saga.Service = (*SagaClient)(nil)

// NewSagaClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewSagaClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *SagaClient {
	return &SagaClient{paymentsv1connect.NewSagaServiceClient(httpClient, baseURL, options...)}
}

// Start implements saga.Service.
func (c *SagaClient) Start(ctx context.Context, name id.Ledger, flow saga.Name, key id.Key, q saga.Request) (s saga.Saga, there bool, err error) {
	m, err := call(ctx, c.sagas.StartSaga, &paymentsv1.StartSagaRequest{
		Ledger: string(name), IdempotencyKey: string(key), Flow: string(flow), Request: renderSagaRequest(q),
	})
	s, err = oneSaga(m, err)
	return s, m.GetAlreadyThere(), err
}

// Standing implements saga.Service.
func (c *SagaClient) Standing(ctx context.Context, name id.Ledger, page saga.Page) ([]saga.Saga, error) {
	return c.list(ctx, name, page, false)
}

// All implements saga.Service.
func (c *SagaClient) All(ctx context.Context, name id.Ledger, page saga.Page) ([]saga.Saga, error) {
	return c.list(ctx, name, page, true)
}

func (c *SagaClient) list(ctx context.Context, name id.Ledger, page saga.Page, all bool) ([]saga.Saga, error) {
	request := &paymentsv1.ListSagasRequest{Ledger: string(name), All: all, PageSize: pageOf(page.Limit)}
	if !page.ID.IsZero() {
		request.PageToken = nameToken(placeToken(page.OpenedAt, page.ID))
	}
	m, err := call(ctx, c.sagas.ListSagas, request)
	if err != nil {
		return nil, err
	}
	return readAll(m.GetSagas(), readSaga)
}

// Explain implements saga.Service.
func (c *SagaClient) Explain(ctx context.Context, name id.Ledger, key id.Transaction) (saga.Explanation, error) {
	m, err := call(ctx, c.sagas.GetSaga, &paymentsv1.GetSagaRequest{Ledger: string(name), SagaId: key.String()})
	s, err := oneSaga(m, err)
	if err != nil {
		return saga.Explanation{}, err
	}
	return saga.Explanation{
		Saga: s, Next: m.GetNext(), Can: renderAll(m.GetCan(), func(c paymentsv1.SagaChoice) saga.Choice { return sagaChoiceBack[c] }),
		Steps: renderAll(m.GetSteps(), func(s *paymentsv1.SagaStep) saga.Explained {
			return saga.Explained{Name: s.GetName(), Standing: s.GetStanding(), Since: at(s.GetSince()), Deadline: at(s.GetDeadline())}
		}),
		History: renderAll(m.GetHistory(), func(l *paymentsv1.SagaLine) saga.Line {
			return saga.Line{
				Number: l.GetNumber(), Step: l.GetStep(), Back: l.GetBack(), Event: l.GetEvent(), Cause: l.GetCause(), Detail: l.GetDetail(), Actor: l.GetActor(),
				Proposer: l.GetProposer(), At: at(l.GetAt()),
			}
		}),
	}, nil
}

// Retry implements saga.Service.
func (c *SagaClient) Retry(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (saga.Saga, error) {
	return oneSaga(call(ctx, c.sagas.RetrySaga, &paymentsv1.RetrySagaRequest{Ledger: string(name), SagaId: key.String(), Actor: actor, Reason: reason}))
}

// Compensate implements saga.Service.
func (c *SagaClient) Compensate(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (saga.Saga, error) {
	return oneSaga(call(ctx, c.sagas.CompensateSaga, &paymentsv1.CompensateSagaRequest{Ledger: string(name), SagaId: key.String(), Actor: actor, Reason: reason}))
}

// Handover implements saga.Service.
func (c *SagaClient) Handover(ctx context.Context, name id.Ledger, key id.Transaction, actor string, choice saga.Choice, reason string) (saga.Saga, error) {
	return oneSaga(call(ctx, c.sagas.HandOverSaga, &paymentsv1.HandOverSagaRequest{
		Ledger: string(name), SagaId: key.String(), Actor: actor, Choice: sagaChoices[choice], Reason: reason,
	}))
}

// Approve implements saga.Service.
func (c *SagaClient) Approve(ctx context.Context, name id.Ledger, key id.Transaction, actor string) (saga.Saga, error) {
	return oneSaga(call(ctx, c.sagas.ApproveSaga, &paymentsv1.ApproveSagaRequest{Ledger: string(name), SagaId: key.String(), Actor: actor}))
}

// Reject implements saga.Service.
func (c *SagaClient) Reject(ctx context.Context, name id.Ledger, key id.Transaction, actor, reason string) (saga.Saga, error) {
	return oneSaga(call(ctx, c.sagas.RejectSaga, &paymentsv1.RejectSagaRequest{Ledger: string(name), SagaId: key.String(), Actor: actor, Reason: reason}))
}

// oneSaga reads an answer that is a saga.
func oneSaga(m interface{ GetSaga() *paymentsv1.Saga }, err error) (saga.Saga, error) {
	if err != nil {
		return saga.Saga{}, err
	}
	found, err := readAll([]*paymentsv1.Saga{m.GetSaga()}, readSaga)
	if err != nil {
		return saga.Saga{}, err
	}
	return found[0], nil
}

func readSaga(m *paymentsv1.Saga) (s saga.Saga, err error) {
	s = saga.Saga{
		Home: id.Home(m.GetHome()), Ledger: id.Ledger(m.GetLedger()), Key: id.Key(m.GetIdempotencyKey()), Flow: saga.Name(m.GetFlow()),
		State: sagaStateBack[m.GetState()], Step: m.GetStep(), Version: m.GetVersion(), Attempts: int(m.GetAttempts()),
		Progress: saga.Progress{Reference: m.GetProviderReference()}, Cause: m.GetCause(), Detail: m.GetDetail(), Awaits: m.GetAwaits(), DueAt: at(m.GetDueAt()),
		Since: at(m.GetSince()), OpenedAt: at(m.GetOpenedAt()), ChangedAt: at(m.GetChangedAt()),
	}
	if s.ID, err = id.ParseTransaction(m.GetSagaId()); err != nil {
		return s, err
	}
	for part, text := range map[saga.Part]string{saga.Main: m.GetPaymentId(), saga.Bonus: m.GetBonusPaymentId()} {
		if text == "" {
			continue
		}
		made, err := id.ParseTransaction(text)
		if err != nil {
			return s, err
		}
		if s.Progress.Payments == nil {
			s.Progress.Payments = map[saga.Part]id.Transaction{}
		}
		s.Progress.Payments[part] = made
	}
	s.Request, err = readSagaRequest(m.GetRequest())
	return s, err
}

func readSagaRequest(m *paymentsv1.SagaRequest) (q saga.Request, err error) {
	q = saga.Request{Player: id.Player(m.GetPlayer()), Provider: provider.Name(m.GetProvider()), FourEyes: m.GetFourEyes(), Actor: m.GetActor()}
	if q.Amount, err = readMoney(m.GetAmount()); err != nil {
		return q, err
	}
	if m.GetBonus() != nil {
		bonus, err := readMoney(m.GetBonus())
		if err != nil {
			return q, err
		}
		q.Bonus = &bonus
	}
	if m.GetParentPaymentId() != "" {
		q.Parent, err = id.ParseTransaction(m.GetParentPaymentId())
	}
	return q, err
}
