package relay

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// queueModel is what a queue is to promise, in the plainest form: a list of events, and what became of each.
type queueModel struct {
	t        *rapid.T
	q        *queue
	now      time.Time
	accounts map[event.Position][]ledger.Ref
	settled  map[event.Position]bool
	passed   map[event.Position]int
	flying   [][]*item
	read     event.Position
}

func (m *queueModel) add() {
	m.read++
	if rapid.IntRange(0, 9).Draw(m.t, "wanted") == 0 {
		m.q.skip(m.read)
		m.settled[m.read] = true
		return
	}
	refs := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 4), func(n int) ledger.Ref {
		return ledger.Ref{Ledger: "l", Account: id.Account(fmt.Sprintf("a%d", n))}
	}), 0, 3, rapid.ID[ledger.Ref]).Draw(m.t, "accounts")
	m.accounts[m.read] = refs
	m.q.add(event.Event{Position: m.read}, refs, 10, m.now)
}

// take checks that nothing overtakes: whatever is before an item on an account of its own is settled, or goes out before it in the same call.
func (m *queueModel) take() {
	batch, _ := m.q.take(m.now, rapid.IntRange(1, 5).Draw(m.t, "most"), 0)
	inCall := map[event.Position]bool{}
	for _, i := range batch {
		for p, refs := range m.accounts {
			if p < i.position && !m.settled[p] && !inCall[p] && share(refs, m.accounts[i.position]) {
				m.t.Fatalf("position %d goes out before %d", i.position, p)
			}
		}
		inCall[i.position] = true
	}
	if len(batch) > 0 {
		m.flying = append(m.flying, batch)
	}
}

func share(a, b []ledger.Ref) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

func (m *queueModel) land(fails bool) {
	if len(m.flying) == 0 {
		return
	}
	n := rapid.IntRange(0, len(m.flying)-1).Draw(m.t, "call")
	batch := m.flying[n]
	m.flying = append(m.flying[:n], m.flying[n+1:]...)
	safe := len(batch)
	if fails {
		safe = rapid.IntRange(0, len(batch)-1).Draw(m.t, "safe")
	}
	for _, i := range batch[:safe] {
		m.settle(i, delivered)
	}
	if safe == len(batch) {
		return
	}
	for _, i := range batch[safe+1:] {
		m.q.back(i, i.dueAt)
	}
	switch i := batch[safe]; rapid.SampledFrom([]string{"retry", "retry", "down", "dead"}).Draw(m.t, "verdict") {
	case "retry":
		i.attempts++
		m.q.retried(i, m.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(m.t, "wait"))))
	case "down":
		m.q.back(i, m.now)
	case "dead":
		m.settle(i, dead)
	}
}

func (m *queueModel) settle(i *item, as outcome) {
	m.q.settle(i, as)
	m.settled[i.position] = true
}

func (m *queueModel) check() {
	m.q.pass(func(i *item) { m.passed[i.position]++ })
	rows := map[event.Position]bool{}
	for i := range m.q.rows {
		rows[i.position] = true
	}
	if len(rows) > m.q.maxRows {
		m.t.Fatalf("%d rows, at most %d", len(rows), m.q.maxRows)
	}
	for _, i := range m.q.open {
		if !i.sending && m.q.overdue(i) && len(rows) < m.q.maxRows {
			m.t.Fatalf("position %d waits, and holds the others back, beside %d rows of %d", i.position, len(rows), m.q.maxRows)
		}
	}
	at := m.q.position()
	for p := event.Position(1); p <= m.read; p++ {
		_, wanted := m.accounts[p]
		switch {
		case p <= at && !m.settled[p] && !rows[p]:
			m.t.Fatalf("the position is %d, and %d is neither settled nor a row", at, p)
		case p == at+1 && (m.settled[p] || rows[p]):
			m.t.Fatalf("the position stays at %d for nothing", at)
		case wanted && (p <= at) != (m.passed[p] == 1):
			m.t.Fatalf("position %d was passed %d times at %d", p, m.passed[p], at)
		}
	}
}

func TestQueue_KeepsOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &queueModel{
			t: t, q: newQueue(0, rapid.IntRange(1, 6).Draw(t, "rows")), now: time.Unix(1, 0), accounts: map[event.Position][]ledger.Ref{},
			settled: map[event.Position]bool{}, passed: map[event.Position]int{},
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "take", "take", "land", "fail", "tick"}).Draw(t, "step") {
			case "add":
				m.add()
			case "take":
				m.take()
			case "land":
				m.land(false)
			case "fail":
				m.land(true)
			case "tick":
				m.now = m.now.Add(1)
			}
			m.check()
		}
		for m.now = m.now.Add(time.Hour); len(m.settled) < int(m.read); { // in the end everything goes out
			m.take()
			if len(m.flying) == 0 {
				t.Fatal("something waits for nothing")
			}
			m.land(false)
			m.check()
		}
		if m.q.waiting != 0 || m.q.bytes != 0 || len(m.q.rows) != 0 || len(m.q.tails) != 0 || len(m.q.open) != 0 || len(m.q.ready) != 0 {
			t.Fatalf("something is left: %+v", m.q)
		}
	})
}
