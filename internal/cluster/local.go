package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// local is the nodes of a CockroachDB cluster as processes of ours. Its directory holds:
//
//	cockroach/node1/        a node's data, unless they are in memory
//	cockroach-1/            its own logs
//	cockroach-1.log         its standard output and error
type local struct {
	bin     string
	dir     string
	durable bool
	env     []string // of nodes, on top of cockroachEnv

	procs []*process
}

func (l *local) path(n node, format string) string {
	return filepath.Join(l.dir, fmt.Sprintf(format, n.index))
}

func (l *local) command(args ...string) command {
	return command{name: "cockroach " + args[0], path: l.bin, args: args, dir: l.dir, env: slices.Concat(cockroachEnv, l.env)}
}

func (l *local) processes() []*process { return l.procs }

func (l *local) launch(ctx context.Context, nodes []node) error {
	l.procs = nil
	for _, n := range nodes {
		p, err := l.spawn(n, nodes)
		if err != nil {
			return err
		}
		l.procs = append(l.procs, p)
	}
	for _, n := range nodes {
		if err := l.awaitListening(ctx, n, l.procs); err != nil {
			return err
		}
	}
	return nil
}

// awaitListening returns once the node listens, which it says by a file. Without that, another cluster on the same port could pass for ours.
func (l *local) awaitListening(ctx context.Context, n node, procs []*process) error {
	err := untilReady(ctx, procs, func(context.Context) error {
		_, err := os.Stat(l.path(n, "cockroach-%d.url"))
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for node %d of CockroachDB to listen: %w", n.index, err)
	}
	return nil
}

// restart brings one node back whose process has ended, and returns when it answers SQL.
func (l *local) restart(ctx context.Context, n node, nodes []node) (*process, error) {
	p, err := l.spawn(n, nodes)
	if err != nil {
		return nil, err
	}
	err = l.awaitListening(ctx, n, []*process{p})
	if err == nil {
		var conn *pgx.Conn
		if conn, err = awaitSQL(ctx, n.url("system"), p); err == nil {
			err = conn.Close(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bring node %d of CockroachDB back: %w", n.index, err), p.kill())
	}
	return p, nil
}

func (l *local) spawn(n node, nodes []node) (*process, error) {
	store := "type=mem,size=1GiB"
	if l.durable {
		store = "path=" + l.path(n, "cockroach/node%d")
	}
	listening := l.path(n, "cockroach-%d.url")
	if err := os.Remove(listening); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove what an earlier run of CockroachDB left: %w", err)
	}
	args := append(n.arguments(nodes, store, "127.0.0.1"),
		"--listening-url-file="+listening, "--log-dir="+l.path(n, "cockroach-%d"))
	c := l.command(args...)
	c.name = "CockroachDB's node " + strconv.Itoa(n.index)
	// SIGKILL harms no data, and orphaned nodes cannot agree on anything gentler: the last ones would have no quorum.
	return spawn(c, l.path(n, "cockroach-%d.log"), syscall.SIGKILL)
}

func (l *local) kill() error {
	// All of them before waiting for any: survivors would go on acknowledging writes for a moment.
	for _, p := range l.procs {
		_ = p.cmd.Process.Kill()
	}
	errs := make([]error, 0, len(l.procs))
	for _, p := range l.procs {
		errs = append(errs, p.kill())
	}
	return errors.Join(errs...)
}

// stop is kill, also where the data stay: a whole cluster has nobody to hand its leases to. Draining three nodes one after
// another took 14 s and the next start 6 to 10 s, SIGKILL 0.1 s and the next start 1.6 s, and what was acknowledged is
// synced to disk either way.
func (l *local) stop(bool) error { return l.kill() }
