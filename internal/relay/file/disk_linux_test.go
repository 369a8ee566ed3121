package file

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

func TestDeliver_DiskIsFull(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("SKIPPED: a small disk can not be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	all := overMidnight(t, 400)
	for _, f := range bothFormats {
		s := newSink(t, root, f)
		deliver(t, s, all[:5])
		filler := filepath.Join(root, "filler")
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as far as it goes
		failed(t, s, all, 0, sink.Down, "disk", "the disk is full")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		once(t, root, f, all[:5]) // and nothing unfinished
		if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
			t.Fatal(err)
		}
		deliver(t, s, all)
		once(t, root, f, all)
		if err := os.RemoveAll(filepath.Join(root, "out")); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT, "size=128k"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeliver_MayNotWrite(t *testing.T) {
	root := t.TempDir()
	if os.Geteuid() == 0 { // who may write anywhere, save where nobody may
		if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
			t.Skipf("SKIPPED: a disk that is for reading alone can not be mounted here: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	} else if err := os.Chmod(root, 0o500); err != nil {
		t.Fatal(err)
	}
	failed(t, newSink(t, root, Parquet), overMidnight(t, 4), 0, sink.Down, "disk", "may not write")
}
