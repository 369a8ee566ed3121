package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	postgresUser = "meridian"
	initTimeout  = 2 * time.Minute
	// readyTimeout covers crash recovery: a server that was killed under load replays up to max_wal_size first.
	readyTimeout = 3 * time.Minute
)

// postgres is one PostgreSQL server whose files lie in a directory of ours:
//
//	postgresql/           its data, owned by the user it runs as
//	postgresql.password   its superuser's password
//	postgresql.log        what it said, appended to by each start
type postgres struct {
	bin      string // directory of initdb and postgres
	dir      string
	durable  bool
	as       *systemUser // nil: ourselves
	progress func(string)

	clock    *clock // that it sees; nil: the machine's
	noClock  error  // why it has none, where one was asked for
	port     int    // 0 before the first start
	password string
	proc     *process
}

func (p *postgres) path(name string) string { return filepath.Join(p.dir, name) }

// start initializes the directory if it is new, and runs the server.
func (p *postgres) start(ctx context.Context) ([]string, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("PostgreSQL did not answer within %s", readyTimeout))
	defer cancel()
	err := onFreePorts(p.port == 0, func() error {
		if p.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			p.port = port
		}
		return p.launch(ctx)
	}, func() { p.port = 0 })
	if err != nil {
		return nil, err
	}
	return []string{p.url(database)}, nil
}

// prepare makes sure that there are data and a password to run with.
func (p *postgres) prepare(ctx context.Context) error {
	if err := p.as.canReach(p.dir); err != nil {
		return err
	}
	_, err := os.Stat(p.path("postgresql"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return p.initialize(ctx)
	case err != nil:
		return fmt.Errorf("look at PostgreSQL's data: %w", err)
	}
	text, err := os.ReadFile(p.path("postgresql.password"))
	if err != nil {
		return fmt.Errorf("read the password of PostgreSQL's data in %s: %w", p.dir, err)
	}
	p.password = strings.TrimSpace(string(text))
	return nil
}

// initialize runs initdb. The data appears under its name only when it is complete, so that an interrupted start is
// simply done again.
func (p *postgres) initialize(ctx context.Context) error {
	p.progress("PostgreSQL: initdb in " + p.dir)
	ctx, cancel := context.WithTimeoutCause(ctx, initTimeout, fmt.Errorf("initdb took longer than %s", initTimeout))
	defer cancel()

	p.password = rand.Text()
	if err := os.WriteFile(p.path("postgresql.password"), []byte(p.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep PostgreSQL's password: %w", err)
	}
	unfinished, passwordFile := p.path("postgresql.new"), p.path("postgresql.password.new")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished initdb: %w", err)
	}
	if err := p.as.own(os.Mkdir(unfinished, 0o700), unfinished); err != nil {
		return fmt.Errorf("create PostgreSQL's data directory: %w", err)
	}
	if err := p.as.own(os.WriteFile(passwordFile, []byte(p.password+"\n"), 0o600), passwordFile); err != nil {
		return fmt.Errorf("hand PostgreSQL's password to initdb: %w", err)
	}
	defer os.Remove(passwordFile)

	args := []string{
		"--pgdata=" + unfinished, "--username=" + postgresUser, "--pwfile=" + passwordFile,
		// Any other user of this machine can reach the port, so the password is asked for on 127.0.0.1 as well.
		"--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if !p.durable {
		args = append(args, "--no-sync")
	}
	if _, err := p.command("initdb", unfinished, args...).run(ctx); err != nil {
		return fmt.Errorf("initialize PostgreSQL in %s: %w", p.dir, err)
	}
	if err := os.Rename(unfinished, p.path("postgresql")); err != nil {
		return fmt.Errorf("initialize PostgreSQL: %w", err)
	}
	return nil
}

// launch runs the server on p.port and returns when our database is there. If it fails, the server is gone.
func (p *postgres) launch(ctx context.Context) (err error) {
	p.progress("PostgreSQL: starting on 127.0.0.1:" + strconv.Itoa(p.port))
	args := []string{"-D", p.path("postgresql")}
	for _, setting := range p.settings() {
		args = append(args, "-c", setting)
	}
	// Orphaned, it shuts down at once, taking its children and its shared memory along; SIGKILL would leave the latter.
	server := p.command("postgres", p.path("postgresql"), args...)
	server.env = append(server.env, p.clock.environment()...)
	p.proc, err = spawn(server, p.path("postgresql.log"), syscall.SIGQUIT)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.kill())
		}
	}()

	conn, err := awaitSQL(ctx, p.url("postgres"), p.proc)
	if err != nil {
		return fmt.Errorf("wait for PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	const sqlExists = `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`
	if err := conn.QueryRow(ctx, sqlExists, database).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database %s: %w", database, err)
	}
	if exists {
		return nil
	}
	return execEach(ctx, conn, "CREATE DATABASE "+database)
}

// settings are given on the command line, where they win over every file and nothing has to be edited.
func (p *postgres) settings() []string {
	s := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.port), "unix_socket_directories=",
		"max_connections=200",
		// SERIALIZABLE keeps a predicate lock per row read. By default more than two rows of a page become a lock on the page,
		// and more than 32 of a table one on the table, and then groups on disjoint accounts conflict: 3,500 transfers/s with
		// 77 retries in five seconds, where these give 9,400 and none.
		"max_pred_locks_per_transaction=256", "max_pred_locks_per_page=1000", "max_pred_locks_per_relation=50000",
		"jit=off", // our statements are short: compiling one costs more than running it
		"timezone=UTC", "log_timezone=UTC",
		// Serialization failures are daily business and reported by whoever retries; written down here they would cost
		// more than the statements.
		"log_min_messages=log", "logging_collector=off",
		// In the data directory instead of /dev/shm, which is 64 MB in a container and keeps what a killed server left.
		"dynamic_shared_memory_type=mmap",
	}
	if p.durable {
		// A load of minutes must not run into a checkpoint every few seconds, which is what the default of 1 GB WAL gives.
		return append(s, "shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=15min")
	}
	return append(s, "shared_buffers=64MB", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
}

func (p *postgres) command(program, dir string, args ...string) command {
	return command{name: "PostgreSQL's " + program, path: filepath.Join(p.bin, program), args: args, dir: dir, as: p.as.credential()}
}

func (p *postgres) url(db string) string {
	return localURL(url.UserPassword(postgresUser, p.password), p.port, db)
}

// stop shuts down fast (open transactions are cut off, a checkpoint is written), then at once, then by force. Data that
// will be thrown away needs no checkpoint.
func (p *postgres) stop(keep bool) error {
	if p.proc == nil {
		return nil
	}
	steps := []step{{syscall.SIGQUIT, 10 * time.Second}}
	if keep {
		steps = append([]step{{syscall.SIGINT, 20 * time.Second}}, steps...)
	}
	if err := p.proc.stop(steps...); err != nil {
		return err
	}
	if !keep {
		p.releaseSharedMemory()
	}
	return nil
}

func (p *postgres) kill() error {
	if p.proc == nil {
		return nil
	}
	return p.proc.kill()
}

// releaseSharedMemory removes the System V segment of a server that was killed; it is 56 bytes, and the next start on the
// same data would remove it, but there is none for a temporary directory, and a machine has only 4,096 of them. A server
// that shut down has removed it, along with the file that names it.
func (p *postgres) releaseSharedMemory() {
	const line = 6 // "key id", see PostgreSQL's miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY
	text, err := os.ReadFile(p.path("postgresql/postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) <= line {
		return
	}
	if fields := strings.Fields(lines[line]); len(fields) == 2 {
		_ = exec.Command("ipcrm", "-m", fields[1]).Run() //nolint:gosec // G204: a number that our server wrote
	}
}
