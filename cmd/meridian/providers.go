package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/expiry"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/step"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/saga"
)

// providers is what a node does for payments besides answering calls: it works on sagas, expires payments whose time is over, takes the callbacks of
// providers, applies those of the homes whose lease it has, and lets operators look after what could not be applied.
type providers struct {
	intake    http.Handler // nil: no provider is configured
	operators *provider.Operators
	workers   *provider.Workers // nil: nothing applies callbacks here
	sagas     *saga.Workers     // of all nodes, also of those that know no provider
	timer     *expiry.Timer     // likewise
}

// openProviders reads the file of providers, where there is one. A provider that shows a certificate has the server ask for one.
func openProviders(file string, svc service, registry prometheus.Registerer, tlsConfig *tls.Config, log *slog.Logger) (*providers, error) {
	homeOf := func(ctx context.Context, name id.Ledger) (id.Home, error) {
		l, err := svc.Ledger(ctx, name)
		return l.Home, err
	}
	p := &providers{
		operators: &provider.Operators{Store: svc.Store, HomeOf: homeOf, Wake: func(id.Home) {}},
		timer:     expiry.NewTimer(expiry.Options{Store: svc.Store, Books: svc, After: svc.chart.Expiries(), Metrics: expiry.NewMetrics(registry), Log: log}),
	}
	sagas := saga.WorkerOptions{Store: svc.Store, Books: svc, Metrics: saga.NewMetrics(registry), Log: log}
	if file == "" {
		p.sagas = saga.NewWorkers(sagas)
		return p, nil
	}
	config, err := provider.Load(file)
	if err != nil {
		return nil, err
	}
	if err := knownTriggers(config); err != nil {
		return nil, err
	}
	if config.TLS() {
		if tlsConfig == nil {
			return nil, errors.New("--providers: a provider is verified by mtls, and this server has no TLS; name --tls-cert and --tls-key")
		}
		tlsConfig.ClientAuth = tls.RequestClientCert // the check of the provider says whether it is the right one
	}
	sagas.Desks = config.Desks()
	p.sagas = saga.NewWorkers(sagas)
	metrics := provider.NewMetrics(registry)
	steps := step.Steps{Books: svc, Payments: svc.Store}
	p.workers = provider.NewWorkers(provider.WorkerOptions{Store: svc.Store, Apply: steps.Apply, Config: config, Metrics: metrics, Log: log})
	p.operators.Wake = p.workers.Wake
	p.intake = provider.NewIntake(provider.IntakeOptions{
		Config: config, Writer: provider.NewWriter(svc.Store, provider.WriterLimits{}, metrics), HomeOf: homeOf, Stored: p.operators.Wake,
		Metrics: metrics, Log: log,
	})
	log.Info("callbacks of providers are taken", "providers", config.Names())
	return p, nil
}

// knownTriggers refuses a configuration whose words no kind of payment understands: what they trigger would be dead letters.
func knownTriggers(config provider.Config) error {
	for _, name := range config.Names() {
		for word, trigger := range config.Accounts[name].Triggers {
			if trigger != provider.Ignored && !step.Known(trigger) {
				return fmt.Errorf("%s of provider %s triggers %q, which no kind of payment has; docs/payments lists them", word, name, trigger)
			}
		}
	}
	return nil
}

// deciders start sagas, and help those that stand still.
func (p *providers) deciders(svc service) *saga.Operators {
	return &saga.Operators{Store: svc.Store, Ledger: svc.Ledger, Wake: p.sagas.Wake}
}

// runners work on the homes whose lease the node has.
func (p *providers) runners() []relay.Runner {
	all := []relay.Runner{p.sagas, p.timer}
	if p.workers != nil {
		all = append(all, p.workers)
	}
	return all
}
