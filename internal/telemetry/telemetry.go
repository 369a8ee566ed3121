// Package telemetry sets up logs, metrics and traces of a process.
//
// It promises structured logs on one writer, a Prometheus registry of its own (no global state), and OpenTelemetry that costs nothing
// until it is asked for. Secrets have no way in: callers log typed identifiers and reasons, never a database URL. It knows nothing of
// the ledger.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

// Logger returns a logger of the format (json, text) and level (debug, info, warn, error), or says which words it knows.
func Logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch strings.ToLower(format) {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q is neither json nor text", format)
}

// Registry returns a registry with the metrics of the process and the Go runtime; labels name what every metric of the process carries.
func Registry(labels map[string]string) (*prometheus.Registry, prometheus.Registerer) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry, prometheus.WrapRegistererWith(labels, registry)
}

// Tracing is OpenTelemetry, set up by its standard environment variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER …).
type Tracing struct {
	Provider   *trace.TracerProvider
	Propagator propagation.TextMapPropagator
}

// Trace starts tracing for a service. Close flushes what is left.
func Trace(ctx context.Context, service, version, region string) (*Tracing, error) {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the trace exporter: %w", err)
	}
	attributes := resource.NewSchemaless(
		semconv.ServiceName(service), semconv.ServiceVersion(version), semconv.CloudRegion(region))
	all, err := resource.Merge(resource.Default(), attributes)
	if err != nil && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("describe the process to the tracer: %w", err)
	}
	return &Tracing{
		Provider:   trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(all)),
		Propagator: propagation.TraceContext{},
	}, nil
}

// Calls returns an interceptor that makes a span of each call, as a child of the caller's traceparent; nil where tracing is off.
func (t *Tracing) Calls() (connect.Interceptor, error) {
	if t == nil {
		return nil, nil
	}
	spans, err := otelconnect.NewInterceptor(otelconnect.WithTracerProvider(t.Provider), otelconnect.WithPropagator(t.Propagator),
		otelconnect.WithTrustRemote(), otelconnect.WithoutMetrics(), otelconnect.WithoutServerPeerAttributes())
	if err != nil {
		return nil, fmt.Errorf("set up traces of calls: %w", err)
	}
	return spans, nil
}

// Query returns a tracer of SQL statements. Parameters are money and names of customers: they stay out of the spans.
func (t *Tracing) Query() pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.Provider))
}

// Close flushes and stops.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.Provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("flush traces: %w", err)
	}
	return nil
}
