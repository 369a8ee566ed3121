package recon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"iter"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Settled is how old a recorded time has to be for everything recorded before it to be there: longer than a transaction may take, and than the
// clocks of nodes differ.
const Settled = time.Minute

// Run is a comparison of a snapshot.
type Run struct {
	ID RunID
	Snapshot
	Done       bool
	Attempt    int64 // the one that was finished; of a run that is not done, the newest
	StartedAt  time.Time
	EndedAt    time.Time
	Books      int64 // movements read
	BooksHash  [sha256.Size]byte
	Results    int64
	ResultHash [sha256.Size]byte // over all results, in order
	Totals     []Total           // by asset
}

// Total is what a run found in one asset.
type Total struct {
	Asset    money.Code        `json:"asset"`
	Verdicts map[Verdict]int64 `json:"verdicts"`
	Open     int64             `json:"open"`            // results that somebody has to look at
	InDoubt  money.Amount      `json:"value_in_doubt"`  // sum of their differences, without signs, in minor units
	Oldest   time.Time         `json:"oldest,omitzero"` // date of the oldest of them
}

// Request says what to compare.
type Request struct {
	Ledger     id.Ledger
	Provider   string
	Rules      Rules
	Statements []StatementID // none: those of the provider that have days in the period, or its newest where there is no period
	From, To   time.Time     // days; zero: those of the statements
	Cut        time.Time     // zero: Settled ago
}

// Service imports, compares and resolves. It is safe for concurrent use; every error is an *errs.Error.
type Service struct {
	store   Store
	books   ledger.Service
	metrics *Metrics
	now     func() time.Time
}

// NewService returns one over tables, which posts adjustments to books.
func NewService(store Store, books ledger.Service, metrics *Metrics) *Service {
	return &Service{store: store, books: books, metrics: metrics, now: time.Now}
}

// Store returns the tables, for reading.
func (s *Service) Store() Store { return s.store }

// Run compares. A snapshot that was compared before is compared again, and nothing is written: then again is true, and the results are the same
// or the error is errs.ErrInternal and says that the books before the cut have changed. A run that was interrupted is begun anew. progress,
// unless nil, hears of results every few thousand.
func (s *Service) Run(ctx context.Context, q Request, progress func(results int64)) (r Run, again bool, err error) {
	if progress == nil {
		progress = func(int64) {}
	}
	l, err := s.store.Ledger(ctx, q.Ledger)
	if err != nil {
		return Run{}, false, err
	}
	snapshot, err := s.snapshot(ctx, l, q)
	if err != nil {
		return Run{}, false, err
	}
	r = Run{ID: snapshot.id(), Snapshot: snapshot, StartedAt: s.now().UTC().Truncate(time.Microsecond)}
	stored, err := s.store.Run(ctx, l, r.ID)
	switch {
	case err == nil && stored.Done:
		return s.again(ctx, l, stored, progress)
	case err != nil && !errors.Is(err, errs.ErrReconNotFound):
		return Run{}, false, err
	}
	if r.Attempt, err = s.store.BeginRun(ctx, l, r); err != nil {
		return Run{}, false, err
	}
	batch := make([]Result, 0, batchRows)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.store.AddResults(ctx, l, r, batch)
		batch = batch[:0]
		return err
	}
	err = s.compare(ctx, l, &r, func(one Result) error {
		if one.Number%progressEvery == 0 {
			progress(one.Number)
		}
		if batch = append(batch, one); len(batch) < batchRows {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return Run{}, false, err
	}
	r.EndedAt = s.now().UTC().Truncate(time.Microsecond)
	if err := s.store.EndRun(ctx, l, r); err != nil {
		return Run{}, false, err
	}
	s.metrics.runs.WithLabelValues(string(l.ID), r.Provider).Observe(r.EndedAt.Sub(r.StartedAt).Seconds())
	r, err = s.store.Run(ctx, l, r.ID)
	return r, false, err
}

// again compares a snapshot whose results are there.
func (s *Service) again(ctx context.Context, l ledger.Ledger, stored Run, progress func(int64)) (Run, bool, error) {
	fresh := Run{ID: stored.ID, Snapshot: stored.Snapshot}
	err := s.compare(ctx, l, &fresh, func(one Result) error {
		if one.Number%progressEvery == 0 {
			progress(one.Number)
		}
		return nil
	})
	if err != nil {
		return Run{}, false, err
	}
	if fresh.ResultHash != stored.ResultHash || fresh.BooksHash != stored.BooksHash {
		return Run{}, false, errs.ErrInternal.Because(fmt.Errorf("run %s is not what it was: its books have hash %x and had %x, its results %x and had %x; "+
			"something was recorded before %s and written after it, or the tables were changed by hand", stored.ID, fresh.BooksHash[:4], stored.BooksHash[:4],
			fresh.ResultHash[:4], stored.ResultHash[:4], stamp(stored.Cut)))
	}
	return stored, true, nil
}

// compare reads a snapshot and hands each result over; what it adds up stands in the run.
func (s *Service) compare(ctx context.Context, l ledger.Ledger, r *Run, each func(Result) error) error {
	totals, results := newTotals(), newDigest()
	err := s.store.Compare(ctx, l, r.Snapshot, func(lines iter.Seq2[Line, error], books iter.Seq2[Book, error]) error {
		seen := newDigest()
		counted := func(yield func(Book, error) bool) {
			for b, err := range books {
				if err == nil {
					r.Books++
					seen.book(b)
				}
				if !yield(b, err) {
					return
				}
			}
		}
		for one, err := range Match(lines, counted, r.Snapshot) {
			if err != nil {
				return err
			}
			if err := totals.add(one); err != nil {
				return err
			}
			results.result(one)
			r.Results = one.Number
			if err := each(one); err != nil {
				return err
			}
		}
		r.BooksHash = seen.sum()
		return nil
	})
	if err != nil {
		return err
	}
	r.ResultHash, r.Totals = results.sum(), totals.list()
	return nil
}

// snapshot fixes what a request leaves open.
func (s *Service) snapshot(ctx context.Context, l ledger.Ledger, q Request) (Snapshot, error) {
	n := Snapshot{Ledger: l.ID, Provider: q.Provider, From: q.From.UTC(), To: q.To.UTC(), Cut: q.Cut.UTC().Truncate(time.Microsecond), Rules: q.Rules}
	now := s.now().UTC()
	switch {
	case q.Rules.name == "":
		return n, errs.Invalid("rules", "give rules")
	case q.From.IsZero() != q.To.IsZero():
		return n, errs.Invalid("to", "give both ends of the period, or none")
	case !q.From.IsZero() && !q.From.Before(q.To):
		return n, errs.Invalid("to", "the period ends before it begins")
	case q.Cut.After(now):
		return n, errs.Invalid("as_of", "the cut lies in the future")
	}
	if q.Cut.IsZero() {
		n.Cut = now.Add(-Settled).Truncate(time.Microsecond)
	}
	var err error
	if n.Provider, err = ParseProvider(q.Provider); err != nil {
		return n, err
	}
	chosen, err := s.statements(ctx, l, n, q.Statements)
	if err != nil {
		return n, err
	}
	for _, st := range chosen {
		n.Statements = append(n.Statements, st.ID)
		if q.From.IsZero() && (n.From.IsZero() || st.From.Before(n.From)) {
			n.From = st.From
		}
		if q.To.IsZero() && st.To.After(n.To) {
			n.To = st.To
		}
	}
	slices.SortFunc(n.Statements, func(a, b StatementID) int { return slices.Compare(a.Transaction[:], b.Transaction[:]) })
	n.Statements = slices.Compact(n.Statements)
	return n, nil
}

// statements are those that are named, or those of the period. Of a file that was imported again by another mapping, the newest reading counts.
func (s *Service) statements(ctx context.Context, l ledger.Ledger, n Snapshot, named []StatementID) ([]Statement, error) {
	var chosen []Statement
	for _, key := range named {
		st, err := s.store.Statement(ctx, l, key)
		if err != nil {
			return nil, err
		}
		if st.Provider != n.Provider {
			return nil, errs.Invalid("statements", fmt.Sprintf("statement %s is one of %s", key, st.Provider))
		}
		chosen = append(chosen, st)
	}
	if len(chosen) > 0 {
		return chosen, nil
	}
	all, err := s.store.StatementsOf(ctx, l, n.Provider)
	if err != nil {
		return nil, err
	}
	newest := map[[sha256.Size]byte]StatementID{}
	for _, st := range all {
		newest[st.FileHash] = st.ID
	}
	all = slices.DeleteFunc(all, func(st Statement) bool { return newest[st.FileHash] != st.ID })
	if len(all) == 0 {
		return nil, errs.ErrReconNotFound.With("provider", n.Provider).With("ledger", l.ID)
	}
	if n.From.IsZero() {
		return all[len(all)-1:], nil
	}
	for _, st := range all {
		if st.From.Before(n.To) && n.From.Before(st.To) {
			chosen = append(chosen, st)
		}
	}
	if len(chosen) == 0 {
		return nil, errs.ErrReconNotFound.With("provider", n.Provider).With("from", stamp(n.From)).With("to", stamp(n.To))
	}
	return chosen, nil
}

// id derives the id of the run from all that decides its results.
func (n Snapshot) id() RunID {
	rules := n.Rules.Hash()
	texts := []string{string(n.Ledger), n.Provider, stamp(n.From), stamp(n.To), stamp(n.Cut), hex.EncodeToString(rules[:])}
	for _, st := range n.Statements {
		texts = append(texts, st.String())
	}
	return RunID{derive("run", texts...)}
}

// totals add up results by asset.
type totals map[money.Code]*Total

func newTotals() totals { return totals{} }

func (t totals) add(r Result) error {
	of := t[r.Asset]
	if of == nil {
		of = &Total{Asset: r.Asset, Verdicts: map[Verdict]int64{}}
		t[r.Asset] = of
	}
	of.Verdicts[r.Verdict]++
	if !r.Open() {
		return nil
	}
	of.Open++
	var err error
	if of.InDoubt, err = of.InDoubt.Add(r.Difference.Abs()); err != nil {
		return errs.ErrInternal.Because(fmt.Errorf("add up what is in doubt: %w", err))
	}
	if d := r.date(); of.Oldest.IsZero() || d.Before(of.Oldest) {
		of.Oldest = d
	}
	return nil
}

func (t totals) list() []Total {
	all := make([]Total, 0, len(t))
	for _, one := range t {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Total) int { return cmp.Compare(a.Asset, b.Asset) })
	return all
}

// date is that of the line, or of the movement where there is none.
func (r Result) date() time.Time {
	if r.Line != nil {
		return r.Line.Date
	}
	return r.Book.Date
}

// digest hashes rows, each field with its end.
type digest struct {
	h   hash.Hash
	row []byte
}

func newDigest() *digest { return &digest{h: sha256.New()} }

func (d *digest) sum() [sha256.Size]byte { return [sha256.Size]byte(d.h.Sum(nil)) }

func (d *digest) text(s string) { d.row = append(append(d.row, s...), 0) }

func (d *digest) amount(a money.Amount) { d.row = append(a.Append(d.row), 0) }

func (d *digest) time(t time.Time) { d.row = append(t.UTC().AppendFormat(d.row, time.RFC3339Nano), 0) }

func (d *digest) end() {
	d.h.Write(append(d.row, '\n'))
	d.row = d.row[:0]
}

func (d *digest) book(b Book) {
	d.text(b.Reference)
	d.row = append(append(d.row, b.Transaction[:]...), b.Payment[:]...)
	d.text(string(b.Asset))
	d.amount(b.Amount)
	d.text(b.Kind)
	d.text(string(b.State))
	d.text(b.Reason)
	d.time(b.Date)
	d.end()
}

func (d *digest) result(r Result) {
	d.row = fmt.Appendf(d.row, "%d %d ", r.Number, r.Match)
	d.text(string(r.Verdict))
	d.text(string(r.Reason))
	d.text(string(r.Way))
	d.text(r.Reference)
	d.text(string(r.Asset))
	d.amount(r.Difference)
	if r.Line != nil {
		d.row = fmt.Appendf(append(append(d.row, 'l'), r.Line.Statement.Transaction[:]...), " %d ", r.Line.Number)
		d.amount(r.Line.Amount)
		d.time(r.Line.Date)
	}
	if r.Book != nil {
		d.row = append(append(append(d.row, 'b'), r.Book.Transaction[:]...), r.Book.Payment[:]...)
		d.amount(r.Book.Amount)
		d.time(r.Book.Date)
	}
	d.text(string(r.Evidence))
	d.end()
}
