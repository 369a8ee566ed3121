//go:build unix && !linux

package cluster

import "fmt"

// mountSmall is not to be had without a memory file system that the kernel mounts.
func mountSmall(string, int64) error {
	return fmt.Errorf("%w: only Linux mounts one in memory", ErrNoSmallDisk)
}

// unmountBelow has nothing to do where nothing was mounted.
func unmountBelow(string) {}
