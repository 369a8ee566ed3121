package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Settle asks for the commands that have no answer, each under its key, until it has one, is refused for good or the context ends. The answer
// says whether the command had happened before; where it had not, it happens now. Call it when the faults are over, and before any check.
func (h *History) Settle(ctx context.Context, svc ledger.Service) {
	const workers, pause = 8, 100 * time.Millisecond
	open := make(chan *Call)
	var mu sync.Mutex // of h.Different
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for c := range open {
				for c.Asked = time.Since(h.Start); ; {
					o, err := ledger.Do(ctx, svc, c.Command)
					c.Settled = time.Since(h.Start)
					switch {
					case err == nil && o.Replayed:
						c.State, c.Outcome = Happened, o
					case err == nil:
						c.State, c.Outcome = Late, o
					case errs.Transient(err) && ctx.Err() == nil:
						c.Trouble = err.Error()
						select {
						case <-time.After(pause):
						case <-ctx.Done():
						}
						continue
					case ctx.Err() == nil:
						c.Trouble = err.Error()
						mu.Lock()
						h.Different = append(h.Different, fmt.Sprintf("%s was refused: %v", c, err))
						mu.Unlock()
					}
					break
				}
			}
		})
	}
	for _, c := range h.Calls {
		if c.State == Unknown {
			open <- c
		}
	}
	close(open)
	running.Wait()
}
