package recon

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics say what is open. Names begin with meridian_recon_; times are in seconds, amounts in minor units of their asset. What is open is what the
// newest run of each ledger and provider found.
type Metrics struct {
	lines   *prometheus.CounterVec
	runs    *prometheus.HistogramVec
	refused *prometheus.CounterVec
	open    *openRuns
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	of := []string{"ledger", "provider"}
	ofAsset := []string{"ledger", "provider", "asset"}
	m := &Metrics{
		lines: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_recon_lines_total", Help: "Lines of statements imported."}, of),
		runs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_recon_run_seconds", Help: "Time of a run.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 16), // 50 ms to 27 min
		}, of),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_recon_refused_total", Help: "Attempts to decide about a resolution that were refused: by its proposer, or about one that is decided.",
		}, of[:1]),
		open: &openRuns{
			results: prometheus.NewDesc("meridian_recon_unmatched", "Results of the newest run, by verdict.", append(ofAsset[:3:3], "verdict"), nil),
			value:   prometheus.NewDesc("meridian_recon_value_in_doubt_minor_units", "Sum of the differences that are open, without signs.", ofAsset, nil),
			age:     prometheus.NewDesc("meridian_recon_unmatched_age_seconds", "Age of the oldest difference that is open, by its date; 0 where there is none.", ofAsset, nil),
			since:   prometheus.NewDesc("meridian_recon_run_age_seconds", "Time since the newest run.", of, nil),
		},
	}
	if registry != nil {
		registry.MustRegister(m.lines, m.runs, m.refused, m.open)
	}
	return m
}

// openRuns are the newest runs; ages grow by themselves, so that a comparison nobody makes any more is seen.
type openRuns struct {
	mu                         sync.Mutex
	runs                       []Run
	results, value, age, since *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (o *openRuns) Describe(into chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{o.results, o.value, o.age, o.since} {
		into <- d
	}
}

// Collect implements prometheus.Collector.
func (o *openRuns) Collect(into chan<- prometheus.Metric) {
	o.mu.Lock()
	defer o.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range o.runs {
		of := []string{string(r.Ledger), r.Provider}
		gauge(o.since, time.Since(r.EndedAt).Seconds(), of...)
		for _, t := range r.Totals {
			ofAsset := []string{of[0], of[1], string(t.Asset)}
			for _, v := range Verdicts {
				if v != Matched {
					gauge(o.results, float64(t.Verdicts[v]), append(ofAsset[:3:3], string(v))...)
				}
			}
			value, _ := strconv.ParseFloat(t.InDoubt.String(), 64) // a metric is near enough
			gauge(o.value, value, ofAsset...)
			age := 0.0
			if !t.Oldest.IsZero() {
				age = max(0, time.Since(t.Oldest).Seconds())
			}
			gauge(o.age, age, ofAsset...)
		}
	}
}

// Watch looks for newer runs every so often, until the context ends.
func (s *Service) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		runs, err := s.store.LatestRuns(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("look for runs of reconciliation", "error", err)
		}
		if err == nil {
			s.metrics.open.mu.Lock()
			s.metrics.open.runs = runs
			s.metrics.open.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
