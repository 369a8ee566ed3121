package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func TestOrphan_EngineEndsWithItsOwnerAndTheNextStartCleansUp(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	// In a directory of its own, where no other test sweeps.
	owner, dir := child(t, childRole+"=engine", "MERIDIAN_CLUSTER_TEST_ENGINE="+PostgreSQL, "TMPDIR="+openDir(t))
	if len(mentioning(t, dir)) == 0 {
		t.Fatal("the child's engine is not seen")
	}
	sweep(filepath.Dir(dir))
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the directory of a living owner is swept away: %v", err)
	}
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphaned engine ends", func() bool { return len(mentioning(t, dir)) == 0 })
	sweep(filepath.Dir(dir))
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of a dead owner is still there: %v", err)
	}
}

func TestOrphan_CockroachDBEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	needs(t, CockroachDB)
	owner, dir := child(t, childRole+"=engine", "MERIDIAN_CLUSTER_TEST_ENGINE="+CockroachDB, "TMPDIR="+openDir(t))
	if len(mentioning(t, dir)) == 0 {
		t.Fatal("the child's engine is not seen")
	}
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphaned engine ends", func() bool { return len(mentioning(t, dir)) == 0 })
}

func TestOrphan_WatchdogKillsWhereTheKernelDoesNot(t *testing.T) {
	t.Parallel()
	owner, line := child(t, childRole+"=watchdog")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the watched process does not run: %v", err)
	}
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watched process ends", func() bool {
		// Where nobody reaps orphans it stays as a zombie, which has no command line.
		cmdline, err := os.ReadFile("/proc/" + line + "/cmdline")
		return err == nil && len(cmdline) == 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
}
