package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Page asks for callbacks of a provider, by event id.
type Page struct {
	Ledger   id.Ledger
	Provider Name
	State    State  // empty: all
	After    string // the id of the last event of the page before
	Limit    int
}

// Selection names dead callbacks of a provider: those of the ids, those of a cause, or all.
type Selection struct {
	Ledger   id.Ledger
	Provider Name
	IDs      []string // none: all
	Cause    string   // empty: any
}

// Service is what operators do with callbacks. Package rpc has it on the other side of the wire as well. Errors are *errs.Error:
// errs.ErrLedgerNotFound where there is no such ledger.
type Service interface {
	// List returns callbacks of a provider by event id, without bodies.
	List(ctx context.Context, page Page) ([]Callback, error)
	// Get returns one with what is kept of its body, or errs.ErrCallbackNotFound. An encrypted body stays so.
	Get(ctx context.Context, ledger id.Ledger, provider Name, event string) (Callback, error)
	// Replay makes dead callbacks due as if they had just come, and returns how many.
	Replay(ctx context.Context, s Selection) (int64, error)
	// Discard gives dead callbacks up for a reason that is kept, and returns how many.
	Discard(ctx context.Context, s Selection, reason string) (int64, error)
}

// OperatorStore is what operators need of the tables. Every error is an *errs.Error.
type OperatorStore interface {
	Callbacks(ctx context.Context, home id.Home, page Page) ([]Callback, error)
	Callback(ctx context.Context, home id.Home, ledger id.Ledger, provider Name, event string) (Callback, error)
	ReplayCallbacks(ctx context.Context, home id.Home, s Selection) (int64, error)
	DiscardCallbacks(ctx context.Context, home id.Home, s Selection, reason string) (int64, error)
}

// Operators is the Service of a node. It needs no lease: what it writes down, workers take up.
type Operators struct {
	Store  OperatorStore
	HomeOf func(context.Context, id.Ledger) (id.Home, error)
	Wake   func(id.Home) // hears of replays; may be nil
}

var _ Service = (*Operators)(nil)

// Bounds on what operators ask for.
const (
	MaxPage      = 1000
	maxSelection = 1000
	maxReason    = 500
)

// List implements Service.
func (o *Operators) List(ctx context.Context, page Page) ([]Callback, error) {
	if page.Limit < 1 || page.Limit > MaxPage {
		return nil, errs.Invalid("page_size", fmt.Sprintf("a page has 1 to %d callbacks", MaxPage))
	}
	home, err := o.HomeOf(ctx, page.Ledger)
	if err != nil {
		return nil, err
	}
	return o.Store.Callbacks(ctx, home, page)
}

// Get implements Service.
func (o *Operators) Get(ctx context.Context, ledger id.Ledger, provider Name, event string) (Callback, error) {
	home, err := o.HomeOf(ctx, ledger)
	if err != nil {
		return Callback{}, err
	}
	return o.Store.Callback(ctx, home, ledger, provider, event)
}

// Replay implements Service.
func (o *Operators) Replay(ctx context.Context, s Selection) (int64, error) {
	home, err := o.selected(ctx, s)
	if err != nil {
		return 0, err
	}
	n, err := o.Store.ReplayCallbacks(ctx, home, s)
	if n > 0 && o.Wake != nil {
		o.Wake(home)
	}
	return n, err
}

// Discard implements Service.
func (o *Operators) Discard(ctx context.Context, s Selection, reason string) (int64, error) {
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason || attempt.Brief(reason) != reason {
		return 0, errs.Invalid("reason", fmt.Sprintf("say why, in 1 to %d bytes of text", maxReason))
	}
	home, err := o.selected(ctx, s)
	if err != nil {
		return 0, err
	}
	return o.Store.DiscardCallbacks(ctx, home, s, reason)
}

func (o *Operators) selected(ctx context.Context, s Selection) (id.Home, error) {
	if len(s.IDs) > maxSelection {
		return "", errs.Invalid("event_ids", fmt.Sprintf("at most %d; leave them out to mean all", maxSelection))
	}
	return o.HomeOf(ctx, s.Ledger)
}
