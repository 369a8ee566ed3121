package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Callbacks of a provider are posted to Prefix, its name and Suffix.
const (
	Prefix = "/v1/providers/"
	Suffix = "/callbacks"
)

// Bounds of a request.
const (
	readers   = 512              // bodies that are read and verified at once
	readin    = 10 * time.Second // for a body to come
	warnEvery = 10 * time.Second
)

// IntakeOptions say what the intake works with. Config, Writer and HomeOf are needed.
type IntakeOptions struct {
	Config Config
	Writer *Writer
	// HomeOf returns the home of a ledger, or errs.ErrLedgerNotFound. It is asked until it has answered once for each ledger.
	HomeOf  func(context.Context, id.Ledger) (id.Home, error)
	Stored  func(id.Home) // hears that something was stored; it must not wait. May be nil.
	Now     func() time.Time
	Metrics *Metrics
	Log     *slog.Logger
}

// Intake is the endpoint of callbacks. A callback is answered 200 as soon as it is stored, the first time and every other; whatever comes of it comes
// later. It is 401 for what is not the provider's, 404 for a provider that nobody configured, 413 for what is too large; and 503 for what may go
// well a moment later, so that the provider sends it again.
type Intake struct {
	IntakeOptions
	busy  chan struct{}
	homes sync.Map // id.Ledger to id.Home: a ledger never moves

	mu     sync.Mutex
	warned map[Name]time.Time
}

// NewIntake returns the endpoint.
func NewIntake(o IntakeOptions) *Intake {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stored == nil {
		o.Stored = func(id.Home) {}
	}
	return &Intake{IntakeOptions: o, busy: make(chan struct{}, readers), warned: map[Name]time.Time{}}
}

// Takes tells whether a request is for an intake, by its path.
func Takes(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, Prefix) }

// ServeHTTP implements http.Handler.
func (i *Intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	text, isCallback := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, Prefix), Suffix)
	a := i.Config.Accounts[Name(text)]
	switch {
	case !isCallback || a == nil:
		i.refuse(w, "", http.StatusNotFound, "provider", "there is no such provider")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		i.refuse(w, a.Name, http.StatusMethodNotAllowed, "method", "callbacks are posted")
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		i.refuse(w, a.Name, http.StatusUnsupportedMediaType, "encoding", "callbacks come uncompressed")
	default:
		i.take(w, r, a)
		i.Metrics.intake.Observe(time.Since(began).Seconds())
	}
}

func (i *Intake) take(w http.ResponseWriter, r *http.Request, a *Account) {
	home, err := i.homeOf(r.Context(), a.Ledger)
	if err != nil {
		i.later(w, a.Name, "ledger", err)
		return
	}
	envelopes := i.read(w, r, a, home)
	if envelopes == nil {
		return
	}
	callbacks := make([]Callback, len(envelopes))
	for n, e := range envelopes {
		callbacks[n] = e.Opening()
	}
	if err := i.Writer.Put(r.Context(), home, callbacks); err != nil {
		i.later(w, a.Name, "store", err)
		return
	}
	i.Stored(home)
	if a.Answer != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, a.Answer) // the provider went away
		return
	}
	status(w, http.StatusOK, "ok", "")
}

// read reads and verifies the body, and returns what is in it; or nil, after it has answered.
func (i *Intake) read(w http.ResponseWriter, r *http.Request, a *Account, home id.Home) []Envelope {
	select {
	case i.busy <- struct{}{}:
		defer func() { <-i.busy }()
	case <-r.Context().Done():
		return nil
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readin)) // where it can not be set, the server has one of its own
	var body bytes.Buffer
	if _, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, MaxBody)); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			i.refuse(w, a.Name, http.StatusRequestEntityTooLarge, "too_large", "a callback has at most 256 KiB")
		} else {
			i.refuse(w, a.Name, http.StatusBadRequest, "cut", "the body ended early")
		}
		return nil
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	request := &Request{Header: r.Header, Body: body.Bytes(), Remote: remote(r)}
	if r.TLS != nil {
		request.Peer = r.TLS.PeerCertificates
	}
	now := i.Now().UTC()
	for _, check := range a.Checks {
		if err := check(request, now); err != nil {
			i.unverified(w, a.Name, err)
			return nil
		}
	}
	return a.Normalise(request, home, now.Truncate(time.Microsecond))
}

func remote(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

func (i *Intake) homeOf(ctx context.Context, ledger id.Ledger) (id.Home, error) {
	if home, known := i.homes.Load(ledger); known {
		return home.(id.Home), nil //nolint:forcetypeassert // only homes are stored
	}
	home, err := i.HomeOf(ctx, ledger)
	if err != nil {
		return "", err
	}
	i.homes.Store(ledger, home)
	return home, nil
}

// unverified says nothing of what was expected.
func (i *Intake) unverified(w http.ResponseWriter, name Name, err error) {
	reason := ReasonUnsigned
	var r *Refusal
	if errors.As(err, &r) {
		reason = r.Reason
	}
	i.warn(name, "a callback could not be verified", err)
	i.refuse(w, name, http.StatusUnauthorized, reason, "the callback could not be verified")
}

// later makes the provider send it again.
func (i *Intake) later(w http.ResponseWriter, name Name, reason string, err error) {
	if errors.Is(err, errs.ErrOverloaded) {
		reason = "overloaded"
	}
	i.warn(name, "a callback could not be stored", err)
	w.Header().Set("Retry-After", "1")
	i.refuse(w, name, http.StatusServiceUnavailable, reason, "try again")
}

// warn says so once in a while for each provider.
func (i *Intake) warn(name Name, what string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.warned[name]) < warnEvery {
		return
	}
	i.warned[name] = time.Now()
	i.Log.Warn(what, "provider", name, "error", err)
}

func (i *Intake) refuse(w http.ResponseWriter, name Name, code int, reason, sentence string) {
	i.Metrics.refused.WithLabelValues(string(name), reason).Inc()
	status(w, code, "refused", sentence)
}

func status(w http.ResponseWriter, code int, word, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(struct { // the provider went away
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{word, reason})
}
