package saga

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Store is what workers need of the tables. Every error is an *errs.Error, or one of those named.
type Store interface {
	// DueSagas returns open sagas of a home that are due at a time, the longest due first, whether they go on or take back: about most.
	DueSagas(ctx context.Context, home id.Home, now time.Time, most int) ([]Saga, error)
	// AdvanceSaga writes a saga as it is after a change, and a line of its history where one is given, together or not at all. s.Version is one more
	// than the saga was read with; errs.ErrContended says that somebody else changed it since, event.ErrFenced that somebody else has the lease.
	AdvanceSaga(ctx context.Context, lease event.Lease, s Saga, line *Line) error
	// TallySagas counts the sagas of a home that have not ended.
	TallySagas(ctx context.Context, home id.Home) ([]Tally, error)
}

// OperatorStore is what starting a saga and people need of the tables. Every error is an *errs.Error.
type OperatorStore interface {
	// StartSaga stores a saga with its first line unless there is one of that id, and returns the one that is there.
	StartSaga(ctx context.Context, s Saga, line Line) (stands Saga, there bool, err error)
	// Saga returns one, or ErrNotFound.
	Saga(ctx context.Context, home id.Home, ledger id.Ledger, key id.Transaction) (Saga, error)
	// SagaLines returns the history of one, oldest first, at most so many lines after a number.
	SagaLines(ctx context.Context, home id.Home, ledger id.Ledger, key id.Transaction, after int64, limit int) ([]Line, error)
	// StandingSagas returns sagas that wait for somebody, the oldest first, strictly after the given one.
	StandingSagas(ctx context.Context, home id.Home, ledger id.Ledger, page Page) ([]Saga, error)
	// AllSagas returns sagas by id, strictly after the one of the page.
	AllSagas(ctx context.Context, home id.Home, ledger id.Ledger, page Page) ([]Saga, error)
	// ChangeSaga is AdvanceSaga for people: it needs no lease. What a worker is doing at the same time is not written then.
	ChangeSaga(ctx context.Context, s Saga, line Line) error
}

// Page is where a list goes on, with the last saga of the page before. The zero value with a limit begins with the first.
type Page struct {
	OpenedAt time.Time
	ID       id.Transaction
	Limit    int
}

// Tally counts sagas that are alike.
type Tally struct {
	Flow   Name
	State  State
	Count  int64
	Oldest time.Time // when the first of them last changed
}

// Refusals of what people ask for.
var (
	ErrNotFound = errs.New(errs.NotFound, errs.ReasonPaymentNotFound, "there is no such saga")
	ErrFourEyes = errs.New(errs.PermissionDenied, errs.ReasonFourEyes, "whoever asked for it does not approve it; somebody else has to")
	ErrState    = errs.New(errs.FailedPrecondition, errs.ReasonDecided, "the saga is not where this can be done")
)
