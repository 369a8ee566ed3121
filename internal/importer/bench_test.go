package importer

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// forgetful answers that everything is posted, and remembers nothing: what is left is the importer alone.
func forgetful() through {
	return through{Service: newShelf(), execute: func(_ context.Context, batch ledger.Batch) ([]ledger.Result, error) {
		results := make([]ledger.Result, len(batch.Commands))
		for i, c := range batch.Commands {
			results[i].Outcome = ledger.Outcome{Kind: c.Kind, Decided: ledger.Posted}
		}
		return results, nil
	}}
}

func BenchmarkRun(b *testing.B) {
	var data bytes.Buffer
	if err := Generate(&data, 20_000, 1); err != nil {
		b.Fatal(err)
	}
	m := berka(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Run(b.Context(), forgetful(), m, bytes.NewReader(data.Bytes()), Options{Ledger: bank})
		if err != nil || s.Posted != 20_000 {
			b.Fatal(s, err)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// TestRun_MemoryStaysBounded imports a stream of 200,000 rows, which has 12 MB, of 5,000 accounts. What may be reachable after a batch is
// what the importer remembers and the batch, about 5 MB; a file or a list of rows would stand out.
func TestRun_MemoryStaysBounded(t *testing.T) {
	const rows, bound = 200_000, 8 << 20
	in, out := io.Pipe()
	go func() { out.CloseWithError(Generate(out, rows, 1)) }()
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, batches := live(), uint64(0), 0
	s, err := Run(t.Context(), forgetful(), berka(t), in, Options{Ledger: bank, Progress: func(Progress) {
		if batches++; batches%10 == 0 {
			most = max(most, live()-before)
		}
	}})
	if err != nil || s.Posted != rows {
		t.Fatalf("%+v, %v", s, err)
	}
	t.Logf("%d rows, %d bytes, most reachable %d bytes", s.Rows, s.Bytes, most)
	if most > bound {
		t.Errorf("%d bytes were reachable, want at most %d", most, bound)
	}
}
