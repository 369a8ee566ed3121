package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// memory is a ledger.Service over Books, as small as one can be: tables in maps, loaded into new books for each batch and changed by
// Changes alone, as a database is.
type memory struct {
	ledger.Service // of the methods that say nothing about Books: none is called
	t              testing.TB
	now            func() time.Time
	mode           mode

	mu       sync.Mutex
	group    *ledger.Books // that is not written yet
	ledgers  map[id.Ledger]ledger.Ledger
	accounts map[ledger.Ref]ledger.Account
	holds    map[id.Transaction]ledger.Hold
	journal  map[id.Transaction]ledger.Record
	reversed map[id.Transaction]id.Transaction
	order    []id.Transaction
	lines    map[ledger.Ref][]ledger.StatementLine
}

type mode string

const (
	loadsAll    mode = "everything is loaded"
	loadsNeeded mode = "what Needs asks for is loaded"
	groups      mode = "batches share books until the clock moves or somebody reads"
)

func newMemory(t testing.TB, now func() time.Time, how mode) *memory {
	return &memory{
		t: t, now: now, mode: how, ledgers: map[id.Ledger]ledger.Ledger{}, accounts: map[ledger.Ref]ledger.Account{},
		holds: map[id.Transaction]ledger.Hold{}, journal: map[id.Transaction]ledger.Record{},
		reversed: map[id.Transaction]id.Transaction{}, lines: map[ledger.Ref][]ledger.StatementLine{},
	}
}

func (m *memory) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, errs.ErrCanceled
	}
	now := m.now()
	for i, c := range batch.Commands {
		err := m.check(c, now)
		if err != nil && len(batch.Commands) > 1 {
			e := errs.Of(err)
			err = e.With("index", i).With("field", fmt.Sprintf("commands[%d].%s", i, e.Fields["field"]))
		}
		if err != nil {
			return nil, err
		}
	}
	if n := len(batch.Commands); n == 0 || n > ledger.MaxBatch {
		return nil, errs.Invalid("commands", "too many or none")
	}
	if m.mode == groups {
		if m.group != nil && !m.group.Now.Equal(now) {
			m.flush()
		}
		if m.group == nil {
			m.group = m.load(now, nil)
		}
		return m.group.Execute(batch), nil
	}
	books := m.load(now, batch.Commands)
	results := books.Execute(batch)
	if changes := books.Changes(); batch.DryRun && !changes.Empty() {
		m.t.Errorf("a dry run wants to write %+v", changes)
	}
	m.apply(books.Changes())
	return results, nil
}

// flush writes what a group has changed.
func (m *memory) flush() {
	if m.group != nil {
		m.apply(m.group.Changes())
		m.group = nil
	}
}

// lock is for readers.
func (m *memory) lock() (unlock func()) {
	m.mu.Lock()
	m.flush()
	return m.mu.Unlock
}

// check is what is done before books are loaded.
func (m *memory) check(c ledger.Command, now time.Time) error {
	if err := c.Validate(now); err != nil {
		return err
	}
	for _, ref := range append(c.Touches(nil), ledger.Ref{Ledger: c.Ledger}) {
		if _, found := m.ledgers[ref.Ledger]; !found {
			return errs.ErrLedgerNotFound
		}
	}
	return nil
}

// load gives the books copies of the tables, or of the rows that the commands need.
func (m *memory) load(now time.Time, commands []ledger.Command) *ledger.Books {
	b := ledger.NewBooks(now)
	b.Ledgers = maps.Clone(m.ledgers)
	if m.mode != loadsNeeded {
		b.Accounts, b.Holds = maps.Clone(m.accounts), maps.Clone(m.holds)
		b.Journal, b.Reversed = maps.Clone(m.journal), maps.Clone(m.reversed)
		return b
	}
	var gather ledger.Gather
	for _, c := range commands {
		target := m.holds[c.Target].Behind()
		if c.Kind == ledger.KindReverse {
			target = m.journal[c.Target].Outcome.Behind()
		}
		if _, found := m.holds[c.Target]; !found && c.Kind != ledger.KindReverse {
			target = nil
		}
		gather.Add(c, c.Touches(target), func(k id.Ledger) ledger.Ledger { return m.ledgers[k] })
	}
	for _, n := range gather.Needs() {
		for _, key := range n.Keys {
			pick(b.Journal, m.journal, key)
		}
		for _, key := range n.Targets {
			pick(b.Reversed, m.reversed, key)
		}
		for _, key := range n.Holds {
			pick(b.Holds, m.holds, key)
		}
		for _, name := range n.Accounts {
			pick(b.Accounts, m.accounts, ledger.Ref{Ledger: n.Ledger.ID, Account: name})
		}
	}
	if missing := b.Missing(commands); len(missing) > 0 {
		m.t.Errorf("%v are behind the targets of %+v and were not loaded", missing, commands)
	}
	return b
}

func pick[K comparable, V any](into, from map[K]V, key K) {
	if v, found := from[key]; found {
		into[key] = v
	}
}

// apply writes changes as a database would: what is new must not be there, what changed must.
func (m *memory) apply(c ledger.Changes) {
	recorded := 0
	for _, r := range c.Records {
		o := r.Outcome
		add(m, "journal row", m.journal, o.Transaction, r)
		m.order = append(m.order, o.Transaction)
		if !r.Reverses.IsZero() {
			add(m, "reversal", m.reversed, r.Reverses, o.Transaction)
		}
		for i, e := range o.Entries {
			if c.HomeOf[e.Ref.Ledger] != m.ledgers[e.Ref.Ledger].Home {
				m.t.Errorf("entry of %s has home %q", e.Ref, c.HomeOf[e.Ref.Ledger])
			}
			recorded++
			m.lines[e.Ref] = append(m.lines[e.Ref], ledger.StatementLine{
				Entry: e, Transaction: o.Transaction, Origin: o.Ledger, Line: i, Kind: o.Kind, EffectiveAt: o.EffectiveAt, RecordedAt: o.RecordedAt,
			})
		}
	}
	if recorded != c.Recorded {
		m.t.Errorf("%d entries in the records, and Recorded says %d", recorded, c.Recorded)
	}
	for _, a := range c.Opened {
		add(m, "account", m.accounts, a.Ref, a)
	}
	termed := map[ledger.Ref]bool{}
	for _, a := range c.Termed {
		termed[a.Ref] = true
	}
	for _, a := range c.Changed {
		was, found := m.accounts[a.Ref]
		if !found {
			m.t.Errorf("account %s changed and was not there", a.Ref)
		}
		if !termed[a.Ref] && (was.Floor != a.Floor || was.Ceiling != a.Ceiling || was.Status != a.Status || !maps.Equal(was.Metadata, a.Metadata)) {
			m.t.Errorf("the terms of %s changed and Termed does not say so", a.Ref)
		}
		m.accounts[a.Ref] = a
	}
	for _, h := range c.Made {
		add(m, "hold", m.holds, h.ID, h)
	}
	for _, h := range c.Settled {
		if _, found := m.holds[h.ID]; !found {
			m.t.Errorf("hold %s changed and was not there", h.ID)
		}
		m.holds[h.ID] = h
	}
}

func add[K comparable, V any](m *memory, what string, into map[K]V, key K, v V) {
	if _, twice := into[key]; twice {
		m.t.Errorf("%s %v was written twice", what, key)
	}
	into[key] = v
}
