package provider_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/store"
)

// watched tells of what is settled.
type watched struct {
	*store.Store
	settled chan int
}

func (w watched) SettleCallbacks(ctx context.Context, lease event.Lease, all []provider.Callback) error {
	err := w.Store.SettleCallbacks(ctx, lease, all)
	done := 0
	for _, c := range all {
		if err == nil && c.State == provider.Applied {
			done++
		}
	}
	w.settled <- done
	return err
}

// Three events of each payment, in any order, on the tables of each engine, under a lease; then another owner takes it.
func TestWorkers_OnTheTablesApplyEveryPaymentAndStopWhenFenced(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := watched{store.New(d.DB), make(chan int, 10_000)}
		tenure, taken, err := s.Acquire(t.Context(), home, "one", time.Nanosecond)
		if err != nil || !taken {
			t.Fatalf("no lease: %v", err)
		}
		const payments = 60
		var all []provider.Callback
		began := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Minute)
		for n := range payments {
			for i, trigger := range []string{"authorized", "captured", "settled"} {
				c := received(fmt.Sprintf("%d-%d", n, i), trigger, fmt.Sprint("p", n), began)
				c.OccurredAt = time.Time{} // nothing but the lifecycle says in which order they happened
				all = append(all, c)
			}
		}
		rand.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		r := newRecorder()
		r.rule = lifecycle
		w := provider.NewWorkers(provider.WorkerOptions{Store: s, Apply: r.apply, Config: acme(), Limits: provider.WorkerLimits{Page: 20, Poll: 10 * time.Millisecond}})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx, tenure.Lease) }()
		for at := 0; at < len(all); at += 30 {
			if err := provider.NewWriter(s, provider.WriterLimits{Patience: time.Minute}, nil).Put(t.Context(), home, all[at:at+30]); err != nil {
				t.Fatal(err)
			}
			w.Wake(home)
		}
		late := time.After(time.Minute)
		for done := 0; done < len(all); {
			select {
			case n := <-s.settled:
				done += n
			case err := <-ended:
				t.Fatalf("it ended: %v", err)
			case <-late:
				t.Fatalf("%d of %d are applied", done, len(all))
			}
		}
		for _, wrong := range r.broken {
			t.Error(wrong)
		}
		if _, taken, err := s.Acquire(t.Context(), home, "two", time.Hour); err != nil || !taken {
			t.Fatalf("the lease is not free: %v", err)
		}
		if err := provider.NewWriter(s, provider.WriterLimits{}, nil).Put(t.Context(), home, []provider.Callback{received("last", "declined", "q", began)}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it ended without an error")
			}
		case <-late:
			t.Error("another owner has the lease, and it goes on")
		}
		if c, err := s.Callback(t.Context(), home, books, "acme", "last"); err != nil || c.State != provider.Received {
			t.Errorf("under the old lease it was written down: %s, %v", c.State, err)
		}
	})
}
