package commit

import (
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Metrics say how groups fare. Names begin with meridian_; times are in seconds.
type Metrics struct {
	size       prometheus.Histogram
	wait       prometheus.Histogram
	stage      *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	waiting    prometheus.Gauge
	retries    *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	settled    *prometheus.HistogramVec
	replays    prometheus.Counter
	mismatches prometheus.Counter
	resolved   prometheus.Counter
	overloaded prometheus.Counter
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	seconds := prometheus.ExponentialBuckets(0.0001, 2, 18) // 0.1 ms to 13 s
	m := &Metrics{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_group_commands", Help: "Commands in a group.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_queue_wait_seconds", Buckets: seconds,
			Help: "Time from the arrival of a command to the start of its group; a batch that stays whole counts once.",
		}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_group_stage_seconds", Help: "Time of a committed group by stage: load, decide, write.", Buckets: seconds,
		}, []string{"stage"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_groups_in_flight", Help: "Groups between their start and their answer."}),
		waiting:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_commands_waiting", Help: "Commands that wait for a group."}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_group_retries_total", Help: "Attempts at a group that had to be repeated, by cause.",
		}, []string{"cause"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_outcomes_total", Help: "First answers, by kind of command and reason of decline (empty: posted).",
		}, []string{"kind", "reason"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_payment_refusals_total", Help: "Steps of payments that were refused, by kind, the state that they met (new: a first one), trigger and reason.",
		}, []string{"kind", "from", "trigger", "reason"}),
		settled: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_payment_settle_seconds", Help: "Time from the first step of a payment to the one that ended it, by kind and the state that it ended in.",
			Buckets: prometheus.ExponentialBuckets(0.1, 4, 13), // 100 ms to 19 days
		}, []string{"kind", "state"}),
		replays:    prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_replays_total", Help: "Answers given again to the same request."}),
		mismatches: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_mismatches_total", Help: "Keys that came with another request."}),
		resolved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_ambiguous_commits_resolved_total", Help: "Commands whose commit got no answer and that were found committed.",
		}),
		overloaded: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_overloaded_total", Help: "Batches refused because the queue was full."}),
	}
	if registry != nil {
		registry.MustRegister(m.size, m.wait, m.stage, m.inFlight, m.waiting, m.retries, m.outcomes, m.refusals, m.settled, m.replays, m.mismatches, m.resolved, m.overloaded)
	}
	return m
}

func (m *Metrics) grouped(group []*unit, now time.Time) {
	commands := 0
	for _, u := range group {
		commands += len(u.batch.Commands)
		m.wait.Observe(now.Sub(u.call.queued).Seconds())
	}
	m.size.Observe(float64(commands))
}

func (m *Metrics) staged(started, loaded, decided, written time.Time) {
	m.stage.WithLabelValues("load").Observe(loaded.Sub(started).Seconds())
	m.stage.WithLabelValues("decide").Observe(decided.Sub(loaded).Seconds())
	m.stage.WithLabelValues("write").Observe(written.Sub(decided).Seconds())
}

func (m *Metrics) answered(u *unit) {
	for _, r := range u.results {
		switch {
		case errors.Is(r.Err, errs.ErrIdempotencyMismatch):
			m.mismatches.Inc()
		case r.Err != nil:
		case r.Outcome.Replayed:
			m.replays.Inc()
		default:
			m.outcomes.WithLabelValues(string(r.Outcome.Kind), reason(r.Outcome)).Inc()
			m.refused(r.Outcome)
			m.ended(r.Outcome)
		}
	}
}

// refused counts refusals of steps by edge, those of payments that never came to be as well. What no table has judged is whatever somebody sent,
// and is not a label.
func (m *Metrics) refused(o ledger.Outcome) {
	s := o.Step
	if s == nil || o.Decided != ledger.Declined {
		return
	}
	kind, from, trigger := string(s.Kind), string(s.From), string(s.Trigger)
	switch {
	case s.Payment == o.Transaction:
		from = "new"
	case s.Number == 0: // of a payment that is not there
		kind, from = unknown, unknown
	}
	if slices.Contains(unjudged, o.Reason) || o.Detail["cause"] == "unknown" {
		trigger = unknown
	}
	m.refusals.WithLabelValues(kind, from, trigger, reason(o)).Inc()
}

// ended measures payments that came to their end.
func (m *Metrics) ended(o ledger.Outcome) {
	if s := o.Step; s != nil && s.Ends && o.Decided == ledger.Posted {
		m.settled.WithLabelValues(string(s.Kind), string(s.To)).Observe(s.Lasts.Seconds())
	}
}

const unknown = "unknown"

// unjudged are reasons to refuse a step without a look at its trigger.
var unjudged = []errs.Reason{errs.ReasonPaymentNotFound, errs.ReasonAssetUnknown, errs.ReasonAssetMismatch, errs.ReasonBatchDeclined}

func reason(o ledger.Outcome) string { return string(o.Reason) }
