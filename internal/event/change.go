package event

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Change is a journal row as a feed hands it over to the stream of a home: which one it is, and what puts it in order. The rest of it is read
// where it is needed.
type Change struct {
	Home        id.Home // of the stream
	Origin      id.Home // of the journal row; another one where the row has entries on accounts of Home all the same
	Ledger      id.Ledger
	Transaction id.Transaction
	RecordedAt  time.Time
	Entries     []Step // none where the command was declined
}

// Step is the place of a change on one account.
type Step struct {
	Ref      ledger.Ref
	Sequence int64
}
