// Package store holds every SQL statement of the ledger, each above the function that runs it.
//
// It promises that one set of statements serves both engines, that every statement on money names home and ledger first, and that a
// group of commands is loaded in one round trip and written in another (group.go). It relies on package db for connections, retries and
// classification. Reads are strong. It is safe for concurrent use.
package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Store is the ledger's tables.
type Store struct {
	db           *db.DB
	lockAccounts string // statements whose text depends on the engine
	lockHolds    string
	lockPayments string
	lockPlayers  string
	ledgers      sync.Map // id.Ledger to ledger.Ledger: a ledger never changes, so one read of it serves for ever
}

// New returns a store on a database whose schema is up to date.
func New(d *db.DB) *Store {
	return &Store{
		db: d, lockAccounts: lockAccounts(d.Engine), lockHolds: lockHolds(d.Engine), lockPayments: lockPayments(d.Engine), lockPlayers: lockPlayers(d.Engine),
	}
}

const sqlInsertLedger = `
INSERT INTO ledger (id, home, metadata, created_at) VALUES ($1, $2, $3, now())
ON CONFLICT (id) DO NOTHING`

const sqlInsertAssets = `
INSERT INTO asset (ledger_id, code, scale)
SELECT $1, a.code, a.scale FROM unnest($2::text[], $3::int8[]) AS a (code, scale)`

// CreateLedger implements ledger.Service.
func (s *Store) CreateLedger(ctx context.Context, l ledger.Ledger) (ledger.Ledger, error) {
	if err := validateLedger(l); err != nil {
		return ledger.Ledger{}, err
	}
	codes, scales := make([]string, len(l.Assets)), make([]int64, len(l.Assets))
	for i, a := range l.Assets {
		codes[i], scales[i] = string(a.Code), int64(a.Scale)
	}
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlInsertLedger, l.ID, l.Home, metadataJSON(l.Metadata))
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, sqlInsertAssets, l.ID, codes, scales)
		return err
	})
	if err != nil {
		return ledger.Ledger{}, fmt.Errorf("create ledger %s: %w", l.ID, err)
	}
	stored, err := s.Ledger(ctx, l.ID)
	if err != nil {
		return ledger.Ledger{}, err
	}
	if field := differs(stored, l); field != "" {
		return ledger.Ledger{}, errs.ErrLedgerExists.With("field", field).With("ledger", l.ID)
	}
	return stored, nil
}

func validateLedger(l ledger.Ledger) error {
	switch {
	case l.ID == "":
		return errs.Invalid("ledger", "name the ledger")
	case l.Home == "":
		return errs.Invalid("home", "name the home of the ledger")
	case len(l.Assets) == 0 || len(l.Assets) > 1000:
		return errs.Invalid("assets", "a ledger has 1 to 1000 assets")
	}
	seen := map[money.Code]bool{}
	for _, a := range l.Assets {
		if seen[a.Code] {
			return errs.Invalid("assets", fmt.Sprintf("%s stands there twice", a.Code))
		}
		seen[a.Code] = true
	}
	return l.Metadata.Validate("metadata")
}

func differs(stored, wanted ledger.Ledger) string {
	byCode := func(a, b money.Asset) int { return compareText(a.Code, b.Code) }
	switch {
	case stored.Home != wanted.Home:
		return "home"
	case !slices.Equal(stored.Assets, slices.SortedFunc(slices.Values(wanted.Assets), byCode)):
		return "assets"
	case string(metadataJSON(stored.Metadata)) != string(metadataJSON(wanted.Metadata)):
		return "metadata"
	}
	return ""
}

// Ledger implements ledger.Service.
func (s *Store) Ledger(ctx context.Context, key id.Ledger) (ledger.Ledger, error) {
	if l, known := s.ledgers.Load(key); known {
		return l.(ledger.Ledger), nil //nolint:forcetypeassert // only ledgers are stored
	}
	found, err := s.queryLedgers(ctx, sqlSelectLedger, key)
	if err != nil {
		return ledger.Ledger{}, err
	}
	if len(found) == 0 {
		return ledger.Ledger{}, errs.ErrLedgerNotFound.With("ledger", key)
	}
	s.ledgers.Store(key, found[0])
	return found[0], nil
}

const sqlSelectLedger = `
SELECT l.id, l.home, l.metadata, l.created_at, a.code, a.scale
FROM ledger l JOIN asset a ON a.ledger_id = l.id
WHERE l.id = $1
ORDER BY l.id, a.code`

const sqlListLedgers = `
SELECT l.id, l.home, l.metadata, l.created_at, a.code, a.scale
FROM (SELECT id, home, metadata, created_at FROM ledger WHERE id > $1 ORDER BY id LIMIT $2) l
JOIN asset a ON a.ledger_id = l.id
ORDER BY l.id, a.code`

// Ledgers implements ledger.Service.
func (s *Store) Ledgers(ctx context.Context, after id.Ledger, limit int) ([]ledger.Ledger, error) {
	return s.queryLedgers(ctx, sqlListLedgers, after, limit)
}

func (s *Store) queryLedgers(ctx context.Context, sql string, args ...any) ([]ledger.Ledger, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var found []ledger.Ledger
	var l ledger.Ledger
	var asset money.Asset
	_, err := pgx.ForEachRow(rows, []any{&l.ID, &l.Home, &l.Metadata, &l.CreatedAt, &asset.Code, &asset.Scale}, func() error {
		if n := len(found); n == 0 || found[n-1].ID != l.ID {
			l.CreatedAt = l.CreatedAt.UTC()
			found = append(found, l)
		}
		last := &found[len(found)-1]
		last.Assets = append(last.Assets, asset)
		l = ledger.Ledger{}
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read ledgers: %w", err))
	}
	return found, nil
}

const sqlExpiredHolds = `
SELECT ledger_id, id FROM hold WHERE home = $1 AND status = 'held' AND expires_at <= now() ORDER BY expires_at LIMIT $2`

// ExpiredHolds returns up to limit holds of each home whose time is over and that still hold money, oldest first.
func (s *Store) ExpiredHolds(ctx context.Context, limit int) ([]ledger.Hold, error) {
	homes, err := s.Homes(ctx)
	if err != nil {
		return nil, err
	}
	var expired []ledger.Hold
	for _, home := range homes {
		rows, _ := s.db.Reader().Query(ctx, sqlExpiredHolds, home, limit) // the error comes back from the loop
		var h ledger.Hold
		some, err := collect(rows, &h, []any{&h.Ledger, &h.ID}, nil)
		if err != nil {
			return nil, db.Classify(fmt.Errorf("read expired holds of %s: %w", home, err))
		}
		expired = append(expired, some...)
	}
	return expired, nil
}

// micros cuts a time to what both engines store.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
