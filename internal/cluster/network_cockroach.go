package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// startCockroach starts a node for each zone.
func (n *Network) startCockroach(ctx context.Context, c *cockroach) error {
	runs, ok := c.fleet.(*local)
	if !ok {
		return fmt.Errorf("nodes of %T cannot be told apart", c.fleet)
	}
	for _, r := range n.o.Regions {
		for i, zone := range r.Zones {
			m := &Member{Endpoint: Endpoint{Name: fmt.Sprintf("%s-db%d", r.Name, i+1), Kind: Database, Region: r.Name, Zone: zone}}
			n.members = append(n.members, m)
			if n.o.SmallDisk > 0 {
				m.disk = runs.path(node{index: len(n.members)}, "cockroach/node%d")
				if err := n.mount(m); err != nil {
					return err
				}
			}
		}
	}
	databases := len(n.members)
	for _, m := range n.members {
		if err := n.wires.add(anybody, m.Endpoint); err != nil {
			return err
		}
	}
	if err := n.connect(); err != nil {
		return err
	}
	runs.env = scanEnv
	c.arrange = n.arrange
	n.url = func(m *Member) string { return c.nodes[n.index(m)].url(database) }
	if _, err := c.start(ctx); err != nil {
		return err
	}
	for i, m := range n.members[:databases] {
		m.run = &cockroachRunner{runs: runs, node: c.nodes[i], nodes: c.nodes}
		m.proc.Store(runs.procs[i])
	}
	return nil
}

// scanEnv makes a store look at a range each 100 ms for what is to be done about it, instead of each second. That is the pace of a store of 6,000
// ranges, all of which it looks at in 10 minutes whatever their number; with the fifty of a young cluster a second each made the first
// replicas take 40 s. How long leases last and when a node counts as dead are left as they are.
var scanEnv = []string{"COCKROACH_SCAN_MAX_IDLE_TIME=100ms"}

// index is the place of a member among all, and of a database node among its like.
func (n *Network) index(m *Member) int {
	for i, other := range n.members {
		if other == m {
			return i
		}
	}
	return -1
}

// arrange tells the nodes at which links they reach each other. Each advertises to each other one another address, see way.
func (n *Network) arrange(nodes []node) error {
	for i := range nodes {
		me := n.members[i]
		n.wires.point(me.Name, nodes[i].address())
		w := way{zone: me.Zone, name: me.Name, advertise: n.Link(anybody.Name, me.Name).Addr()}
		for j := range nodes {
			if i == j {
				continue
			}
			other := n.members[j]
			w.advertised = append(w.advertised, "node="+other.Name+"@"+n.Link(other.Name, me.Name).Addr())
			w.join = append(w.join, n.Link(me.Name, other.Name).Addr())
		}
		nodes[i].way = w
	}
	return nil
}

const (
	// replicaTimeout bounds the wait for replicas. Some fifty ranges on three nodes that share two cores take a quarter of a minute.
	replicaTimeout = 5 * time.Minute
	// replication is how many replicas a range has unless its zone says more, in CockroachDB's default.
	replication = 3
)

const sqlReplicas = `SELECT COALESCE(array_length(voting_replicas, 1), 0), COALESCE(array_to_string(replica_localities, ';'), '')
  FROM crdb_internal.ranges_no_leases`

// awaitReplicas returns when every range has its replicas, and spread over as many regions: before, the loss of one node could take the
// quorum of a range, and a drill would show what no cluster that has run for a minute does. PostgreSQL has none to wait for. Once
// there are databases of several regions, spread is their business.
func (n *Network) awaitReplicas(ctx context.Context, spread bool) error {
	nodes, regions := 0, map[string]bool{}
	for _, m := range n.members {
		if m.Kind == Database {
			nodes++
			regions[m.Region] = true
		}
	}
	if n.name != CockroachDB || nodes == 1 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, replicaTimeout, fmt.Errorf("ranges of CockroachDB lack replicas after %s", replicaTimeout))
	defer cancel()
	conn, err := pgx.Connect(ctx, n.AdminURL())
	if err != nil {
		return fmt.Errorf("wait for replicas: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	places := 0
	if spread {
		places = min(replication, len(regions))
	}
	said := time.Now()
	return untilReady(ctx, n.processes(Database), func(ctx context.Context) error {
		lacking, all, err := lackingReplicas(ctx, conn, min(replication, nodes), places)
		if err == nil && lacking > 0 {
			err = fmt.Errorf("%d of %d ranges lack replicas", lacking, all)
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				n.o.Progress("CockroachDB: " + err.Error())
			}
		}
		return err
	})
}

// lackingReplicas counts the ranges with fewer replicas than copies, or in fewer regions than places.
func lackingReplicas(ctx context.Context, conn *pgx.Conn, copies, places int) (lacking, all int, err error) {
	rows, err := conn.Query(ctx, sqlReplicas)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var voters int
		var localities string
		if err := rows.Scan(&voters, &localities); err != nil {
			return 0, 0, err
		}
		regions := map[string]bool{}
		for locality := range strings.SplitSeq(localities, ";") {
			region, _, _ := strings.Cut(locality, ",")
			regions[region] = true
		}
		all++
		if voters < copies || len(regions) < places {
			lacking++
		}
	}
	return lacking, all, rows.Err()
}

func (n *Network) processes(kind Kind) []*process {
	var procs []*process
	for _, m := range n.members {
		if p := m.proc.Load(); p != nil && m.Kind == kind {
			procs = append(procs, p)
		}
	}
	return procs
}
