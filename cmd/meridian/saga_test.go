package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
)

// A withdrawal from the command to its end: started by one, approved by another, done by a worker, and explained.
func TestSaga_FromTheCommandToTheEnd(t *testing.T) {
	d := postgres(t)
	registry := prometheus.NewRegistry()
	svc, err := openService(t.Context(), storeFlags{url: d.URL, lanes: 1, maxGroup: 16, maxQueue: 16, writers: 3, readers: 2}, "", registry, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer svc.close()
	defer func() { _ = svc.Drain(t.Context()) }()
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []ledger.Command{
		{Kind: ledger.KindPlayer, Key: "known", Player: &ledger.PlayerChange{Player: "p7", KYC: ledger.KYCVerified}},
		{
			Kind: ledger.KindStep, Key: "paid", Amount: &ledger.Money{Minor: money.FromInt64(5000), Asset: "EUR"},
			Step: &ledger.Step{Payment: "deposit", Trigger: "receive", Player: "p7", Provider: "acme"},
		},
	} {
		c.Ledger = "brand"
		if o, err := ledger.Do(t.Context(), svc, c); err != nil || o.Decided != ledger.Posted {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	command := func(code int, args ...string) string {
		t.Helper()
		r := meridian(t, append(append([]string{"payment"}, args...), "--database-url", d.URL, "--ledger", "brand")...)
		if r.code != code {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", args, r.code, code, r.stdout, r.stderr)
		}
		return r.stdout + r.stderr
	}
	start := []string{
		"saga", "start", "withdrawal", "--key", "w-1", "--player", "p7", "--amount", "1000", "--asset", "EUR", "--provider", "acme", "--actor", "alice", "--four-eyes",
	}
	var started []struct {
		ID string `json:"saga_id"`
	}
	if err := json.Unmarshal([]byte(command(0, append(start, "--json")...)), &started); err != nil || len(started) != 1 {
		t.Fatal(err)
	}
	if again := command(0, start...); !strings.Contains(again, "started before") {
		t.Error(again)
	}
	key := started[0].ID
	workers := saga.NewWorkers(saga.WorkerOptions{Store: svc.Store, Books: svc, Desks: map[provider.Name]provider.Desk{"acme": &simulate.Orders{}}})
	until := func(state saga.State) string {
		t.Helper()
		tenure, taken, err := svc.Acquire(t.Context(), "eu", "worker", time.Minute)
		if err != nil || !taken {
			t.Fatalf("no lease: %v", err)
		}
		ctx, stop := contextUntil(t, func() bool {
			found, err := svc.Saga(t.Context(), "eu", "brand", saga.IDOf("brand", "w-1"))
			return err == nil && found.State == state
		})
		defer stop()
		if err := workers.Run(ctx, tenure.Lease); err != nil {
			t.Fatal(err)
		}
		if err := svc.Release(t.Context(), event.Lease{Home: "eu", Epoch: tenure.Epoch}); err != nil {
			t.Fatal(err)
		}
		return command(0, "saga", "show", key)
	}
	if shown := until(saga.Review); !strings.Contains(shown, "somebody other than alice to approve") {
		t.Error(shown)
	}
	if list := command(0, "saga", "stuck"); !strings.Contains(list, key) || !strings.Contains(list, "approval") {
		t.Error(list)
	}
	command(1, "saga", "approve", key, "--actor", "alice")
	command(1, "saga", "retry", key, "--actor", "bob")
	command(0, "saga", "approve", key, "--actor", "bob")
	if shown := until(saga.Completed); !strings.Contains(shown, "settle   done") || !strings.Contains(shown, "approved") {
		t.Error(shown)
	}
	command(1, "saga", "compensate", key, "--actor", "bob")
	byServer := serving(t, d.URL).URL
	if list := ok(t, "payment", "saga", "list", "--server", byServer, "--ledger", "brand"); list != command(0, "saga", "list") || !strings.Contains(list, "completed") {
		t.Errorf("a server lists\n%s", list)
	}
	if shown := ok(t, "payment", "saga", "show", key, "--server", byServer, "--ledger", "brand"); shown != command(0, "saga", "show", key) {
		t.Errorf("a server says\n%s", shown)
	}
	if next := ok(t, "payment", "saga", "list", "--server", byServer, "--ledger", "brand", "--after", key, "--json"); strings.TrimSpace(next) != "[]" {
		t.Errorf("behind the last: %s", next)
	}
	refused(t, meridian(t, "payment", "saga", "hand-over", key, "--ledger", "brand", "--actor", "a", "--choice", "perhaps", "--reason", "r"), "--choice perhaps")
}

// contextUntil returns a context that ends when something holds, which is asked again and again; after a minute the test fails.
func contextUntil(t *testing.T, holds func() bool) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	asked := time.NewTicker(50 * time.Millisecond)
	go func() {
		defer stop()
		defer asked.Stop()
		for range asked.C {
			if ctx.Err() != nil || holds() {
				return
			}
		}
	}()
	return ctx, stop
}
