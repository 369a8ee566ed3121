package provider_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// work runs workers in a bubble until nothing moves for a while of its clock.
func work(t *testing.T, m *memory, r *recorder, d time.Duration, change func(*provider.WorkerOptions)) {
	t.Helper()
	o := provider.WorkerOptions{Store: m, Apply: r.apply, Config: acme()}
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	if err := provider.NewWorkers(o).Run(ctx, event.Lease{Home: home}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range r.broken {
		t.Error(wrong)
	}
}

func TestWorkers_ApplyAPaymentInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r, now := newMemory(), newRecorder(), time.Now()
		for n := range 20 {
			for i, trigger := range []string{"authorized", "captured", "settled"} {
				c := received(fmt.Sprintf("%d-%d", n, i), trigger, fmt.Sprint("p", n), now)
				c.OccurredAt = now.Add(time.Duration(i-5) * time.Second)
				m.set(c)
			}
		}
		r.rule = func(e provider.Envelope, done map[string]bool) provider.Answer {
			if a := lifecycle(e, done); a.Verdict != provider.Done {
				t.Errorf("%s comes too early", e.ID)
			}
			return provider.Answer{Verdict: provider.Done}
		}
		work(t, m, r, 2*time.Second, nil)
		if n := m.count(provider.Applied); n != 60 || len(r.called()) != 60 {
			t.Errorf("%d of 60 are applied, by %d calls", n, len(r.called()))
		}
	})
}

func TestWorkers_AnEarlyOneWaitsForWhatComesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r, now := newMemory(), newRecorder(), time.Now()
		r.rule = lifecycle
		m.set(received("e3", "settled", "p", now))
		w := provider.NewWorkers(provider.WorkerOptions{Store: m, Apply: r.apply, Config: acme()})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx, event.Lease{Home: home}) }()
		time.Sleep(10 * time.Minute)
		if c := m.get("e3"); c.State != provider.Waiting || c.Cause != provider.CauseEarly || c.Attempts != 0 {
			t.Fatalf("after ten minutes it is %s for %s after %d attempts", c.State, c.Cause, c.Attempts)
		}
		if n := len(r.called()); n < 10 || n > 60 {
			t.Errorf("it was looked at %d times in ten minutes", n)
		}
		m.set(received("e2", "captured", "p", time.Now()))
		w.Wake(home)
		synctest.Wait()
		m.set(received("e1", "authorized", "p", time.Now()))
		w.Wake(home)
		synctest.Wait()
		for _, id := range []string{"e1", "e2", "e3"} {
			if c := m.get(id); c.State != provider.Applied {
				t.Errorf("%s is %s, as soon as all are there", id, c.State)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWorkers_AnEarlyOneIsDeadWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), newRecorder()
		r.rule = lifecycle
		m.set(received("e", "settled", "p", time.Now()))
		work(t, m, r, time.Hour-time.Minute, nil)
		if c := m.get("e"); c.State != provider.Waiting {
			t.Fatalf("a minute before its time is over it is %s", c.State)
		}
		work(t, m, r, 2*time.Minute, nil)
		if c := m.get("e"); c.State != provider.Dead || c.Cause != provider.CauseEarly || c.Detail != "it is not captured" {
			t.Errorf("it is %s: %s %s", c.State, c.Cause, c.Detail)
		}
	})
}

func TestWorkers_ARetryKeepsThoseBehindItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r, now := newMemory(), newRecorder(), time.Now()
		again := provider.Answer{Verdict: provider.Retry, Cause: "contended"}
		r.answers["a1"] = []provider.Answer{again, again, again}
		for i := 1; i <= 3; i++ {
			m.set(received(fmt.Sprint("a", i), "authorized", "p", now.Add(time.Duration(i))))
		}
		m.set(received("b1", "authorized", "q", now))
		work(t, m, r, time.Minute, nil)
		calls := r.called()
		var own []string
		for _, c := range calls {
			if strings.HasPrefix(c, "a") {
				own = append(own, c)
			}
		}
		if !slices.Equal(own, []string{"a1", "a1", "a1", "a1", "a2", "a3"}) {
			t.Errorf("applied in the order %v", own)
		}
		if c := m.get("a1"); c.State != provider.Applied || c.Attempts != 3 {
			t.Errorf("%s after %d failures", c.State, c.Attempts)
		}
		if m.get("b1").State != provider.Applied || slices.Index(calls, "b1") > 1 {
			t.Errorf("another payment waits as well: %v", calls)
		}
	})
}

func TestWorkers_GiveUpAfterSoManyAttemptsAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r, now := newMemory(), newRecorder(), time.Now()
		for range 20 {
			r.answers["a1"] = append(r.answers["a1"], provider.Answer{Verdict: provider.Retry, Cause: "Not a word", Detail: "d\x00"})
		}
		r.answers["b1"] = []provider.Answer{{Verdict: provider.Refused, Cause: "transition", Detail: "the payment is settled"}}
		m.set(received("a1", "captured", "p", now))
		m.set(received("a2", "settled", "p", now.Add(1)))
		m.set(received("b1", "declined", "q", now))
		work(t, m, r, 12*time.Hour, nil)
		if c := m.get("a1"); c.State != provider.Dead || c.Attempts != 12 || c.Cause != attempt.Other || c.Detail != "d" {
			t.Errorf("%s after %d attempts: %s %q", c.State, c.Attempts, c.Cause, c.Detail)
		}
		if c := m.get("a2"); c.State != provider.Applied {
			t.Errorf("the one behind it is %s", c.State)
		}
		if c := m.get("b1"); c.State != provider.Dead || c.Attempts != 1 || c.Cause != "transition" {
			t.Errorf("refused: %s after %d attempts: %s", c.State, c.Attempts, c.Cause)
		}
	})
}

func TestWorkers_NothingDiesWhileNothingGoesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r, now := newMemory(), newRecorder(), time.Now()
		r.rule = func(provider.Envelope, map[string]bool) provider.Answer {
			if time.Since(now) < 6*time.Hour {
				return provider.Answer{Verdict: provider.Down, Cause: "unavailable"}
			}
			return provider.Answer{Verdict: provider.Done}
		}
		for i := range 100 {
			m.set(received(fmt.Sprint(i), "authorized", fmt.Sprint(i), now))
		}
		work(t, m, r, 6*time.Hour+2*time.Minute, nil)
		if n := m.count(provider.Applied); n != 100 {
			t.Errorf("%d of 100 are applied after six hours without a ledger", n)
		}
		if n := len(r.called()); n > 100+64*1000 {
			t.Errorf("%d calls in six hours", n)
		}
	})
}

func TestWorkers_UnknownTypesAreDeadAndLiveOnceTheConfigurationKnowsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), newRecorder()
		c := received("e", provider.Unknown, "p", time.Now())
		c.Type = "payment.split"
		m.set(c)
		work(t, m, r, time.Second, nil)
		if c = m.get("e"); c.State != provider.Dead || c.Cause != provider.CauseUnknownType || len(r.called()) > 0 {
			t.Fatalf("%s: %s, after %v", c.State, c.Cause, r.called())
		}
		c.State = provider.Received // as a replay does
		m.set(c)
		work(t, m, r, time.Second, func(o *provider.WorkerOptions) { o.Config.Accounts["acme"].Triggers["payment.split"] = "captured" })
		if c = m.get("e"); c.State != provider.Applied || c.Trigger != "captured" {
			t.Errorf("replayed: %s as %s", c.State, c.Trigger)
		}
		ignored := received("i", provider.Unknown, "p", time.Now())
		ignored.Type = "payment.viewed"
		m.set(ignored)
		work(t, m, r, time.Second, nil)
		if c := m.get("i"); c.State != provider.Applied || slices.Contains(r.called(), "i") {
			t.Errorf("ignored: %s", c.State)
		}
	})
}

func TestWorkers_StopWhereTheLeaseIsLost(t *testing.T) {
	m, r := newMemory(), newRecorder()
	m.fenced = true
	m.set(received("e", "authorized", "p", time.Now().Add(-time.Second)))
	err := provider.NewWorkers(provider.WorkerOptions{Store: m, Apply: r.apply, Config: acme()}).Run(t.Context(), event.Lease{Home: home})
	if !errors.Is(err, event.ErrFenced) {
		t.Errorf("%v, want fenced", err)
	}
}

func TestWorkers_AtTheEndWriteDownWhatWasApplied(t *testing.T) {
	m, r := newMemory(), newRecorder()
	ctx, stop := context.WithCancel(t.Context())
	r.rule = func(e provider.Envelope, _ map[string]bool) provider.Answer {
		stop() // the node leaves while one is under way
		return provider.Answer{Verdict: provider.Done}
	}
	m.set(received("e", "authorized", "p", time.Now().Add(-time.Second)))
	m.set(received("f", "captured", "p", time.Now()))
	if err := provider.NewWorkers(provider.WorkerOptions{Store: m, Apply: r.apply, Config: acme()}).Run(ctx, event.Lease{Home: home}); err != nil {
		t.Fatal(err)
	}
	if m.get("e").State != provider.Applied || m.get("f").State != provider.Received {
		t.Errorf("%s and %s", m.get("e").State, m.get("f").State)
	}
}
