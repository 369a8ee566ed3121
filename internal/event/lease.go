package event

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Lease is the right to work on the stream of a home: to append to it, and to say how far its consumers are. Epoch grows with every owner, so
// that a transaction which checks it can tell that its owner is no longer the one.
type Lease struct {
	Home  id.Home
	Owner string // a process, as a person finds it in a log; another one each time it starts
	Epoch int64
}

// Tenure is a lease that was just taken, and where its work goes on.
type Tenure struct {
	Lease
	Head   Position
	Cursor Cursor
	From   string // the owner before, where it did not let go by itself
}

// Holding is who has the lease of a home.
type Holding struct {
	Lease
	Left time.Duration // until it ends, by the clock of the database; 0 or less: it is free, since then
}

// ErrFenced says that somebody else took the lease over: whoever gets it stops at once. It stays inside the process and is never an answer.
var ErrFenced = errs.New(errs.Aborted, "FENCED", "another relay works on this home now")
