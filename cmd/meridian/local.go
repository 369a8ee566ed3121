package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/regions"
	"github.com/meridian-ledger/meridian/schema"
)

// localFlags say what a local cluster is made of.
type localFlags struct {
	url      string
	engine   string
	topology string
	dir      string
}

func (f *localFlags) register(cmd *cobra.Command) {
	databaseFlag(cmd, &f.url)
	flags := cmd.Flags()
	flags.StringVar(&f.engine, "engine", "", "cockroachdb or postgresql; left out: the best that this machine has")
	flags.StringVar(&f.topology, "topology", "three-continents", "a shipped topology (regions/), or a file")
	flags.StringVar(&f.dir, "data-dir", "", "keep the data here from one run to the next; left out: a temporary directory")
}

// local is a cluster on this machine: an engine, and a server node for each region of a topology.
type local struct {
	topology topology.Topology
	engine   *cluster.Engine
	nodes    []*cluster.Node
	logs     string
}

// ports are those of meridian dev; a demo takes free ones.
var devPorts = []int{7070, 7071, 7072}

const startTimeout = 3 * time.Minute // a download is part of it

// startLocal starts engine and nodes, with a line for a person at each step.
func startLocal(ctx context.Context, f localFlags, ports []int, say func(string), args ...string) (l *local, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	t, err := loadTopology(f.topology)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(f.topology) != "" {
		if f.topology, err = filepath.Abs(f.topology); err != nil { // nodes run elsewhere
			return nil, fmt.Errorf("find the topology: %w", err)
		}
	}
	args = append([]string{"--topology", f.topology}, args...)
	l = &local{topology: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.stop())
		}
	}()
	names := make([]string, len(t.Regions))
	for i, r := range t.Regions {
		names[i] = string(r.Name)
	}
	l.engine, err = cluster.Start(ctx, cluster.Options{
		DatabaseURL: f.url, Engine: f.engine, Dir: f.dir, Regions: names, Durable: true, Progress: say, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return l, err
	}
	say("engine: " + l.engine.Why)
	if err := schema.Up(ctx, l.engine.URL, schema.Options{}); err != nil {
		return l, err
	}
	say("schema: up to date")
	return l, l.startNodes(ctx, names, ports, args)
}

func (l *local) startNodes(ctx context.Context, names []string, ports []int, args []string) error {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	if l.logs, err = os.MkdirTemp("", "meridian-nodes-"); err != nil {
		return fmt.Errorf("make a directory for logs: %w", err)
	}
	for i, name := range names {
		all, err := together(l.engine.URLs, i)
		if err != nil {
			return err
		}
		port := 0
		if i < len(ports) {
			port = ports[i]
		}
		node, err := cluster.StartNode(ctx, cluster.NodeOptions{
			Binary: binary, Dir: l.logs, Region: name, DatabaseURL: all, Port: port, Args: args,
		})
		if err != nil {
			return err
		}
		l.nodes = append(l.nodes, node)
	}
	return nil
}

// together is one of several URLs that differ in their hosts, with the hosts of the others behind its own: a node outlives the database host of
// its region.
func together(urls []string, first int) (string, error) {
	first %= len(urls)
	if !slices.ContainsFunc(urls, func(u string) bool { return u != urls[first] }) {
		return urls[first], nil // one database host for all, or a URL that somebody gave
	}
	u, err := url.Parse(urls[first])
	if err != nil {
		return "", errors.New("a URL of the engine can not be read") // it holds a password
	}
	hosts := []string{u.Host}
	for _, raw := range urls {
		other, err := url.Parse(raw)
		if err != nil {
			return "", errors.New("a URL of the engine can not be read")
		}
		if !slices.Contains(hosts, other.Host) {
			hosts = append(hosts, other.Host)
		}
	}
	u.Host = strings.Join(hosts, ",")
	return u.String(), nil
}

// stop ends nodes and engine, and removes logs that nobody will want.
func (l *local) stop() error {
	var all []error
	for _, n := range l.nodes {
		all = append(all, n.Stop())
	}
	if l.engine != nil {
		all = append(all, l.engine.Stop())
	}
	if l.logs != "" {
		all = append(all, os.RemoveAll(l.logs))
	}
	return errors.Join(all...)
}

func (l *local) client(i int) *rpc.Client {
	return rpc.NewClient(rpc.NewHTTPClient(nil, false), l.nodes[i].URL)
}

func (l *local) events(i int) *rpc.EventClient {
	return rpc.NewEventClient(rpc.NewHTTPClient(nil, false), l.nodes[i].URL)
}

// ledgerOf names the ledger that a local cluster keeps for a home.
func ledgerOf(home id.Home) id.Ledger { return id.Ledger("brand-" + string(home)) }

// openBooks creates a ledger for each home of the topology.
func (l *local) openBooks(ctx context.Context, svc ledger.Service) error {
	assets := []money.Asset{{Code: "EUR", Scale: 2}, {Code: "USD", Scale: 2}, {Code: "JPY", Scale: 0}}
	for _, home := range l.topology.HomeNames() {
		if _, err := svc.CreateLedger(ctx, ledger.Ledger{ID: ledgerOf(home), Home: home, Assets: assets}); err != nil {
			return fmt.Errorf("open the books of %s: %w", home, err)
		}
	}
	return nil
}

// loadTopology reads a shipped topology by name, or a file.
func loadTopology(name string) (topology.Topology, error) {
	if filepath.Ext(name) == "" {
		return topology.Load(regions.FS, name)
	}
	data, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		return topology.Topology{}, fmt.Errorf("read the topology: %w", err)
	}
	return topology.Parse(filepath.Base(name), data)
}

// saying prints the steps of a start.
func saying(w io.Writer) func(string) {
	return func(line string) { fmt.Fprintln(w, "  "+line) }
}
