package ledger

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Decided is what a command became.
type Decided string

// Posted and Declined are final: an outcome never changes.
const (
	Posted   Decided = "posted"
	Declined Decided = "declined"
)

// Entry is one line of an account's statement: every change of an account is one, so that its sequence has no gap. A line with a zero
// Amount changes what is pending, or the account itself.
type Entry struct {
	Ref            Ref
	Sequence       int64
	Amount         money.Amount // of posted money: credits are positive, debits negative
	Balance        money.Amount // credits less debits, after this entry
	PendingDebits  money.Amount // after this entry
	PendingCredits money.Amount // after this entry
}

// Side returns the side of the entry's posted money, or zero where none moved.
func (e Entry) Side() Side {
	switch e.Amount.Sign() {
	case -1:
		return Debit
	case 1:
		return Credit
	}
	return 0
}

// Outcome is the answer to a command. All of it but Replayed and DryRun is stored, and a retry gets the same again.
type Outcome struct {
	Transaction id.Transaction
	Ledger      id.Ledger
	Key         id.Key
	Kind        Kind
	Decided     Decided
	Reason      errs.Reason       // of a decline
	Detail      map[string]string // facts that go with the reason; where it is about an account, ledger and account_id are among them
	Entries     []Entry
	Hold        *Hold       // as it is after a hold, commit, rollback or expiry
	Account     *Account    // as it is after an open, update, freeze or close
	Step        *Transition // of a step, declined ones included
	Player      *Player     // as it is after a player command
	EffectiveAt time.Time
	RecordedAt  time.Time // never before that of an earlier entry of the same accounts

	Replayed bool // this answer was given before
	DryRun   bool // nothing was written
}

// EntryID names the i-th entry of this outcome, as a receipt: the transaction and the line in it, counted from one.
func (o Outcome) EntryID(i int) string { return o.Transaction.String() + "." + strconv.Itoa(i+1) }

// Record is a journal row: the request, what it became, and so the idempotency record, the transaction and the outbox row in one.
type Record struct {
	Home        id.Home
	Request     []byte // canonical form of the command
	RequestHash [sha256.Size]byte
	Reference   string
	Correlation string
	TraceID     string
	Target      id.Transaction // the hold or the transaction that the command acted on
	Reverses    id.Transaction // set on a posted reversal alone: at most one a transaction
	Outcome     Outcome
}
