package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// explainer implements ExplainService.
type explainer struct{ service *explain.Service }

func newExplainer(o Options) paymentsv1connect.ExplainServiceHandler {
	if o.Explain == nil {
		return paymentsv1connect.UnimplementedExplainServiceHandler{}
	}
	return explainer{o.Explain}
}

// Explain implements ExplainService. The ledger has no default here: to leave it out is to ask all.
func (h explainer) Explain(ctx context.Context, r *connect.Request[paymentsv1.ExplainRequest]) (*connect.Response[paymentsv1.ExplainResponse], error) {
	p, q := &parser{ctx: ctx}, explain.Query{Text: r.Msg.GetText()}
	if named := r.Msg.GetLedger(); named != "" {
		var err error
		q.Ledger, err = id.ParseLedger(named)
		p.check("ledger", err)
	}
	if p.err != nil {
		return nil, p.err
	}
	a, err := h.service.Explain(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.ExplainResponse{Story: renderStory(a.Story)}
	for _, m := range a.Matches {
		out.Matches = append(out.Matches, &paymentsv1.StoryMatch{Ledger: string(m.Ledger), Id: m.ID, FoundBy: string(m.How), What: m.What, At: stamp(m.At)})
	}
	return connect.NewResponse(out), nil
}

var storyOutcomes = map[explain.Outcome]paymentsv1.StoryOutcome{
	explain.Accepted: paymentsv1.StoryOutcome_STORY_OUTCOME_ACCEPTED,
	explain.Refused:  paymentsv1.StoryOutcome_STORY_OUTCOME_REFUSED,
	explain.Awaited:  paymentsv1.StoryOutcome_STORY_OUTCOME_AWAITED,
	explain.Noted:    paymentsv1.StoryOutcome_STORY_OUTCOME_NOTED,
}

func storyOutcome(o paymentsv1.StoryOutcome) explain.Outcome {
	for outcome, wire := range storyOutcomes {
		if wire == o {
			return outcome
		}
	}
	return explain.Noted // of a newer server
}

func renderStory(s *explain.Story) *paymentsv1.Story {
	if s == nil {
		return nil
	}
	m := &paymentsv1.Story{
		Subject: s.Subject, Id: s.ID, Home: string(s.Home), Ledger: string(s.Ledger), Title: s.Title, Facts: renderFacts(s.Facts), State: s.State,
		Terminal: s.Terminal, Standing: s.Standing, Awaits: s.Awaits, Next: s.Next, Reconciliation: s.Compared, Open: s.Open,
	}
	for _, how := range s.Found {
		m.FoundBy = append(m.FoundBy, string(how))
	}
	for _, one := range s.Money {
		m.Money = append(m.Money, &paymentsv1.StoryMoney{Account: one.Account, Role: one.Role, MinorUnits: one.Minor, Currency: one.Asset, Text: one.Text})
	}
	for _, e := range s.Events {
		m.Events = append(m.Events, &paymentsv1.StoryEvent{
			At: stamp(e.At), Source: string(e.Source), Outcome: storyOutcomes[e.Outcome], What: e.What, Reason: e.Reason, Meaning: e.Meaning, Details: renderFacts(e.Details),
		})
	}
	return m
}

func renderFacts(all []explain.Fact) []*paymentsv1.StoryFact {
	var out []*paymentsv1.StoryFact
	for _, f := range all {
		out = append(out, &paymentsv1.StoryFact{Name: f.Name, Value: f.Value})
	}
	return out
}

func readStory(m *paymentsv1.Story) *explain.Story {
	if m == nil {
		return nil
	}
	s := &explain.Story{
		Subject: m.GetSubject(), ID: m.GetId(), Home: id.Home(m.GetHome()), Ledger: id.Ledger(m.GetLedger()), Title: m.GetTitle(), Facts: readFacts(m.GetFacts()),
		State: m.GetState(), Terminal: m.GetTerminal(), Standing: m.GetStanding(), Awaits: m.GetAwaits(), Next: m.GetNext(), Compared: m.GetReconciliation(), Open: m.GetOpen(),
	}
	for _, how := range m.GetFoundBy() {
		s.Found = append(s.Found, explain.How(how))
	}
	for _, one := range m.GetMoney() {
		s.Money = append(s.Money, explain.Stands{Account: one.GetAccount(), Role: one.GetRole(), Minor: one.GetMinorUnits(), Asset: one.GetCurrency(), Text: one.GetText()})
	}
	for _, e := range m.GetEvents() {
		s.Events = append(s.Events, explain.Event{
			At: at(e.GetAt()), Source: explain.Source(e.GetSource()), Outcome: storyOutcome(e.GetOutcome()), What: e.GetWhat(), Reason: e.GetReason(), Meaning: e.GetMeaning(),
			Details: readFacts(e.GetDetails()),
		})
	}
	return s
}

func readFacts(all []*paymentsv1.StoryFact) []explain.Fact {
	var out []explain.Fact
	for _, f := range all {
		out = append(out, explain.Fact{Name: f.GetName(), Value: f.GetValue()})
	}
	return out
}

// ExplainClient asks a node for stories. It is safe for concurrent use, and does not retry.
type ExplainClient struct {
	stories paymentsv1connect.ExplainServiceClient
}

// NewExplainClient returns a client of the node at a base URL, as in http://127.0.0.1:7070.
func NewExplainClient(httpClient connect.HTTPClient, baseURL string, options ...connect.ClientOption) *ExplainClient {
	return &ExplainClient{paymentsv1connect.NewExplainServiceClient(httpClient, baseURL, options...)}
}

// Explain answers as explain.Service does; every error is an *errs.Error.
func (c *ExplainClient) Explain(ctx context.Context, q explain.Query) (explain.Answer, error) {
	m, err := call(ctx, c.stories.Explain, &paymentsv1.ExplainRequest{Text: q.Text, Ledger: string(q.Ledger)})
	if err != nil {
		return explain.Answer{}, err
	}
	a := explain.Answer{Asked: q.Text, Story: readStory(m.GetStory())}
	for _, one := range m.GetMatches() {
		a.Matches = append(a.Matches, explain.Match{Ledger: id.Ledger(one.GetLedger()), ID: one.GetId(), How: explain.How(one.GetFoundBy()), What: one.GetWhat(), At: at(one.GetAt())})
	}
	return a, nil
}
