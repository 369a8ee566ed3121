package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// headTable is heads that count who looks.
type headTable struct {
	mu    sync.Mutex
	heads map[id.Home]event.Position
	looks int
	err   error
}

func (h *headTable) Head(_ context.Context, home id.Home) (event.Position, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	return h.heads[home], h.err
}

func (h *headTable) set(home id.Home, p event.Position, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heads[home], h.err = p, err
}

func (h *headTable) seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.looks = 0 }()
	return h.looks
}

func newTails(every time.Duration, listen Listen) (*Tails, *headTable) {
	h := &headTable{heads: map[id.Home]event.Position{}}
	return NewTails(h, listen, every, slog.New(slog.DiscardHandler)), h
}

// waiters wait for the first event of a home, and say how long it took.
func waiters(ctx context.Context, tails *Tails, home id.Home, n int) <-chan time.Duration {
	began, told := time.Now(), make(chan time.Duration, n)
	for range n {
		go func() {
			if tails.Wait(ctx, home, 0) == nil {
				told <- time.Since(began)
			} else {
				told <- -1
			}
		}()
	}
	return told
}

func TestTails_OneLooksForAllAndNobodyWhileNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tails, heads := newTails(50*time.Millisecond, nil)
		time.Sleep(time.Hour)
		if n := heads.seen(); n != 0 {
			t.Errorf("%d looks while nobody waits", n)
		}
		eu, us := waiters(t.Context(), tails, "eu", 10), waiters(t.Context(), tails, "us", 10)
		time.Sleep(time.Second + time.Millisecond)
		if n := heads.seen(); n != 2*21 {
			t.Errorf("%d looks in a second, want one each 50 ms in each home", n)
		}
		heads.set("eu", 1, nil)
		for range 10 {
			if took := <-eu; took != time.Second+50*time.Millisecond {
				t.Errorf("one was told after %s", took)
			}
		}
		synctest.Wait()
		heads.seen()
		time.Sleep(time.Minute)
		if n := heads.seen(); n < 60*20-1 || n > 60*20+1 {
			t.Errorf("%d looks in a minute, want those in one home", n)
		}
		heads.set("us", 1, nil)
		for range 10 {
			<-us
		}
		if err := tails.Wait(t.Context(), "us", 0); err != nil || heads.seen() > 1 {
			t.Errorf("what is known is looked for: %v", err)
		}
	})
}

func TestTails_WhoLooksMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tails, heads := newTails(time.Second, nil)
		leaving, leave := context.WithCancel(t.Context())
		first := waiters(leaving, tails, "eu", 1)
		synctest.Wait()
		second := waiters(t.Context(), tails, "eu", 1)
		time.Sleep(500 * time.Millisecond)
		leave()
		if <-first != -1 {
			t.Error("who left was told")
		}
		heads.set("eu", 1, nil)
		if took := <-second; took != time.Second {
			t.Errorf("the other was told after %s, want the next look", took)
		}
	})
}

func TestTails_HearFromTheWriterAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tails, heads := newTails(50*time.Millisecond, nil)
		tails.writes("eu", +1)
		told := waiters(t.Context(), tails, "eu", 3)
		time.Sleep(10*time.Second + time.Millisecond)
		if n := heads.seen(); n != 11 {
			t.Errorf("%d looks in ten seconds, want one a second: the writer tells", n)
		}
		tails.Tell("eu", 1)
		for range 3 {
			if took := <-told; took != 10*time.Second+time.Millisecond {
				t.Errorf("one was told after %s", took)
			}
		}
		tails.Tell("eu", 0) // older news
		if err := tails.Wait(t.Context(), "eu", 0); err != nil {
			t.Error(err)
		}
	})
}

func TestTails_LookAtOnceAfterANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notices, broken := make(chan struct{}), make(chan struct{})
		listening := 0
		tails, heads := newTails(time.Second, func(ctx context.Context, told func()) error {
			listening++
			for {
				told()
				select {
				case <-notices:
				case <-broken:
					return errs.ErrUnavailable
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); tails.Run(ctx) }()
		told := waiters(ctx, tails, "eu", 3)
		time.Sleep(300 * time.Millisecond)
		heads.set("eu", 1, nil)
		notices <- struct{}{}
		for range 3 {
			if took := <-told; took != 300*time.Millisecond {
				t.Errorf("one was told after %s, want at once", took)
			}
		}
		broken <- struct{}{}
		time.Sleep(time.Minute)
		stop()
		<-done
		if listening != 2 {
			t.Errorf("it listened %d times, want again after the line broke", listening)
		}
	})
}

func TestTails_OutliveTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tails, heads := newTails(50*time.Millisecond, nil)
		heads.set("eu", 0, errs.ErrUnavailable)
		told := waiters(t.Context(), tails, "eu", 2)
		time.Sleep(time.Minute)
		if n := heads.seen(); n > 60 {
			t.Errorf("%d looks in a minute at a database that is away", n)
		}
		heads.set("eu", 1, nil)
		for range 2 {
			if took := <-told; took > time.Minute+recovery.Last+50*time.Millisecond {
				t.Errorf("one was told after %s", took)
			}
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := tails.Wait(ctx, "us", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits with a deadline gets %v", err)
		}
	})
}
