package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// What is missing is found by primary keys, and sorted by the database, on its disk where it is much: rows of the journal of the home, and those
// of others that entries of the home are of. Only the keys are sorted; the rows are fetched page by page.
const sqlMissing = `
SELECT j.home, j.ledger_id, j.id, j.recorded_at
FROM journal j
WHERE j.home = $1 AND NOT EXISTS (
    SELECT 1 FROM stream s WHERE s.home = $1 AND s.ledger_id = j.ledger_id AND s.transaction_id = j.id)
UNION ALL
SELECT j.home, j.ledger_id, j.id, j.recorded_at
FROM (SELECT DISTINCT e.origin_ledger_id, e.transaction_id FROM entry e WHERE e.home = $1 AND e.origin_ledger_id <> e.ledger_id) e
JOIN ledger l ON l.id = e.origin_ledger_id AND l.home <> $1
JOIN journal j ON j.home = l.home AND j.ledger_id = e.origin_ledger_id AND j.id = e.transaction_id
WHERE NOT EXISTS (
    SELECT 1 FROM stream s WHERE s.home = $1 AND s.ledger_id = j.ledger_id AND s.transaction_id = j.id)
ORDER BY recorded_at`

const sqlMissed = `
SELECT j.home, j.ledger_id, j.id, j.recorded_at, j.entries
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS k (home, ledger_id, id)
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id`

// rescan hands over everything that has to be in the stream of a home and is not, for where the position of a feed is lost: by recorded time,
// which never runs backwards on an account, and where that is the same by the sequences. begin is the statement that begins the transaction; the
// caller has taken the position to go on from before. It may be cut short and run again: what was appended is not missing any more.
func rescan(ctx context.Context, d *db.DB, begin, cause string, page int, l *line) error {
	if begin == "" {
		begin = `BEGIN TRANSACTION READ ONLY`
	}
	began := time.Now()
	l.metrics.rescans.WithLabelValues(string(l.home), cause).Inc()
	level := slog.LevelWarn
	if cause == "first" {
		level = slog.LevelInfo
	}
	l.log.Log(ctx, level, "the feed has no position to go on from and compares the whole journal with the stream", "cause", cause)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := scan{db: d, home: l.home, page: page, pages: make(chan []event.Change)}
	ended := make(chan error, 1)
	go func() {
		ended <- s.run(ctx, begin)
		close(s.pages)
	}()
	found, err := s.deliver(ctx, l)
	cancel()
	for range s.pages {
	}
	if scanned := <-ended; err == nil {
		err = scanned
	}
	if err != nil {
		return err
	}
	l.log.Log(ctx, level, "the journal was compared with the stream", "cause", cause, "missing", found, "took", time.Since(began))
	return nil
}

// scan reads what is missing, a page ahead of the consumer.
type scan struct {
	db    *db.DB
	home  id.Home
	page  int
	pages chan []event.Change
}

func (s *scan) deliver(ctx context.Context, l *line) (found int, err error) {
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	for {
		select {
		case changes, more := <-s.pages:
			if !more {
				return found, nil
			}
			found += len(changes)
			if err := l.give(ctx, Batch{Changes: changes}); err != nil {
				return found, err
			}
		case <-pulse.C:
			if err := l.beat(ctx, Batch{}); err != nil {
				return found, err
			}
		}
	}
}

// missing names a journal row that is not in the stream.
type missing struct {
	origin id.Home
	ledger id.Ledger
	id     id.Transaction
	at     time.Time
}

func (s *scan) run(ctx context.Context, begin string) error {
	keys, err := s.db.Connect(ctx, scanParams, nil)
	if err != nil {
		return err
	}
	defer hangUp(ctx, keys)
	rows, err := s.db.Connect(ctx, scanParams, nil)
	if err != nil {
		return err
	}
	defer hangUp(ctx, rows)
	if _, err := keys.Exec(ctx, begin); err != nil {
		return db.Classify(fmt.Errorf("begin to compare journal and stream: %w", err))
	}
	found, _ := keys.Query(ctx, sqlMissing, s.home) // the error comes back from the loop
	var batch []missing
	var m missing
	_, err = pgx.ForEachRow(found, []any{&m.origin, &m.ledger, (*[16]byte)(&m.id), &m.at}, func() error {
		if n := len(batch); n >= s.page && !batch[n-1].at.Equal(m.at) { // a page never ends between rows of one time
			if err := s.send(ctx, rows, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		batch = append(batch, m)
		return nil
	})
	if err != nil {
		return db.Classify(fmt.Errorf("compare journal and stream: %w", err))
	}
	return s.send(ctx, rows, batch)
}

var scanParams = map[string]string{"application_name": "meridian feed"}

// send fetches a page and passes it on.
func (s *scan) send(ctx context.Context, conn *pgx.Conn, batch []missing) error {
	if len(batch) == 0 {
		return nil
	}
	origins, ledgers, ids := make([]string, len(batch)), make([]string, len(batch)), make([][16]byte, len(batch))
	for i, m := range batch {
		origins[i], ledgers[i], ids[i] = string(m.origin), string(m.ledger), m.id
	}
	rows, _ := conn.Query(ctx, sqlMissed, origins, ledgers, ids) // the error comes back from the loop
	changes := make([]event.Change, 0, len(batch))
	c := event.Change{Home: s.home}
	var entries []byte
	_, err := pgx.ForEachRow(rows, []any{&c.Origin, &c.Ledger, (*[16]byte)(&c.Transaction), &c.RecordedAt, &entries}, func() error {
		c.RecordedAt = c.RecordedAt.UTC()
		if err := readSteps(&c, entries); err != nil {
			return err
		}
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return db.Classify(fmt.Errorf("read the journal: %w", err))
	}
	if len(changes) != len(batch) {
		return fmt.Errorf("%d of %d journal rows are gone while they were read", len(batch)-len(changes), len(batch))
	}
	slices.SortStableFunc(changes, func(a, b event.Change) int { return a.RecordedAt.Compare(b.RecordedAt) })
	select {
	case s.pages <- inOrder(changes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
