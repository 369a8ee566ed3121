package cluster

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/fault"
)

const rtt = 40 * time.Millisecond

// startedNetwork starts a network for the test, with what is the same for all of them.
func startedNetwork(t *testing.T, o NetworkOptions) *Network {
	t.Helper()
	o.Binary = nodeBinary(t)
	o.Durable = true
	o.RTT = func(string, string) time.Duration { return rtt }
	o.Progress = func(line string) { t.Log(line) }
	begun := time.Now()
	n, err := StartNetwork(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func threeRegions(servers int) []NetworkRegion {
	return []NetworkRegion{
		{Name: "europe-west1", Zones: []string{"europe-west1-b"}, Servers: servers},
		{Name: "us-east1", Zones: []string{"us-east1-c"}, Servers: servers},
		{Name: "asia-northeast1", Zones: []string{"asia-northeast1-a"}, Servers: servers},
	}
}

func in(regions ...string) func(Endpoint) bool {
	return func(e Endpoint) bool { return slices.Contains(regions, e.Region) }
}

// tried runs one statement on a connection of its own and says how long that took.
func tried(t *testing.T, url, sql string, patience time.Duration) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	begun := time.Now()
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return time.Since(begun), err
}

// answersWithin repeats a statement until it succeeds.
func answersWithin(t *testing.T, url, sql string, limit time.Duration) {
	t.Helper()
	begun := time.Now()
	var last error
	for time.Since(begun) < limit {
		if _, last = tried(t, url, sql, 6*time.Second); last == nil {
			t.Logf("%q answers after %s", sql, time.Since(begun).Round(10*time.Millisecond))
			return
		}
		time.Sleep(50 * time.Millisecond) // a refusal is quick, and nobody signals that it is over
	}
	t.Fatalf("%q: no answer within %s: %v", sql, limit, last)
}

func TestNetwork_CockroachDBOfThreeRegions(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: three nodes take a minute")
	}
	needs(t, CockroachDB)
	prepared := ""
	n := startedNetwork(t, NetworkOptions{
		Engine: CockroachDB, Regions: threeRegions(1),
		Prepare: func(ctx context.Context, databaseURL string) error {
			prepared = databaseURL
			conn, err := pgx.Connect(ctx, databaseURL)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			return execEach(ctx, conn, `CREATE TABLE t (a INT PRIMARY KEY, n INT)`, `INSERT INTO t VALUES (1, 0)`)
		},
	})
	urls := adminURLs(n)
	if prepared != urls[0] || n.AdminURL() != urls[0] || len(urls) != 3 {
		t.Fatalf("prepared %q, nodes %q", prepared, urls)
	}
	names := []string{}
	for _, m := range n.Members() {
		names = append(names, m.Name)
		if !m.Alive() || m.Paused() {
			t.Errorf("%s does not run", m.Name)
		}
	}
	if want := "europe-west1-db1 us-east1-db1 asia-northeast1-db1 europe-west1-srv1 us-east1-srv1 asia-northeast1-srv1"; strings.Join(names, " ") != want {
		t.Errorf("members %q, want %s", names, want)
	}

	t.Run("every range is in three regions", func(t *testing.T) {
		conn := connect(t, urls[0])
		if lacking, all, err := lackingReplicas(t.Context(), conn, 3, 3); err != nil || lacking > 0 || all < 20 {
			t.Errorf("%d of %d ranges lack replicas in three regions: %v", lacking, all, err)
		}
		if _, all, err := lackingReplicas(t.Context(), conn, 4, 3); err != nil || all == 0 {
			t.Error(err)
		}
		if lacking, _, err := lackingReplicas(t.Context(), conn, 4, 3); err != nil || lacking == 0 {
			t.Errorf("no range lacks a fourth replica (%v): the count sees nothing", err)
		}
	})
	t.Run("a write waits for another region, past the delay of the link", func(t *testing.T) {
		// The leaseholder is one of the three, and a majority takes another: one round trip at least, from wherever it is said.
		for _, u := range urls {
			took, err := tried(t, u, `UPDATE t SET n = n + 1 WHERE a = 1`, 20*time.Second)
			if err != nil || took < rtt {
				t.Errorf("an update took %s (%v), want a round trip of %s at least", took, err, rtt)
			}
		}
		moved := int64(0)
		for _, link := range n.Links(func(from, to Endpoint) bool { return from.Kind == Database && to.Kind == Database }) {
			moved += link.Stats().Forward
		}
		if moved < 100<<10 {
			t.Errorf("the nodes have said %d bytes to each other by links: they know another way", moved)
		}
		if front := n.Link(anybody.Name, "us-east1-db1").Stats(); front.Forward > moved/10 {
			t.Errorf("%d bytes by the link without distance", front.Forward)
		}
	})
	t.Run("a disturbance comes on top, and goes by itself", func(t *testing.T) {
		of := n.Links(func(from, to Endpoint) bool {
			return from.Kind == Server && to.Region == "us-east1" && from.Region == "asia-northeast1"
		})
		if len(of) != 1 {
			t.Fatalf("%d links", len(of))
		}
		slow := fault.Condition{Delay: 30 * time.Millisecond, Rate: 1 << 20}
		first := n.Disturb(of, fault.Shape{Forward: slow})
		n.Disturb(of, fault.Shape{Forward: fault.Condition{Delay: time.Millisecond}})
		if got := of[0].Shape(); got.Forward.Delay != rtt/2+31*time.Millisecond || got.Forward.Rate != 1<<20 || got.Backward.Delay != rtt/2 {
			t.Errorf("disturbed twice: %+v", got)
		}
		first()
		first()
		if got := of[0].Shape().Forward; got.Delay != rtt/2+time.Millisecond || got.Rate != 0 {
			t.Errorf("after the first has ended: %+v", got)
		}
		n.Heal(of...)
		if got := of[0].Shape(); got.Forward.Delay != rtt/2 {
			t.Errorf("healed: %+v", got)
		}
	})
	t.Run("a server knows all nodes by its own links, its region first", func(t *testing.T) {
		srv := member(n, "us-east1-srv1")
		seen := get(t, n.ClientURL("asia-northeast1", srv)+"/database")
		u, err := url.Parse(seen)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(u.Host, ",")
		if first != n.Link("us-east1-srv1", "us-east1-db1").Addr() || strings.Count(u.Host, ",") != 2 {
			t.Errorf("the server got %q", seen)
		}
		if _, err := tried(t, seen, `SELECT n FROM t`, 10*time.Second); err != nil {
			t.Errorf("through the server's links: %v", err)
		}
		if n.ClientURL("asia-northeast1", member(n, "us-east1-db1")) != "" || n.Link("nobody", "us-east1-db1") != nil {
			t.Error("there are links to what is no server, or from nobody")
		}
	})
	t.Run("a killed server comes back at its address", func(t *testing.T) {
		srv := member(n, "us-east1-srv1")
		u := n.ClientURL("us-east1", srv)
		get(t, u+"/readyz")
		if err := srv.Kill(t.Context()); err != nil || srv.Alive() {
			t.Fatalf("still alive: %v", err)
		}
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		get(t, u+"/readyz")
		if err := srv.Start(t.Context()); err == nil {
			t.Error("it was started twice")
		}
		if err := srv.Stop(t.Context()); err != nil || srv.Alive() {
			t.Fatalf("still alive: %v", err)
		}
		if text, err := os.ReadFile(srv.Log()); err != nil || !strings.HasSuffix(string(text), "drained\n") {
			t.Errorf("Stop did not let it drain: %q, %v", text, err)
		}
	})

	const write, fresh = `UPDATE t SET n = n + 1 WHERE a = 1`, `SELECT n FROM t WHERE a = 1`
	t.Run("a partition cuts the node with the leases off, and two serve", func(t *testing.T) {
		end := n.Partition(in("europe-west1"), in("us-east1", "asia-northeast1"), false)
		defer end()
		if front := n.Link(anybody.Name, "europe-west1-db1").Shape(); !front.Forward.Drop || !front.Backward.Drop {
			t.Errorf("gossip could go around: %+v", front)
		}
		answersWithin(t, urls[1], write, time.Minute) // 15 s: leases expire after 9, and RPCs that hang have to be given up
		answersWithin(t, urls[2], write, time.Minute)
		if _, err := tried(t, urls[0], write, 2*time.Second); err == nil {
			t.Error("a node without a majority has written")
		}
		end()
		answersWithin(t, urls[0], write, 20*time.Second)
	})
	alone, others := in("us-east1"), in("europe-west1", "asia-northeast1")
	t.Run("one way: a node hears and is not heard", func(t *testing.T) {
		end := n.Partition(alone, others, true)
		defer end()
		forth, back := n.Link("us-east1-db1", "europe-west1-db1").Shape(), n.Link("europe-west1-db1", "us-east1-db1").Shape()
		if !forth.Forward.Drop || forth.Backward.Drop || back.Forward.Drop || !back.Backward.Drop {
			t.Errorf("from it: %+v, to it: %+v", forth, back)
		}
		if clients := n.Link("clients/us-east1", "us-east1-srv1").Shape(); clients.Forward.Drop || clients.Backward.Drop {
			t.Errorf("inside of a region: %+v", clients)
		}
		answersWithin(t, urls[0], write, time.Minute)
		if _, err := tried(t, urls[1], write, 2*time.Second); err == nil {
			t.Error("a node that nobody hears has written")
		}
		end()
		answersWithin(t, urls[1], write, 20*time.Second)
	})
	t.Run("a killed node leaves two that serve, and comes back", func(t *testing.T) {
		m := member(n, "europe-west1-db1")
		if err := m.Kill(t.Context()); err != nil || m.Alive() {
			t.Fatalf("still alive: %v", err)
		}
		if n.AdminURL() != urls[1] {
			t.Error("the administrator is sent to a dead node")
		}
		answersWithin(t, urls[1], write, 20*time.Second)
		answersWithin(t, urls[2], write, 20*time.Second)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		answersWithin(t, urls[0], write, 20*time.Second)
	})
	t.Run("a node stops in order", func(t *testing.T) {
		m := member(n, "asia-northeast1-db1")
		begun := time.Now()
		soon, cancel := context.WithTimeout(t.Context(), 8*time.Second) // it takes 4 s, or 26 where many share the machine
		defer cancel()
		if err := m.Stop(soon); err != nil || m.Alive() {
			t.Fatalf("still alive: %v", err)
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("stopped in %s", took)
		}
		answersWithin(t, urls[0], fresh, 20*time.Second)
		if err := m.Pause(); err == nil {
			t.Error("a dead node was paused")
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		answersWithin(t, urls[2], write, 20*time.Second)
	})
	t.Run("the logs can be kept, and nothing else is left", func(t *testing.T) {
		kept := t.TempDir()
		if err := n.KeepLogs(kept); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"us-east1-db1.log", "us-east1-srv1.log", "us-east1-db1"} {
			if _, err := os.Stat(filepath.Join(kept, name)); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(n.Stop(), n.Stop()); err != nil {
			t.Fatal(err)
		}
		wantNothingLeft(t, n.home.dir)
	})
}

func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left on disk: %s (%v)", dir, err)
	}
}

func TestNetwork_PostgreSQLBehindLinks(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	n := startedNetwork(t, NetworkOptions{Engine: PostgreSQL, Regions: threeRegions(1), Primary: "us-east1"})
	m := member(n, "us-east1-db1")
	if m == nil || len(adminURLs(n)) != 1 || m.Zone != "us-east1-c" {
		t.Fatalf("%+v of %v", m, adminURLs(n))
	}
	exec1(t, connect(t, n.AdminURL()), `CREATE TABLE t (a INT PRIMARY KEY)`, `INSERT INTO t VALUES (42)`)
	far := get(t, n.ClientURL("asia-northeast1", member(n, "asia-northeast1-srv1"))+"/database")
	near := get(t, n.ClientURL("us-east1", member(n, "us-east1-srv1"))+"/database")
	if took, err := tried(t, far, `SELECT a FROM t`, 10*time.Second); err != nil || took < rtt {
		t.Errorf("from afar it takes %s (%v), want %s at least", took, err, rtt)
	}
	if took, err := tried(t, near, `SELECT a FROM t`, 10*time.Second); err != nil || took > rtt {
		t.Errorf("from near it takes %s (%v)", took, err)
	}

	conn := connect(t, n.AdminURL())
	if err := errors.Join(m.Pause(), m.Pause()); err != nil || !m.Paused() || !m.Alive() {
		t.Fatalf("not paused: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := conn.Ping(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a backend of a server that is paused answers: %v", err)
	}
	if err := errors.Join(m.Resume(), m.Resume()); err != nil || m.Paused() {
		t.Fatalf("not resumed: %v", err)
	}
	answersWithin(t, near, `SELECT a FROM t`, 10*time.Second)

	if err := m.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(t.Context()); err != nil || m.Alive() || m.Paused() {
		t.Fatalf("still there: %v", err)
	}
	if _, err := tried(t, near, `SELECT a FROM t`, 5*time.Second); err == nil {
		t.Error("a server that was killed answers")
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answersWithin(t, far, `SELECT a FROM t`, 10*time.Second)
	if err := errors.Join(m.Stop(t.Context()), m.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	answersWithin(t, near, `SELECT a FROM t`, 10*time.Second)

	if _, err := m.FillDisk(); !errors.Is(err, ErrNoSmallDisk) {
		t.Errorf("the disk of the machine: %v", err)
	}
	if err := m.JumpClock(time.Hour); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if err := m.SlowDisk(time.Second); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if err := m.Pause(); err != nil { // Stop must not wait for what is paused
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, n.home.dir)
}

func TestNetwork_ASmallDiskFillsAndIsFreed(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	n, err := StartNetwork(t.Context(), NetworkOptions{Engine: PostgreSQL, Regions: threeRegions(0), Durable: true, SmallDisk: 256 << 20})
	if errors.Is(err, ErrNoSmallDisk) {
		t.Skip("SKIPPED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	m := n.Members()[0]
	const big = `CREATE TABLE IF NOT EXISTS big AS SELECT generate_series(1, 200000) a`
	free, err := m.FillDisk()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tried(t, n.AdminURL(), big, 20*time.Second); err == nil {
		t.Error("a full disk has taken 7 MB")
	}
	if err := errors.Join(free(), free()); err != nil {
		t.Fatal(err)
	}
	if !m.Alive() { // a full disk may take the server down
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	answersWithin(t, n.AdminURL(), big, 20*time.Second)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, n.home.dir)
}

func TestStartNetwork_RefusesWhatCanNotBeMeant(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]NetworkOptions{
		"no region has a database node": {Regions: []NetworkRegion{{Name: "eu"}}},
		"named twice":                   {Regions: []NetworkRegion{{Name: "eu", Zones: []string{"a"}}, {Name: "eu"}}},
		"no binary":                     {Regions: []NetworkRegion{{Name: "eu", Zones: []string{"a"}, Servers: 1}}},
		`primary region "us"`:           {Regions: []NetworkRegion{{Name: "eu", Zones: []string{"a"}}}, Primary: "us"},
		`zone "a,b"`:                    {Regions: []NetworkRegion{{Name: "eu", Zones: []string{"a,b"}}}},
		`region "e u"`:                  {Regions: []NetworkRegion{{Name: "e u", Zones: []string{"a"}}}},
		`engine "sqlite"`:               {Regions: []NetworkRegion{{Name: "eu", Zones: []string{"a"}}}, Engine: "sqlite"},
	} {
		if _, err := StartNetwork(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}

func TestStartNetwork_LeavesNothingBehindWhenItGivesUp(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	dir := openDir(t)
	refused := errors.New("no schema today")
	_, err := StartNetwork(t.Context(), NetworkOptions{
		Engine: PostgreSQL, Regions: threeRegions(0), Dir: dir,
		Prepare: func(context.Context, string) error { return refused },
	})
	if !errors.Is(err, refused) {
		t.Fatalf("%v, want what Prepare said", err)
	}
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
	_, err = StartNetwork(t.Context(), NetworkOptions{Engine: PostgreSQL, Regions: threeRegions(0), Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "holds data already") {
		t.Errorf("on data of another: %v", err)
	}
}

func TestNetwork_TheClockOfPostgreSQLJumps(t *testing.T) {
	needs(t, PostgreSQL)
	n := startedNetwork(t, NetworkOptions{Engine: PostgreSQL, Regions: []NetworkRegion{{Name: "eu", Zones: []string{"eu-a"}}}, FakeClock: true})
	m, conn := n.Members()[0], connect(t, n.AdminURL())
	ahead := func() time.Duration {
		t.Helper()
		var now time.Time
		if err := conn.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
			t.Fatal(err)
		}
		return time.Until(now).Round(time.Minute)
	}
	for _, step := range []struct{ by, ahead time.Duration }{{time.Hour, time.Hour}, {-2 * time.Hour, -time.Hour}, {time.Hour, 0}} {
		err := m.JumpClock(step.by)
		if errors.Is(err, ErrUnsupported) {
			t.Skip("SKIPPED: ", err)
		}
		if got := ahead(); err != nil || got != step.ahead {
			t.Errorf("after a jump by %s the clock is ahead by %s (%v), want %s", step.by, got, err, step.ahead)
		}
	}
}

// adminURLs are those of all database nodes, in the order of Members.
func adminURLs(n *Network) []string {
	var urls []string
	for _, m := range n.Members() {
		if m.Kind == Database {
			urls = append(urls, n.url(m))
		}
	}
	return urls
}

// member is the one of that name, or nil.
func member(n *Network, name string) *Member {
	for _, m := range n.Members() {
		if m.Name == name {
			return m
		}
	}
	return nil
}
