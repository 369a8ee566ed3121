package search

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how far the models are behind that this node writes. Names begin with meridian_search_; times are in seconds.
type Metrics struct {
	rows  *prometheus.CounterVec
	delay *prometheus.HistogramVec
	lag   *lag
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	home := []string{"home"}
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_search_rows_total", Help: "Transactions that became searchable."}, home),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_search_delay_seconds", Help: "Time from the recording of a transaction until it can be searched for, as this node's clock has it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 131 s
		}, home),
		lag: &lag{
			homes:   map[id.Home]behind{},
			events:  prometheus.NewDesc("meridian_search_lag_events", "Events of the stream that can not be searched for yet.", home, nil),
			seconds: prometheus.NewDesc("meridian_search_lag_seconds", "Age of the oldest event that can not be searched for yet; 0 where there is none.", home, nil),
			rebuild: prometheus.NewDesc("meridian_search_rebuild_events", "Events that the generation which is to serve next is behind; 0 without one.", home, nil),
		},
	}
	if registry != nil {
		registry.MustRegister(m.rows, m.delay, m.lag)
	}
	return m
}

// behind is how far a model is from the end of its stream.
type behind struct {
	head, position, building event.Position
	since                    time.Time // when the oldest event was appended that is missing, or a little before; zero where none is
}

// lag is a metric that grows by itself, so that a projector which hangs is seen.
type lag struct {
	mu                       sync.Mutex
	homes                    map[id.Home]behind
	events, seconds, rebuild *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(into chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.events, l.seconds, l.rebuild} {
		into <- d
	}
}

// Collect implements prometheus.Collector.
func (l *lag) Collect(into chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for home, b := range l.homes {
		gauge := func(d *prometheus.Desc, v float64) {
			into <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, max(0, v), string(home))
		}
		gauge(l.events, float64(b.head-b.position))
		age := 0.0
		if !b.since.IsZero() {
			age = time.Since(b.since).Seconds()
		}
		gauge(l.seconds, age)
		gauge(l.rebuild, float64(b.building))
	}
}

func (l *lag) change(home id.Home, to func(*behind)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.homes[home]
	to(&b)
	l.homes[home] = b
}

func (m *Metrics) looked(home id.Home, head event.Position, all Generations) {
	m.lag.change(home, func(b *behind) {
		b.head, b.position, b.building = head, all.Serving().Position, 0
		if next, building := all.Building(); building {
			b.building = head - next.Position
		}
		switch {
		case b.position >= b.head:
			b.since = time.Time{}
		case b.since.IsZero():
			b.since = time.Now()
		}
	})
}

func (m *Metrics) caughtUp(home id.Home) {
	m.lag.change(home, func(b *behind) { b.head, b.since = max(b.head, b.position), time.Time{} })
}

func (m *Metrics) projected(home id.Home, events []event.Event, all bool) {
	now, delay := time.Now(), m.delay.WithLabelValues(string(home))
	for _, e := range events {
		delay.Observe(max(0, now.Sub(e.Record.Outcome.RecordedAt)).Seconds())
	}
	m.rows.WithLabelValues(string(home)).Add(float64(len(events)))
	last := events[len(events)-1]
	m.lag.change(home, func(b *behind) {
		b.position, b.head = last.Position, max(b.head, last.Position)
		if b.since = last.AppendedAt; all {
			b.since = time.Time{}
		}
	})
}

func (m *Metrics) forget(home id.Home) {
	m.lag.mu.Lock()
	defer m.lag.mu.Unlock()
	delete(m.lag.homes, home)
}
