package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// resting is a source that finds nothing by itself: somebody else appends what is new. Where a stream has never been compared with its journal
// on this database, it begins with that.
type resting struct {
	db *db.DB
	o  Options
}

const restingForm = "hook1"

const sqlScanNow = `BEGIN TRANSACTION READ ONLY, AS OF SYSTEM TIME '-1ms'`

// beginScan begins the transaction of a rescan that sees what was committed by now.
func beginScan(d *db.DB) string {
	if d.Engine.Changefeeds {
		return sqlScanNow
	}
	return ""
}

// NewResting returns the source for a server on CockroachDB whose changes come by webhook alone. The changefeed has to be there before the server starts.
func NewResting(d *db.DB, o Options) Source { return &resting{db: d, o: o.orDefaults()} }

// Run implements Source.
func (s *resting) Run(ctx context.Context, home id.Home, from event.Cursor, hand func(context.Context, Batch) error) error {
	l := newLine(home, from, hand, s.o)
	return l.keep(ctx, func(ctx context.Context) error {
		here, err := s.here(ctx)
		if err != nil {
			return err
		}
		if l.cursor != here {
			cause := "first"
			if l.cursor != "" {
				cause = "other_feed"
			}
			if err := rescan(ctx, s.db, beginScan(s.db), cause, s.o.Page, l); err != nil {
				return err
			}
			if err := l.give(ctx, Batch{Cursor: here}); err != nil {
				return err
			}
		}
		for {
			if err := l.rest(ctx, time.Hour); err != nil {
				return err
			}
		}
	})
}

// here is the cursor of a database that was compared.
func (s *resting) here(ctx context.Context) (event.Cursor, error) {
	conn, err := s.db.Connect(ctx, scanParams, nil)
	if err != nil {
		return "", err
	}
	defer hangUp(ctx, conn)
	var cluster, table string
	if err := conn.QueryRow(ctx, sqlIdentity).Scan(&cluster, &table); err != nil {
		return "", db.Classify(fmt.Errorf("ask for the identity of the cluster: %w", err))
	}
	return event.Cursor(restingForm + ":" + cluster + ":" + table), nil
}
