package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// audience consumes the change stream of every home while the demo runs, as a careful consumer would: it saves its place now and then, goes
// on from there at another node when it loses one, and drops what it has had before.
type audience struct {
	nodes []*rpc.EventClient
	first int // node that it begins at

	mu        sync.Mutex
	listeners map[id.Home]*listener
	changed   chan struct{} // closed when a listener got on
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// saveEvery is how many events a listener hears between two times that it saves its place: what it heard since comes again after a break.
const saveEvery = 100

func (d *demo) newAudience() *audience {
	a := &audience{listeners: map[id.Home]*listener{}, changed: make(chan struct{}), first: 1 % len(d.local.nodes)}
	for i := range d.local.nodes {
		a.nodes = append(a.nodes, d.local.events(i))
	}
	return a
}

// start listens to the homes until close.
func (a *audience) start(ctx context.Context, homes []id.Home) {
	ctx, a.stop = context.WithCancel(ctx)
	for _, home := range homes {
		l := &listener{home: home, seen: map[string]struct{}{}, sequences: map[string]int64{}}
		a.listeners[home] = l
		a.running.Go(func() { a.listen(ctx, l) })
	}
}

func (a *audience) close() {
	if a.stop != nil {
		a.stop()
		a.running.Wait()
	}
}

// listen subscribes again and again, each time at the next node.
func (a *audience) listen(ctx context.Context, l *listener) {
	for node := a.first; ctx.Err() == nil; node++ {
		began := time.Now()
		for word, err := range a.nodes[node%len(a.nodes)].Subscribe(ctx, rpc.Subscriber{Home: l.home, After: l.saved, Heartbeat: time.Second}) {
			if err != nil {
				break
			}
			a.mu.Lock()
			l.hear(word)
			close(a.changed)
			a.changed = make(chan struct{})
			a.mu.Unlock()
		}
		a.mu.Lock()
		if ctx.Err() == nil {
			l.breaks++
		}
		a.mu.Unlock()
		if pause := 100*time.Millisecond - time.Since(began); pause > 0 { // nobody there
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// await waits until what is wanted was heard; done is asked under the lock, whenever something was heard.
func (a *audience) await(ctx context.Context, done func() bool) error {
	for {
		a.mu.Lock()
		ready, changed := done(), a.changed
		a.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acknowledged tells whether every answer that a client got was heard as well.
func (a *audience) acknowledged(answers map[id.Transaction]ledger.Outcome) func() bool {
	missing := make(map[string]struct{}, len(answers))
	for transaction := range answers {
		missing[transaction.String()] = struct{}{}
	}
	return func() bool {
		for name := range missing {
			if !a.heard(name) {
				return false
			}
			delete(missing, name)
		}
		return true
	}
}

func (a *audience) heard(transaction string) bool {
	for _, l := range a.listeners {
		if _, seen := l.seen[transaction]; seen {
			return true
		}
	}
	return false
}

// reached tells whether each home was heard up to its head.
func (a *audience) reached(heads []event.Head) func() bool {
	return func() bool {
		for _, h := range heads {
			if l := a.listeners[h.Home]; l == nil || l.position < h.Position {
				return false
			}
		}
		return true
	}
}

// hearing is what the audience can say at the end.
type hearing struct {
	events, repeats, breaks int
	problems                []string
}

// tally holds what was heard against what left: positions have no gap, so a head is the number of events.
func (a *audience) tally(heads []event.Head) hearing {
	a.mu.Lock()
	defer a.mu.Unlock()
	var h hearing
	for _, head := range heads {
		l := a.listeners[head.Home]
		if l == nil {
			h.problems = append(h.problems, fmt.Sprintf("nobody listened to the stream of %s", head.Home))
			continue
		}
		if event.Position(len(l.seen)) != head.Position {
			l.problem("%d events were heard, and %d left", len(l.seen), head.Position)
		}
		h.events, h.repeats, h.breaks = h.events+len(l.seen), h.repeats+l.repeats, h.breaks+l.breaks
		h.problems = append(h.problems, l.problems...)
	}
	return h
}

// listener is what a consumer remembers of one home.
type listener struct {
	home      id.Home
	saved     event.Position // where it would go on after a restart
	position  event.Position
	seen      map[string]struct{}
	sequences map[string]int64 // the last of each account
	repeats   int
	breaks    int
	problems  []string
}

// hear takes a word: an event that it had before is dropped, a new one has to be the next on each of its accounts.
func (l *listener) hear(w rpc.Word) {
	l.position = max(l.position, w.Position)
	e := w.Event
	if e == nil {
		l.saved = w.Position
		return
	}
	if e.Position >= l.saved+saveEvery {
		l.saved = e.Position
	}
	if _, had := l.seen[e.ID]; had {
		l.repeats++
		return
	}
	l.seen[e.ID] = struct{}{}
	var form struct {
		Data struct {
			Entries []struct {
				Ledger   id.Ledger  `json:"ledger"`
				Account  id.Account `json:"account_id"`
				Sequence int64      `json:"sequence"`
				Counter  bool       `json:"counter"`
			} `json:"entries"`
		} `json:"data"`
	}
	if err := json.Unmarshal(e.Body, &form); err != nil {
		l.problem("event %s can not be read: %v", e.ID, err)
		return
	}
	for _, line := range form.Data.Entries {
		account := string(line.Ledger) + "/" + string(line.Account)
		if last := l.sequences[account]; !line.Counter && line.Sequence != last+1 {
			l.problem("%s: entry %d came after %d", account, line.Sequence, last)
		}
		l.sequences[account] = line.Sequence
	}
}

func (l *listener) problem(format string, args ...any) {
	if len(l.problems) < 20 {
		l.problems = append(l.problems, "stream of "+string(l.home)+": "+fmt.Sprintf(format, args...))
	}
}

// takeover is the longest that a home is without a relay after its owner was killed, and time to catch up on a busy machine.
const takeover = 30 * time.Second

// proveStream waits until every acknowledged command was heard, and holds what was heard against what left.
func (d *demo) proveStream(ctx context.Context, stream event.Stream) error {
	waiting, cancel := context.WithTimeout(ctx, takeover)
	defer cancel()
	if err := d.audience.await(waiting, d.audience.acknowledged(d.history.Answers)); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("acknowledged commands were not heard of in the stream after %s", takeover))
	}
	heads, err := stream.Heads(ctx)
	if err != nil {
		return err
	}
	if err := d.audience.await(waiting, d.audience.reached(heads)); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("the stream did not come through within %s", takeover))
	}
	d.heard = d.audience.tally(heads)
	d.problems = append(d.problems, d.heard.problems...)
	return ctx.Err()
}
