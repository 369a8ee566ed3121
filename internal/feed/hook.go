package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Appender is the stream, for who appends to it without a lease of its own. Package store implements it.
type Appender interface {
	// Holding returns who has the lease of a home, or the zero value where nobody ever had it.
	Holding(ctx context.Context, home id.Home) (event.Holding, error)
	// Append writes those of the changes at the end of the stream that are not in it yet, at the epoch of a lease.
	Append(ctx context.Context, lease event.Lease, changes []event.Change, cursor event.Cursor) (head event.Position, appended int, err error)
}

// Webhook takes what a changefeed of CockroachDB posts with its webhook sink. It keeps nothing, so that any node behind a load balancer may be
// asked, and what it has answered is in the stream.
//
// It needs no lease: which order the stream has to have is written in the journal, by the sequences of the accounts. It appends a change
// together with all changes before it that are not in the stream yet, in their order, in transactions that follow each other by the row of
// the lease; so the order holds however many nodes append, and beside a feed that appends on its own. The posted rows say only what to
// look for: what is appended is read from the journal of this database.
//
// That also keeps the sink from waiting for itself: it sends the rows of an account in any order, and sends no more until those on the way are
// answered. Resolved times are not needed.
type Webhook struct {
	journal journal
	to      Appender
	o       Options
	turns   turns
}

// NewWebhook returns the receiver of a changefeed.
func NewWebhook(d *db.DB, to Appender, o Options) *Webhook {
	o = o.orDefaults()
	return &Webhook{journal: journal{d}, to: to, o: o, turns: turns{of: map[id.Home]chan struct{}{}}}
}

// Take returns when every row that a body names is in the stream, and so may be forgotten by who posted it. Errors: invalid argument for
// what no changefeed of this journal posts, which comes again until somebody mends it; others may be over when it comes again. What
// was appended before an error stays.
func (w *Webhook) Take(ctx context.Context, body []byte) error {
	rows, err := readHook(body)
	if err != nil {
		return errs.Invalid("body", err.Error())
	}
	if err := w.journal.visits(ctx, rows); err != nil {
		return err
	}
	for home, keys := range rows {
		if err := w.take(ctx, home, keys); err != nil {
			return err
		}
	}
	return nil
}

// take is for one caller at a time in each home of this process: they would only wait for each other in the database, where a later one is
// likely to find that an earlier one has appended its rows.
func (w *Webhook) take(ctx context.Context, home id.Home, keys []key) error {
	done, err := w.turns.take(ctx, home)
	if err != nil {
		return errs.ErrUnavailable.With("cause", "crowded").Because(err)
	}
	defer done()
	changes, err := w.journal.unstreamed(ctx, home, keys, crowd)
	if errors.Is(err, errCrowded) { // it was away for long, or lost its place
		if err := w.rescan(ctx, home); err != nil {
			return err
		}
		changes, err = w.journal.unstreamed(ctx, home, keys, crowd)
	}
	if errors.Is(err, errCrowded) {
		return errs.ErrUnavailable.With("cause", "crowded").Because(err)
	}
	if err != nil {
		return err
	}
	return w.append(ctx, home, changes)
}

// turns let one at a time work on a home.
type turns struct {
	mu sync.Mutex
	of map[id.Home]chan struct{}
}

// take waits for the turn, which lasts until done is called.
func (t *turns) take(ctx context.Context, home id.Home) (done func(), err error) {
	t.mu.Lock()
	turn := t.of[home]
	if turn == nil {
		turn = make(chan struct{}, 1)
		t.of[home] = turn
	}
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *Webhook) append(ctx context.Context, home id.Home, changes []event.Change) error {
	for len(changes) > 0 {
		holding, err := w.to.Holding(ctx, home)
		if err != nil {
			return err
		}
		if holding.Epoch == 0 {
			return errs.ErrUnavailable.With("cause", "no_relay").Because(fmt.Errorf("no relay has taken on home %s yet", home))
		}
		n := min(len(changes), w.o.Page)
		_, appended, err := w.to.Append(ctx, holding.Lease, changes[:n], "")
		switch {
		case errors.Is(err, event.ErrFenced): // another owner since we looked, which changes nothing for us
			continue
		case err != nil:
			return err
		}
		w.o.Metrics.changes.WithLabelValues(string(home)).Add(float64(appended))
		changes = changes[n:]
	}
	return nil
}

// rescan appends all that is missing. Cut short by the end of a request it goes on with the next: what was appended is not missing any more.
func (w *Webhook) rescan(ctx context.Context, home id.Home) error {
	hand := func(ctx context.Context, b Batch) error { return w.append(ctx, home, b.Changes) }
	return plain(rescan(ctx, w.journal.d, beginScan(w.journal.d), "crowded", w.o.Page, newLine(home, "", hand, w.o)))
}
