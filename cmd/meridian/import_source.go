package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// export is the file that is imported.
type export struct {
	io.ReadCloser
	size int64 // bytes; 0: not known
}

// openExport opens the file at path; "-" is standard input.
func openExport(ctx context.Context, path string, stdin io.Reader) (export, error) {
	if path == "-" {
		return export{ReadCloser: interruptible(ctx, func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil })}, nil
	}
	open := func() (io.ReadCloser, error) { return os.Open(path) } //nolint:gosec // the operator names the file
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return export{}, fmt.Errorf("read the export: %w", err)
	case !info.Mode().IsRegular():
		return export{ReadCloser: interruptible(ctx, open)}, nil
	}
	file, err := open()
	if err != nil {
		return export{}, fmt.Errorf("read the export: %w", err)
	}
	return export{file, info.Size()}, nil
}

// interruptible reads what may wait for ever, a pipe or a terminal, so that the end of ctx ends the reading. Nothing ends a read, or the
// opening of a pipe that nobody writes to, in every case: it is left behind, and goes with the process.
func interruptible(ctx context.Context, open func() (io.ReadCloser, error)) io.ReadCloser {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	go func() {
		source, err := open()
		if err != nil {
			_ = in.CloseWithError(err)
			return
		}
		defer source.Close()
		_, err = io.Copy(in, source)
		_ = in.CloseWithError(err) // nil is the end of the file
	}()
	return out
}
