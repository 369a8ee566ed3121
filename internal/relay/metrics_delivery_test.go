package relay_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// values returns the samples of a metric by their labels, and how many series there are.
func values(t *testing.T, g prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				if l.GetName() != "home" && l.GetName() != "subscription" {
					key += l.GetName() + "=" + l.GetValue() + " "
				}
			}
			found[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

func TestDeliveryMetrics_SayHowFarBehindAndWhy(t *testing.T) {
	e, registry := newEndless(100), prometheus.NewRegistry()
	answer := func(m sink.Message) error {
		if m.Position <= 80 { // a cause of its own for each
			return &sink.Error{Verdict: sink.Poison, Cause: fmt.Sprintf("made_up_%d", m.Position)}
		}
		if m.Position == 81 {
			return &sink.Error{Verdict: sink.Retry, Cause: "No Word"}
		}
		return nil
	}
	d := relay.NewDeliverers(relay.DeliverOptions{
		Store: e, Stream: e, Metrics: relay.NewDeliveryMetrics(registry), Limits: quick(),
		Sinks: relay.Sinks{"file": func(event.SinkSpec, []event.Secret) (sink.Sink, error) {
			return dropping{sink.Shape{Batch: 1, Parallel: 1}, answer}, nil
		}},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, event.Lease{Home: "eu", Epoch: 1}) }()
	s := newScript()
	s.until(t, "all is delivered or dead, and told", func() bool {
		at, rows := e.standing()
		attempts := values(t, registry, "meridian_delivery_attempts_total")
		died := 0.0
		for labels, n := range attempts {
			if strings.Contains(labels, "result=dead") {
				died += n
			}
		}
		lag, told := values(t, registry, "meridian_delivery_lag_seconds")[""]
		return at.Position == 100 && rows == 81 && attempts["cause= result=delivered "] == 19 && died == 81 && told && lag == 0
	})
	attempts := values(t, registry, "meridian_delivery_attempts_total")
	if len(attempts) > 64+4 {
		t.Errorf("%d series: causes make labels without end", len(attempts))
	}
	if got := attempts["cause=other result=dead "]; got < 16 {
		t.Errorf("%g causes too many go under other, want at least 16: %v", got, attempts)
	}
	if got := values(t, registry, "meridian_redeliveries_total")[""]; got != float64(quick().Attempts-1) {
		t.Errorf("%g attempts at what was attempted before, want %d", got, quick().Attempts-1)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if lag := values(t, registry, "meridian_delivery_lag_seconds"); len(lag) != 0 {
		t.Errorf("after the lease: %v, want another node to say it", lag)
	}
}
