package cluster

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// watch starts a shell that sends the signal to pid when we die, by whatever cause: it reads from a pipe that only we can
// write to, so it reads the end of the file at that moment. This is what ties an engine to us where the kernel does not.
func watch(pid int, orphan syscall.Signal) (unwatch func(), err error) {
	const script = `read -r line; kill -"$1" "$2"`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", strconv.Itoa(int(orphan)), strconv.Itoa(pid)) //nolint:gosec // G204: two numbers
	// ctrl-C must not take the watchdog before the engine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a watchdog: %w", err)
	}
	return func() {
		_ = cmd.Process.Kill() // before its pipe closes: pid may belong to somebody else by now
		_ = cmd.Wait()
		_ = pipe.Close()
	}, nil
}
