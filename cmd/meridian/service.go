package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/telemetry"
	"github.com/meridian-ledger/meridian/schema"
)

// service is ledger.Service on a database: reads from the tables, commands through groups.
type service struct {
	*store.Store
	*commit.Committer
	db      *db.DB
	chart   *payment.Chart
	region  string // ours
	leaving *leaving
}

// leaving is said before anything is refused, so that load balancers and streams hear of it first.
type leaving struct {
	begun chan struct{}
	once  sync.Once
}

func (l *leaving) begin() { l.once.Do(func() { close(l.begun) }) }

var _ ledger.Service = service{}

// storeFlags are how a process reaches its database and how hard it may work on it.
type storeFlags struct {
	url      string
	writers  int
	readers  int
	lanes    int
	maxGroup int
	maxQueue int
	attempt  time.Duration
	chart    string
}

func (f *storeFlags) register(cmd *cobra.Command) {
	databaseFlag(cmd, &f.url)
	cmd.Flags().IntVar(&f.lanes, "lanes", 2, "groups of commands in flight per set of homes; each needs a writing connection")
	cmd.Flags().IntVar(&f.maxGroup, "max-group", 512, "most commands in one group, which is one transaction")
	cmd.Flags().IntVar(&f.maxQueue, "max-queue", 8192, "most commands that wait; more are refused at once with resource_exhausted")
	cmd.Flags().DurationVar(&f.attempt, "attempt-timeout", 10*time.Second,
		"how long a group waits for the database before it is tried again on another connection; shorter than the engine takes to recover, it only asks more often")
	cmd.Flags().IntVar(&f.writers, "writers", 8, "database connections that write")
	cmd.Flags().StringVar(&f.chart, "payment-chart", "", "YAML file that says on which accounts the money of payments stands; empty is the chart in this binary")
	cmd.Flags().IntVar(&f.readers, "readers", 8, "database connections that read")
}

func databaseFlag(cmd *cobra.Command, p *string) {
	cmd.Flags().StringVar(p, "database-url", "", "postgresql://user@host:port/database of CockroachDB or PostgreSQL; several hosts separated by commas, as in db1:26257,db2:26257, for failover")
}

// openService connects, to hosts of its own region first, refuses a schema that this binary does not know, and starts a committer.
func openService(ctx context.Context, f storeFlags, region string, registry prometheus.Registerer, tracing *telemetry.Tracing, log *slog.Logger) (service, error) {
	if f.url == "" {
		return service{}, fmt.Errorf("name the database with --database-url or MERIDIAN_DATABASE_URL (meridian dev brings its own)")
	}
	chart, err := openChart(f.chart)
	if err != nil {
		return service{}, err
	}
	d, err := db.Open(ctx, db.Options{URL: f.url, Writers: f.writers, Readers: f.readers, Tracer: tracing.Query(), Region: region, Log: log})
	if err != nil {
		return service{}, err
	}
	if err := schema.Check(ctx, d.Reader()); err != nil {
		d.Close()
		return service{}, err
	}
	s := store.New(d)
	c := commit.New(s, commit.Options{
		Lanes: f.lanes, MaxGroup: f.maxGroup, MaxQueue: f.maxQueue, Attempt: f.attempt, Metrics: commit.NewMetrics(registry), Log: log,
		Lifecycle: chart.Lifecycle(),
	})
	registry.MustRegister(databaseMetrics{d})
	return service{Store: s, Committer: c, db: d, chart: chart, region: region, leaving: &leaving{begun: make(chan struct{})}}, nil
}

// withService opens a service on the tables for as long as fn runs, with as many connections as one command needs.
func withService(ctx context.Context, url string, registry prometheus.Registerer, fn func(svc service) error) (err error) {
	store := storeFlags{url: url, lanes: 1, maxGroup: 16, maxQueue: 16, writers: 2, readers: 3}
	svc, err := openService(ctx, store, "", registry, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer svc.close()
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, svc.Drain(ending))
	}()
	return fn(svc)
}

// openChart reads the chart of payments, which is proved before anything is served.
func openChart(file string) (*payment.Chart, error) {
	if file == "" {
		return payment.Default(), nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("read the chart of payments: %w", err)
	}
	return payment.ParseChart(file, data)
}

// ready says why this node should get no traffic, or nil.
func (s service) ready(ctx context.Context) error {
	select {
	case <-s.leaving.begun:
		return errs.ErrDraining
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.db.Ping(ctx)
}

// standing says where this node is and what its connections lead to, for /readyz. What it says anybody may read: hosts, and no users or passwords.
func (s service) standing() map[string]any {
	hosts := s.db.Hosts()
	shown := make([]map[string]any, len(hosts))
	for i, h := range hosts {
		shown[i] = map[string]any{"host": h.Address, "connections": h.Connections}
		if len(hosts) > 1 { // otherwise nobody asks it but the check itself
			shown[i]["state"] = h.State
			shown[i]["round_trip_ms"] = float64(h.RoundTrip.Microseconds()) / 1000
		}
		if h.Region != "" {
			shown[i]["region"] = h.Region
		}
	}
	database := map[string]any{"engine": s.db.Engine.Name, "hosts": shown}
	if where := db.Where(hosts, s.region); where != "" {
		database["connections"] = where
	}
	return map[string]any{"region": s.region, "database": database}
}

// databaseMetrics counts connections when it is asked.
type databaseMetrics struct{ db *db.DB }

var databaseConnections = prometheus.NewDesc("meridian_database_connections", "Connections of the pools, by the region of the database host.", []string{"database_region"}, nil)

// Describe implements prometheus.Collector.
func (databaseMetrics) Describe(out chan<- *prometheus.Desc) { out <- databaseConnections }

// Collect implements prometheus.Collector. A host without a region counts under an empty one.
func (m databaseMetrics) Collect(out chan<- prometheus.Metric) {
	count := map[string]int{}
	for _, h := range m.db.Hosts() {
		count[h.Region] += h.Connections
	}
	for region, n := range count {
		out <- prometheus.MustNewConstMetric(databaseConnections, prometheus.GaugeValue, float64(n), region)
	}
}

// closeWait is longer than connections that nobody uses take to close.
const closeWait = 2 * time.Second

// close lets go of the database. Where the drain ran out of time, connections are still lent, for as long as the database is silent:
// the end of the process does not wait for them.
func (s service) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.db.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closeWait):
	}
}

// hostOf returns the part of a database URL that can be shown. It is read by who also connects with it: in its other form, key=value,
// a password looks to a parser of URLs like a path.
func hostOf(raw string) string {
	config, err := pgconn.ParseConfig(raw)
	if err != nil {
		return "(unreadable)"
	}
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}
