package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Heads says how far a stream is. Package store implements it.
type Heads interface {
	// Head returns the newest position of a home, or 0 where there is none.
	Head(ctx context.Context, home id.Home) (event.Position, error)
}

// Listen calls told when streams may have grown, and when it begins to listen, until the context ends or the line breaks; it returns why.
type Listen func(ctx context.Context, told func()) error

// Tails tell whoever waits for more of a stream, on every node. A process has one.
//
// What a writer of the same process appends is told at once. Of other nodes it hears by notices where the engine has them, all on one
// connection, and by looking otherwise: one of those who wait for a home looks for all of them, so that nobody looks while nobody waits.
type Tails struct {
	heads  Heads
	listen Listen
	every  time.Duration
	log    *slog.Logger

	mu    sync.Mutex
	homes map[id.Home]*tail
}

// tail is the end of one stream, as far as this process knows.
type tail struct {
	head   event.Position
	grown  chan struct{} // closed when head grows
	turn   chan struct{} // has a token while nobody looks
	stale  chan struct{} // has a token where a notice came since the last look
	looked time.Time     // by whoever has the turn
	writer int           // writers of this process, which tell by themselves
}

// NewTails returns tails that look at heads as often as every says while somebody waits. listen is nil for an engine without notices;
// otherwise Run listens.
func NewTails(heads Heads, listen Listen, every time.Duration, log *slog.Logger) *Tails {
	return &Tails{heads: heads, listen: listen, every: every, log: log, homes: map[id.Home]*tail{}}
}

// Run listens for notices until the context ends. Without it waiters are told by looking alone.
func (t *Tails) Run(ctx context.Context) {
	if t.listen == nil {
		return
	}
	for failures := 1; ; failures++ {
		began := time.Now()
		err := t.listen(ctx, t.stir)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > recovery.Last {
			failures = 1
		}
		t.log.Warn("listening for the stream ended and begins again", "failures", failures, "error", err)
		if sleep(ctx, recovery.Wait(failures, 0)) != nil {
			return
		}
	}
}

// stir makes whoever waits look at once. A notice does not say which home it is about; those that are written here are told anyway.
func (t *Tails) stir() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.homes {
		if l.writer == 0 {
			signal(l.stale)
		}
	}
}

// Tell says that the stream of a home has grown to a head. It never waits.
func (t *Tails) Tell(home id.Home, head event.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.of(home); head > l.head {
		l.head = head
		close(l.grown)
		l.grown = make(chan struct{})
	}
}

// writes says that a writer of this process has taken the stream of a home on, or given it up.
func (t *Tails) writes(home id.Home, change int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(home).writer += change
}

// of is for who holds the lock.
func (t *Tails) of(home id.Home) *tail {
	l := t.homes[home]
	if l == nil {
		l = &tail{grown: make(chan struct{}), turn: make(chan struct{}, 1), stale: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		t.homes[home] = l
	}
	return l
}

// Wait returns when the stream of a home is beyond a position, or with the error of the context. A database that is away is waited for.
func (t *Tails) Wait(ctx context.Context, home id.Home, after event.Position) error {
	t.mu.Lock()
	l := t.of(home)
	t.mu.Unlock()
	for {
		t.mu.Lock()
		head, grown := l.head, l.grown
		t.mu.Unlock()
		if head > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		case <-l.turn:
			err := t.watch(ctx, home, l, grown)
			l.turn <- struct{}{}
			if err != nil {
				return err
			}
		}
	}
}

// watch looks for all who wait for a home, until the stream has grown.
func (t *Tails) watch(ctx context.Context, home id.Home, l *tail, grown <-chan struct{}) error {
	for failures := 0; ; {
		timer := time.NewTimer(t.pace(l) - time.Since(l.looked) + pauseAfter(failures))
		select {
		case <-ctx.Done():
		case <-grown:
		case <-l.stale:
		case <-timer.C:
		}
		timer.Stop()
		select {
		case <-grown:
			return nil
		default:
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		looking, cancel := context.WithTimeout(ctx, patience)
		head, err := t.heads.Head(looking, home)
		cancel()
		l.looked = time.Now()
		if err == nil {
			failures = 0
			t.Tell(home, head)
		} else if failures++; ctx.Err() == nil {
			t.log.Warn("look how far a stream is", "home", home, "failures", failures, "error", err)
		}
	}
}

// pace is how often to look at a stream: what a writer of this process appends is told anyway, unless the process has lost its lease without
// knowing.
func (t *Tails) pace(l *tail) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.writer > 0 {
		return max(t.every, LookEvery)
	}
	return t.every
}

func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return recovery.Wait(failures, 0)
}
