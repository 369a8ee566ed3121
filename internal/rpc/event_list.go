package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// Bounds of a list of events: what it may read, and what it may answer, so that a filter that wants little and events that are large cost a
// call no more than others.
const (
	listScan  = 5000    // positions
	listBytes = 4 << 20 // of CloudEvents; the last one may be over
)

// ListEvents implements EventService.
func (h *events) ListEvents(ctx context.Context, r *connect.Request[ledgerv1.ListEventsRequest]) (*connect.Response[ledgerv1.ListEventsResponse], error) {
	p := &parser{ctx: ctx}
	home, filter, after, size := p.home("home", r.Msg.GetHome()), p.filter(r.Msg.GetFilter()), p.position("after", r.Msg.GetAfter()), p.pageSize(r.Msg.GetPageSize())
	if p.err != nil {
		return nil, p.err
	}
	head, err := h.known(ctx, home)
	if err != nil {
		return nil, err
	}
	if after > head {
		return nil, beyond(home, head)
	}
	reading := h.reading(ctx, home, filter, nil)
	out := &ledgerv1.ListEventsResponse{NextAfter: int64(after), Head: int64(head)}
	bytes := 0
	for scanned := 0; scanned < listScan; {
		page, err := h.stream.Events(ctx, home, event.Position(out.GetNextAfter()), readPage)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if len(out.GetEvents()) == size || bytes >= listBytes {
				return connect.NewResponse(out), nil
			}
			m, err := reading.take(e)
			if err != nil {
				return nil, err
			}
			if m != nil {
				out.Events = append(out.Events, m)
				bytes += len(m.GetCloudEvent())
			}
			out.NextAfter, out.Head = int64(e.Position), max(out.GetHead(), int64(e.Position))
		}
		if scanned += len(page); len(page) < readPage {
			break
		}
	}
	return connect.NewResponse(out), nil
}

// beyond refuses a position that the stream has not reached: it is of another home, or of a database that was restored since.
func beyond(home id.Home, head event.Position) error {
	e := errs.Invalid("after", "the stream of home "+string(home)+" is not that far; was the position given for another home?")
	return e.With("home", home).With("head", head)
}
