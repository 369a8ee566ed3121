package cluster

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"
)

// cockroachVersion is the release that is downloaded: a long-term support one, so that everybody gets the same.
const cockroachVersion = "v25.4.14"

// cockroachPlatforms are the names that the official archives give to the platforms.
var cockroachPlatforms = map[string]string{
	"linux/amd64":  "linux-amd64",
	"linux/arm64":  "linux-arm64",
	"darwin/amd64": "darwin-10.9-amd64",
	"darwin/arm64": "darwin-11.0-arm64",
}

// download fetches the official CockroachDB archive. It does not go through cockroach-go's testserver, which takes no
// context, logs to the standard logger, waits without end for a lock and panics on a platform it does not know.
type download struct {
	from   string        // "https://binaries.cockroachdb.com"
	cache  string        // directory of the binaries, kept between runs
	answer time.Duration // to the first byte of an answer: what a machine without a network loses
	stall  time.Duration // without a single byte
	whole  time.Duration
}

// officialDownload is where CockroachDB comes from and what waiting for it may take.
func officialDownload() (download, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return download{}, fmt.Errorf("find a place for downloads: %w", err)
	}
	return download{
		from: "https://binaries.cockroachdb.com", cache: filepath.Join(cache, "meridian"),
		answer: 4 * time.Second, stall: 15 * time.Second, whole: 5 * time.Minute,
	}, nil
}

// binary is where the program is once it was downloaded.
func (d download) binary() string {
	return filepath.Join(d.cache, "cockroach-"+cockroachVersion)
}

// cached returns the binary of an earlier download, if there is one.
func (d download) cached() (string, bool) {
	info, err := os.Stat(d.binary())
	return d.binary(), err == nil && info.Mode().IsRegular()
}

// fetch downloads the program and returns where it is. However it ends, no partial file is left; one that a killed
// process left is removed by the next.
func (d download) fetch(ctx context.Context, progress func(string)) (string, error) {
	platform, ok := cockroachPlatforms[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("there is no official CockroachDB for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	address := fmt.Sprintf("%s/cockroach-%s.%s.tgz", d.from, cockroachVersion, platform)
	ctx, cancel := context.WithTimeoutCause(ctx, d.whole, fmt.Errorf("it took longer than %s", d.whole))
	defer cancel()
	ctx, watch := newPatience(ctx, d.answer)
	defer watch.end()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var failed *url.Error // its text repeats the method and the address
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return "", fmt.Errorf("download %s: %w", address, causeOr(ctx, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("download %s: %s", address, resp.Status)
	}
	progress(fmt.Sprintf("CockroachDB: downloading %s (%d MB), kept in %s", cockroachVersion, max(0, resp.ContentLength)>>20, d.cache))
	watch.limit = d.stall
	if err := d.install(watch.reader(resp.Body)); err != nil {
		return "", fmt.Errorf("download %s: %w", address, causeOr(ctx, err))
	}
	return d.binary(), nil
}

// install unpacks the program next to its place and moves it there in one step.
func (d download) install(archive io.Reader) error {
	if err := os.MkdirAll(d.cache, 0o750); err != nil {
		return err
	}
	d.removeStale()
	file, err := os.CreateTemp(d.cache, "cockroach-*.part")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails after the move, as it should
	err = errors.Join(unpack(archive, file), file.Chmod(0o755), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), d.binary())
}

// removeStale removes what downloads left that were killed: everything older than a download can be.
func (d download) removeStale() {
	parts, _ := filepath.Glob(filepath.Join(d.cache, "cockroach-*.part"))
	for _, part := range parts {
		if info, err := os.Stat(part); err == nil && time.Since(info.ModTime()) > d.whole {
			_ = os.Remove(part)
		}
	}
}

// unpack copies the program out of the archive, and reads the archive to its end so that its checksum is verified.
func unpack(archive io.Reader, to io.Writer) error {
	zipped, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	const most = 2 << 30 // five times what a release unpacks to
	unzipped := io.LimitReader(zipped, most)
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("unpack: no program cockroach in the archive")
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if header.Typeflag != tar.TypeReg || path.Base(header.Name) != "cockroach" {
			continue
		}
		if _, err := io.CopyN(to, files, header.Size); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if _, err := io.Copy(io.Discard, unzipped); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		return nil
	}
}

// patience cancels a context when nothing has been heard for a while.
type patience struct {
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// newPatience allows limit until the first byte; limit may be set to another duration before the next.
func newPatience(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &patience{limit: limit, cancel: cancel}
	p.timer = time.AfterFunc(limit, func() { cancel(errors.New("the other side stays silent")) })
	return ctx, p
}

func (p *patience) end() {
	p.timer.Stop()
	p.cancel(nil)
}

// reader returns r, with patience renewed by each byte that arrives.
func (p *patience) reader(r io.Reader) io.Reader {
	p.timer.Reset(p.limit)
	return readerFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if n > 0 {
			p.timer.Reset(p.limit)
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// causeOr prefers the reason a context was cancelled for over the error that came of it.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
