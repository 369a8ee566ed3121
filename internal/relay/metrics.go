package relay

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how the streams of the homes fare that this node works on. Names begin with meridian_; times are in seconds.
type Metrics struct {
	held      *prometheus.GaugeVec
	takeovers *prometheus.CounterVec
	appended  *prometheus.CounterVec
	repeated  *prometheus.CounterVec
	waiting   *prometheus.GaugeVec
	delay     *prometheus.HistogramVec
	restarts  *prometheus.CounterVec
	lag       *lag
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	home := []string{"home"}
	m := &Metrics{
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meridian_relay_lease_held", Help: "1 where this node has the lease of the home."}, home),
		takeovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_relay_takeovers_total", Help: "Leases taken from an owner that had not let go: it died, stalled, or lost its database.",
		}, home),
		appended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_stream_appended_total", Help: "Events written to the stream."}, home),
		repeated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_stream_repeated_total", Help: "Changes that the feed handed over again, and that stood in the stream already.",
		}, home),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_stream_lag_events", Help: "Changes that were handed over and are not in the stream yet.",
		}, home),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_stream_delay_seconds", Help: "Time from the recording of a change to its place in the stream, as this node's clock has it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 131 s
		}, home),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_relay_feed_restarts_total", Help: "Times the feed ended and was started again, by cause.",
		}, []string{"home", "cause"}),
		lag: &lag{since: map[id.Home]time.Time{}, desc: prometheus.NewDesc(
			"meridian_stream_lag_seconds", "Age of the time up to which everything that was committed is in the stream; it grows while the feed is silent.", home, nil)},
	}
	if registry != nil {
		registry.MustRegister(m.held, m.takeovers, m.appended, m.repeated, m.waiting, m.delay, m.restarts, m.lag)
	}
	return m
}

func (m *Metrics) taken(t event.Tenure) {
	m.held.WithLabelValues(string(t.Home)).Set(1)
	if t.From != "" {
		m.takeovers.WithLabelValues(string(t.Home)).Inc()
	}
}

func (m *Metrics) dropped(home id.Home) {
	m.held.WithLabelValues(string(home)).Set(0)
	m.waiting.WithLabelValues(string(home)).Set(0)
	m.lag.forget(home)
}

func (m *Metrics) wrote(home id.Home, changes []event.Change, appended int) {
	m.appended.WithLabelValues(string(home)).Add(float64(appended))
	m.repeated.WithLabelValues(string(home)).Add(float64(len(changes) - appended))
	if appended < len(changes) {
		return // which of them are new is not told, and a repeat would count as late
	}
	now, delay := time.Now(), m.delay.WithLabelValues(string(home))
	for _, c := range changes {
		delay.Observe(max(0, now.Sub(c.RecordedAt)).Seconds())
	}
}

func (m *Metrics) restarted(home id.Home, err error) {
	cause := "ended"
	if err != nil {
		cause = strings.ToLower(string(errs.Of(err).Reason))
	}
	m.restarts.WithLabelValues(string(home), cause).Inc()
}

// lag is a metric that grows by itself, so that a feed which says nothing is seen.
type lag struct {
	mu    sync.Mutex
	since map[id.Home]time.Time
	desc  *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(into chan<- *prometheus.Desc) { into <- l.desc }

// Collect implements prometheus.Collector.
func (l *lag) Collect(into chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for home, since := range l.since {
		into <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, max(0, time.Since(since)).Seconds(), string(home))
	}
}

func (l *lag) reached(home id.Home, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since[home] = at
}

func (l *lag) forget(home id.Home) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.since, home)
}
