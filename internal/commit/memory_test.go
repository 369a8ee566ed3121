package commit_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// memory is a commit.Store of maps. It keeps what a committer promises to a database under its eyes: no two groups in flight may lock the
// same row, and what is new must not be there. Hooks let a test hold a group on its way, or fail it.
type memory struct {
	t testing.TB

	onBehind func()                      // may block
	onBegin  func(ledger.Needs) error    // may block; nil error: go on
	onCommit func(ledger.Changes) ending // may block

	mu       sync.Mutex
	ledgers  map[id.Ledger]ledger.Ledger
	accounts map[ledger.Ref]ledger.Account
	holds    map[id.Transaction]ledger.Hold
	journal  map[id.Transaction]ledger.Record
	reversed map[id.Transaction]id.Transaction
	groups   [][]id.Key

	locked   map[any]bool // rows and keys of groups in flight
	inFlight int
	most     int // groups in flight at once
	begun    int

	looked int   // for expired holds
	blind  error // what comes of looking
}

// ending is how a commit ends: whether the rows are there, and what the committer is told.
type ending struct {
	lost bool
	err  error
}

var _ commit.Store = (*memory)(nil)

func newMemory(t testing.TB) *memory {
	m := &memory{
		t: t, ledgers: map[id.Ledger]ledger.Ledger{}, accounts: map[ledger.Ref]ledger.Account{},
		holds: map[id.Transaction]ledger.Hold{}, journal: map[id.Transaction]ledger.Record{},
		reversed: map[id.Transaction]id.Transaction{}, locked: map[any]bool{},
	}
	for _, l := range twoLedgers {
		m.ledgers[l.ID] = l
	}
	return m
}

// given executes commands on the maps, past the committer.
func (m *memory) given(commands ...ledger.Command) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	b := ledger.NewBooks(time.Now())
	b.Ledgers, b.Accounts, b.Holds = maps.Clone(m.ledgers), maps.Clone(m.accounts), maps.Clone(m.holds)
	b.Journal, b.Reversed = maps.Clone(m.journal), maps.Clone(m.reversed)
	for i, r := range b.Execute(ledger.Batch{Commands: commands}) {
		if r.Err != nil || r.Outcome.Decided != ledger.Posted {
			m.t.Fatalf("given command %d: %s %v", i, r.Outcome.Reason, r.Err)
		}
	}
	m.apply(b.Changes())
}

// written returns the keys of brand in the order in which they were written, openings left out.
func (m *memory) written() []id.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []id.Key
	for _, group := range m.groups {
		all = append(all, group...)
	}
	return all
}

func (m *memory) Ledger(_ context.Context, key id.Ledger) (ledger.Ledger, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, found := m.ledgers[key]
	if !found {
		return l, errs.ErrLedgerNotFound
	}
	return l, nil
}

func (m *memory) Behind(_ context.Context, commands []ledger.Command) (map[id.Transaction][]ledger.Ref, error) {
	m.mu.Lock()
	behind := map[id.Transaction][]ledger.Ref{}
	for _, c := range commands {
		if h, held := m.holds[c.Target]; held {
			behind[c.Target] = h.Behind()
		} else if r, recorded := m.journal[c.Target]; recorded && c.Kind == ledger.KindReverse {
			behind[c.Target] = r.Outcome.Behind()
		}
	}
	m.mu.Unlock()
	if m.onBehind != nil {
		m.onBehind()
	}
	return behind, nil
}

func (m *memory) Begin(_ context.Context, needs ledger.Needs) (ledger.Group, *ledger.Books, error) {
	if m.onBegin != nil {
		if err := m.onBegin(needs); err != nil {
			return nil, nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &memoryGroup{m: m}
	for _, n := range needs {
		for _, name := range n.Accounts {
			g.rows = append(g.rows, ledger.Ref{Ledger: n.Ledger.ID, Account: name})
		}
		for _, key := range unique(n.Keys, n.Holds) {
			g.rows = append(g.rows, key)
		}
	}
	for _, row := range g.rows {
		if m.locked[row] {
			m.t.Errorf("two groups in flight share %v", row)
		}
		m.locked[row] = true
	}
	m.begun++
	m.inFlight++
	m.most = max(m.most, m.inFlight)
	return g, m.load(needs), nil
}

func unique(lists ...[]id.Transaction) []id.Transaction {
	var all []id.Transaction
	seen := map[id.Transaction]bool{}
	for _, list := range lists {
		for _, key := range list {
			if !seen[key] {
				all = append(all, key)
			}
			seen[key] = true
		}
	}
	return all
}

func (m *memory) Peek(_ context.Context, needs ledger.Needs) (*ledger.Books, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load(needs), nil
}

// load gives the books what was asked for, and nothing else.
func (m *memory) load(needs ledger.Needs) *ledger.Books {
	b := ledger.NewBooks(time.Now().UTC().Truncate(time.Microsecond))
	for _, n := range needs {
		b.Ledgers[n.Ledger.ID] = n.Ledger
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
	return b
}

func pick[K comparable, V any](into, from map[K]V, key K) {
	if v, found := from[key]; found {
		into[key] = v
	}
}

// apply writes changes as a database would.
func (m *memory) apply(c ledger.Changes) {
	var group []id.Key
	for _, r := range c.Records {
		if _, twice := m.journal[r.Outcome.Transaction]; twice {
			m.t.Errorf("key %s was written twice", r.Outcome.Key)
		}
		m.journal[r.Outcome.Transaction] = r
		if !r.Reverses.IsZero() {
			m.reversed[r.Reverses] = r.Outcome.Transaction
		}
		if r.Outcome.Kind != ledger.KindOpen {
			group = append(group, r.Outcome.Key)
		}
	}
	if len(group) > 0 {
		m.groups = append(m.groups, group)
	}
	for _, a := range append(append([]ledger.Account{}, c.Opened...), c.Changed...) {
		m.accounts[a.Ref] = a
	}
	for _, h := range append(append([]ledger.Hold{}, c.Made...), c.Settled...) {
		m.holds[h.ID] = h
	}
}

type memoryGroup struct {
	m     *memory
	rows  []any
	ended bool
}

func (g *memoryGroup) Commit(_ context.Context, c ledger.Changes) error {
	var e ending
	if g.m.onCommit != nil {
		e = g.m.onCommit(c)
	}
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	if !e.lost {
		g.m.apply(c)
	}
	g.end()
	return e.err
}

func (g *memoryGroup) Rollback(context.Context) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	g.end()
}

func (g *memoryGroup) end() {
	if g.ended {
		g.m.t.Error("a group was ended twice")
	}
	g.ended = true
	g.m.inFlight--
	for _, row := range g.rows {
		delete(g.m.locked, row)
	}
}

// gate holds commits back until the test lets them go, one by one.
type gate chan ending

func (m *memory) gate() gate {
	g := make(gate)
	m.onCommit = func(ledger.Changes) ending { return <-g }
	return g
}
