package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Changefeed takes what a changefeed of CockroachDB posts, and returns when it is safe. Package feed implements it.
type Changefeed interface {
	Take(ctx context.Context, body []byte) error
}

// CDC is the endpoint of changefeeds.
type CDC struct {
	Feed Changefeed
	// Authorization is the whole value of the header that a request must have; it is never shown.
	Authorization string
	// MaxBody bounds a body, in bytes.
	MaxBody int64
}

// PathCDC is where changefeeds post to.
const PathCDC = "/cdc/v1/webhook"

// Bounds of the endpoint. A changefeed gives up after webhook_client_timeout and posts again; what was appended by then stays.
const (
	cdcParallel = 16
	cdcPatience = 8 * time.Second
	warnEvery   = 10 * time.Second
)

// cdc answers changefeeds: 200 once all rows of the body are in the stream, and anything else makes them post it again, for ever: 401 without the
// right header, 400 and 413 for what nobody understands, 503 for what may be over soon.
type cdc struct {
	CDC
	want [sha256.Size]byte
	busy chan struct{}
	log  *slog.Logger

	mu     sync.Mutex
	warned time.Time
}

// withCDC puts the endpoint in front of a handler. Changefeeds speak plain HTTP with bodies of their own size, so that what guards the services
// does not look at them.
func withCDC(o *CDC, log *slog.Logger, next http.Handler) http.Handler {
	if o == nil {
		return next
	}
	c := &cdc{CDC: *o, want: sha256.Sum256([]byte(o.Authorization)), busy: make(chan struct{}, cdcParallel), log: log}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != PathCDC {
			next.ServeHTTP(w, r)
			return
		}
		c.serve(w, r)
	})
}

// serve looks at the header before it reads a byte of the body.
func (c *cdc) serve(w http.ResponseWriter, r *http.Request) {
	sent := sha256.Sum256([]byte(r.Header.Get("Authorization"))) // of one length, so that comparing takes one time
	switch {
	case c.Authorization == "" || len(r.Header.Values("Authorization")) != 1 || subtle.ConstantTimeCompare(sent[:], c.want[:]) != 1:
		c.refuse(w, http.StatusUnauthorized, "the Authorization header is not the one of --cdc-webhook-token-file")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		c.refuse(w, http.StatusMethodNotAllowed, "changefeeds post")
		return
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		c.refuse(w, http.StatusUnsupportedMediaType, "leave the option compression of the changefeed out")
		return
	}
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	default:
		c.refuse(w, http.StatusServiceUnavailable, "too many at once")
		return
	}
	c.take(w, r)
}

func (c *cdc) take(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if _, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, c.MaxBody)); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			c.refuse(w, http.StatusRequestEntityTooLarge, "set Flush.Bytes of webhook_sink_config")
			return
		}
		c.refuse(w, http.StatusBadRequest, "the body ended early")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), cdcPatience)
	defer cancel()
	err := c.Feed.Take(ctx, body.Bytes())
	switch {
	case err == nil:
		writeStatus(w, http.StatusOK, "ok", "")
	case errs.Of(err).Code == errs.InvalidArgument:
		c.log.Error("a changefeed posts what is not of this journal; it posts it again until somebody mends that", "error", err)
		c.refuse(w, http.StatusBadRequest, errs.Of(err).Message)
	default:
		c.warn(err)
		c.refuse(w, http.StatusServiceUnavailable, "try again")
	}
}

// warn says so once in a while: a changefeed that is refused comes again at once.
func (c *cdc) warn(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.warned) < warnEvery {
		return
	}
	c.warned = time.Now()
	c.log.Warn("a changefeed has to post again", "error", err)
}

func (c *cdc) refuse(w http.ResponseWriter, code int, reason string) {
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeStatus(w, code, "refused", reason)
}
