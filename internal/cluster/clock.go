package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// clock lets one process see another time than the machine, by the library libfaketime (Debian: faketime), which answers its questions for the
// time from a file. Only programs that ask the C library can be deceived: PostgreSQL is one, Go programs ask the kernel.
type clock struct {
	library string
	file    string
	ahead   time.Duration
}

// fakeTime is where distributions put the library.
var fakeTime = []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1", "/usr/lib64/faketime/libfaketime.so.1"}

// newClock returns a clock that agrees with the machine's, or ErrUnsupported with what to install.
func newClock(dir string) (*clock, error) {
	for _, pattern := range fakeTime {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			continue
		}
		c := &clock{library: found[0], file: filepath.Join(dir, "clock")}
		return c, c.jump(0)
	}
	return nil, fmt.Errorf("%w without libfaketime: install the package faketime", ErrUnsupported)
}

// environment of the process.
func (c *clock) environment() []string {
	if c == nil {
		return nil
	}
	return []string{
		"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.file, "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1", // timers go on as they were
	}
}

// jump moves the clock. The file is replaced as a whole: it is read at any time.
func (c *clock) jump(by time.Duration) error {
	c.ahead += by
	text := fmt.Sprintf("%+.3f\n", c.ahead.Seconds())
	if err := os.WriteFile(c.file+".new", []byte(text), 0o644); err != nil { //nolint:gosec // G306: another user's process reads it
		return fmt.Errorf("set the clock: %w", err)
	}
	return os.Rename(c.file+".new", c.file)
}
