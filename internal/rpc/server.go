// Package rpc is the ledger on the wire: Connect, gRPC, gRPC-Web and JSON on one port, and a client that implements the same
// ledger.Service.
//
// It promises that invalid input ends here as invalid_argument with the field named, that a client sees reasons and never a driver's
// text, and that errors.Is holds on both sides. It relies on a ledger.Service and an event.Service for everything else. parse.go turns
// requests into typed values, render.go outcomes into answers, admit.go refuses what is no request at all, errors.go has the table of codes,
// wallet.go the small contract, client.go the client; the change stream has the same in files that begin with event.
package rpc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// Options of a handler. The zero value works.
type Options struct {
	DefaultLedger  id.Ledger                   // of requests that name none
	Homes          []id.Home                   // in which ledgers may be created; none: in all
	Search         *search.Service             // answers SearchTransactions
	Recon          *recon.Service              // answers ReconService; nil: that is unimplemented
	Explain        *explain.Service            // answers ExplainService; nil: that is unimplemented
	Payments       ledger.Payments             // what PaymentService reads; nil: that is unimplemented
	Sagas          saga.Service                // answers SagaService; nil: that is unimplemented
	Ready          func(context.Context) error // why this node should get no traffic, or nil
	Standing       func() map[string]any       // what /readyz says besides; everybody can read it; nil: nothing
	Draining       <-chan struct{}             // closed when the node begins to leave: all streams end then, with errs.ErrDraining
	Metrics        http.Handler                // of /metrics
	Registerer     prometheus.Registerer
	Log            *slog.Logger
	AllowedOrigins []string            // of browsers
	Tracing        connect.Interceptor // OpenTelemetry, where it is on

	// The change stream. Where one of the three is nil, EventService is unimplemented.
	Events   event.Service
	Stream   Stream
	Tails    Tails
	RegionOf func(id.Home) (region string, ok bool) // as events name it; nil: they do not
	CDC      *CDC                                   // the endpoint of changefeeds; nil: there is none

	// Payment providers. Where one is nil, there are no callbacks, or ProviderService is unimplemented.
	Callbacks http.Handler // takes what provider.Takes says
	Providers provider.Service
}

// NewHandler mounts the services, the small contract of wallets, health, readiness, metrics and reflection.
func NewHandler(svc ledger.Service, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	interceptors := []connect.Interceptor{newObserver(o.Log, o.Registerer, o.Draining)}
	if o.Tracing != nil {
		interceptors = append([]connect.Interceptor{o.Tracing}, interceptors...)
	}
	common := []connect.HandlerOption{
		connect.WithCodec(protoCodec{}), connect.WithCodec(jsonCodec{jsonNames[0]}), connect.WithCodec(jsonCodec{jsonNames[1]}), connect.WithInterceptors(interceptors...),
		connect.WithCompression("gzip", newDecompressor, newCompressor), connect.WithCompressMinBytes(4 << 10),
	}
	h := &handler{svc: svc, search: o.Search, fallback: o.DefaultLedger, homes: o.Homes}
	mux := http.NewServeMux()
	mux.Handle(ledgerv1connect.NewLedgerServiceHandler(h, common...))
	mux.Handle(ledgerv1connect.NewTransactionServiceHandler(h, common...))
	mux.Handle(ledgerv1connect.NewQueryServiceHandler(h, common...))
	mux.Handle(ledgerv1connect.NewWalletServiceHandler(wallet{h}, common...))
	mux.Handle(paymentsv1connect.NewReconServiceHandler(newReconciler(h, o), common...))
	mux.Handle(paymentsv1connect.NewPaymentServiceHandler(newPayments(h, o), common...))
	mux.Handle(paymentsv1connect.NewSagaServiceHandler(newSagas(h, o), common...))
	path, eventService := ledgerv1connect.NewEventServiceHandler(newEvents(svc, o), common...)
	mux.Handle(path, interruptible(eventService))
	mux.Handle(paymentsv1connect.NewProviderServiceHandler(newProviders(o), common...))
	mux.Handle(paymentsv1connect.NewExplainServiceHandler(newExplainer(o), common...))
	(&health{ready: o.Ready}).handle(mux, common...)
	reflector := grpcreflect.NewStaticReflector(append(services(), healthName)...)
	for _, mount := range []func(*grpcreflect.Reflector, ...connect.HandlerOption) (string, http.Handler){
		grpcreflect.NewHandlerV1, grpcreflect.NewHandlerV1Alpha,
	} {
		path, reflection := mount(reflector, connect.WithInterceptors(interceptors...))
		mux.Handle(path, interruptible(reflection))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, http.StatusOK, "ok", "") })
	mux.HandleFunc("GET /readyz", readiness(o.Ready, o.Standing))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return browsers(o.AllowedOrigins, withCDC(o.CDC, o.Log, withCallbacks(o.Callbacks, aliases(admitted(mux)))))
}

// withCallbacks puts the endpoint of providers in front of a handler: they speak HTTP of their own kind, which is no call.
func withCallbacks(callbacks, next http.Handler) http.Handler {
	if callbacks == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if provider.Takes(r) {
			callbacks.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func services() []string {
	return []string{
		ledgerv1connect.LedgerServiceName, ledgerv1connect.TransactionServiceName, ledgerv1connect.QueryServiceName,
		ledgerv1connect.WalletServiceName, ledgerv1connect.EventServiceName, paymentsv1connect.ProviderServiceName, paymentsv1connect.ReconServiceName,
		paymentsv1connect.ExplainServiceName,
		paymentsv1connect.PaymentServiceName, paymentsv1connect.SagaServiceName,
	}
}

// readiness answers load balancers: 200, or 503 with the reason.
func readiness(ready func(context.Context) error, standing func() map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := ready(r.Context())
		body := map[string]any{}
		if standing != nil {
			body = standing()
		}
		if err != nil {
			body["status"], body["reason"] = "not ready", toWire(err).Message()
			writeJSON(w, http.StatusServiceUnavailable, body)
			return
		}
		body["status"] = "ready"
		writeJSON(w, http.StatusOK, body)
	}
}

func writeStatus(w http.ResponseWriter, code int, status, reason string) {
	body := map[string]any{"status": status}
	if reason != "" {
		body["reason"] = reason
	}
	writeJSON(w, code, body)
}

func writeJSON(w http.ResponseWriter, code int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}

// browsers lets pages of the given origins call.
func browsers(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	ours := append([]string{headerTrace, "Traceparent"}, append(keyHeaders, ledgerHeaders...)...)
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), ours...),
		ExposedHeaders: append(connectcors.ExposedHeaders(), headerTrace, headerReplayed, headerTransaction, "Retry-After"),
		MaxAge:         int((2 * time.Hour).Seconds()),
	}).Handler(next)
}

// NewServer returns a server for HTTP/1.1 and HTTP/2, in clear or, with a configuration, over TLS. Timeouts bound what a slow or silent
// client can hold; a call itself is bounded by its own deadline.
func NewServer(handler http.Handler, config *tls.Config) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: handler, TLSConfig: config, Protocols: &protocols,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}
