package search

import (
	"context"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// purgeAtOnce is how many transactions of a generation are removed in one transaction.
const purgeAtOnce = 500

// rebuild moves the generation that is to serve next on by a page, lets it serve when it is as far as the one that does, and removes a part
// of one that nobody needs. busy is false where there is nothing of that to do.
func (w *work) rebuild(ctx context.Context) (busy bool, err error) {
	if next, building := w.all.Building(); building {
		if err := w.build(ctx, next); err != nil {
			return false, err
		}
		busy = true
	}
	old, obsolete := w.all.Obsolete()
	if !obsolete {
		return busy, nil
	}
	gone, err := w.store.Purge(ctx, w.lease, old.Number, purgeAtOnce)
	if err != nil {
		return false, err
	}
	if gone {
		w.all = nil
		w.log.Info("a generation of the search model is removed", "home", w.lease.Home, "generation", old.Number)
	}
	return true, nil
}

func (w *work) build(ctx context.Context, next Generation) error {
	if next.Position >= w.serving().Position {
		if err := w.store.Serve(ctx, w.lease, next.Number); err != nil {
			return err
		}
		w.log.Info("another generation of the search model serves", "home", w.lease.Home, "generation", next.Number, "position", next.Position)
		w.all = nil
		return nil
	}
	_, err := w.advance(ctx, &w.all[len(w.all)-1])
	return err
}

// Step is how far a rebuild is.
type Step struct {
	Home       id.Home        `json:"home"`
	Generation int64          `json:"generation"`
	Position   event.Position `json:"position"`
	Head       event.Position `json:"head"`
	Serving    bool           `json:"serving"`
}

// Rebuild begins a new generation of a home's model, and returns when it serves. told hears how far it is, about every pause. The work is done by
// whoever has the lease of the home; where nobody has, it waits. When the context ends first, the error is the context's: the work goes on.
func Rebuild(ctx context.Context, store Store, home id.Home, pause time.Duration, told func(Step)) error {
	begun, err := store.BeginGeneration(ctx, home)
	if err != nil {
		return err
	}
	for {
		all, err := store.Generations(ctx, home)
		if err != nil {
			return err
		}
		head, err := store.Head(ctx, home)
		if err != nil {
			return err
		}
		step := Step{Home: home, Generation: begun.Number, Head: head}
		for _, g := range all {
			if g.Number == begun.Number {
				step.Position, step.Serving = g.Position, g.Serving
			}
		}
		overtaken := all.Serving().Number > begun.Number // somebody began another one, which serves by now
		if overtaken {
			step = Step{Home: home, Generation: all.Serving().Number, Position: all.Serving().Position, Head: head, Serving: true}
		}
		told(step)
		if step.Serving {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}
