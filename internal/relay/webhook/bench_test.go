package webhook_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// BenchmarkDeliver measures deliveries over TLS to an endpoint in the same process, so half of the work is the endpoint's.
func BenchmarkDeliver(b *testing.B) {
	for _, protocol := range []string{"http1", "http2"} {
		b.Run(protocol, func(b *testing.B) {
			ca := newAuthority(b)
			port := serve(b, ca.config(b), protocol == "http2", func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusNoContent)
			})
			s := open(b, given{port: port, ca: ca})
			m := message(1, `{"data":"`+strings.Repeat("x", 1200)+`"}`)
			b.ReportAllocs()
			work := make(chan struct{})
			var all sync.WaitGroup
			for range s.Shape().Parallel {
				all.Go(func() {
					for range work {
						if _, err := s.Deliver(context.Background(), []sink.Message{m}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}
