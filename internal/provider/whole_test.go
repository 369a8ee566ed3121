package provider_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

// A provider that misbehaves in every way, in front of the whole: every event that it posts is stored once; each payment ends where its events
// lead, whatever their order; and what could not be applied is a dead letter with a cause.
func TestWhole_AMisbehavingProviderIsTakenAtItsWord(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			profile := simulate.Profile{
				Seed: seed, Payments: 300, Spread: 10 * time.Minute, Delay: 30 * time.Second, Duplicate: 0.3, Reorder: 0.3, Lose: 0.05, Contradict: 0.05, RetryFor: 48 * time.Hour,
			}
			script := simulate.Write(profile, nil)
			m, r := newMemory(), newRecorder()
			r.rule = lifecycle
			began := time.Now()
			m.fail = func() error { // the database is away for three hours, while everything comes
				if time.Since(began) > time.Minute && time.Since(began) < 3*time.Hour {
					return errs.ErrUnavailable
				}
				return nil
			}
			config := acme()
			config.Accounts["acme"].Patience = 6 * time.Hour // longer than the provider's longest pause after the database is back
			workers := provider.NewWorkers(provider.WorkerOptions{Store: m, Apply: r.apply, Config: config, Limits: provider.WorkerLimits{Poll: 30 * time.Second}})
			in := provider.NewIntake(provider.IntakeOptions{
				Config: config, Writer: provider.NewWriter(m, provider.WriterLimits{Patience: time.Second}, nil), Stored: workers.Wake,
				HomeOf: func(context.Context, id.Ledger) (id.Home, error) { return home, nil },
			})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- workers.Run(ctx, event.Lease{Home: home}) }()
			report, err := simulate.Play(t.Context(), script, simulate.Options{
				Profile: profile, Form: simulate.Forms([]byte(secret))["stripe"], Post: func(_ context.Context, q simulate.Request) (int, error) {
					request := httptest.NewRequest(http.MethodPost, "/v1/providers/acme/callbacks", bytes.NewReader(q.Body))
					request.Header = q.Header
					w := httptest.NewRecorder()
					in.ServeHTTP(w, request)
					return w.Code, nil
				},
			})
			if err != nil || report.GivenUp != 0 || report.Statuses[http.StatusServiceUnavailable] == 0 {
				t.Fatalf("%+v, %v", report, err)
			}
			time.Sleep(7 * time.Hour) // longer than the patience with what came too early
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			judge(t, script, m, r)
		})
	}
}

// judge looks at what is stored.
func judge(t *testing.T, script simulate.Script, m *memory, r *recorder) {
	t.Helper()
	for _, wrong := range r.broken {
		t.Error(wrong)
	}
	if n := m.count(provider.Received, provider.Waiting); n > 0 {
		t.Errorf("%d are still open", n)
	}
	for name := range script.Posted() {
		if m.get(name).ID == "" {
			t.Errorf("%s is not stored", name)
		}
	}
	disturbed := map[string]bool{} // payments of which something was lost or contradicted
	for _, e := range script.Lost {
		disturbed[e.Payment] = true
	}
	for _, p := range script.Postings {
		if p.Why == simulate.Contradiction {
			disturbed[p.Events[0].Payment] = true
		}
	}
	calm := 0
	for _, e := range script.Events {
		if disturbed[e.Payment] {
			continue
		}
		calm++
		if c := m.get(e.ID); c.State != provider.Applied {
			t.Errorf("%s of an undisturbed payment is %s: %s", e.ID, c.State, c.Cause)
		}
	}
	if calm < 100 || calm == len(script.Events) {
		t.Errorf("%d of %d events are undisturbed: the profile proves little", calm, len(script.Events))
	}
	applied := map[string]int{}
	for _, c := range r.called() {
		applied[c]++
	}
	for _, c := range m.rows {
		switch {
		case c.State == provider.Dead && c.Cause == "":
			t.Errorf("%s is dead without a cause", c.ID)
		case c.State == provider.Applied && strings.Contains(c.ID, "~"):
			t.Errorf("the contradiction %s was applied", c.ID)
		}
	}
}
