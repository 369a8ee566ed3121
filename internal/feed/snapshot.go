package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// snapshot is the feed of PostgreSQL.
//
// A journal row carries the number of the transaction that wrote it. Below xmin, the oldest transaction still running, nothing can be added
// any more, so that rows are handed over up to there and nobody who commits late is passed by. The order of the numbers is the order on each
// account (schema/postgres); rows of one transaction come by recorded time, which never runs backwards on an account, and those of one
// recorded time by their sequences. NOTIFY says when to look; a look each second is the floor.
type snapshot struct {
	db *db.DB
	o  Options
}

// Run implements Source.
func (s *snapshot) Run(ctx context.Context, home id.Home, from event.Cursor, hand func(context.Context, Batch) error) error {
	l := newLine(home, from, hand, s.o)
	return l.keep(ctx, func(ctx context.Context) error {
		r, err := s.open(ctx, l)
		if err != nil {
			return err
		}
		defer r.close(ctx)
		if err := r.begin(ctx); err != nil {
			return err
		}
		for {
			if err := r.round(ctx); err != nil {
				return err
			}
		}
	})
}

// reader is one session with the server.
type reader struct {
	*line
	o       Options
	db      *db.DB
	conn    *pgx.Conn
	notice  bool // came since the last look
	place   place
	horizon horizon
	homes   homes
	wanted  uint64 // what was committed below is still to come: xmax when the last notice came
	pause   time.Duration
	looked  time.Time
	warned  time.Time
}

// The feed reads by one index, and a page of it at a time: a plan that would sort or scan the journal is never right here. It takes no
// predicate locks and changes nothing.
var snapshotParams = map[string]string{
	"application_name":              "meridian feed",
	"default_transaction_isolation": "read committed",
	"default_transaction_read_only": "on",
	"enable_seqscan":                "off",
	"enable_bitmapscan":             "off",
	"enable_sort":                   "off",
	"tcp_keepalives_idle":           "10",
	"tcp_keepalives_interval":       "5",
	"tcp_keepalives_count":          "3",
}

const (
	sqlListen  = `LISTEN meridian_journal`
	sqlCluster = `SELECT system_identifier::text FROM pg_control_system()`
)

func (s *snapshot) open(ctx context.Context, l *line) (*reader, error) {
	r := &reader{line: l, o: s.o, db: s.db, homes: homes{}}
	conn, err := s.db.Connect(ctx, snapshotParams, func(c *pgx.ConnConfig) {
		c.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { r.notice = true }
	})
	if err != nil {
		return nil, err
	}
	r.conn = conn
	if _, err := conn.Exec(ctx, sqlListen); err != nil {
		r.close(ctx)
		return nil, db.Classify(fmt.Errorf("listen: %w", err))
	}
	return r, nil
}

func (r *reader) close(ctx context.Context) { hangUp(ctx, r.conn) }

// hangUp closes a connection also where the work was cut short, and waits until nothing of it is left.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// begin finds the place to go on from, and where there is none, compares journal and stream first.
func (r *reader) begin(ctx context.Context) error {
	var cluster string
	if err := r.conn.QueryRow(ctx, sqlCluster).Scan(&cluster); err != nil {
		return db.Classify(fmt.Errorf("ask for the identity of the cluster: %w", err))
	}
	p, err := parsePlace(r.cursor)
	cause := ""
	switch {
	case r.cursor == "":
		cause = "first"
	case err != nil:
		cause = "unreadable"
	case p.cluster != cluster:
		cause = "other_cluster"
	}
	r.place = p
	if cause == "" {
		return nil
	}
	now, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := rescan(ctx, r.db, "", cause, r.o.Page, r.line); err != nil {
		return err
	}
	r.place = before(cluster, now.xmin) // taken before, so that nothing falls between
	return r.give(ctx, Batch{Cursor: r.place.cursor()})
}

// now() is that of the beginning, before the snapshot: whatever was committed by then is in it.
const sqlLook = `
SELECT now(), pg_snapshot_xmin(s)::text::int8, pg_snapshot_xmax(s)::text::int8 FROM pg_current_snapshot() AS s`

func (r *reader) look(ctx context.Context) (look, error) {
	var l look
	if err := r.conn.QueryRow(ctx, sqlLook).Scan(&l.at, &l.xmin, &l.xmax); err != nil {
		return look{}, db.Classify(fmt.Errorf("look which transactions are running: %w", err))
	}
	return l, nil
}

// round looks, hands over what is there, and waits until it is worth looking again.
func (r *reader) round(ctx context.Context) error {
	noticed := r.notice
	r.notice, r.looked = false, time.Now()
	now, err := r.look(ctx)
	if err != nil {
		return err
	}
	if noticed {
		r.wanted, r.pause = now.xmax, firstLook
	}
	if err := r.pages(ctx, now.xmin); err != nil {
		return err
	}
	at := r.horizon.saw(now)
	if err := r.late(ctx, now, at); err != nil {
		return err
	}
	r.place = before(r.place.cluster, now.xmin)
	if err := r.beat(ctx, Batch{Cursor: r.place.cursor(), At: at}); err != nil {
		return err
	}
	return r.wait(ctx, now)
}

// How long to wait for a notice. While a transaction hides what was committed after it began, its end is looked for with growing pauses:
// it may end without a notice. The first notice after a rest is followed at once; under load they come by the hundred a second, and lastGap
// is what a look waits for company: each look costs an append, which is a commit that takes from the money its time at the disk.
const (
	floor     = time.Second
	firstLook = 2 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	lastGap   = 25 * time.Millisecond
)

func (r *reader) wait(ctx context.Context, now look) error {
	pause := floor / 2 // a heartbeat goes with it
	if now.xmin < r.wanted {
		pause, r.pause = r.pause, min(2*r.pause, lastLook)
	}
	if err := r.listen(ctx, pause); err != nil {
		return err
	}
	if early := lastGap - time.Since(r.looked); early > 0 {
		return r.listenAll(ctx, early)
	}
	return nil
}

// listen waits for a notice, so long at most.
func (r *reader) listen(ctx context.Context, pause time.Duration) error {
	if r.notice {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	return r.hear(waiting)
}

// listenAll takes notices off the line until the context or the time ends.
func (r *reader) listenAll(ctx context.Context, pause time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	for waiting.Err() == nil {
		if err := r.hear(waiting); err != nil {
			return err
		}
	}
	return nil
}

// hear waits for one notice or the end of the context; the end is no error, a lost connection is.
func (r *reader) hear(ctx context.Context) error {
	err := r.conn.PgConn().WaitForNotification(ctx)
	if err == nil || ctx.Err() != nil && !r.conn.IsClosed() {
		return nil
	}
	return errs.ErrUnavailable.With("cause", "connection").Because(fmt.Errorf("wait for a notice: %w", err))
}
