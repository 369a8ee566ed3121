package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// The lock waits for a checkpoint whose answer nobody waited for: afterwards nothing changes but what its reader changes.
const sqlLockProgress = `
SELECT since, position, delivered, digest::text, changed_at FROM progress WHERE home = $1 AND subscription_id = $2 FOR UPDATE`

const deliveryReading = `home, subscription_id, position, ledger_id, transaction_id, accounts, state, attempts, due_at, cause, detail, created_at, changed_at`

// Go sorts: for the sake of an order an engine would take the primary key, and read the dead along with the due.
const sqlSelectDue = `
SELECT ` + deliveryReading + `
FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'due'`

// Outstanding returns where a subscription stands in a home, and what is due there, by position.
func (s *Store) Outstanding(ctx context.Context, home id.Home, subscription string) (event.Outstanding, error) {
	found := event.Outstanding{Progress: event.Progress{Home: home, Subscription: subscription}}
	p := &found.Progress
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, sqlLockProgress, home, subscription).Scan(&p.Since, &p.Position, &p.Delivered, &p.Digest, &p.ChangedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return errs.ErrSubscriptionNotFound.With("subscription", subscription).With("home", home)
		}
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, sqlSelectDue, home, subscription) // the error comes back from the loop
		found.Due, err = collectDeliveries(rows)
		slices.SortFunc(found.Due, func(a, b event.Delivery) int { return cmp.Compare(a.Position, b.Position) })
		return err
	})
	if err != nil {
		return event.Outstanding{}, fmt.Errorf("read where subscription %s is in %s: %w", subscription, home, err)
	}
	p.ChangedAt = p.ChangedAt.UTC()
	return found, nil
}

// refJSON is an account as a delivery lists it.
type refJSON struct {
	Ledger  id.Ledger  `json:"ledger"`
	Account id.Account `json:"account"`
}

func refsJSON(refs []ledger.Ref) string {
	form := make([]refJSON, len(refs))
	for i, ref := range refs {
		form[i] = refJSON(ref)
	}
	return mustJSON(form)
}

func collectDeliveries(rows pgx.Rows) ([]event.Delivery, error) {
	var found []event.Delivery
	var row event.Delivery
	var accounts []byte
	_, err := pgx.ForEachRow(rows, []any{
		&row.Home, &row.Subscription, &row.Position, &row.Ledger, (*[16]byte)(&row.Transaction), &accounts, &row.State, &row.Attempts, &row.DueAt,
		&row.Cause, &row.Detail, &row.CreatedAt, &row.ChangedAt,
	}, func() error {
		var form []refJSON
		if err := json.Unmarshal(accounts, &form); err != nil {
			return fmt.Errorf("read the accounts of delivery %d: %w", row.Position, err)
		}
		d := row
		for _, ref := range form {
			d.Accounts = append(d.Accounts, ledger.Ref(ref))
		}
		d.DueAt, d.CreatedAt, d.ChangedAt = row.DueAt.UTC(), row.CreatedAt.UTC(), row.ChangedAt.UTC()
		found = append(found, d)
		return nil
	})
	return found, err
}

const sqlEventsAt = `
SELECT ` + recordReading + `, s.position, s.appended_at
FROM (SELECT ` + originReading + `, stream.position, ledger_id, transaction_id, appended_at
    FROM unnest($2::int8[]) AS k (position)
    JOIN stream ON stream.home = $1 AND stream.position = k.position) s
JOIN journal j ON j.home = s.origin AND j.ledger_id = s.ledger_id AND j.id = s.transaction_id
ORDER BY s.position`

// EventsAt returns the events at the positions, by position; those that are not there are left out.
func (s *Store) EventsAt(ctx context.Context, home id.Home, positions []event.Position) ([]event.Event, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlEventsAt, home, numbers(positions)) // the error comes back from the loop
	var found []event.Event
	var position event.Position
	var at time.Time
	err := eachRecord(rows, func(r ledger.Record) error {
		found = append(found, event.Event{Home: home, Position: position, AppendedAt: at.UTC(), Record: r})
		return nil
	}, &position, &at)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read events of %s: %w", home, err))
	}
	return found, nil
}

func numbers(positions []event.Position) column[int64] {
	c := make(column[int64], len(positions))
	for i, p := range positions {
		c[i] = int64(p)
	}
	return c
}

const sqlListDeliveries = `
SELECT ` + deliveryReading + `
FROM delivery WHERE home = $1 AND subscription_id = $2 AND position > $3 AND ($4::text = '' OR state = $4::text)
ORDER BY position LIMIT $5`

// Deliveries lists what met an obstacle, by home and position. It is errs.ErrSubscriptionNotFound where there is no such subscription.
func (s *Store) Deliveries(ctx context.Context, page event.DeliveryPage) ([]event.Delivery, error) {
	sub, err := s.Subscription(ctx, page.Subscription)
	if err != nil {
		return nil, err
	}
	var found []event.Delivery
	for _, home := range slices.Sorted(slices.Values(sub.Homes)) {
		after := event.Position(0)
		switch {
		case page.Home != "" && home != page.Home, home < page.AfterHome, len(found) >= page.Limit:
			continue
		case home == page.AfterHome:
			after = page.AfterPosition
		}
		rows, _ := s.db.Reader().Query(ctx, sqlListDeliveries, home, sub.ID, after, page.State, page.Limit-len(found)) // the error comes back from the loop
		more, err := collectDeliveries(rows)
		if err != nil {
			return nil, db.Classify(fmt.Errorf("read deliveries of %s: %w", sub.ID, err))
		}
		found = append(found, more...)
	}
	return found, nil
}

const sqlSelectDelivery = `
SELECT ` + deliveryReading + `
FROM delivery WHERE home = $1 AND subscription_id = $2 AND position = $3`

// Delivery returns one, or errs.ErrDeliveryNotFound.
func (s *Store) Delivery(ctx context.Context, subscription string, home id.Home, position event.Position) (event.Delivery, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlSelectDelivery, home, subscription, position) // the error comes back from the loop
	found, err := collectDeliveries(rows)
	if err != nil {
		return event.Delivery{}, db.Classify(fmt.Errorf("read a delivery of %s: %w", subscription, err))
	}
	if len(found) == 0 {
		return event.Delivery{}, errs.ErrDeliveryNotFound.With("subscription", subscription).With("home", home).With("position", position)
	}
	return found[0], nil
}

const selectedDead = `
FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'dead' AND ($3::text = '' OR cause = $3::text)
    AND ($4::bool OR position = ANY($5::int8[]))`

const sqlCountDue = `SELECT count(*) FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'due'`

const sqlRetryDeliveries = `
UPDATE delivery SET state = 'due', attempts = 0, due_at = now(), changed_at = now()
WHERE home = $1 AND subscription_id = $2 AND state = 'dead' AND position IN (SELECT position ` + selectedDead + ` ORDER BY position LIMIT $6)`

const sqlTouchSubscription = `UPDATE subscription SET revision = revision + 1 WHERE id = $1`

// RetryDeliveries makes dead deliveries due at once, the oldest first, so many that not more than most are due then. It returns how many. The
// subscription gets another revision, so that who delivers looks again.
func (s *Store) RetryDeliveries(ctx context.Context, sel event.Selection, most int) (int64, error) {
	var n int64
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		var due int
		if err := tx.QueryRow(ctx, sqlCountDue, sel.Home, sel.Subscription).Scan(&due); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlRetryDeliveries, sel.Home, sel.Subscription, sel.Cause, len(sel.Positions) == 0, numbers(sel.Positions), max(0, most-due))
		if n = tag.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(ctx, sqlTouchSubscription, sel.Subscription)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("retry deliveries of %s: %w", sel.Subscription, err)
	}
	return n, nil
}

const sqlDiscardDeliveries = `
UPDATE delivery SET state = 'discarded', detail = detail || '; discarded: ' || $6::text, changed_at = now()
WHERE home = $1 AND subscription_id = $2 AND state = 'dead' AND position IN (SELECT position ` + selectedDead + `)`

// DiscardDeliveries gives dead deliveries up, and returns how many.
func (s *Store) DiscardDeliveries(ctx context.Context, sel event.Selection, reason string) (int64, error) {
	var n int64
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlDiscardDeliveries, sel.Home, sel.Subscription, sel.Cause, len(sel.Positions) == 0, numbers(sel.Positions), reason)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("discard deliveries of %s: %w", sel.Subscription, err)
	}
	return n, nil
}

const sqlTallyDeliveries = `
SELECT subscription_id, cause, CASE WHEN due_at > now() - INTERVAL '1 hour' THEN 'hour' WHEN due_at > now() - INTERVAL '1 day' THEN 'day' ELSE 'older' END AS age,
    count(*)
FROM delivery WHERE home = $1 AND state = 'dead' GROUP BY subscription_id, cause, age`

// TallyDeliveries counts the dead deliveries of a home by subscription, cause and how long ago they died.
func (s *Store) TallyDeliveries(ctx context.Context, home id.Home) ([]event.Tally, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlTallyDeliveries, home) // the error comes back from the loop
	t := event.Tally{Home: home, State: event.Dead}
	found, err := collect(rows, &t, []any{&t.Subscription, &t.Cause, &t.Age, &t.Count}, nil)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("count the dead deliveries of %s: %w", home, err))
	}
	return found, nil
}
