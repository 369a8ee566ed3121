package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
)

// told is what one command's client was told.
type told struct {
	command ledger.Command
	outcome ledger.Outcome
	err     error
}

// drivers are clients that each send one command after another until they are refused.
type drivers struct {
	mu      sync.Mutex
	told    []told
	sent    int
	reached map[int]chan struct{} // closed when so many were answered
	running sync.WaitGroup
}

func drive(ctx context.Context, svc ledger.Service, clients int) *drivers {
	d := &drivers{reached: map[int]chan struct{}{}}
	for i := range clients {
		d.running.Go(func() {
			for n := 0; ; n++ {
				c, err := transferOf("brand-eu", []string{fmt.Sprintf("acc_%d", i%4), fmt.Sprintf("acc_%d", (i+1)%4), "1", "EUR"}, fmt.Sprintf("drive-%d-%d", i, n))
				if err == nil {
					d.send(ctx, svc, c)
				}
				if err != nil || d.over(c.Key) {
					return
				}
			}
		})
	}
	return d
}

func (d *drivers) send(ctx context.Context, svc ledger.Service, c ledger.Command) {
	d.mu.Lock()
	d.sent++
	d.mu.Unlock()
	o, err := ledger.Do(ctx, svc, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, told{c, o, err})
	for n, reached := range d.reached {
		if len(d.told) >= n {
			close(reached)
			delete(d.reached, n)
		}
	}
}

// over tells whether a command was refused.
func (d *drivers) over(key id.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.told) - 1; i >= 0; i-- {
		if d.told[i].command.Key == key {
			return d.told[i].err != nil
		}
	}
	return false
}

// more waits until so many more commands have their answers.
func (d *drivers) more(t *testing.T, n int) {
	t.Helper()
	d.mu.Lock()
	reached := make(chan struct{})
	d.reached[len(d.told)+n] = reached
	d.mu.Unlock()
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("not %d more answers in %s", n, patience)
	}
}

// outstanding is how many were sent and have no answer.
func (d *drivers) outstanding() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent - len(d.told)
}

// hold compares what clients were told with the journal: an answer is there as it was given, and an error means that nothing is.
func (d *drivers) hold(t *testing.T, books dbtest.Database) (answered, refusals int) {
	t.Helper()
	journal := store.New(books.DB)
	for _, c := range d.told {
		record, err := journal.Transaction(t.Context(), c.command.Ledger, c.command.ID())
		switch {
		case c.err == nil && err != nil:
			t.Errorf("%s was answered, and the journal says: %v", c.command.Key, err)
		case c.err == nil:
			answered++
			if record.Outcome.Decided != c.outcome.Decided || !record.Outcome.RecordedAt.Equal(c.outcome.RecordedAt) {
				t.Errorf("%s: the client was told %v, the journal says %v", c.command.Key, c.outcome, record.Outcome)
			}
		case err == nil:
			t.Errorf("%s was accepted and has no answer: the client was told %v", c.command.Key, c.err)
		case !errors.Is(err, errs.ErrTransactionNotFound):
			t.Errorf("%s: %v", c.command.Key, err)
		default:
			refusals++
			if code := errs.Of(c.err).Code; code != errs.Unavailable {
				t.Errorf("%s was refused with %v, want unavailable: %v", c.command.Key, code, c.err)
			}
		}
	}
	return answered, refusals
}

func wantProven(t *testing.T, books dbtest.Database) {
	t.Helper()
	report, err := verify.Run(t.Context(), books.DB, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Error(report.Verdict())
	}
}

var fourAccounts = []string{"acc_0", "acc_1", "acc_2", "acc_3"}

func TestServe_DrainAnswersWhatItAcceptedAndRefusesTheRest(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, books dbtest.Database) {
		s := serving(t, books.URL, "--drain-delay", "300ms")
		svc := s.furnish(t, fourAccounts...)
		load := drive(t.Context(), svc, 16)
		load.more(t, 50)
		s.terminate(t)
		s.logged(t, "draining")
		if code := s.exit(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		s.logged(t, "drained")
		load.running.Wait()
		answered, refusals := load.hold(t, books)
		if answered < 50 || refusals != 16 {
			t.Errorf("%d answers and %d refusals, want 50 and more, and one for each of 16 clients", answered, refusals)
		}
		wantProven(t, books)
	})
}

func TestServe_WhileItDrainsItIsNotReadyAndServesOn(t *testing.T) {
	books := postgres(t)
	s := serving(t, books.URL, "--drain-delay", "2s")
	load := drive(t.Context(), s.furnish(t, fourAccounts...), 4)
	load.more(t, 20)
	s.terminate(t)
	s.logged(t, "draining")
	// Not to be ready follows the log line at once, but not at the same time.
	var ready answer
	for deadline := time.Now().Add(time.Second); ready.code != http.StatusServiceUnavailable && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		ready = ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "")
	}
	if ready.code != http.StatusServiceUnavailable || !strings.Contains(ready.body, "not ready") {
		t.Errorf("/readyz: %d %s", ready.code, ready.body)
	}
	if got, err := healthOf(t.Context(), rpc.NewHTTPClient(nil, true), s.URL, "", connect.WithGRPC()); err != nil || got != "NOT_SERVING" {
		t.Errorf("gRPC health: %s, %v", got, err)
	}
	if a := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/healthz", ""); a.code != http.StatusOK {
		t.Errorf("/healthz: %d; it is not to be restarted", a.code)
	}
	load.more(t, 20) // load balancers have not heard of it yet
	if code := s.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	load.running.Wait()
	load.hold(t, books)
}

// The database stalls, so that every client has a command in flight when the signal comes.
func TestServe_DrainWaitsForGroupsInFlight(t *testing.T) {
	const clients = 12
	books := postgres(t)
	proxy := dbtest.NewProxy(t, books.URL)
	s := serving(t, proxy.URL())
	load := drive(t.Context(), s.furnish(t, fourAccounts...), clients)
	load.more(t, 50)
	proxy.Stall()
	for deadline := time.Now().Add(patience); !allInside(t, s, clients); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d commands are in flight", load.outstanding(), clients)
		}
	}
	s.terminate(t)
	s.logged(t, "draining")
	late, err := transferOf("brand-eu", []string{"acc_0", "acc_1", "1", "EUR"}, "too-late")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		if err := soon(t, s.client(), late); errors.Is(err, errs.ErrDraining) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("a new command gets %v, want %v", err, errs.ErrDraining)
		}
	}
	select {
	case <-s.ended:
		t.Fatal("it went away with commands in flight")
	default:
	}
	proxy.Heal()
	if code := s.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	load.running.Wait()
	load.hold(t, books)
	wantProven(t, books)
}

// soon asks with little time: what is accepted while the database stalls has to be left.
func soon(t *testing.T, svc ledger.Service, c ledger.Command) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := ledger.Do(ctx, svc, c)
	return err
}

// allInside tells whether so many commands wait for a group or are in one. A stalled group has taken what it could, so the rest waits.
func allInside(t *testing.T, s *server, clients int) bool {
	t.Helper()
	metrics := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/metrics", "").body
	var waiting, groups, accepted, answered float64
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n float64
		_, _ = fmt.Sscan(value, &n)
		switch {
		case strings.HasPrefix(name, "meridian_commands_waiting{"):
			waiting = n
		case strings.HasPrefix(name, "meridian_groups_in_flight{"):
			groups = n
		case strings.HasPrefix(name, "meridian_group_commands_sum{"):
			accepted = n
		case strings.HasPrefix(name, "meridian_outcomes_total{"), strings.HasPrefix(name, "meridian_replays_total{"):
			answered += n
		}
	}
	return groups > 0 && int(waiting+accepted-answered) == clients
}

// Without a delay: what ends the streams is the drain itself. Neither of the clients would ever end them.
func TestServe_StreamsDoNotHoldANodeThatDrains(t *testing.T) {
	s := serving(t, postgres(t).URL, "--drain-timeout", "10s")
	client := rpc.NewHTTPClient(nil, true)
	defer client.CloseIdleConnections()
	watch := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](client, s.URL+"/grpc.health.v1.Health/Watch", connect.WithGRPC())
	stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !stream.Receive() || stream.Msg().GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("the watch begins with %v: %v", stream.Msg(), stream.Err())
	}
	reflection := grpcreflect.NewClient(client, s.URL, connect.WithGRPC()).NewStream(t.Context())
	if _, err := reflection.ListServices(); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)
	if !stream.Receive() || stream.Msg().GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("a watcher of a node that leaves hears %v: %v", stream.Msg(), stream.Err())
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("the watch ends with %v", stream.Err())
	}
	if code := s.exit(t, patience); code != 0 { // it would be 1 after the timeout
		t.Errorf("exit code %d: %s", code, s.errors.String())
	}
}

func TestServe_GivesUpDrainingInTime(t *testing.T) {
	books := postgres(t)
	proxy := dbtest.NewProxy(t, books.URL)
	s := serving(t, proxy.URL(), "--drain-timeout", "500ms")
	load := drive(t.Context(), s.furnish(t, fourAccounts...), 4)
	load.more(t, 20)
	proxy.Stall()
	for deadline := time.Now().Add(patience); !allInside(t, s, 4); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no command is in flight")
		}
	}
	s.terminate(t)
	if code := s.exit(t, 20*time.Second); code != 1 {
		t.Errorf("exit code %d, want 1: commands were cut off", code)
	}
	if text := s.errors.String(); !strings.Contains(text, "meridian: drain: ") {
		t.Errorf("stderr: %s", text)
	}
	load.running.Wait()
	wantProven(t, books)
}
