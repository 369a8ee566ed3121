package commit

import (
	"context"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// targets remembers the accounts behind the holds and the payments that this node made or looked up, because whoever made one mostly aims at it
// soon: without them each aimed command costs a round trip of its own, and a statement for itself alone. What is remembered can not become wrong,
// since the accounts behind a target never change; what is forgotten is looked up. It is safe for concurrent use.
type targets struct {
	behind *lru.Cache[target, []ledger.Ref]
}

type target struct {
	ledger id.Ledger
	id     id.Transaction
}

// rememberedTargets bounds the memory: about half a kilobyte each.
const rememberedTargets = 32 << 10

func newTargets() targets {
	behind, err := lru.New[target, []ledger.Ref](rememberedTargets)
	if err != nil {
		panic(err) // the size is none
	}
	return targets{behind}
}

// find returns the accounts behind the targets of commands, and asks the store for those that are not remembered. Any transaction can be
// reversed, and few are: these are not worth the place.
func (t targets) find(ctx context.Context, store Store, commands []ledger.Command) (map[id.Transaction][]ledger.Ref, error) {
	found := make(map[id.Transaction][]ledger.Ref, len(commands))
	var unknown []ledger.Command
	for _, c := range commands {
		if refs, known := t.behind.Get(target{c.Ledger, c.Target}); known && c.Kind != ledger.KindReverse {
			found[c.Target] = refs
			continue
		}
		unknown = append(unknown, c)
	}
	if len(unknown) == 0 {
		return found, nil
	}
	looked, err := store.Behind(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for _, c := range unknown {
		refs, there := looked[c.Target]
		if !there {
			continue
		}
		if found[c.Target] = refs; c.Kind != ledger.KindReverse {
			t.behind.Add(target{c.Ledger, c.Target}, refs)
		}
	}
	return found, nil
}

// made remembers the holds and the payments of a unit that is committed. Its commands touched whatever is behind them, and perhaps more.
func (t targets) made(u *unit) {
	for i, c := range u.batch.Commands {
		makes := c.Kind == ledger.KindHold || c.Kind == ledger.KindStep && c.Target.IsZero()
		if makes && u.results[i].Err == nil && u.results[i].Outcome.Decided == ledger.Posted {
			t.behind.Add(target{c.Ledger, c.ID()}, slices.Clip(u.touched[i]))
		}
	}
}
