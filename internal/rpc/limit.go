package rpc

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// MaxBody is the most that a request may have, as it comes and after decompression, in bytes.
const MaxBody = 4 << 20

// envelope is what gRPC puts in front of a message.
const envelope = 5

// errTooLarge is an error of the client's, and so invalid_argument: Connect's own limit would answer resource_exhausted, which
// tells a client to try again.
func errTooLarge() error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the request has more than %d bytes", MaxBody))
}

// limited refuses what is larger than MaxBody while it is read.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &boundedReader{ReadCloser: r.Body, left: MaxBody + envelope}
		}
		next.ServeHTTP(w, r)
	})
}

type boundedReader struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, errTooLarge()
	}
	return n, err
}

// boundedGzip decompresses no further than MaxBody: a kilobyte can unpack to a gigabyte.
type boundedGzip struct {
	gzip.Reader
	left int64
}

func newDecompressor() connect.Decompressor { return &boundedGzip{} }

func newCompressor() connect.Compressor { return gzip.NewWriter(io.Discard) }

// Reset implements connect.Decompressor.
func (g *boundedGzip) Reset(r io.Reader) error {
	g.left = MaxBody
	return g.Reader.Reset(r)
}

// Read implements io.Reader.
func (g *boundedGzip) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	g.left -= int64(n)
	if g.left < 0 {
		return 0, errTooLarge()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the compressed body is broken"))
	}
	return n, err
}
