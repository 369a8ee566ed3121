package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clusterTimeout covers three nodes that share two cores.
const clusterTimeout = 3 * time.Minute

// cockroach is a CockroachDB cluster with one node per region. Which processes its nodes are is the fleet's business.
//
// More than one node without a licence is throttled to five concurrent transactions seven days after init (from v24.3
// on). That is far beyond a demo or a test; whoever keeps a cluster for longer sets enterprise.license.
type cockroach struct {
	fleet    fleet
	dir      string
	durable  bool
	regions  []string // empty: one node without a locality
	log      *slog.Logger
	progress func(string)
	// arrange completes nodes that have just got their ports: it puts links between them. Nil: nothing is between them.
	arrange func([]node) error

	nodes []node // empty before the first start
}

// node is one member of the cluster.
type node struct {
	index  int // from 1
	region string
	port   int // SQL and the other nodes, on 127.0.0.1
	way    way
}

// way is how a node of a Network and the others reach each other. The zero way is directly, in the first zone of a region.
type way struct {
	zone string
	// name is the last tier of the locality. A node dials another at the address that this one advertises for a tier of the locality of the
	// dialer, so that a tier of its own per node makes an address for each pair of nodes.
	name       string
	advertise  string   // to nobody in particular
	advertised []string // to the others: tier@address
	join       []string
}

func (n node) address() string { return "127.0.0.1:" + strconv.Itoa(n.port) }

// fleet runs the nodes: local as processes of this machine, container inside of Docker.
type fleet interface {
	// launch starts the nodes and returns when their ports are theirs; SQL may come later.
	launch(ctx context.Context, nodes []node) error
	// command is the cockroach program, run where the nodes run.
	command(args ...string) command
	// processes are those whose end means that the cluster has failed.
	processes() []*process
	kill() error
	stop(keep bool) error
}

func (c *cockroach) start(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, clusterTimeout, fmt.Errorf("CockroachDB did not answer within %s", clusterTimeout))
	defer cancel()
	if err := c.checkRegions(); err != nil {
		return nil, err
	}
	err := onFreePorts(len(c.nodes) == 0, func() error { return c.launch(ctx) }, func() { c.nodes = nil })
	if err != nil {
		return nil, err
	}
	if err := c.keepRegions(); err != nil {
		return nil, errors.Join(err, c.kill())
	}
	urls := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		urls = append(urls, n.url(database))
	}
	return urls, nil
}

// regionsFile in a directory of durable data says which nodes the cluster in it has.
const regionsFile = "cockroach.regions"

// checkRegions refuses to start other nodes than those that hold the data: with fewer there is no quorum, and a node whose
// locality changed would silently move data.
func (c *cockroach) checkRegions() error {
	text, err := os.ReadFile(filepath.Join(c.dir, regionsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read which regions CockroachDB's data have: %w", err)
	}
	if had := strings.TrimSpace(string(text)); had != strings.Join(c.regions, ",") {
		return fmt.Errorf("the CockroachDB data in %s are of the regions %q, asked for %q: choose another directory",
			c.dir, had, strings.Join(c.regions, ","))
	}
	return nil
}

func (c *cockroach) keepRegions() error {
	if !c.durable {
		return nil
	}
	text := []byte(strings.Join(c.regions, ",") + "\n")
	if err := os.WriteFile(filepath.Join(c.dir, regionsFile), text, 0o600); err != nil {
		return fmt.Errorf("keep which regions CockroachDB's data have: %w", err)
	}
	return nil
}

func (n node) url(db string) string { return localURL(url.User("root"), n.port, db) }

// launch starts the nodes and returns when each of them answers. If it fails, none is left.
func (c *cockroach) launch(ctx context.Context) (err error) {
	if err := c.plan(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.fleet.kill())
		}
	}()
	c.progress("CockroachDB: starting " + c.describe())
	if err := c.fleet.launch(ctx, c.nodes); err != nil {
		return err
	}
	if len(c.nodes) > 1 {
		if err := c.initialize(ctx); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		conn, err := awaitSQL(ctx, n.url("system"), c.fleet.processes()...)
		if err != nil {
			return fmt.Errorf("wait for node %d of CockroachDB: %w", n.index, err)
		}
		if err := conn.Close(ctx); err != nil {
			return fmt.Errorf("wait for node %d of CockroachDB: %w", n.index, err)
		}
	}
	return c.configure(ctx)
}

// plan gives each region a node and each node a port, once.
func (c *cockroach) plan() error {
	if len(c.nodes) > 0 {
		return nil
	}
	regions := c.regions
	if len(regions) == 0 {
		regions = []string{""}
	}
	for i, region := range regions {
		port, err := freePort()
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, node{index: i + 1, region: region, port: port})
	}
	if c.arrange != nil {
		return c.arrange(c.nodes)
	}
	return nil
}

func (c *cockroach) describe() string {
	parts := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		parts = append(parts, strings.TrimSpace(n.region+" on "+n.address()))
	}
	return strings.Join(parts, ", ")
}

// arguments is the command line of one node. store says where its data are, listen which interface it serves.
func (n node) arguments(nodes []node, store, listen string) []string {
	zone, advertise, join := n.region+"-a", n.address(), n.way.join
	if n.way.zone != "" {
		zone, advertise = n.way.zone, n.way.advertise
	}
	args := []string{
		"start-single-node", "--insecure",
		"--store=" + store,
		"--listen-addr=" + listen + ":" + strconv.Itoa(n.port),
		"--advertise-addr=" + advertise,
		"--http-addr=" + listen + ":0",
		// The defaults are shares of a machine that the node has for itself.
		"--cache=128MiB", "--max-sql-memory=256MiB",
	}
	if n.region != "" {
		locality := "--locality=region=" + n.region + ",zone=" + zone
		if n.way.name != "" {
			locality += ",node=" + n.way.name
		}
		args = append(args, locality)
	}
	if len(nodes) > 1 {
		if len(n.way.advertised) > 0 {
			args = append(args, "--locality-advertise-addr="+strings.Join(n.way.advertised, ","))
		}
		if join == nil {
			for _, other := range nodes {
				join = append(join, other.address())
			}
		}
		args[0] = "start"
		args = append(args, "--join="+strings.Join(join, ","))
	}
	return args
}

// initialize makes the nodes one cluster, unless they are one already.
func (c *cockroach) initialize(ctx context.Context) error {
	c.progress("CockroachDB: cockroach init")
	return untilReady(ctx, c.fleet.processes(), func(ctx context.Context) error {
		out, err := c.fleet.command("init", "--insecure", "--host="+c.nodes[0].address()).run(ctx)
		if strings.Contains(out, "already been initialized") {
			return nil
		}
		return err
	})
}

// configure creates our database and sets what a changefeed needs, and for tests what makes them quick.
func (c *cockroach) configure(ctx context.Context) error {
	conn, err := awaitSQL(ctx, c.nodes[0].url("system"), c.fleet.processes()...)
	if err != nil {
		return fmt.Errorf("configure CockroachDB: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	err = execEach(ctx, conn,
		"CREATE DATABASE IF NOT EXISTS "+database,
		"SET CLUSTER SETTING kv.rangefeed.enabled = true",
	)
	if err != nil {
		return fmt.Errorf("configure CockroachDB: %w", err)
	}
	settings := feedSettings
	if !c.durable {
		settings = slices.Concat(feedSettings, testSettings)
	}
	for _, sql := range settings {
		// Speed only, and a setting may be gone in a newer version: whoever wonders finds it in the log.
		if err := execEach(ctx, conn, sql); err != nil {
			c.log.DebugContext(ctx, "setting refused", "error", err)
		}
	}
	return nil
}

// feedSettings make changefeeds quick. v22.1 holds each row back until it next looks whether the table has changed its shape, which is once a
// second: measured at 500 transfers/s, the stream came after 883 ms (p50), and with this after 84 ms. Newer versions do without where the
// table is schema_locked.
var feedSettings = []string{
	"SET CLUSTER SETTING changefeed.experimental_poll_interval = '50ms'",
}

// testSettings are what CockroachDB's own documentation recommends for local testing.
var testSettings = []string{
	"SET CLUSTER SETTING kv.range_merge.queue_interval = '50ms'",
	"SET CLUSTER SETTING jobs.registry.interval.gc = '30s'",
	"SET CLUSTER SETTING jobs.registry.interval.cancel = '180s'",
	"SET CLUSTER SETTING jobs.retention_time = '15s'",
	"SET CLUSTER SETTING sql.stats.automatic_collection.enabled = false",
	"SET CLUSTER SETTING kv.range_split.by_load_merge_delay = '5s'",
	`ALTER RANGE default CONFIGURE ZONE USING "gc.ttlseconds" = 600`,
}

func (c *cockroach) kill() error          { return c.fleet.kill() }
func (c *cockroach) stop(keep bool) error { return c.fleet.stop(keep) }

// cockroachEnv keeps a local cluster from reporting its use.
var cockroachEnv = []string{"COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING=true"}
