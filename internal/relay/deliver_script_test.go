package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// script is what the sinks of all subscriptions do, and what reached them.
type script struct {
	mu       sync.Mutex
	shape    sink.Shape
	answer   func(name string, m sink.Message, attempt int) error // nil: take it; called without a lock
	arrived  map[string][]sink.Message
	attempts map[string]map[event.Position]int
	changed  chan struct{}
	faults   []string
	calls    map[string]int
	most     map[string]int
	unusable bool
}

func newScript() *script {
	return &script{
		shape: sink.Shape{Batch: 1, Parallel: 4}, arrived: map[string][]sink.Message{}, attempts: map[string]map[event.Position]int{},
		changed: make(chan struct{}), calls: map[string]int{}, most: map[string]int{},
	}
}

func (s *script) sinks() relay.Sinks {
	open := func(spec event.SinkSpec, _ []event.Secret) (sink.Sink, error) {
		var settings struct{ Name string }
		if err := json.Unmarshal(spec.Settings, &settings); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.unusable {
			return nil, errors.New("the settings are of no use")
		}
		return &scripted{script: s, name: settings.Name, shape: s.shape, busy: map[ledger.Ref]bool{}}, nil
	}
	return relay.Sinks{"file": open, "webhook": open}
}

func (s *script) set(answer func(name string, m sink.Message, attempt int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// scripted is one sink that was opened.
type scripted struct {
	*script
	name  string
	shape sink.Shape
	busy  map[ledger.Ref]bool
	now   int
}

// Shape implements sink.Sink.
func (s *scripted) Shape() sink.Shape { return s.shape }

// Close implements sink.Sink.
func (s *scripted) Close() error { return nil }

// Deliver implements sink.Sink. It holds deliverers to what they promise.
func (s *scripted) Deliver(ctx context.Context, messages []sink.Message) (int, error) {
	mine := s.enter(messages)
	defer s.leave(mine)
	for n, m := range messages {
		s.mu.Lock()
		if s.attempts[s.name] == nil {
			s.attempts[s.name] = map[event.Position]int{}
		}
		s.attempts[s.name][m.Position]++
		attempt, answer := s.attempts[s.name][m.Position], s.answer
		s.mu.Unlock()
		if answer != nil {
			if err := answer(s.name, m, attempt); err != nil {
				return n, err
			}
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		s.mu.Lock()
		s.arrived[s.name] = append(s.arrived[s.name], m)
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
	return len(messages), nil
}

func (s *scripted) enter(messages []sink.Message) (mine []ledger.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now++
	s.calls[s.name]++
	s.most[s.name] = max(s.most[s.name], s.now)
	if s.now > s.shape.Parallel || len(messages) > s.shape.Batch || len(messages) == 0 {
		s.faults = append(s.faults, fmt.Sprintf("%d calls at once, %d messages in one", s.now, len(messages)))
	}
	for n, m := range messages {
		if n > 0 && m.Position <= messages[n-1].Position {
			s.faults = append(s.faults, fmt.Sprintf("position %d after %d in one call", m.Position, messages[n-1].Position))
		}
		if m.Replay != "" {
			continue
		}
		for _, ref := range m.Accounts() {
			if s.busy[ref] && !slices.Contains(mine, ref) {
				s.faults = append(s.faults, fmt.Sprintf("%s is in two calls at once", ref))
			} else if !s.busy[ref] {
				s.busy[ref] = true
				mine = append(mine, ref)
			}
		}
	}
	return mine
}

func (s *scripted) leave(mine []ledger.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	for _, ref := range mine {
		delete(s.busy, ref)
	}
}

// positions returns what arrived, in order; replays only those of that id.
func (s *script) positions(name, replay string) (all []event.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.arrived[name] {
		if m.Replay == replay {
			all = append(all, m.Position)
		}
	}
	return all
}

// until waits for something that arrivals change, and looks at it every now and then besides.
func (s *script) until(t fatal, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond):
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func failing(v sink.Verdict) error {
	return &sink.Error{Verdict: v, Cause: "scripted", Detail: "so says the script"}
}
