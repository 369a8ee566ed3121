package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// command is a program of the engine and the conditions it runs under.
type command struct {
	name string // for messages
	path string
	args []string
	dir  string              // working directory, and HOME
	env  []string            // on top of a minimal environment
	as   *syscall.Credential // nil: ourselves
}

// exec prepares the command. The environment is minimal on purpose: PGDATA, PGOPTIONS, COCKROACH_URL and their like, set
// for the person's own databases, must not reach into ours; LC_ALL=C makes messages what the code looks for.
func (c command) exec(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, c.args...) //nolint:gosec // G204: running found programs is what this package does
	cmd.Dir = c.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + os.TempDir(), "LC_ALL=C", "TZ=UTC",
	}, c.env...)
	// A group of its own: ctrl-C in the terminal reaches us, and we decide in which order things end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.as}
	return cmd
}

// run runs a short-lived command to its end. The error carries what the command said.
func (c command) run(ctx context.Context) (string, error) {
	cmd := c.exec(ctx)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe for longer than its parent lives
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	switch {
	case ctx.Err() != nil:
		return text, fmt.Errorf("%s: %w", c.name, context.Cause(ctx))
	case err != nil && text != "": // it says more than its exit status
		return text, fmt.Errorf("%s: %s", c.name, lastLines(text))
	case err != nil:
		return text, fmt.Errorf("%s: %w", c.name, err)
	}
	return text, nil
}

// process is a long-running engine process. It cannot outlive us: see tie.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string        // file with its standard output and error
	from  int64         // where in that file this run begins
	ended chan struct{} // closed when the process was reaped; err is set then
	err   error
	gone  chan struct{} // closed when it and everything it forked are dead
	untie func()
}

// spawn starts the command with its output appended to the file log. When we die without stopping it, it receives orphan.
func spawn(c command, log string, orphan syscall.Signal) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // G304: in the directory that was asked for
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", c.name, err)
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", c.name, err)
	}
	// The process and all its descendants inherit the writing end of this pipe, so its end of file means that the last of
	// them is dead: a signal that no list of process ids can give.
	life, inherited, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer inherited.Close()

	cmd := c.exec(context.Background()) // it lives until stopped, not until the caller's deadline
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{inherited}
	tieBeforeStart(cmd, orphan)
	p := &process{name: c.name, cmd: cmd, log: log, from: info.Size(), ended: make(chan struct{}), gone: make(chan struct{})}
	if err := p.startAndReap(); err != nil {
		_ = life.Close()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, life)
		_ = life.Close()
		close(p.gone)
	}()
	p.untie, err = tieAfterStart(cmd.Process.Pid, orphan)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), p.kill())
	}
	return p, nil
}

// startAndReap starts the process and waits for its end on one locked thread: Linux sends the parent-death signal when
// the thread that forked ends, and Go ends idle threads as it likes.
func (p *process) startAndReap() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return <-started
}

// killWait bounds the wait for processes that got SIGKILL: only a disk that hangs takes longer.
const killWait = 15 * time.Second

// step is a signal and the time it is given to work.
type step struct {
	signal syscall.Signal
	wait   time.Duration
}

// stop sends the signals one after another until everything is gone, SIGKILL last.
func (p *process) stop(steps ...step) error {
	for _, s := range steps {
		_ = p.cmd.Process.Signal(s.signal) // an error means that it has ended
		if p.awaitGone(s.wait) {
			p.untie()
			return nil
		}
	}
	return p.kill()
}

// kill ends the process and its children as if the power had failed. Killing only the parent would let a PostgreSQL
// backend finish, and acknowledge, a commit that a crash would have cut off.
func (p *process) kill() error {
	// Stopped, it can neither fork nor reap, so nobody else gets the ids of its children. The second round is for a child
	// that it forked while the signal was on its way.
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	for range 2 {
		if p.hasEnded() {
			break
		}
		for _, child := range children(p.cmd.Process.Pid) {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
	}
	_ = p.cmd.Process.Kill()
	if !p.awaitGone(killWait) {
		return fmt.Errorf("%s (process %d) or a child of it is still there %s after SIGKILL", p.name, p.cmd.Process.Pid, killWait)
	}
	if p.untie != nil {
		p.untie()
	}
	return nil
}

// pause stops the process and its children, as a machine does that freezes: sockets stay open, and nobody answers. Whatever ends us also
// wakes the process, so that it sees its own end.
func (p *process) pause() (resume func() error, err error) {
	pid := p.cmd.Process.Pid
	unwatch, err := watch(pid, syscall.SIGCONT)
	if err != nil {
		return nil, err
	}
	// First the parent, which then forks no more.
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		unwatch()
		return nil, fmt.Errorf("pause %s: %w", p.name, err)
	}
	for _, child := range children(pid) {
		_ = syscall.Kill(child, syscall.SIGSTOP)
	}
	return func() error {
		defer unwatch()
		if p.hasEnded() {
			return nil
		}
		for _, child := range children(pid) {
			_ = syscall.Kill(child, syscall.SIGCONT)
		}
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("resume %s: %w", p.name, err)
		}
		return nil
	}, nil
}

func (p *process) awaitGone(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.gone:
		<-p.ended // its exit status follows at once
		return true
	case <-timer.C:
		return false
	}
}

// hasEnded says whether the process is dead.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// death describes why the process ended, with the end of its log. Call it after ended is closed.
func (p *process) death() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return &deathError{name: p.name, how: how, log: p.log, tail: p.tail()}
}

// deathError is the end of an engine process that should have lived.
type deathError struct{ name, how, log, tail string }

func (e *deathError) Error() string {
	return fmt.Sprintf("%s ended (%s); the end of its log %s:\n%s", e.name, e.how, e.log, e.tail)
}

// tail returns the last lines that this run of the process wrote.
func (p *process) tail() string {
	const most = 16 << 10
	f, err := os.Open(p.log)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	defer f.Close()
	from := p.from
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-most)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return lastLines(strings.TrimSpace(string(text)))
}

// lastLines cuts a text to what a person still reads in an error.
func lastLines(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// attemptTimeout bounds one attempt to reach a server: it may accept a connection and then not answer for a while.
const attemptTimeout = 10 * time.Second

// untilReady repeats try until it succeeds. It gives up when ctx is over, and at once when one of the processes ends.
func untilReady(ctx context.Context, procs []*process, try func(context.Context) error) error {
	ctx, cancel := whileAlive(ctx, procs)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		attempt, done := context.WithTimeout(ctx, attemptTimeout)
		err := try(attempt)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return notReady(context.Cause(ctx), err, procs)
		case <-time.After(pause):
		}
	}
}

// whileAlive returns a context that is cancelled, with the death as its cause, when one of the processes ends.
func whileAlive(ctx context.Context, procs []*process) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, p := range procs {
		go func() {
			select {
			case <-p.ended:
				cancel(p.death())
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// notReady explains a wait that failed: why it ended and, unless that says it all, what was seen last.
func notReady(cause, last error, procs []*process) error {
	if death := (*deathError)(nil); errors.As(cause, &death) || errors.Is(cause, context.Canceled) {
		return cause
	}
	cause = fmt.Errorf("%w\nlast answer: %w", cause, last)
	for _, p := range procs {
		cause = fmt.Errorf("%w\nend of the log of %s:\n%s", cause, p.name, p.tail())
	}
	return cause
}
