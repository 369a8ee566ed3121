package search

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Budget is how many rows one request looks at, at most: some tens of milliseconds of a database's work.
const Budget = 20_000

// What matches rarely is looked for in portions that grow, so that what matches often costs little.
const (
	firstPortion = 200
	lastPortion  = 5_000
	restarts     = 10 // of a search whose generation ceased to serve
)

// Service answers searches. It is safe for concurrent use; every error is an *errs.Error.
type Service struct {
	store    Store
	stream   Tails
	progress Tails
}

// NewService returns one that waits for the stream, and for the model to follow it, by these tails.
func NewService(store Store, stream, progress Tails) *Service {
	return &Service{store: store, stream: stream, progress: progress}
}

// Head returns how far the generation is that serves a home: what the tails of progress look at.
func Head(ctx context.Context, store Store, home id.Home) (event.Position, error) {
	all, err := store.Generations(ctx, home)
	return all.Serving().Position, err
}

// Search returns a page. Where atLeast is not nil, it waits until that is in the model; where it is not there within wait, the error is
// errs.ErrNotYetSearchable. A ledger that is not there is errs.ErrLedgerNotFound.
func (s *Service) Search(ctx context.Context, q Query, page Page, atLeast *Point, wait time.Duration) (Answer, error) {
	l, err := s.store.Ledger(ctx, q.Ledger)
	if err != nil {
		return Answer{}, err
	}
	if atLeast != nil {
		if err := s.await(ctx, *atLeast, wait); err != nil {
			return Answer{}, err
		}
	}
	for range restarts {
		all, err := s.store.Generations(ctx, l.Home)
		if err != nil {
			return Answer{}, err
		}
		a, same, err := s.in(ctx, l, all.Serving(), q, page)
		if err != nil || same {
			return a, err
		}
	}
	return Answer{}, errs.ErrInternal.Because(fmt.Errorf("the generation of %s that serves changed %d times during a search", l.Home, restarts))
}

// in searches one generation. same is false where that has ceased to serve: rows of it may have been missing.
func (s *Service) in(ctx context.Context, l ledger.Ledger, g Generation, q Query, page Page) (a Answer, same bool, err error) {
	a.Complete = Point{Home: l.Home, Position: g.Position}
	if g.Number == 0 {
		return a, true, nil
	}
	if page.Until == 0 {
		page.Until = g.Position
	}
	found, next, same, err := s.collect(ctx, l.Home, g.Number, q, page)
	if err != nil || !same {
		return Answer{}, same, err
	}
	if a.Records, err = s.store.RecordsAt(ctx, l, found); err != nil {
		return Answer{}, false, err
	}
	if q.Reference != "" && q.Account != "" { // the range was that of the reference
		a.Records = slices.DeleteFunc(a.Records, func(r ledger.Record) bool { return !slices.Contains(AccountsOf(r), q.Account) })
	}
	a.Next = next
	return a, true, nil
}

// collect looks at rows until the page is full, the range ends, or the budget is spent.
func (s *Service) collect(
	ctx context.Context, home id.Home, generation int64, q Query, page Page,
) (found []id.Transaction, next Page, same bool, err error) {
	portion := page.Limit + 1 // the one too many tells that there are more
	if q.picks() {
		portion = max(portion, firstPortion)
	}
	next = page
	for left := Budget; left > 0; {
		rows := min(portion, left)
		left, portion = left-rows, max(portion, min(4*portion, lastPortion))
		scan := Scan{Query: q, Home: home, Generation: generation, Until: page.Until, Rows: rows}
		scan.Low, scan.High = q.bounds(next.After)
		hits, serving, err := s.store.Scan(ctx, scan)
		if err != nil || serving != generation {
			return nil, Page{}, false, err
		}
		for _, hit := range hits {
			if hit.Matches && len(found) == page.Limit {
				return found, next, true, nil
			}
			if next.After = hit.Place; hit.Matches {
				found = append(found, hit.Transaction)
			}
		}
		if len(hits) < rows {
			return found, Page{}, true, nil
		}
	}
	return found, next, true, nil
}

// await returns when a point is in the model.
func (s *Service) await(ctx context.Context, p Point, wait time.Duration) error {
	bounded, cancel := context.WithTimeoutCause(ctx, wait, errs.ErrNotYetSearchable)
	defer cancel()
	err := s.reach(ctx, bounded, p)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(bounded), errs.ErrNotYetSearchable) {
		return errs.ErrNotYetSearchable
	}
	return err
}

// reach looks at least once, and waits as long as the second context says.
func (s *Service) reach(ctx, bounded context.Context, p Point) error {
	if p.Home == "" {
		l, err := s.store.Ledger(ctx, p.Ledger)
		if err != nil {
			return err
		}
		p.Home = l.Home
		if p.Position, err = s.leave(ctx, bounded, p); err != nil {
			return err
		}
	}
	if p.Position == 0 {
		return nil
	}
	at, err := Head(ctx, s.store, p.Home)
	if err != nil || at >= p.Position {
		return err
	}
	return s.progress.Wait(bounded, p.Home, p.Position-1)
}

// leave waits until a transaction is in the stream, and returns its place.
func (s *Service) leave(ctx, bounded context.Context, p Point) (event.Position, error) {
	for {
		head, err := s.store.Head(ctx, p.Home)
		if err != nil {
			return 0, err
		}
		at, err := s.store.PositionOf(ctx, p.Home, p.Ledger, p.Transaction)
		if err != nil || at > 0 {
			return at, err
		}
		if err := s.stream.Wait(bounded, p.Home, head); err != nil {
			return 0, err
		}
	}
}
