package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

const sqlInsertSubscription = `
INSERT INTO subscription (id, revision, state, cause, homes, filter, sink, grants, metadata, created_at, changed_at)
VALUES ($1, 1, 'active', '', $2, $3, $4, $5, $6, now(), now())
ON CONFLICT (id) DO NOTHING`

//nolint:gosec // a statement, and no credential
const sqlInsertSecrets = `
INSERT INTO subscription_secret (subscription_id, id, secret, created_at)
SELECT $1::text, s.id, s.secret, now() FROM unnest($2::text[], $3::bytea[]) AS s (id, secret)`

const sqlInsertProgress = `
INSERT INTO progress (home, subscription_id, since, position, delivered, digest, changed_at)
SELECT p.home, $1::text, p.since, p.since, 0, 0, now() FROM unnest($2::text[], $3::int8[]) AS p (home, since)`

// CreateSubscription writes a subscription down, with its secrets and where it starts, unless its id is taken.
func (s *Store) CreateSubscription(ctx context.Context, n event.NewSubscription) (existed bool, err error) {
	homes, since := make(column[string], len(n.Homes)), make(column[int64], len(n.Homes))
	for i, home := range n.Homes {
		p, err := s.start(ctx, home, n.Start)
		if err != nil {
			return false, err
		}
		homes[i], since[i] = string(home), int64(p)
	}
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlInsertSubscription, n.ID, mustJSON(n.Homes), mustJSON(n.Filter), sinkJSON(n.Sink), grantsJSON(n.Grants),
			metadataJSON(n.Metadata))
		if existed = err == nil && tag.RowsAffected() == 0; err != nil || existed {
			return err
		}
		if err := insertSecrets(ctx, tx, n.ID, n.Secrets); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sqlInsertProgress, n.ID, homes, since)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("create subscription %s: %w", n.ID, err)
	}
	return existed, nil
}

// start returns the position after which a subscription begins.
func (s *Store) start(ctx context.Context, home id.Home, from event.Start) (event.Position, error) {
	switch {
	case from.Beginning:
		return 0, nil
	case !from.Since.IsZero():
		return s.PositionAt(ctx, home, from.Since)
	}
	return s.Head(ctx, home)
}

func insertSecrets(ctx context.Context, tx pgx.Tx, subscription string, secrets []event.Secret) error {
	if len(secrets) == 0 {
		return nil
	}
	ids, values := make(column[string], len(secrets)), make(blobs, len(secrets))
	for i, secret := range secrets {
		ids[i], values[i] = secret.ID, secret.Value
	}
	_, err := tx.Exec(ctx, sqlInsertSecrets, subscription, ids, values)
	return err
}

const subscriptionReading = `id, revision, state, cause, homes, filter, sink, grants, metadata, created_at, changed_at`

const sqlSelectSubscription = `
SELECT ` + subscriptionReading + ` FROM subscription WHERE id = $1`

// Subscription returns a subscription, deleted or not, or errs.ErrSubscriptionNotFound.
func (s *Store) Subscription(ctx context.Context, subscription string) (event.Subscription, error) {
	found, err := s.querySubscriptions(ctx, sqlSelectSubscription, subscription)
	return only(found, err, errs.ErrSubscriptionNotFound.With("subscription", subscription))
}

const sqlSubscribed = `
SELECT ` + subscriptionReading + ` FROM subscription WHERE state <> 'deleted' AND homes @> $1::jsonb ORDER BY id`

// Subscribed returns the subscriptions that name a home and are not deleted.
func (s *Store) Subscribed(ctx context.Context, home id.Home) ([]event.Subscription, error) {
	return s.querySubscriptions(ctx, sqlSubscribed, mustJSON([]id.Home{home}))
}

func (s *Store) querySubscriptions(ctx context.Context, sql string, args ...any) ([]event.Subscription, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []event.Subscription
	var row event.Subscription
	var homes, filter, sink, grants []byte
	_, err := pgx.ForEachRow(rows, []any{
		&row.ID, &row.Revision, &row.State, &row.Cause, &homes, &filter, &sink, &grants, (*notes)(&row.Metadata), &row.CreatedAt, &row.ChangedAt,
	}, func() error {
		sub := row
		sub.CreatedAt, sub.ChangedAt = row.CreatedAt.UTC(), row.ChangedAt.UTC()
		err := errors.Join(json.Unmarshal(homes, &sub.Homes), json.Unmarshal(filter, &sub.Filter), json.Unmarshal(sink, &sub.Sink),
			json.Unmarshal(grants, &sub.Grants))
		found = append(found, sub)
		return err
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read subscriptions: %w", err))
	}
	return found, nil
}

// sinkJSON writes a sink. Settings are an object, or nothing.
func sinkJSON(s event.SinkSpec) string {
	if len(s.Settings) == 0 {
		s.Settings = json.RawMessage(`{}`)
	}
	return mustJSON(s)
}

func grantsJSON(g []event.Grant) string {
	if len(g) == 0 {
		return `[]`
	}
	return mustJSON(g)
}

//nolint:gosec // a statement, and no credential
const sqlSelectSecrets = `
SELECT id, secret, created_at FROM subscription_secret WHERE subscription_id = $1 ORDER BY created_at DESC, id DESC`

// Secrets returns the active secrets of a subscription, newest first.
func (s *Store) Secrets(ctx context.Context, subscription string) ([]event.Secret, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlSelectSecrets, subscription) // the error comes back from the loop
	var found []event.Secret
	var row event.Secret
	_, err := pgx.ForEachRow(rows, []any{&row.ID, &row.Value, &row.CreatedAt}, func() error {
		found = append(found, event.Secret{ID: row.ID, Value: slices.Clone(row.Value), CreatedAt: row.CreatedAt.UTC()})
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the secrets of subscription %s: %w", subscription, err))
	}
	return found, nil
}

const sqlReviseSubscription = `
UPDATE subscription SET revision = revision + 1, state = $3, cause = $4, filter = $5, sink = $6, grants = $7, metadata = $8, changed_at = now()
WHERE id = $1 AND revision = $2 AND state <> 'deleted'`

const sqlRecount = `
UPDATE progress SET since = position, delivered = 0, digest = 0, changed_at = now() WHERE home = ANY($2::text[]) AND subscription_id = $1`

// What met an obstacle ahead of the position is read again, and may not be wanted any more.
const sqlForgetAhead = `
DELETE FROM delivery WHERE subscription_id = $1 AND home = ANY($2::text[]) AND position > (
    SELECT p.position FROM progress p WHERE p.home = delivery.home AND p.subscription_id = $1)`

//nolint:gosec // a statement, and no credential
const sqlDeleteSecrets = `
DELETE FROM subscription_secret WHERE subscription_id = $1 AND id = ANY($2::text[])`

// ReviseSubscription replaces the subscription of revision sub.Revision, and some of its secrets. It is errs.ErrContended where another revision
// is stored. Where recount is true, what was delivered is counted anew from where it is: what was counted before was wanted otherwise.
func (s *Store) ReviseSubscription(ctx context.Context, sub event.Subscription, recount bool, add []event.Secret, remove []string) error {
	homes := make(column[string], len(sub.Homes))
	for i, home := range sub.Homes {
		homes[i] = string(home)
	}
	moved := false
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlReviseSubscription, sub.ID, sub.Revision, sub.State, sub.Cause, mustJSON(sub.Filter), sinkJSON(sub.Sink),
			grantsJSON(sub.Grants), metadataJSON(sub.Metadata))
		if moved = err == nil && tag.RowsAffected() == 0; err != nil || moved {
			return err
		}
		if recount {
			for _, sql := range []string{sqlRecount, sqlForgetAhead} {
				if _, err := tx.Exec(ctx, sql, sub.ID, homes); err != nil {
					return err
				}
			}
		}
		if len(remove) > 0 {
			if _, err := tx.Exec(ctx, sqlDeleteSecrets, sub.ID, column[string](remove)); err != nil {
				return err
			}
		}
		return insertSecrets(ctx, tx, sub.ID, add)
	})
	if err != nil {
		return fmt.Errorf("revise subscription %s: %w", sub.ID, err)
	}
	if moved {
		return errs.ErrContended.With("subscription", sub.ID).With("revision", sub.Revision)
	}
	return nil
}

const sqlSetHealth = `
UPDATE subscription SET state = $2, cause = $3, changed_at = now()
WHERE id = $1 AND state IN ('active', 'failing') AND (state <> $2 OR cause <> $3)`

// SetHealth makes an active subscription failing for a cause, or a failing one active. It leaves others, and the revision, as they are. It is
// event.ErrFenced where the lease is lost.
func (s *Store) SetHealth(ctx context.Context, lease event.Lease, subscription string, state event.State, cause string) error {
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		if err := Fence(ctx, tx, lease); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlSetHealth, subscription, state, cause)
		return err
	})
	if err != nil {
		return fmt.Errorf("set the state of subscription %s: %w", subscription, err)
	}
	return nil
}
