package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
)

// A transaction with entries at several homes leaves through the stream of each. That of its own home is held against the journal row by row
// (stream_order.go); of the others, the journal tells what has to be there as it is read, and the streams say what is. What may still be
// on its way is told by neither: otherwise every verification of a busy system would have to read twice.

const sqlBelow = `
SELECT recorded_at FROM journal WHERE written_in < $1::text::xid8 ORDER BY written_in DESC, recorded_at DESC LIMIT 1`

// discoverCover finds out up to when everything has left, by the position from which the relay goes on: a time on CockroachDB, a number of
// transactions on PostgreSQL, whose newest row below it has a time. Where changes come by webhook, or nothing has been read yet, nobody knows.
func (r *run) discoverCover(ctx context.Context, h *home, cursor string) error {
	parts := strings.Split(cursor, ":")
	if len(parts) != 4 {
		return nil
	}
	switch parts[0] {
	case "crdb1":
		wall, _, _ := strings.Cut(parts[3], ".")
		if nanoseconds, err := strconv.ParseInt(wall, 10, 64); err == nil {
			h.covered = time.Unix(0, nanoseconds).UTC()
		}
	case "pg1":
		if _, err := strconv.ParseUint(parts[2], 10, 64); err != nil {
			return nil
		}
		if err := r.conn.QueryRow(ctx, sqlBelow, parts[2]).Scan(&h.covered); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("ask what the stream of %s covers: %w", h.name, err)
		}
	}
	return nil
}

// tellAbroad says what has to be in the streams of other homes.
func (p *journalPass) tellAbroad() {
	if p.scope != nil {
		return
	}
	for _, h := range p.homes {
		if h.name == p.book.home {
			continue
		}
		for _, l := range p.lines {
			if l.Ledger != "" && p.assets[l.Ledger].home == h.name {
				p.leave(told, h, p.book.ledger, p.row.id, p.row.recordedAt)
				break
			}
		}
	}
}

// leave says that a transaction of another home leaves through the stream of this one.
func (r *run) leave(who side, h *home, ledger id.Ledger, transaction id.Transaction, recorded time.Time) {
	if h.covered.Sub(recorded) > r.o.grace && r.at.Sub(recorded) > r.o.grace {
		r.abroad.say(who, subject{ledger: ledger, transaction: transaction, matter: string(h.name)}, place{ledger: ledger}, nil, one)
	}
}

// strayLeaver words a transaction that is not in the stream of each home that it touches.
func strayLeaver(m mismatch) Finding {
	return Finding{
		Home: id.Home(m.matter), Ledger: m.ledger, Transaction: m.transaction,
		Message: "the transaction has entries at this home and has not left through its stream, which is past it",
	}
}
