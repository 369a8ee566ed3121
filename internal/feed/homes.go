package feed

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

const sqlHomesOf = `SELECT id, home FROM ledger WHERE id = ANY($1::text[])`

// queryer is a connection or a pool.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// homes knows where ledgers are at home, which never changes. One that is not there, as a damaged journal may name it, is at home nowhere.
type homes map[id.Ledger]id.Home

// know looks up the ledgers of changes that are not known yet.
func (h homes) know(ctx context.Context, on queryer, changes ...event.Change) error {
	var unknown []string
	for _, c := range changes {
		if _, known := h[c.Ledger]; !known {
			h[c.Ledger] = c.Origin
		}
		for _, s := range c.Entries {
			if _, known := h[s.Ref.Ledger]; !known {
				h[s.Ref.Ledger] = ""
				unknown = append(unknown, string(s.Ref.Ledger))
			}
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	rows, _ := on.Query(ctx, sqlHomesOf, unknown) // the error comes back from the loop
	var l id.Ledger
	var home id.Home
	if _, err := pgx.ForEachRow(rows, []any{&l, &home}, func() error { h[l] = home; return nil }); err != nil {
		return db.Classify(fmt.Errorf("ask for the homes of ledgers: %w", err))
	}
	return nil
}

// of returns the homes through whose streams a change leaves, each once: that of its journal row first, and those that it has entries at. The
// ledgers of the change have to be known.
func (h homes) of(c event.Change) []id.Home {
	all := []id.Home{c.Origin}
	for _, s := range c.Entries {
		if home := h[s.Ref.Ledger]; home != "" && !slices.Contains(all, home) {
			all = append(all, home)
		}
	}
	return all
}

// touch tells whether a change leaves through the stream of a home.
func (h homes) touch(c event.Change, home id.Home) bool {
	return c.Origin == home || slices.ContainsFunc(c.Entries, func(s event.Step) bool { return h[s.Ref.Ledger] == home })
}
