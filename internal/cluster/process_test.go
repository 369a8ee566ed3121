package cluster

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(t *testing.T, script string) *process {
	t.Helper()
	p, err := spawn(command{name: "the script", path: "/bin/sh", args: []string{"-c", script}, dir: t.TempDir()},
		filepath.Join(t.TempDir(), "log"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.kill() })
	return p
}

func TestProcess_StopWaitsForDescendantsAndEndsTheStubborn(t *testing.T) {
	t.Parallel()
	p := shell(t, `trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo ready; while :; do sleep 0.1; done`)
	eventually(t, "the script is ready", func() bool { return strings.Contains(p.tail(), "ready") })
	if err := p.stop(step{syscall.SIGTERM, 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.gone:
	default:
		t.Error("stop returned before its processes were gone")
	}
	if err := errors.Join(p.stop(), p.kill()); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestProcess_CtrlCInTheTerminalReachesUsAlone(t *testing.T) {
	t.Parallel()
	p := shell(t, "sleep 1000")
	group, err := syscall.Getpgid(p.cmd.Process.Pid)
	if err != nil || group == syscall.Getpgrp() {
		t.Errorf("process group %d (%v), which is ours: the terminal's signals go to a group", group, err)
	}
}

func TestProcess_DeathCarriesTheEndOfThisRunsLogOnly(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	run := func(script string) error {
		p, err := spawn(command{name: "the script", path: "/bin/sh", args: []string{"-c", script}, dir: t.TempDir()}, log, syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		<-p.ended
		return p.death()
	}
	if err := run("echo bind: Address already in use; exit 1"); !portTaken(err) {
		t.Errorf("%v: not seen as a port that is taken", err)
	}
	err := run("for i in $(seq 1 100); do echo line $i; done; exit 3")
	if portTaken(err) {
		t.Error("the log of the run before was read")
	}
	if !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "line 99\nline 100") || strings.Contains(err.Error(), "line 80\n") {
		t.Errorf("got %v", err)
	}
}

func TestFreePort_KeepsAwayFromThePortsOfClients(t *testing.T) {
	for range 100 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if port < 15000 || port >= 32000 {
			t.Fatalf("port %d", port)
		}
	}
}
