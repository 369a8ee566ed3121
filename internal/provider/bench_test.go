package provider_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/store"
)

// How many callbacks a second are verified, stored and answered over HTTP by 64 connections, on a database of its own that waits for its disk. One
// statement a request is what a straightforward program does; both have the same eight connections to the database. "handler" leaves the network
// of the client out: what a server has to do.
func BenchmarkIntake(b *testing.B) {
	for _, way := range []struct {
		name   string
		limits provider.WriterLimits
		http   bool
	}{
		{"http/grouped", provider.WriterLimits{}, true},
		{"http/one-insert-per-request", provider.WriterLimits{Lanes: 8, Group: 1}, true},
		{"handler/grouped", provider.WriterLimits{}, false},
		{"handler/one-insert-per-request", provider.WriterLimits{Lanes: 8, Group: 1}, false},
	} {
		b.Run(way.name, func(b *testing.B) {
			d := dbtest.New(b, cluster.PostgreSQL)
			in := provider.NewIntake(provider.IntakeOptions{
				Config: acme(), Writer: provider.NewWriter(store.New(d.DB), way.limits, nil),
				HomeOf: func(context.Context, id.Ledger) (id.Home, error) { return home, nil },
			})
			server := httptest.NewServer(in)
			defer server.Close()
			const clients = 64
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients}}
			send := func(r *http.Request) (int, error) {
				if !way.http {
					w := httptest.NewRecorder()
					in.ServeHTTP(w, r)
					return w.Code, nil
				}
				answer, err := client.Do(r)
				if err != nil {
					return 0, err
				}
				defer answer.Body.Close()
				_, err = io.Copy(io.Discard, answer.Body)
				return answer.StatusCode, err
			}
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			began, spent := time.Now(), processor(b)
			for range clients {
				all.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						text := body(fmt.Sprint("evt_", n), "payment.captured", fmt.Sprint("p", n/3), 500, began)
						url := "/v1/providers/acme/callbacks"
						if way.http {
							url = server.URL + url
						}
						r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(text))
						if err != nil {
							b.Error(err)
							return
						}
						r.RemoteAddr = "203.0.113.1:1"
						provider.SignStripe(r.Header, "Stripe-Signature", []byte(secret), text, time.Now())
						if code, err := send(r); err != nil || code != http.StatusOK {
							b.Errorf("%d, %v", code, err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "callbacks/s")
			b.ReportMetric(float64((processor(b)-spent).Microseconds())/float64(b.N), "cpu-µs/callback") // of this process: clients as well, the database not
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processor is the processor time that this process has spent, which a busy machine does not change much.
func processor(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
