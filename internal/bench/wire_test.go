package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// echoing is a server that repeats bodies, counts connections, and holds a request to /wait until its client goes away.
func echoing(t *testing.T) (url string, connections *atomic.Int64, came, gone chan struct{}) {
	t.Helper()
	connections, came, gone = &atomic.Int64{}, make(chan struct{}), make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/wait" {
			close(came)
			<-r.Context().Done()
			close(gone)
			return
		}
		w.Header().Set("Seen", r.Header.Get("Said")+" "+r.Method+" "+r.Host)
		_, _ = w.Write(body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections, came, gone
}

func post(t *testing.T, w *Wire, url, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Said", "hello")
	resp, err := w.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestWire_OneCallerNeedsOneConnection(t *testing.T) {
	url, connections, _, _ := echoing(t)
	w := NewWire()
	for _, body := range []string{"one", "", strings.Repeat("long ", 20_000)} {
		resp, got := post(t, w, url+"/echo?x=1", body) //nolint:bodyclose // post has read and closed it
		if resp.StatusCode != http.StatusOK || got != body || resp.Header.Get("Seen") != "hello POST "+strings.TrimPrefix(url, "http://") {
			t.Errorf("%d %v, %d bytes back of %d", resp.StatusCode, resp.Header, len(got), len(body))
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestWire_AnEndedContextEndsTheCall(t *testing.T) {
	url, _, came, gone := echoing(t)
	w := NewWire()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := w.Do(req) //nolint:bodyclose // there is none
		failed <- err
	}()
	<-came
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	<-gone
	if _, got := post(t, w, url, "again"); got != "again" { //nolint:bodyclose // post has read and closed it
		t.Errorf("the next call got %q", got)
	}
}

func TestWire_RefusesWhatItDoesNotSpeak(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewWire().Do(req); err == nil || !strings.Contains(err.Error(), "only http") { //nolint:bodyclose // there is none
		t.Errorf("%v", err)
	}
}
