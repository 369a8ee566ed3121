package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// readPage is how many events a call has in memory at most, whatever its client takes.
const readPage = 100

// reading is the stream of a home as one call sees it. It is for one goroutine.
type reading struct {
	ctx     context.Context //nolint:containedctx // lives as long as the call
	home    id.Home
	ledgers func(context.Context, id.Ledger) (ledger.Ledger, error)
	see     event.Options
	wants   event.Matcher
	blind   error // the first failure to find out where a ledger is at home
}

// reading shows the entries of the home and of the others that are named.
func (h *events) reading(ctx context.Context, home id.Home, filter event.Filter, others []id.Home) *reading {
	r := &reading{ctx: ctx, home: home, ledgers: h.ledgers}
	r.see = event.Options{Homes: others, HomeOf: r.homeOf, RegionOf: h.regionOf}
	r.wants = filter.Compile(r.see)
	return r
}

// homeOf remembers when it could not tell: an event must not lose entries because a database was away.
func (r *reading) homeOf(name id.Ledger) (id.Home, bool) {
	l, err := r.ledgers(r.ctx, name)
	if err != nil && !errors.Is(err, errs.ErrLedgerNotFound) && r.blind == nil {
		r.blind = err
	}
	return l.Home, err == nil
}

// take returns an event as it goes over the wire, or nil where it is not wanted.
func (r *reading) take(e event.Event) (*ledgerv1.Event, error) {
	wanted := r.wants.Matches(e)
	if r.blind != nil {
		return nil, r.blind
	}
	if !wanted {
		return nil, nil //nolint:nilnil // as documented
	}
	return r.render(e)
}

func (r *reading) render(e event.Event) (*ledgerv1.Event, error) {
	rendered, err := event.Render(e, r.see)
	if err != nil {
		return nil, errs.ErrInternal.Because(fmt.Errorf("render position %d of %s: %w", e.Position, e.Home, err))
	}
	if r.blind != nil {
		return nil, r.blind
	}
	return renderEvent(e, rendered), nil
}

// Subscribe implements EventService. It reads a page, sends what is wanted of it, and reads on when the client has taken that: a slow client
// slows itself. It begins with a heartbeat, so that a client knows from the start where it would go on.
func (h *events) Subscribe(ctx context.Context, r *connect.Request[ledgerv1.SubscribeRequest], out *connect.ServerStream[ledgerv1.SubscribeResponse]) error {
	p := &parser{ctx: ctx}
	wanted := p.subscribe(r.Msg)
	if p.err != nil {
		return p.err
	}
	at, err := h.begin(ctx, wanted)
	if err != nil {
		return err
	}
	deadline := writeDeadlineOf(ctx)
	defer deadline.release()
	f := &follower{events: h, reading: h.reading(ctx, wanted.home, wanted.filter, nil), at: at, heartbeat: wanted.heartbeat, deadline: deadline, out: out}
	return f.follow(ctx)
}

// begin returns the position after which a subscriber is served.
func (h *events) begin(ctx context.Context, s subscribing) (event.Position, error) {
	head, err := h.known(ctx, s.home)
	switch {
	case err != nil:
		return 0, err
	case s.now:
		return head, nil
	case !s.since.IsZero():
		return h.stream.PositionAt(ctx, s.home, s.since)
	case s.after > head:
		return 0, beyond(s.home, head)
	}
	return s.after, nil
}

// follower sends one subscriber what it wants, in order.
type follower struct {
	*events
	*reading
	at        event.Position // everything wanted up to here was sent
	heartbeat time.Duration
	told      time.Time // when the subscriber last heard
	deadline  *writeDeadline
	out       *connect.ServerStream[ledgerv1.SubscribeResponse]
}

func (f *follower) follow(ctx context.Context) error {
	if err := f.beat(); err != nil {
		return err
	}
	for {
		page, err := f.stream.Events(ctx, f.home, f.at, readPage)
		if err != nil {
			return err
		}
		if err := f.pass(ctx, page); err != nil {
			return err
		}
		if time.Since(f.told) >= f.heartbeat {
			if err := f.beat(); err != nil {
				return err
			}
		}
		if len(page) == readPage {
			continue
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

// pass sends what is wanted of a page.
func (f *follower) pass(ctx context.Context, page []event.Event) error {
	for _, e := range page {
		if ctx.Err() != nil { // a client that takes everything would not let the node drain
			return ctx.Err()
		}
		m, err := f.take(e)
		if err != nil {
			return err
		}
		if m != nil {
			if err := f.send(&ledgerv1.SubscribeResponse{What: &ledgerv1.SubscribeResponse_Event{Event: m}}); err != nil {
				return err
			}
		}
		f.at = e.Position
	}
	return nil
}

// wait returns when there is more, and tells the subscriber meanwhile that the silence is one of the stream.
func (f *follower) wait(ctx context.Context) error {
	for {
		until, cancel := context.WithDeadline(ctx, f.told.Add(f.heartbeat))
		err := f.tails.Wait(until, f.home, f.at)
		due := until.Err() != nil
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !due:
			return err
		}
		if err := f.beat(); err != nil {
			return err
		}
	}
}

func (f *follower) beat() error {
	return f.send(&ledgerv1.SubscribeResponse{What: &ledgerv1.SubscribeResponse_Heartbeat{
		Heartbeat: &ledgerv1.StreamPosition{Home: string(f.home), Position: int64(f.at)},
	}})
}

func (f *follower) send(m *ledgerv1.SubscribeResponse) error {
	f.deadline.extend()
	err := f.out.Send(m)
	f.told = time.Now()
	return err
}
