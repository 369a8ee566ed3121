package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// temporaryPrefix marks our directories among those of others in the system's temporary directory.
const temporaryPrefix = "meridian-engine-"

// home is the private directory of one engine. The lock in it is held for as long as the engine may run; a temporary
// directory whose lock is free belonged to a process that died, and is removed by the next one that comes along.
type home struct {
	dir       string
	temporary bool
	lock      *os.File
}

// openHome opens dir, or a new temporary directory where dir is empty, for us alone.
func openHome(dir string) (*home, error) {
	h := &home{dir: dir, temporary: dir == ""}
	var err error
	if h.temporary {
		sweep(os.TempDir())
		h.dir, err = os.MkdirTemp("", temporaryPrefix)
	} else {
		h.dir, err = filepath.Abs(dir)
		if err == nil {
			err = os.MkdirAll(h.dir, homeMode())
		}
	}
	if err == nil && h.temporary {
		err = os.Chmod(h.dir, homeMode())
	}
	if err != nil {
		return nil, fmt.Errorf("create the engine's directory: %w", err)
	}
	if err := h.acquire(); err != nil {
		return nil, fmt.Errorf("take the engine's directory %s: %w", h.dir, err)
	}
	return h, nil
}

// homeMode lets root's engine pass through the directory as another user; the directories of data inside are closed.
func homeMode() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// acquire takes the lock. A temporary directory shows its lock file only once it is locked, so that no sweep in between
// takes it for a dead one.
func (h *home) acquire() error {
	path := filepath.Join(h.dir, "lock")
	opened := path
	if h.temporary {
		opened += ".new"
	}
	lock, err := os.OpenFile(opened, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: in the directory that was asked for
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path) //nolint:gosec // G304: in the directory that was asked for
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("process %s uses it already", strings.TrimSpace(string(owner)))
		}
		return err
	}
	err = lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err == nil && h.temporary {
		err = os.Rename(opened, path)
	}
	if err != nil {
		_ = lock.Close()
		return err
	}
	h.lock = lock
	return nil
}

// close gives the directory up, and removes it if it was temporary.
func (h *home) close() error {
	defer h.lock.Close()
	unmountBelow(h.dir)
	if !h.temporary {
		return nil
	}
	if err := os.RemoveAll(h.dir); err != nil {
		return fmt.Errorf("remove the engine's directory: %w", err)
	}
	return nil
}

// sweep removes temporary directories of ours whose owner died before it could. Whatever cannot be removed stays for the
// next sweep: this is tidiness, not correctness.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, temporaryPrefix+"*"))
	for _, dir := range dirs {
		// In a directory that everybody may write to, only a real directory of our own user is ours.
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0) //nolint:gosec // G304: in a directory of our own user, see above
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			unmountBelow(dir)
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}
