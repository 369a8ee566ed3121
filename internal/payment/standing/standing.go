// Package standing counts the payments that have not ended, for whoever watches over them.
//
// It promises numbers that are cheap: the node that has the lease of a home counts there, once a minute, along an index, and of each ledger, kind and
// state at most 10,000 payments, which is many; the age of the oldest is exact whatever their number. A node that loses the lease takes its numbers back.
package standing

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/payment"
)

// Store is what counting needs of the tables.
type Store interface {
	// TallyPayments counts the payments of all ledgers of a home at each of the places; where none stands, there is no tally. Of each ledger and
	// place it counts no more than 10,000.
	TallyPayments(ctx context.Context, home id.Home, places []payment.Place) ([]payment.Tally, error)
}

// Metrics say how many payments have not ended, and since when the oldest of them stands still. Names begin with meridian_; times are in seconds. They
// are safe for concurrent use; ages grow between two counts.
type Metrics struct {
	open, oldest *prometheus.Desc

	mu      sync.Mutex
	tallies map[id.Home][]payment.Tally
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	place := []string{"home", "kind", "state"}
	m := &Metrics{
		open: prometheus.NewDesc(
			"meridian_payments_open", "Payments that have not ended, by kind and state; of each ledger at most 10000 are counted.", place, nil),
		oldest: prometheus.NewDesc(
			"meridian_payments_oldest_seconds", "Time since the payment that changed longest ago, of those that have not ended, changed.", place, nil),
		tallies: map[id.Home][]payment.Tally{},
	}
	if registry != nil {
		registry.MustRegister(m)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(into chan<- *prometheus.Desc) {
	into <- m.open
	into <- m.oldest
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(into chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for home, tallies := range m.tallies {
		for _, t := range tallies {
			place := []string{string(home), string(t.Kind), string(t.State)}
			into <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(t.Count), place...)
			into <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, max(0, time.Since(t.Oldest).Seconds()), place...)
		}
	}
}

// tallied takes in what was counted; nothing, from a home that another node counts from now on.
func (m *Metrics) tallied(home id.Home, tallies []payment.Tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tallies[home] = tallies
}

// Counter counts for a home whose lease the node has; it is a relay.Runner. A process has one for all homes.
type Counter struct {
	Store   Store
	Metrics *Metrics
	Every   time.Duration // 0: a minute
}

// Run counts until the context ends, and returns nil then; or an error of the database, after which it can be run again.
func (c *Counter) Run(ctx context.Context, lease event.Lease) error {
	defer c.Metrics.tallied(lease.Home, nil)
	ticker := time.NewTicker(cmp.Or(c.Every, time.Minute))
	defer ticker.Stop()
	for ctx.Err() == nil {
		tallies, err := c.Store.TallyPayments(ctx, lease.Home, payment.Open())
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("count the payments of %s: %w", lease.Home, err)
		}
		c.Metrics.tallied(lease.Home, tallies)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return nil
}
