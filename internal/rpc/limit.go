package rpc

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"

	"connectrpc.com/connect"
)

// MaxBody is the most that a request may have, as it comes and after decompression, in bytes.
const MaxBody = 4 << 20

// envelope is what gRPC puts in front of a message.
const envelope = 5

// errTooLarge is an error of the client's, and so invalid_argument: Connect's own limit would answer resource_exhausted, which
// tells a client to try again.
func errTooLarge() error { return malformed(bodyField, tooLarge) }

var tooLarge = fmt.Sprintf("the request has more than %d bytes", MaxBody)

// boundedReader refuses what is larger than MaxBody while it is read.
type boundedReader struct {
	io.ReadCloser
	left int64
	// frames follows the messages of gRPC; nil where the body is the message.
	frames *frames
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
	if b.frames != nil {
		if wrong := b.frames.see(p[:n], errors.Is(err, io.EOF)); wrong != "" {
			return 0, malformed(bodyField, wrong)
		}
	}
	if timeout := net.Error(nil); err == nil || errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout() {
		return n, err
	}
	return n, malformed(bodyField, "the body ends too early")
}

// boundedGzip decompresses no further than MaxBody: a kilobyte can unpack to a gigabyte.
type boundedGzip struct {
	gzip.Reader
	left   int64
	broken bool // not even a header
}

func newDecompressor() connect.Decompressor { return &boundedGzip{} }

// newCompressor prefers speed: the answer to a batch of 500 is 150 kB, and the processor time of the default level is a tenth of the batch's.
func newCompressor() connect.Compressor {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic("gzip knows its own levels: " + err.Error())
	}
	return w
}

// Reset implements connect.Decompressor.
func (g *boundedGzip) Reset(r io.Reader) error {
	g.left = MaxBody
	g.broken = g.Reader.Reset(r) != nil // Read says so: Connect would wrap an error of Reset
	return nil
}

// Close implements connect.Decompressor.
func (g *boundedGzip) Close() error {
	if g.broken {
		return nil
	}
	return g.Reader.Close()
}

// Read implements io.Reader.
func (g *boundedGzip) Read(p []byte) (int, error) {
	if g.broken {
		return 0, malformed(bodyField, "the compressed body is broken")
	}
	n, err := g.Reader.Read(p)
	g.left -= int64(n)
	if g.left < 0 {
		return 0, errTooLarge()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, malformed(bodyField, "the compressed body is broken")
	}
	return n, err
}
