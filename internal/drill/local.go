package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/fault"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/internal/verify"
	"github.com/meridian-ledger/meridian/schema"
)

// LocalOptions say what a local field is made of.
type LocalOptions struct {
	Engine   string            // "" takes the best that this machine has
	Topology topology.Topology // its regions, homes and latencies
	Binary   string            // meridian
	Dir      string            // for data and logs; "" a temporary one
	Say      func(string)      // steps of the start
}

// Local is a Field of processes on this machine: database nodes and servers in each region of a topology, joined by links that can be broken.
type Local struct {
	o       LocalOptions
	story   Story
	net     *cluster.Network
	engine  string
	version string
	sink    *receiver
	psp     *psp
	pays    *Payments
	books   *db.DB
	ledgers map[id.Ledger]id.Home
	backups *backups

	relay    *cluster.Node // works on the change stream where the servers do not; else nil
	relayDir string
}

// startTimeout covers nine database nodes on two cores.
const startTimeout = 8 * time.Minute

// StartLocal starts everything that a story needs, and opens its books.
func StartLocal(ctx context.Context, s Story, o LocalOptions) (f *Local, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the deployment was not there within %s", startTimeout))
	defer cancel()
	f = &Local{o: o, story: s, ledgers: map[id.Ledger]id.Home{}}
	defer func() {
		if err != nil {
			_, closing := f.Close(false)
			f, err = nil, errors.Join(err, closing)
		}
	}()
	if s.Sink {
		f.sink = newReceiver()
	}
	if s.Paying.any() {
		if f.psp, err = newPSP(o.Topology.HomeNames()); err != nil {
			return f, err
		}
	}
	f.net, err = cluster.StartNetwork(ctx, f.network())
	if err != nil {
		return f, err
	}
	f.engine, f.version = f.net.Engine()
	o.Say(f.net.Why())
	f.books, err = db.Open(ctx, db.Options{URL: f.net.AdminURL(), Writers: 1, Readers: 2, Name: "meridian drill"})
	if err != nil {
		return f, err
	}
	svc, err := f.Books(ctx)
	if err != nil {
		return f, err
	}
	for _, home := range o.Topology.HomeNames() {
		name := ledgerFor(home)
		f.ledgers[name] = home
		made := ledger.Ledger{ID: name, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}, Metadata: ledger.Metadata{purpose: forDrills}}
		if _, err := svc.CreateLedger(ctx, made); err != nil {
			return f, fmt.Errorf("open the books of %s: %w", home, err)
		}
	}
	if f.sink != nil {
		f.sink.hears(f.ledgers)
		if err = f.sink.subscribe(ctx, f.events(f.servers()[0].Region, f.servers()[0]), o.Topology.HomeNames()); err != nil {
			return f, err
		}
	}
	if f.psp != nil {
		var urls []string
		for _, m := range f.servers() {
			urls = append(urls, f.net.ClientURL(m.Region, m))
		}
		f.pays = newPayments(s.Paying, f.engine, f.psp, store.New(f.books), o.Topology.HomeNames(), urls)
	}
	if s.RelayAlone {
		if err = f.startRelay(ctx); err != nil {
			return f, err
		}
	}
	return f, f.awaitRelay(ctx)
}

// network is the layout: the zones of each region get its database nodes in turn.
func (f *Local) network() cluster.NetworkOptions {
	o := cluster.NetworkOptions{
		Engine: f.o.Engine, Binary: f.o.Binary, Durable: true, Dir: f.o.Dir, SmallDisk: int64(f.story.SmallDisk) << 20, FakeClock: f.story.FakeClock, Progress: f.o.Say,
		Log: slog.New(slog.DiscardHandler),
		RTT: func(a, b string) time.Duration {
			rtt, _ := f.o.Topology.RTT(topology.Region(a), topology.Region(b))
			return rtt
		},
		Prepare:    func(ctx context.Context, url string) error { return schema.Up(ctx, url, schema.Options{}) },
		ServerArgs: f.serverFlags(),
	}
	if f.story.RelayAlone {
		o.ServerArgs = append(o.ServerArgs, "--relay=false")
	}
	for _, r := range f.o.Topology.Regions {
		region := cluster.NetworkRegion{Name: string(r.Name), Servers: f.story.Servers}
		for i := range f.story.Databases {
			region.Zones = append(region.Zones, string(r.Zones[i%len(r.Zones)]))
		}
		o.Regions = append(o.Regions, region)
	}
	return o
}

func (f *Local) serverFlags() []string {
	flags := append([]string{"--webhook-allow-private", "127.0.0.1/32"}, f.story.Flags...)
	if f.psp != nil {
		flags = append(flags, "--providers", f.psp.config())
	}
	return flags
}

// What marks a ledger that a drill may write to.
const (
	purpose   = "purpose"
	forDrills = "drill"
)

// Engine implements Field.
func (f *Local) Engine() string { return f.engine }

// Environment implements Field.
func (f *Local) Environment() evidence.Environment {
	e := machine()
	e.Engine, e.EngineVersion, e.Topology = cluster.Title(f.engine), f.version, f.o.Topology.Name
	for _, r := range f.o.Topology.Regions {
		region := evidence.Region{Name: string(r.Name), Servers: f.story.Servers, Homes: []string{}}
		for _, m := range f.net.Members() {
			if m.Kind == cluster.Database && m.Region == region.Name {
				region.Databases++
				if !slices.Contains(region.Zones, m.Zone) {
					region.Zones = append(region.Zones, m.Zone)
				}
			}
		}
		for _, home := range f.o.Topology.HomesIn(r.Name) {
			region.Homes = append(region.Homes, string(home))
		}
		e.Regions = append(e.Regions, region)
	}
	for _, l := range f.o.Topology.Latencies {
		e.RTTs = append(e.RTTs, evidence.RTT{Between: [2]string{string(l.Between[0]), string(l.Between[1])}, Milliseconds: millis(l.RTT)})
	}
	return e
}

// Regions implements Field.
func (f *Local) Regions() []sim.Region {
	var all []sim.Region
	for _, r := range f.o.Topology.Regions {
		region := sim.Region{Name: string(r.Name)}
		for _, m := range f.near(region.Name) {
			client := rpc.NewClient(rpc.NewHTTPClient(nil, false), f.net.ClientURL(region.Name, m))
			region.Nodes = append(region.Nodes, sim.Node{Region: m.Region, Service: client})
		}
		for name, home := range f.ledgers {
			if at, _ := f.o.Topology.RegionOf(home); at == r.Name {
				region.Ledgers = append(region.Ledgers, name)
			}
		}
		all = append(all, region)
	}
	return all
}

// near are the servers as a client of a region prefers them: its own first, then by distance.
func (f *Local) near(region string) []*cluster.Member {
	servers := f.servers()
	slices.SortStableFunc(servers, func(a, b *cluster.Member) int {
		return int(f.distance(region, a.Region) - f.distance(region, b.Region))
	})
	return servers
}

func (f *Local) distance(a, b string) time.Duration {
	if a == b {
		return -1 // nearer than any, also where there is no latency
	}
	rtt, _ := f.o.Topology.RTT(topology.Region(a), topology.Region(b))
	return rtt
}

func (f *Local) servers() []*cluster.Member {
	return slices.DeleteFunc(slices.Clone(f.net.Members()), func(m *cluster.Member) bool { return m.Kind != cluster.Server })
}

func (f *Local) databases() []*cluster.Member {
	return slices.DeleteFunc(slices.Clone(f.net.Members()), func(m *cluster.Member) bool { return m.Kind != cluster.Database })
}

// Ledgers implements Field.
func (f *Local) Ledgers() map[id.Ledger]id.Home { return f.ledgers }

func (f *Local) events(region string, m *cluster.Member) *rpc.EventClient {
	return rpc.NewEventClient(rpc.NewHTTPClient(nil, false), f.net.ClientURL(region, m))
}

// Sources implements Field.
func (f *Local) Sources(region string) []sim.Source {
	var all []sim.Source
	for _, m := range f.near(region) {
		all = append(all, StreamOf(f.events(region, m)))
	}
	return all
}

// Sink implements Field.
func (f *Local) Sink() *sim.Witness {
	if f.sink == nil {
		return nil
	}
	return f.sink.witness
}

// Payments implements Field.
func (f *Local) Payments() *Payments { return f.pays }

// Books implements Field: the first server that is ready, as clients of its own region reach it.
func (f *Local) Books(ctx context.Context) (ledger.Service, error) {
	var last error
	for _, m := range f.servers() {
		svc := rpc.NewClient(rpc.NewHTTPClient(nil, false), f.net.ClientURL(m.Region, m))
		if _, last = svc.Ledgers(ctx, "", 1); last == nil {
			return svc, nil
		}
	}
	return nil, fmt.Errorf("no server answers: %w", last)
}

// Heads implements Field.
func (f *Local) Heads(ctx context.Context) (map[id.Home]int64, error) {
	heads, err := store.New(f.books).Heads(ctx)
	if err != nil {
		return nil, err
	}
	return positions(heads), nil
}

func positions(heads []event.Head) map[id.Home]int64 {
	all := map[id.Home]int64{}
	for _, h := range heads {
		all[h.Home] = int64(h.Position)
	}
	return all
}

// Verify implements Field.
func (f *Local) Verify(ctx context.Context) (verify.Report, error) {
	return verify.Run(ctx, f.books, verify.Options{})
}

// Heal implements Field.
func (f *Local) Heal(ctx context.Context) error {
	f.net.Heal()
	if f.sink != nil {
		f.sink.up()
	}
	if f.psp != nil {
		f.psp.up()
	}
	var failed []error
	for _, kind := range []func() []*cluster.Member{f.databases, f.servers} {
		failed = append(failed, each(kind(), func(m *cluster.Member) error {
			if m.Alive() {
				return m.Resume()
			}
			return m.Start(ctx)
		}))
	}
	for _, l := range f.net.Links(func(_, _ cluster.Endpoint) bool { return true }) {
		l.InjectCommits(fault.CommitFault{})
	}
	return errors.Join(failed...)
}

// each does something to several members at the same time.
func each(members []*cluster.Member, do func(*cluster.Member) error) error {
	failed := make([]error, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() {
			if err := do(m); err != nil {
				failed[i] = fmt.Errorf("%s: %w", m.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// Close implements Field.
func (f *Local) Close(keep bool) (logs string, err error) {
	if f.sink != nil {
		f.sink.close()
	}
	if f.pays != nil {
		f.pays.servers.http.CloseIdleConnections()
	}
	if f.psp != nil {
		f.psp.close()
	}
	if f.books != nil {
		f.books.Close()
	}
	if f.backups != nil {
		err = f.backups.close()
	}
	if f.relay != nil {
		err = errors.Join(err, f.relay.Stop())
	}
	if f.relayDir != "" {
		err = errors.Join(err, os.RemoveAll(f.relayDir))
	}
	if f.net == nil {
		return "", err
	}
	if keep {
		if logs, err = os.MkdirTemp("", "meridian-drill-logs-"); err == nil {
			err = f.net.KeepLogs(logs)
		}
	}
	return logs, errors.Join(err, f.net.Stop())
}

// relays returns the server that works on the change stream of a home.
func (f *Local) relays(ctx context.Context, home string) (*cluster.Member, error) {
	const sqlOwner = `SELECT owner FROM relay WHERE home = $1`
	var owner string
	if err := f.books.Reader().QueryRow(ctx, sqlOwner, home).Scan(&owner); err != nil {
		return nil, fmt.Errorf("ask who relays %s: %w", home, err)
	}
	for _, m := range f.servers() {
		if parts := strings.Split(owner, "/"); len(parts) > 2 && parts[2] == fmt.Sprint(m.PID()) {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s is relayed by %s, which is no server of this drill", home, owner)
}
