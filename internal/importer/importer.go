package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// ErrRejected is what a strict import ends with at its first rejected row.
var ErrRejected = errors.New("a row was rejected")

// Options say where the rows go and who wants to hear about it. The functions are called by the goroutine of Run, in the order of the file.
type Options struct {
	Ledger     id.Ledger
	Batch      int           // most commands sent at once; default 500, at most ledger.MaxBatch
	Strict     bool          // end at the first row that is rejected, with the rows before it in the books and none after it
	TotalBytes int64         // of the file, for Progress; 0: not known
	Attempt    time.Duration // the longest that one call of the service may take; default 30 s
	Patience   time.Duration // how long a call is tried again while the service is away or overloaded; default 2 min
	Progress   func(Progress)
	Reject     func(Rejected)
	Retry      func(err error, wait time.Duration) // a call failed and is made again after wait, with the same keys
}

// Progress is how far an import is, after each batch.
type Progress struct {
	Rows, Posted, Replayed, Rejected, Skipped int64
	Bytes, TotalBytes                         int64
	Rate                                      float64 // rows per second since the import began
}

// Rejected is a row that is not in the books.
type Rejected struct {
	Line   int         // of the file, from 1, on which the row begins
	Last   int         // on which it ends, for a row with line ends inside of quotes
	Row    string      // as it stands in the file
	Code   errs.Reason // INVALID_ARGUMENT, IDEMPOTENCY_MISMATCH, or why the books declined it
	Reason string      // a sentence for the one who mends it
}

// String is the line of a report.
func (r Rejected) String() string {
	if r.Last > r.Line {
		return fmt.Sprintf("lines %d to %d: %s: %s", r.Line, r.Last, r.Code, r.Reason)
	}
	return fmt.Sprintf("line %d: %s: %s", r.Line, r.Code, r.Reason)
}

// Summary is what became of the rows that have an answer: Rows = Posted + Replayed + Rejected + Skipped.
type Summary struct {
	Rows     int64
	Posted   int64
	Replayed int64 // in the books already: from an earlier run, an equal row before, or an attempt whose answer was lost
	Rejected int64
	Skipped  int64                 // because the mapping says so
	Reasons  map[errs.Reason]int64 // of the rejected rows
	Opened   int64                 // accounts, by this run
	Retries  int64                 // of calls
	Line     int                   // of the file, up to which all rows have an answer
	Bytes    int64
	Elapsed  time.Duration
}

// Rate is rows per second.
func (s Summary) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Rows) / s.Elapsed.Seconds()
}

// Run imports the rows of r by way of a mapping: in the order of the file, in batches of which one at a time is on its way, so that the
// order on each account is that of the file. It opens accounts that are not there. A row that is rejected is named to Reject, and the
// import goes on.
//
// Run can be ended by ctx at any moment, and called again with the same file, or a longer one that contains the same rows: rows that are
// in the books already are recognised by their id and change nothing. The Summary is true with and without an error. A cancelled
// Run waits for a Read of r that blocks; close r to end it.
//
// Errors: ErrRejected of a strict import; a file without the columns of the mapping; a ledger without its asset; an error of r; what the
// service answers and a repeat can not mend; the end of ctx.
func Run(ctx context.Context, svc ledger.Service, m Mapping, r io.Reader, o Options) (Summary, error) {
	o.Batch = min(cmp.Or(o.Batch, 500), ledger.MaxBatch)
	if o.Batch < commandsPerRow {
		o.Batch = commandsPerRow
	}
	o.Attempt, o.Patience = cmp.Or(o.Attempt, 30*time.Second), cmp.Or(o.Patience, 2*time.Minute)
	run := &run{
		svc: svc, o: o, started: time.Now(), opened: newRecent[id.Account, struct{}](remembered),
		seen: newRecent[id.Transaction, int](remembered), summary: Summary{Reasons: map[errs.Reason]int64{}},
	}
	err := run.begin(ctx, m, r)
	if err == nil {
		err = run.all(ctx)
	}
	run.summary.Elapsed = time.Since(run.started)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted after line %d; run the same import again to go on: %w", run.summary.Line, context.Cause(ctx))
	}
	return run.summary, err
}

const (
	commandsPerRow = 3       // two accounts to open, and the movement
	remembered     = 1 << 15 // rows and accounts, of which nothing is asked of the service again
	maxBatchBytes  = 1 << 20 // far below what a server takes in one request, however it is encoded
)

// run is one import. It is for one goroutine.
type run struct {
	svc     ledger.Service
	o       Options
	rows    *rows
	compose composer
	started time.Time
	opened  *recent[id.Account, struct{}] // accounts that are there
	seen    *recent[id.Transaction, int]  // lines of rows
	batch   batch
	summary Summary
}

// begin reads the ledger and the header, and holds the mapping against both.
func (r *run) begin(ctx context.Context, m Mapping, in io.Reader) error {
	var books ledger.Ledger
	err := r.persist(ctx, func(ctx context.Context) (err error) {
		books, err = r.svc.Ledger(ctx, r.o.Ledger)
		return err
	})
	if err != nil {
		return fmt.Errorf("look up ledger %s: %w", r.o.Ledger, err)
	}
	if r.rows, err = openRows(in, m.dialect); err != nil {
		return err
	}
	r.compose, err = newComposer(m, books, r.rows.header)
	return err
}

// all reads rows until the file ends, and sends them batch by batch.
func (r *run) all(ctx context.Context) error {
	for ctx.Err() == nil {
		fields, at, err := r.rows.next()
		var bad malformed
		switch {
		case errors.Is(err, io.EOF):
			return r.flush(ctx)
		case errors.As(err, &bad):
			r.batch.reject(at, errs.ReasonInvalidArgument, bad.text)
		case err != nil: // the rows before it are sound
			return errors.Join(r.flush(ctx), err)
		case r.compose.skips(fields):
			r.batch.skip(at)
		default:
			r.add(fields, at)
		}
		if stop := r.o.Strict && r.batch.refused > 0; stop || r.batch.full(r.o.Batch) {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// add puts a row and the accounts that it needs into the batch, or its rejection.
func (r *run) add(fields []string, at source) {
	now := time.Now()
	c, err := r.compose.compose(fields, now)
	if err != nil {
		r.batch.reject(at, errs.ReasonInvalidArgument, err.Error())
		return
	}
	var opens []ledger.Command
	for _, side := range []struct {
		account id.Account
		rule    *accountRule
	}{{c.command.Account, c.account}, {c.command.Counter, c.counter}} {
		if _, there := r.opened.get(side.account); there {
			continue
		}
		open, err := r.compose.open(side.account, side.rule, c.values, c.command.Amount.Asset, now)
		if err != nil {
			r.batch.reject(at, errs.ReasonInvalidArgument, err.Error())
			return
		}
		opens = append(opens, open)
	}
	for _, open := range opens {
		r.opened.put(open.Account, struct{}{})
	}
	key := c.command.ID()
	earlier, again := r.seen.get(key)
	if !again {
		r.seen.put(key, at.first)
	}
	r.batch.add(at, earlier, opens, c.command)
}

// flush sends the batch, and tells what became of its rows.
func (r *run) flush(ctx context.Context) error {
	defer r.batch.reset()
	if len(r.batch.items) == 0 {
		return nil
	}
	results, err := r.execute(ctx)
	if err != nil {
		return fmt.Errorf("after line %d: %w", r.summary.Line, err)
	}
	for _, result := range results {
		if o := result.Outcome; o.Kind == ledger.KindOpen && o.Decided == ledger.Posted && !o.Replayed {
			r.summary.Opened++
		}
	}
	err = r.tell(results)
	if r.o.Progress != nil {
		s := r.summary
		s.Elapsed = time.Since(r.started)
		r.o.Progress(Progress{
			Rows: s.Rows, Posted: s.Posted, Replayed: s.Replayed, Rejected: s.Rejected, Skipped: s.Skipped,
			Bytes: s.Bytes, TotalBytes: r.o.TotalBytes, Rate: s.Rate(),
		})
	}
	return err
}

// tell counts the answers, and ends a strict import at its first rejection.
func (r *run) tell(results []ledger.Result) error {
	r.summary.Bytes = r.rows.lines.bytes
	for _, it := range r.batch.items {
		r.summary.Rows++
		r.summary.Line = it.at.last
		if it.skipped {
			r.summary.Skipped++
			continue
		}
		rejected := it.rejected
		if rejected == nil {
			rejected = it.judge(results[it.command])
		}
		switch {
		case rejected == nil && results[it.command].Outcome.Replayed:
			r.summary.Replayed++
		case rejected == nil:
			r.summary.Posted++
		default:
			r.summary.Rejected++
			r.summary.Reasons[rejected.Code]++
			if r.o.Reject != nil {
				r.o.Reject(*rejected)
			}
		}
		if rejected != nil && r.o.Strict {
			return fmt.Errorf("%w: %s", ErrRejected, rejected)
		}
	}
	return nil
}
