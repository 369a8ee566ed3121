package rpc

import (
	"context"
	"encoding/base64"
	"slices"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// providers implements ProviderService.
type providers struct{ service provider.Service }

func newProviders(o Options) paymentsv1connect.ProviderServiceHandler {
	if o.Providers == nil {
		return paymentsv1connect.UnimplementedProviderServiceHandler{}
	}
	return providers{o.Providers}
}

var callbackStates = map[provider.State]paymentsv1.CallbackState{
	"":                 paymentsv1.CallbackState_CALLBACK_STATE_UNSPECIFIED,
	provider.Received:  paymentsv1.CallbackState_CALLBACK_STATE_RECEIVED,
	provider.Waiting:   paymentsv1.CallbackState_CALLBACK_STATE_WAITING,
	provider.Applied:   paymentsv1.CallbackState_CALLBACK_STATE_APPLIED,
	provider.Dead:      paymentsv1.CallbackState_CALLBACK_STATE_DEAD,
	provider.Discarded: paymentsv1.CallbackState_CALLBACK_STATE_DISCARDED,
}

func callbackState(s paymentsv1.CallbackState) (provider.State, bool) {
	for state, wire := range callbackStates {
		if wire == s {
			return state, true
		}
	}
	return "", false
}

// providerOf reads the ledger and the provider that a request is about. The ledger has no default here: nobody replays by leaving something out.
func (p *parser) providerOf(at, ledger, name string) (id.Ledger, provider.Name) {
	l, err := id.ParseLedger(ledger)
	p.check(at+"ledger", err)
	n, err := provider.ParseName(name)
	if err != nil {
		p.fail(at+"provider", errs.Of(err).Message)
	}
	return l, n
}

// eventID reads the id of a stored event.
func (p *parser) eventID(field, text string) string {
	if len(text) > provider.MaxID+maxPage/10 {
		p.fail(field, "no event has an id so long")
		return ""
	}
	_, err := id.ParseKey(text) // of the same form
	p.check(field, err)
	return text
}

// ListCallbacks implements ProviderService.
func (h providers) ListCallbacks(ctx context.Context, r *connect.Request[paymentsv1.ListCallbacksRequest]) (*connect.Response[paymentsv1.ListCallbacksResponse], error) {
	p := &parser{ctx: ctx}
	page := provider.Page{Limit: p.pageSize(r.Msg.GetPageSize())}
	page.Ledger, page.Provider = p.providerOf("", r.Msg.GetLedger(), r.Msg.GetProvider())
	var known bool
	if page.State, known = callbackState(r.Msg.GetState()); !known {
		p.fail("state", "one of the states, or leave it out")
	}
	if token := r.Msg.GetPageToken(); token != "" {
		after, err := base64.RawURLEncoding.DecodeString(token)
		if _, bad := id.ParseKey(string(after)); err != nil || bad != nil {
			p.fail("page_token", "take it from next_page_token of the page before")
		}
		page.After = string(after)
	}
	if p.err != nil {
		return nil, p.err
	}
	found, err := h.service.List(ctx, page)
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.ListCallbacksResponse{Callbacks: renderAll(found, renderCallback)}
	if len(found) == page.Limit {
		out.NextPageToken = nameToken(found[len(found)-1].ID)
	}
	return connect.NewResponse(out), nil
}

// GetCallback implements ProviderService.
func (h providers) GetCallback(ctx context.Context, r *connect.Request[paymentsv1.GetCallbackRequest]) (*connect.Response[paymentsv1.GetCallbackResponse], error) {
	p := &parser{ctx: ctx}
	ledger, name := p.providerOf("", r.Msg.GetLedger(), r.Msg.GetProvider())
	event := p.eventID("event_id", r.Msg.GetEventId())
	return answerTo(p, func() (provider.Callback, error) { return h.service.Get(ctx, ledger, name, event) }, func(c provider.Callback) *paymentsv1.GetCallbackResponse {
		return &paymentsv1.GetCallbackResponse{Callback: renderCallback(c)}
	})
}

func (p *parser) callbackSelection(m *paymentsv1.CallbackSelection) provider.Selection {
	s := provider.Selection{Cause: m.GetCause()}
	s.Ledger, s.Provider = p.providerOf("selection.", m.GetLedger(), m.GetProvider())
	for _, event := range m.GetEventIds() {
		s.IDs = append(s.IDs, p.eventID("selection.event_ids", event))
	}
	if s.Cause != "" {
		_, err := id.ParseReason(s.Cause)
		p.check("selection.cause", err)
	}
	return s
}

// ReplayCallbacks implements ProviderService.
func (h providers) ReplayCallbacks(ctx context.Context, r *connect.Request[paymentsv1.ReplayCallbacksRequest]) (*connect.Response[paymentsv1.ReplayCallbacksResponse], error) {
	p := &parser{ctx: ctx}
	selected := p.callbackSelection(r.Msg.GetSelection())
	return answerTo(p, func() (int64, error) { return h.service.Replay(ctx, selected) }, func(n int64) *paymentsv1.ReplayCallbacksResponse {
		return &paymentsv1.ReplayCallbacksResponse{Count: n}
	})
}

// DiscardCallbacks implements ProviderService.
func (h providers) DiscardCallbacks(ctx context.Context, r *connect.Request[paymentsv1.DiscardCallbacksRequest]) (*connect.Response[paymentsv1.DiscardCallbacksResponse], error) {
	p := &parser{ctx: ctx}
	selected := p.callbackSelection(r.Msg.GetSelection())
	return answerTo(p, func() (int64, error) { return h.service.Discard(ctx, selected, r.Msg.GetReason()) }, func(n int64) *paymentsv1.DiscardCallbacksResponse {
		return &paymentsv1.DiscardCallbacksResponse{Count: n}
	})
}

func renderCallback(c provider.Callback) *paymentsv1.Callback {
	m := &paymentsv1.Callback{
		Home: string(c.Home), Ledger: string(c.Ledger), Provider: string(c.Provider), EventId: c.ID, Type: c.Type, Trigger: c.Trigger, Payment: c.Payment,
		Reference: c.Reference, Currency: string(c.Currency), OccurredAt: stamp(c.OccurredAt), ReceivedAt: stamp(c.ReceivedAt),
		State: callbackStates[c.State], Attempts: int32(c.Attempts), DueAt: stamp(c.DueAt), Cause: c.Cause, Detail: c.Detail, //nolint:gosec // a dozen
		ChangedAt: stamp(c.ChangedAt), OpenedAt: stamp(c.OpenedAt), RawMode: string(c.Raw.Mode), RawKey: c.Raw.KeyID, Raw: c.Raw.Bytes,
	}
	if c.HasAmount {
		m.Amount = c.Amount.String()
	}
	return m
}

func readCallback(m *paymentsv1.Callback) (provider.Callback, error) {
	state, _ := callbackState(m.GetState())
	c := provider.Callback{
		Envelope: provider.Envelope{
			Home: id.Home(m.GetHome()), Ledger: id.Ledger(m.GetLedger()), Provider: provider.Name(m.GetProvider()), ID: m.GetEventId(), Type: m.GetType(),
			Trigger: m.GetTrigger(), Payment: m.GetPayment(), Reference: m.GetReference(), Currency: money.Code(m.GetCurrency()),
			OccurredAt: at(m.GetOccurredAt()), ReceivedAt: at(m.GetReceivedAt()), Cause: m.GetCause(), Detail: m.GetDetail(),
			Raw: provider.Raw{Mode: provider.RawMode(m.GetRawMode()), KeyID: m.GetRawKey(), Bytes: m.GetRaw()},
		},
		State: state, Attempts: int(m.GetAttempts()), DueAt: at(m.GetDueAt()), OpenedAt: at(m.GetOpenedAt()), ChangedAt: at(m.GetChangedAt()),
	}
	if m.GetAmount() != "" {
		n, err := money.Parse(m.GetAmount())
		if err != nil {
			return provider.Callback{}, err
		}
		c.Amount, c.HasAmount = n, true
	}
	return c, nil
}

// ProviderClient is a provider.Service on the other side of the wire. It is safe for concurrent use, and does not retry.
type ProviderClient struct {
	providers paymentsv1connect.ProviderServiceClient
}

var _ provider.Service = (*ProviderClient)(nil)

// NewProviderClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewProviderClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *ProviderClient {
	return &ProviderClient{paymentsv1connect.NewProviderServiceClient(httpClient, baseURL, options...)}
}

// List implements provider.Service.
func (c *ProviderClient) List(ctx context.Context, page provider.Page) ([]provider.Callback, error) {
	request := &paymentsv1.ListCallbacksRequest{
		Ledger: string(page.Ledger), Provider: string(page.Provider), State: callbackStates[page.State], PageSize: pageOf(page.Limit),
	}
	if page.After != "" {
		request.PageToken = nameToken(page.After)
	}
	m, err := call(ctx, c.providers.ListCallbacks, request)
	if err != nil {
		return nil, err
	}
	return readAll(m.GetCallbacks(), readCallback)
}

// Get implements provider.Service.
func (c *ProviderClient) Get(ctx context.Context, ledger id.Ledger, name provider.Name, event string) (provider.Callback, error) {
	m, err := call(ctx, c.providers.GetCallback, &paymentsv1.GetCallbackRequest{Ledger: string(ledger), Provider: string(name), EventId: event})
	if err != nil {
		return provider.Callback{}, err
	}
	return readCallback(m.GetCallback())
}

func renderCallbackSelection(s provider.Selection) *paymentsv1.CallbackSelection {
	return &paymentsv1.CallbackSelection{Ledger: string(s.Ledger), Provider: string(s.Provider), EventIds: slices.Clone(s.IDs), Cause: s.Cause}
}

// Replay implements provider.Service.
func (c *ProviderClient) Replay(ctx context.Context, s provider.Selection) (int64, error) {
	m, err := call(ctx, c.providers.ReplayCallbacks, &paymentsv1.ReplayCallbacksRequest{Selection: renderCallbackSelection(s)})
	return m.GetCount(), err
}

// Discard implements provider.Service.
func (c *ProviderClient) Discard(ctx context.Context, s provider.Selection, reason string) (int64, error) {
	m, err := call(ctx, c.providers.DiscardCallbacks, &paymentsv1.DiscardCallbacksRequest{Selection: renderCallbackSelection(s), Reason: reason})
	return m.GetCount(), err
}
