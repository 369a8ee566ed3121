package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Wire is an HTTP/1.1 client for cleartext servers that costs a generator little: the goroutine that calls writes the request and reads the
// answer itself, on a connection that it has alone until then. net/http's own client hands each call through two more goroutines, which
// on a small machine takes more of the processor than the server has left. It is safe for concurrent use.
type Wire struct {
	mu   sync.Mutex
	idle map[string][]*wireConn // by address, the latest used last
}

type wireConn struct {
	net.Conn
	in  *bufio.Reader
	out []byte // the request on its way, kept for the next
}

// NewWire returns a client without connections.
func NewWire() *Wire { return &Wire{idle: map[string][]*wireConn{}} }

// Do implements connect.HTTPClient.
func (w *Wire) Do(req *http.Request) (*http.Response, error) {
	conn, err := w.take(req)
	if err != nil {
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	stop := context.AfterFunc(req.Context(), func() { _ = conn.Close() })
	resp, err := conn.exchange(req)
	if err != nil {
		stop()
		_ = conn.Close()
		if cause := req.Context().Err(); cause != nil {
			err = cause
		}
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	resp.Body = &wireBody{ReadCloser: resp.Body, done: func(whole bool) {
		if !stop() || !whole || resp.Close {
			_ = conn.Close()
			return
		}
		w.give(req.URL.Host, conn)
	}}
	return resp, nil
}

// exchange sends the request in one piece. http.Request.Write would send the header first, for fear that the body is not there yet, and wake
// the server up twice.
func (c *wireConn) exchange(req *http.Request) (*http.Response, error) {
	c.out = append(c.out[:0], req.Method+" "+req.URL.RequestURI()+" HTTP/1.1\r\nHost: "+req.URL.Host+"\r\n"...)
	for name, values := range req.Header {
		for _, value := range values {
			c.out = append(c.out, name+": "+value+"\r\n"...)
		}
	}
	c.out = append(strconv.AppendInt(append(c.out, "Content-Length: "...), req.ContentLength, 10), "\r\n\r\n"...)
	if req.ContentLength > 0 {
		head := len(c.out)
		c.out = append(c.out, make([]byte, req.ContentLength)...)
		if _, err := io.ReadFull(req.Body, c.out[head:]); err != nil {
			return nil, err
		}
	}
	if req.Body != nil {
		if err := req.Body.Close(); err != nil {
			return nil, err
		}
	}
	if _, err := c.Write(c.out); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, req)
}

func (w *Wire) take(req *http.Request) (*wireConn, error) {
	if req.URL.Scheme != "http" || req.ContentLength < 0 {
		return nil, fmt.Errorf("%s %s: only http is spoken here, with bodies whose length is known", req.Method, req.URL)
	}
	w.mu.Lock()
	if idle := w.idle[req.URL.Host]; len(idle) > 0 {
		conn := idle[len(idle)-1]
		w.idle[req.URL.Host] = idle[:len(idle)-1]
		w.mu.Unlock()
		return conn, nil
	}
	w.mu.Unlock()
	dialer := net.Dialer{Timeout: 3 * time.Second}
	conn, err := dialer.DialContext(req.Context(), "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, in: bufio.NewReader(conn)}, nil
}

func (w *Wire) give(address string, conn *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle[address] = append(w.idle[address], conn)
}

// wireBody gives the connection back when the body was read to its end, and closes it where the caller went away before.
type wireBody struct {
	io.ReadCloser
	ended bool
	done  func(whole bool)
}

// Read implements io.Reader.
func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close implements io.Closer.
func (b *wireBody) Close() error {
	if b.done == nil {
		return nil
	}
	done := b.done
	b.done = nil
	if !b.ended { // a body whose length is known ends without another read
		n, err := io.Copy(io.Discard, b.ReadCloser)
		b.ended = err == nil && n == 0
	}
	done(b.ended)
	return nil
}
