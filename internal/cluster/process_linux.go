package cluster

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// tieBeforeStart has the kernel send the signal to the process when the thread that starts it ends, which startAndReap
// makes the same as: when we die. It is set after the change of user, which would clear it.
func tieBeforeStart(cmd *exec.Cmd, orphan syscall.Signal) { cmd.SysProcAttr.Pdeathsig = orphan }

// tieAfterStart has nothing left to do on Linux.
func tieAfterStart(int, syscall.Signal) (untie func(), err error) { return func() {}, nil }

// children returns the ids of the direct children of a process.
func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat) //nolint:gosec // G304: a name that the kernel gave
		if err != nil {
			continue // it has just ended
		}
		// "pid (command) state ppid …", where the command may hold spaces and parentheses itself.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
