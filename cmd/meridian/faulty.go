//go:build faulty

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// This file is in no build but those with the tag faulty: servers that break a promise on purpose, so that it can be seen that a drill
// notices. A drill that passes on one of them is a bug.

// promises are those that can be broken, by the checker that has to notice.
var promises = map[string]func(ledger.Service, rpc.Stream) (ledger.Service, rpc.Stream){
	"lost_write":    func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return &forgetful{Service: s}, e },
	"double_effect": func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return &eager{Service: s}, e },
	"wrong_answer":  func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return &moody{Service: s}, e },
	"stale_read": func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) {
		return &stale{Service: s, seen: map[ledger.Ref]seen{}}, e
	},
	"missing_event": func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return s, &leaky{Stream: e} },
	"broken_order":  func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return s, &shuffled{Stream: e} },
}

func init() {
	var name string
	breaks = func(cmd *cobra.Command) { cmd.Flags().StringVar(&name, "faulty", "", "the promise to break") }
	sabotage = func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) {
		if name == "" {
			return s, e
		}
		broken, known := promises[name]
		if !known {
			panic(fmt.Sprintf("nobody knows how to break %q", name))
		}
		return broken(s, e)
	}
}

// nth counts, and says yes to one of n.
type nth struct{ count atomic.Int64 }

func (e *nth) one(n int64) bool { return e.count.Add(1)%n == 0 }

// moves tells whether a batch is one command of a client that moves money.
func moves(b ledger.Batch) bool {
	return len(b.Commands) == 1 && !b.DryRun && (b.Commands[0].Kind == ledger.KindTransfer || b.Commands[0].Kind == ledger.KindCredit)
}

// forgetful answers some commands without executing them.
type forgetful struct {
	ledger.Service
	nth
}

func (f *forgetful) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	if !moves(b) || !f.one(40) {
		return f.Service.Execute(ctx, b)
	}
	b.DryRun = true
	results, err := f.Service.Execute(ctx, b)
	for i := range results {
		results[i].Outcome.DryRun = false
	}
	return results, err
}

// eager executes some commands twice, the second time under a key of its own.
type eager struct {
	ledger.Service
	nth
}

func (f *eager) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	results, err := f.Service.Execute(ctx, b)
	if err == nil && moves(b) && f.one(40) {
		again := b
		again.Commands = []ledger.Command{b.Commands[0]}
		again.Commands[0].Key += "-again"
		_, _ = f.Service.Execute(ctx, again)
	}
	return results, err
}

// moody answers some repeats otherwise than the first time.
type moody struct {
	ledger.Service
	nth
}

func (f *moody) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	results, err := f.Service.Execute(ctx, b)
	for i, r := range results {
		if r.Err == nil && r.Outcome.Replayed && len(r.Outcome.Entries) > 0 && f.one(10) {
			entries := append([]ledger.Entry(nil), r.Outcome.Entries...)
			entries[0].Balance, _ = entries[0].Balance.Add(money.FromInt64(1))
			results[i].Outcome.Entries = entries
		}
	}
	return results, err
}

// stale answers reads of an account from memory, for half a second.
type stale struct {
	ledger.Service
	mu   sync.Mutex
	seen map[ledger.Ref]seen
}

type seen struct {
	account ledger.Account
	at      time.Time
}

func (f *stale) Account(ctx context.Context, ref ledger.Ref, asOf time.Time) (ledger.Account, error) {
	f.mu.Lock()
	had, found := f.seen[ref]
	f.mu.Unlock()
	if found && asOf.IsZero() && time.Since(had.at) < 500*time.Millisecond {
		return had.account, nil
	}
	a, err := f.Service.Account(ctx, ref, asOf)
	if err == nil && asOf.IsZero() {
		f.mu.Lock()
		f.seen[ref] = seen{a, time.Now()}
		f.mu.Unlock()
	}
	return a, err
}

// leaky does not send every hundredth event.
type leaky struct{ rpc.Stream }

func (f *leaky) Events(ctx context.Context, home id.Home, after event.Position, limit int) ([]event.Event, error) {
	events, err := f.Stream.Events(ctx, home, after, limit)
	kept := events[:0]
	for i, e := range events {
		if e.Position%100 != 0 || i == len(events)-1 { // a page that ends with a gap would be asked for again
			kept = append(kept, e)
		}
	}
	return kept, err
}

// shuffled sends the events of a page in the wrong order.
type shuffled struct{ rpc.Stream }

func (f *shuffled) Events(ctx context.Context, home id.Home, after event.Position, limit int) ([]event.Event, error) {
	events, err := f.Stream.Events(ctx, home, after, limit)
	for i := 0; i+2 < len(events); i += 2 { // the last keeps its place, from which the next page goes on
		events[i], events[i+1] = events[i+1], events[i]
	}
	return events, err
}
