package rpc

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Bounds on a subscriber that takes nothing. It is cut, and goes on where it was when it comes back.
const (
	stallWithin = time.Minute     // while the node serves
	leaveWithin = 2 * time.Second // when the call is over: to take the last words
)

// writeDeadline bounds how long the client of a stream may take nothing. The zero value bounds nothing.
type writeDeadline struct {
	control *http.ResponseController
	stop    func() bool

	mu      sync.Mutex
	until   time.Time
	leaving bool
}

// writeDeadlineOf bounds a call until release. The call was mounted as interruptible, or nothing is done.
func writeDeadlineOf(ctx context.Context) *writeDeadline {
	control, ok := ctx.Value(readerKey{}).(*http.ResponseController)
	if !ok {
		return &writeDeadline{}
	}
	d := &writeDeadline{control: control}
	d.stop = context.AfterFunc(ctx, d.leave)
	return d
}

// extend gives the client time for one more message.
func (d *writeDeadline) extend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.control == nil || d.leaving || time.Until(d.until) > stallWithin/2 {
		return
	}
	d.until = time.Now().Add(stallWithin)
	_ = d.control.SetWriteDeadline(d.until) // a connection that can not do it has no deadline
}

// leave ends a Send that waits for the client.
func (d *writeDeadline) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.control == nil || d.leaving {
		return
	}
	d.leaving = true
	_ = d.control.SetWriteDeadline(time.Now().Add(leaveWithin)) // as above
}

// release gives the connection back. The deadline for the last words stays.
func (d *writeDeadline) release() {
	if d.control == nil {
		return
	}
	d.leave()
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.control = nil // it is there only as long as the call
}
