//go:build unix && !linux

package cluster

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// tieBeforeStart has nothing to do where the kernel knows no parent-death signal.
func tieBeforeStart(*exec.Cmd, syscall.Signal) {}

// tieAfterStart leaves the signal to a watchdog.
func tieAfterStart(pid int, orphan syscall.Signal) (untie func(), err error) {
	return watch(pid, orphan)
}

// children returns the ids of the direct children of a process.
func children(parent int) []int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output() //nolint:gosec // G204: a number
	if err != nil {
		return nil // no child, or no pgrep: then they end by themselves once they notice the parent's death
	}
	var found []int
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
