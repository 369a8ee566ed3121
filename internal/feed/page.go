package feed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
)

// Of other homes come the rows that touch more ledgers than their own: which of these touch the home is decided here. Without its table's name
// written_in in ORDER BY would be the column of the result, by which nothing is indexed.
const sqlPage = `
SELECT j.written_in::text::int8, j.recorded_at, j.home, j.ledger_id, j.id, j.entries
FROM journal j
WHERE (j.written_in, j.recorded_at) > ($2::text::xid8, $3::timestamptz) AND j.written_in < $4::text::xid8
    AND (j.home = $1 OR j.kind IN ('post', 'reverse') AND jsonb_path_exists(j.entries, '$[*].ledger'))
ORDER BY j.written_in, j.recorded_at
LIMIT $5`

// row is a journal row and its place.
type row struct {
	event.Change
	xid uint64
}

func (r row) tied(other row) bool { return r.xid == other.xid && r.RecordedAt.Equal(other.RecordedAt) }

// pages hands over all rows below a number. A page never ends between rows of one transaction and one recorded time, whose order only their
// sequences know: it ends before them, or takes in all of them.
func (r *reader) pages(ctx context.Context, below uint64) error {
	for limit := r.o.Page; ; {
		rows, err := r.page(ctx, below, limit)
		if err != nil {
			return err
		}
		more := len(rows) == limit
		if more {
			rows = untied(rows)
		}
		if len(rows) == 0 {
			if !more {
				return nil
			}
			limit *= 2
			continue
		}
		last := rows[len(rows)-1]
		r.place.xid, r.place.at = last.xid, last.RecordedAt
		if rows, err = r.touching(ctx, rows); err != nil {
			return err
		}
		if err := r.giving(ctx, Batch{Changes: sequenced(rows), Cursor: r.place.cursor()}); err != nil {
			return err
		}
		if !more {
			return nil
		}
		limit = r.o.Page
	}
}

// page reads at most so many rows after the place.
func (r *reader) page(ctx context.Context, below uint64, limit int) ([]row, error) {
	rows, _ := r.conn.Query(ctx, sqlPage, r.home, fmt.Sprint(r.place.xid), r.place.at, fmt.Sprint(below), limit) // the error comes back from the loop
	var found []row
	var next row
	var entries []byte
	_, err := pgx.ForEachRow(rows, []any{&next.xid, &next.RecordedAt, &next.Origin, &next.Ledger, (*[16]byte)(&next.Transaction), &entries}, func() error {
		next.Home, next.RecordedAt = r.home, next.RecordedAt.UTC()
		if err := readSteps(&next.Change, entries); err != nil {
			return err
		}
		found = append(found, next)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the journal: %w", err))
	}
	return found, nil
}

// touching leaves out rows of other homes that have no entries at home.
func (r *reader) touching(ctx context.Context, rows []row) ([]row, error) {
	changes := make([]event.Change, len(rows))
	for i := range rows {
		changes[i] = rows[i].Change
	}
	if err := r.homes.know(ctx, r.conn, changes...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(found row) bool { return !r.homes.touch(found.Change, r.home) }), nil
}

// untied leaves out the last rows that share a place; all of them may.
func untied(rows []row) []row {
	end := len(rows) - 1
	for end > 0 && rows[end-1].tied(rows[len(rows)-1]) {
		end--
	}
	return rows[:end]
}

// sequenced puts rows that share a place in the order of their accounts.
func sequenced(rows []row) []event.Change {
	ordered := make([]event.Change, 0, len(rows))
	for begin := 0; begin < len(rows); {
		tie := []event.Change{}
		end := begin
		for ; end < len(rows) && rows[end].tied(rows[begin]); end++ {
			tie = append(tie, rows[end].Change)
		}
		ordered = append(ordered, inOrder(tie)...)
		begin = end
	}
	return ordered
}

// giving is give, and takes notices off the line meanwhile, however long the consumer takes: what nobody takes, the server has to keep, and
// when its queue is full, no writer of the journal can commit any more.
func (r *reader) giving(ctx context.Context, b Batch) error {
	listening, stop := context.WithCancel(ctx)
	given := make(chan error, 1)
	go func() {
		given <- r.give(ctx, b)
		stop()
	}()
	lost := r.listenAll(listening, time.Hour)
	if err := <-given; err != nil {
		return err
	}
	return lost
}

// A transaction that stays open longer than this hides what was committed after it began, and somebody should know.
const tooLate = time.Second

const sqlOldest = `
SELECT pid, coalesce(application_name, ''), extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY age(backend_xid) DESC LIMIT 1`

// late says how old the time is up to which everything was handed over, and who is to blame.
func (r *reader) late(ctx context.Context, now look, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	by := now.at.Sub(at)
	r.metrics.late(r.home, by)
	if by < tooLate || time.Since(r.warned) < 10*time.Second {
		return nil
	}
	r.warned = time.Now()
	var pid int
	var name string
	var age *float64 // of a session of another role it may be hidden
	err := r.conn.QueryRow(ctx, sqlOldest).Scan(&pid, &name, &age)
	if err != nil && err != pgx.ErrNoRows { //nolint:errorlint // QueryRow returns it bare
		return db.Classify(fmt.Errorf("look for the oldest transaction: %w", err))
	}
	r.log.Warn("the oldest transaction of the server delays the feed", "by", by, "pid", pid, "application", name, "seconds", age)
	return nil
}
