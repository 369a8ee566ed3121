package sim

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// until ends a run after so many commands.
func until(svc ledger.Service, commands int64) (context.Context, ledger.Service) {
	ctx, cancel := context.WithCancel(context.Background())
	var calls atomic.Int64
	return ctx, faulty{svc, func(ctx context.Context, svc ledger.Service, b ledger.Batch) ([]ledger.Result, error) {
		results, err := svc.Execute(ctx, b)
		if calls.Add(1) >= commands {
			cancel()
		}
		return results, err
	}}
}

// shelf keeps books in maps, for measurements: the model adds up all lines of an account for each new one, which takes a history of 100,000
// commands out of reach. It posts every debit, credit, transfer and post, and declines all else.
type shelf struct {
	ledger.Service
	mu       sync.Mutex
	accounts map[ledger.Ref]*ledger.Account
	lines    map[ledger.Ref][]ledger.StatementLine
	journal  map[id.Transaction]ledger.Outcome
}

func (s *shelf) Execute(_ context.Context, b ledger.Batch) (results []ledger.Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range b.Commands {
		o, again := s.journal[c.ID()]
		if o.Replayed = again; !again {
			o = ledger.Outcome{Transaction: c.ID(), Ledger: c.Ledger, Key: c.Key, Kind: c.Kind, Decided: ledger.Posted, RecordedAt: time.Now()}
			moves := effect(c, nil)
			if c.Kind == ledger.KindOpen {
				moves[ledger.Ref{Ledger: c.Ledger, Account: c.Account}] = []money.Amount{{}}
			} else if c.Kind == ledger.KindHold || len(moves) == 0 {
				o.Decided, o.Reason, moves = ledger.Declined, errs.ReasonAccountFrozen, nil
			}
			for ref, amounts := range moves {
				for _, amount := range amounts {
					o.Entries = append(o.Entries, s.enter(o, ref, amount))
				}
			}
			s.journal[o.Transaction] = o
		}
		results = append(results, ledger.Result{Outcome: o})
	}
	return results, nil
}

func (s *shelf) enter(o ledger.Outcome, ref ledger.Ref, amount money.Amount) ledger.Entry {
	a := s.accounts[ref]
	if a == nil {
		a = &ledger.Account{Ref: ref, Normal: ledger.Credit}
		s.accounts[ref] = a
	}
	a.Sequence++
	a.PostedCredits = plus(a.PostedCredits, amount)
	e := ledger.Entry{Ref: ref, Sequence: a.Sequence, Amount: amount, Balance: a.PostedCredits}
	s.lines[ref] = append(s.lines[ref], ledger.StatementLine{Entry: e, Transaction: o.Transaction, Kind: o.Kind})
	return e
}

func (s *shelf) Account(_ context.Context, ref ledger.Ref, _ time.Time) (ledger.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.accounts[ref], nil
}

func (s *shelf) Accounts(_ context.Context, name id.Ledger, after id.Account, limit int) (page []ledger.Account, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range slices.SortedFunc(maps.Keys(s.accounts), compareRefs) {
		if ref.Ledger == name && ref.Account > after && len(page) < limit {
			page = append(page, *s.accounts[ref])
		}
	}
	return page, nil
}

func (s *shelf) Entries(_ context.Context, ref ledger.Ref, page ledger.EntryPage) ([]ledger.StatementLine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines[ref][page.After:]
	return lines[:min(page.Limit, len(lines))], nil
}

func (s *shelf) Transaction(_ context.Context, _ id.Ledger, t id.Transaction) (ledger.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ledger.Record{Outcome: s.journal[t]}, nil
}

// big is a shelf with many accounts.
func big(b *testing.B) (Workload, *shelf) {
	b.Helper()
	w := Workload{Ledgers: []id.Ledger{"brand-eu", "brand-us"}, Accounts: 500, Hot: 8, Seed: 7}
	books := &shelf{accounts: map[ledger.Ref]*ledger.Account{}, lines: map[ledger.Ref][]ledger.StatementLine{}, journal: map[id.Transaction]ledger.Outcome{}}
	if err := w.Open(b.Context(), books); err != nil {
		b.Fatal(err)
	}
	return w, books
}

// canned answers every command without doing anything, and makes each answer anew, as one that comes over the wire is.
type canned struct{ ledger.Service }

func (canned) Execute(_ context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	c := batch.Commands[0]
	o := ledger.Outcome{
		Transaction: c.ID(), Ledger: id.Ledger([]byte(c.Ledger)), Key: id.Key([]byte(c.Key)), Kind: c.Kind, Decided: ledger.Posted, RecordedAt: time.Unix(1, 0),
		Entries: []ledger.Entry{
			{Ref: ledger.Ref{Ledger: id.Ledger([]byte(c.Ledger)), Account: id.Account([]byte(c.Account))}, Sequence: 1, Amount: money.FromInt64(-1)},
			{Ref: ledger.Ref{Ledger: id.Ledger([]byte(c.Ledger)), Account: id.Account([]byte(c.Counter))}, Sequence: 1, Amount: money.FromInt64(1)},
		},
	}
	return []ledger.Result{{Outcome: o}}, nil
}

// BenchmarkRun is what it costs to make up a command, send it to a service that does nothing, and keep its history: time of one client, and
// what stays in memory.
func BenchmarkRun(b *testing.B) {
	w, _ := big(b)
	ctx, svc := until(canned{}, int64(b.N))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	h := Run(ctx, w, ring(svc), Options{Clients: 1, Duration: time.Hour})
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc))/float64(len(h.Calls)), "kept-B/command")
	b.ReportMetric(float64(len(h.Calls)), "commands")
}

// BenchmarkJudge is each check on the history of 100,000 commands and 25,000 reads, with a shelf as the books.
func BenchmarkJudge(b *testing.B) {
	const commands = 115_000
	w, books := big(b)
	ctx, svc := until(books, commands)
	h := Run(ctx, w, ring(svc, svc, svc), Options{Clients: 48, Duration: time.Hour, Reads: 0.2})
	h.Settle(b.Context(), books)
	began, rounds := cpu(b), 0
	for b.Loop() {
		rounds++
		verdicts, _ := h.Judge(b.Context(), w, books, Judging{})
		for _, v := range verdicts {
			if v.Status != Passed {
				b.Fatal(v)
			}
			b.ReportMetric(float64(v.Took.Milliseconds()), "ms/"+v.Checker)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64((cpu(b)-began).Milliseconds())/float64(rounds), "cpu-ms/all")
	fmt.Fprintf(b.Output(), "%d commands, %d reads\n", len(h.Calls), len(h.Reads))
}

// cpu is what this process has used: on a machine that others share, the clock says little.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
