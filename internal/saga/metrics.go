package saga

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how sagas fare, on the node that has the lease of their home. Names begin with meridian_; times are in seconds.
type Metrics struct {
	answers *prometheus.CounterVec
	open    *prometheus.GaugeVec
	oldest  *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_saga_answers_total", Help: "Answers to steps of sagas, by what they came to.",
		}, []string{"flow", "step", "way", "answer"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_sagas_open", Help: "Sagas that have not ended; those that are stuck or in review wait for somebody.",
		}, []string{"home", "flow", "state"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_sagas_oldest_seconds", Help: "Time since the saga that changed longest ago, of those that have not ended, changed.",
		}, []string{"home", "flow", "state"}),
	}
	if registry != nil {
		registry.MustRegister(m.answers, m.open, m.oldest)
	}
	return m
}

func (m *Metrics) acted(s Saga, answer string) {
	way := "do"
	if s.Progress.Back {
		way = "undo"
	}
	m.answers.WithLabelValues(string(s.Flow), s.Step, way, answer).Inc()
}

func (m *Metrics) tallied(home id.Home, tallies []Tally, now time.Time) {
	m.forget(home)
	for _, t := range tallies {
		m.open.WithLabelValues(string(home), string(t.Flow), string(t.State)).Set(float64(t.Count))
		m.oldest.WithLabelValues(string(home), string(t.Flow), string(t.State)).Set(max(0, now.Sub(t.Oldest).Seconds()))
	}
}

// forget takes back what another node says from now on.
func (m *Metrics) forget(home id.Home) {
	m.open.DeletePartialMatch(prometheus.Labels{"home": string(home)})
	m.oldest.DeletePartialMatch(prometheus.Labels{"home": string(home)})
}
