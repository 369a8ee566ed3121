package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Member is one process of a Network. Alive, Paused and Log never wait; the other methods wait for each other.
type Member struct {
	Endpoint
	run  runner
	disk string // its small disk; empty: none
	proc atomic.Pointer[process]

	paused atomic.Bool
	mu     sync.Mutex
	resume func() error // while paused
}

// runner is how members of a kind are run: cockroachRunner, postgresRunner or serverRunner.
type runner interface {
	// start runs it again on the same data and address, and returns when it answers. When it fails, no process is left.
	start(ctx context.Context) (*process, error)
	// drain are the signals that end it gracefully.
	drain() []step
	// end ends it for good.
	end(p *process) error
	// logs are the file with its standard output and error, and a directory with more, if any.
	logs() (file, directory string)
}

// Alive says whether its process runs, paused or not.
func (m *Member) Alive() bool {
	p := m.proc.Load()
	return p != nil && !p.hasEnded()
}

// Paused says whether it is alive and paused.
func (m *Member) Paused() bool { return m.paused.Load() && m.Alive() }

// PID is the number of its newest process; 0: it was never started.
func (m *Member) PID() int {
	p := m.proc.Load()
	if p == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Address is host:port of a server node, behind all links. Empty: it is none, or was never started.
func (m *Member) Address() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, server := m.run.(*serverRunner)
	if !server || r.o.Port == 0 {
		return ""
	}
	return "127.0.0.1:" + strconv.Itoa(r.o.Port)
}

// Log is the file with what it wrote to its standard output and error. Each start appends. Empty: it was never started.
func (m *Member) Log() string {
	if m.run == nil {
		return ""
	}
	file, _ := m.run.logs()
	return file
}

// Kill ends it with SIGKILL, children included, as a power cut would, and returns when nothing of it is left. A member that is not alive is
// not an error.
func (m *Member) Kill(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.proc.Load(); p != nil {
		if err := p.kill(); err != nil {
			return err
		}
	}
	return m.wake()
}

// Stop ends it as an orderly shutdown does: a server drains, a CockroachDB node gives its leases away first, PostgreSQL cuts transactions off
// and writes a checkpoint. What takes longer than a minute or than ctx is killed. A paused member is resumed. One that is not alive is
// not an error.
func (m *Member) Stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.wake(); err != nil {
		return err
	}
	p := m.proc.Load()
	if p == nil {
		return nil
	}
	steps := m.run.drain()
	if deadline, ok := ctx.Deadline(); ok {
		for i := range steps {
			steps[i].wait = max(0, min(steps[i].wait, time.Until(deadline)))
		}
	}
	return p.stop(steps...)
}

// Start brings it back after Kill, Stop or a death of its own, with the same data and at the same address, and returns when it answers. If it
// does not until ctx ends, it is killed again. A member that is alive is an error.
func (m *Member) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Alive() {
		return fmt.Errorf("start %s: it runs already", m.Name)
	}
	if p := m.proc.Load(); p != nil { // died by itself: what it forked, and what ties it to us, go first
		if err := p.kill(); err != nil {
			return fmt.Errorf("start %s: %w", m.Name, err)
		}
	}
	p, err := m.run.start(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.proc.Store(p)
	return nil
}

// Pause stops it and its children by SIGSTOP, as a machine does that hangs or is moved: its sockets stay open and nobody answers. A member
// that is paused already is not an error, one that is not alive is.
func (m *Member) Pause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.Alive():
		return fmt.Errorf("pause %s: it does not run", m.Name)
	case m.resume != nil:
		return nil
	}
	resume, err := m.proc.Load().pause()
	if err != nil {
		return err
	}
	m.resume = resume
	m.paused.Store(true)
	return nil
}

// Resume ends Pause. A member that is not paused is not an error.
func (m *Member) Resume() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wake()
}

func (m *Member) wake() error {
	if m.resume == nil {
		return nil
	}
	err := m.resume()
	m.resume = nil
	m.paused.Store(false)
	return err
}

// end is the end of the network.
func (m *Member) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.wake()
	if m.run == nil || m.proc.Load() == nil {
		return err
	}
	return errors.Join(err, m.run.end(m.proc.Load()))
}

// FillDisk writes to the small disk of a database node until there is no space left on it; free takes the file away again, and may be called
// again. Without NetworkOptions.SmallDisk it is ErrNoSmallDisk: nobody fills the disk of the machine.
func (m *Member) FillDisk() (free func() error, err error) {
	if m.disk == "" {
		return nil, fmt.Errorf("fill the disk of %s: %w of its own", m.Name, ErrNoSmallDisk)
	}
	path := filepath.Join(m.disk, "filler")
	free = func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("free the disk of %s: %w", m.Name, err)
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // G304: on a disk of ours
	if err != nil {
		return nil, fmt.Errorf("fill the disk of %s: %w", m.Name, err)
	}
	for _, size := range []int{1 << 20, 4 << 10} { // and then to the last page
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return nil, errors.Join(fmt.Errorf("fill the disk of %s: %w", m.Name, err), f.Close(), free())
		}
		err = nil
	}
	if err := f.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the disk of %s: %w", m.Name, err), free())
	}
	return free, nil
}

// SlowDisk would make each write of a member slower by d. It is ErrUnsupported: a device that delays takes device mapper or a control group
// with an I/O controller, which neither a container nor an ordinary machine grants, and a slow file system in between would measure itself.
func (m *Member) SlowDisk(time.Duration) error {
	return fmt.Errorf("slow the disk of %s: %w without a device of its own", m.Name, ErrUnsupported)
}

// JumpClock moves the clock that a member sees by d, at once. It takes NetworkOptions.FakeClock, PostgreSQL, and libfaketime; otherwise it is
// ErrUnsupported: the clock is the machine's, and CockroachDB and our servers ask the kernel itself.
func (m *Member) JumpClock(d time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, is := m.run.(*postgresRunner)
	switch {
	case !is:
		return fmt.Errorf("move the clock of %s: %w: it is the clock of this machine", m.Name, ErrUnsupported)
	case r.p.clock == nil && r.p.noClock == nil:
		return fmt.Errorf("move the clock of %s: %w without FakeClock", m.Name, ErrUnsupported)
	case r.p.clock == nil:
		return fmt.Errorf("move the clock of %s: %w", m.Name, r.p.noClock)
	}
	return r.p.clock.jump(d)
}

// cockroachRunner runs one node of CockroachDB.
type cockroachRunner struct {
	runs  *local
	node  node
	nodes []node
}

func (r *cockroachRunner) start(ctx context.Context) (*process, error) {
	return r.runs.restart(ctx, r.node, r.nodes)
}

// drain: moving the leases of some fifty ranges away takes 5 to 15 s.
func (r *cockroachRunner) drain() []step { return []step{{syscall.SIGTERM, time.Minute}} }

func (r *cockroachRunner) end(p *process) error { return p.kill() }

func (r *cockroachRunner) logs() (file, directory string) {
	return r.runs.path(r.node, "cockroach-%d.log"), r.runs.path(r.node, "cockroach-%d")
}

// postgresRunner runs PostgreSQL.
type postgresRunner struct{ p *postgres }

func (r *postgresRunner) start(ctx context.Context) (*process, error) {
	if _, err := r.p.start(ctx); err != nil {
		return nil, err
	}
	return r.p.proc, nil
}

func (r *postgresRunner) drain() []step {
	return []step{{syscall.SIGINT, 50 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}}
}

func (r *postgresRunner) end(*process) error             { return r.p.stop(false) }
func (r *postgresRunner) logs() (file, directory string) { return r.p.path("postgresql.log"), "" }

// serverRunner runs a server node.
type serverRunner struct {
	o     NodeOptions
	point func(address string) // called with where it listens
}

func (r *serverRunner) start(ctx context.Context) (*process, error) {
	n, err := StartNode(ctx, r.o)
	if err != nil {
		return nil, err
	}
	if r.o.Port == 0 {
		address := strings.TrimPrefix(n.URL, "http://")
		if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &r.o.Port); err != nil {
			return nil, errors.Join(fmt.Errorf("read the address %s: %w", address, err), n.Kill())
		}
		r.point(address)
	}
	return n.proc, nil
}

func (r *serverRunner) drain() []step { return []step{{syscall.SIGTERM, drainWait}} }

// end gives it a moment, not the whole drain: nobody calls any more.
func (r *serverRunner) end(p *process) error { return p.stop(step{syscall.SIGTERM, 2 * time.Second}) }

func (r *serverRunner) logs() (file, directory string) {
	return filepath.Join(r.o.Dir, r.o.Name+".log"), ""
}
