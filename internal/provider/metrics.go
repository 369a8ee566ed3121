package provider

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how callbacks come in, on every node, and how they fare, on the node that has the lease of the home. Names begin with meridian_;
// times are in seconds.
type Metrics struct {
	received       *prometheus.CounterVec
	duplicates     *prometheus.CounterVec
	contradictions *prometheus.CounterVec
	refused        *prometheus.CounterVec
	intake         prometheus.Histogram
	groups         prometheus.Histogram
	statements     prometheus.Histogram

	attempts *prometheus.CounterVec
	open     *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	letters  *prometheus.GaugeVec
	delay    *prometheus.HistogramVec
	causes   attempt.Causes
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		received:       counter("meridian_callbacks_received_total", "Events of providers that were stored.", "provider"),
		duplicates:     counter("meridian_callbacks_duplicates_total", "Events of providers that were stored before.", "provider"),
		contradictions: counter("meridian_callbacks_contradictions_total", "Events under an id that says something else already.", "provider"),
		refused:        counter("meridian_callbacks_refused_total", "Requests that were not taken, by reason.", "provider", "reason"),
		intake: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_callback_intake_seconds", Help: "Time from the first byte of a callback to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15), // 0.5 ms to 8 s
		}),
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_callback_group_rows", Help: "Callbacks stored by one statement.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		statements: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_callback_group_seconds", Help: "Time to store one group.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		attempts: counter("meridian_callbacks_attempted_total", "Attempts to apply a callback, by what came of them.", "home", "provider", "result", "cause"),
		open:     gauge("meridian_callbacks_open", "Callbacks that are stored and not settled.", "home", "provider", "state"),
		oldest:   gauge("meridian_callbacks_oldest_seconds", "Age of the oldest callback that is not settled.", "home", "provider"),
		letters:  gauge("meridian_callbacks_dead", "Callbacks that were given up and wait for somebody.", "home", "provider", "cause"),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_callback_delay_seconds", Help: "Time from receiving a callback to its effect.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12), // 1 ms to 70 min
		}, []string{"home", "provider"}),
	}
	if registry != nil {
		registry.MustRegister(m.received, m.duplicates, m.contradictions, m.refused, m.intake, m.groups, m.statements, m.attempts, m.open, m.oldest, m.letters, m.delay)
	}
	return m
}

func (m *Metrics) grouped(rows int, took time.Duration) {
	m.groups.Observe(float64(rows))
	m.statements.Observe(took.Seconds())
}

func (m *Metrics) attempted(c Callback, result, cause string) {
	m.attempts.WithLabelValues(string(c.Home), string(c.Provider), result, m.causes.Label(cause)).Inc()
}

func (m *Metrics) tallied(home id.Home, tallies []Tally, now time.Time) {
	m.forget(home)
	oldest := map[Name]time.Time{}
	for _, t := range tallies {
		if t.State == Dead {
			m.letters.WithLabelValues(string(home), string(t.Provider), m.causes.Label(attempt.Word(t.Cause))).Add(float64(t.Count))
			continue
		}
		m.open.WithLabelValues(string(home), string(t.Provider), string(t.State)).Add(float64(t.Count))
		if first, there := oldest[t.Provider]; !there || t.Oldest.Before(first) {
			oldest[t.Provider] = t.Oldest
		}
	}
	for name, at := range oldest {
		m.oldest.WithLabelValues(string(home), string(name)).Set(max(0, now.Sub(at).Seconds()))
	}
}

// forget takes back what another node says from now on.
func (m *Metrics) forget(home id.Home) {
	for _, g := range []*prometheus.GaugeVec{m.open, m.oldest, m.letters} {
		g.DeletePartialMatch(prometheus.Labels{"home": string(home)})
	}
}
