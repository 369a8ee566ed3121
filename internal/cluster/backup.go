package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Backup writes what the database holds to a directory, which must be there and empty, while everything goes on. On PostgreSQL it is a base
// backup, which ends as of its end; on CockroachDB BACKUP, as of its beginning. The directory is all that Restore needs.
func (n *Network) Backup(ctx context.Context, dir string) error {
	var err error
	switch e := n.engine.(type) {
	case *postgres:
		err = e.backup(ctx, filepath.Join(dir, "base"))
	case *cockroach:
		err = n.backupCockroach(ctx, e, dir)
	}
	if err != nil {
		return fmt.Errorf("back %s up: %w", Title(n.name), err)
	}
	return nil
}

// Restore loses all database nodes with their data, by SIGKILL, and brings back what a backup holds, on the same addresses. Servers are not
// touched: what they remember is not true any more, so whoever calls this starts them anew.
func (n *Network) Restore(ctx context.Context, dir string) error {
	var failed []error
	databases := slices.DeleteFunc(n.Members(), func(m *Member) bool { return m.Kind != Database })
	for _, m := range databases {
		failed = append(failed, m.Kill(ctx))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("lose the database: %w", err)
	}
	var err error
	switch e := n.engine.(type) {
	case *postgres:
		if err = e.restore(ctx, filepath.Join(dir, "base")); err == nil {
			databases[0].proc.Store(e.proc)
		}
	case *cockroach:
		err = n.restoreCockroach(ctx, e, dir, databases)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", Title(n.name), err)
	}
	return nil
}

// backup takes a base backup with the log that makes it consistent.
func (p *postgres) backup(ctx context.Context, to string) error {
	// The program runs as the user of the server, who can not write just anywhere: so it writes next to the data, and we move it.
	beside := p.path("postgresql.backup")
	if err := os.RemoveAll(beside); err != nil {
		return err
	}
	if err := p.as.own(os.Mkdir(beside, 0o700), beside); err != nil {
		return err
	}
	bin, err := p.client("pg_basebackup")
	if err != nil {
		return err
	}
	c := p.command("pg_basebackup", p.dir, "--host=127.0.0.1", fmt.Sprintf("--port=%d", p.port), "--username="+postgresUser, "--no-password",
		"--pgdata="+beside, "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	c.path = bin
	c.env = append(c.env, "PGPASSWORD="+p.password) // for the user of the process alone to read
	if _, err := c.run(ctx); err != nil {
		return err
	}
	return move(beside, to)
}

// client finds a program that comes with the server: next to it, or next to where a link to it leads.
func (p *postgres) client(program string) (string, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(p.bin, "postgres"))
	if err != nil {
		return "", err
	}
	for _, dir := range []string{p.bin, filepath.Dir(real)} {
		if path := filepath.Join(dir, program); exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s in %s: install the client programs of PostgreSQL", program, p.bin)
}

// restore puts a base backup where the data were.
func (p *postgres) restore(ctx context.Context, from string) error {
	p.releaseSharedMemory()
	if err := os.RemoveAll(p.path("postgresql")); err != nil {
		return err
	}
	if err := copyTree(from, p.path("postgresql"), p.as); err != nil {
		return err
	}
	_, err := p.start(ctx)
	return err
}

// collection is where CockroachDB keeps backups in the directory for files of its first node.
const collection = "nodelocal://1/backup"

func (n *Network) backupCockroach(ctx context.Context, c *cockroach, dir string) error {
	if err := n.sql(ctx, c.nodes[0], "BACKUP DATABASE "+database+" INTO '"+collection+"'"); err != nil {
		return err
	}
	return copyTree(filepath.Join(n.externOf(c), "backup"), filepath.Join(dir, "backup"), nil)
}

// externOf is the directory of the first node that nodelocal://1 means.
func (n *Network) externOf(c *cockroach) string {
	runs, _ := c.fleet.(*local) // startCockroach takes no other
	return filepath.Join(runs.path(c.nodes[0], "cockroach/node%d"), "extern")
}

func (n *Network) restoreCockroach(ctx context.Context, c *cockroach, dir string, databases []*Member) error {
	runs, _ := c.fleet.(*local)
	for _, node := range c.nodes {
		if err := os.RemoveAll(runs.path(node, "cockroach/node%d")); err != nil {
			return err
		}
	}
	if err := copyTree(filepath.Join(dir, "backup"), filepath.Join(n.externOf(c), "backup"), nil); err != nil {
		return err
	}
	if _, err := c.start(ctx); err != nil {
		return err
	}
	for i, m := range databases {
		m.proc.Store(runs.procs[i])
	}
	if err := n.sql(ctx, c.nodes[0], "DROP DATABASE "+database, "RESTORE DATABASE "+database+" FROM LATEST IN '"+collection+"'"); err != nil {
		return err
	}
	return n.awaitReplicas(ctx, false)
}

func (n *Network) sql(ctx context.Context, at node, statements ...string) error {
	conn, err := pgx.Connect(ctx, at.url("system"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return execEach(ctx, conn, statements...)
}

// move renames, or copies where the places are on different file systems.
func move(from, to string) error {
	if err := os.Rename(from, to); err == nil {
		return nil
	}
	return errors.Join(copyTree(from, to, nil), os.RemoveAll(from))
}

// copyTree copies a directory and hands each file to a user.
func copyTree(from, to string, as *systemUser) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return as.own(os.MkdirAll(target, 0o700), target)
		}
		return as.own(copyFile(path, target), target)
	})
}
