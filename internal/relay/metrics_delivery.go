package relay

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// DeliveryMetrics say how subscriptions fare, on the node that has the lease of the home. Names begin with meridian_; times are in seconds.
type DeliveryMetrics struct {
	lagSeconds   *prometheus.GaugeVec
	lagEvents    *prometheus.GaugeVec
	oldest       *prometheus.GaugeVec
	due          *prometheus.GaugeVec
	failing      *prometheus.GaugeVec
	letters      *prometheus.GaugeVec
	attempts     *prometheus.CounterVec
	redeliveries *prometheus.CounterVec
	replays      *prometheus.CounterVec
	calls        *prometheus.HistogramVec
	causes       attempt.Causes
}

// NewDeliveryMetrics makes the metrics and registers them, unless the registry is nil.
func NewDeliveryMetrics(registry prometheus.Registerer) *DeliveryMetrics {
	which := []string{"home", "subscription"}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append(slices.Clone(which), labels...))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(slices.Clone(which), labels...))
	}
	m := &DeliveryMetrics{
		lagSeconds: gauge("meridian_delivery_lag_seconds", "Age of the oldest event that was neither delivered nor put aside; 0 where there is none."),
		lagEvents:  gauge("meridian_delivery_lag_events", "Positions between the head of the stream and the subscription."),
		oldest:     gauge("meridian_delivery_oldest_seconds", "Age of the oldest event that was not delivered, those put aside included; 0 where there is none."),
		due:        gauge("meridian_deliveries_due", "Deliveries that are tried again, or wait behind such a one."),
		failing:    gauge("meridian_subscription_failing", "1 where the sink has failed for long and is probed."),
		letters:    gauge("meridian_dead_letters", "Dead deliveries by cause and age: hour, day, older.", "cause", "age"),
		attempts:   counter("meridian_delivery_attempts_total", "Attempts by result (delivered, retry, down, dead) and cause.", "result", "cause"),
		redeliveries: counter("meridian_redeliveries_total",
			"Attempts at messages that were attempted before."),
		replays: counter("meridian_replayed_total", "Events of replays by cause of failure (empty: delivered).", "cause"),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_sink_call_seconds", Help: "Time of a call to a sink, by its kind.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}, []string{"kind"}),
	}
	if registry != nil {
		registry.MustRegister(m.lagSeconds, m.lagEvents, m.oldest, m.due, m.failing, m.letters, m.attempts, m.redeliveries, m.replays, m.calls)
	}
	return m
}

// attempted counts one attempt at a message; before is how many there were.
func (m *DeliveryMetrics) attempted(home id.Home, subscription string, before int, result, cause string) {
	m.attempts.WithLabelValues(string(home), subscription, result, m.causes.Label(cause)).Inc()
	if before > 0 {
		m.redeliveries.WithLabelValues(string(home), subscription).Inc()
	}
}

func (m *DeliveryMetrics) replayed(home id.Home, subscription, cause string) {
	m.replays.WithLabelValues(string(home), subscription, m.causes.Label(cause)).Inc()
}

func (m *DeliveryMetrics) called(kind string, took time.Duration) {
	m.calls.WithLabelValues(kind).Observe(took.Seconds())
}

func (m *DeliveryMetrics) health(home id.Home, subscription string, state event.State) {
	value := 0.0
	if state == event.Failing {
		value = 1
	}
	m.failing.WithLabelValues(string(home), subscription).Set(value)
}

// gauge says how far behind a session is.
func (s *session) gauge(now time.Time) {
	age := func(from time.Time) float64 {
		if from.IsZero() {
			return 0
		}
		return max(0, now.Sub(from).Seconds())
	}
	fresh, oldest := s.queue.oldest()
	labels := []string{string(s.lease.Home), s.name}
	m := s.Metrics
	m.lagSeconds.WithLabelValues(labels...).Set(age(fresh))
	m.oldest.WithLabelValues(labels...).Set(age(oldest))
	m.lagEvents.WithLabelValues(labels...).Set(float64(max(0, s.head.Load()-int64(s.progress.Position))))
	m.due.WithLabelValues(labels...).Set(float64(len(s.queue.rows)))
}

// oldest returns when the oldest event was appended that holds the position back, and that of all that are not delivered; zero where there is
// none.
func (q *queue) oldest() (fresh, all time.Time) {
	if len(q.open) > 0 {
		fresh = q.open[0].appendedAt
	}
	all = fresh
	for i := range q.rows {
		at := i.appendedAt
		if at.IsZero() { // read in a session before this one
			at = i.createdAt
		}
		if all.IsZero() || at.Before(all) {
			all = at
		}
	}
	return fresh, all
}

// tallied takes in the dead letters of a home.
func (m *DeliveryMetrics) tallied(home id.Home, tallies []event.Tally) {
	m.letters.DeletePartialMatch(prometheus.Labels{"home": string(home)})
	for _, t := range tallies {
		if t.State == event.Dead {
			m.letters.WithLabelValues(string(home), t.Subscription, m.causes.Label(attempt.Word(t.Cause)), t.Age).Add(float64(t.Count))
		}
	}
}

// forget drops what is said of a subscription in a home: another node says it now, or nobody.
func (m *DeliveryMetrics) forget(home id.Home, subscription string) {
	for _, g := range []*prometheus.GaugeVec{m.lagSeconds, m.lagEvents, m.oldest, m.due, m.failing} {
		g.DeleteLabelValues(string(home), subscription)
	}
}

func (m *DeliveryMetrics) forgetHome(home id.Home) {
	m.letters.DeletePartialMatch(prometheus.Labels{"home": string(home)})
}
