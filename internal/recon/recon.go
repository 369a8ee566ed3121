// Package recon compares what a provider says with what the books say.
//
// It promises that a statement is read whole or not at all, with every line that is wrong named; that importing it again changes nothing; that
// a comparison is a pure function of its snapshot, so that running it again gives the same results to the byte; that memory is bounded by the
// largest group of rows that share a reference, and that by MaxGroup; and that no difference is closed by one person alone. It relies on two
// streams in the order of references, and on the journal being append-only: a snapshot is the journal up to an instant that is long enough ago
// for everything recorded before it to be there.
//
// Read match.go for how lines and books meet, rules.go for what people may say about it, statement.go for what is imported, run.go for a
// run from its snapshot to its totals, and resolve.go for how a difference is closed. Package statement reads files, package
// store has the tables.
package recon

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// StatementID identifies a statement: a UUID that is derived from what it names, as are the others.
type StatementID struct{ id.Transaction }

// RunID identifies a run.
type RunID struct{ id.Transaction }

// ResolutionID identifies a resolution.
type ResolutionID struct{ id.Transaction }

// Line is one movement as a provider tells it.
type Line struct {
	Statement StatementID
	Number    int64  // in its statement, from 1
	At        int    // physical line of the file on which it begins, from 1
	ID        string // what tells the provider's lines apart; may be empty
	Reference string // the provider's reference; may be empty
	Kind      string
	Asset     money.Asset
	Amount    money.Amount // signed: what comes to us is positive
	Date      time.Time
	Pending   bool // not final: it comes again when it is
}

// State is what became of a transaction in the books.
type State string

// The states. A transaction is reversed where its reversal has no reference of its own: then the provider does not know of it.
const (
	Posted   State = "posted"
	Declined State = "declined"
	Reversed State = "reversed"
)

// Book is one movement as the books tell it: what a transaction did to the accounts of the provider in one asset.
type Book struct {
	Reference   string
	Ledger      id.Ledger
	Payment     id.Transaction // unset: it belongs to no payment
	Transaction id.Transaction
	Asset       money.Code
	Amount      money.Amount // signed: what comes to us is positive
	Kind        string
	State       State
	Reason      string // of a decline
	Date        time.Time
}

// Statement is a file that was read.
type Statement struct {
	ID       StatementID
	Ledger   id.Ledger
	Provider string
	File     string
	FileHash [sha256.Size]byte
	Reading  string // the format, and the hash of what else says how it is read
	Lines    int64
	Pending  int64     // of the lines
	From, To time.Time // days that its lines lie in, To being the first one after them
	Imported time.Time
}

// Snapshot is what a run compares. It never changes, and neither does what is read by it.
type Snapshot struct {
	Ledger     id.Ledger
	Provider   string
	Statements []StatementID
	From, To   time.Time // a movement here that is missing there counts where From <= date < To
	Cut        time.Time // the journal up to this recorded time
	Rules      Rules
}

// Store is what reconciliation needs of the tables. Every error is an *errs.Error. It is safe for concurrent use.
type Store interface {
	Ledger(ctx context.Context, key id.Ledger) (ledger.Ledger, error)

	// Statement returns one, or errs.ErrReconNotFound.
	Statement(ctx context.Context, l ledger.Ledger, key StatementID) (Statement, error)
	// StatementsOf lists those of a provider that are whole, the oldest import first.
	StatementsOf(ctx context.Context, l ledger.Ledger, provider string) ([]Statement, error)
	// AddLines writes lines; those that are there stay as they are.
	AddLines(ctx context.Context, l ledger.Ledger, lines []Line) error
	// AddStatement says that a statement is whole; one that is there stays as it is.
	AddStatement(ctx context.Context, l ledger.Ledger, s Statement) error

	// Compare hands both sides of a snapshot to fn, in the order of the bytes of their references; lines that are pending are left out. Each can be
	// read once.
	Compare(ctx context.Context, l ledger.Ledger, s Snapshot, fn func(lines iter.Seq2[Line, error], books iter.Seq2[Book, error]) error) error

	// BeginRun writes a run that is not done, if it is not there, and returns the number of a new attempt at it.
	BeginRun(ctx context.Context, l ledger.Ledger, r Run) (attempt int64, err error)
	// AddResults writes results of an attempt at a run, each once.
	AddResults(ctx context.Context, l ledger.Ledger, r Run, results []Result) error
	// EndRun says that the attempt at a run is its results, unless another one is.
	EndRun(ctx context.Context, l ledger.Ledger, r Run) error
	// Run returns a run, or errs.ErrReconNotFound.
	Run(ctx context.Context, l ledger.Ledger, key RunID) (Run, error)
	// Runs lists runs of a provider, or of all where it is empty, the newest first.
	Runs(ctx context.Context, l ledger.Ledger, provider string, limit int) ([]Run, error)
	// Results lists results by number, strictly after the given one, of a verdict or of all where none is named.
	Results(ctx context.Context, l ledger.Ledger, run Run, verdict Verdict, after int64, limit int) ([]Result, error)
	// LatestRuns returns the newest run that is done of each ledger and provider.
	LatestRuns(ctx context.Context) ([]Run, error)

	// Propose writes a resolution; one that is there stays as it is.
	Propose(ctx context.Context, l ledger.Ledger, r Resolution) error
	// Resolution returns one with what was decided, or errs.ErrReconNotFound.
	Resolution(ctx context.Context, l ledger.Ledger, key ResolutionID) (Resolution, error)
	// Resolutions lists those of a run, the oldest first.
	Resolutions(ctx context.Context, l ledger.Ledger, run RunID) ([]Resolution, error)
	// Decide writes what somebody decided, or tried to. It is errs.ErrDecided where a resolution is decided already, and errs.ErrFourEyes where
	// somebody decides about a proposal of his own.
	Decide(ctx context.Context, l ledger.Ledger, r Resolution, d Decision) error
}

// derive makes a UUIDv8 of texts, each with its length.
func derive(kind string, texts ...string) id.Transaction {
	h := sha256.New()
	for _, text := range append([]string{kind}, texts...) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write([]byte(text))
	}
	t := id.Transaction(h.Sum(nil)[:16])
	t[6] = t[6]&0x0f | 0x80 // version 8
	t[8] = t[8]&0x3f | 0x80 // RFC 9562 variant
	return t
}

// ParseProvider reads the name of a provider: 1 to 64 of a-z 0-9 -, starting with a letter.
func ParseProvider(s string) (string, error) {
	if _, err := id.ParseLedger(s); err != nil { // the same letters do
		return "", errs.Invalid("provider", "write 1 to 64 of a-z 0-9 -, starting with a letter")
	}
	return s, nil
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
