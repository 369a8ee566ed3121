package drill

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/drill/evidence"
)

// machine says on what the drill runs. What the system does not tell stays empty.
func machine() evidence.Environment {
	e := evidence.Environment{Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Regions: []evidence.Region{}, RTTs: []evidence.RTT{}}
	e.CPU = field("/proc/cpuinfo", "model name")
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		e.MemoryBytes = kib << 10
	}
	return e
}

// field returns what a file of the kernel says of a name, as in "MemTotal:  16 kB".
func field(file, name string) string {
	f, err := os.Open(file) //nolint:gosec // G304: two files of the kernel
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
