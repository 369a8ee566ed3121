package ledger

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Batch is what is executed together: in order, and whole or not at all where it is atomic.
type Batch struct {
	Commands []Command
	Atomic   bool
	DryRun   bool // decide on the books as they are now, and write nothing
}

// Result is the answer to one command of a batch. Err is set where the command has no outcome: its key carries another request
// (errs.ErrIdempotencyMismatch), or, in a batch that is not atomic, the service could not do this part of its work.
type Result struct {
	Outcome Outcome
	Err     error
}

// Service is the ledger as its users see it. The server implements it on a database, rpc.Client over the wire, and ledgertest.Model in
// memory; one suite holds all of them to this contract. Every method is safe for concurrent use, and every error is an *errs.Error.
//
// Writes carry a key: a repeat gets the same answer flagged Replayed, another request under the same key is
// errs.ErrIdempotencyMismatch. Declines are outcomes, not errors. Reads are strong: they see every write that was answered before
// the read began; in a ledger that is not there they are errs.ErrLedgerNotFound. Lists are in the order of bytes, whatever the locale.
type Service interface {
	// CreateLedger opens a set of books. A repeat with the same home, assets (in any order; they come back by code) and metadata returns
	// the ledger; a different one is errs.ErrLedgerExists with the first field that differs.
	CreateLedger(ctx context.Context, l Ledger) (Ledger, error)
	// Ledger returns one set of books, or errs.ErrLedgerNotFound.
	Ledger(ctx context.Context, ledger id.Ledger) (Ledger, error)
	// Ledgers lists by id, strictly after the given one, at most limit of them.
	Ledgers(ctx context.Context, after id.Ledger, limit int) ([]Ledger, error)

	// Execute answers a batch of 1 to MaxBatch commands, in order. The error is set where none of them has a known answer: where one is
	// invalid, where it names a ledger that is not there (both with its index), or where the service could not do its work. A batch that
	// is not atomic may be answered in part; after the first command without an answer no other one is begun.
	Execute(ctx context.Context, batch Batch) ([]Result, error)

	// Account returns an account, or errs.ErrAccountNotFound. With a recorded time it returns the balances and the sequence that stood then,
	// entries of that instant included and zero before the first; terms and status are always those of now.
	Account(ctx context.Context, ref Ref, asOf time.Time) (Account, error)
	// Accounts lists the accounts of a ledger by id, strictly after the given one, at most limit of them.
	Accounts(ctx context.Context, ledger id.Ledger, after id.Account, limit int) ([]Account, error)
	// Entries returns lines of a statement, or errs.ErrAccountNotFound.
	Entries(ctx context.Context, ref Ref, page EntryPage) ([]StatementLine, error)
	// Transaction returns what a command became, posted or declined, or errs.ErrTransactionNotFound.
	Transaction(ctx context.Context, ledger id.Ledger, transaction id.Transaction) (Record, error)
	// TransactionsByReference returns up to limit transactions that carry a reference, posted and declined ones, newest first.
	TransactionsByReference(ctx context.Context, ledger id.Ledger, reference string, limit int) ([]Record, error)
	// TrialBalance adds up all accounts of a ledger in one consistent read: a line for each asset that has accounts, by code. It is
	// errs.ErrInternal where a sum needs more than 38 digits.
	TrialBalance(ctx context.Context, ledger id.Ledger) ([]TrialLine, error)
}

// EntryPage selects lines of a statement. The zero value with a limit is the oldest lines.
type EntryPage struct {
	After    int64     // only sequences greater than this, where Backward is false; 0 is from the start
	Before   int64     // only sequences less than this, where Backward is true; 0 is from the end
	Backward bool      // newest first
	From, To time.Time // recorded time: From <= t < To; zero is unbounded
	Limit    int       // at most so many lines
}

// StatementLine is an entry with what its transaction says of it.
type StatementLine struct {
	Entry
	Transaction id.Transaction
	Origin      id.Ledger // the ledger in whose journal the transaction stands
	Line        int       // of the transaction, from 0
	Kind        Kind
	EffectiveAt time.Time
	RecordedAt  time.Time
}

// TrialLine is the sum over all accounts of a ledger in one asset. Posted debits equal posted credits, or the books are broken.
type TrialLine struct {
	Asset    money.Asset
	Accounts int64
	Balances
}

// Do executes one command.
func Do(ctx context.Context, s Service, c Command) (Outcome, error) {
	results, err := s.Execute(ctx, Batch{Commands: []Command{c}})
	if err != nil {
		return Outcome{}, err
	}
	return results[0].Outcome, results[0].Err
}

// Payments are what can be read of payments. The server implements it on a database, and rpc.PaymentClient over the wire; what changes payments are
// commands. Every method is safe for concurrent use, every error is an *errs.Error, and in a ledger that is not there it is errs.ErrLedgerNotFound.
// Reads are strong, as those of Service are.
type Payments interface {
	// Payment returns a payment as it is now, or errs.ErrPaymentNotFound.
	Payment(ctx context.Context, ledger id.Ledger, payment id.Transaction) (Payment, error)
	// PaymentSteps returns the history of a payment after a number, oldest first, refused steps among it, at most limit of them.
	PaymentSteps(ctx context.Context, ledger id.Ledger, payment id.Transaction, after int64, limit int) ([]PaymentStep, error)
	// PaymentsOfPlayer lists the payments of a player, newest first.
	PaymentsOfPlayer(ctx context.Context, ledger id.Ledger, player id.Player, page PaymentPage) ([]Payment, error)
	// PaymentsInState lists the payments of a kind that stand in a state by their last change, newest first unless the page says otherwise. A
	// refused step changes nothing; a payment that changes and stays in the state while pages are read may be in two of them, or in none.
	PaymentsInState(ctx context.Context, ledger id.Ledger, kind PaymentKind, state PaymentState, page PaymentPage) ([]Payment, error)
	// PaymentsByReference returns up to limit payments that a provider knows by a reference, newest first: one, unless somebody gave it twice.
	PaymentsByReference(ctx context.Context, ledger id.Ledger, provider, reference string, limit int) ([]Payment, error)
	// Player returns what gates know of a player, or errs.ErrPlayerNotFound where nobody has said anything and nothing was paid.
	Player(ctx context.Context, ledger id.Ledger, player id.Player) (Player, error)
}

// PaymentPage is where a list of payments goes on: after the one that stands there and has that id. The zero value begins at the beginning.
type PaymentPage struct {
	At          time.Time // when that was opened, or changed where the list is by that
	ID          id.Transaction
	Limit       int  // at most so many payments
	OldestFirst bool // for PaymentsInState alone
}
