package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// changefeed is the feed of CockroachDB: a changefeed without a sink, one a home.
//
// It says of each row when it was committed, in no order, and again at its whim; and now and then, seconds later, up to which time it has said
// everything. Rows are put in order as they come (sequencer); the position to go on from is the last resolved time. It always begins
// from a position: a scan by the changefeed itself would have no order, so where there is no position, or history does not reach
// back to it, journal and stream are compared as of a time, and the changefeed begins there.
type changefeed struct {
	db *db.DB
	o  Options
}

// What has to be prepared on a cluster. Each says what an administrator has to run.
var (
	ErrRangefeedsOff = errors.New("changefeeds are off on this CockroachDB cluster: " +
		"as an administrator run SET CLUSTER SETTING kv.rangefeed.enabled = true")
	ErrNoChangefeeds = errors.New("the role of the server may not start changefeeds: " +
		"as an administrator run ALTER ROLE … WITH CONTROLCHANGEFEED (v22.1 and earlier), and GRANT SELECT ON TABLE journal")
)

// Bounds of the memory of one home: accounts whose last sequence is known, and changes that wait or are remembered until resolved.
const (
	knownAccounts = 1 << 16
	crowd         = 1 << 17
)

// Run implements Source.
func (s *changefeed) Run(ctx context.Context, home id.Home, from event.Cursor, hand func(context.Context, Batch) error) error {
	l := newLine(home, from, hand, s.o)
	return l.keep(ctx, func(ctx context.Context) error {
		w := watch{line: l, o: s.o, db: s.db, homes: homes{}}
		err := w.run(ctx)
		if history(err) {
			l.log.Error("the history of the journal does not reach back to the position of the feed", "cursor", l.cursor, "err", err)
			l.cursor, w.cause = "", "history"
			err = w.run(ctx)
		}
		return err
	})
}

// history tells that the position is too old, or before the table had its present shape.
func history(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (strings.Contains(server.Message, "replica GC threshold") ||
		strings.Contains(server.Message, "failed to resolve targets in the CHANGEFEED stmt"))
}

// watch is one session: a connection to ask, and one that the changefeed keeps for itself.
type watch struct {
	*line
	o         Options
	db        *db.DB
	cause     string // of a rescan, where it is not for what the cursor says
	homes     homes
	ask       *pgx.Conn
	mark      mark
	sequencer *sequencer
}

const (
	sqlIdentity   = `SELECT crdb_internal.cluster_id()::text, 'journal'::regclass::oid::text`
	sqlLogical    = `SELECT cluster_logical_timestamp()::text`
	sqlScanAsOf   = `BEGIN TRANSACTION READ ONLY, AS OF SYSTEM TIME '%s'`
	sqlChangefeed = `CREATE CHANGEFEED FOR TABLE journal
WITH updated, resolved, min_checkpoint_frequency = '500ms', schema_change_policy = 'nobackfill', cursor = '%s'`
)

func (w *watch) run(ctx context.Context) error {
	var err error
	if w.ask, err = w.db.Connect(ctx, scanParams, nil); err != nil {
		return err
	}
	defer func() { hangUp(ctx, w.ask) }()
	if err := w.begin(ctx); err != nil {
		return err
	}
	w.sequencer = newSequencer(w.mark.at, knownAccounts, crowd)
	conn, err := w.db.Connect(ctx, scanParams, nil)
	if err != nil {
		return err
	}
	ear := ear{conn: conn, home: w.home, said: make(chan message, 1024)}
	ended := make(chan error, 1)
	go func() {
		ended <- ear.listen(ctx, fmt.Sprintf(sqlChangefeed, w.mark.at))
		close(ear.said)
	}()
	err = w.follow(ctx, ear.said)
	ear.close()
	for range ear.said {
	}
	if heard := <-ended; err == nil {
		err = heard
	}
	hangUp(ctx, conn)
	return err
}

// begin finds the time to go on from, and where there is none, compares journal and stream as of now.
func (w *watch) begin(ctx context.Context) error {
	var here mark
	if err := w.ask.QueryRow(ctx, sqlIdentity).Scan(&here.cluster, &here.table); err != nil {
		return db.Classify(fmt.Errorf("ask for the identity of the cluster: %w", err))
	}
	m, err := parseMark(w.cursor)
	cause := w.cause
	switch {
	case cause != "":
	case w.cursor == "":
		cause = "first"
	case err != nil:
		cause = "unreadable"
	case m.cluster != here.cluster || m.table != here.table:
		cause = "other_cluster"
	}
	w.mark = m
	if cause == "" {
		return nil
	}
	var now string
	if err := w.ask.QueryRow(ctx, sqlLogical).Scan(&now); err != nil {
		return db.Classify(fmt.Errorf("ask for the time: %w", err))
	}
	if here.at, err = parseHLC(now); err != nil {
		return fmt.Errorf("read the time of the cluster: %w", err)
	}
	if err := rescan(ctx, w.db, fmt.Sprintf(sqlScanAsOf, here.at), cause, w.o.Page, w.line); err != nil {
		return err
	}
	w.mark = here
	return w.give(ctx, Batch{Cursor: here.cursor(), At: here.at.time()})
}

// How often what waits is looked at, and how many are asked about at once.
const (
	askEvery = 20 * time.Millisecond
	askMost  = 256
)

var errSilent = errs.ErrUnavailable.With("cause", "silent")

// follow hands over what a changefeed says until it ends, which is told by a closed channel, or falls silent.
func (w *watch) follow(ctx context.Context, said <-chan message) error {
	silence := time.NewTimer(w.o.Silence)
	defer silence.Stop()
	look := time.NewTicker(askEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, more := <-said:
			if !more {
				return nil
			}
			resolved, err := w.hear(ctx, m, said)
			if err != nil {
				return err
			}
			if resolved {
				silence.Reset(w.o.Silence)
			}
		case now := <-look.C:
			if err := w.inquire(ctx, now); err != nil {
				return err
			}
			if err := w.beat(ctx, Batch{}); err != nil {
				return err
			}
		case <-silence.C:
			if len(said) > 0 { // it was the consumer who took his time
				silence.Reset(w.o.Silence)
				continue
			}
			return errSilent.Because(fmt.Errorf("the changefeed has resolved nothing for %s", w.o.Silence))
		}
	}
}

// hear takes a message and those that came with it, a page at most, and hands over what has nothing to wait for.
func (w *watch) hear(ctx context.Context, m message, said <-chan message) (resolved bool, err error) {
	for n := 1; ; n++ {
		if err := w.note(ctx, m); err != nil {
			return false, err
		}
		if !m.row && m.at != (hlc{}) {
			return true, w.pass(ctx, w.mark.cursor(), w.mark.at.time())
		}
		if n == w.o.Page {
			return false, w.pass(ctx, "", time.Time{})
		}
		select {
		case next, more := <-said:
			if !more {
				return false, w.pass(ctx, "", time.Time{})
			}
			m = next
		default:
			return false, w.pass(ctx, "", time.Time{})
		}
	}
}

func (w *watch) note(ctx context.Context, m message) error {
	switch {
	case m.row:
		if err := w.homes.know(ctx, w.ask, m.change); err != nil {
			return err
		}
		if !w.homes.touch(m.change, w.home) {
			return nil
		}
		abroad := func(l id.Ledger) bool { return w.homes[l] != w.home }
		if err := w.sequencer.add(m.change, m.at, abroad); err != nil {
			return errs.ErrUnavailable.With("cause", "crowded").Because(err)
		}
	case m.at.compare(w.mark.at) > 0:
		w.sequencer.resolve(m.at)
		w.mark.at = m.at
		w.metrics.late(w.home, time.Since(m.at.time()))
	}
	return nil
}

// pass hands over what is ready; the cursor goes with the last page.
func (w *watch) pass(ctx context.Context, cursor event.Cursor, at time.Time) error {
	w.metrics.waiting.WithLabelValues(string(w.home)).Set(float64(len(w.sequencer.held)))
	for {
		changes := w.sequencer.take(w.o.Page)
		if len(w.sequencer.ready) > 0 {
			if err := w.give(ctx, Batch{Changes: changes}); err != nil {
				return err
			}
			continue
		}
		if len(changes) == 0 {
			if cursor == "" {
				return nil
			}
			return w.give(ctx, Batch{Cursor: cursor, At: at})
		}
		return w.give(ctx, Batch{Changes: changes, Cursor: cursor, At: at})
	}
}

// inquire asks about what waits for accounts that were not seen lately.
func (w *watch) inquire(ctx context.Context, now time.Time) error {
	asked := w.sequencer.questions(now, askMost)
	if len(asked) == 0 {
		return nil
	}
	answers, err := predecessors(ctx, w.ask, w.home, asked)
	if err != nil {
		return err
	}
	for _, a := range answers {
		w.sequencer.answer(a)
	}
	return w.pass(ctx, "", time.Time{})
}

// ear reads a changefeed on a connection of its own.
type ear struct {
	conn *pgx.Conn
	home id.Home
	said chan message
}

// close ends listen: to close rows of a changefeed would wait for its end, so the socket is closed.
func (e *ear) close() { _ = e.conn.PgConn().Conn().Close() }

// listen reads until the connection breaks or is closed.
func (e *ear) listen(ctx context.Context, statement string) error {
	stop := context.AfterFunc(ctx, e.close)
	defer stop()
	rows, err := e.conn.Query(context.WithoutCancel(ctx), statement, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return e.say(err)
	}
	for rows.Next() {
		values := rows.RawValues() // table, key, value; as text
		if len(values) != 3 {
			return fmt.Errorf("%w: %d columns", errMessage, len(values))
		}
		value, err := unhex(values[2])
		if err != nil {
			return err
		}
		m, err := readMessage(e.home, value)
		if err != nil {
			return err
		}
		if m.row && m.change.Origin != e.home && len(m.change.Entries) == 0 {
			continue
		}
		select {
		case e.said <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := rows.Err(); err != nil {
		return e.say(err)
	}
	return errs.ErrUnavailable.With("cause", "ended").Because(errors.New("the changefeed ended by itself"))
}

// say turns an error of the changefeed into one that says what to do.
func (e *ear) say(err error) error {
	var server *pgconn.PgError
	switch {
	case !errors.As(err, &server):
		return errs.ErrUnavailable.With("cause", "connection").Because(fmt.Errorf("read the changefeed: %w", err))
	case strings.Contains(server.Message, "kv.rangefeed.enabled"):
		return ErrRangefeedsOff
	case server.Code == "42501":
		return ErrNoChangefeeds
	case history(err):
		return err
	}
	return db.Classify(fmt.Errorf("read the changefeed: %w", err))
}
