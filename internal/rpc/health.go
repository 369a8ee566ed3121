package rpc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// health implements gRPC's health protocol, as load balancers and orchestrators speak it. The messages are gRPC's own: a second copy of
// their file could not be linked beside the one that the trace exporter brings.
type health struct {
	ready func(context.Context) error
}

const healthName = "grpc.health.v1.Health"

// handle mounts both methods.
func (h *health) handle(mux *http.ServeMux, options ...connect.HandlerOption) {
	mux.Handle("/"+healthName+"/Check", connect.NewUnaryHandler("/"+healthName+"/Check", h.Check, options...))
	mux.Handle("/"+healthName+"/Watch", connect.NewServerStreamHandler("/"+healthName+"/Watch", h.Watch, options...))
}

var errUnknownService = errors.New("there is no such service here")

// watchInterval is how often a watched node looks at itself.
const watchInterval = time.Second

func (h *health) status(ctx context.Context, service string) healthv1.HealthCheckResponse_ServingStatus {
	if service != "" && service != healthName && !slices.Contains(services(), service) {
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	}
	if h.ready(ctx) != nil {
		return healthv1.HealthCheckResponse_NOT_SERVING
	}
	return healthv1.HealthCheckResponse_SERVING
}

// Check implements Health.
func (h *health) Check(ctx context.Context, r *connect.Request[healthv1.HealthCheckRequest]) (*connect.Response[healthv1.HealthCheckResponse], error) {
	status := h.status(ctx, r.Msg.GetService())
	if status == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, connect.NewError(connect.CodeNotFound, errUnknownService)
	}
	return connect.NewResponse(&healthv1.HealthCheckResponse{Status: status}), nil
}

// Watch implements Health: the status now, and every change of it. When the node drains, the last word is NOT_SERVING, and the watch ends.
func (h *health) Watch(ctx context.Context, r *connect.Request[healthv1.HealthCheckRequest], out *connect.ServerStream[healthv1.HealthCheckResponse]) error {
	last := healthv1.HealthCheckResponse_UNKNOWN
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if status := h.status(ctx, r.Msg.GetService()); status != last {
			last = status
			if err := out.Send(&healthv1.HealthCheckResponse{Status: status}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			if drained(ctx) && last == healthv1.HealthCheckResponse_SERVING {
				_ = out.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING}) // the watch ends either way
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}
