package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
)

const benchProviders = `providers:
  acme:
    ledger: brand
    verify: [{scheme: ip, allow: [127.0.0.0/8]}]
    fields: {event_id: id, type: type, payment: payment, amount: amount, currency: currency}
    triggers: {captured: capture}
`

// benchServer is a server of payments and callbacks on PostgreSQL, which waits for its disk.
func benchServer(b *testing.B, groups commit.Options) (base string, client *http.Client) {
	b.Helper()
	books := store.New(dbtest.New(b, cluster.PostgreSQL).DB)
	groups.Lifecycle = payment.Default().Lifecycle()
	n := node{books, commit.New(books, groups)}
	b.Cleanup(func() {
		if err := n.Drain(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if _, err := n.CreateLedger(b.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		b.Fatal(err)
	}
	config, err := provider.Parse("providers.yaml", []byte(benchProviders), provider.System)
	if err != nil {
		b.Fatal(err)
	}
	intake := provider.NewIntake(provider.IntakeOptions{
		Config: config, Writer: provider.NewWriter(books, provider.WriterLimits{}, nil), HomeOf: func(context.Context, id.Ledger) (id.Home, error) { return "eu", nil },
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewHandler(n, rpc.Options{DefaultLedger: "brand", Payments: books, Callbacks: intake}), nil)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	client = rpc.NewHTTPClient(nil, false)
	b.Cleanup(func() {
		client.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
	return "http://" + listener.Addr().String(), client
}

// BenchmarkPayments is how many deposits a second are authorized, captured and settled by 256 clients, with three calls each. A transaction a step is
// what a straightforward program does; both have the same eight connections to the database.
func BenchmarkPayments(b *testing.B) {
	for _, way := range []struct {
		name   string
		groups commit.Options
	}{
		{"grouped", commit.Options{}},
		{"one-transaction-per-step", commit.Options{Lanes: 8, MaxGroup: 1}},
	} {
		b.Run(way.name, func(b *testing.B) { payDeposits(b, way.groups) })
	}
}

func payDeposits(b *testing.B, groups commit.Options) {
	base, client := benchServer(b, groups)
	c := rpc.NewPaymentClient(client, base)
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range 256 {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				var made id.Transaction
				for _, on := range []ledger.Trigger{"authorize", "capture", "settle"} {
					command := ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: id.Key(fmt.Sprint(on, n)), Target: made, Step: &ledger.Step{Payment: "deposit", Trigger: on}}
					if made.IsZero() {
						command.Amount, command.Step.Player, command.Step.Provider = euros(1000), id.Player(fmt.Sprint("p", n%1000)), fmt.Sprint("psp", n%8)
						command.Step.ProviderReference = fmt.Sprint("ref", n)
					}
					o, err := c.Do(b.Context(), command, false)
					if err != nil || o.Decided != ledger.Posted {
						b.Errorf("%s: %s %v", on, o.Reason, err)
						return
					}
					if made.IsZero() {
						made = o.Transaction
					}
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

// BenchmarkIntakeBesideLedger is how long transfers take at 200 a second, how long when callbacks come in beside them, and how long when the same requests
// go to a handler that throws them away, which is what the client and HTTP take of the machine. Turns of each alternate, so that all meet the same machine.
func BenchmarkIntakeBesideLedger(b *testing.B) {
	for _, rate := range []int{300, 1000, 5000} {
		b.Run(fmt.Sprintf("callbacks=%d/s", rate), func(b *testing.B) { transferBesideCallbacks(b, rate) })
	}
}

func transferBesideCallbacks(b *testing.B, callbacks int) {
	base, client := benchServer(b, commit.Options{})
	books := rpc.NewClient(client, base)
	for i := range 100 {
		c := ledger.Command{Kind: ledger.KindOpen, Ledger: "brand", Key: id.Key(fmt.Sprint("o", i)), Account: id.Account(fmt.Sprint("a", i)), Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit}}
		if o, err := ledger.Do(b.Context(), books, c); err != nil || o.Decided != ledger.Posted {
			b.Fatal(o, err)
		}
	}
	transfer := func(n int64) error {
		o, err := ledger.Do(b.Context(), books, ledger.Command{
			Kind: ledger.KindTransfer, Ledger: "brand", Key: id.Key(fmt.Sprint("t", n)), Account: id.Account(fmt.Sprint("a", n%100)),
			Counter: id.Account(fmt.Sprint("a", (n*7+1)%100)), Amount: euros(1),
		})
		if err == nil && o.Decided != ledger.Posted {
			err = fmt.Errorf("%s", o.Reason)
		}
		return err
	}
	away := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer away.Close()
	callback := func(to string, n int64) error {
		body := fmt.Appendf(nil, `{"id":"evt_%d","type":"captured","payment":"p%d","amount":500,"currency":"EUR"}`, n, n/3)
		answer, err := client.Post(to+"/v1/providers/acme/callbacks", "application/json", bytes.NewReader(body)) //nolint:noctx // as long as the benchmark
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("callback: %s", answer.Status)
		}
		return nil
	}
	var serial atomic.Int64
	turn := func(rate int, lasts time.Duration, do func(int64) error) (took []time.Duration) { // by 64 clients; each call has its time, and waits count
		var mu sync.Mutex
		var all sync.WaitGroup
		var next atomic.Int64
		began := time.Now()
		for range 64 {
			all.Go(func() {
				for i := next.Add(1); i <= int64(lasts.Seconds()*float64(rate)); i = next.Add(1) {
					due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
					time.Sleep(time.Until(due))
					if err := do(serial.Add(1)); err != nil {
						b.Error(err)
					}
					mu.Lock()
					took = append(took, time.Since(due))
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return took
	}
	turn(200, 2*time.Second, transfer) // so that caches and plans are warm
	took := map[string][]time.Duration{}
	var flooded time.Duration
	for b.Loop() {
		took["alone"] = append(took["alone"], turn(200, 3*time.Second, transfer)...)
		for name, to := range map[string]string{"beside": base, "beside-no-intake": away.URL} {
			flood, began := make(chan struct{}), time.Now()
			go func() {
				defer close(flood)
				turn(callbacks, 3*time.Second, func(n int64) error { return callback(to, n) })
			}()
			took[name] = append(took[name], turn(200, 3*time.Second, transfer)...)
			if <-flood; to == base {
				flooded += time.Since(began)
			}
		}
	}
	b.ReportMetric(float64(3*callbacks*b.N)/flooded.Seconds(), "callbacks/s")
	for name, took := range took {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}
