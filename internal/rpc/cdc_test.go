package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// taking is a Changefeed that says what it was told to.
type taking struct {
	err   error
	taken [][]byte
	until chan struct{}
}

func (f *taking) Take(ctx context.Context, body []byte) error {
	if f.until != nil {
		select {
		case <-f.until:
		case <-ctx.Done():
		}
	}
	f.taken = append(f.taken, body)
	return f.err
}

const cdcToken = "Bearer 0123456789abcdef"

func cdcHandler(f Changefeed, log *slog.Logger) http.Handler {
	return withCDC(&CDC{Feed: f, Authorization: cdcToken, MaxBody: 64}, log, http.NotFoundHandler())
}

func postCDC(h http.Handler, body string, spoil func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, PathCDC, strings.NewReader(body))
	r.Header.Set("Authorization", cdcToken)
	r.Header.Set("Content-Type", "application/json")
	if spoil != nil {
		spoil(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCDC_Answers(t *testing.T) {
	const resolved = `{"resolved":"1795208887164643022.0000000000"}`
	private := errors.New("password=hunter2")
	for _, row := range []struct {
		name  string
		body  string
		spoil func(*http.Request)
		err   error
		code  int
		taken bool
	}{
		{"what is safe", resolved, nil, nil, 200, true},
		{"an empty body", "", nil, nil, 200, true},
		{"no token", resolved, func(r *http.Request) { r.Header.Del("Authorization") }, nil, 401, false},
		{"another token", resolved, func(r *http.Request) { r.Header.Set("Authorization", cdcToken+"0") }, nil, 401, false},
		{"a prefix of the token", resolved, func(r *http.Request) { r.Header.Set("Authorization", cdcToken[:20]) }, nil, 401, false},
		{"the token beside another", resolved, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, nil, 401, false},
		{"a GET", "", func(r *http.Request) { r.Method = http.MethodGet }, nil, 405, false},
		{"a GET without a token", "", func(r *http.Request) { r.Method = http.MethodGet; r.Header.Del("Authorization") }, nil, 401, false},
		{"a compressed body", resolved, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, nil, 415, false},
		{"a body that is too large", strings.Repeat(" ", 65), nil, nil, 413, false},
		{"a body of the largest size", strings.Repeat(" ", 64), nil, nil, 200, true},
		{"what nobody understands", "x", nil, errs.Invalid("body", "no"), 400, true},
		{"a database that is away", resolved, nil, errs.ErrUnavailable.Because(private), 503, true},
		{"a lost race", resolved, nil, errs.ErrContended.Because(private), 503, true},
		{"a bug", resolved, nil, private, 503, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &taking{err: row.err}
			var log bytes.Buffer
			w := postCDC(cdcHandler(f, slog.New(slog.NewTextHandler(&log, nil))), row.body, row.spoil)
			answer, _ := io.ReadAll(w.Result().Body)
			if w.Code != row.code || len(f.taken) == 1 != row.taken {
				t.Errorf("%d %s, taken %t", w.Code, answer, len(f.taken) == 1)
			}
			if row.code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("it does not say when to come back")
			}
			if strings.Contains(string(answer), "hunter2") || strings.Contains(log.String()+string(answer), "0123456789abcdef") {
				t.Errorf("a secret is shown: %s %s", answer, &log)
			}
		})
	}
}

func TestCDC_IsOffUnlessItIsAskedFor(t *testing.T) {
	h := NewHandler(nil, Options{})
	if w := postCDC(h, "", nil); w.Code != http.StatusNotFound {
		t.Errorf("without a token file it answers %d", w.Code)
	}
	f := &taking{}
	for _, authorization := range []string{"", cdcToken} { // a token that is not set lets nobody in
		h = NewHandler(nil, Options{CDC: &CDC{Feed: f, Authorization: "", MaxBody: 64}})
		if w := postCDC(h, "", func(r *http.Request) { r.Header.Set("Authorization", authorization) }); w.Code != http.StatusUnauthorized {
			t.Errorf("%q: %d", authorization, w.Code)
		}
	}
	h = NewHandler(nil, Options{CDC: &CDC{Feed: f, Authorization: cdcToken, MaxBody: 64}})
	if w := postCDC(h, "", nil); w.Code != http.StatusOK {
		t.Errorf("with it, %d", w.Code)
	}
	if w := httptest.NewRecorder(); true {
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if w.Code != http.StatusOK {
			t.Errorf("what is beside it answers %d", w.Code)
		}
	}
}

func TestCDC_BoundsWhatIsUnderWay(t *testing.T) {
	f := &taking{until: make(chan struct{})}
	h := withCDC(&CDC{Feed: waiting{f.until}, Authorization: cdcToken, MaxBody: 64}, slog.New(slog.DiscardHandler), http.NotFoundHandler())
	codes := make(chan int)
	for range cdcParallel + 1 {
		go func() { codes <- postCDC(h, "", nil).Code }()
	}
	if first := <-codes; first != http.StatusServiceUnavailable {
		t.Errorf("the one too many is answered %d", first)
	}
	close(f.until)
	for range cdcParallel {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("another is answered %d", code)
		}
	}
}

type waiting struct{ until chan struct{} }

func (w waiting) Take(context.Context, []byte) error { <-w.until; return nil }
