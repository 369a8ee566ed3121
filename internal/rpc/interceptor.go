package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

const headerTrace = "X-Trace-Id"

type exchangeKey struct{}

// exchange is what one request leaves for the log.
type exchange struct {
	trace   string
	command *ledger.Command
	outcome ledger.Outcome
}

func traceOf(ctx context.Context) string {
	if c, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return c.trace
	}
	return ""
}

// note remembers the command for the log.
func note(ctx context.Context, c ledger.Command) {
	if k, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		k.command = &c
	}
}

func noteOutcome(ctx context.Context, o ledger.Outcome) {
	if k, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		k.outcome = o
	}
}

// traceFrom takes the client's trace id, or the one inside a W3C traceparent, or makes one. What is no plain token is not taken over: it
// would end in logs and in a header.
func traceFrom(h http.Header) string {
	if given := h.Get(headerTrace); given != "" && len(given) <= 128 && token(given) {
		return given
	}
	if parts := strings.Split(h.Get("Traceparent"), "-"); len(parts) == 4 && len(parts[1]) == 32 && token(parts[1]) {
		return parts[1]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

// observer is the one interceptor: trace id, panic, errors and log, for unary calls the metric, and for streams (stream.go) their end when
// the node drains.
type observer struct {
	log      *slog.Logger
	draining <-chan struct{}
	seconds  *prometheus.HistogramVec
	open     *prometheus.GaugeVec
	ends     *prometheus.CounterVec
}

func newObserver(log *slog.Logger, registry prometheus.Registerer, draining <-chan struct{}) *observer {
	o := &observer{log: log, draining: draining, seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meridian_rpc_seconds", Help: "Time of a call by procedure and code (ok where it has an answer, a decline included).",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16), // 0.5 ms to 16 s
	}, []string{"procedure", "code"})}
	o.open = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meridian_rpc_streams", Help: "Streams that are open, by procedure."}, []string{"procedure"})
	o.ends = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_rpc_streams_ended_total", Help: "Streams that ended, by procedure and code (canceled: the client went away; unavailable: a drain, mostly).",
	}, []string{"procedure", "code"})
	if registry != nil {
		registry.MustRegister(o.seconds, o.open, o.ends)
	}
	return o
}

// WrapUnary implements connect.Interceptor.
func (o *observer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (resp connect.AnyResponse, err error) {
		c := &exchange{trace: traceFrom(req.Header())}
		started := time.Now()
		defer func() {
			if crash := recover(); crash != nil {
				o.log.Error("panic", "trace_id", c.trace, "procedure", req.Spec().Procedure, "panic", crash, "stack", string(debug.Stack()))
				resp, err = nil, errs.ErrInternal.Because(fmt.Errorf("panic: %v", crash))
			}
			elapsed := time.Since(started)
			code := "ok"
			if err != nil {
				cause := err
				wire := toWire(err)
				code, err = wire.Code().String(), wire
				o.failed(ctx, req, c, cause, wire.Code(), elapsed)
			} else {
				o.answered(ctx, req, c, elapsed)
			}
			o.seconds.WithLabelValues(req.Spec().Procedure, code).Observe(elapsed.Seconds())
		}()
		if unread := spoiled(req.Any()); unread != nil {
			return nil, unread
		}
		return next(context.WithValue(ctx, exchangeKey{}, c), req)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (o *observer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (o *observer) answered(ctx context.Context, req connect.AnyRequest, c *exchange, elapsed time.Duration) {
	level := slog.LevelDebug
	if c.outcome.Decided == ledger.Declined {
		level = slog.LevelInfo
	}
	if !o.log.Enabled(ctx, level) {
		return
	}
	o.log.LogAttrs(ctx, level, "answered", o.attributes(req, c, elapsed,
		slog.String("outcome", string(c.outcome.Decided)), slog.String("reason", string(c.outcome.Reason)), slog.Bool("replayed", c.outcome.Replayed))...)
}

// failed logs the whole error: what the client does not see stands here.
func (o *observer) failed(ctx context.Context, req connect.AnyRequest, c *exchange, cause error, code connect.Code, elapsed time.Duration) {
	level := slog.LevelWarn
	switch codesBack[code] {
	case errs.Internal:
		level = slog.LevelError
	case errs.InvalidArgument, errs.NotFound, errs.AlreadyExists, errs.FailedPrecondition, errs.Canceled:
		level = slog.LevelInfo // the client's
	default:
	}
	if !o.log.Enabled(ctx, level) {
		return
	}
	o.log.LogAttrs(ctx, level, "failed", o.attributes(req, c, elapsed, slog.String("code", code.String()), slog.String("error", cause.Error()))...)
}

func (o *observer) attributes(req connect.AnyRequest, c *exchange, elapsed time.Duration, more ...slog.Attr) []slog.Attr {
	attributes := append(make([]slog.Attr, 0, 10),
		slog.String("trace_id", c.trace), slog.String("procedure", req.Spec().Procedure), slog.Float64("ms", float64(elapsed.Microseconds())/1000))
	if c.command != nil {
		attributes = append(attributes, slog.String("ledger", string(c.command.Ledger)), slog.String("idempotency_key", string(c.command.Key)),
			slog.String("account", string(c.command.Account)))
	}
	return append(attributes, more...)
}
