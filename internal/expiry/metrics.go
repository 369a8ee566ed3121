package expiry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/id"
)

// Metrics say how expiries fare, on the node that has the lease of a home. Names begin with meridian_.
type Metrics struct {
	expiries *prometheus.CounterVec
	overdue  *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them, unless the registry is nil.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		expiries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_payment_expiries_total", Help: "Attempts to expire payments whose time is over, by what became of them.",
		}, []string{"kind", "outcome"}),
		overdue: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_payments_overdue", Help: "Payments whose time is over and that the books refuse to expire as they are.",
		}, []string{"home", "kind"}),
	}
	if registry != nil {
		registry.MustRegister(m.expiries, m.overdue)
	}
	return m
}

// forget takes back what another node says from now on.
func (m *Metrics) forget(home id.Home) {
	m.overdue.DeletePartialMatch(prometheus.Labels{"home": string(home)})
}
