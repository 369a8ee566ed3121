package relay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

// household is the deliverers of one home, under one lease.
type household struct {
	*Deliverers
	lease event.Lease
	all   map[string]*deliverer
	done  sync.WaitGroup
	lost  func()
	tally time.Time
	head  atomic.Int64 // of the stream, as of the last look
}

// look tells every deliverer what it is to do now, and starts those that are new.
func (h *household) look(ctx context.Context) error {
	wanted, err := h.Store.Subscribed(ctx, h.lease.Home)
	if err != nil {
		return err
	}
	replays, err := h.Store.RunningReplays(ctx, h.lease.Home)
	if err != nil {
		return err
	}
	head, err := h.Stream.Head(ctx, h.lease.Home)
	if err != nil {
		return err
	}
	h.head.Store(int64(head))
	there := map[string]bool{}
	for _, s := range wanted {
		there[s.ID] = true
		if h.all[s.ID] == nil {
			h.start(ctx, s.ID)
		}
		h.all[s.ID].want(&order{subscription: s, replay: firstReplay(replays, s.ID)})
	}
	for subscription, d := range h.all {
		if !there[subscription] {
			d.stop()
			delete(h.all, subscription)
		}
	}
	return h.count(ctx)
}

func firstReplay(replays []event.Replay, subscription string) *event.Replay {
	for _, r := range replays {
		if r.Subscription == subscription {
			return &r
		}
	}
	return nil
}

const tallyEvery = 30 * time.Second

func (h *household) count(ctx context.Context) error {
	if time.Since(h.tally) < tallyEvery {
		return nil
	}
	tallies, err := h.Store.TallyDeliveries(ctx, h.lease.Home)
	if err != nil {
		return err
	}
	h.tally = time.Now()
	h.Metrics.tallied(h.lease.Home, tallies)
	return nil
}

func (h *household) start(ctx context.Context, subscription string) {
	ctx, stop := context.WithCancel(ctx)
	d := &deliverer{household: h, name: subscription, stop: stop, news: make(chan struct{}, 1)}
	h.all[subscription] = d
	h.done.Go(func() {
		defer stop()
		d.run(ctx)
	})
}

// order is what a deliverer is to do.
type order struct {
	subscription event.Subscription
	replay       *event.Replay
}

// deliverer delivers the events of one home to one subscription, whatever that is from time to time.
type deliverer struct {
	*household
	name string
	stop func()

	mu     sync.Mutex
	wanted *order
	news   chan struct{}
}

func (d *deliverer) want(o *order) {
	d.mu.Lock()
	if d.wanted == nil || o.subscription.Revision >= d.wanted.subscription.Revision {
		d.wanted = o
	}
	d.mu.Unlock()
	signal(d.news)
}

func (d *deliverer) order() *order {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wanted
}

// found takes in a subscription that was read at another time than the others.
func (d *deliverer) found(s event.Subscription) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Revision > d.wanted.subscription.Revision {
		d.wanted = &order{subscription: s, replay: d.wanted.replay}
	}
}

// works tells whether a subscription is to be delivered to.
func works(s event.Subscription) bool { return s.State == event.Active || s.State == event.Failing }

// run works in sessions, one for each revision of the subscription.
func (d *deliverer) run(ctx context.Context) {
	defer d.Metrics.forget(d.lease.Home, d.name)
	failures := 0
	for ctx.Err() == nil {
		o := d.order()
		if o == nil || !works(o.subscription) {
			select {
			case <-ctx.Done():
			case <-d.news:
			}
			continue
		}
		err := d.session(ctx, o.subscription)
		if err == nil {
			failures = 0
			continue
		}
		if errors.Is(err, event.ErrFenced) {
			d.lost()
			return
		}
		failures++
		d.Log.Warn("deliver", "home", d.lease.Home, "subscription", d.name, "error", err)
		d.pause(ctx, o.subscription.Revision, d.Limits.Probe.Wait(failures, 0))
	}
}

// pause waits, unless the subscription is changed first.
func (d *deliverer) pause(ctx context.Context, revision int64, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for d.order().subscription.Revision == revision {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-d.news:
		}
	}
}
