package rpc

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// faulty runs a server that never gets as far as an answer.
func faulty(t *testing.T, handler http.HandlerFunc) string { return listen(t, NewServer(handler, nil)) }

// begun sends the beginning of an answer that would go on.
func begun(w http.ResponseWriter, r *http.Request) {
	kind := r.Header.Get("Content-Type")
	if kind == "" { // GET
		kind = "application/" + r.URL.Query().Get("encoding")
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte{0, 0, 0, 0, 95, '{'})
	_ = http.NewResponseController(w).Flush()
}

func TestClient_ACutConnectionIsUnavailable(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"before an answer":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"in the midst of an answer":   func(w http.ResponseWriter, r *http.Request) { begun(w, r); panic(http.ErrAbortHandler) },
		"by a server that is stopped": func(_ http.ResponseWriter, r *http.Request) { stop(r) },
		"in its answer, by a stop":    func(w http.ResponseWriter, r *http.Request) { begun(w, r); stop(r) },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s surface) {
				_, err := s.client(t, faulty(t, fault)).Ledger(t.Context(), "shop-eu")
				if !errors.Is(err, errs.ErrUnavailable) || errs.Of(err).Code != errs.Unavailable {
					t.Errorf("%v, want %v", err, errs.ErrUnavailable)
				}
			})
		})
	}
}

// stop ends the server under a request, as a node that is killed.
func stop(r *http.Request) {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		_ = server.Close()
	}
}

func TestClient_NobodyThereIsUnavailable(t *testing.T) {
	slow := NewHTTPClient(nil, false)
	slow.Transport.(*http.Transport).DialContext = (&net.Dialer{Timeout: time.Nanosecond}).DialContext
	for name, client := range map[string]*Client{
		"a closed port":          NewClient(httpClient(t, false), "http://127.0.0.1:1"),
		"a dial that takes long": NewClient(slow, "http://127.0.0.1:1"),
		"an answer that is late": NewClient(&http.Client{Timeout: time.Millisecond}, faulty(t, waits)),
	} {
		if _, err := client.Ledger(t.Context(), "shop-eu"); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", name, err, errs.ErrUnavailable)
		}
	}
}

func waits(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// entered tells when a call is inside.
type entered struct {
	ledger.Service
	inside chan struct{}
}

func (e entered) Ledger(ctx context.Context, _ id.Ledger) (ledger.Ledger, error) {
	close(e.inside)
	<-ctx.Done()
	return ledger.Ledger{}, ctx.Err()
}

func TestClient_ItsOwnContextSaysHowACallEnded(t *testing.T) {
	onEach(t, func(t *testing.T, s surface) {
		svc := entered{inside: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-svc.inside; cancel() }()
		if _, err := s.client(t, serve(t, svc, Options{})).Ledger(ctx, "shop-eu"); !errors.Is(err, errs.ErrCanceled) {
			t.Errorf("a caller that went away: %v, want %v", err, errs.ErrCanceled)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.client(t, faulty(t, waits)).Ledger(ctx, "shop-eu"); !errors.Is(err, errs.ErrDeadlineExceeded) {
			t.Errorf("a caller without more time: %v, want %v", err, errs.ErrDeadlineExceeded)
		}
	})
}
