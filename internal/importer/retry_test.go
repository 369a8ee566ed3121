package importer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestRun_InterruptedAtAnyRowAndRunAgainIsTheSameAsUninterrupted(t *testing.T) {
	data := generated(t, 1500)
	whole := newShelf()
	if s, err := Run(t.Context(), whole, berka(t), bytes.NewReader(data), Options{Ledger: bank, Batch: 100}); err != nil || s.Posted != 1500 {
		t.Fatal(s, err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5 {
		svc := newShelf()
		runs := 0
		for posted := int64(0); posted < 1500; runs++ {
			s, err := interrupted(t, svc, data, random)
			posted = s.Posted + s.Replayed
			if err != nil && !errors.Is(err, context.Canceled) || runs > 200 {
				t.Fatalf("seed %d, run %d: %+v, %v", seed, runs, s, err)
			}
		}
		whole.same(t, svc)
		if t.Failed() {
			t.Fatalf("seed %d: after %d runs", seed, runs)
		}
	}
}

// interrupted imports until a random moment: while a row is read, before a batch is executed, or after it was and before its answer arrives.
func interrupted(t *testing.T, svc ledger.Service, data []byte, random *rand.Rand) (Summary, error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches, rows := random.IntN(20), random.IntN(2500)
	after := random.IntN(2) == 0
	broken := through{Service: svc, execute: func(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
		if batches--; batches >= 0 {
			return svc.Execute(ctx, b)
		}
		if after {
			if _, err := svc.Execute(ctx, b); err != nil {
				return nil, err
			}
		}
		cancel()
		return nil, errs.ErrCanceled
	}}
	in := readFunc(func(p []byte) (int, error) {
		if rows--; rows < 0 {
			cancel()
		}
		n := copy(p[:min(len(p), 100)], data)
		data = data[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	})
	return Run(ctx, broken, berka(t), in, Options{Ledger: bank, Batch: 100})
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestRun_InterruptedOnADatabase gives each run a short time, at the end of which a group may be on its way, and the next run meets it.
func TestRun_InterruptedOnADatabase(t *testing.T) {
	data := generated(t, 600)
	sums, _ := runningSums(t, data)
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		svc := onDatabase(t, d)
		createBank(t, svc)
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		runs, posted := 0, int64(0)
		for done := false; !done; runs++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(runs+random.IntN(4))*40*time.Millisecond)
			s, err := Run(ctx, svc, berka(t), bytes.NewReader(data), Options{Ledger: bank, Batch: 100})
			cancel()
			done, posted = err == nil, posted+s.Posted
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("seed %d, run %d: %+v, %v", seed, runs, s, err)
			}
		}
		if posted > 600 {
			t.Errorf("seed %d: %d rows were posted in %d runs", seed, posted, runs)
		}
		holds(t, customers(t, svc), sums)
		t.Logf("%d runs", runs)
	})
}

func TestRun_RetriesWithTheSameKeysWhatMayPass(t *testing.T) {
	for _, trouble := range []error{errs.ErrUnavailable, errs.ErrOverloaded, errs.ErrDeadlineExceeded, errs.ErrContended, errs.ErrOutcomeUnknown, errs.ErrDraining, errs.ErrCanceled} {
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				svc, calls := newShelf(), 0
				broken := through{Service: svc, execute: func(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
					if calls++; calls%3 == 0 {
						return svc.Execute(ctx, b)
					}
					if after {
						if _, err := svc.Execute(ctx, b); err != nil {
							return nil, err
						}
					}
					return nil, trouble
				}}
				var waits []time.Duration
				s, report := load(t, broken, berka(t), file(deposit, withdrawal, standing), Options{
					Batch: 3, Retry: func(err error, wait time.Duration) {
						if !errors.Is(err, trouble) {
							t.Errorf("%v, want %v", err, trouble)
						}
						waits = append(waits, wait)
					},
				})
				if s.Posted+s.Replayed != 3 || s.Retries != 6 || len(waits) != 6 || len(report) != 0 {
					t.Errorf("%v: %+v, waits %v, %v", trouble, s, waits, report)
				}
				if got := svc.balances("berka:")["berka:7"]; got != money.FromInt64(40000) {
					t.Errorf("%v: the balance is %s, want 400.00", trouble, got)
				}
			})
		}
	}
}

func TestRun_ABatchThatIsAnsweredInPartIsSentAgainWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, calls := newShelf(), 0
		broken := through{Service: svc, execute: func(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
			if calls++; calls%2 == 0 {
				return svc.Execute(ctx, b)
			}
			results := make([]ledger.Result, len(b.Commands))
			for i := range results {
				results[i].Err = errs.ErrUnavailable
			}
			done, err := svc.Execute(ctx, ledger.Batch{Commands: b.Commands[:len(b.Commands)-1]})
			copy(results, done)
			return results, err
		}}
		s, report := load(t, broken, berka(t), file(deposit, withdrawal, standing), Options{Batch: 3})
		if s.Posted != 3 || s.Replayed != 0 || int(s.Retries) != calls/2 || len(report) != 0 {
			t.Errorf("%+v after %d calls, %v; want three rows of this run and none refused", s, calls, report)
		}
		if got := svc.balances("berka:")["berka:7"]; got != money.FromInt64(40000) {
			t.Errorf("the balance is %s, want 400.00", got)
		}
	})
}

func TestRun_GivesUpWhenPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newShelf()
		calls := 0
		broken := through{Service: svc, execute: func(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
			if calls++; calls == 1 {
				return svc.Execute(ctx, b)
			}
			<-ctx.Done() // a server that never answers
			return nil, errs.ErrDeadlineExceeded
		}}
		started := time.Now()
		s, err := Run(t.Context(), broken, berka(t), file(deposit, withdrawal, standing), Options{Ledger: bank, Batch: 3, Attempt: time.Second, Patience: time.Minute})
		if !errors.Is(err, errs.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "after line 2: gave up after") {
			t.Errorf("%v", err)
		}
		if spent := time.Since(started); spent < time.Minute || spent > time.Minute+7*time.Second {
			t.Errorf("it gave up after %s", spent)
		}
		if s.Posted != 1 || s.Line != 2 {
			t.Errorf("%+v, want the first row", s)
		}
	})
}

func TestRun_ErrorsThatNoRepeatMendsEndItAtOnce(t *testing.T) {
	for _, trouble := range []error{errs.ErrInternal, errs.ErrLedgerNotFound, errs.New(errs.PermissionDenied, "PERMISSION_DENIED", "no")} {
		calls := 0
		svc := through{Service: newShelf(), execute: func(context.Context, ledger.Batch) ([]ledger.Result, error) {
			calls++
			return nil, trouble
		}}
		s, err := Run(t.Context(), svc, berka(t), file(deposit), Options{Ledger: bank})
		if !errors.Is(err, trouble) || calls != 1 || s.Rows != 0 {
			t.Errorf("%v after %d calls, %+v; want %v", err, calls, s, trouble)
		}
	}
}

// TestRun_LostCommitsDoubleNothing cuts the line to the database at commits, before and after the database executed them.
func TestRun_LostCommitsDoubleNothing(t *testing.T) {
	data := generated(t, 800)
	sums, _ := runningSums(t, data)
	for _, moment := range []dbtest.Moment{dbtest.BeforeServer, dbtest.AfterServer} {
		t.Run(moment.String(), func(t *testing.T) {
			d := dbtest.New(t, "postgresql")
			proxy := dbtest.NewProxy(t, d.URL)
			conn, err := db.Open(t.Context(), db.Options{URL: proxy.URL()})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			svc := onDatabase(t, dbtest.Database{DB: conn})
			createBank(t, svc)
			proxy.Inject(dbtest.Fault{At: moment, Probability: 0.5, Seed: 7})
			s, err := Run(t.Context(), svc, berka(t), bytes.NewReader(data), Options{Ledger: bank, Batch: 100})
			if err != nil || s.Posted+s.Replayed != 800 || proxy.Cuts() == 0 {
				t.Fatalf("%+v, %v, %d cuts", s, err, proxy.Cuts())
			}
			proxy.Heal()
			holds(t, customers(t, svc), sums)
		})
	}
}
