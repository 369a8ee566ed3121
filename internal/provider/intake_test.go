package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// desk is an intake on a store.
type desk struct {
	*provider.Intake
	registry *prometheus.Registry
	log      *strings.Builder
	stored   chan id.Home
}

func intake(t *testing.T, store provider.Store, config provider.Config, limits provider.WriterLimits) *desk {
	t.Helper()
	d := &desk{registry: prometheus.NewRegistry(), log: &strings.Builder{}, stored: make(chan id.Home, 1000)}
	metrics := provider.NewMetrics(d.registry)
	d.Intake = provider.NewIntake(provider.IntakeOptions{
		Config: config, Writer: provider.NewWriter(store, limits, metrics), Metrics: metrics, Log: slog.New(slog.NewTextHandler(d.log, nil)),
		HomeOf: func(_ context.Context, l id.Ledger) (id.Home, error) {
			if l != books {
				return "", errs.ErrLedgerNotFound
			}
			return home, nil
		},
		Stored: func(h id.Home) { d.stored <- h },
	})
	return d
}

// post sends a signed body.
func (d *desk) post(t *testing.T, body []byte, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/providers/acme/callbacks", strings.NewReader(string(body)))
	provider.SignStripe(r.Header, "Stripe-Signature", []byte(secret), body, time.Now())
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestIntake_StoresAndAnswersAndARepeatGetsTheSame(t *testing.T) {
	m := newMemory()
	d := intake(t, m, acme(), provider.WriterLimits{})
	text := body("evt_1", "payment.captured", "p1", 500, time.Now())
	first, again := d.post(t, text, nil), d.post(t, text, nil)
	if first.Code != http.StatusOK || first.Body.String() != "{\"status\":\"ok\"}\n" || again.Code != first.Code || again.Body.String() != first.Body.String() {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if c := m.get("evt_1"); c.State != provider.Received || c.Home != home || c.Amount.String() != "500" || m.count() != 1 {
		t.Errorf("%+v", c)
	}
	if h := <-d.stored; h != home {
		t.Errorf("told of %s", h)
	}
	if fresh, repeats := d.counted(t, "meridian_callbacks_received_total"), d.counted(t, "meridian_callbacks_duplicates_total"); fresh != "acme=1" || repeats != "acme=1" {
		t.Errorf("received %s, duplicates %s", fresh, repeats)
	}
}

// counted is a counter of the intake, by its labels.
func (d *desk) counted(t *testing.T, name string) string {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			found = append(found, fmt.Sprintf("%s=%g", strings.Join(labels, "/"), m.GetCounter().GetValue()))
		}
	}
	return strings.Join(found, " ")
}

func TestIntake_KeepsAContradictionAsADeadLetter(t *testing.T) {
	m := newMemory()
	d := intake(t, m, acme(), provider.WriterLimits{})
	now := time.Now()
	for range 2 { // said twice, kept once
		for _, amount := range []int{500, 501} {
			if w := d.post(t, body("evt_1", "payment.captured", "p1", amount, now), nil); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	if c := m.get("evt_1"); c.Amount.String() != "500" || m.count() != 2 || m.count(provider.Dead) != 1 {
		t.Errorf("%d callbacks, %d dead, the first of %s", m.count(), m.count(provider.Dead), c.Amount)
	}
	for _, c := range m.rows {
		if c.State == provider.Dead && (c.Cause != provider.CauseContradicts || !strings.HasPrefix(c.ID, "evt_1~") || c.Amount.String() != "501") {
			t.Errorf("%+v", c)
		}
	}
}

func TestIntake_RefusesWhatIsNotTheProviders(t *testing.T) {
	good := body("evt_1", "payment.captured", "p1", 500, time.Now())
	for _, row := range []struct {
		name   string
		body   []byte
		change func(*http.Request)
		code   int
		reason string
	}{
		{"another provider", good, func(r *http.Request) { r.URL.Path = "/v1/providers/other/callbacks" }, 404, "provider"},
		{"another path", good, func(r *http.Request) { r.URL.Path = "/v1/providers/acme" }, 404, "provider"},
		{"read", good, func(r *http.Request) { r.Method = http.MethodGet }, 405, "method"},
		{"compressed", good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "encoding"},
		{"too large", []byte(strings.Repeat(" ", provider.MaxBody+1)), nil, 413, "too_large"},
		{"cut off", good, func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{})) }, 400, "cut"},
		{"unsigned", good, func(r *http.Request) { r.Header.Del("Stripe-Signature") }, 401, provider.ReasonUnsigned},
		{"forged", good, func(r *http.Request) {
			provider.SignStripe(r.Header, "Stripe-Signature", []byte("another secret"), good, time.Now())
		}, 401, provider.ReasonSignature},
		{"replayed", good, func(r *http.Request) {
			provider.SignStripe(r.Header, "Stripe-Signature", []byte(secret), good, time.Now().Add(-time.Hour))
		}, 401, provider.ReasonStale},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMemory()
			d := intake(t, m, acme(), provider.WriterLimits{})
			w := d.post(t, row.body, row.change)
			if w.Code != row.code || m.count() != 0 {
				t.Errorf("%d %s, %d stored", w.Code, w.Body, m.count())
			}
			if text := w.Body.String() + d.log.String(); strings.Contains(text, secret) || strings.Contains(text, "evt_1") {
				t.Errorf("it tells too much: %s", text)
			}
			name := "acme"
			if row.reason == "provider" {
				name = ""
			}
			if got := d.counted(t, "meridian_callbacks_refused_total"); got != name+"/"+row.reason+"=1" {
				t.Errorf("counted as %s", got)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestIntake_AsksToComeAgainWhereTheDatabaseIsAway(t *testing.T) {
	m := newMemory()
	m.fail = func() error { return errs.ErrUnavailable.Because(errors.New("pgx: refused")) }
	d := intake(t, m, acme(), provider.WriterLimits{Patience: 50 * time.Millisecond})
	w := d.post(t, body("evt_1", "payment.captured", "p1", 500, time.Now()), nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "pgx") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	m.fail = nil
	if w := d.post(t, body("evt_1", "payment.captured", "p1", 500, time.Now()), nil); w.Code != http.StatusOK || m.count() != 1 {
		t.Errorf("when it is back: %d %s", w.Code, w.Body)
	}
}

func TestIntake_AnUnknownLedgerIsNotTheProvidersFault(t *testing.T) {
	config := must(provider.Parse("p.yaml", []byte(strings.Replace(example, "brand-eu", "brand-us", 1)), reveal))
	d := intake(t, newMemory(), config, provider.WriterLimits{})
	if w := d.post(t, body("evt_1", "payment.captured", "p1", 500, time.Now()), nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// slow holds statements back until it is told.
type slow struct {
	*memory
	begun   chan int // rows of each statement
	proceed chan struct{}
}

func (s slow) PutCallbacks(ctx context.Context, h id.Home, all []provider.Callback) ([][]byte, error) {
	s.begun <- len(all)
	<-s.proceed
	return s.memory.PutCallbacks(ctx, h, all)
}

func TestWriter_WhatComesMeanwhileGoesTogetherAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow{newMemory(), make(chan int, 10), make(chan struct{})}
		w := provider.NewWriter(s, provider.WriterLimits{Lanes: 1, Waiting: 50, Group: 40}, nil)
		answers := make(chan error, 60)
		put := func(n int) {
			go func() {
				answers <- w.Put(t.Context(), home, []provider.Callback{received(fmt.Sprint(n), "captured", "p", time.Now())})
			}()
			synctest.Wait()
		}
		for n := range 52 { // one on its way, fifty that wait, one too many
			put(n)
		}
		if err := <-answers; !errors.Is(err, errs.ErrOverloaded) {
			t.Errorf("one too many: %v", err)
		}
		close(s.proceed)
		for range 51 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if got := fmt.Sprint(<-s.begun, <-s.begun, <-s.begun, len(s.begun)); got != "1 40 10 0" || s.count() != 51 {
			t.Errorf("statements of %s rows; %d are stored", got, s.count())
		}
	})
}

// lazy takes a millisecond for each statement.
type lazy struct {
	*memory
	statements *atomic.Int64
}

func (l lazy) PutCallbacks(ctx context.Context, h id.Home, all []provider.Callback) ([][]byte, error) {
	l.statements.Add(1)
	time.Sleep(time.Millisecond)
	return l.memory.PutCallbacks(ctx, h, all)
}

func TestWriter_ABurstGathersAndOneAloneWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lazy{newMemory(), new(atomic.Int64)}
		w := provider.NewWriter(s, provider.WriterLimits{}, nil)
		began := time.Now()
		put := func(name string) {
			if err := w.Put(t.Context(), home, []provider.Callback{received(name, "captured", "p", began)}); err != nil {
				t.Error(err)
			}
		}
		for n := range 50 {
			put(fmt.Sprint("alone ", n))
		}
		if took, n := time.Since(began), s.statements.Swap(0); took != 50*time.Millisecond || n != 50 {
			t.Fatalf("one after the other: %d statements in %s, want 50 without a pause", n, took)
		}
		var all sync.WaitGroup
		for n := range 500 { // five in every millisecond
			all.Go(func() { put(fmt.Sprint("burst ", n)) })
			if n%5 == 4 {
				time.Sleep(time.Millisecond)
			}
		}
		all.Wait()
		if n := s.statements.Load(); n > 25 {
			t.Errorf("a burst of 100 ms took %d statements, want one in 5 ms", n)
		}
		if m := s.memory; m.count() != 550 {
			t.Errorf("%d are stored", m.count())
		}
	})
}

func TestWriter_ALostAnswerIsAskedAgain(t *testing.T) {
	m := newMemory()
	lost := 2
	m.lose = func() error {
		if lost--; lost >= 0 {
			return errs.ErrOutcomeUnknown
		}
		return nil
	}
	if err := provider.NewWriter(m, provider.WriterLimits{}, nil).Put(t.Context(), home, []provider.Callback{received("e", "captured", "p", time.Now())}); err != nil {
		t.Fatal(err)
	}
	if m.count() != 1 || m.puts != 3 {
		t.Errorf("%d rows by %d statements", m.count(), m.puts)
	}
}
