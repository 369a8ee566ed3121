package main

import (
	"maps"
	"slices"
	"time"
)

// ledger acts on events, each once, and on those of an account in the order of its sequences. An event that comes before its time waits until
// what is missing has come, or until its patience ends: then what is missing is noted, and acted on should it still come. It may never come:
// a dead letter that an operator gave up, or an event that the filter of the subscription leaves out.
//
// It is not safe for concurrent use.
type ledger struct {
	patience time.Duration
	seen     map[string]bool
	accounts map[string]*account
	waiting  map[string]held
	types    map[string]int
	acted    int
	again    int
}

// held is an event that waits.
type held struct {
	event
	since time.Time
}

// account is how far an account is.
type account struct {
	due     int64 // the sequence that comes next; what is below was acted on, or is not waited for any more
	got     spans
	waiting map[string]bool // ids of events that wait, here or elsewhere
	balance string
	at      int64 // the sequence of the balance
}

func newLedger(patience time.Duration) *ledger {
	return &ledger{
		patience: patience, seen: map[string]bool{}, accounts: map[string]*account{}, waiting: map[string]held{}, types: map[string]int{},
	}
}

// knows tells whether an event was taken, and counts that it came again.
func (l *ledger) knows(id string) bool {
	if l.seen[id] {
		l.again++
	}
	return l.seen[id]
}

// take takes an event that is not known.
func (l *ledger) take(e event, now time.Time) {
	l.seen[e.ID] = true
	l.waiting[e.ID] = held{e, now}
	for _, line := range e.Data.Entries {
		l.of(line).waiting[e.ID] = true
	}
	l.settle([]string{e.ID})
	l.expire(now)
}

// settle acts on what is ready among some events, and on what becomes ready by that.
func (l *ledger) settle(ids []string) {
	for len(ids) > 0 {
		e, still := l.waiting[ids[0]]
		ids = ids[1:]
		if still && l.ready(e.event) {
			ids = append(ids, l.act(e.event)...)
		}
	}
}

// expire ends the waiting of those whose patience is over, the oldest sequences first.
func (l *ledger) expire(now time.Time) {
	var late []event
	for _, e := range l.waiting {
		if now.Sub(e.since) >= l.patience {
			late = append(late, e.event)
		}
	}
	slices.SortFunc(late, func(a, b event) int { return int(a.place() - b.place()) }) // in the order of the home, which is that of its accounts
	for _, e := range late {
		if _, still := l.waiting[e.ID]; !still {
			continue
		}
		for a, sequence := range l.lowest(e) {
			a.due = max(a.due, sequence)
		}
		l.settle([]string{e.ID})
	}
}

func (l *ledger) of(line entry) *account {
	name := line.Ledger + "/" + line.Account
	a := l.accounts[name]
	if a == nil {
		a = &account{due: 1, waiting: map[string]bool{}}
		l.accounts[name] = a
	}
	return a
}

// lowest are the accounts whose order counts, with the first of the entries that an event has there. Events of a default counter account come in
// any order: of those the sequences are a set, and nothing waits.
func (l *ledger) lowest(e event) map[*account]int64 {
	first := map[*account]int64{}
	for _, line := range e.Data.Entries {
		a := l.of(line)
		if have, known := first[a]; !line.Counter && (!known || line.Sequence < have) {
			first[a] = line.Sequence
		}
	}
	return first
}

func (l *ledger) ready(e event) bool {
	for a, sequence := range l.lowest(e) {
		if sequence > a.due {
			return false
		}
	}
	return true
}

// act is where a consumer would do its work, in the transaction that also notes the event as done. It returns what may be next.
func (l *ledger) act(e event) (next []string) {
	delete(l.waiting, e.ID)
	l.types[e.Type]++
	l.acted++
	for _, line := range e.Data.Entries {
		a := l.of(line)
		delete(a.waiting, e.ID)
		if line.Sequence > a.at { // one that comes late has an old balance
			a.balance, a.at = line.Balance, line.Sequence
		}
		a.got = a.got.with(line.Sequence)
		a.due = a.got.after(a.due)
		next = append(next, slices.Sorted(maps.Keys(a.waiting))...)
	}
	return next
}

// summary is what came of the events.
type summary struct {
	Events     int               `json:"events"` // acted on
	Duplicates int               `json:"duplicates"`
	Waiting    int               `json:"waiting"`
	Types      map[string]int    `json:"types"`
	Balances   map[string]string `json:"balances"`
	Missing    map[string]spans  `json:"missing"` // sequences of accounts that have later ones
	Positions  map[string]int64  `json:"positions"`
}

func (l *ledger) summary() summary {
	s := summary{
		Events: l.acted, Duplicates: l.again, Waiting: len(l.waiting), Types: maps.Clone(l.types), Balances: map[string]string{}, Missing: map[string]spans{},
	}
	for name, a := range l.accounts {
		if a.at > 0 {
			s.Balances[name] = a.balance
		}
		come := slices.Clone(a.got)
		for id := range a.waiting {
			for _, line := range l.waiting[id].Data.Entries {
				if l.of(line) == a {
					come = come.with(line.Sequence)
				}
			}
		}
		if gaps := come.gaps(); len(gaps) > 0 {
			s.Missing[name] = gaps
		}
	}
	return s
}
