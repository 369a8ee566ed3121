package rpc

import (
	"context"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// constant answers every transfer with the same outcome, so that what is measured is the wire alone.
type constant struct{ ledger.Service }

func (constant) Execute(_ context.Context, b ledger.Batch) ([]ledger.Result, error) {
	out := make([]ledger.Result, len(b.Commands))
	for i, c := range b.Commands {
		at := time.Unix(1_700_000_000, 0)
		entry := func(a id.Account, n int64) ledger.Entry {
			return ledger.Entry{Ref: ledger.Ref{Ledger: c.Ledger, Account: a}, Sequence: 7, Amount: money.FromInt64(n), Balance: money.FromInt64(100_000)}
		}
		out[i].Outcome = ledger.Outcome{
			Transaction: c.ID(), Ledger: c.Ledger, Key: c.Key, Kind: c.Kind, Decided: ledger.Posted, EffectiveAt: at, RecordedAt: at,
			Entries: []ledger.Entry{entry(c.Account, -5), entry(c.Counter, 5)},
		}
	}
	return out, nil
}

// BenchmarkTransfer is one call over the loopback, client and server in this process.
func BenchmarkTransfer(b *testing.B) {
	transfer := func(key string) ledger.Command {
		return ledger.Command{
			Kind: ledger.KindTransfer, Ledger: "shop-eu", Key: id.Key(key), Account: "acc_42", Counter: "acc_43",
			Amount: &ledger.Money{Minor: money.FromInt64(5), Asset: "EUR"},
		}
	}
	for _, s := range surfaces[:5] {
		b.Run(s.name, func(b *testing.B) {
			c := s.client(b, serve(b, constant{}, Options{}))
			batch := ledger.Batch{Commands: []ledger.Command{transfer("k")}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Execute(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("batch of 500", func(b *testing.B) {
		c := surfaces[0].client(b, serve(b, constant{}, Options{}))
		batch := ledger.Batch{}
		for range 500 {
			batch.Commands = append(batch.Commands, transfer("k"))
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Execute(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "transfers/s")
	})
}
