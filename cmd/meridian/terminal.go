package main

import (
	"io"
	"os"
)

// terminal tells whether a person watches: progress that overwrites itself and bold letters are for them alone.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// The looks of text on a terminal.
const (
	bold  = "1"
	green = "1;32"
	red   = "1;31"
)

// styled gives text a look where a person watches.
func styled(w io.Writer, look, text string) string {
	if !terminal(w) {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}
