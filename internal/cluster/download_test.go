package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// archiveOf packs one file as the official archives do.
func archiveOf(t *testing.T, name, content string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	files := tar.NewWriter(zipped)
	err := files.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = files.Write([]byte(content))
	}
	if err := errors.Join(err, files.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// downloadFrom is a download from a server that behaves as the test wants.
func downloadFrom(t *testing.T, serve http.HandlerFunc) download {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return download{from: server.URL, cache: t.TempDir(), answer: 500 * time.Millisecond, stall: 500 * time.Millisecond, whole: time.Minute}
}

func TestDownload_InstallsAProgramThatRuns(t *testing.T) {
	packed := archiveOf(t, "cockroach-v0.linux-amd64/cockroach", "#!/bin/sh\necho it runs\n")
	var asked string
	d := downloadFrom(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		_, _ = w.Write(packed)
	})
	stale := filepath.Join(d.cache, "cockroach-1.part")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(stale, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}

	bin, err := d.fetch(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin).Output(); err != nil || string(out) != "it runs\n" {
		t.Errorf("the program says %q (%v)", out, err)
	}
	if !strings.HasPrefix(asked, "/cockroach-"+cockroachVersion+".") || !strings.HasSuffix(asked, ".tgz") {
		t.Errorf("asked for %s", asked)
	}
	if cached, ok := d.cached(); !ok || cached != bin {
		t.Errorf("the next run does not find it: %s %t", cached, ok)
	}
	onlyIn(t, d.cache, filepath.Base(bin))
}

func TestDownload_FailsWithinItsPatienceAndLeavesNothing(t *testing.T) {
	packed := archiveOf(t, "x/cockroach", strings.Repeat("0123456789abcdef", 1<<16))
	half := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
		_, _ = w.Write(packed[:len(packed)/2])
		w.(http.Flusher).Flush()
	}
	tests := []struct {
		name  string
		serve http.HandlerFunc
		want  string
	}{
		{"no such release", http.NotFound, "404"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "stays silent"},
		{"stalls", func(w http.ResponseWriter, r *http.Request) { half(w); <-r.Context().Done() }, "stays silent"},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) { half(w); panic(http.ErrAbortHandler) }, "unexpected EOF"},
		{"a web page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in</html>")) }, "gzip"},
		{"something else", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archiveOf(t, "x/README", "hello")) }, "no program cockroach"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := downloadFrom(t, tt.serve)
			begin := time.Now()
			_, err := d.fetch(t.Context(), func(string) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			onlyIn(t, d.cache)
		})
	}
}

func TestDownload_EndsWithItsCaller(t *testing.T) {
	d := downloadFrom(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	d.answer = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := d.fetch(ctx, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestDownload_OfflineCostsFiveSecondsAtMost(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	d, err := officialDownload()
	if err != nil {
		t.Fatal(err)
	}
	// A network that swallows packets; 192.0.2.0/24 is reserved for documentation, so nobody answers.
	d.from = "http://192.0.2.1"
	begin := time.Now()
	if _, err := d.fetch(t.Context(), func(string) {}); err == nil {
		t.Error("somebody answered")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// onlyIn fails unless the directory holds exactly these names.
func onlyIn(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
