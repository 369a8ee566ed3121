package feed

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// stepJSON is what a feed needs of an entry as the journal carries it. The ledger is left out where it is the journal row's own.
type stepJSON struct {
	Ledger   id.Ledger  `json:"ledger"`
	Account  id.Account `json:"account"`
	Sequence int64      `json:"sequence"`
}

// readSteps reads the column entries of a journal row into the change.
func readSteps(c *event.Change, entries []byte) error {
	var lines []stepJSON
	if err := json.Unmarshal(entries, &lines); err != nil {
		return fmt.Errorf("read the entries of journal row %s: %w", c.Transaction, err)
	}
	c.Entries = nil
	for i, l := range lines {
		if l.Account == "" || l.Sequence < 1 {
			return fmt.Errorf("read the entries of journal row %s: line %d names no account or no sequence", c.Transaction, i)
		}
		if l.Ledger == "" {
			l.Ledger = c.Ledger
		}
		c.Entries = append(c.Entries, event.Step{Ref: ledger.Ref{Ledger: l.Ledger, Account: l.Account}, Sequence: l.Sequence})
	}
	return nil
}

// inOrder puts changes in the order of all their accounts, and leaves them as they are where no account says otherwise. What contradicts
// itself, in a damaged journal, comes last: verify names it.
func inOrder(changes []event.Change) []event.Change {
	if len(changes) < 2 {
		return changes
	}
	type visit struct {
		sequence int64
		change   int
	}
	visits := map[ledger.Ref][]visit{}
	for i, c := range changes {
		for _, s := range c.Entries {
			visits[s.Ref] = append(visits[s.Ref], visit{s.Sequence, i})
		}
	}
	followers, before := make([][]int, len(changes)), make([]int, len(changes))
	for _, v := range visits {
		slices.SortFunc(v, func(a, b visit) int { return int(a.sequence - b.sequence) })
		for i := 1; i < len(v); i++ {
			if from, to := v[i-1].change, v[i].change; from != to {
				followers[from] = append(followers[from], to)
				before[to]++
			}
		}
	}
	free := &indexes{}
	for i, n := range before {
		if n == 0 {
			*free = append(*free, i) // ascending, and so a heap
		}
	}
	ordered := make([]event.Change, 0, len(changes))
	for free.Len() > 0 {
		i := heap.Pop(free).(int) //nolint:forcetypeassert // only numbers are pushed
		ordered = append(ordered, changes[i])
		for _, f := range followers[i] {
			if before[f]--; before[f] == 0 {
				heap.Push(free, f)
			}
		}
	}
	for i, n := range before {
		if n > 0 {
			ordered = append(ordered, changes[i])
		}
	}
	return ordered
}

// indexes are a heap of numbers.
type indexes []int

func (x indexes) Len() int           { return len(x) }
func (x indexes) Less(i, j int) bool { return x[i] < x[j] }
func (x indexes) Swap(i, j int)      { x[i], x[j] = x[j], x[i] }
func (x *indexes) Push(v any)        { *x = append(*x, v.(int)) } //nolint:forcetypeassert // only numbers are pushed
func (x *indexes) Pop() any {
	last := len(*x) - 1
	v := (*x)[last]
	*x = (*x)[:last]
	return v
}
