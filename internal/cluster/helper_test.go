package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childRole makes the test binary play a program that is about to be killed, see TestMain.
const childRole = "MERIDIAN_CLUSTER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "engine":
		playEngineOwner()
	case "watchdog":
		playWatchdogOwner()
	default:
		os.Exit(m.Run())
	}
}

// playEngineOwner starts an engine, says where it is, and waits to be killed.
func playEngineOwner() {
	e, err := Start(context.Background(), Options{Engine: os.Getenv("MERIDIAN_CLUSTER_TEST_ENGINE")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(e.home.dir)
	select {}
}

// playWatchdogOwner starts a process that is tied to us by a watchdog only, says its id, and waits to be killed.
func playWatchdogOwner() {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := watch(cmd.Process.Pid, syscall.SIGKILL); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	select {}
}

// child runs the test binary in a role and returns the line that it prints once it is set up.
func child(t *testing.T, env ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child ended early: %v", err)
	}
	return cmd, strings.TrimSpace(line)
}

// needs skips the test, aloud, where an engine cannot be started.
func needs(t *testing.T, engine string) {
	t.Helper()
	for _, f := range Available(t.Context()) {
		if f.Engine == engine && f.From == "" {
			t.Skip("SKIPPED: ", f)
		}
	}
}

// started starts an engine for the test and stops it at its end.
func started(t *testing.T, o Options) *Engine {
	t.Helper()
	if o.Log == nil {
		o.Progress = func(line string) { t.Log(line) }
	}
	e, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// openDir is a directory that PostgreSQL's own user may enter, which t.TempDir is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "meridian-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	if err := execEach(t.Context(), conn, statements...); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var s string
	// In the simple protocol every type arrives as text.
	if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// mentioning returns the live processes whose command line or working directory contains s.
func mentioning(t *testing.T, s string) []string {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(procs) == 0 {
		t.Skip("SKIPPED: counting processes needs /proc")
	}
	var found []string
	for _, proc := range procs {
		cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		if strings.Contains(string(cmdline), s) || strings.Contains(cwd, s) {
			found = append(found, proc+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// eventually polls for something that another process does: there is nobody here to signal it.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
