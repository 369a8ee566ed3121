package commit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// unit is what is decided in one go: a command of a call, or all of them where they belong together. The lock of the committer guards the
// place; what else changes belongs to the lane that has the unit, until it is answered.
type unit struct {
	call      *call
	batch     ledger.Batch
	touched   [][]ledger.Ref // accounts of each command
	ledgers   map[id.Ledger]ledger.Ledger
	resources []resource
	homes     []id.Home
	arrival   int64
	place     place

	missing []ledger.Ref  // accounts behind a target that came to be after the unit was looked at
	tried   [][]time.Time // of each command: when its answer was recorded by attempts that got no word from the server whether it stayed
	results []ledger.Result
	err     error
}

// place is where a unit is.
type place uint8

const (
	waits place = iota
	inFlight
	gone // its caller went away while it waited
)

// resource is what two groups in flight may not share: an account, or a key. It is a hash, because each look at the queue asks for thousands of
// them; of two that have the same one by accident one waits for the other without need.
type resource uint64

var resources = maphash.MakeSeed()

func resourceOf[T ledger.Ref | id.Transaction](v T) resource {
	return resource(maphash.Comparable(resources, v))
}

// unit looks up what has to be known before a batch can wait: its ledgers, and the accounts behind its targets. It tells whether all targets
// are known, which are rows that are there or earlier commands of the batch itself.
func (c *Committer) unit(ctx context.Context, k *call, batch ledger.Batch) (u *unit, known bool, err error) {
	n := len(batch.Commands)
	if n == 0 || n > ledger.MaxBatch {
		return nil, false, errs.Invalid("commands", fmt.Sprintf("a batch has 1 to %d commands", ledger.MaxBatch))
	}
	if batch.Commands, err = c.prepared(batch.Commands); err != nil {
		return nil, false, err
	}
	u = &unit{call: k, batch: batch, touched: make([][]ledger.Ref, n), ledgers: make(map[id.Ledger]ledger.Ledger, 1)}
	var aimed []ledger.Command
	for i, command := range batch.Commands {
		u.touched[i], k.priority = command.Touches(nil), min(k.priority, command.Priority())
		if err := u.learn(ctx, c.store, command.Ledger, u.touched[i]); err != nil {
			return nil, false, at(err, i, n)
		}
		if !command.Target.IsZero() {
			aimed = append(aimed, command)
		}
	}
	if len(aimed) == 0 {
		return u, true, nil
	}
	behind, err := c.targets.find(ctx, c.store, aimed)
	if err != nil {
		return nil, false, err
	}
	known, err = u.aim(ctx, c.store, behind)
	return u, known, err
}

// prepared validates commands, and has the lifecycle say what new payments may touch. The caller's own slice stays as it is.
func (c *Committer) prepared(commands []ledger.Command) ([]ledger.Command, error) {
	now, own := c.o.Now(), false
	for i, command := range commands {
		if err := command.Validate(now); err != nil {
			return nil, at(err, i, len(commands))
		}
		if command.Kind != ledger.KindStep {
			continue
		}
		ready, err := c.o.Lifecycle.Prepared(command)
		if err != nil {
			return nil, at(err, i, len(commands))
		}
		if !own {
			commands, own = slices.Clone(commands), true
		}
		commands[i] = ready
	}
	return commands, nil
}

// aim adds the accounts behind targets. A target may be an earlier command of the batch itself.
func (u *unit) aim(ctx context.Context, store Store, behind map[id.Transaction][]ledger.Ref) (known bool, err error) {
	known = true
	made := make(map[id.Transaction][]ledger.Ref, len(u.batch.Commands))
	for i, command := range u.batch.Commands {
		refs, found := behind[command.Target]
		if !found {
			refs, found = made[command.Target]
		}
		known = known && (found || command.Target.IsZero())
		u.touched[i] = append(u.touched[i], refs...)
		if err := u.learn(ctx, store, command.Ledger, refs); err != nil {
			return false, at(err, i, len(u.batch.Commands))
		}
		made[command.ID()] = u.touched[i]
	}
	return known, nil
}

// touch adds accounts that were found to be behind a target.
func (u *unit) touch(ctx context.Context, store Store, refs []ledger.Ref) error {
	u.touched[0] = append(u.touched[0], refs...) // it does not matter of which command they are
	u.ledgers = maps.Clone(u.ledgers)            // other units of the call, in other lanes, read the same
	return u.learn(ctx, store, u.batch.Commands[0].Ledger, refs)
}

// learn looks up the ledger of a command and of its accounts.
func (u *unit) learn(ctx context.Context, store Store, own id.Ledger, refs []ledger.Ref) error {
	if err := u.learnOne(ctx, store, own); err != nil {
		return err
	}
	for _, ref := range refs {
		if err := u.learnOne(ctx, store, ref.Ledger); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) learnOne(ctx context.Context, store Store, name id.Ledger) error {
	if _, known := u.ledgers[name]; known {
		return nil
	}
	l, err := store.Ledger(ctx, name)
	if err != nil {
		return err
	}
	u.ledgers[name] = l
	return nil
}

// claim names the resources and the homes of the unit.
func (u *unit) claim() {
	size := 2 * len(u.batch.Commands)
	for _, refs := range u.touched {
		size += len(refs)
	}
	u.resources, u.homes = slices.Grow(u.resources[:0], size), nil
	for i, command := range u.batch.Commands {
		u.resources = append(u.resources, resourceOf(command.ID()))
		if !command.Target.IsZero() {
			u.resources = append(u.resources, resourceOf(command.Target))
		}
		u.liveAt(command.Ledger)
		for _, ref := range u.touched[i] {
			if payment, is := ref.Payment(); is { // others aim at it
				u.resources = append(u.resources, resourceOf(payment))
			} else {
				u.resources = append(u.resources, resourceOf(ref))
			}
			u.liveAt(ref.Ledger)
		}
	}
	slices.Sort(u.homes)
}

// liveAt adds the home of a ledger.
func (u *unit) liveAt(name id.Ledger) {
	if home := u.ledgers[name].Home; !slices.Contains(u.homes, home) {
		u.homes = append(u.homes, home)
	}
}

// needs is what has to be loaded to execute the units.
func needs(group ...*unit) ledger.Needs {
	var g ledger.Gather
	for _, u := range group {
		for i, command := range u.batch.Commands {
			g.Add(command, u.touched[i], func(k id.Ledger) ledger.Ledger { return u.ledgers[k] })
		}
	}
	return g.Needs()
}

// lacks returns the accounts behind targets that the books do not have because nobody knew of them. One that was asked for and is not there
// is damage: an account is never removed.
func (u *unit) lacks(books *ledger.Books) ([]ledger.Ref, error) {
	missing := books.Missing(u.batch.Commands)
	for _, ref := range missing {
		for _, touched := range u.touched {
			if slices.Contains(touched, ref) {
				return nil, errs.ErrInternal.Because(fmt.Errorf("account %s stands behind a target and is not there", ref))
			}
		}
	}
	return missing, nil
}

// doubt remembers the answers that an attempt has sent to the server and that may have stayed there.
func (u *unit) doubt() {
	if u.tried == nil {
		u.tried = make([][]time.Time, len(u.results))
	}
	for i, r := range u.results {
		if r.Err == nil && !r.Outcome.Replayed {
			u.tried[i] = append(u.tried[i], r.Outcome.RecordedAt)
		}
	}
}

// settleDoubt makes the results what they are to the caller: where the answer that is found is the one that an earlier attempt recorded, it
// is the first one and no replay. It returns how many these are. Should another node have recorded the same command at the same
// instant, then on the same accounts as they were, and its answer is the same in every word.
func (u *unit) settleDoubt() (resolved int) {
	for i, tried := range u.tried {
		o := &u.results[i].Outcome
		if o.Replayed && slices.ContainsFunc(tried, o.RecordedAt.Equal) {
			o.Replayed = false
			resolved++
		}
	}
	return resolved
}

// fail gives up. After an unknown commit nobody can say that nothing was written; before one of the unit's own, a neighbour's does not matter.
func (u *unit) fail(err error) {
	doubtful := slices.ContainsFunc(u.tried, func(tried []time.Time) bool { return len(tried) > 0 })
	switch unknown := errors.Is(err, errs.ErrOutcomeUnknown); {
	case doubtful && !unknown:
		err = errs.ErrOutcomeUnknown.Because(err)
	case unknown && !doubtful:
		err = errs.ErrUnavailable.Because(err)
	}
	u.results, u.err = nil, err
	u.call.ended(err)
}

// at says which command of a batch an error is about.
func at(err error, i, n int) error {
	if n == 1 {
		return err
	}
	e := errs.Of(err).With("index", i)
	if field, found := e.Fields["field"]; found {
		e = e.With("field", fmt.Sprintf("commands[%d].%s", i, field))
	}
	return e
}
