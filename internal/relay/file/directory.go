package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

const (
	lockName   = ".lock"
	lockWithin = 5 * time.Second
	lockEvery  = 20 * time.Millisecond
)

var (
	errSymlink = errors.New("a symbolic link is in the way")
	errLocked  = errors.New("another process writes there")
)

// open makes the directory of the settings and opens it. No link on the way is followed; os.Root keeps everything below the root, whatever
// becomes of names meanwhile.
func (s *Sink) open() (*os.Root, error) {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := makeDirectory(root, s.settings.Directory); err != nil {
		return nil, err
	}
	return root.OpenRoot(s.settings.Directory)
}

// makeDirectory makes a path, and syncs the directory above each new name.
func makeDirectory(root *os.Root, dir string) error {
	above := "."
	for name := range strings.SplitSeq(dir, "/") {
		here := path.Join(above, name)
		info, err := root.Lstat(here)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := root.Mkdir(here, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := syncDirectory(root, above); err != nil {
				return err
			}
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s: %w", here, errSymlink)
		case !info.IsDir():
			return &fs.PathError{Op: "mkdir", Path: here, Err: fs.ErrExist}
		}
		above = here
	}
	return nil
}

func syncDirectory(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// write puts messages of one part where they belong, those that are not there yet.
func (s *Sink) write(ctx context.Context, base *os.Root, p part, messages []sink.Message) error {
	home := "home=" + string(p.home)
	if p.test {
		return s.try(base, messages)
	}
	if err := makeDirectory(base, path.Join(home, "date="+p.date)); err != nil {
		return err
	}
	unlock, err := lock(ctx, base, path.Join(home, lockName))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.sweep(base, p.home); err != nil {
		return err
	}
	dir := path.Join(home, "date="+p.date)
	missing, err := s.missing(base, dir, messages)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := s.writeFile(base, dir, spanOf(missing).name(s.settings.Format), missing); err != nil {
			return err
		}
	}
	// Also where all was there: who wrote it may have died before the name was on the disk.
	return syncDirectory(base, dir)
}

// missing returns the messages that no file of the directory has.
func (s *Sink) missing(base *os.Root, dir string, messages []sink.Message) ([]sink.Message, error) {
	entries, err := fs.ReadDir(base.FS(), dir)
	if err != nil {
		return nil, err
	}
	wanted := make(map[event.Position]bool, len(messages))
	for _, m := range messages {
		wanted[m.Position] = true
	}
	all := spanOf(messages)
	for _, entry := range entries {
		has, ok := parseName(entry.Name(), s.settings.Format)
		if !ok || has.last < all.first || has.first > all.last {
			continue
		}
		positions, err := readPositions(base, path.Join(dir, entry.Name()), s.settings.Format)
		if err != nil {
			return nil, &unreadableError{path.Join(dir, entry.Name()), err}
		}
		for _, p := range positions {
			delete(wanted, p)
		}
	}
	missing := make([]sink.Message, 0, len(wanted))
	for _, m := range messages {
		if wanted[m.Position] {
			delete(wanted, m.Position) // one that is twice in a batch is written once
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// writeFile makes a file that is there whole or not at all. None is replaced: one of the same name would have its first and last position.
func (s *Sink) writeFile(base *os.Root, dir, name string, messages []sink.Message) error {
	temporary := path.Join(dir, hidden(name))
	if err := s.writeSynced(base, temporary, messages); err != nil {
		_ = base.Remove(temporary) // the next writer sweeps what is left
		return err
	}
	return base.Rename(temporary, path.Join(dir, name))
}

func (s *Sink) writeSynced(base *os.Root, name string, messages []sink.Message) error {
	if err := ignoreMissing(base.Remove(name)); err != nil {
		return err
	}
	f, err := base.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.settings.Format.encode(f, messages); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// try writes a test and removes it: analysts' files hold the journal alone.
func (s *Sink) try(base *os.Root, messages []sink.Message) error {
	name := ".test-" + messages[0].ID() + ".tmp"
	err := s.writeSynced(base, name, messages)
	return errors.Join(err, ignoreMissing(base.Remove(name)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes what writers that died have left, once in the life of the sink. The lock is held: nobody else writes.
func (s *Sink) sweep(base *os.Root, home id.Home) error {
	if s.swept[home] {
		return nil
	}
	leftovers, err := fs.Glob(base.FS(), "home="+string(home)+"/date=*/.*.tmp")
	if err != nil {
		return err
	}
	for _, name := range leftovers {
		if isHidden(path.Base(name)) {
			if err := ignoreMissing(base.Remove(name)); err != nil {
				return err
			}
			s.log.Info("removed a file that was not finished", "sink", s, "file", name)
		}
	}
	s.swept[home] = true
	return nil
}

// lock waits a while for other writers. The lock ends with the process, however that ends.
func lock(ctx context.Context, base *os.Root, name string) (unlock func(), err error) {
	f, err := base.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(lockWithin)
	defer deadline.Stop()
	again := time.NewTicker(lockEvery)
	defer again.Stop()
	for {
		free, err := tryLock(f)
		if free {
			return func() { _ = f.Close() }, nil
		}
		if err == nil {
			select {
			case <-again.C:
				continue
			case <-deadline.C:
				err = errLocked
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		_ = f.Close()
		return nil, err
	}
}
