package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

const sqlListSubscriptions = `
SELECT ` + subscriptionReading + ` FROM subscription WHERE id > $1 AND state <> 'deleted' ORDER BY id LIMIT $2`

// Standings lists the subscriptions that are not deleted and how far they are, by id, strictly after the given one, at most limit of them.
func (s *Store) Standings(ctx context.Context, after string, limit int) ([]event.Standing, error) {
	found, err := s.querySubscriptions(ctx, sqlListSubscriptions, after, limit)
	if err != nil {
		return nil, err
	}
	standings := make([]event.Standing, len(found))
	for i := range found {
		standings[i] = event.Standing{Subscription: found[i]}
	}
	if err := s.stand(ctx, standings); err != nil {
		return nil, err
	}
	return standings, nil
}

// Standing returns a subscription and how far it is, or errs.ErrSubscriptionNotFound where it is not there or deleted.
func (s *Store) Standing(ctx context.Context, subscription string) (event.Standing, error) {
	found, err := s.Subscription(ctx, subscription)
	if err != nil {
		return event.Standing{}, err
	}
	if found.State == event.Deleted {
		return event.Standing{}, errs.ErrSubscriptionNotFound.With("subscription", subscription)
	}
	standing := []event.Standing{{Subscription: found}}
	if err := s.stand(ctx, standing); err != nil {
		return event.Standing{}, err
	}
	return standing[0], nil
}

//nolint:gosec // a statement, and no credential
const sqlSelectSecretIDs = `
SELECT id FROM subscription_secret WHERE subscription_id = $1 ORDER BY created_at DESC, id DESC`

const sqlSelectStanding = `
SELECT p.since, p.position, p.delivered, p.digest::text, p.changed_at,
    coalesce((SELECT head FROM relay WHERE home = $1), 0),
    (SELECT count(*) FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'due'),
    (SELECT count(*) FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'dead'),
    (SELECT count(*) FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'discarded'),
    (SELECT appended_at FROM stream WHERE home = $1 AND position = coalesce(
        (SELECT min(position) FROM delivery WHERE home = $1 AND subscription_id = $2 AND state = 'due'),
        (SELECT position + 1 FROM progress WHERE home = $1 AND subscription_id = $2)))
FROM progress p WHERE p.home = $1 AND p.subscription_id = $2`

// stand finds out how far subscriptions are, in one round trip.
func (s *Store) stand(ctx context.Context, standings []event.Standing) error {
	if len(standings) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for i := range standings {
		to := &standings[i]
		batch.Queue(sqlSelectSecretIDs, to.ID).Query(func(rows pgx.Rows) (err error) {
			to.SecretIDs, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		for _, home := range slices.Sorted(slices.Values(to.Homes)) {
			batch.Queue(sqlSelectStanding, home, to.ID).QueryRow(func(row pgx.Row) error {
				at := event.HomeStanding{Progress: event.Progress{Home: home, Subscription: to.ID}}
				var oldest *time.Time
				err := row.Scan(&at.Since, &at.Position, &at.Delivered, &at.Digest, &at.ChangedAt, &at.Head, &at.Due, &at.Dead, &at.Discarded, &oldest)
				at.ChangedAt = at.ChangedAt.UTC()
				if oldest != nil {
					at.Oldest = oldest.UTC()
				}
				to.Places = append(to.Places, at)
				return err
			})
		}
	}
	if err := s.db.Reader().SendBatch(ctx, batch).Close(); err != nil {
		return db.Classify(fmt.Errorf("read how far subscriptions are: %w", err))
	}
	return nil
}
