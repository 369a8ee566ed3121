package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mountSmall mounts a file system in memory of so many bytes on dir.
func mountSmall(dir string, bytes int64) error {
	options := fmt.Sprintf("size=%d,mode=%o", bytes, homeMode())
	if err := syscall.Mount("meridian", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, options); err != nil {
		return fmt.Errorf("%w: mount %d bytes on %s: %w", ErrNoSmallDisk, bytes, dir, err)
	}
	return nil
}

// unmountBelow takes away what mountSmall mounted in dir, also when another process did that and died. Who is not root has mounted nothing.
func unmountBelow(dir string) {
	if os.Geteuid() != 0 {
		return
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for line := range strings.Lines(string(text)) {
		const point = 4 // id, parent, device, root, mount point
		fields := strings.Fields(line)
		if len(fields) > point && strings.HasPrefix(fields[point], dir+"/") {
			_ = syscall.Unmount(fields[point], syscall.MNT_DETACH)
		}
	}
}
