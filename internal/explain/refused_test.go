package explain_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/search"
)

// A first step that was refused made no payment, whose history would have it. Its journal row is kept all the same: it is found by its key, listed
// among what was refused, and counted.
func TestExplain_AFirstStepThatWasRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newTables(t, d)
		registry := prometheus.NewRegistry()
		s.Committer = commit.New(s.Store, commit.Options{Lifecycle: payment.Default().Lifecycle(), Metrics: commit.NewMetrics(registry)})
		first := func(key string, kind ledger.PaymentKind, on ledger.Trigger, want errs.Reason) id.Transaction {
			t.Helper()
			o := s.do("brand", key, ledger.Command{Kind: ledger.KindStep, Amount: eur(5000), Step: &ledger.Step{
				Payment: kind, Trigger: on, Player: "p", Provider: "acme", ProviderReference: "psp_" + key,
			}})
			if o.Reason != want {
				t.Fatalf("%s was refused for %q, want %q", key, o.Reason, want)
			}
			return o.Transaction
		}
		s.do("brand", "suspend", ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: "p", Status: ledger.PlayerSuspended}})
		gate := first("gate", payment.Deposit, "authorize", errs.ReasonGateClosed)
		s.do("brand", "back", ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: "p", Status: ledger.PlayerActive}})
		made := first("made", payment.Deposit, "authorize", "")
		poor := first("poor", payment.Bet, "accept", errs.ReasonInsufficientFunds)
		odd := first("odd", payment.Deposit, "settle", errs.ReasonTransitionRefused)
		s.do("brand", "nobody", ledger.Command{
			Kind: ledger.KindStep, Target: id.Transaction{9}, Step: &ledger.Step{Payment: "gift", Trigger: "wrap"},
		})
		s.streamed("brand", gate, made, poor, odd)

		for _, row := range []struct {
			key, says, reason string
			payment           id.Transaction
		}{
			{"gate", "authorize 50.00 EUR: refused in (new)", "GATE_CLOSED", gate},
			{"poor", "accept 50.00 EUR: refused in (new)", "INSUFFICIENT_FUNDS", poor},
			{"odd", "settle 50.00 EUR: refused in (new)", "TRANSITION_REFUSED", odd},
		} {
			for _, text := range []string{row.key, row.payment.String()} {
				story := s.story(text)
				if story.Subject != "payment" || story.ID != row.payment.String() || story.State != "declined" || len(story.Events) < 2 {
					t.Fatalf("%s: %+v", text, story)
				}
				if e := story.Events[1]; e.What != row.says || e.Outcome != explain.Refused || e.Reason != row.reason {
					t.Errorf("%s: %+v", text, e)
				}
			}
		}

		refused := search.Query{Ledger: "brand", Kinds: []ledger.Kind{ledger.KindStep}, Decided: ledger.Declined, OldestFirst: true}
		found, err := search.NewService(s.Store, nil, nil).Search(t.Context(), refused, search.Page{Limit: 10}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for _, r := range found.Records {
			step := r.Outcome.Step
			listed = append(listed, string(r.Outcome.Key)+" "+string(step.Kind)+" "+string(step.Trigger)+" "+string(r.Outcome.Reason))
		}
		if got, want := strings.Join(listed, ", "), "gate deposit authorize GATE_CLOSED, poor bet accept INSUFFICIENT_FUNDS, odd deposit settle TRANSITION_REFUSED"; got != want {
			t.Errorf("listed are %s, want %s", got, want)
		}

		counted := map[string]float64{
			"bet new INSUFFICIENT_FUNDS accept": 1, "deposit new GATE_CLOSED authorize": 1, "deposit new TRANSITION_REFUSED settle": 1,
			"unknown unknown PAYMENT_NOT_FOUND unknown": 1,
		}
		if got := refusals(t, registry); !maps.Equal(got, counted) {
			t.Errorf("counted are %v, want %v", got, counted)
		}
	})
}

// refusals are those that were counted, by kind, state, reason and trigger.
func refusals(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "meridian_payment_refusals_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			of := map[string]string{}
			for _, l := range m.GetLabel() {
				of[l.GetName()] = l.GetValue()
			}
			counted[strings.Join([]string{of["kind"], of["from"], of["reason"], of["trigger"]}, " ")] = m.GetCounter().GetValue()
		}
	}
	return counted
}
