package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how feeds fare, by home. Names begin with meridian_feed_; times are in seconds.
type Metrics struct {
	changes    *prometheus.CounterVec
	behind     *prometheus.GaugeVec
	waiting    *prometheus.GaugeVec
	reconnects *prometheus.CounterVec
	rescans    *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	home := []string{"home"}
	m := &Metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_feed_changes_total", Help: "Journal rows handed over, repeats included.",
		}, home),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_feed_behind_seconds", Help: "Age of the time up to which everything has been handed over.",
		}, home),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_feed_waiting_changes", Help: "Journal rows that wait for an earlier one of the same account.",
		}, home),
		reconnects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_feed_reconnects_total", Help: "Times that a feed lost its connection and began again.",
		}, home),
		rescans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_feed_rescans_total", Help: "Comparisons of journal and stream, by why the position was of no use.",
		}, []string{"home", "cause"}),
	}
	if registry != nil {
		registry.MustRegister(m.changes, m.behind, m.waiting, m.reconnects, m.rescans)
	}
	return m
}

func (m *Metrics) late(home id.Home, by time.Duration) {
	m.behind.WithLabelValues(string(home)).Set(by.Seconds())
}
