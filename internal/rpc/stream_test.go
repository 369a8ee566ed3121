package rpc

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// streaming are the surfaces that carry streams from the server. GET does not, and one JSON is enough.
var streaming = surfaces[:5]

func watchOf(t *testing.T, s surface, base string) *connect.ServerStreamForClient[healthv1.HealthCheckResponse] {
	t.Helper()
	watch := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](httpClient(t, s.http2), base+"/"+healthName+"/Watch", s.options...)
	stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// The node still says that it is ready: what ends the watch is the draining, at once, and no look of the clock.
func TestHealth_WatchEndsWithNotServingWhenTheNodeDrains(t *testing.T) {
	for _, s := range streaming {
		t.Run(s.name, func(t *testing.T) {
			draining := make(chan struct{})
			base := serve(t, nil, Options{Draining: draining})
			early := watchOf(t, s, base)
			if !early.Receive() || early.Msg().GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Fatalf("it begins with %v: %v", early.Msg(), early.Err())
			}
			close(draining)
			late := watchOf(t, s, base)
			if !late.Receive() || late.Msg().GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Fatalf("a late one begins with %v: %v", late.Msg(), late.Err())
			}
			for name, stream := range map[string]*connect.ServerStreamForClient[healthv1.HealthCheckResponse]{"early": early, "late": late} {
				if !stream.Receive() || stream.Msg().GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
					t.Errorf("%s: it goes on with %v: %v", name, stream.Msg(), stream.Err())
				}
				if stream.Receive() || !errors.Is(fromWire(t.Context(), stream.Err()), errs.ErrDraining) {
					t.Errorf("%s: it ends with %v, want %v", name, stream.Err(), errs.ErrDraining)
				}
			}
		})
	}
}

func TestReflection_EndsWhenTheNodeDrains(t *testing.T) {
	draining := make(chan struct{})
	base := serve(t, nil, Options{Draining: draining})
	open := grpcreflect.NewClient(httpClient(t, true), base, connect.WithGRPC()).NewStream(t.Context())
	if _, err := open.ListServices(); err != nil {
		t.Fatal(err)
	}
	close(draining)
	// The handler waits for the next question; when it has ended, one more gets DRAINING, or an end of the stream that took it along.
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := open.ListServices(); err != nil {
				ended <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if !errors.Is(fromWire(t.Context(), err), errs.ErrUnavailable) && !errors.Is(fromWire(t.Context(), err), errs.ErrDraining) {
			t.Errorf("it ends with %v, want %v", err, errs.ErrDraining)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

// The promise that all this is for: a server that shuts down waits for no stream.
func TestStreams_DoNotHoldAShutdown(t *testing.T) {
	draining := make(chan struct{})
	var calls atomic.Int32
	server := NewServer(NewHandler(nil, Options{Draining: draining}), nil)
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		defer calls.Add(-1)
		handler.ServeHTTP(w, r)
	})
	base := listen(t, server)
	if stream := watchOf(t, surfaces[2], base); !stream.Receive() {
		t.Fatal(stream.Err())
	}
	if stream := watchOf(t, surfaces[0], base); !stream.Receive() {
		t.Fatal(stream.Err())
	}
	asked := grpcreflect.NewClient(httpClient(t, true), base, connect.WithGRPC()).NewStream(t.Context())
	if _, err := asked.ListServices(); err != nil {
		t.Fatal(err)
	}
	if n := calls.Load(); n != 3 {
		t.Fatalf("%d streams are open, want 3", n)
	}
	close(draining)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // less than the read timeout of a server
	defer cancel()
	if err := server.Shutdown(ctx); err != nil || calls.Load() != 0 {
		t.Errorf("Shutdown = %v with %d streams open", err, calls.Load())
	}
}

func TestStreams_WithoutADrainEndWithTheirClient(t *testing.T) {
	ended := make(chan error, 1)
	o := newObserver((&records{}).logger(), nil, nil)
	server := NewServer(connect.NewServerStreamHandler("/x/y", func(ctx context.Context, _ *connect.Request[healthv1.HealthCheckRequest], out *connect.ServerStream[healthv1.HealthCheckResponse]) error {
		if err := out.Send(&healthv1.HealthCheckResponse{}); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}, connect.WithInterceptors(o)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	client := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](httpClient(t, true), listen(t, server)+"/x/y", connect.WithGRPC())
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&healthv1.HealthCheckRequest{}))
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the context of the handler ended because of %v", err)
	}
}

func TestStreams_APanicIsInternalAndSaysNothing(t *testing.T) {
	log := &records{}
	o := newObserver(log.logger(), nil, nil)
	base := listen(t, NewServer(connect.NewServerStreamHandler("/x/y", func(context.Context, *connect.Request[healthv1.HealthCheckRequest], *connect.ServerStream[healthv1.HealthCheckResponse]) error {
		panic("kaboom")
	}, connect.WithInterceptors(o)), nil))
	client := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](httpClient(t, true), base+"/x/y", connect.WithGRPC())
	request := connect.NewRequest(&healthv1.HealthCheckRequest{})
	request.Header().Set(headerTrace, "t-stream")
	stream, err := client.CallServerStream(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() || !errors.Is(fromWire(t.Context(), stream.Err()), errs.ErrInternal) {
		t.Errorf("%v %v", stream.Msg(), stream.Err())
	}
	saysNothingOfGo(t, stream.Err().Error())
	if line := log.line(t, "t-stream"); line["msg"] != "panic" || line["panic"] != "kaboom" {
		t.Errorf("the log says %v", line)
	}
}
