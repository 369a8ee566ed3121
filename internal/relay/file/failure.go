package file

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// unreadableError is a whole file that can not be read: whether it has an event is not known.
type unreadableError struct {
	name string
	err  error
}

func (e *unreadableError) Error() string { return e.name + ": " + e.err.Error() }

func (e *unreadableError) Unwrap() error { return e.err }

// malformedError is an event whose data does not fit the columns.
type malformedError struct {
	position event.Position
	err      error
}

func (e *malformedError) Error() string { return e.err.Error() }

func (e *malformedError) Unwrap() error { return e.err }

// failure says what an error means: nearly always something about the disk, and so about every event.
func (s *Sink) failure(ctx context.Context, err error) *sink.Error {
	down := func(cause, detail string) *sink.Error {
		return sink.NewDown(cause, s.settings.Directory+": "+detail, err)
	}
	var (
		unreadable *unreadableError
		malformed  *malformedError
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return sink.NewCanceled(err)
	case errors.Is(err, context.DeadlineExceeded):
		return down("timeout", "the disk is too slow for the batch: make it smaller")
	case errors.As(err, &malformed):
		return &sink.Error{Verdict: sink.Poison, Cause: "unreadable", Detail: "the event does not fit the columns of the files", Err: err}
	case errors.As(err, &unreadable):
		return down("unreadable", unreadable.name+" can not be read, so whether events are in it is not known: move it away")
	case errors.Is(err, errLocked):
		return down("unavailable", "another process writes there")
	case errors.Is(err, errSymlink):
		return down("settings", "a symbolic link is in the way, and none is followed")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return down("disk", "the disk is full, or the quota is used up")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return down("disk", "the server may not write there")
	case errors.Is(err, fs.ErrNotExist):
		return down("disk", "the directory for files does not exist")
	case errors.Is(err, syscall.EFBIG):
		return down("disk", "a file is larger than the system allows: make the batch smaller")
	}
	return down("disk", "the files can not be written")
}
