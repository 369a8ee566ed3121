package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/id"
)

// All entries of an account leave through the stream of its home, wherever their transactions stand.
const sqlEntryPositions = `
SELECT e.account_id, e.sequence, e.origin_ledger_id, e.transaction_id, s.position, j.id IS NOT NULL
FROM (SELECT home, account_id, sequence, origin_ledger_id, transaction_id FROM entry
    WHERE home = $1 AND ledger_id = $2 AND (account_id, sequence) >= ($3, $4::int8) ORDER BY account_id, sequence LIMIT $5 OFFSET $6) e
LEFT JOIN LATERAL (SELECT position FROM stream WHERE home = e.home AND ledger_id = e.origin_ledger_id AND transaction_id = e.transaction_id LIMIT 1) s ON true
LEFT JOIN ledger l ON l.id = e.origin_ledger_id
LEFT JOIN LATERAL (SELECT id FROM journal WHERE home = l.home AND ledger_id = e.origin_ledger_id AND id = e.transaction_id LIMIT 1) j ON true
ORDER BY e.account_id, e.sequence`

// order holds the positions of every account's entries against their sequence: they ascend, and none is passed by the next.
func (r *run) order(ctx context.Context, b book) error {
	if r.searching {
		return nil
	}
	var account, before id.Account
	var origin id.Ledger
	var transaction id.Transaction
	var sequence, last, waits int64
	var position pgtype.Int8
	var here, began bool
	from := func() []any { return []any{b.home, b.ledger, account, sequence} }
	into := []any{&account, &sequence, &origin, (*[16]byte)(&transaction), &position, &here}
	return r.paged(ctx, "order", sqlEntryPositions, &began, from, into, func() error {
		if !here { // which is missed elsewhere
			return nil
		}
		if account != before {
			before, last, waits = account, 0, 0
		}
		r.looked(&r.checks.order)
		f := Finding{Home: b.home, Position: position.Int64, Ledger: b.ledger, Account: account, Transaction: transaction, Sequence: sequence}
		switch {
		case !position.Valid:
			waits = sequence
			return nil
		case waits > 0:
			f.Message = fmt.Sprintf("entry %d has left, and entry %d, which is before it, has not", sequence, waits)
			r.find(&r.checks.order, f)
		case position.Int64 < last: // one transaction may have several entries of an account
			f.Message = fmt.Sprintf("entry %d left at position %d, and an entry before it at position %d", sequence, position.Int64, last)
			r.find(&r.checks.order, f)
		}
		last = max(last, position.Int64)
		return nil
	})
}

// defaultGrace is how much older than something that has left a row can be that has not, without being forgotten: no transaction runs that long.
const defaultGrace = time.Minute

const sqlDue = `
SELECT j.id, j.recorded_at, s.position
FROM (SELECT home, ledger_id, id, recorded_at FROM journal WHERE home = $1 AND ledger_id = $2 AND id >= $3 ORDER BY id LIMIT $4 OFFSET $5) j
LEFT JOIN LATERAL (SELECT position FROM stream WHERE home = j.home AND ledger_id = j.ledger_id AND transaction_id = j.id LIMIT 1) s ON true
ORDER BY j.id`

// due counts the journal rows that have not left. They may be on their way, or their relay may be away for as long as it likes; but what was
// recorded long before something that has left was passed over.
func (r *run) due(ctx context.Context, h *home) error {
	if r.searching {
		return nil
	}
	for _, b := range r.books {
		if b.home != h.name {
			continue
		}
		var transaction id.Transaction
		var recorded time.Time
		var position pgtype.Int8
		began := false
		from := func() []any { return []any{b.home, b.ledger, [16]byte(transaction)} }
		err := r.paged(ctx, "due", sqlDue, &began, from, []any{(*[16]byte)(&transaction), &recorded, &position}, func() error {
			r.looked(&r.checks.stream)
			if position.Valid {
				return nil
			}
			if h.due++; h.oldest.IsZero() || recorded.Before(h.oldest) {
				h.oldest = recorded
			}
			if h.newest.Sub(recorded) > r.o.grace && r.at.Sub(recorded) > r.o.grace {
				r.find(&r.checks.stream, Finding{
					Home: h.name, Ledger: b.ledger, Transaction: transaction,
					Message: fmt.Sprintf("recorded at %s, it has not left, and what was recorded at %s has", stamp(recorded), stamp(h.newest)),
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
