package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Streams end by themselves only when their client wants that, and a server that shuts down waits for them. So this is the one place where
// all streams end when the node drains, whatever they do: the context of a handler ends, with errs.ErrDraining as its cause, and a handler
// that reads is told so by its next Receive. What it returns then reaches the client as DRAINING: go on at another node.

// WrapStreamingHandler implements connect.Interceptor.
func (o *observer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		trace := traceFrom(conn.RequestHeader())
		stream := &stream{StreamingHandlerConn: conn}
		o.open.WithLabelValues(conn.Spec().Procedure).Inc()
		defer func() {
			if crash := recover(); crash != nil {
				o.log.Error("panic", "trace_id", trace, "procedure", conn.Spec().Procedure, "panic", crash, "stack", string(debug.Stack()))
				err = errs.ErrInternal.Because(fmt.Errorf("panic: %v", crash))
			}
			code := "ok"
			if err != nil {
				wire := o.ended(ctx, trace, conn.Spec().Procedure, err)
				code, err = wire.Code().String(), wire
			}
			o.open.WithLabelValues(conn.Spec().Procedure).Dec()
			o.ends.WithLabelValues(conn.Spec().Procedure, code).Inc()
		}()
		bounded, release := stream.endsWith(context.WithValue(ctx, exchangeKey{}, &exchange{trace: trace}), o.draining)
		defer release()
		if err = next(bounded, stream); err != nil && drained(bounded) {
			return errs.ErrDraining
		}
		return err
	}
}

// drained tells whether a stream was ended because its node drains.
func drained(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errs.ErrDraining) }

// ended turns the error of a stream into one of the wire. A client that goes away is how most of them end.
func (o *observer) ended(ctx context.Context, trace, procedure string, cause error) *connect.Error {
	if ctx.Err() != nil && errors.Is(cause, ctx.Err()) {
		cause = errs.ErrCanceled.Because(cause)
	}
	wire := toWire(cause)
	level := slog.LevelDebug
	if codesBack[wire.Code()] == errs.Internal {
		level = slog.LevelError
	}
	o.log.LogAttrs(ctx, level, "stream ended", slog.String("trace_id", trace), slog.String("procedure", procedure),
		slog.String("code", wire.Code().String()), slog.String("error", cause.Error()))
	return wire
}

// stream is a call of any number of messages. It refuses those that a codec could not read.
type stream struct {
	connect.StreamingHandlerConn
	ctx context.Context //nolint:containedctx // lives as long as the call
}

// endsWith returns a context that ends when the node drains. The caller has to release it before it returns.
func (s *stream) endsWith(ctx context.Context, draining <-chan struct{}) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	s.ctx = ctx
	reader, readable := ctx.Value(readerKey{}).(*http.ResponseController)
	readable = readable && s.Spec().StreamType&connect.StreamTypeClient != 0
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-over:
		case <-draining:
			end(errs.ErrDraining)
			if readable {
				_ = reader.SetReadDeadline(time.Unix(1, 0)) // a read that waits ends now; HTTP/2, which such streams need, can do that
			}
		}
	}()
	return ctx, func() {
		close(over)
		<-watched // the reader is only there as long as the call
		end(nil)
	}
}

// Receive implements connect.StreamingHandlerConn.
func (s *stream) Receive(m any) error {
	if err := s.StreamingHandlerConn.Receive(m); err != nil {
		if !errors.Is(err, io.EOF) && drained(s.ctx) {
			return toWire(errs.ErrDraining)
		}
		return err
	}
	if unread := spoiled(m); unread != nil {
		return unread
	}
	return nil
}

// readerKey is where a request keeps what can end its reading.
type readerKey struct{}

// interruptible is for handlers of streams that the client writes to: their reading can be ended from here.
func interruptible(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), readerKey{}, http.NewResponseController(w))))
	})
}
