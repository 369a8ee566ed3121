package feed

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// journal finds out what has to be appended before something else.
type journal struct{ d *db.DB }

// Those of the rows that may have entries on accounts of several homes.
const sqlVisiting = `
SELECT j.home, j.ledger_id, j.id, j.entries
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS k (home, ledger_id, id)
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.id = k.id
WHERE j.kind IN ('post', 'reverse')`

// The rows of keys; entries are left out where the row is in the stream already.
const sqlHooked = `
SELECT k.n, s.home IS NOT NULL, j.home, j.recorded_at, CASE WHEN s.home IS NULL THEN j.entries END
FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS k (ledger_id, id, n)
JOIN ledger l ON l.id = k.ledger_id
JOIN journal j ON j.home = l.home AND j.ledger_id = k.ledger_id AND j.id = k.id
LEFT JOIN stream s ON s.home = $1 AND s.ledger_id = k.ledger_id AND s.transaction_id = k.id`

// The newest entries of an account of the home before a sequence, and whether they are in its stream.
const sqlBefore = `
SELECT e.sequence, e.origin_ledger_id, e.transaction_id, EXISTS (
    SELECT 1 FROM stream s WHERE s.home = $1 AND s.ledger_id = e.origin_ledger_id AND s.transaction_id = e.transaction_id)
FROM entry e
WHERE e.home = $1 AND e.ledger_id = $2 AND e.account_id = $3 AND e.sequence < $4
ORDER BY e.sequence DESC
LIMIT $5`

// Entries that are looked at in one step, and accounts in one round trip.
const (
	stride   = 64
	together = 256
)

// search collects changes that are not in the stream, and those that have to be there before them.
type search struct {
	journal
	home   id.Home
	most   int
	homes  homes
	found  map[key]event.Change
	walked map[ledger.Ref]int64 // everything before this sequence is in the stream or found
}

// visits adds to the rows of each home those of others that have entries on its accounts.
func (j journal) visits(ctx context.Context, rows map[id.Home][]key) error {
	var names, ledgers []string
	var ids [][16]byte
	for home, keys := range rows {
		for _, k := range keys {
			names, ledgers, ids = append(names, string(home)), append(ledgers, string(k.ledger)), append(ids, k.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, _ := j.d.Reader().Query(ctx, sqlVisiting, names, ledgers, ids) // the error comes back from the loop
	var changes []event.Change
	var entries []byte
	var c event.Change
	_, err := pgx.ForEachRow(found, []any{&c.Origin, &c.Ledger, (*[16]byte)(&c.Transaction), &entries}, func() error {
		if !bytes.Contains(entries, ledgerNamed) {
			return nil
		}
		if err := readSteps(&c, entries); err != nil {
			return err
		}
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return db.Classify(fmt.Errorf("read the journal: %w", err))
	}
	known := homes{}
	if err := known.know(ctx, j.d.Reader(), changes...); err != nil {
		return err
	}
	for _, c := range changes {
		for _, home := range known.of(c) {
			if home != c.Origin {
				rows[home] = append(rows[home], key{c.Ledger, c.Transaction})
			}
		}
	}
	return nil
}

// unstreamed returns those of the keys that are not in the stream of the home, and everything before them on any of their accounts there that
// is not in it either, in order. The error is errCrowded where there are more than so many, and invalid argument where the journal does
// not have a key, or has it without entries at home.
func (j journal) unstreamed(ctx context.Context, home id.Home, keys []key, most int) ([]event.Change, error) {
	s := search{journal: j, home: home, most: most, homes: homes{}, found: map[key]event.Change{}, walked: map[ledger.Ref]int64{}}
	fresh, err := s.fetch(ctx, keys)
	for err == nil && len(fresh) > 0 {
		fresh, err = s.before(ctx, fresh)
	}
	if err != nil {
		return nil, err
	}
	changes := make([]event.Change, 0, len(s.found))
	for _, c := range s.found {
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b event.Change) int { return a.RecordedAt.Compare(b.RecordedAt) })
	return inOrder(changes), nil
}

// fetch reads rows that are not known yet, and returns those that are not in the stream.
func (s *search) fetch(ctx context.Context, keys []key) (fresh []event.Change, err error) {
	wanted := map[key]bool{}
	var ledgers []string
	var ids [][16]byte
	for _, k := range keys {
		if _, known := s.found[k]; !known && !wanted[k] {
			wanted[k] = true
			ledgers, ids = append(ledgers, string(k.ledger)), append(ids, k.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, _ := s.d.Reader().Query(ctx, sqlHooked, s.home, ledgers, ids) // the error comes back from the loop
	var n, seen int
	var streamed bool
	var entries []byte
	c := event.Change{Home: s.home}
	_, err = pgx.ForEachRow(rows, []any{&n, &streamed, &c.Origin, &c.RecordedAt, &entries}, func() error {
		seen++
		if streamed {
			return nil
		}
		c.Ledger, c.Transaction, c.RecordedAt = id.Ledger(ledgers[n-1]), ids[n-1], c.RecordedAt.UTC()
		if err := readSteps(&c, entries); err != nil {
			return err
		}
		fresh = append(fresh, c)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the journal: %w", err))
	}
	if err := s.homes.know(ctx, s.d.Reader(), fresh...); err != nil {
		return nil, err
	}
	elsewhere := false
	for _, c := range fresh {
		elsewhere = elsewhere || !s.homes.touch(c, s.home)
		s.found[key{c.Ledger, c.Transaction}] = c
	}
	switch {
	case seen < len(ids) || elsewhere:
		return nil, errs.Invalid("payload", "the journal of this database does not have these rows: the changefeed is of another one")
	case len(s.found) > s.most:
		return nil, errCrowded
	}
	return fresh, nil
}

// before walks the accounts of changes back to what is in the stream, and fetches what is not.
func (s *search) before(ctx context.Context, fresh []event.Change) ([]event.Change, error) {
	from := map[ledger.Ref]int64{} // before this sequence
	for _, c := range fresh {
		for _, step := range c.Entries {
			if s.homes[step.Ref.Ledger] == s.home && step.Sequence > max(1, s.walked[step.Ref], from[step.Ref]) {
				from[step.Ref] = step.Sequence
			}
		}
	}
	floor := map[ledger.Ref]int64{}
	for ref, sequence := range from {
		floor[ref], s.walked[ref] = s.walked[ref], sequence
	}
	var keys []key
	for len(from) > 0 {
		var err error
		if keys, err = s.step(ctx, from, floor, keys); err != nil {
			return nil, err
		}
		if len(keys) > s.most {
			return nil, errCrowded
		}
	}
	return s.fetch(ctx, keys)
}

// step goes one stride back on some of the accounts, and forgets those where it has arrived.
func (s *search) step(ctx context.Context, from, floor map[ledger.Ref]int64, keys []key) ([]key, error) {
	batch := &pgx.Batch{}
	for ref, before := range from {
		if batch.Len() == together {
			break
		}
		batch.Queue(sqlBefore, s.home, ref.Ledger, ref.Account, before, stride).Query(func(rows pgx.Rows) error {
			var k key
			var sequence int64
			var streamed, arrived bool
			n := 0
			_, err := pgx.ForEachRow(rows, []any{&sequence, &k.ledger, (*[16]byte)(&k.id), &streamed}, func() error {
				n++
				if arrived = arrived || streamed || sequence < floor[ref]; !arrived {
					keys = append(keys, k)
				}
				return nil
			})
			if from[ref] = sequence; arrived || n < stride {
				delete(from, ref)
			}
			return err
		})
	}
	if err := s.d.Reader().SendBatch(ctx, batch).Close(); err != nil {
		return nil, db.Classify(fmt.Errorf("ask for earlier entries: %w", err))
	}
	return keys, nil
}
