package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// NetworkRegion is one region of a Network.
type NetworkRegion struct {
	Name string
	// Zones are those of its database nodes, one node an element. PostgreSQL has one server, in the first zone of the primary region.
	Zones   []string
	Servers int // server nodes
}

// NetworkOptions say which network is wanted.
type NetworkOptions struct {
	// Engine insists on CockroachDB or PostgreSQL. Empty: the best this machine has.
	Engine  string
	Regions []NetworkRegion
	// RTT is the round trip between two regions, asked once for each pair. Inside of a region there is no delay. Nil: none anywhere.
	RTT func(a, b string) time.Duration
	// Primary is the region in which PostgreSQL stands. Empty: the first.
	Primary string
	// Binary is meridian; needed where a region has servers.
	Binary     string
	ServerArgs []string // more flags of `meridian serve`
	// Prepare runs once, after the engine answers and before servers start, with the URL of its administrator: it migrates the schema.
	Prepare func(ctx context.Context, databaseURL string) error
	// Dir holds data and logs, and is left alone by Stop. It must not hold data yet. Empty: a temporary directory, removed by Stop.
	Dir string
	// Durable is as in Options. A node that is not durable comes back empty after Kill.
	Durable bool
	// Log and Progress are as in Options; Progress is called from StartNetwork only.
	Log      *slog.Logger
	Progress func(string)
	// SmallDisk, if positive, gives the data of each database node a file system of so many bytes, so that FillDisk can fill it. It takes
	// root on Linux: elsewhere StartNetwork returns ErrNoSmallDisk.
	SmallDisk int64
	// FakeClock lets JumpClock move the clock that PostgreSQL sees, where libfaketime is installed.
	FakeClock bool
}

// Errors of what not every machine can do. The text of what wraps them says why.
var (
	ErrNoSmallDisk = errors.New("no small disk")
	ErrUnsupported = errors.New("not supported")
)

// Kind says what a member or an end of a link is.
type Kind string

// The kinds. Clients are no members: they are whoever uses ClientURL.
const (
	Database Kind = "database"
	Server   Kind = "server"
	Clients  Kind = "clients"
)

// Endpoint is one end of a link.
type Endpoint struct {
	Name         string // of the member, or clients/<region>
	Kind         Kind
	Region, Zone string // servers and clients have no zone
}

// Network is a database cluster and servers in several regions on this machine, with a link between each two of them. Processes listen on
// ports of their own, and every one is told addresses of links instead, one for each pair, so that a link can make distance or break the
// line between two of them in either direction. Its methods may be called concurrently.
type Network struct {
	o       NetworkOptions
	log     *slog.Logger
	home    *home
	members []*Member
	wires   wires

	engine             server // *postgres or *cockroach
	name, version, why string
	url                func(m *Member) string // of a database node, directly
	closed             atomic.Bool            // Stop has succeeded
}

// StartNetwork starts a network and returns when everything answers, every range of CockroachDB has its replicas, and RTT is in force. ctx
// bounds the start, not the life of the network. Three CockroachDB nodes and three servers take 10 to 20 s on two cores.
func StartNetwork(ctx context.Context, o NetworkOptions) (n *Network, err error) {
	common, err := o.common()
	if err != nil {
		return nil, fmt.Errorf("start a network: %w", err)
	}
	o.Progress = common.Progress
	n = &Network{o: o, log: common.Log}
	if n.home, err = openHome(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start a network: %w", err), n.Stop())
			n = nil
		}
	}()
	common.Dir = n.home.dir
	if dataKind(common.Dir) != "" {
		return n, fmt.Errorf("%s holds data already: a network begins with none", common.Dir)
	}
	if err := n.startDatabases(ctx, common); err != nil {
		return n, err
	}
	if o.Prepare != nil {
		if err := o.Prepare(ctx, n.AdminURL()); err != nil {
			return n, fmt.Errorf("prepare the database: %w", err)
		}
		if err := n.awaitReplicas(ctx, false); err != nil { // of what has come since
			return n, err
		}
	}
	// Not before: a start over oceans would only take longer.
	n.wires.measure(o.RTT)
	if err := n.startServers(ctx); err != nil {
		return n, err
	}
	n.log.InfoContext(ctx, "network started", "engine", n.name, "version", n.version, "members", len(n.members))
	return n, nil
}

// common checks the options and returns those that an engine by itself has as well.
func (o NetworkOptions) common() (Options, error) {
	common := Options{Engine: o.Engine, Durable: o.Durable, Log: o.Log, Progress: o.Progress}
	seen := map[string]bool{}
	for _, r := range o.Regions {
		if seen[r.Name] {
			return common, fmt.Errorf("the region %s is named twice", r.Name)
		}
		seen[r.Name] = true
		for _, zone := range r.Zones {
			if !isRegion(zone) {
				return common, fmt.Errorf("zone %q: want lower-case letters, digits and hyphens", zone)
			}
			common.Regions = append(common.Regions, r.Name)
		}
		if r.Servers > 0 && o.Binary == "" {
			return common, fmt.Errorf("the region %s is to have servers, and there is no binary", r.Name)
		}
	}
	switch {
	case len(common.Regions) == 0:
		return common, errors.New("no region has a database node")
	case o.Primary != "" && !seen[o.Primary]:
		return common, fmt.Errorf("the primary region %q is not among the regions", o.Primary)
	}
	return common.complete()
}

// startDatabases starts the best engine whose nodes can be had as processes one by one, and puts links in front of its nodes.
func (n *Network) startDatabases(ctx context.Context, common Options) error {
	passed := []string{}
	for _, way := range sources(common) {
		if common.Engine != "" && way.engine != common.Engine || way.kind == kindDocker { // there the nodes end together
			continue
		}
		engine, from, err := way.find(ctx)
		if err != nil {
			if final := (finalError{}); errors.As(err, &final) || ctx.Err() != nil {
				return err
			}
			passed = append(passed, way.name+": "+err.Error())
			continue
		}
		if err := n.startEngine(ctx, engine); err != nil {
			return fmt.Errorf("start %s (%s): %w", way.name, from, err)
		}
		if n.name, n.version, err = identify(ctx, n.AdminURL()); err != nil {
			return err
		}
		n.why = fmt.Sprintf("%s %s (%s)", Title(n.name), n.version, from)
		for _, reason := range passed {
			first, _, _ := strings.Cut(reason, "\n")
			n.why += "; " + first
		}
		n.o.Progress(n.why)
		return n.awaitReplicas(ctx, true)
	}
	return noEngine(passed)
}

func (n *Network) startEngine(ctx context.Context, engine server) error {
	n.engine = engine
	switch engine := engine.(type) {
	case *cockroach:
		return n.startCockroach(ctx, engine)
	case *postgres:
		return n.startPostgres(ctx, engine)
	}
	return fmt.Errorf("an engine of type %T has no nodes", engine)
}

// startPostgres starts the one server there is.
func (n *Network) startPostgres(ctx context.Context, p *postgres) error {
	region := n.o.Regions[slices.IndexFunc(n.o.Regions, func(r NetworkRegion) bool {
		return r.Name == n.o.Primary || n.o.Primary == "" && len(r.Zones) > 0
	})]
	m := &Member{Endpoint: Endpoint{Name: region.Name + "-db1", Kind: Database, Region: region.Name}, run: &postgresRunner{p}}
	if len(region.Zones) > 0 {
		m.Zone = region.Zones[0]
	}
	if n.o.SmallDisk > 0 {
		m.disk = filepath.Join(p.dir, "disk")
		p.dir = m.disk // a rename within makes the data complete, so all of its files are there
		if err := n.mount(m); err != nil {
			return err
		}
	}
	if n.o.FakeClock {
		p.clock, p.noClock = newClock(p.dir)
	}
	n.members = append(n.members, m)
	if err := n.connect(); err != nil {
		return err
	}
	n.url = func(*Member) string { return p.url(database) }
	if _, err := p.start(ctx); err != nil {
		return err
	}
	m.proc.Store(p.proc)
	n.wires.point(m.Name, "127.0.0.1:"+strconv.Itoa(p.port))
	return nil
}

// mount gives a member its small disk.
func (n *Network) mount(m *Member) error {
	if err := os.MkdirAll(m.disk, homeMode()); err != nil {
		return fmt.Errorf("make a place for a small disk: %w", err)
	}
	return mountSmall(m.disk, n.o.SmallDisk)
}

// connect plans the servers and puts links between all members, and clients in front of servers.
func (n *Network) connect() error {
	databases := slices.Clone(n.members)
	for _, from := range databases {
		for _, to := range databases {
			if from != to {
				if err := n.wires.add(from.Endpoint, to.Endpoint); err != nil {
					return err
				}
			}
		}
	}
	for _, r := range n.o.Regions {
		for i := range r.Servers {
			name := fmt.Sprintf("%s-srv%d", r.Name, i+1)
			m := &Member{Endpoint: Endpoint{Name: name, Kind: Server, Region: r.Name}}
			n.members = append(n.members, m)
			for _, to := range databases {
				if err := n.wires.add(m.Endpoint, to.Endpoint); err != nil {
					return err
				}
			}
			for _, from := range n.o.Regions {
				clients := Endpoint{Name: clientsOf(from.Name), Kind: Clients, Region: from.Name}
				if err := n.wires.add(clients, m.Endpoint); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func clientsOf(region string) string { return string(Clients) + "/" + region }

// startServers starts all of them at once.
func (n *Network) startServers(ctx context.Context) error {
	var starting sync.WaitGroup
	errs := make([]error, len(n.members))
	for i, m := range n.members {
		if m.Kind != Server {
			continue
		}
		databaseURL, err := n.serverURL(m)
		if err != nil {
			return err
		}
		m.run = &serverRunner{o: NodeOptions{
			Binary: n.o.Binary, Dir: n.home.dir, Region: m.Region, Name: m.Name, DatabaseURL: databaseURL, Args: n.o.ServerArgs,
		}, point: func(address string) { n.wires.point(m.Name, address) }}
		starting.Go(func() { errs[i] = m.Start(ctx) })
	}
	n.o.Progress("servers: starting")
	starting.Wait()
	return errors.Join(errs...)
}

// serverURL names all database nodes by the links of a server, those of its own region first, then the nearest.
func (n *Network) serverURL(m *Member) (string, error) {
	nodes := slices.DeleteFunc(slices.Clone(n.members), func(d *Member) bool { return d.Kind != Database })
	distance := func(d *Member) time.Duration { return distance(n.o.RTT, m.Region, d.Region) }
	slices.SortStableFunc(nodes, func(a, b *Member) int {
		if inA, inB := a.Region == m.Region, b.Region == m.Region; inA != inB {
			if inA {
				return -1
			}
			return 1
		}
		return cmp.Compare(distance(a), distance(b))
	})
	u, err := url.Parse(n.url(nodes[0]))
	if err != nil {
		return "", fmt.Errorf("read the URL of the database: %w", err)
	}
	hosts := make([]string, len(nodes))
	for i, d := range nodes {
		hosts[i] = n.Link(m.Name, d.Name).Addr()
	}
	u.Host = strings.Join(hosts, ",")
	return u.String(), nil
}

// distance is the round trip between two regions.
func distance(rtt func(a, b string) time.Duration, a, b string) time.Duration {
	if rtt == nil || a == b {
		return 0
	}
	return rtt(a, b)
}

// Engine returns the name, CockroachDB or PostgreSQL, and the version that the database itself says.
func (n *Network) Engine() (name, version string) { return n.name, n.version }

// Why says in one sentence which engine was taken, and what was passed over for which reason.
func (n *Network) Why() string { return n.why }

// Members returns all of them: databases first, then servers, each in the order of the regions.
func (n *Network) Members() []*Member { return slices.Clone(n.members) }

// ClientURL is how clients of a region reach a server: http, through the link between them. It is empty for what is none.
func (n *Network) ClientURL(region string, server *Member) string {
	link := n.Link(clientsOf(region), server.Name)
	if link == nil {
		return ""
	}
	return "http://" + link.Addr()
}

// AdminURL is the database by its first node that is neither dead nor paused, as its administrator and past all links. It holds a password.
func (n *Network) AdminURL() string {
	var first string
	for _, m := range n.members {
		if m.Kind != Database {
			continue
		}
		if m.Alive() && !m.Paused() {
			return n.url(m)
		}
		if first == "" {
			first = n.url(m)
		}
	}
	return first
}

// KeepLogs copies what the members have written to a directory, which it makes: <member>.log, and for CockroachDB <member>/ besides.
func (n *Network) KeepLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	var all []error
	for _, m := range n.members {
		if m.run == nil {
			continue
		}
		file, directory := m.run.logs()
		all = append(all, copyFile(file, filepath.Join(dir, m.Name+".log")))
		if directory != "" {
			all = append(all, copyFiles(directory, filepath.Join(dir, m.Name)))
		}
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	return nil
}

// copyFiles copies the plain files of a directory. CockroachDB's links among them name the newest.
func copyFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	all := []error{os.MkdirAll(to, 0o750)}
	for _, e := range entries {
		if e.Type().IsRegular() {
			all = append(all, copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
		}
	}
	return errors.Join(all...)
}

func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // G304: a log of ours
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // G304: in the directory that was asked for
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Stop ends every process and link, and removes the directory if it was temporary. It may be called again. If this process dies instead,
// the processes end as well, and the next start removes the directory.
func (n *Network) Stop() error {
	errs := make([]error, len(n.members))
	// Servers first: they would complain of a database that goes away. All of a kind at once.
	for _, kind := range []Kind{Server, Database} {
		var ending sync.WaitGroup
		for i, m := range n.members {
			if m.Kind == kind {
				ending.Go(func() { errs[i] = m.end() })
			}
		}
		ending.Wait()
	}
	errs = append(errs, n.wires.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the network in %s: %w", n.home.dir, err)
	}
	if n.closed.Swap(true) {
		return nil
	}
	return n.home.close()
}
