package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/payment/standing"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/telemetry"
)

type serveFlags struct {
	store         storeFlags
	listen        string
	region        string
	defaultLedger string
	topology      string
	tlsCert       string
	tlsKey        string
	origins       []string
	logLevel      string
	logFormat     string
	otel          bool
	drainDelay    time.Duration
	drainTimeout  time.Duration
	sweep         time.Duration
	pprof         string
	relay         bool
	sinks         sinkFlags
	feed          feedFlags
	providers     string
}

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a stateless server node",
		Long: `A server node answers Connect, gRPC, gRPC-Web and JSON on one port: HTTP/1.1 and HTTP/2, in clear or with TLS. It keeps nothing: any
number of nodes may share a database, in as many regions as the database has. It connects to database hosts of its own region first, and to others
of --database-url while those do not answer.

On SIGTERM or ctrl-C it drains: /readyz fails at once and streams end, new commands are refused with "unavailable", groups in flight are finished and
answered, and the process ends.`,
		Example: `  meridian serve --database-url postgresql://meridian@db1:26257,db2:26257,db3:26257/ledger --region europe-west1 --default-ledger brand-eu
  MERIDIAN_DATABASE_URL=… MERIDIAN_LISTEN=:7070 meridian serve --tls-cert server.crt --tls-key server.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := telemetry.Logger(cmd.OutOrStdout(), f.logFormat, f.logLevel)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), f, log)
		},
	}
	f.store.register(cmd)
	relayFlag(cmd, &f.relay)
	f.sinks.register(cmd)
	f.feed.register(cmd)
	breaks(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:7070", "address to listen on; port 0 takes a free one and logs it")
	flags.StringVar(&f.region, "region", "local", "where this node runs: it connects to database hosts of the same region first; a label of its metrics, logs and traces")
	flags.StringVar(&f.defaultLedger, "default-ledger", "", "ledger of requests that name none")
	flags.StringVar(&f.topology, "topology", "", "a shipped topology (regions/), or a file: ledgers can be created in its homes alone; left out: in any")
	flags.StringVar(&f.providers, "providers", "", "YAML file of payment providers, whose callbacks this node takes; left out: of none")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "PEM file with the server's certificate; with --tls-key turns TLS on")
	flags.StringVar(&f.tlsKey, "tls-key", "", "PEM file with the certificate's key")
	flags.StringSliceVar(&f.origins, "allowed-origins", nil, "origins of browsers that may call, as in https://app.example.com")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "json", "json or text")
	flags.BoolVar(&f.otel, "otel", false, "export traces, as the OTEL_* variables say")
	flags.DurationVar(&f.drainDelay, "drain-delay", 0, "how long to go on serving after /readyz began to fail, for load balancers to notice")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", 20*time.Second, "how long requests in flight may take at the end")
	flags.StringVar(&f.pprof, "pprof", "", "serve Go's profiles at this address of this machine, as in 127.0.0.1:6060; left out: nowhere")
	flags.DurationVar(&f.sweep, "expiry-interval", time.Second, "about how often to look for holds whose time is over")
	return cmd
}

// collectAt is how much a server's heap grows between two garbage collections, in percent of what lives, unless GOGC says otherwise. What
// lives is small (ten MiB with 256 clients), so that Go's own 100 would collect twenty times a second under load, which is a quarter of
// the server's work; the price is memory, and GOMEMLIMIT bounds it where it is scarce.
const collectAt = 400

// reconEvery is how often a node looks for the newest runs of reconciliation, for its metrics.
const reconEvery = 30 * time.Second

// collectHarder is the memory in bytes from which the collector works more often than that, unless GOMEMLIMIT says otherwise. It is no bound: with
// batches of hundreds, most of what is there at a time is garbage, and this keeps a server below 250 MiB.
const collectHarder = 200 << 20

func serve(ctx context.Context, f serveFlags, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(collectHarder)
	}
	log = log.With("region", f.region)
	ledger := id.Ledger("")
	if f.defaultLedger != "" {
		var err error
		if ledger, err = id.ParseLedger(f.defaultLedger); err != nil {
			return err
		}
	}
	where, err := placesOf(f.region, f.topology)
	if err != nil {
		return err
	}
	tracing, err := startTracing(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = tracing.Close(context.WithoutCancel(ctx)) }() // a lost span is no reason to fail
	gatherer, registry := telemetry.Registry(map[string]string{"region": f.region})
	svc, err := openService(ctx, f.store, f.region, registry, tracing, log)
	if err != nil {
		return err
	}
	defer svc.close()
	tlsConfig, err := loadTLS(f)
	if err != nil {
		return err
	}
	providers, err := openProviders(f.providers, svc, registry, tlsConfig, log)
	if err != nil {
		return err
	}
	spans, err := tracing.Calls()
	if err != nil {
		return err
	}
	if f.pprof != "" {
		if err := profile(ctx, f.pprof, log); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", f.listen, err)
	}
	counter := &standing.Counter{Store: svc.Store, Metrics: standing.NewMetrics(registry)}
	streams, err := startStreams(ctx, f, where, svc, registry, log, append(providers.runners(), counter)...)
	if err != nil {
		return err
	}
	defer streams.end()
	reconciler := recon.NewService(svc.Store, svc, recon.NewMetrics(registry))
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() { defer close(watched); reconciler.Watch(watchCtx, reconEvery, log) }()
	defer func() { stopWatch(); <-watched }()
	books, events := sabotage(svc, svc.Store)
	handler := rpc.NewHandler(books, rpc.Options{
		DefaultLedger: ledger, Homes: where.homes, Ready: svc.ready, Standing: svc.standing, Draining: svc.leaving.begun, Metrics: promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}), Registerer: registry,
		Log: log, AllowedOrigins: f.origins, Tracing: spans, Events: streams.operators, Stream: events, Tails: streams.tails, RegionOf: where.regionOf, CDC: streams.cdc, Search: streams.search,
		Callbacks: providers.intake, Providers: providers.operators, Recon: reconciler, Payments: svc.Store, Sagas: providers.deciders(svc), Explain: explain.NewService(svc.Store),
	})
	sweepCtx, stopSweep := context.WithCancel(context.WithoutCancel(ctx))
	swept := make(chan struct{})
	go func() { defer close(swept); svc.Sweep(sweepCtx, svc.Store, f.sweep) }()
	defer func() { stopSweep(); <-swept }()
	log.Info("serving", "address", listener.Addr().String(), "database", hostOf(f.store.url), "engine", svc.db.Engine.Name, "tls", tlsConfig != nil)
	return serveUntilDrained(ctx, f, log, svc, rpc.NewServer(handler, tlsConfig), listener)
}

// serveUntilDrained serves until the context ends, and then lets go in an order that answers every accepted command: not ready and streams
// ended, no new commands, groups finished, connections closed.
func serveUntilDrained(ctx context.Context, f serveFlags, log *slog.Logger, svc service, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("draining")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drainDelay+f.drainTimeout)
	defer cancel()
	svc.leaving.begin()
	if f.drainDelay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(f.drainDelay):
		}
	}
	if err := errors.Join(svc.Drain(ctx), server.Shutdown(ctx)); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	log.Info("drained")
	return nil
}

func loadTLS(f serveFlags) (*tls.Config, error) {
	if f.tlsCert == "" && f.tlsKey == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func startTracing(ctx context.Context, f serveFlags) (*telemetry.Tracing, error) {
	if !f.otel {
		return nil, nil
	}
	return telemetry.Trace(ctx, "meridian", versionText(), f.region)
}
