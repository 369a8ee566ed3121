package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// slow is an import whose export comes through a pipe.
type slow struct {
	*exec.Cmd
	said  *transcript
	ended chan struct{}
}

func startImport(t *testing.T, s *server, path string, stdin io.Reader) *slow {
	t.Helper()
	c := &slow{
		Cmd:  exec.Command(binary, "import", "--map", pspMapping, "--server", s.URL, "--ledger", "brand-eu", "--batch", "3", path),
		said: newTranscript(), ended: make(chan struct{}),
	}
	c.Env, c.Stdin, c.Stdout, c.Stderr = environment(), stdin, c.said, c.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Wait() // the exit code is in ProcessState
		close(c.ended)
	}()
	t.Cleanup(func() { _ = c.Process.Kill(); <-c.ended })
	return c
}

// wantInterrupted sends what ctrl-C does, and wants a prompt end.
func (c *slow) wantInterrupted(t *testing.T, words string) {
	t.Helper()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatalf("it is still there: %s", c.said)
	}
	if code := c.ProcessState.ExitCode(); code != 1 || !strings.Contains(c.said.String(), words) {
		t.Errorf("exit code %d, want 1 and %q: %s", code, words, c.said)
	}
}

// booked waits until the first row is in the books, so that the import waits for the second.
func booked(t *testing.T, s *server) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		a, err := s.client().Account(t.Context(), ledger.Ref{Ledger: "brand-eu", Account: "merchant:42:eur"}, time.Time{})
		switch {
		case err == nil && a.Sequence == 2:
			return
		case err != nil && !errors.Is(err, errs.ErrAccountNotFound):
			t.Fatal(err)
		case time.Now().After(deadline):
			t.Fatal("the first row does not arrive")
		}
	}
}

func TestImport_EndsOnInterruptThoughNothingComes(t *testing.T) {
	header, rest, _ := strings.Cut(payouts, "\n")
	row, _, _ := strings.Cut(rest, "\n")
	begin := header + "\n" + row + "\n"
	t.Run("standard input", func(t *testing.T) {
		s := serving(t, postgres(t).URL)
		s.furnish(t)
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close() // open to the end: no end of file comes to help
		c := startImport(t, s, "-", out)
		_ = out.Close()
		if _, err := io.WriteString(in, begin); err != nil {
			t.Fatal(err)
		}
		booked(t, s)
		c.wantInterrupted(t, "interrupted after line 2")
	})
	t.Run("a named pipe", func(t *testing.T) {
		s := serving(t, postgres(t).URL)
		s.furnish(t)
		path := fifo(t)
		c := startImport(t, s, path, nil)
		in, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for its reader
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if _, err := io.WriteString(in, begin); err != nil {
			t.Fatal(err)
		}
		booked(t, s)
		c.wantInterrupted(t, "interrupted after line 2")
	})
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export.csv")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	return path
}

func TestImport_ReadsStandardInput(t *testing.T) {
	s := serving(t, postgres(t).URL)
	s.furnish(t)
	c := startImport(t, s, "-", strings.NewReader(payouts))
	<-c.ended
	if code := c.ProcessState.ExitCode(); code != 0 || !strings.Contains(c.said.String(), "4 rows: 3 posted") {
		t.Errorf("exit code %d: %s", code, c.said)
	}
}

// A pipe that nobody writes to: not even the opening returns.
func TestOpenExport_EndsBeforeAnybodyWrites(t *testing.T) {
	path := fifo(t)
	ctx, cancel := context.WithCancel(t.Context())
	file, err := openExport(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cancel()
	if _, err := file.Read(make([]byte, 1)); !errors.Is(err, ctx.Err()) {
		t.Errorf("Read = %v, want %v", err, ctx.Err())
	}
	release, err := os.OpenFile(path, os.O_RDWR, 0) // let the opening go
	if err != nil {
		t.Fatal(err)
	}
	_ = release.Close()
}
